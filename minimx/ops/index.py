"""Operators that are told by numbers in an array where to read or write. Numbers of any dtype are truncated to integers."""

from ..base import ITEM_SIZES, ShapeError, bits
from ..graph import apply
from ..op import Op, known, normalize_axis, product, same_shape, share_dtype, unify
from ..params import Bool, DType, Enum, Float, Int, Shape
from ..strided import around

MODES = {"clip": 0, "wrap": 1}


def item(value):
    """The name under which kernels that only move data know a dtype: its size in bytes."""
    return str(ITEM_SIZES[value.dtype])


# ---- whole rows along an axis --------------------------------------------------------------------------------------------


class Take(Op):
    """Elements (or rows) of `a` along an axis, in the order of `indices`."""

    name = "take"
    inputs = ("a", "indices")
    partial_shapes = True
    axis = Int(0, doc="the axis that indices count along; negative numbers count from the end")
    mode = Enum(["clip", "raise", "wrap"], "clip", doc="an index out of range means the nearest valid one, or wraps")

    def output_shapes(self, p, ins):
        if p.mode == "raise":
            raise ShapeError("mode='raise' is not offered: a running program does not look at values; use clip or wrap")
        data, indices = ins
        axis = normalize_axis(p.axis, len(data))
        if data[axis] == 0 and known(indices) and product(indices):
            raise ShapeError(f"axis {axis} has size 0: there is nothing to take")
        return [(*data[:axis], *indices, *data[axis + 1 :])]

    def infer_types(self, p, ins, outs):
        share_dtype(ins, outs)

    def gradient(self, p, node, grads):
        data, indices = node.inputs
        axis = normalize_axis(p.axis, data.ndim)
        return [apply("_scatter_add", [grads[0], indices], size=data.shape[axis], axis=axis, mode=p.mode), None]

    def lower(self, p, node, emit):
        data, indices = node.inputs
        outer, axis, inner = around(data.shape, normalize_axis(p.axis, data.ndim))
        args = {"outer": outer, "axis": axis, "inner": inner, "count": indices.size, "mode": MODES[p.mode]}
        emit("gather", item(data), args, [data, emit.cast(indices, "int64")], node.outputs)


class ScatterAdd(Op):
    """The gradient of take: zeros, with each row of `values` added where its index says along an axis of `size`."""

    name = "_scatter_add"
    inputs = ("values", "indices")
    size = Int(doc="size of the output along the axis", min=0)
    axis = Int(0, doc="the axis that indices count along", min=0)
    mode = Enum(["clip", "wrap"], "clip", doc="an index out of range means the nearest valid one, or wraps")

    def output_shapes(self, p, ins):
        values, indices = ins
        return [(*values[: p.axis], p.size, *values[p.axis + len(indices) :])]

    def infer_types(self, p, ins, outs):
        share_dtype(ins, outs)

    def gradient(self, p, node, grads):
        return [apply("take", [grads[0], node.inputs[1]], axis=p.axis, mode=p.mode), None]

    def lower(self, p, node, emit):
        values, indices = node.inputs
        outer, axis, inner = around(node.outputs[0].shape, p.axis)
        args = {"outer": outer, "axis": axis, "inner": inner, "count": indices.size, "mode": MODES[p.mode]}
        emit("scatter_add", values.dtype, args, [values, emit.cast(indices, "int64")], node.outputs)


class Embedding(Op):
    """Turns each number of `data` into a row of the weight matrix. Numbers out of range are clipped."""

    aliases = ("_contrib_SparseEmbedding",)
    inputs = ("data", "weight")
    partial_shapes = True
    input_dim = Int(doc="number of rows: numbers in data count from 0 to input_dim - 1", min=1)
    output_dim = Int(doc="length of each row", min=1)
    dtype = DType("float32", doc="dtype of the weight, unless it is known otherwise")
    sparse_grad = Bool(False, doc="accepted for compatibility; gradients are dense")

    def complete_shapes(self, p, ins, outs):
        ins[1] = unify(ins[1], (p.input_dim, p.output_dim), "weight shapes")
        if outs[0] is not None:
            ins[0] = unify(ins[0], outs[0][:-1], "data shapes")

    def output_shapes(self, p, ins):
        return [(*ins[0], p.output_dim)]

    def infer_types(self, p, ins, outs):
        ins[1] = ins[1] or outs[0] or p.dtype
        share_dtype(ins, outs, of=[1])

    def expand(self, p, node, train):
        data, weight = node.inputs
        return [apply("take", [weight, data])]

    def gradient(self, p, node, grads):
        return [None, apply("_scatter_add", [grads[0], node.inputs[0]], size=p.input_dim, axis=0, mode="clip")]


