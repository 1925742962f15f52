"""Operators that pass the same numbers on: in another dtype, with another gradient, or repeated."""

from __future__ import annotations

from typing import ClassVar

from ..base import FLOATS, ShapeError
from ..elementwise import Elementwise, broadcast_shapes, compute_type
from ..op import Op, normalize_axis
from ..params import Bool, DType, Enum, Float, Int, Shape
from .elemwise import F, sum_to


class _Same(Elementwise, abstract=True):
    def write(self, p, t, x, *others):
        return x


# ---- another dtype ------------------------------------------------------------------------------------------------------


class Cast(_Same):
    """The numbers in another dtype. Fractions are cut off; what is too large for an integer wraps around."""

    aliases: ClassVar[tuple[str, ...]] = ("cast",)
    dtype = DType(doc="the dtype of the output")

    def infer_types(self, p, ins, outs):
        outs[0] = p.dtype

    def compute_type(self, p, ins, out):
        return compute_type(ins)

    def gradient(self, p, node, grads):
        return [F.Cast(grads[0], dtype=node.inputs[0].dtype)]


class AmpCast(Cast):
    """A float in another float dtype; integers pass unchanged."""

    name = "amp_cast"
    aliases = ()

    def infer_types(self, p, ins, outs):
        outs[0] = p.dtype if ins[0] is None or ins[0] in FLOATS else ins[0]


class AmpMulticast(Op):
    """All arrays in the widest (or the narrowest) of their float dtypes."""

    name = "amp_multicast"
    count = "num_outputs"
    partial_shapes = True
    num_outputs = Int(min=1, doc="the number of arrays")
    cast_narrow = Bool(False, doc="whether the narrowest dtype is taken instead of the widest")

    def output_names(self, p):
        return tuple(f"output{i}" for i in range(p.num_outputs))

    def output_shapes(self, p, ins):
        return list(ins)

    def infer_types(self, p, ins, outs):
        if all(ins):
            order = [t for t in ("float16", "bfloat16", "float32", "float64") if t in ins]
            if order:
                outs[:] = [order[0 if p.cast_narrow else -1]] * len(outs)
            else:
                outs[:] = ins

    def expand(self, p, node, train):
        return [F.amp_cast(v, dtype=out.dtype) for v, out in zip(node.inputs, node.outputs, strict=True)]


class CastStorage(_Same):
    """The same numbers: arrays have one kind of storage here."""

    name = "cast_storage"
    stype = Enum(("default",), doc="accepted for programs that ask for dense storage")

    def gradient(self, p, node, grads):
        return grads


# ---- another gradient ---------------------------------------------------------------------------------------------------


class LikeRhs(_Same):
    """The first array; the second only says what shape it has."""

    name = "_identity_with_attr_like_rhs"
    inputs = ("lhs", "rhs")

    def gradient(self, p, node, grads):
        return [grads[0], None]


class MakeLossLower(_Same):
    """The same numbers, as a loss: the gradient is 1, whatever arrives."""

    name = "make_loss"

    def gradient(self, p, node, grads):
        return [F.ones_like(node.inputs[0])]


class MakeLoss(_Same):
    """The same numbers, as a loss: the gradient is `grad_scale`, normalised, whatever arrives."""

    grad_scale = Float(1.0, doc="the gradient of every number")
    valid_thresh = Float(0.0, doc="numbers above it are valid")
    normalization = Enum(
        ("null", "batch", "valid"), "null", doc="what the gradient is divided by: 1, the batch size, the valid numbers"
    )

    def gradient(self, p, node, grads):
        x = node.inputs[0]
        grad = F.ones_like(x) * (p.grad_scale / (x.shape[0] if p.normalization == "batch" else 1))
        if p.normalization == "valid":
            valid = F.sum(x > p.valid_thresh, axis=tuple(range(x.ndim)), keepdims=True)
            grad = F.broadcast_div(grad, F._maximum_scalar(valid, scalar=1.0))
        return [grad]


