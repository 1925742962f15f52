"""Functions of mx.nd.contrib and mx.sym.contrib that are compositions; they take arrays as well as symbols."""

from __future__ import annotations

import math
from typing import Any


def isnan(data: Any) -> Any:
    """1 where there is no number, else 0."""
    return data != data


def isinf(data: Any) -> Any:
    """1 where there is an infinity of any sign, else 0."""
    return abs(data) == math.inf


def isfinite(data: Any) -> Any:
    """1 where there is a number that is not infinite, else 0."""
    return abs(data) < math.inf  # false for nan, too


FUNCTIONS = {f.__name__: f for f in (isfinite, isinf, isnan)}
