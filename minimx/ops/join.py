"""Operators that join arrays, repeat, flip and pad them."""

from ..base import ITEM_SIZES, ShapeError
from ..graph import apply, apply_all, apply_op
from ..op import LAST_AXES, Op, normalize_axis, product, same_shape, unify
from ..params import Enum, Float, Int, Shape
from ..strided import Strided, Walk, around, contiguous, copy, put
from .slice import written

# ---- joining -------------------------------------------------------------------------------------------------------------


def join(node, emit, widths, outer, inner):
    """Writes each input into its place of the output: `widths` are their sizes along the joined axis."""
    out = node.outputs[0]
    row = sum(widths) * inner
    start = 0
    for value, width in zip(node.inputs, widths, strict=True):
        part = width * inner
        if not (emit.is_placed(value) or (outer == 1 and moves_in(value, out, start, emit))):
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

    def channels_last(self, p, node, moved, plain):
        if node.outputs[0].ndim != 4:
            return None
        axis = LAST_AXES[normalize_axis(p.dim, 4)]
        return list(apply_op(self, [moved(v) for v in node.inputs], p._replace(dim=axis)).outputs)

    def joins_rows(self, p, node):
        return normalize_axis(p.dim, node.outputs[0].ndim) == node.outputs[0].ndim - 1

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
