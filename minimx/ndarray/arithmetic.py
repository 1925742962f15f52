"""Functions of two operands, each an array or a number."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from .. import _core
from ..op import find
from .ndarray import NDArray

# name: (operator of two arrays, of array and number, of number and array, what two plain numbers give)
FUNCTIONS: dict[str, tuple[str, str, str, Callable]] = {
    "add": ("broadcast_add", "_plus_scalar", "_plus_scalar", operator.add),
    "subtract": ("broadcast_sub", "_minus_scalar", "_rminus_scalar", operator.sub),
    "multiply": ("broadcast_mul", "_mul_scalar", "_mul_scalar", operator.mul),
    "divide": ("broadcast_div", "_div_scalar", "_rdiv_scalar", operator.truediv),
    "true_divide": ("broadcast_div", "_div_scalar", "_rdiv_scalar", operator.truediv),
    "modulo": ("broadcast_mod", "_mod_scalar", "_rmod_scalar", operator.mod),
    "power": ("broadcast_power", "_power_scalar", "_rpower_scalar", operator.pow),
    "maximum": ("broadcast_maximum", "_maximum_scalar", "_maximum_scalar", max),
    "minimum": ("broadcast_minimum", "_minimum_scalar", "_minimum_scalar", min),
    "equal": ("broadcast_equal", "_equal_scalar", "_equal_scalar", lambda a, b: float(a == b)),
    "not_equal": ("broadcast_not_equal", "_not_equal_scalar", "_not_equal_scalar", lambda a, b: float(a != b)),
    "greater": ("broadcast_greater", "_greater_scalar", "_lesser_scalar", lambda a, b: float(a > b)),
    "greater_equal": (
        "broadcast_greater_equal",
        "_greater_equal_scalar",
        "_lesser_equal_scalar",
        lambda a, b: float(a >= b),
    ),
    "lesser": ("broadcast_lesser", "_lesser_scalar", "_greater_scalar", lambda a, b: float(a < b)),
    "lesser_equal": (
        "broadcast_lesser_equal",
        "_lesser_equal_scalar",
        "_greater_equal_scalar",
        lambda a, b: float(a <= b),
    ),
    "logical_and": (
        "broadcast_logical_and",
        "_logical_and_scalar",
        "_logical_and_scalar",
        lambda a, b: float(bool(a) and bool(b)),
    ),
    "logical_or": (
        "broadcast_logical_or",
        "_logical_or_scalar",
        "_logical_or_scalar",
        lambda a, b: float(bool(a) or bool(b)),
    ),
    "logical_xor": (
        "broadcast_logical_xor",
        "_logical_xor_scalar",
        "_logical_xor_scalar",
        lambda a, b: float(bool(a) != bool(b)),
    ),
}


def _function(name: str) -> Callable:
    array_op, scalar_op, reverse_op, plain = FUNCTIONS[name]

    def function(lhs: Any, rhs: Any) -> Any:
        if isinstance(lhs, NDArray):
            result = _core.binary(find(array_op), find(scalar_op), None, lhs, rhs)
        elif isinstance(rhs, NDArray):
            result = _core.binary(find(array_op), find(reverse_op), None, rhs, lhs)
        else:
            return plain(lhs, rhs)
        if result is NotImplemented:
            other = rhs if isinstance(lhs, NDArray) else lhs
            raise TypeError(f"{name}: operands must be NDArrays or numbers, got {type(other).__name__}")
        return result

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"Element-wise `{array_op}` of arrays or numbers, with broadcasting."
    return function


globals().update({name: _function(name) for name in FUNCTIONS})
__all__ = list(FUNCTIONS)