# ---- one index per position ----------------------------------------------------------------------------------------------


class Pick(Op):
    """From each row along an axis the one element that `index` names."""

    name = "pick"
    aliases = ("choose_element_0index",)
    inputs = ("data", "index")
    axis = Int(-1, doc="the axis to pick along; negative numbers count from the end")
    keepdims = Bool(False, doc="keep the axis with size 1")
    mode = Enum(["clip", "wrap"], "clip", doc="an index out of range means the nearest valid one, or wraps")

    def shapes(self, p, shape):
        """The shape without the axis, and with size 1 along it."""
        axis = normalize_axis(p.axis, len(shape))
        if shape[axis] == 0:
            raise ShapeError(f"axis {axis} has size 0: there is nothing to pick")
        return shape[:axis] + shape[axis + 1 :] or (1,), (*shape[:axis], 1, *shape[axis + 1 :])

    def complete_shapes(self, p, ins, outs):
        if ins[0] is not None and ins[1] is None:
            ins[1] = self.shapes(p, ins[0])[p.keepdims]

    def output_shapes(self, p, ins):
        options = self.shapes(p, ins[0])
        if ins[1] not in options:
            raise ShapeError(f"index must have shape {options[0]} or {options[1]}")
        return [options[p.keepdims]]

    def infer_types(self, p, ins, outs):
        share_dtype(ins, outs)

    def gradient(self, p, node, grads):
        data, index = node.inputs
        shape = self.shapes(p, data.shape)[1]
        axis = normalize_axis(p.axis, data.ndim)
        values = apply("Reshape", [grads[0]], shape=shape)
        index = apply("Reshape", [index], shape=shape)
        return [apply("_place", [values, index], size=data.shape[axis], axis=axis, mode=p.mode), None]

    def lower(self, p, node, emit):
        data, index = node.inputs
        outer, axis, inner = around(data.shape, normalize_axis(p.axis, data.ndim))
        args = {"outer": outer, "axis": axis, "count": 1, "inner": inner, "mode": MODES[p.mode]}
        emit("pick", item(data), args, [data, emit.cast(index, "int64")], node.outputs)


class Place(Op):
    """The gradient of pick: zeros, with each of `values` where `index` says along an axis of `size`."""

    name = "_place"
    inputs = ("values", "index")
    size = Int(doc="size of the output along the axis", min=1)
    axis = Int(doc="the axis that index counts along; inputs have size 1 there", min=0)
    mode = Enum(["clip", "wrap"], "clip", doc="an index out of range means the nearest valid one, or wraps")

    def complete_shapes(self, p, ins, outs):
        same_shape(ins, [])

    def output_shapes(self, p, ins):
        return [(*ins[0][: p.axis], p.size, *ins[0][p.axis + 1 :])]

    def infer_types(self, p, ins, outs):
        share_dtype(ins, outs)

    def gradient(self, p, node, grads):
        return [apply("pick", [grads[0], node.inputs[1]], axis=p.axis, keepdims=True, mode=p.mode), None]

    def lower(self, p, node, emit):
        values, index = node.inputs
        outer, axis, inner = around(node.outputs[0].shape, p.axis)
        args = {"outer": outer, "axis": axis, "count": 1, "inner": inner, "mode": MODES[p.mode], "keep": 0}
        emit("place", item(values), args, [values, emit.cast(index, "int64")], node.outputs)


class BatchTake(Op):
    """From each row of a matrix the element that `indices` names."""

    name = "batch_take"
    inputs = ("a", "indices")

    def complete_shapes(self, p, ins, outs):
        if ins[0] is not None:
            ins[1] = unify(ins[1], ins[0][:1], "indices shapes")

    def output_shapes(self, p, ins):
        if len(ins[0]) != 2:
            raise ShapeError("a must be a matrix")
        return [ins[1]]

    def infer_types(self, p, ins, outs):
        share_dtype(ins, outs)

    def expand(self, p, node, train):
        return [apply("pick", node.inputs, axis=1)]


