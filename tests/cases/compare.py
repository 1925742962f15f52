"""Operators that compare arrays."""

import numpy as np

from . import Case, real

NEAR = np.array([1.0, 2.0, np.nan, np.inf])


def close(**options):
    return lambda a, b: np.array([np.allclose(a, b, **{"equal_nan": True, **options})])


CASES = [
    Case("_contrib_allclose", [NEAR, NEAR], {}, close(), (), half=False),
    Case("_contrib_allclose", [NEAR, NEAR], {"equal_nan": False}, close(equal_nan=False), (), half=False),
    Case("_contrib_allclose", [NEAR, NEAR + 0.1], {"rtol": 0.2, "atol": 0.0}, close(rtol=0.2), (), half=False),
    Case("_contrib_allclose", [real(3, 4), real(3, 4)], {"atol": 0.5}, close(atol=0.5), (), half=False),
]
