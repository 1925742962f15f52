"""Operators that put the elements along an axis into order, or find the first few of that order.

Equal elements stay in the order they came in. NaN counts as the largest of all numbers.
"""

from __future__ import annotations

from typing import Any

from ..base import ITEM_SIZES, ShapeError
from ..graph import Value
from ..op import Op, normalize_axis, product, share_dtype
from ..params import Bool, DType, Enum, Int
from ..strided import around
from .elemwise import F
from .index import MODES, item

MOST = 2**31 - 1  # elements of a row that the kernels can number
EXACT = {"float16": 2**11, "bfloat16": 2**8, "float32": 2**24, "float64": 2**53, "uint8": 255, "int8": 127}
SHARED = 1 << 16  # rows from here on are shared by the threads, as in csrc/cpu/sort.cpp
BUCKETS = 2048
GPU_CHUNK = 1024


class Order(Op):
    """The first k elements of the order of each row (along the last axis), their positions, or both."""

    name = "_order"
    k = Int(min=1, doc="how many")
    is_ascend = Bool(False, doc="whether the smallest come first, not the largest")
    ret_typ = Enum(("both", "value", "indices"), "both", doc="what the outputs are")

    def output_names(self, p):
        return ("output0", "output1") if p.ret_typ == "both" else ("output",)

    def output_shapes(self, p, ins):
        shape = ins[0]
        if not shape or p.k > shape[-1]:
            raise ShapeError(f"k = {p.k} is more than there are elements along the axis")
        if shape[-1] > MOST:
            raise ShapeError(f"more than {MOST} elements along an axis cannot be put in order")
        return [(*shape[:-1], p.k)] * len(self.output_names(p))

    def infer_types(self, p, ins, outs):
        if p.ret_typ != "indices":
            values = outs[:1]
            share_dtype(ins, values)
            outs[:1] = values
        if p.ret_typ != "value":
            outs[-1] = "int64"

    def gradient(self, p, node, grads):
        if p.ret_typ == "indices" or grads[0] is None:
            return [None]
        (data,) = node.inputs
        if p.ret_typ == "both":
            indices = node.outputs[1]
        else:
            indices = F._order(data, k=p.k, is_ascend=p.is_ascend, ret_typ="indices")
        return [F._place_along(grads[0], indices, size=data.shape[-1], axis=data.ndim - 1)]

    def lower(self, p, node, emit):
        (data,) = node.inputs
        n = data.shape[-1]
        rows = product(data.shape[:-1])
        size = 2 * max(4, ITEM_SIZES[data.dtype])
        padded = 1 << max(n - 1, 0).bit_length()
        if emit.device[0] == "cpu":
            lanes = emit.threads if n < SHARED or rows >= emit.threads else 1
            scratch = 2 * n * size * lanes + (4 * BUCKETS * emit.threads if lanes == 1 else 0)
        else:
            lanes = 1
            scratch = 2 * rows * max(padded, GPU_CHUNK) * size
        args = {
            **{"rows": rows, "n": n, "k": p.k, "descending": int(not p.is_ascend)},
            **{"values": int(p.ret_typ != "indices"), "indices": int(p.ret_typ != "value")},
            **{"lanes": lanes, "padded": padded},
        }
        emit("order", data.dtype, args, [data], node.outputs, scratch=scratch)


class PickAlong(Op):
    """Along an axis the elements that `indices` names: as many as it has, at each position of the other axes."""

    name = "_pick_along"
    inputs = ("data", "indices")
    axis = Int(min=0, doc="the axis that indices count along")

    def output_shapes(self, p, ins):
        return [ins[1]]

    def infer_types(self, p, ins, outs):
        share_dtype(ins, outs)

    def gradient(self, p, node, grads):
        data, indices = node.inputs
        return [F._place_along(grads[0], indices, size=data.shape[p.axis], axis=p.axis), None]

    def lower(self, p, node, emit):
        data, indices = node.inputs
        outer, axis, inner = around(data.shape, p.axis)
        count = indices.shape[p.axis]
        args = {"outer": outer, "axis": axis, "count": count, "inner": inner, "mode": MODES["clip"]}
        emit("pick", item(data), args, [data, emit.cast(indices, "int64")], node.outputs)


class PlaceAlong(Op):
    """Zeros, with each of `values` where `indices` says along an axis of `size`: all different at each position."""

    name = "_place_along"
    inputs = ("values", "indices")
    size = Int(min=1, doc="size of the output along the axis")
    axis = Int(min=0, doc="the axis that indices count along")

    def output_shapes(self, p, ins):
        return [(*ins[0][: p.axis], p.size, *ins[0][p.axis + 1 :])]

    def infer_types(self, p, ins, outs):
        share_dtype(ins, outs)

    def gradient(self, p, node, grads):
        return [F._pick_along(grads[0], node.inputs[1], axis=p.axis), None]

    def lower(self, p, node, emit):
        values, indices = node.inputs
        outer, axis, inner = around(node.outputs[0].shape, p.axis)
        count = indices.shape[p.axis]
        args = {"outer": outer, "axis": axis, "count": count, "inner": inner, "mode": MODES["clip"], "keep": 0}
        emit("place", item(values), args, [values, emit.cast(indices, "int64")], node.outputs)


