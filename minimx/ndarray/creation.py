"""Arrays from numbers, from host values, and from other libraries' memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _core
from ..base import MXNetError, dtype_name
from ..context import Context, current_context
from ..eager import invoke
from .convert import host_value, upload, wrap
from .ndarray import NDArray


def empty(
    shape: int | Sequence[int], ctx: Context | None = None, dtype: Any = None, stype: str | None = None
) -> NDArray:
    """An array with whatever its memory holds."""
    _check_dense(stype)
    ctx = ctx if ctx is not None else current_context()
    name = "float32" if dtype is None else dtype_name(dtype)
    shape = (int(shape),) if isinstance(shape, (int, np.integer)) else tuple(map(int, shape))
    return _core.empty(shape, name, ctx, ctx.device)


def full(
    shape: int | Sequence[int],
    val: float,
    ctx: Context | None = None,
    dtype: Any = np.float32,
    out: NDArray | None = None,
) -> NDArray:
    """An array of one value."""
    result = empty(shape, ctx, dtype) if out is None else out
    _core.fill(result, val)
    return result


def zeros(
    shape: int | Sequence[int],
    ctx: Context | None = None,
    dtype: Any = None,
    stype: str | None = None,
    out: NDArray | None = None,
) -> NDArray:
    """An array of zeros."""
    _check_dense(stype)
    return full(shape, 0, ctx, dtype, out)


def ones(
    shape: int | Sequence[int], ctx: Context | None = None, dtype: Any = None, out: NDArray | None = None
) -> NDArray:
    """An array of ones."""
    return full(shape, 1, ctx, dtype, out)


def array(source_array: Any, ctx: Context | None = None, dtype: Any = None) -> NDArray:
    """An array with the values of any array-like. The dtype is float32 unless the source is an NDArray or one is given."""
    if isinstance(source_array, NDArray):
        name = source_array.dtype_name if dtype is None else dtype_name(dtype)
        result = empty(source_array.shape, ctx if ctx is not None else current_context(), name)
        result[...] = source_array
        return result
    name = "float32" if dtype is None else dtype_name(dtype)
    if isinstance(source_array, (list, tuple)) and any(isinstance(v, NDArray) for v in source_array):
        source_array = [v.asnumpy() if isinstance(v, NDArray) else v for v in source_array]
    try:
        values = host_value(source_array, name)
    except (ValueError, TypeError) as error:
        if isinstance(error, MXNetError):
            raise
        raise TypeError(f"array(): the source must be array-like and regular: {error}") from None
    return upload(values, ctx if ctx is not None else current_context())


def arange(
    start: float,
    stop: float | None = None,
    step: float = 1.0,
    repeat: int = 1,
    infer_range: bool | None = None,
    ctx: Context | None = None,
    dtype: Any = np.float32,
) -> NDArray:
    """Numbers from `start` up to `stop`, which is left out, each `repeat` times. One number alone is the stop."""
    if stop is None:
        start, stop = 0, start
    given = {"start": start, "stop": stop, "step": step, "repeat": repeat, "dtype": dtype_name(dtype)}
    return invoke("_arange", [], given, ctx=ctx)


def linspace(
    start: float, stop: float, num: int, endpoint: bool = True, ctx: Context | None = None, dtype: Any = np.float32
) -> NDArray:
    """`num` numbers at equal distances from `start` to `stop`."""
    return array(np.linspace(start, stop, num, endpoint), ctx, dtype)


def eye(N: int, M: int = 0, k: int = 0, ctx: Context | None = None, dtype: Any = None, **kwargs: Any) -> NDArray:
    """Ones on the k-th diagonal, zeros elsewhere."""
    given = {"N": N, "M": M, "k": k, "dtype": "float32" if dtype is None else dtype_name(dtype)}
    return invoke("_eye", [], given, out=kwargs.get("out"), ctx=ctx)


def from_numpy(ndarray: np.ndarray, zero_copy: bool = True, array_cls: type = NDArray) -> NDArray:
    """An array on a NumPy array's memory, or on a copy of it. The memory is shared: both see what either writes."""
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"from_numpy: a NumPy array is needed, got {type(ndarray).__name__}")
    if not zero_copy:
        return array(ndarray, dtype=ndarray.dtype)
    if not ndarray.flags.c_contiguous:
        raise ValueError("from_numpy: the array must be C-contiguous to be shared; pass zero_copy=False")
    return wrap(ndarray)


