"""Operators that cut arrays apart, join them, repeat, flip and pad them."""

from ..base import ITEM_SIZES, ShapeError
from ..graph import apply, apply_all
from ..op import Op, normalize_axis, product, same_shape, share_dtype, unify
from ..params import Bool, Enum, Float, Int, Shape
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


class Slice(Strided):
    """A part of an array: from begin to end by step along each axis, with Python's rules; None means from or to the edge."""

    name = "slice"
    aliases = ("crop",)
    partial_shapes = True
    begin = Shape(doc="first index for each of the leading axes", none=True)
    end = Shape(doc="index after the last, for each of the leading axes", none=True)
    step = Shape((), doc="distance of two indices; 1 by default, negative to go backwards", none=True)

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


class SliceAssign(Op):
    """`lhs` with the slice from begin to end by step replaced by `rhs`."""

    name = "_slice_assign"
    inputs = ("lhs", "rhs")
    begin = Shape(doc="first index for each of the leading axes", none=True)
    end = Shape(doc="index after the last, for each of the leading axes", none=True)
    step = Shape((), doc="distance of two indices; 1 by default, negative to go backwards", none=True)

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
    scalar = Float(0, doc="the number")
    begin = Shape(doc="first index for each of the leading axes", none=True)
    end = Shape(doc="index after the last, for each of the leading axes", none=True)
    step = Shape((), doc="distance of two indices; 1 by default, negative to go backwards", none=True)

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


# ---- splitting and joining -----------------------------------------------------------------------------------------------


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

    def lower(self, p, node, emit):
        source = node.inputs[0]
        outer, size, inner = around(source.shape, normalize_axis(p.axis, source.ndim))
        bounds = self.bounds(p, size)
        for out, first, last in zip(node.outputs, bounds, bounds[1:], strict=False):
            take(emit, source, out, Walk((outer, (last - first) * inner), (size * inner, 1), first * inner))


