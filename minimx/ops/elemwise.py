"""Elementwise operators: one line each for those that are a function of csrc/ewise.def, a class for the rest.

A gradient is written with the input x, the output y and what arrives at the output, g; `F.name(...)` applies an operator.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from ..base import FLOATS, ShapeError
from ..elementwise import Elementwise, broadcast_shapes, compute_type, opcodes
from ..graph import Value, apply
from ..op import Op, normalize_axis, same_shape, unify
from ..params import Bool, DType, Enum, Float, Int, Shape


class _Operators:
    """F.exp(x) applies the operator `exp` to values."""

    def __getattr__(self, name: str) -> Callable[..., Value]:
        return lambda *values, **params: apply(name, list(values), **params)


F = _Operators()


def sum_to(grad: Value, shape: tuple[int, ...]) -> Value:
    """The gradient of an input that was repeated to the shape of `grad`."""
    if grad.shape == shape:
        return grad
    padded = (1,) * (grad.ndim - len(shape)) + tuple(shape)
    axes = tuple(d for d in range(grad.ndim) if padded[d] == 1 and grad.shape[d] != 1)
    if axes:
        grad = F.sum(grad, axis=axes, keepdims=True)
    return grad if grad.shape == shape else F.Reshape(grad, shape=shape)


def scaled(grad: Value, factor: Value | float) -> Value:
    """grad * factor, without an operation where the factor is 1."""
    if isinstance(factor, Value):
        return grad * factor
    return grad if factor == 1 else (-grad if factor == -1 else grad * factor)


def _define(name: str, base: type, doc: str, **members: Any) -> None:
    type(name, (base,), {"name": name, "__doc__": doc, **members})


# ---- functions of one array ---------------------------------------------------------------------------------------------


def unary(
    name: str,
    slope: Callable[[Value, Value], Any] | None,
    doc: str,
    function: str | None = None,
    aliases: tuple[str, ...] = (),
) -> None:
    """Registers an operator; `slope(x, y)` is its derivative, None where it is zero or does not exist."""
    function = function or name

    def write(self, p, t, x):
        return t(function, x)

    def gradient(self, p, node, grads):
        if slope is None:
            return [None]
        return [scaled(grads[0], slope(node.inputs[0], node.outputs[0]))]

    _define(
        name,
        Elementwise,
        doc,
        aliases=aliases,
        write=write,
        gradient=gradient,
        float_only=not opcodes()[function][2],
    )


_2_OVER_SQRT_PI = 2 / math.sqrt(math.pi)

unary("abs", lambda x, y: F.sign(x), "The absolute value.")
unary("negative", lambda x, y: -1.0, "The number with the other sign.")
unary("sign", None, "-1, 0 or 1.")
unary("square", lambda x, y: 2.0 * x, "The number times itself.")
unary("reciprocal", lambda x, y: -F.square(y), "One divided by the number.")
unary("sqrt", lambda x, y: 0.5 / y, "The square root.")
unary("rsqrt", lambda x, y: -0.5 * y / x, "One divided by the square root.")
unary("cbrt", lambda x, y: (1 / 3) / F.square(y), "The cube root.")
unary("rcbrt", lambda x, y: (-1 / 3) * y / x, "One divided by the cube root.")
unary("exp", lambda x, y: y, "e to the power of the number.")
unary("expm1", lambda x, y: y + 1.0, "exp(x) - 1, exact for small x.")
unary("log", lambda x, y: 1.0 / x, "The natural logarithm.")
unary("log10", lambda x, y: (1 / math.log(10)) / x, "The logarithm to base 10.")
unary("log2", lambda x, y: (1 / math.log(2)) / x, "The logarithm to base 2.")
unary("log1p", lambda x, y: 1.0 / (x + 1.0), "log(1 + x), exact for small x.")
unary("sin", lambda x, y: F.cos(x), "The sine.")
unary("cos", lambda x, y: -F.sin(x), "The cosine.")
unary("tan", lambda x, y: F.square(y) + 1.0, "The tangent.")
unary("arcsin", lambda x, y: F.rsqrt(1.0 - F.square(x)), "The inverse sine.")
unary("arccos", lambda x, y: -F.rsqrt(1.0 - F.square(x)), "The inverse cosine.")
unary("arctan", lambda x, y: 1.0 / (F.square(x) + 1.0), "The inverse tangent.")
unary("sinh", lambda x, y: F.cosh(x), "The hyperbolic sine.")
unary("cosh", lambda x, y: F.sinh(x), "The hyperbolic cosine.")
unary("tanh", lambda x, y: 1.0 - F.square(y), "The hyperbolic tangent.")
unary("arcsinh", lambda x, y: F.rsqrt(F.square(x) + 1.0), "The inverse hyperbolic sine.")
unary("arccosh", lambda x, y: F.rsqrt(F.square(x) - 1.0), "The inverse hyperbolic cosine.")
unary("arctanh", lambda x, y: 1.0 / (1.0 - F.square(x)), "The inverse hyperbolic tangent.")
unary("degrees", lambda x, y: 180 / math.pi, "Radians as degrees.")
unary("radians", lambda x, y: math.pi / 180, "Degrees as radians.")
unary("gamma", lambda x, y: y * F._digamma(x), "The gamma function.")
unary("gammaln", lambda x, y: F._digamma(x), "The logarithm of the gamma function's absolute value.")
unary("_digamma", None, "The derivative of gammaln.", function="digamma")
unary("erf", lambda x, y: _2_OVER_SQRT_PI * F.exp(-F.square(x)), "The error function.")
unary("erfinv", lambda x, y: (1 / _2_OVER_SQRT_PI) * F.exp(F.square(y)), "The inverse error function.")
unary("sigmoid", lambda x, y: y * (1.0 - y), "1 / (1 + exp(-x)).")
unary("softsign", lambda x, y: F.square(1.0 / (F.abs(x) + 1.0)), "x / (1 + |x|).")
unary("relu", lambda x, y: y > 0, "The number, or 0 if it is negative.")
unary("rint", None, "The nearest integer; halves go to the lower one.")
unary("round", None, "The nearest integer; halves go away from zero.")
unary("ceil", None, "The next integer upwards.")
unary("floor", None, "The next integer downwards.")
unary("trunc", None, "The next integer towards zero.")
unary("fix", None, "The next integer towards zero.", function="trunc")
unary("_contrib_isnan", None, "1 where the number is NaN, else 0.", function="isnan")
unary("_contrib_isinf", None, "1 where the number is infinite, else 0.", function="isinf")
unary("_contrib_isfinite", None, "1 where the number is neither NaN nor infinite, else 0.", function="isfinite")
unary("logical_not", None, "1 where the number is 0, else 0.")
unary("_copy", lambda x, y: 1.0, "The same numbers.", function="identity", aliases=("identity",))
unary("_contrib_round_ste", lambda x, y: 1.0, "`round` that passes gradients through.", function="round")
unary("_contrib_sign_ste", lambda x, y: 1.0, "`sign` that passes gradients through.", function="sign")
unary("BlockGrad", None, "The same numbers; no gradient passes.", function="identity", aliases=("stop_gradient",))


# ---- functions of two arrays, or of an array and a number ---------------------------------------------------------------


_SIMPLE_POWERS = {1.0: "identity", 2.0: "square", 0.5: "sqrt", -0.5: "rsqrt", -1.0: "reciprocal"}


class _Binary(Elementwise, abstract=True):
    function = ""
    slopes: tuple[Callable | None, Callable | None] = (None, None)
    inputs = ("lhs", "rhs")

    def write(self, p, t, a, b):
        return t(self.function, a, b)

    def gradient(self, p, node, grads):
        (a, b), y = node.inputs, node.outputs[0]
        result = []
        for value, slope in zip((a, b), self.slopes, strict=True):
            if slope is None:
                result.append(None)
            else:
                result.append(sum_to(scaled(grads[0], slope(a, b, y)), value.shape))
        return result


class _WithScalar(Elementwise, abstract=True):
    function = ""
    slope: Callable | None = None
    reverse = False
    scalar = Float(1.0, doc="the other operand")
    is_int = Bool(True, doc="whether the scalar is an integer; with a fraction, integer data gives float64")

    def infer_types(self, p, ins, outs):
        if ins[0] and ins[0] not in FLOATS and (ins[0] == "bool" or not p.is_int):
            outs[0] = "int64" if p.is_int else "float64"
        else:
            super().infer_types(p, ins, outs)

    def write(self, p, t, x):
        if self.function == "power" and not self.reverse and p.scalar in _SIMPLE_POWERS:
            return t(_SIMPLE_POWERS[p.scalar], x)
        scalar = t.constant(p.scalar)
        return t(self.function, scalar, x) if self.reverse else t(self.function, x, scalar)

    def gradient(self, p, node, grads):
        slope = type(self).slope
        if slope is None:
            return [None]
        x, y = node.inputs[0], node.outputs[0]
        return [scaled(grads[0], slope(p.scalar, x, y) if self.reverse else slope(x, p.scalar, y))]


def binary(
    function: str,
    slopes: tuple[Callable | None, Callable | None],
    doc: str,
    names: Sequence[str] = (),
    broadcast: Sequence[str] = (),
    scalar: Sequence[str] = (),
    reverse: Sequence[str] = (),
) -> None:
    """Registers the forms of a function, each under its name and aliases; the names follow from the function's if not given.

    `slopes` are the derivatives by either operand, of (a, b, y); in the scalar forms one of a and b is a float.
    """
    camel = "".join(part.capitalize() for part in function.split("_"))
    names = names or (f"_{function}", "_" + "_".join(part.capitalize() for part in function.split("_")))
    broadcast = broadcast or (f"broadcast_{function}",)
    scalar = scalar or (f"_{function}_scalar", f"_{camel}Scalar")
    members: dict[str, Any] = {"function": function, "float_only": not opcodes()[function][2]}
    same = f"{doc} The arrays have the same shape."
    _define(names[0], _Binary, same, aliases=tuple(names[1:]), slopes=slopes, **members)
    repeated = f"{doc} Axes of size 1 are repeated."
    _define(broadcast[0], _Binary, repeated, aliases=tuple(broadcast[1:]), slopes=slopes, broadcast=True, **members)
    right = f"{doc} b is the number `scalar`."
    _define(scalar[0], _WithScalar, right, aliases=tuple(scalar[1:]), slope=_static(slopes[0]), **members)
    if reverse:
        left = f"{doc} a is the number `scalar`."
        _define(
            reverse[0], _WithScalar, left, aliases=tuple(reverse[1:]), slope=_static(slopes[1]), reverse=True, **members
        )


def _static(function: Callable | None) -> Any:
    return None if function is None else staticmethod(function)


def _log(a: Value | float) -> Value | float:
    if isinstance(a, Value):
        return F.log(a)
    return math.log(a) if a > 0 else (-math.inf if a == 0 else math.nan)


binary(
    "add",
    (lambda a, b, y: 1.0, lambda a, b, y: 1.0),
    "a + b.",
    ("elemwise_add", "_plus", "_Plus", "_add", "_grad_add"),
    ("broadcast_add", "broadcast_plus"),
    ("_plus_scalar", "_PlusScalar", "_scatter_plus_scalar"),
)
binary(
    "sub",
    (lambda a, b, y: 1.0, lambda a, b, y: -1.0),
    "a - b.",
    ("elemwise_sub", "_minus", "_Minus", "_sub"),
    ("broadcast_sub", "broadcast_minus"),
    ("_minus_scalar", "_MinusScalar", "_scatter_minus_scalar"),
    ("_rminus_scalar", "_RMinusScalar"),
)
binary(
    "mul",
    (lambda a, b, y: b, lambda a, b, y: a),
    "a * b.",
    ("elemwise_mul", "_mul", "_Mul"),
    ("broadcast_mul",),
    ("_mul_scalar", "_MulScalar", "_contrib_backward_gradientmultiplier"),
)
binary(
    "div",
    (lambda a, b, y: 1.0 / b, lambda a, b, y: -y / b),
    "a / b; between integers, without the fraction.",
    ("elemwise_div", "_div", "_Div", "_scatter_elemwise_div"),
    ("broadcast_div",),
    ("_div_scalar", "_DivScalar"),
    ("_rdiv_scalar", "_RDivScalar"),
)
binary(
    "mod",
    (lambda a, b, y: 1.0, lambda a, b, y: -F.floor(a / b)),
    "The remainder of a / b, with the sign of b; 0 where b is 0.",
    ("_mod", "_Mod"),
    ("broadcast_mod",),
    ("_mod_scalar", "_ModScalar"),
    ("_rmod_scalar", "_RModScalar"),
)
binary(
    "power",
    (lambda a, b, y: a ** (b - 1.0) * b, lambda a, b, y: y * _log(a)),
    "a to the power of b.",
    ("_power", "_Power"),
    ("broadcast_power",),
    ("_power_scalar", "_PowerScalar"),
    ("_rpower_scalar", "_RPowerScalar"),
)
binary("maximum", (lambda a, b, y: a >= b, lambda a, b, y: b > a), "The larger of a and b.")
binary("minimum", (lambda a, b, y: a <= b, lambda a, b, y: b < a), "The smaller of a and b.")
binary("hypot", (lambda a, b, y: a / y, lambda a, b, y: b / y), "sqrt(a² + b²).")
binary("logaddexp", (lambda a, b, y: F.exp(a - y), lambda a, b, y: F.exp(b - y)), "log(exp(a) + exp(b)).")
for _name, _doc in (
    ("equal", "1 where a = b, else 0."),
    ("not_equal", "1 where a ≠ b, else 0."),
    ("greater", "1 where a > b, else 0."),
    ("greater_equal", "1 where a ≥ b, else 0."),
    ("lesser", "1 where a < b, else 0."),
    ("lesser_equal", "1 where a ≤ b, else 0."),
    ("logical_and", "1 where neither a nor b is 0, else 0."),
    ("logical_or", "1 where a or b is not 0, else 0."),
    ("logical_xor", "1 where one of a and b is 0 and the other is not, else 0."),
):
    binary(_name, (None, None), _doc)


# ---- choosing, limiting -------------------------------------------------------------------------------------------------


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


# ---- dtypes -------------------------------------------------------------------------------------------------------------


class Cast(Elementwise):
    """The numbers in another dtype. Fractions are cut off; what is too large for an integer wraps around."""

    aliases: ClassVar[tuple[str, ...]] = ("cast",)
    dtype = DType(doc="the dtype of the output")

    def infer_types(self, p, ins, outs):
        outs[0] = p.dtype

    def compute_type(self, p, ins, out):
        return compute_type(ins)

    def write(self, p, t, x):
        return x

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


# ---- sums, constants, copies --------------------------------------------------------------------------------------------


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


class CastStorage(Elementwise):
    """The same numbers: arrays have one kind of storage here."""

    name = "cast_storage"
    stype = Enum(("default",), doc="accepted for programs that ask for dense storage")

    def write(self, p, t, x):
        return x

    def gradient(self, p, node, grads):
        return grads


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


class LikeRhs(Elementwise):
    """The first array; the second only says what shape it has."""

    name = "_identity_with_attr_like_rhs"
    inputs = ("lhs", "rhs")

    def write(self, p, t, a, b):
        return a

    def gradient(self, p, node, grads):
        return [grads[0], None]


class MakeLossLower(Elementwise):
    """The same numbers, as a loss: the gradient is 1, whatever arrives."""

    name = "make_loss"

    def write(self, p, t, x):
        return x

    def gradient(self, p, node, grads):
        return [F.ones_like(node.inputs[0])]


class MakeLoss(Elementwise):
    """The same numbers, as a loss: the gradient is `grad_scale`, normalised, whatever arrives."""

    grad_scale = Float(1.0, doc="the gradient of every number")
    valid_thresh = Float(0.0, doc="numbers above it are valid")
    normalization = Enum(
        ("null", "batch", "valid"), "null", doc="what the gradient is divided by: 1, the batch size, the valid numbers"
    )

    def write(self, p, t, x):
        return x

    def gradient(self, p, node, grads):
        x = node.inputs[0]
        grad = F.ones_like(x) * (p.grad_scale / (x.shape[0] if p.normalization == "batch" else 1))
        if p.normalization == "valid":
            valid = F.sum(x > p.valid_thresh, axis=tuple(range(x.ndim)), keepdims=True)
            grad = F.broadcast_div(grad, F._maximum_scalar(valid, scalar=1.0))
        return [grad]


class GradientMultiplier(Elementwise):
    """The same numbers; the gradient is multiplied by `scalar`."""

    name = "_contrib_gradientmultiplier"
    scalar = Float(1.0, doc="the factor")
    is_int = Bool(True, doc="whether the factor is an integer; has no effect")

    def write(self, p, t, x):
        return x

    def gradient(self, p, node, grads):
        return [grads[0] * p.scalar]


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


# ---- repeating ----------------------------------------------------------------------------------------------------------


class _Repeat(Elementwise, abstract=True):
    broadcast = True

    def write(self, p, t, x, *like):
        return x

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
