"""Cases of random operators: shapes and dtypes; test_random.py checks distributions. See tests/cases/__init__.py."""

import numpy as np

from . import Case, real

# operator: two choices of its parameters
DRAWN = {
    "_random_uniform": ({}, {"low": -2.0, "high": 5.0}),
    "_random_normal": ({}, {"loc": 3.0, "scale": 0.5}),
    "_random_exponential": ({}, {"lam": 4.0}),
    "_random_gamma": ({}, {"alpha": 9.0, "beta": 0.5}),
    "_random_poisson": ({}, {"lam": 4.0}),
    "_random_negative_binomial": ({"k": 2, "p": 0.5}, {"k": 3, "p": 0.4}),
    "_random_generalized_negative_binomial": ({}, {"mu": 2.0, "alpha": 0.3}),
    "_dropout_mask": ({}, {"p": 0.2}),
    "_random_randint": ({"low": 0, "high": 10}, {"low": -5, "high": 7}),
}
SAMPLED = {
    "_sample_uniform": [real(2, 3, high=0), real(2, 3, low=0)],
    "_sample_normal": [real(2, 3), real(2, 3, low=0)],
    "_sample_exponential": [real(2, 3, low=1)],
    "_sample_gamma": [real(2, 3, low=1), real(2, 3, low=1)],
    "_sample_poisson": [real(2, 3, low=0)],
    "_sample_negative_binomial": [real(2, 3, low=1), real(2, 3, low=0.1, high=1)],
    "_sample_generalized_negative_binomial": [real(2, 3, low=0), real(2, 3, low=0)],
}


def cases():
    for op, (first, second) in DRAWN.items():
        other = "int64" if op == "_random_randint" else "float64"
        yield Case(op, [], {"shape": (3, 5), **first}, half=False)
        yield Case(op, [], {"shape": 700, "dtype": other, "ctx": "cpu(0)", **second}, half=False)
        if op not in ("_dropout_mask", "_random_randint"):
            yield Case(f"{op}_like", [real(3, 5)], first, grads=())
            yield Case(f"{op}_like", [real(3, 5)], second, grads=())
    for op, parameters in SAMPLED.items():
        yield Case(op, parameters, {}, grads=())
        yield Case(op, parameters, {"shape": (4, 5), "dtype": "float64"}, grads=())


ONE_HOT = np.eye(4)[[2, 0, 3]]

CASES = [
    *cases(),
    Case("_sample_multinomial", [ONE_HOT], {}, lambda p: np.argmax(p, axis=1), grads=()),
    Case(
        "_sample_multinomial",
        [ONE_HOT],
        {"shape": (2,), "get_prob": True, "dtype": "int64"},
        lambda p: (np.argmax(p, axis=1)[:, None].repeat(2, axis=1), np.zeros((3, 2))),
        grads=(),
    ),
    Case(
        "_random_category",
        [ONE_HOT],
        {"samples": 3},
        lambda p: np.argmax(p, axis=1)[:, None].repeat(3, axis=1),
        grads=(),
    ),
    Case("_random_category", [ONE_HOT], {"samples": 1}, lambda p: np.argmax(p, axis=1)[:, None], grads=()),
    Case("_random_permutation", [], {"size": 1}, lambda: np.zeros(1, "int64"), half=False),
    Case("_random_permutation", [], {"size": 300}, half=False),
    Case("_shuffle", [np.full((7, 3), 2.0)], {}, lambda x: x, grads=()),
]