class FillElement0Index(Op):
    """The matrix `lhs` with the element of each row that `rhs` names replaced by that of `mhs`."""

    name = "fill_element_0index"
    inputs = ("lhs", "mhs", "rhs")

    def output_shapes(self, p, ins):
        lhs, mhs, rhs = ins
        if len(lhs) != 2 or mhs != lhs[:1] or rhs != lhs[:1]:
            raise ShapeError("lhs must be a matrix, mhs and rhs vectors with one element per row")
        return [lhs]

    def infer_types(self, p, ins, outs):
        share_dtype(ins, outs, of=[0, 1])

    def gradient(self, p, node, grads):
        index = node.inputs[2]
        nothing = apply("zeros_like", [node.inputs[1]])
        return [
            apply("fill_element_0index", [grads[0], nothing, index]),
            apply("pick", [grads[0], index], axis=1),
            None,
        ]

    def lower(self, p, node, emit):
        (lhs, mhs, rhs), out = node.inputs, node.outputs[0]
        emit.copy(lhs, out)
        args = {"outer": lhs.shape[0], "axis": lhs.shape[1], "count": 1, "inner": 1, "mode": MODES["clip"], "keep": 1}
        emit("place", item(lhs), args, [mhs, emit.cast(rhs, "int64")], [out])


class OneHot(Op):
    """A vector of `depth` for each number: `on_value` at that place, `off_value` elsewhere (and everywhere, out of range)."""

    name = "one_hot"
    inputs = ("indices",)
    partial_shapes = True
    depth = Int(doc="length of the vectors", min=1)
    on_value = Float(1.0, doc="the value at the index")
    off_value = Float(0.0, doc="the value elsewhere")
    dtype = DType("float32", doc="dtype of the output")

    def complete_shapes(self, p, ins, outs):
        if outs[0] is not None:
            same_shape(ins, [outs[0][:-1]])

    def output_shapes(self, p, ins):
        return [(*ins[0], p.depth)]

    def infer_types(self, p, ins, outs):
        outs[0] = p.dtype

    def gradient(self, p, node, grads):
        return [None]

    def lower(self, p, node, emit):
        indices, out = node.inputs[0], node.outputs[0]
        args = {
            "count": indices.size,
            "depth": p.depth,
            "on": bits(p.on_value, out.dtype),
            "off": bits(p.off_value, out.dtype),
        }
        emit("one_hot", item(out), args, [emit.cast(indices, "int64")], [out])


class OneHotEncode(Op):
    """`one_hot` of a vector in the shape of the second array."""

    name = "_onehot_encode"
    inputs = ("lhs", "rhs")

    def output_shapes(self, p, ins):
        indices, shape = ins
        if len(indices) != 1 or len(shape) != 2 or shape[0] != indices[0]:
            raise ShapeError("lhs must be a vector and rhs a matrix with as many rows")
        return [shape]

    def infer_types(self, p, ins, outs):
        share_dtype(ins, outs, of=[1])

    def gradient(self, p, node, grads):
        return [None, None]

    def expand(self, p, node, train):
        indices, out = node.inputs[0], node.outputs[0]
        return [apply("one_hot", [indices], depth=out.shape[1], dtype=out.dtype)]


# ---- several indices at once ---------------------------------------------------------------------------------------------


def nd_args(shape, indices):
    """The kernel arguments for indices (m, ...) into the leading m axes of a shape."""
    m = indices.shape[0]
    return {"dims": list(shape[:m]), "count": product(indices.shape[1:]), "inner": product(shape[m:])}


def check_nd(shape, indices):
    if not indices or indices[0] > len(shape):
        raise ShapeError(f"indices must have shape (m, ...) with m at most the {len(shape)} dimensions of {shape}")
    if 0 in shape[: indices[0]] and product(indices):
        raise ShapeError(f"{shape} has no element that indices could mean")


class GatherNd(Op):
    """Elements (or slices) of `data` at the coordinates that stand in the columns of `indices`."""

    name = "gather_nd"
    inputs = ("data", "indices")

    def output_shapes(self, p, ins):
        data, indices = ins
        check_nd(data, indices)
        return [(*indices[1:], *data[indices[0] :]) or (1,)]

    def infer_types(self, p, ins, outs):
        share_dtype(ins, outs)

    def gradient(self, p, node, grads):
        data, indices = node.inputs
        return [apply("_backward_gather_nd", [grads[0], indices], shape=data.shape), None]

    def lower(self, p, node, emit):
        data, indices = node.inputs
        args = nd_args(data.shape, indices)
        emit("gather_nd", item(data), args, [data, emit.cast(indices, "int64")], node.outputs)