class SliceChannel(Split):
    """Cuts an axis into equal pieces."""

    aliases = ("split",)
    num_outputs = Int(min=1, doc="number of pieces")
    axis = AXIS
    squeeze_axis = SQUEEZE_AXIS

    def pieces(self, p):
        return p.num_outputs

    def bounds(self, p, size):
        if size % p.num_outputs:
            raise ShapeError(f"an axis of size {size} cannot be cut into {p.num_outputs} equal pieces")
        return [i * (size // p.num_outputs) for i in range(p.num_outputs + 1)]

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
        if not p.sections:
            return [*(min(i, size) for i in p.indices), size]
        if size % p.sections:
            raise ShapeError(f"an axis of size {size} cannot be cut into {p.sections} equal pieces")
        return [i * (size // p.sections) for i in range(p.sections + 1)]


def join(node, emit, widths, outer, inner):
    """Writes each input into its place of the output: `widths` are their sizes along the joined axis."""
    out = node.outputs[0]
    row = sum(widths) * inner
    start = 0
    for value, width in zip(node.inputs, widths, strict=True):
        part = width * inner
        if not (outer == 1 and moves_in(value, out, start, emit)):
            put(emit, value, out, Walk((outer, part), (row, 1), start))
        start += part


def moves_in(value, out, start, emit):
    """Lets a temporary live inside the output from its birth, which saves the copy. False when it cannot."""
    buffer, whole = emit.buffer(value), emit.buffer(out)
    root, offset = buffer.root()
    if root.bound is not None or offset or root.nbytes != buffer.nbytes or root.device != whole.device:
        return False
    root.parent, root.offset = whole, start * ITEM_SIZES[out.dtype]
    return True


class Concat(Op):
    """Joins arrays along an axis; all other dimensions must agree."""

    aliases = ("concat",)
    count = "num_args"
    partial_shapes = True
    num_args = Int(min=1, doc="number of inputs")
    dim = Int(1, doc="the axis to join; negative numbers count from the end")

    def complete_shapes(self, p, ins, outs):
        shape = next((s for s in [*ins, *outs] if s is not None), None)
        if shape is None:
            return
        axis = normalize_axis(p.dim, len(shape), "dim")
        others = None
        for s in [*ins, *outs]:
            if s is not None:
                if len(s) != len(shape):
                    raise ShapeError("inputs have different numbers of dimensions")
                others = unify(others, (*s[:axis], -1, *s[axis + 1 :]), f"dimensions other than {axis}:")
        widths = [-1 if s is None else s[axis] for s in ins]
        total = -1 if outs[0] is None else outs[0][axis]
        if total >= 0 and widths.count(-1) == 1:
            rest = total - sum(w for w in widths if w >= 0)
            if rest < 0:
                raise ShapeError(f"the inputs are wider along axis {axis} than the output, {total}")
            widths[widths.index(-1)] = rest
        ins[:] = [(*others[:axis], w, *others[axis + 1 :]) for w in widths]

    def output_shapes(self, p, ins):
        axis = normalize_axis(p.dim, len(ins[0]), "dim")
        widths = [s[axis] for s in ins]
        return [(*ins[0][:axis], sum(widths) if min(widths) >= 0 else -1, *ins[0][axis + 1 :])]

    def gradient(self, p, node, grads):
        axis = normalize_axis(p.dim, node.outputs[0].ndim)
        starts = [0]
        for value in node.inputs[:-1]:
            starts.append(starts[-1] + value.shape[axis])
        return apply_all("_split_v2", grads, indices=starts, axis=axis)

    def lower(self, p, node, emit):
        axis = normalize_axis(p.dim, node.outputs[0].ndim)
        outer, _, inner = around(node.outputs[0].shape, axis)
        join(node, emit, [v.shape[axis] for v in node.inputs], outer, inner)


class Stack(Op):
    """Joins arrays of one shape along a new axis."""

    name = "stack"
    count = "num_args"
    partial_shapes = True
    axis = Int(0, doc="where the new axis stands in the output; negative numbers count from the end")
    num_args = Int(min=1, doc="number of inputs")

    def complete_shapes(self, p, ins, outs):
        if outs[0] is not None:
            axis = normalize_axis(p.axis, len(outs[0]))
            ins[0] = unify(ins[0], outs[0][:axis] + outs[0][axis + 1 :], "input shapes")
        same_shape(ins, [])

    def output_shapes(self, p, ins):
        axis = normalize_axis(p.axis, len(ins[0]) + 1)
        return [(*ins[0][:axis], p.num_args, *ins[0][axis:])]

    def gradient(self, p, node, grads):
        return apply_all("SliceChannel", grads, num_outputs=p.num_args, axis=p.axis, squeeze_axis=True)

    def lower(self, p, node, emit):
        out = node.outputs[0]
        outer, _, inner = around(out.shape, normalize_axis(p.axis, out.ndim))
        join(node, emit, [1] * p.num_args, outer, inner)


# ---- repetition and order ------------------------------------------------------------------------------------------------


class Tile(Strided):
    """Repeats the whole array along each axis."""

    name = "tile"
    reps = Shape(doc="how often along each axis; missing leading axes count as 1", min=1)

    def output_shapes(self, p, ins):
        ndim = max(len(ins[0]), len(p.reps))
        shape, reps = (1,) * (ndim - len(ins[0])) + tuple(ins[0]), (1,) * (ndim - len(p.reps)) + p.reps
        return [tuple(d * r for d, r in zip(shape, reps, strict=True))]

    def walk(self, p, shape):
        ndim = max(len(shape), len(p.reps))
        padded, reps = (1,) * (ndim - len(shape)) + tuple(shape), (1,) * (ndim - len(p.reps)) + p.reps
        sizes, strides = [], []
        for size, step, times in zip(padded, contiguous(padded), reps, strict=True):
            sizes += [times, size]
            strides += [0, step]
        return Walk(tuple(sizes), tuple(strides))

    def gradient(self, p, node, grads):
        return [repeats_summed(grads[0], self.walk(p, node.inputs[0].shape), node.inputs[0].shape)]


class Repeat(Strided):
    """Repeats each element along an axis, or of the flattened array."""

    name = "repeat"
    repeats = Int(doc="how often", min=1)
    axis = Int(None, doc="the axis; None flattens the array first")

    def output_shapes(self, p, ins):
        if p.axis is None:
            return [(product(ins[0]) * p.repeats,)]
        axis = normalize_axis(p.axis, len(ins[0]))
        return [(*ins[0][:axis], ins[0][axis] * p.repeats, *ins[0][axis + 1 :])]

    def walk(self, p, shape):
        outer, inner = product(shape), 1
        if p.axis is not None:
            before, size, inner = around(shape, normalize_axis(p.axis, len(shape)))
            outer = before * size
        return Walk((outer, p.repeats, inner), (inner, 0, 1))

    def gradient(self, p, node, grads):
        return [repeats_summed(grads[0], self.walk(p, node.inputs[0].shape), node.inputs[0].shape)]


def repeats_summed(grad, walk, shape):
    """What arrives at each element that a walk meets several times: the sum over the steps that stand still."""
    axes = tuple(i for i, (n, step) in enumerate(zip(walk.shape, walk.strides, strict=True)) if step == 0 and n > 1)
    if axes:
        grad = apply("sum", [apply("Reshape", [grad], shape=walk.shape)], axis=axes)
    return apply("Reshape", [grad], shape=shape)


class Reverse(Strided):
    """Turns the order along the axes around."""

    name = "reverse"
    aliases = ("flip",)
    partial_shapes = True
    axis = Shape(doc="the axes; negative numbers count from the end")

    def complete_shapes(self, p, ins, outs):
        same_shape(ins, outs)

    def output_shapes(self, p, ins):
        return [ins[0]]

    def gradient(self, p, node, grads):
        return [apply("reverse", grads, axis=p.axis)]

    def walk(self, p, shape):
        turned = {normalize_axis(a, len(shape)) for a in p.axis}
        strides = contiguous(shape)
        offset = sum((shape[a] - 1) * strides[a] for a in turned)
        return Walk(shape, tuple(-s if a in turned else s for a, s in enumerate(strides)), offset)


class Diag(Op):
    """The diagonal of the planes of two axes; or, from one dimension, a matrix with that diagonal."""

    name = "diag"
    k = Int(0, doc="which diagonal: 0 the main one, positive above it, negative below it")
    axis1 = Int(0, doc="the rows of the planes; negative numbers count from the end")
    axis2 = Int(1, doc="the columns of the planes")

    def walk(self, p, shape):
        """The walk along the diagonal: over the array, or over the matrix that is made."""
        if len(shape) == 1:
            side = shape[0] + abs(p.k)
            return Walk(shape, (side + 1,), max(p.k, -p.k * side))
        row, col = normalize_axis(p.axis1, len(shape), "axis1"), normalize_axis(p.axis2, len(shape), "axis2")
        if row == col:
            raise ShapeError("axis1 and axis2 must differ")
        strides = contiguous(shape)
        length = min(shape[row] + min(p.k, 0), shape[col] - max(p.k, 0))
        if length <= 0:
            raise ShapeError(f"there is no diagonal k={p.k} in planes of {shape[row]} by {shape[col]}")
        rest = [a for a in range(len(shape)) if a not in (row, col)]
        start = max(p.k, 0) * strides[col] + max(-p.k, 0) * strides[row]
        return Walk(
            (*(shape[a] for a in rest), length), (*(strides[a] for a in rest), strides[row] + strides[col]), start
        )

    def output_shapes(self, p, ins):
        if len(ins[0]) == 1:
            side = ins[0][0] + abs(p.k)
            return [(side, side)]
        return [self.walk(p, ins[0]).shape]

    def expand(self, p, node, train):
        source = node.inputs[0]
        walk = self.walk(p, source.shape)
        if source.ndim == 1:
            return [written(source, node.outputs[0].shape, walk)]
        return [apply("_strided_read", [source], sizes=walk.shape, strides=walk.strides, offset=walk.offset)]


# ---- padding -------------------------------------------------------------------------------------------------------------


class Pad(Op):
    """Puts a border around an array: a constant, the edge repeated, or the array mirrored without its edge."""

    aliases = ("pad",)
    mode = Enum(["constant", "edge", "reflect"], doc="what the border holds")
    pad_width = Shape(doc="elements before and after each axis: (before_0, after_0, before_1, ...)", min=0)
    constant_value = Float(0, doc="the value of a constant border")

    def widths(self, p, ndim):
        if len(p.pad_width) != 2 * ndim:
            raise ShapeError(f"pad_width={p.pad_width} must have two numbers for each of {ndim} dimensions")
        return list(zip(p.pad_width[::2], p.pad_width[1::2], strict=True))

    def output_shapes(self, p, ins):
        widths = self.widths(p, len(ins[0]))
        for axis, (size, border) in enumerate(zip(ins[0], widths, strict=True)):
            needed = {"constant": 0, "edge": 1, "reflect": 1 + max(border)}[p.mode]
            if any(border) and size < needed:
                raise ShapeError(f"axis {axis} of size {size} is too short for a border of {max(border)}")
        return [tuple(size + a + b for size, (a, b) in zip(ins[0], widths, strict=True))]

    def inside(self, p, shape, out_shape):
        strides = contiguous(out_shape)
        start = sum(s * before for s, (before, _) in zip(strides, self.widths(p, len(shape)), strict=True))
        return Walk(shape, strides, start)

    def gradient(self, p, node, grads):
        grad = grads[0]
        if p.mode != "constant":
            for axis in range(grad.ndim):
                grad = self.folded(p, grad, axis)
        shape = node.inputs[0].shape
        walk = self.inside(p, shape, grad.shape)
        return [apply("_strided_read", [grad], sizes=shape, strides=walk.strides, offset=walk.offset)]

    def folded(self, p, grad, axis):
        """The gradient with what arrived at the border of one axis added to where the border was taken from."""
        before, after = self.widths(p, grad.ndim)[axis]
        size = grad.shape[axis]
        for first, last, source, mirrored in (
            (0, before, before, before + 1),
            (size - after, size, size - after - 1, size - 2 * after - 1),
        ):
            if first == last:
                continue
            border = apply("slice_axis", [grad], axis=axis, begin=first, end=last)
            if p.mode == "edge":
                border = apply("sum", [border], axis=axis, keepdims=True)
                start = source
            else:
                border = apply("reverse", [border], axis=axis)
                start = mirrored
            step = contiguous(grad.shape)
            grad = grad + written(border, grad.shape, Walk(border.shape, step, start * step[axis]))
        return grad

    def lower(self, p, node, emit):
        source, out = node.inputs[0], node.outputs[0]
        inside = self.inside(p, source.shape, out.shape)
        if p.mode == "constant":
            emit.fill(out, p.constant_value)
            put(emit, source, out, inside)
            return
        put(emit, source, out, inside)
        # Axis by axis, each border is copied from inside the output; borders of earlier axes are copied along.
        sizes, strides, start = list(inside.shape), inside.strides, inside.offset
        for axis, (before, after) in enumerate(self.widths(p, source.ndim)):
            step, size = strides[axis], sizes[axis]
            for width, edge, direction in ((before, start, -1), (after, start + (size - 1) * step, 1)):
                if width:
                    border = (*sizes[:axis], width, *sizes[axis + 1 :])
                    mirror = p.mode == "reflect"
                    back = (*strides[:axis], -direction * step if mirror else 0, *strides[axis + 1 :])
                    ahead = (*strides[:axis], direction * step, *strides[axis + 1 :])
                    read = Walk(border, back, edge - direction * step * mirror)
                    copy(emit, out, read, out, Walk(border, ahead, edge + direction * step))
            start -= before * step
            sizes[axis] += before + after
