"""Elementwise operators with a formula of their own."""

from __future__ import annotations

import math

from ..base import FLOATS, ShapeError
from ..elementwise import Elementwise, compute_type
from ..graph import apply
from ..op import Op, same_shape, unify
from ..params import Bool, Float, Int
from .elemwise import F


class Clip(Elementwise):
    """Numbers below `a_min` become `a_min`, numbers above `a_max` become `a_max`."""

    name = "clip"
    a_min = Float(doc="the lower limit")
    a_max = Float(doc="the upper limit")

    def write(self, p, t, x):
        return t("clip", x, t.constant(p.a_min), t.constant(p.a_max))

    def gradient(self, p, node, grads):
        x = node.inputs[0]
        return [grads[0] * (x >= p.a_min) * (x <= p.a_max)]


class SmoothL1(Elementwise):
    """(s x)² / 2 where |x| < 1 / s², else |x| - 1 / (2 s²), with s = `scalar`: a loss that forgives outliers."""

    name = "smooth_l1"
    float_only = True
    scalar = Float(1.0, doc="s, where the parabola ends")

    def write(self, p, t, x):
        s2 = p.scalar**2
        size = t("abs", x)
        parabola = t("mul", t("square", x), t.constant(0.5 * s2))
        line = t("sub", size, t.constant(0.5 / s2 if s2 else math.inf))
        near = t("lesser", t("mul", size, t.constant(s2)), t.constant(1.0))
        return t("where", near, parabola, line)

    def gradient(self, p, node, grads):
        return [grads[0] * F.clip(node.inputs[0] * p.scalar**2, a_min=-1.0, a_max=1.0)]


class HardSigmoid(Elementwise):
    """min(max(alpha x + beta, 0), 1)."""

    name = "hard_sigmoid"
    float_only = True
    alpha = Float(0.2, doc="the slope")
    beta = Float(0.5, doc="the value at 0")

    def write(self, p, t, x):
        line = t("add", t("mul", x, t.constant(p.alpha)), t.constant(p.beta))
        return t("clip", line, t.constant(0.0), t.constant(1.0))

    def gradient(self, p, node, grads):
        y = node.outputs[0]
        return [grads[0] * ((y > 0) * (y < 1) * p.alpha)]


class Quadratic(Elementwise):
    """a x² + b x + c."""

    name = "_contrib_quadratic"
    a = Float(0.0, doc="the factor of x²")
    b = Float(0.0, doc="the factor of x")
    c = Float(0.0, doc="the constant")

    def write(self, p, t, x):
        inner = t("add", t("mul", x, t.constant(p.a)), t.constant(p.b))
        return t("add", t("mul", inner, x), t.constant(p.c))

    def gradient(self, p, node, grads):
        return [grads[0] * (node.inputs[0] * (2 * p.a) + p.b)]


class DivSqrtDim(Elementwise):
    """The numbers divided by the square root of the last axis' size."""

    name = "_contrib_div_sqrt_dim"

    def expand(self, p, node, train):
        return [node.inputs[0] / math.sqrt(node.inputs[0].shape[-1])]


# ---- choosing -----------------------------------------------------------------------------------------------------------


class Where(Elementwise):
    """x where the condition is not 0, else y. A condition of one dimension chooses whole rows."""

    name = "where"
    inputs = ("condition", "x", "y")
    broadcast = True

    def complete_shapes(self, p, ins, outs):
        chosen = [ins[1], ins[2]]
        same_shape(chosen, outs)
        ins[1], ins[2] = chosen
        if ins[0] is not None and outs[0] is not None and len(ins[0]) != len(outs[0]):
            if len(ins[0]) != 1:
                raise ShapeError(f"the condition {ins[0]} must have the shape of x, {outs[0]}, or one dimension")
            ins[0] = unify(ins[0], outs[0][:1])
        elif ins[0] is None or outs[0] is not None:
            ins[0] = unify(ins[0], outs[0])

    def output_shapes(self, p, ins):
        return [ins[1]]

    def infer_types(self, p, ins, outs):
        chosen = ins[1:]
        super().infer_types(p, chosen, outs)
        ins[1:] = chosen

    def compute_type(self, p, ins, out):
        # The condition is only asked whether it is zero, which survives any conversion that does not drop a fraction.
        if out in FLOATS and ins[0] != "float64":
            return compute_type([out])
        return compute_type([*ins, out])

    def write(self, p, t, condition, x, y):
        return t("where", condition, x, y)

    def expand(self, p, node, train):
        condition, x, y = node.inputs
        if condition.ndim == x.ndim:
            return None
        column = F.Reshape(condition, shape=(condition.shape[0],) + (1,) * (x.ndim - 1))
        return [F._where_rows(column, x, y)]

    def gradient(self, p, node, grads):
        condition, g = node.inputs[0], grads[0]
        zero = F.zeros_like(g)
        return [None, apply(self.name, [condition, g, zero]), apply(self.name, [condition, zero, g])]


class WhereRows(Where):
    """`where` with a condition whose axes of size 1 are repeated."""

    name = "_where_rows"

    def complete_shapes(self, p, ins, outs):
        chosen = [ins[1], ins[2]]
        same_shape(chosen, outs)
        ins[1], ins[2] = chosen

    def expand(self, p, node, train):
        return None


# ---- sums, constants, comparing -----------------------------------------------------------------------------------------


class AddN(Elementwise):
    """The sum of any number of arrays of one shape."""

    name = "add_n"
    aliases = ("ElementWiseSum",)
    count = "num_args"
    num_args = Int(min=1, doc="the number of arrays")

    def write(self, p, t, *args):
        total = args[0]
        for arg in args[1:]:
            total = t("add", total, arg)
        return total

    def gradient(self, p, node, grads):
        return [grads[0]] * p.num_args


class ZerosLike(Elementwise):
    """Zeros in the shape of the input."""

    name = "zeros_like"
    value = 0.0

    def write(self, p, t, x):
        return t.constant(self.value)

    def gradient(self, p, node, grads):
        return [None]


class OnesLike(ZerosLike):
    """Ones in the shape of the input."""

    name = "ones_like"
    value = 1.0


class AllClose(Op):
    """1 where |a - b| <= atol + rtol |b| for all elements, else 0."""

    name = "_contrib_allclose"
    inputs = ("a", "b")
    rtol = Float(1e-5, doc="the part of b that the difference may be")
    atol = Float(1e-8, doc="what the difference may be besides")
    equal_nan = Bool(True, doc="whether NaN is close to NaN")

    def complete_shapes(self, p, ins, outs):
        same_shape(ins, [])

    def output_shapes(self, p, ins):
        return [(1,)]

    def infer_types(self, p, ins, outs):
        inputs = list(ins)
        super().infer_types(p, inputs, [])
        ins[:] = inputs
        outs[0] = "uint8"

    def gradient(self, p, node, grads):
        return [None, None]

    def expand(self, p, node, train):
        a, b = node.inputs
        finite = F._contrib_isfinite(b)  # beside an infinity everything would be close
        near = F.broadcast_lesser_equal(F.abs(a - b), F.abs(b) * p.rtol + p.atol) * finite
        close = F.broadcast_logical_or(near, F.broadcast_equal(a, b))
        if p.equal_nan:
            close = F.broadcast_logical_or(close, F._contrib_isnan(a) * F._contrib_isnan(b))
        return [F.Cast(F.Reshape(F.min(close), shape=(1,)), dtype="uint8")]