class GradientMultiplier(_Same):
    """The same numbers; the gradient is multiplied by `scalar`."""

    name = "_contrib_gradientmultiplier"
    scalar = Float(1.0, doc="the factor")
    is_int = Bool(True, doc="whether the factor is an integer; has no effect")

    def gradient(self, p, node, grads):
        return [grads[0] * p.scalar]


# ---- repeated -----------------------------------------------------------------------------------------------------------


class _Repeat(_Same, abstract=True):
    broadcast = True

    def channels_last(self, p, node, last, plain):
        out = node.outputs[0]
        if out.ndim != 4 or node.inputs[0].ndim != 4:
            return None
        return [F.broadcast_to(last(node.inputs[0]), shape=(out.shape[0], *out.shape[2:], out.shape[1]))]

    def gradient(self, p, node, grads):
        return [sum_to(grads[0], node.inputs[0].shape)]


class BroadcastTo(_Repeat):
    """Repeats axes of size 1 up to `shape`."""

    name = "broadcast_to"
    shape = Shape((), min=0, doc="the shape of the output; 0 keeps the axis as it is")

    def output_shapes(self, p, ins):
        if len(p.shape) != len(ins[0]):
            raise ShapeError(f"shape {p.shape} must have as many dimensions as the array, {ins[0]}")
        shape = tuple(to or n for to, n in zip(p.shape, ins[0], strict=True))
        return [_repeated(ins[0], shape)]


class BroadcastAxis(_Repeat):
    """Repeats each of the axes `axis`, whose size is 1, `size` times."""

    name = "broadcast_axis"
    aliases = ("broadcast_axes",)
    axis = Shape((), doc="the axes")
    size = Shape((), min=1, doc="the new size of each of them")

    def output_shapes(self, p, ins):
        if len(p.axis) != len(p.size):
            raise ShapeError(f"axis {p.axis} and size {p.size} must have the same length")
        shape = list(ins[0])
        for axis, size in zip(p.axis, p.size, strict=True):
            shape[normalize_axis(axis, len(shape))] = size
        return [_repeated(ins[0], tuple(shape))]


class BroadcastLike(_Repeat):
    """Repeats axes of size 1 up to the shape of the second array."""

    name = "broadcast_like"
    inputs = ("lhs", "rhs")
    lhs_axes = Shape(None, doc="the axes that are repeated; all by default")
    rhs_axes = Shape(None, doc="the axes of the second array they are sized by")

    def output_shapes(self, p, ins):
        lhs, rhs = ins
        if (p.lhs_axes is None) != (p.rhs_axes is None) or len(p.lhs_axes or ()) != len(p.rhs_axes or ()):
            raise ShapeError(f"lhs_axes {p.lhs_axes} and rhs_axes {p.rhs_axes} must have the same length")
        if p.lhs_axes is None:
            if len(lhs) != len(rhs):
                raise ShapeError(f"the arrays have {len(lhs)} and {len(rhs)} dimensions")
            return [_repeated(lhs, tuple(rhs))]
        shape = list(lhs)
        for a, b in zip(p.lhs_axes, p.rhs_axes, strict=True):
            shape[normalize_axis(a, len(lhs))] = rhs[normalize_axis(b, len(rhs))]
        return [_repeated(lhs, tuple(shape))]

    def expand(self, p, node, train):
        return [F.broadcast_to(node.inputs[0], shape=node.outputs[0].shape)]

    def infer_types(self, p, ins, outs):
        data = ins[:1]
        super().infer_types(p, data, outs)
        ins[:1] = data

    def gradient(self, p, node, grads):
        return [*super().gradient(p, node, grads), None]


def _repeated(shape: tuple[int, ...], to: tuple[int, ...]) -> tuple[int, ...]:
    if broadcast_shapes([shape, to]) != to:
        raise ShapeError(f"shape {shape} cannot be repeated to {to}")
    return to
