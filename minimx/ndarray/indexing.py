"""Indexing: what a key selects, for reading and for assignment, with NumPy's meaning.

Basic keys (integers, slices, None, Ellipsis) select a walk with strides; it is shared memory when the walk is contiguous,
else one strided copy. Keys with arrays select rows by number: the numbers are computed by NumPy itself, from the key, and
the rows are gathered or scattered on the array's device.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from ..base import ITEM_SIZES, MXNetError
from ..eager import invoke
from .convert import host_value, upload, wrap

if TYPE_CHECKING:
    from .ndarray import NDArray

Items = list[Any]
_FULL = slice(None)
_NUMBERS = (int, float, bool)


def get(array: NDArray, key: Any) -> NDArray:
    """`array[key]`."""
    recorded = array.entry is not None and _core.is_recording()
    if not recorded and (type(key) is int or type(key) is slice) and array.size:
        found = _leading(array, key)
        if found is not None:
            return found
    items, basic = expand(key, array.shape)
    if not basic:
        return _gather(array, items, recorded)
    offset, shape, strides = walk(items, array.shape)
    visible = shape or (1,)  # in MXNet a single element is an array of one
    if recorded and 0 not in shape:
        return _recorded_slice(array, items, visible)
    if _contiguous(shape, strides):
        return _core.part(array, offset, visible)
    result = _core.empty(visible, array.dtype_name, array.context, array.context.device)
    if 0 not in shape:
        _core.strided_copy(array, offset, strides, result, 0, _strides(shape), shape)
    return result


def _leading(array: NDArray, key: int | slice) -> NDArray | None:
    """The common keys: one integer, or a slice of the first axis without a step."""
    shape = array.shape
    if not shape:
        return None
    n, rest = shape[0], shape[1:]
    if type(key) is int:
        if not -n <= key < n:
            return None
        return _core.part(array, (key % n) * (array.size // n), rest or (1,))
    start, stop, step = key.indices(n)
    if step != 1 or stop <= start:
        return None
    return _core.part(array, start * (array.size // n), (stop - start, *rest))


def put(array: NDArray, key: Any, value: Any) -> None:
    """`array[key] = value`."""
    if _core.is_recording():
        if array.entry is not None:
            raise MXNetError(
                "x[...] = value: x is part of what autograd is recording and cannot be written in place; make a new array "
                "or leave autograd.record()"
            )
        if getattr(value, "entry", None) is not None:
            _recorded_put(array, *expand(key, array.shape), value)
            return
    if type(value) in _NUMBERS and (key is Ellipsis or (type(key) is slice and key == _FULL)):
        _core.fill(array, value)
        return
    items, basic = expand(key, array.shape)
    if not basic:
        _scatter(array, items, value)
        return
    offset, shape, strides = walk(items, array.shape)
    if 0 in shape:
        _value_for(array, value, shape)  # a value that does not fit is an error all the same
        return
    if type(value) in _NUMBERS and _contiguous(shape, strides):
        _core.fill(_core.part(array, offset, shape), value)
        return
    source = _value_for(array, value, shape)
    _core.strided_copy(source, 0, _broadcast_strides(source.shape, shape), array, offset, strides, shape)


# ---- keys -----------------------------------------------------------------------------------------------------------


def expand(key: Any, shape: tuple[int, ...]) -> tuple[Items, bool]:
    """One item per axis of `shape` (and per None), arrays as NumPy arrays; and whether the key is basic."""
    if type(key) is tuple and len(key) <= len(shape) and all(type(k) is int or type(k) is slice for k in key):
        return [*key, *[_FULL] * (len(shape) - len(key))], True
    items = [_item(k) for k in (key if isinstance(key, tuple) else (key,))]
    used = sum(_axes_of(item) for item in items)
    if used > len(shape):
        raise IndexError(f"too many indices ({used}) for array with {len(shape)} dimensions")
    ellipses = sum(item is Ellipsis for item in items)
    if ellipses > 1:
        raise IndexError("an index can have only one Ellipsis")
    if not ellipses:
        items.append(Ellipsis)
    at = next(i for i, item in enumerate(items) if item is Ellipsis)
    items[at : at + 1] = [_FULL] * (len(shape) - used)
    return items, not any(isinstance(item, np.ndarray) for item in items)


def _item(item: Any) -> Any:
    if item is None or item is Ellipsis or type(item) in (int, slice):
        return item
    if isinstance(item, slice):
        return item
    if isinstance(item, _core.Array):
        values = item.asnumpy()
        item = values if values.dtype.kind == "b" else values.astype(np.int64)
    elif isinstance(item, (list, tuple, range)):
        item = np.asarray(item if len(item) else np.zeros(0, np.int64))
        if item.dtype == object:
            raise IndexError("a list in an index must have the same length along each axis")
    if isinstance(item, (np.ndarray, np.bool_, bool)):
        item = np.asarray(item)
        if item.dtype.kind not in "biu":
            raise IndexError(f"an array used as an index must have an integer or bool dtype, got {item.dtype}")
        if item.ndim == 0 and item.dtype.kind != "b":
            return int(item)
        return item
    if isinstance(item, (int, np.integer)):
        return int(item)
    raise ValueError(f"NDArray does not support slicing with key {item!r} of type {type(item)}.")


def _axes_of(item: Any) -> int:
    if item is None or item is Ellipsis:
        return 0
    if isinstance(item, np.ndarray) and item.dtype.kind == "b":
        return item.ndim
    return 1


def indexing_key_expand_implicit_axes(key: Any, shape: tuple[int, ...]) -> tuple:
    """The key with Ellipsis and missing trailing axes written out."""
    return tuple(expand(key, shape)[0])


# ---- basic keys -----------------------------------------------------------------------------------------------------


def walk(items: Items, shape: tuple[int, ...]) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
    """Offset, shape and strides, in elements, of what a basic key selects."""
    steps = _strides(shape)
    offset, axis = 0, 0
    lengths: list[int] = []
    strides: list[int] = []
    for item in items:
        if item is None:
            lengths.append(1)
            strides.append(0)
            continue
        n, step = shape[axis], steps[axis]
        if type(item) is int:
            if not -n <= item < n:
                raise IndexError(f"index {item} is out of bounds for axis {axis} with size {n}")
            offset += (item % n) * step
        else:
            start, stop, stride = item.indices(n)
            lengths.append(len(range(start, stop, stride)))
            strides.append(stride * step)
            if lengths[-1]:
                offset += start * step
        axis += 1
    if 0 in lengths:
        offset = 0
    return offset, tuple(lengths), tuple(strides)


def _strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    strides, step = [], 1
    for n in reversed(shape):
        strides.append(step)
        step *= n
    return tuple(reversed(strides))


def _contiguous(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    step = 1
    for n, stride in zip(reversed(shape), reversed(strides), strict=True):
        if n == 0:
            return True
        if n > 1 and stride != step:
            return False
        step *= n
    return True


def _broadcast_strides(shape: tuple[int, ...], target: tuple[int, ...]) -> tuple[int, ...]:
    """Strides that repeat an array of `shape` over `target`; leading axes of one may be too many."""
    own = [s if n > 1 else 0 for n, s in zip(shape, _strides(shape), strict=True)]
    extra = len(target) - len(own)
    return (0,) * extra + tuple(own) if extra >= 0 else tuple(own[-extra:])


def _value_for(array: NDArray, value: Any, shape: tuple[int, ...]) -> NDArray:
    """`value` as an array of the dtype and on the device of `array`, of a shape that repeats over `shape`."""
    if isinstance(value, _core.Array):
        if value.dtype_name != array.dtype_name:
            value = value.astype(array.dtype)
        if value.context.key != array.context.key:
            value = value.as_in_context(array.context)
        elif _core.overlaps(value, array):
            value = value.copy()
    else:
        host = np.ascontiguousarray(host_value(value, array.dtype_name)).reshape(np.shape(value))
        value = wrap(host, array.context) if array.context.key[0] == "cpu" else upload(host, array.context)
    given = value.shape[max(0, value.ndim - len(shape)) :]
    fits = all(n in (1, m) for n, m in zip(reversed(given), reversed(shape), strict=False))
    if not fits or any(n != 1 for n in value.shape[: value.ndim - len(given)]):
        raise ValueError(f"could not broadcast the assigned value of shape {value.shape} into shape {shape}")
    return value


# ---- keys with arrays -----------------------------------------------------------------------------------------------


def rows_of(items: Items, shape: tuple[int, ...]) -> tuple[np.ndarray, tuple[int, ...], tuple[int, ...]]:
    """(numbers of the selected rows, lengths of the axes that the rows count, shape of one row).

    The trailing axes that the key leaves whole make up a row.
    """
    items = list(items)
    while items and isinstance(items[-1], slice) and items[-1] == _FULL:
        items.pop()
    count = sum(_axes_of(item) for item in items)
    lead, row = shape[:count], shape[count:]
    if len(items) == 1 and items[0].dtype.kind != "b":
        return _checked(items[0], lead[0]), lead, row
    total = 0
    for axis, (n, step) in enumerate(zip(lead, _strides(lead), strict=True)):
        along = (np.arange(n) * step).reshape([n if d == axis else 1 for d in range(count)])
        total = total + np.broadcast_to(along, lead)[tuple(items)]
    if count == 0:
        total = np.zeros((), np.int64)[tuple(items)]
    return np.asarray(total, np.int64), lead, row


def _checked(indices: np.ndarray, n: int) -> np.ndarray:
    indices = indices.astype(np.int64)
    wrong = (indices < -n) | (indices >= n)
    if wrong.any():
        raise IndexError(f"index {indices[wrong][0]} is out of bounds for axis 0 with size {n}")
    return np.where(indices < 0, indices + n, indices)


def _product(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape, dtype=np.int64))


def _gather(array: NDArray, items: Items, recorded: bool) -> NDArray:
    rows, lead, row = rows_of(items, array.shape)
    shape = (rows.shape + row) or (1,)
    count, inner = _product(lead), _product(row)
    if rows.size == 0 or inner == 0:
        return _core.empty(shape, array.dtype_name, array.context, array.context.device)
    numbers = upload(rows.reshape(-1), array.context)
    if recorded:
        table = array.reshape((count, inner))
        return invoke("take", [table, numbers], {"axis": 0, "mode": "clip"}).reshape(shape)
    result = _core.empty(shape, array.dtype_name, array.context, array.context.device)
    args = {"outer": 1, "axis": count, "inner": inner, "count": rows.size, "mode": 0}
    _core.launch(f"gather.{ITEM_SIZES[array.dtype_name]}", args, [array, numbers, result])
    return result


def _scatter(array: NDArray, items: Items, value: Any) -> None:
    rows, lead, row = rows_of(items, array.shape)
    shape = rows.shape + row
    source = _value_for(array, value, shape)
    if rows.size == 0 or 0 in row:
        return
    if source.shape != shape:
        repeated = _core.empty(shape, array.dtype_name, array.context, array.context.device)
        _core.strided_copy(source, 0, _broadcast_strides(source.shape, shape), repeated, 0, _strides(shape), shape)
        source = repeated
    args = {"dims": [_product(lead)], "count": rows.size, "inner": _product(row), "keep": 1}
    numbers = upload(rows.reshape(-1), array.context)
    _core.launch(f"scatter_nd.{ITEM_SIZES[array.dtype_name]}", args, [source, numbers, array])


# ---- while recording ------------------------------------------------------------------------------------------------


def _bounds(items: Items, shape: tuple[int, ...]) -> dict[str, tuple]:
    """A basic key as begin, end and step of every axis."""
    begin, end, step = [], [], []
    axis = 0
    for item in items:
        if item is None:
            continue
        n = shape[axis]
        start, stop, stride = (item % n, item % n + 1, 1) if type(item) is int else item.indices(n)
        begin.append(start)
        end.append(None if stop < 0 else stop)
        step.append(stride)
        axis += 1
    return {"begin": tuple(begin), "end": tuple(end), "step": tuple(step)}


def _recorded_slice(array: NDArray, items: Items, shape: tuple[int, ...]) -> NDArray:
    result = array
    if any(item is not None and item != _FULL for item in items):
        result = invoke("slice", [array], _bounds(items, array.shape))
    return result if result.shape == shape and result is not array else result.reshape(shape)


def _recorded_put(array: NDArray, items: Items, basic: bool, value: NDArray) -> None:
    if value.dtype_name != array.dtype_name:
        value = value.astype(array.dtype)
    if value.context != array.context:
        value = value.as_in_context(array.context)
    if basic:
        _, shape, _ = walk(items, array.shape)
        region = tuple(1 if type(item) is int else n for item, n in zip(*_region(items, shape), strict=True))
        value = _spread(value, shape).reshape(region)
        invoke("_slice_assign", [array, value], _bounds(items, array.shape), out=array)
        return
    rows, lead, row = rows_of(items, array.shape)
    count, inner = _product(lead), _product(row)
    value = _spread(value, rows.shape + row).reshape((rows.size, inner))
    numbers = upload(rows.reshape(1, -1), array.context)
    table = array.reshape((count, inner))
    invoke("_scatter_set_nd", [table, value, numbers], {"shape": (count, inner)}, out=table)
    array.entry = table.reshape(array.shape).entry


def _region(items: Items, shape: tuple[int, ...]) -> tuple[list, list[int]]:
    """The items that consume an axis, and how much of it each selects."""
    kept, lengths, out = [], [], 0
    for item in items:
        if item is not None:
            kept.append(item)
            lengths.append(1 if type(item) is int else shape[out])
        out += type(item) is not int
    return kept, lengths


def _spread(value: NDArray, shape: tuple[int, ...]) -> NDArray:
    """`value` repeated over `shape`."""
    extra = value.ndim - len(shape)
    if extra > 0:
        value = value.reshape(value.shape[extra:])
    elif extra < 0:
        value = value.reshape((1,) * -extra + value.shape)
    return value if value.shape == shape else invoke("broadcast_to", [value], {"shape": shape})
