"""Operators that give an array another shape, or put its axes into another order. The first kind never copies."""

from ..base import ShapeError
from ..graph import apply
from ..op import Op, known, normalize_axis, product, same_shape, share_dtype
from ..params import Bool, Int, Shape
from ..strided import Strided, Walk, contiguous

# ---- the same elements in the same order ---------------------------------------------------------------------------------


class View(Op, abstract=True):
    """Base of operators whose output is the memory of the first input under another shape."""

    partial_shapes = True

    def infer_types(self, p, ins, outs):
        share_dtype(ins, outs)

    def gradient(self, p, node, grads):
        return [apply("Reshape", [grads[0]], shape=node.inputs[0].shape)]

    def lower(self, p, node, emit):
        emit.alias(node.outputs[0], node.inputs[0])


class Reshape(View):
    """The same elements under another shape.

    Numbers in `shape` that are not sizes: 0 copies the dimension of the input that stands there, -1 is whatever makes the
    size right, -2 copies all remaining dimensions, -3 is the product of the next two, and -4 splits one dimension into
    the two numbers that follow it, one of which may be -1.
    """

    aliases = ("reshape",)
    shape = Shape((), doc="the new shape, with the special numbers 0, -1, -2, -3 and -4")
    reverse = Bool(False, doc="match the special numbers from the last dimension instead of the first")
    target_shape = Shape((), doc="older form of `shape`: one 0 in it is inferred")
    keep_highest = Bool(False, doc="with target_shape: the first dimension stays what it is")

    def complete_shapes(self, p, ins, outs):
        # With the output known, one unknown dimension of the input follows from the size.
        shape = ins[0]
        if shape is None or not known(outs[0]) or sum(d < 0 for d in shape) != 1:
            return
        rest = product([d for d in shape if d >= 0])
        size = product(outs[0])
        if rest == 0 or size % rest:
            raise ShapeError(f"{shape} cannot become {outs[0]}: {size} elements are no multiple of {rest}")
        ins[0] = tuple(size // rest if d < 0 else d for d in shape)

    def output_shapes(self, p, ins):
        if p.shape:
            return [reshaped(ins[0], p.shape, p.reverse)]
        if not p.target_shape:
            raise ShapeError("the parameter shape is missing")
        target = [d or -1 for d in p.target_shape]
        if p.keep_highest:
            target[0] = 0
        return [reshaped(ins[0], tuple(target), False)]


def reshaped(shape: tuple[int, ...], codes: tuple[int, ...], reverse: bool) -> tuple[int, ...]:
    """What a shape (in which -1 is unknown) becomes under the codes of Reshape; -1 where that is still unknown."""
    groups = _code_groups(codes)
    if reverse:
        groups = [(-4, b, a) if code == -4 else (code, a, b) for code, a, b in reversed(groups)]
    rest = list(shape[::-1] if reverse else shape)

    def take(code: int) -> int:
        if not rest:
            raise ShapeError(f"shape={codes} asks with {code} for more dimensions than {shape} has")
        return rest.pop(0)

    result: list[int] = []
    inferred = None  # where -1 stands
    for code, first, second in groups:
        if code == -2:
            result += rest
            rest.clear()
        elif code == -3:
            a, b = take(code), take(code)
            result.append(a * b if a >= 0 and b >= 0 else -1)
        elif code == -4:
            result += _split(take(code), first, second, codes)
        elif code == 0:
            result.append(take(code))
        elif code == -1:
            if inferred is not None:
                raise ShapeError(f"shape={codes} has more than one -1")
            inferred = len(result)
            result.append(-1)
            del rest[:1]
        else:
            result.append(code)
            del rest[:1]
    if known(shape):
        _fit(result, inferred, shape, codes)
    return tuple(result[::-1] if reverse else result)


def _code_groups(codes: tuple[int, ...]) -> list[tuple[int, int, int]]:
    """Each code with its two operands (0 where it has none)."""
    groups, i = [], 0
    while i < len(codes):
        if codes[i] < -4:
            raise ShapeError(f"shape={codes}: {codes[i]} means nothing, the special numbers are 0 to -4")
        if codes[i] == -4:
            if i + 2 >= len(codes):
                raise ShapeError(f"shape={codes}: -4 needs two numbers after it")
            groups.append((-4, codes[i + 1], codes[i + 2]))
            i += 3
        else:
            groups.append((codes[i], 0, 0))
            i += 1
    return groups


def _split(size: int, a: int, b: int, codes: tuple[int, ...]) -> list[int]:
    """The two factors of one dimension, either of which may be -1."""
    if a == b == -1 or min(a, b) < -1:
        raise ShapeError(f"shape={codes}: only one of the two numbers after -4 may be -1")
    if size >= 0:
        if a == -1 and b > 0:
            a = size // b
        elif b == -1 and a > 0:
            b = size // a
        if a * b != size:
            raise ShapeError(f"shape={codes} cannot split a dimension of {size} into {a} times {b}")
    return [a, b]


def _fit(result: list[int], inferred: int | None, shape: tuple[int, ...], codes: tuple[int, ...]) -> None:
    """Fills in what -1 stands for, and checks the size."""
    size = product(shape)
    if inferred is not None:
        others = product(result[:inferred] + result[inferred + 1 :])
        result[inferred] = size // others if others else 0
    if product(result) != size:
        raise ShapeError(f"{shape} ({size} elements) cannot become shape={codes}")


class Flatten(View):
    """Keeps the first dimension and makes one of all others."""

    aliases = ("flatten",)

    def complete_shapes(self, p, ins, outs):
        if ins[0] and outs[0] is not None and ins[0][0] < 0:
            ins[0] = (outs[0][0], *ins[0][1:])

    def output_shapes(self, p, ins):
        if not ins[0]:
            raise ShapeError("an array without dimensions cannot be flattened")
        rest = ins[0][1:]
        return [(ins[0][0], product(rest) if known(rest) else -1)]


class ExpandDims(View):
    """Inserts a dimension of size 1 before `axis`."""

    name = "expand_dims"
    axis = Int(doc="where the new axis stands in the output; negative numbers count from the end")

    def complete_shapes(self, p, ins, outs):
        if outs[0] is not None:
            axis = normalize_axis(p.axis, len(outs[0]))
            same_shape(ins, source := [outs[0][:axis] + outs[0][axis + 1 :]])
            outs[0] = (*source[0][:axis], 1, *source[0][axis:])

    def output_shapes(self, p, ins):
        axis = normalize_axis(p.axis, len(ins[0]) + 1)
        return [(*ins[0][:axis], 1, *ins[0][axis:])]


class Squeeze(View):
    """Removes dimensions of size 1: those of `axis`, or all of them."""

    name = "squeeze"
    axis = Shape(None, doc="axes to remove; all of size 1 by default")

    def output_shapes(self, p, ins):
        shape = ins[0]
        if p.axis is None:
            if not known(shape):
                raise ShapeError(f"which dimensions of {shape} to remove is unknown without axis")
            axes = {i for i, d in enumerate(shape) if d == 1}
        else:
            axes = {normalize_axis(a, len(shape)) for a in p.axis}
            for a in axes:
                if shape[a] not in (1, -1):
                    raise ShapeError(f"axis {a} has size {shape[a]} and only size 1 can be removed")
        return [tuple(d for i, d in enumerate(shape) if i not in axes) or (1,)]


class ReshapeLike(View):
    """The first input under the shape of the second; or only its dimensions lhs_begin to lhs_end, under those of rhs."""

    name = "reshape_like"
    inputs = ("lhs", "rhs")
    lhs_begin = Int(None, doc="first dimension of lhs to replace")
    lhs_end = Int(None, doc="where the dimensions of lhs to replace end")
    rhs_begin = Int(None, doc="first dimension of rhs to use")
    rhs_end = Int(None, doc="where the dimensions of rhs to use end")

    def output_shapes(self, p, ins):
        lhs, rhs = ins
        a, b = slice(p.lhs_begin, p.lhs_end).indices(len(lhs))[:2]
        c, d = slice(p.rhs_begin, p.rhs_end).indices(len(rhs))[:2]
        shape = (*lhs[:a], *rhs[c:d], *lhs[b:])
        if known(shape) and known(lhs) and product(shape) != product(lhs):
            raise ShapeError(f"lhs has {product(lhs)} elements and cannot become {shape}")
        return [shape]


# ---- what the shape is ---------------------------------------------------------------------------------------------------


class ShapeArray(Op):
    """The shape of the input as an int64 array."""

    name = "shape_array"

    def output_shapes(self, p, ins):
        return [(len(ins[0]),)]

    def infer_types(self, p, ins, outs):
        outs[0] = "int64"

    def gradient(self, p, node, grads):
        return [None]

    def numbers(self, shape):
        return shape

    def lower(self, p, node, emit):
        out = node.outputs[0]
        for i, number in enumerate(self.numbers(node.inputs[0].shape)):
            emit.fill(emit.view(out, (1,), offset=8 * i), number)


class SizeArray(ShapeArray):
    """The number of elements of the input as an int64 array of one element."""

    name = "size_array"

    def output_shapes(self, p, ins):
        return [(1,)]

    def numbers(self, shape):
        return [product(shape)]


# ---- axes in another order -----------------------------------------------------------------------------------------------


class Permuted(Strided, abstract=True):
    """Base of operators that permute axes."""

    partial_shapes = True

    def order(self, p, ndim):
        """Which input axis each output axis is."""
        raise NotImplementedError(f"{self.name}: order")

    def complete_shapes(self, p, ins, outs):
        if outs[0] is not None:
            order = self.order(p, len(outs[0]))
            same_shape(ins, [tuple(outs[0][order.index(i)] for i in range(len(order)))])

    def output_shapes(self, p, ins):
        return [tuple(ins[0][i] for i in self.order(p, len(ins[0])))]

    def walk(self, p, shape):
        order, strides = self.order(p, len(shape)), contiguous(shape)
        return Walk(tuple(shape[i] for i in order), tuple(strides[i] for i in order))


class Transpose(Permuted):
    """Puts the axes into the order `axes`, or reverses their order."""

    name = "transpose"
    axes = Shape((), doc="which axis of the input each axis of the output is; all in reverse order by default")

    def order(self, p, ndim):
        order = tuple(normalize_axis(a, ndim, "axes:") for a in p.axes) or tuple(range(ndim))[::-1]
        if sorted(order) != list(range(ndim)):
            raise ShapeError(f"axes={p.axes} must name each of the {ndim} axes once")
        return order

    def gradient(self, p, node, grads):
        order = self.order(p, node.inputs[0].ndim)
        return [apply("transpose", grads, axes=tuple(order.index(i) for i in range(len(order))))]


class SwapAxis(Permuted):
    """Exchanges two axes."""

    aliases = ("swapaxes",)
    dim1 = Int(0, doc="the first axis")
    dim2 = Int(0, doc="the second axis")

    def order(self, p, ndim):
        order = list(range(ndim))
        a, b = normalize_axis(p.dim1, ndim, "dim1"), normalize_axis(p.dim2, ndim, "dim2")
        order[a], order[b] = b, a
        return tuple(order)

    def gradient(self, p, node, grads):
        return [apply("SwapAxis", grads, dim1=p.dim1, dim2=p.dim2)]


class DepthToSpace(Strided):
    """Moves blocks of channels of (N, C, H, W) into space: (N, C/b², H·b, W·b)."""

    name = "depth_to_space"
    block_size = Int(min=1, doc="side b of a block")

    def output_shapes(self, p, ins):
        n, c, h, w = _four(ins[0])
        b = p.block_size
        if c % (b * b):
            raise ShapeError(f"{c} channels are no multiple of block_size² = {b * b}")
        return [(n, c // (b * b), h * b, w * b)]

    def gradient(self, p, node, grads):
        return [apply("space_to_depth", grads, block_size=p.block_size)]

    def walk(self, p, shape):
        n, c, h, w = shape
        b = p.block_size
        depth = c // (b * b)
        plane = h * w
        return Walk((n, depth, h, b, w, b), (c * plane, plane, w, b * depth * plane, 1, depth * plane))


class SpaceToDepth(Strided):
    """Moves blocks of space of (N, C, H, W) into channels: (N, C·b², H/b, W/b). The inverse of depth_to_space."""

    name = "space_to_depth"
    block_size = Int(min=1, doc="side b of a block")

    def output_shapes(self, p, ins):
        n, c, h, w = _four(ins[0])
        b = p.block_size
        if h % b or w % b:
            raise ShapeError(f"height {h} and width {w} must be multiples of block_size {b}")
        return [(n, c * b * b, h // b, w // b)]

    def gradient(self, p, node, grads):
        return [apply("depth_to_space", grads, block_size=p.block_size)]

    def walk(self, p, shape):
        n, c, h, w = shape
        b = p.block_size
        return Walk((n, b, b, c, h // b, w // b), (c * h * w, w, 1, h * w, w * b, b))


def _four(shape):
    if len(shape) != 4:
        raise ShapeError(f"data must have 4 dimensions, got {shape}")
    return shape
