"""Cases for local response normalisation."""

import numpy as np

from . import Case, real


def windows(x, size):
    half = size // 2
    padded = np.pad(x, [(0, 0), (half, half)] + [(0, 0)] * (x.ndim - 2))
    return sum(padded[:, d : d + x.shape[1]] for d in range(size))


def lrn(x, nsize, alpha=1e-4, beta=0.75, knorm=2.0):
    return x * (knorm + alpha / nsize * windows(x * x, nsize)) ** -beta


CASES = [
    Case("_window_sum", [real(2, 7, 5, 3)], {"nsize": 3}, lambda x: windows(x, 3), length=3),
    Case("_window_sum", [real(3, 4)], {"nsize": 5}, lambda x: windows(x, 5), length=5),
    Case("LRN", [real(2, 6, 4, 5)], {"nsize": 5}, lambda x: lrn(x, 5), length=5, ulps=8),
    Case(
        "LRN",
        [real(2, 5, 3)],
        {"nsize": 3, "alpha": 0.5, "beta": 0.5, "knorm": 1.5},
        lambda x: lrn(x, 3, 0.5, 0.5, 1.5),
        length=3,
        ulps=8,
    ),
]
