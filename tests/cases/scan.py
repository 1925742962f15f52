"""Running sums and histograms: see tests/cases/__init__.py."""

import numpy as np

from . import Case, real, whole

EDGES = np.array([-1.5, -0.5, 0.0, 0.25, 1.75])


def uniform(bins, low, high):
    return lambda x: np.histogram(x, bins, (low, high))


CASES = [
    Case("_np_cumsum", [real(3, 5)], {}, np.cumsum, length=15),
    Case("_np_cumsum", [real(3, 5)], {"axis": 1}, lambda x: np.cumsum(x, 1), length=5),
    Case("_np_cumsum", [real(3, 5, 2)], {"axis": -2, "dtype": "float64"}, lambda x: np.cumsum(x, 1), length=5),
    Case("_np_cumsum", [real(20000)], {"axis": 0}, np.cumsum, length=20000, half=False),
    Case(
        "_np_cumsum",
        [whole(4, 5)],
        {"axis": 0},
        lambda x: np.cumsum(x, 0),
        dtypes=("int32", "int64", "int8"),
        half=False,
    ),
    Case("_np_cumsum", [whole(4, 5)], {"dtype": "int32"}, np.cumsum, dtypes=("uint8", "float32"), grads=(), half=False),
    Case("_running_sum", [real(2, 3, 4)], {"axis": 1}, lambda x: np.cumsum(x, 1), length=3),
    Case("_running_sum", [real(2, 700)], {"axis": 0}, lambda x: np.cumsum(x, 0), length=2),
    Case(
        "_running_sum",
        [real(3, 9)],
        {"axis": 1, "reverse": True},
        lambda x: np.cumsum(x[:, ::-1], 1)[:, ::-1],
        length=9,
    ),
    Case("_histogram", [real(70)], {"bin_cnt": 5, "range": (-1.0, 1.5)}, uniform(5, -1.0, 1.5), grads=()),
    Case("_histogram", [real(7, 9)], {"bin_cnt": 300, "range": (0, 1)}, uniform(300, 0, 1), grads=()),
    Case(
        "_histogram",
        [whole(50, high=20)],
        {"bin_cnt": 4, "range": (0, 16)},
        uniform(4, 0, 16),
        dtypes=("int32", "int64", "uint8", "float32"),
        grads=(),
    ),
    Case("_histogram", [real(70), EDGES], {}, lambda x, e: np.histogram(x, e), grads=()),
    Case(
        "_bin_counts",
        [real(70, dtype="float32"), EDGES],
        {},
        lambda x, e: np.histogram(x, e)[0],
        dtypes=("float64",),
        grads=(),
        half=False,
    ),
    Case(
        "_bin_counts",
        [real(70), np.linspace(-2, 2, 9)],
        {"uniform": True},
        lambda x, e: np.histogram(x, e)[0],
        dtypes=("float64",),
        grads=(),
        half=False,
    ),
]
