"""Operators that cut arrays apart or write into a part of them."""

from ..base import ShapeError
from ..graph import apply, apply_op
from ..op import LAST_AXES, Op, normalize_axis, share_dtype, unify
from ..params import Bool, Float, Int, Shape
from ..strided import Strided, Walk, around, contiguous, copy, put, take

# ---- the two general forms, which gradients are made of ------------------------------------------------------------------


class StridedRead(Strided):
    """What a walk with strides meets in the input."""

    name = "_strided_read"
    sizes = Shape(doc="shape of the output")
    strides = Shape(doc="step in the input for each dimension of the output, in elements")
    offset = Int(0, doc="where the walk starts, in elements")

    def output_shapes(self, p, ins):
        return [p.sizes]

    def gradient(self, p, node, grads):
        shape = node.inputs[0].shape
        return [apply("_strided_write", grads, shape=shape, strides=p.strides, offset=p.offset)]

    def walk(self, p, shape):
        return Walk(p.sizes, p.strides, p.offset)


class StridedWrite(Op):
    """Zeros of a shape, with the input written to the places that a walk with strides meets. No place is met twice."""

    name = "_strided_write"
    shape = Shape(doc="shape of the output")
    strides = Shape(doc="step in the output for each dimension of the input, in elements")
    offset = Int(0, doc="where the walk starts, in elements")

    def output_shapes(self, p, ins):
        return [p.shape]

    def gradient(self, p, node, grads):
        sizes = node.inputs[0].shape
        return [apply("_strided_read", grads, sizes=sizes, strides=p.strides, offset=p.offset)]

    def lower(self, p, node, emit):
        source, out = node.inputs[0], node.outputs[0]
        emit.fill(out, 0)
        put(emit, source, out, Walk(source.shape, p.strides, p.offset))


def written(value, shape, walk):
    """Zeros with `value` along a walk."""
    return apply("_strided_write", [value], shape=shape, strides=walk.strides, offset=walk.offset)


# ---- slices --------------------------------------------------------------------------------------------------------------


def cut(shape, begin, end, step):
    """The walk of a slice, with Python's rules for what is negative, missing or past the end."""
    if not (len(begin) == len(end) and len(step) in (0, len(begin))):
        raise ShapeError(f"begin={begin}, end={end} and step={step} must have equally many elements")
    if len(begin) > len(shape):
        raise ShapeError(f"begin={begin} has more elements than data has dimensions")
    if 0 in step:
        raise ShapeError(f"step={step} must not be 0")
    steps = step or (None,) * len(begin)
    sizes, strides, offset = [], [], 0
    for d, (size, stride) in enumerate(zip(shape, contiguous(shape), strict=True)):
        start, stop, by = 0, size, 1
        if d < len(begin):
            start, stop, by = slice(begin[d], end[d], steps[d]).indices(size)
        sizes.append(len(range(start, stop, by)))
        strides.append(stride * by)
        offset += start * stride
    return Walk(tuple(sizes), tuple(strides), offset)


def cut_shape(shape, begin, end, step):
    """The shape of a slice of a shape that may have unknown dimensions."""
    sizes = cut(tuple(max(d, 0) for d in shape), begin, end, step).shape
    return tuple(n if d >= 0 else -1 for n, d in zip(sizes, shape, strict=True))


BEGIN = Shape(doc="first index for each of the leading axes", none=True)
END = Shape(doc="index after the last, for each of the leading axes", none=True)
STEP = Shape((), doc="distance of two indices; 1 by default, negative to go backwards", none=True)


class Slice(Strided):
    """A part of an array: from begin to end by step along each axis, with Python's rules; None means from or to the edge."""

    name = "slice"
    aliases = ("crop",)
    partial_shapes = True
    begin, end, step = BEGIN, END, STEP

    def output_shapes(self, p, ins):
        return [cut_shape(ins[0], p.begin, p.end, p.step)]

    def gradient(self, p, node, grads):
        return [written(grads[0], node.inputs[0].shape, self.walk(p, node.inputs[0].shape))]

    def walk(self, p, shape):
        return cut(shape, p.begin, p.end, p.step)


class SliceAxis(Op):
    """A part of an array along one axis."""

    name = "slice_axis"
    partial_shapes = True
    axis = Int(doc="the axis to cut; negative numbers count from the end")
    begin = Int(doc="first index; negative numbers count from the end")
    end = Int(None, doc="index after the last; None means to the edge")

    def corners(self, p, ndim):
        before = (None,) * normalize_axis(p.axis, ndim)
        return (*before, p.begin), (*before, p.end)

    def output_shapes(self, p, ins):
        begin, end = self.corners(p, len(ins[0]))
        size = ins[0][len(begin) - 1]
        if size >= 0:
            first, last = (n if n >= 0 else n + size for n in (p.begin, size if p.end is None else p.end))
            if not 0 <= first < last <= size:
                raise ShapeError(f"begin={p.begin}, end={p.end} is no part of axis {p.axis}, which has size {size}")
        return [cut_shape(ins[0], begin, end, ())]

    def expand(self, p, node, train):
        begin, end = self.corners(p, node.inputs[0].ndim)
        return [apply("slice", node.inputs, begin=begin, end=end)]


