"""Reductions: one number from all elements along some axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..base import ITEM_SIZES, ShapeError
from ..graph import Value, apply, apply_op
from ..op import LAST_AXES, Op, normalize_axis, product, share_dtype
from ..params import Bool, Enum, Int, Shape
from .elemwise import F

SUMMED = frozenset({"float16", "bfloat16", "float32", "float64", "int32", "int64"})  # dtypes that kernels fold
REALS = SUMMED - {"int32", "int64"}
BYTES = {"uint8": 256, "int8": 128}  # positions that small integers can hold
MAX_WIDTH = 512  # columns that csrc/cpu/reduce.cpp folds as one unit


def emit_fold(emit: Any, kernel: str, source: Any, out: Any, axes: Sequence[int], scale: float = 1.0) -> None:
    """One call of a reduce kernel over the given axes of `source`."""
    shape, reduced = collapse_axes(source.shape, axes)
    outputs, parts = product(out.shape), split(shape, reduced)
    args = {"shape": shape, "reduced": reduced, "scale": scale, "parts": parts}
    scratch = parts * outputs * max(4, ITEM_SIZES[source.dtype]) if parts > 1 else 0
    emit(kernel, source.dtype, args, [source], [out], scratch=scratch)


def collapse_axes(shape: Sequence[int], axes: Sequence[int]) -> tuple[list[int], list[int]]:
    """A shape without axes of length 1 and with neighbours of one kind merged, and which of its axes are reduced."""
    sizes: list[int] = []
    kinds: list[int] = []
    for d, n in enumerate(shape):
        kind = int(d in axes)
        if n == 1:
            continue
        if kinds and kinds[-1] == kind:
            sizes[-1] *= n
        else:
            sizes.append(n)
            kinds.append(kind)
    return sizes, kinds


def split(shape: Sequence[int], reduced: Sequence[int]) -> int:
    """Into how many parts each fold is cut: enough to keep many threads busy where there are few outputs."""
    outputs = product([n for n, r in zip(shape, reduced, strict=True) if not r])
    length = product([n for n, r in zip(shape, reduced, strict=True) if r])
    if outputs * length < 1 << 15:
        return 1
    units = outputs if reduced[-1] else outputs // shape[-1] * -(-shape[-1] // MAX_WIDTH)
    return 1 if units >= 16 else max(1, min(-(-32 // units), outputs * length >> 14, length))


def reduced_shape(shape: Sequence[int], axes: Sequence[int], keepdims: bool) -> tuple[int, ...]:
    if keepdims:
        return tuple(1 if d in axes else n for d, n in enumerate(shape))
    return tuple(n for d, n in enumerate(shape) if d not in axes) or (1,)


class Reduction(Op, abstract=True):
    """Base of operators that fold the elements along some axes by a kernel."""

    partial_shapes = True
    kernel = ""
    integer_form = ""  # the operator that does the same to integers; by default this one

    def axes(self, p: Any, ndim: int) -> tuple[int, ...]:
        if not p.axis:
            return tuple(range(ndim))
        named = {normalize_axis(a, ndim) for a in p.axis}
        return tuple(d for d in range(ndim) if (d in named) != getattr(p, "exclude", False))

    def output_shapes(self, p, ins):
        return [reduced_shape(ins[0], self.axes(p, len(ins[0])), p.keepdims)]

    def kept(self, p: Any, node: Any, value: Value) -> Value:
        """`value`, shaped like the output, with the reduced axes still there."""
        shape = node.inputs[0].shape
        shape = reduced_shape(shape, self.axes(p, len(shape)), True)
        return value if value.shape == shape else apply("Reshape", [value], shape=shape)

    def expand(self, p, node, train):
        x = node.inputs[0]
        if x.dtype in (REALS if self.integer_form else SUMMED):
            return None
        name = self.integer_form or self.name
        wide = x if x.dtype in SUMMED else F.Cast(x, dtype="int32")
        result = apply(name, [wide], **p._asdict())
        return [result if wide is x else F.Cast(result, dtype=x.dtype)]

    def channels_last(self, p, node, moved, plain):
        axes = self.axes(p, node.inputs[0].ndim)
        if node.inputs[0].ndim != 4:
            return None
        kept = [LAST_AXES[d] for d in range(4) if d not in axes]
        if not p.keepdims and kept != sorted(kept):
            return None
        new = {"axis": tuple(sorted(LAST_AXES[d] for d in axes))} | (
            {"exclude": False} if "exclude" in self.params else {}
        )
        return list(apply_op(self, [moved(node.inputs[0])], p._replace(**new)).outputs) if axes else None

    def scale(self, p: Any, shape: Sequence[int]) -> float:
        return 1.0

    def lower(self, p, node, emit):
        source, out = node.inputs[0], node.outputs[0]
        axes = self.axes(p, source.ndim)
        emit_fold(emit, self.kernel, source, out, axes, self.scale(p, source.shape))


class _AlongAxes(Reduction, abstract=True):
    axis = Shape(None, doc="the axes to reduce; None or () for all of them")
    keepdims = Bool(False, doc="keep the reduced axes, with length 1")
    exclude = Bool(False, doc="reduce all axes but those in `axis`")


class Sum(_AlongAxes):
    """The sum of the elements along axes."""

    name = "sum"
    aliases = ("sum_axis",)
    kernel = "sum"

    def gradient(self, p, node, grads):
        return [F.broadcast_to(self.kept(p, node, grads[0]), shape=node.inputs[0].shape)]


class Mean(_AlongAxes):
    """The mean of the elements along axes."""

    name = "mean"
    kernel = "sum"

    def gradient(self, p, node, grads):
        x = node.inputs[0]
        return [F.broadcast_to(self.kept(p, node, grads[0]) * self.scale(p, x.shape), shape=x.shape)]

    def scale(self, p, shape):
        count = product([shape[d] for d in self.axes(p, len(shape))])
        return 1 / count if count else float("nan")


class _Extreme(_AlongAxes, abstract=True):
    def gradient(self, p, node, grads):
        x = node.inputs[0]
        return [F.broadcast_equal(x, self.kept(p, node, node.outputs[0])) * self.kept(p, node, grads[0])]


class Max(_Extreme):
    """The largest element along axes, NaN if there is one. All that are equal to it share the whole gradient."""

    name = "max"
    aliases = ("max_axis",)
    kernel = "max"


class Min(_Extreme):
    """The smallest element along axes, NaN if there is one. All that are equal to it share the whole gradient."""

    name = "min"
    aliases = ("min_axis",)
    kernel = "min"


class Prod(_AlongAxes):
    """The product of the elements along axes. Its gradient is the product divided by the element."""

    name = "prod"
    kernel = "prod"

    def gradient(self, p, node, grads):
        return [self.kept(p, node, grads[0] * node.outputs[0]) / node.inputs[0]]


class NanSum(_AlongAxes):
    """The sum of the elements along axes that are not NaN."""

    name = "nansum"
    kernel = "nansum"
    integer_form = "sum"

    def gradient(self, p, node, grads):
        x = node.inputs[0]
        return [F._equal(x, x) * self.kept(p, node, grads[0])]


class NanProd(_AlongAxes):
    """The product of the elements along axes that are not NaN."""

    name = "nanprod"
    kernel = "nanprod"
    integer_form = "prod"

    def gradient(self, p, node, grads):
        x = node.inputs[0]
        slope = self.kept(p, node, grads[0] * node.outputs[0]) / x
        return [F.where(F._equal(x, x), slope, F.zeros_like(x))]


class _SumSquares(_AlongAxes):
    """The sum of the squares of the elements along axes."""

    name = "_sum_squares"
    aliases = ("_square_sum",)
    kernel = "sum_squares"

    def gradient(self, p, node, grads):
        return [node.inputs[0] * self.kept(p, node, grads[0] * 2.0)]


class _SumAbs(_AlongAxes):
    """The sum of the magnitudes of the elements along axes."""

    name = "_sum_abs"
    kernel = "sum_abs"

    def gradient(self, p, node, grads):
        return [F.sign(node.inputs[0]) * self.kept(p, node, grads[0])]


class Norm(Reduction):
    """The length of the vectors along axes: the root of the sum of squares, or the sum of magnitudes."""

    name = "norm"
    ord = Int(2, doc="1 for the sum of magnitudes, 2 for the root of the sum of squares", min=1, max=2)
    axis = Shape(None, doc="the axes of the vectors; None for all of them")
    out_dtype = Enum(
        ("float16", "float32", "float64", "int32", "int64", "int8"), None, doc="dtype of the result; None: of the data"
    )
    keepdims = Bool(False, doc="keep the reduced axes, with length 1")

    def infer_types(self, p, ins, outs):
        if p.out_dtype:
            outs[0] = p.out_dtype
        else:
            share_dtype(ins, outs)

    def gradient(self, p, node, grads):
        x, y = node.inputs[0], node.outputs[0]
        g = self.kept(p, node, F.Cast(grads[0], dtype=x.dtype))
        if p.ord == 1:
            return [F.sign(x) * g]
        y = self.kept(p, node, F.Cast(y, dtype=x.dtype))
        return [x * (g / (y + F._equal_scalar(y, scalar=0.0)))]  # 0 where the vector is 0

    def expand(self, p, node, train):
        x, out = node.inputs[0], node.outputs[0]
        wide = "float64" if "float64" in (x.dtype, out.dtype) else "float32"  # squares overflow in less
        if x.dtype != wide:
            x = F.Cast(x, dtype=wide)
        sizes = {"axis": p.axis, "keepdims": p.keepdims}
        y = F._sum_abs(x, **sizes) if p.ord == 1 else F.sqrt(F._sum_squares(x, **sizes))
        return [y if y.dtype == out.dtype else F.Cast(y, dtype=out.dtype)]


class _Position(Op, abstract=True):
    partial_shapes = True
    axis = Int(None, doc="the axis to search along; None searches the flattened array")
    keepdims = Bool(False, doc="keep that axis (all axes, when it is None), with length 1")

    def axes(self, p: Any, ndim: int) -> tuple[int, ...]:
        return tuple(range(ndim)) if p.axis is None else (normalize_axis(p.axis, ndim),)

    def output_shapes(self, p, ins):
        axes = self.axes(p, len(ins[0]))
        if 0 in [ins[0][a] for a in axes]:
            raise ShapeError("there is nothing to search in an empty array")
        return [reduced_shape(ins[0], axes, p.keepdims)]

    def gradient(self, p, node, grads):
        return [None]

    def lower(self, p, node, emit):
        source, out = node.inputs[0], node.outputs[0]
        axes = self.axes(p, source.ndim)
        outer, inner = product(source.shape[: axes[0]]), product(source.shape[axes[-1] + 1 :])
        n = product([source.shape[a] for a in axes])
        if n > BYTES.get(out.dtype, n):
            raise ShapeError(f"{out.dtype} cannot hold the positions of {n} elements: cast the data first")
        read = source if source.dtype in SUMMED else emit.cast(source, "int32")
        found = out if out.dtype == "float32" else emit.temp(out.shape, "float32")
        emit(self.kernel, read.dtype, {"outer": outer, "n": n, "inner": inner}, [read], [found])
        if found is not out:
            emit.alias(out, emit.cast(found, out.dtype))


class ArgMax(_Position):
    """Where the largest element along an axis is (the first of them), as a number of the data's dtype."""

    name = "argmax"
    kernel = "argmax"