class _Scatter(Op, abstract=True):
    """Base of operators that write `data` to the coordinates in `indices` of an array of zeros."""

    inputs = ("data", "indices")
    shape = Shape(doc="shape of the output", min=0)

    def output_shapes(self, p, ins):
        data, indices = ins
        check_nd(p.shape, indices)
        expected = (*indices[1:], *p.shape[indices[0] :]) or (1,)
        if data != expected:
            raise ShapeError(f"data must have shape {expected}")
        return [p.shape]

    def infer_types(self, p, ins, outs):
        share_dtype(ins, outs)

    def gradient(self, p, node, grads):
        return [apply("gather_nd", [grads[0], node.inputs[1]]), None]


class ScatterNd(_Scatter):
    """Zeros of `shape`, with `data` at the coordinates in `indices`; the last one wins where several meet."""

    name = "scatter_nd"

    def lower(self, p, node, emit):
        data, indices = node.inputs
        args = {**nd_args(p.shape, indices), "keep": 0}
        emit("scatter_nd", item(data), args, [data, emit.cast(indices, "int64")], node.outputs)


class ScatterAddNd(_Scatter):
    """The gradient of gather_nd: like scatter_nd, with the values that meet added up."""

    name = "_backward_gather_nd"

    def lower(self, p, node, emit):
        data, indices = node.inputs
        args = {**nd_args(p.shape, indices), "keep": 0}
        emit("scatter_nd_add", data.dtype, args, [data, emit.cast(indices, "int64")], node.outputs)


class ScatterSetNd(Op):
    """`lhs` with `rhs` written to the coordinates in `indices`: what `x[index] = values` becomes."""

    name = "_scatter_set_nd"
    inputs = ("lhs", "rhs", "indices")
    shape = Shape(doc="shape of lhs", min=0)

    def output_shapes(self, p, ins):
        lhs, rhs, indices = ins
        check_nd(lhs, indices)
        expected = (*indices[1:], *lhs[indices[0] :]) or (1,)
        if lhs != p.shape or rhs != expected:
            raise ShapeError(f"lhs must have shape {p.shape} and rhs {expected}")
        return [lhs]

    def infer_types(self, p, ins, outs):
        share_dtype(ins, outs, of=[0, 1])

    def gradient(self, p, node, grads):
        _, rhs, indices = node.inputs
        nothing = apply("zeros_like", [rhs])
        return [
            apply("_scatter_set_nd", [grads[0], nothing, indices], shape=p.shape),
            apply("gather_nd", [grads[0], indices]),
            None,
        ]

    def lower(self, p, node, emit):
        (lhs, rhs, indices), out = node.inputs, node.outputs[0]
        emit.copy(lhs, out)
        args = {**nd_args(p.shape, indices), "keep": 1}
        emit("scatter_nd", item(lhs), args, [rhs, emit.cast(indices, "int64")], [out])


class IndexCopy(Op):
    """`old_tensor` with the rows that `index_vector` names replaced by those of `new_tensor`."""

    name = "_contrib_index_copy"
    inputs = ("old_tensor", "index_vector", "new_tensor")

    def output_shapes(self, p, ins):
        old, index, new = ins
        if len(index) != 1 or not old or new != (index[0], *old[1:]):
            raise ShapeError("new_tensor must have one row of old_tensor for each element of index_vector")
        return [old]

    def infer_types(self, p, ins, outs):
        share_dtype(ins, outs, of=[0, 2])

    def gradient(self, p, node, grads):
        _, index, new = node.inputs
        nothing = apply("zeros_like", [new])
        return [
            apply("_contrib_index_copy", [grads[0], index, nothing]),
            None,
            apply("take", [grads[0], index], mode="wrap"),
        ]

    def lower(self, p, node, emit):
        (old, index, new), out = node.inputs, node.outputs[0]
        emit.copy(old, out)
        args = {"dims": [old.shape[0]], "count": index.size, "inner": product(old.shape[1:]), "keep": 1}
        emit("scatter_nd", item(old), args, [new, emit.cast(index, "int64")], [out])
