"""Cases of operators that make constant arrays: see tests/cases/__init__.py."""

import numpy as np

from . import Case, real


def made(op, params, value):
    return Case(op, [], params, lambda: np.asarray(value), half=False)


CASES = [
    made("_zeros", {"shape": (2, 3)}, np.zeros((2, 3))),
    made("_zeros", {"shape": (4,), "dtype": "int32", "ctx": "cpu(0)"}, np.zeros(4)),
    made("_ones", {"shape": (2, 3)}, np.ones((2, 3))),
    made("_ones", {"shape": (4,), "dtype": "uint8", "ctx": "cpu(0)"}, np.ones(4)),
    made("_full", {"shape": (2, 3), "value": 2.5}, np.full((2, 3), 2.5)),
    made("_full", {"shape": (4,), "value": -7.0, "dtype": "int64", "ctx": "cpu(0)"}, np.full(4, -7)),
    made("_zeros_without_dtype", {"shape": (2, 3)}, np.zeros((2, 3))),
    made("_zeros_without_dtype", {"shape": (5,), "dtype": 4, "ctx": "cpu(0)"}, np.zeros(5)),
    made("_arange", {"start": 5.0}, np.arange(5)),
    made("_arange", {"start": 2.0, "stop": 11.0, "step": 2.5, "ctx": "cpu(0)"}, np.arange(2, 11, 2.5)),
    made(
        "_arange", {"start": 7.0, "stop": 1.0, "step": -2.0, "repeat": 3, "dtype": "int32"}, [7] * 3 + [5] * 3 + [3] * 3
    ),
    made("_linspace", {"start": -1.0, "stop": 3.0}, np.linspace(-1, 3, 50)),
    made("_linspace", {"start": 0.0, "stop": 1.0, "num": 7, "endpoint": False}, np.linspace(0, 1, 7, endpoint=False)),
    made("_linspace", {"start": 2.0, "stop": 1.0, "num": 1, "dtype": "float64", "ctx": "cpu(0)"}, [2.0]),
    made("_eye", {"N": 3}, np.eye(3)),
    made("_eye", {"N": 4, "M": 600, "k": 3}, np.eye(4, 600, 3)),
    made("_eye", {"N": 5, "M": 2, "k": -1, "dtype": "int32", "ctx": "cpu(0)"}, np.eye(5, 2, -1)),
    Case("_contrib_arange_like", [real(2, 3)], {}, lambda x: np.arange(6.0).reshape(2, 3), grads=()),
    Case("_contrib_arange_like", [real(2, 7)], {"axis": -1, "repeat": 2}, lambda x: np.arange(7) // 2, grads=()),
    Case(
        "_contrib_arange_like",
        [real(4)],
        {"start": 1.0, "step": -0.5, "ctx": "cpu(0)"},
        lambda x: 1 - np.arange(4) / 2,
        grads=(),
    ),
]