class ArgMin(_Position):
    """Where the smallest element along an axis is (the first of them), as a number of the data's dtype."""

    name = "argmin"
    kernel = "argmin"


class ArgMaxChannel(Op):
    """Where the largest element along axis 1 is, as a number of the data's dtype."""

    name = "argmax_channel"
    partial_shapes = True

    def output_shapes(self, p, ins):
        if len(ins[0]) < 2:
            raise ShapeError("data must have an axis 1")
        return [reduced_shape(ins[0], (1,), False)]

    def gradient(self, p, node, grads):
        return [None]

    def expand(self, p, node, train):
        return [F.argmax(node.inputs[0], axis=1)]


class Moments(Op):
    """The mean and the variance (the mean squared distance from the mean) of the elements along axes."""

    name = "moments"
    outputs = ("output0", "output1")
    partial_shapes = True
    axes = Shape(None, doc="the axes to reduce; None for all of them")
    keepdims = Bool(False, doc="keep the reduced axes, with length 1")

    def output_shapes(self, p, ins):
        ndim = len(ins[0])
        axes = [normalize_axis(a, ndim) for a in p.axes] if p.axes else range(ndim)
        return [reduced_shape(ins[0], axes, p.keepdims)] * 2

    def expand(self, p, node, train):
        x = node.inputs[0]
        mean = F.mean(x, axis=p.axes, keepdims=True)
        variance = F.mean(F.square(x - mean), axis=p.axes, keepdims=True)
        shape = node.outputs[0].shape
        return [v if v.shape == shape else F.Reshape(v, shape=shape) for v in (mean, variance)]