# ---- what MXNet calls it -------------------------------------------------------------------------------------------------


def rows_of(data: Value, axis: int | None) -> Value:
    """The array with the axis last, or flattened."""
    if axis is None:
        return F.Reshape(data, shape=(-1,))
    return data if normalize_axis(axis, data.ndim) == data.ndim - 1 else F.SwapAxis(data, dim1=axis, dim2=data.ndim - 1)


def back(rows: Value, axis: int | None) -> Value:
    """What `rows_of` did, undone."""
    if axis is None or normalize_axis(axis, rows.ndim) == rows.ndim - 1:
        return rows
    return F.SwapAxis(rows, dim1=axis, dim2=rows.ndim - 1)


class _Ordering(Op, abstract=True):
    """What `k(p)`, `ret_typ(p)` and `dtype(p)` say of the order along the axis `axis` (None: of the flattened array)."""

    partial_shapes = True

    def ret_typ(self, p: Any) -> str:
        return p.ret_typ

    def dtype_of(self, p: Any) -> str:
        return p.dtype

    def k_of(self, p: Any, n: int) -> int:
        return n

    def length(self, p: Any, shape: tuple[int, ...]) -> int:
        if p.axis is not None:
            return shape[normalize_axis(p.axis, len(shape))]
        return -1 if -1 in shape else product(shape)

    def output_names(self, p):
        return ("output0", "output1") if self.ret_typ(p) in ("value", "both") else ("output",)

    def visible(self, p):
        return 2 if self.ret_typ(p) == "both" else 1

    def output_shapes(self, p, ins):
        (shape,) = ins
        n, dtype = self.length(p, shape), self.dtype_of(p)
        if self.ret_typ(p) in ("indices", "both") and n > EXACT.get(dtype, n):
            raise ShapeError(f"{dtype} cannot hold the positions of {n} elements: dtype must be a wider one")
        if self.ret_typ(p) == "mask":
            return [shape]
        k = self.k_of(p, n)
        if p.axis is None:
            return [(k,)] * len(self.output_names(p))
        axis = normalize_axis(p.axis, len(shape))
        return [(*shape[:axis], k, *shape[axis + 1 :])] * len(self.output_names(p))

    def infer_types(self, p, ins, outs):
        if self.ret_typ(p) != "indices":
            values = outs[:1]
            share_dtype(ins, values)
            outs[:1] = values
        if self.ret_typ(p) != "mask":
            outs[-1] = self.dtype_of(p)

    def expand(self, p, node, train):
        (data,) = node.inputs
        n = self.length(p, data.shape)
        rows = rows_of(data, p.axis)
        dtype, ret_typ = self.dtype_of(p), self.ret_typ(p)

        def ordered(ret_typ: str) -> Value:
            return F._order(rows, k=self.k_of(p, n), is_ascend=p.is_ascend, ret_typ=ret_typ)

        if ret_typ == "indices":
            return [back(F.Cast(ordered("indices"), dtype=dtype), p.axis)]
        if ret_typ == "mask":
            indices = ordered("indices")
            ones = F.Cast(F.ones_like(indices), dtype=data.dtype)
            mask = F._place_along(ones, indices, size=n, axis=rows.ndim - 1)
            return [F.Reshape(mask, shape=data.shape) if p.axis is None else back(mask, p.axis)]
        if ret_typ == "value":  # nobody can see the other output, so it need not be computed
            values = ordered("both" if train else "value").node.outputs[0]
            return [back(values, p.axis), F._zeros(shape=node.outputs[1].shape, dtype=dtype)]
        values, indices = ordered("both").node.outputs
        return [back(values, p.axis), back(F.Cast(indices, dtype=dtype), p.axis)]


class TopK(_Ordering):
    """The k largest elements along an axis (with is_ascend: the smallest), in order: where they are, what they are, both, or
    a mask with 1 where they are."""

    name = "topk"
    axis = Int(-1, optional=True, doc="the axis to search along; None searches the flattened array")
    k = Int(1, min=0, doc="how many; 0 for all")
    ret_typ_ = Enum(("value", "indices", "mask", "both"), "indices", doc="what the outputs are")
    is_ascend = Bool(False, doc="whether the smallest are wanted, not the largest")
    dtype = DType("float32", doc="dtype of the positions")

    def k_of(self, p, n):
        if n >= 0 and p.k > n:
            raise ShapeError(f"k = {p.k} is more than the {n} elements there are along axis {p.axis}")
        return p.k or n


class Sort(_Ordering):
    """The elements along an axis in order."""

    name = "sort"
    axis = Int(-1, optional=True, doc="the axis to sort along; None sorts the flattened array")
    is_ascend = Bool(True, doc="whether the smallest come first")

    def ret_typ(self, p):
        return "value"

    def dtype_of(self, p):
        return "uint8"  # of an output that nobody can see


class ArgSort(_Ordering):
    """The positions that put the elements along an axis in order."""

    name = "argsort"
    axis = Int(-1, optional=True, doc="the axis to sort along; None sorts the flattened array")
    is_ascend = Bool(True, doc="whether the smallest come first")
    dtype = DType("float32", doc="dtype of the positions")

    def ret_typ(self, p):
        return "indices"