class SliceLike(Op):
    """The leading part of the first input that has the size of the second, along `axes` or all axes."""

    name = "slice_like"
    inputs = ("data", "shape_like")
    axes = Shape((), doc="axes to cut; all by default")

    def output_shapes(self, p, ins):
        data, like = ins
        if not p.axes and len(data) != len(like):
            raise ShapeError("data and shape_like must have equally many dimensions unless axes are given")
        shape = list(data)
        for axis in p.axes or range(len(data)):
            axis = normalize_axis(axis, len(data), "axes:")
            if axis >= len(like) or like[axis] > data[axis]:
                raise ShapeError(f"data is smaller than shape_like along axis {axis}")
            shape[axis] = like[axis]
        return [tuple(shape)]

    def infer_types(self, p, ins, outs):
        share_dtype(ins, outs)

    def expand(self, p, node, train):
        shape = node.outputs[0].shape
        return [apply("slice", node.inputs[:1], begin=(0,) * len(shape), end=shape)]


class Crop(Op):
    """Cuts height and width of (N, C, H, W) to `h_w`, or to those of a second input `crop_like`."""

    count = "num_args"
    num_args = Int(doc="1, or 2 with crop_like", min=1, max=2)
    offset = Shape((0, 0), doc="first row and column that are kept", min=0)
    h_w = Shape((0, 0), doc="height and width without a second input", min=0)
    center_crop = Bool(False, doc="keep the middle instead of starting at offset")

    def input_names(self, p):
        return ("data", "crop_like")[: p.num_args]

    def corners(self, p, ins):
        """The first and last (exclusive) row and column."""
        if any(len(s) != 4 for s in ins):
            raise ShapeError("inputs must have 4 dimensions")
        if not len(p.offset) == len(p.h_w) == 2:
            raise ShapeError(f"offset={p.offset} and h_w={p.h_w} must have two elements")
        whole, size = ins[0][2:], ins[1][2:] if len(ins) == 2 else p.h_w
        begin = tuple((n - k) // 2 for n, k in zip(whole, size, strict=True)) if p.center_crop else p.offset
        end = tuple(b + k for b, k in zip(begin, size, strict=True))
        if min(begin) < 0 or min(size) < 1 or any(e > n for e, n in zip(end, whole, strict=True)):
            raise ShapeError(f"rows and columns {begin} to {end} are not inside of {whole}")
        return begin, end

    def output_shapes(self, p, ins):
        begin, end = self.corners(p, ins)
        return [(*ins[0][:2], end[0] - begin[0], end[1] - begin[1])]

    def infer_types(self, p, ins, outs):
        share_dtype(ins, outs)

    def expand(self, p, node, train):
        begin, end = self.corners(p, [v.shape for v in node.inputs])
        return [apply("slice", node.inputs[:1], begin=(None, None, *begin), end=(None, None, *end))]


class SliceAssign(Op):
    """`lhs` with the slice from begin to end by step replaced by `rhs`."""

    name = "_slice_assign"
    aliases = ("_crop_assign",)
    inputs = ("lhs", "rhs")
    begin, end, step = BEGIN, END, STEP

    def output_shapes(self, p, ins):
        sizes = cut(ins[0], p.begin, p.end, p.step).shape
        if ins[1] != sizes:
            raise ShapeError(f"rhs must have the shape of the slice, {sizes}")
        return [ins[0]]

    def gradient(self, p, node, grads):
        part = {"begin": p.begin, "end": p.end, "step": p.step}
        return [apply("_slice_assign_scalar", grads, scalar=0, **part), apply("slice", grads, **part)]

    def lower(self, p, node, emit):
        (lhs, rhs), out = node.inputs, node.outputs[0]
        emit.copy(lhs, out)
        put(emit, rhs, out, cut(lhs.shape, p.begin, p.end, p.step))


class SliceAssignScalar(Op):
    """`data` with every element of the slice from begin to end by step replaced by a number."""

    name = "_slice_assign_scalar"
    aliases = ("_crop_assign_scalar",)
    scalar = Float(0, doc="the number")
    begin, end, step = BEGIN, END, STEP

    def output_shapes(self, p, ins):
        cut(ins[0], p.begin, p.end, p.step)
        return [ins[0]]

    def gradient(self, p, node, grads):
        return [apply("_slice_assign_scalar", grads, scalar=0, begin=p.begin, end=p.end, step=p.step)]

    def lower(self, p, node, emit):
        source, out = node.inputs[0], node.outputs[0]
        walk = cut(source.shape, p.begin, p.end, p.step)
        number = emit.temp((1,), source.dtype)
        emit.copy(source, out)
        emit.fill(number, p.scalar)
        copy(emit, number, Walk(walk.shape, (0,) * len(walk.shape)), out, walk)


# ---- splitting -----------------------------------------------------------------------------------------------------------


AXIS = Int(1, doc="the axis to cut; negative numbers count from the end")
SQUEEZE_AXIS = Bool(False, doc="remove the axis from the outputs, which must have size 1 along it")


class Split(Op, abstract=True):
    """Base of operators that cut one axis into pieces."""

    def bounds(self, p, size):
        """Where each piece begins, and the size at the end."""
        raise NotImplementedError(f"{self.name}: bounds")

    def pieces(self, p):
        """How many pieces there are."""
        raise NotImplementedError(f"{self.name}: pieces")

    def output_names(self, p):
        count = self.pieces(p)
        return ("output",) if count == 1 else tuple(f"output{i}" for i in range(count))

    def output_shapes(self, p, ins):
        axis = normalize_axis(p.axis, len(ins[0]))
        bounds = self.bounds(p, ins[0][axis])
        shapes = []
        for first, last in zip(bounds, bounds[1:], strict=False):
            if last < first:
                raise ShapeError(f"piece from {first} to {last} of axis {axis}, which has size {ins[0][axis]}")
            if p.squeeze_axis and last - first != 1:
                raise ShapeError(f"squeeze_axis needs pieces of size 1, and one has size {last - first}")
            middle = () if p.squeeze_axis else (last - first,)
            shapes.append((*ins[0][:axis], *middle, *ins[0][axis + 1 :]) or (1,))
        return shapes

    def gradient(self, p, node, grads):
        shape = node.inputs[0].shape
        axis = normalize_axis(p.axis, len(shape))
        bounds = self.bounds(p, shape[axis])
        parts = [
            apply("zeros_like", [out]) if grad is None else grad for grad, out in zip(grads, node.outputs, strict=True)
        ]
        if p.squeeze_axis:
            parts = [apply("Reshape", [g], shape=(*shape[:axis], 1, *shape[axis + 1 :])) for g in parts]
        whole = apply("Concat", parts, dim=axis)
        if bounds[0] == 0 and bounds[-1] == shape[axis]:
            return [whole]
        walk = Walk(whole.shape, contiguous(shape), bounds[0] * around(shape, axis)[2])
        return [written(whole, shape, walk)]

    def channels_last(self, p, node, moved, plain):
        if node.inputs[0].ndim != 4 or p.squeeze_axis:
            return None
        moved_p = p._replace(axis=LAST_AXES[normalize_axis(p.axis, 4)])
        return list(apply_op(self, [moved(node.inputs[0])], moved_p).outputs)

    def lower(self, p, node, emit):
        source = node.inputs[0]
        outer, size, inner = around(source.shape, normalize_axis(p.axis, source.ndim))
        bounds = self.bounds(p, size)
        for out, first, last in zip(node.outputs, bounds, bounds[1:], strict=False):
            take(emit, source, out, Walk((outer, (last - first) * inner), (size * inner, 1), first * inner))


def equal_pieces(size, count):
    """Where each of so many pieces begins, and the size at the end."""
    if size % count:
        raise ShapeError(f"an axis of size {size} cannot be cut into {count} equal pieces")
    return [i * (size // count) for i in range(count + 1)]


class SliceChannel(Split):
    """Cuts an axis into equal pieces."""

    aliases = ("split",)
    num_outputs = Int(min=1, doc="number of pieces")
    axis = AXIS
    squeeze_axis = SQUEEZE_AXIS

    def pieces(self, p):
        return p.num_outputs

    def bounds(self, p, size):
        return equal_pieces(size, p.num_outputs)

    def complete_shapes(self, p, ins, outs):
        common = None
        for shape in outs:
            common = unify(common, shape, "output shapes")
        outs[:] = [common] * len(outs)
        if common is None:
            return
        axis = normalize_axis(p.axis, len(common) + p.squeeze_axis)
        size = 1 if p.squeeze_axis else common[axis]
        whole = size * p.num_outputs if size >= 0 else -1
        ins[0] = unify(ins[0], (*common[:axis], whole, *common[axis + (not p.squeeze_axis) :]))


class SplitV2(Split):
    """Cuts an axis at given places, or into a number of equal pieces."""

    name = "_split_v2"
    indices = Shape(doc="where each piece begins; the last one ends at the edge", min=0)
    axis = AXIS
    squeeze_axis = SQUEEZE_AXIS
    sections = Int(0, doc="number of equal pieces, instead of indices; 0 means indices", min=0)

    def pieces(self, p):
        return p.sections or len(p.indices)

    def bounds(self, p, size):
        return equal_pieces(size, p.sections) if p.sections else [*(min(i, size) for i in p.indices), size]
