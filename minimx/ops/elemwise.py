"""Elementwise operators that are a function of csrc/ewise.def, one line each.

A gradient is written with the input x, the output y and what arrives at the output, g; `F.name(...)` applies an operator.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from ..base import FLOATS
from ..elementwise import Elementwise, opcodes
from ..graph import Value, apply
from ..params import Bool, Float


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