def from_dlpack(dlpack: Any) -> NDArray:
    """An array on the memory behind a DLPack capsule, or of an object that offers one."""
    capsule = dlpack.__dlpack__() if hasattr(dlpack, "__dlpack__") else dlpack
    return _core.from_dlpack(capsule, lambda kind, number: Context(kind, number))


def to_dlpack_for_read(data: NDArray) -> Any:
    return data.to_dlpack_for_read()


def to_dlpack_for_write(data: NDArray) -> Any:
    return data.to_dlpack_for_write()


def concatenate(arrays: Sequence[NDArray], axis: int = 0, always_copy: bool = True) -> NDArray:
    """Arrays behind each other along an axis. One array alone is returned itself unless `always_copy`."""
    if not arrays:
        raise ValueError("concatenate: at least one array is needed")
    if len(arrays) == 1 and not always_copy:
        return arrays[0]
    return invoke("Concat", list(arrays), {"dim": axis})


def moveaxis(tensor: NDArray, source: int | Sequence[int], destination: int | Sequence[int]) -> NDArray:
    """Moves axes to other places; the others keep their order."""
    source = [source] if isinstance(source, int) else list(source)
    destination = [destination] if isinstance(destination, int) else list(destination)
    if len(source) != len(destination):
        raise ValueError("moveaxis: source and destination must name equally many axes")
    ndim = tensor.ndim
    for axis in (*source, *destination):
        if not -ndim <= axis < ndim:
            raise ValueError(f"moveaxis: axis {axis} is out of range for {ndim} dimensions")
    source = [a % ndim for a in source]
    destination = [a % ndim for a in destination]
    order = [a for a in range(ndim) if a not in source]
    for to, axis in sorted(zip(destination, source, strict=True)):
        order.insert(to, axis)
    return invoke("transpose", [tensor], {"axes": tuple(order)})


def split_v2(
    ary: NDArray, indices_or_sections: int | Sequence[int], axis: int = 0, squeeze_axis: bool = False
) -> NDArray | list[NDArray]:
    """Parts along an axis: equally many sections, or cuts before the given indices."""
    n = ary.shape[axis]
    if isinstance(indices_or_sections, int):
        if n % indices_or_sections:
            raise ValueError(f"split_v2: axis {axis} of length {n} has no {indices_or_sections} equal sections")
        cuts = list(range(0, n, n // indices_or_sections)) if n else [0] * indices_or_sections
    else:
        cuts = [0, *indices_or_sections]
    parts = [
        invoke("slice_axis", [ary], {"axis": axis, "begin": begin, "end": end})
        for begin, end in zip(cuts, [*cuts[1:], n], strict=True)
    ]
    if squeeze_axis:
        parts = [invoke("squeeze", [p], {"axis": axis}) for p in parts]
    return parts[0] if len(parts) == 1 else parts


def histogram(
    a: NDArray, bins: int | NDArray = 10, range: tuple[float, float] | None = None
) -> list[NDArray] | tuple[NDArray, NDArray]:
    """Counts of values per bin, and the edges of the bins."""
    if isinstance(bins, NDArray):
        return invoke("_histogram", [a, bins], {})
    if range is not None:
        return invoke("_histogram", [a], {"bin_cnt": bins, "range": tuple(range)})
    low, high = (float(invoke(name, [a], {}).asscalar()) for name in ("min", "max")) if a.size else (0.0, 1.0)
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"histogram: numbers from {low} to {high} need a range to be given")
    if low == high:
        low, high = low - 0.5, high + 0.5
    counts, edges = invoke("_histogram", [a], {"bin_cnt": bins, "range": (low, high)})
    return counts.astype(np.float32), edges  # MXNet leaves this case to NumPy, whose counts it stores as float32


def onehot_encode(indices: NDArray, out: NDArray) -> NDArray:
    """Writes the one-hot rows of `indices` into `out`."""
    rows = invoke("one_hot", [indices], {"depth": out.shape[1], "dtype": out.dtype_name})
    out[:] = rows
    return out


def waitall() -> None:
    """Waits until every device has done what it was asked to do."""
    _core.device("cpu", 0).wait()
    for i in range(_core.device_count("gpu")):
        _core.device("gpu", i).wait()


def _check_dense(stype: str | None) -> None:
    if stype not in (None, "default"):
        raise MXNetError(f"arrays are dense here: storage type {stype!r} does not exist")


__all__ = [
    name for name, value in list(globals().items()) if getattr(value, "__module__", None) == __name__ and name[0] != "_"
]
