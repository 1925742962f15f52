"""Between host values and arrays: NumPy values of a given dtype, memory without a copy."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _core
from ..base import MXNetError, bfloat16, dtype_name, numpy_dtype
from ..context import Context, cpu


def host_value(value: Any, dtype: str) -> np.ndarray:
    """A NumPy array of the storage type of `dtype`, from anything NumPy understands."""
    if dtype == "bfloat16":
        if getattr(value, "dtype", None) == bfloat16:
            return np.asarray(value)
        return to_bfloat16(np.asarray(value, np.float32))
    if not isinstance(value, (np.ndarray, np.generic)):
        return np.asarray(value, numpy_dtype(dtype))
    if value.dtype == bfloat16:
        value = from_bfloat16(value)
    if value.dtype.kind not in "biuf":
        raise MXNetError(f"values of dtype {value.dtype} cannot be stored in a {dtype} array")
    with np.errstate(invalid="ignore", over="ignore"):
        return np.asarray(value).astype(numpy_dtype(dtype), copy=False)


def to_bfloat16(values: np.ndarray) -> np.ndarray:
    """float32 rounded to nearest even."""
    bits = np.ascontiguousarray(values).reshape(values.shape).view(np.uint32)
    rounded = (bits + (0x7FFF + ((bits >> 16) & 1))) >> 16
    quiet = (bits >> 16) | 0x40
    return np.where(np.isnan(values), quiet, rounded).astype(np.uint16).view(bfloat16)


def from_bfloat16(values: np.ndarray) -> np.ndarray:
    return (np.ascontiguousarray(values).view(np.uint16).astype(np.uint32) << 16).view(np.float32)


def wrap(values: np.ndarray, ctx: Context | None = None) -> _core.Array:
    """An array on the memory of a C-contiguous NumPy array, which it keeps alive."""
    ctx = ctx or cpu()
    storage = _core.wrap(ctx.device, values.ctypes.data, values.nbytes, values)
    return _core.make(storage, 0, values.shape, dtype_name(values.dtype), ctx)


def upload(values: np.ndarray, ctx: Context) -> _core.Array:
    """A new array on `ctx` with the values of a NumPy array."""
    result = _core.empty(values.shape, dtype_name(values.dtype), ctx, ctx.device)
    _core.copy_in(result._storage, 0, np.ascontiguousarray(values))
    return result
