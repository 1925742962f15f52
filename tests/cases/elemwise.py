"""Cases of elementwise operators: see tests/cases/__init__.py."""

import math

import numpy as np
from scipy import special

from . import Case, real, whole

SHAPE = (3, 5, 7)


def unary(op, twin, low=-2.0, high=2.0, away_from=(), **options):
    return Case(op, [real(*SHAPE, low=low, high=high, away_from=away_from)], {}, twin, **options)


def flat(op, twin, away_from=(0,), grads=None):
    """A function made of steps: finite differences are zero away from them."""
    return unary(op, twin, away_from=away_from, grads=grads)


def rint(x):
    return np.ceil(x - 0.5)


def round_half_away(x):
    return np.copysign(np.floor(np.abs(x) + 0.5), x)


STEPS = (-2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2)

UNARY = [
    unary("abs", np.abs, away_from=(0,)),
    unary("negative", np.negative, dtypes=("float32", "float64", "int32", "int64", "int8")),
    unary("square", np.square),
    unary("reciprocal", lambda x: 1 / x, 0.2),
    unary("sqrt", np.sqrt, 0.2),
    unary("rsqrt", lambda x: 1 / np.sqrt(x), 0.2),
    unary("cbrt", np.cbrt, 0.2),
    unary("rcbrt", lambda x: 1 / np.cbrt(x), 0.2),
    unary("exp", np.exp),
    unary("expm1", np.expm1),
    unary("log", np.log, 0.2),
    unary("log10", np.log10, 0.2),
    unary("log2", np.log2, 0.2),
    unary("log1p", np.log1p, -0.8),
    unary("sin", np.sin),
    unary("cos", np.cos),
    unary("tan", np.tan, -1.2, 1.2),
    unary("arcsin", np.arcsin, -0.9, 0.9),
    unary("arccos", np.arccos, -0.9, 0.9),
    unary("arctan", np.arctan),
    unary("sinh", np.sinh),
    unary("cosh", np.cosh),
    unary("tanh", np.tanh),
    unary("arcsinh", np.arcsinh),
    unary("arccosh", np.arccosh, 1.2, 4),
    unary("arctanh", np.arctanh, -0.9, 0.9),
    unary("degrees", np.degrees),
    unary("radians", np.radians),
    unary("gamma", special.gamma, 0.5, 4),
    unary("gammaln", special.gammaln, 0.5, 4),
    unary("_digamma", special.digamma, 0.5, 4, grads=()),
    unary("erf", special.erf),
    unary("erfinv", special.erfinv, -0.9, 0.9),
    unary("sigmoid", special.expit),
    unary("softsign", lambda x: x / (1 + np.abs(x)), away_from=(0,)),
    unary("relu", lambda x: np.maximum(x, 0), away_from=(0,)),
    unary("_copy", lambda x: x),
    flat("sign", np.sign),
    flat("rint", rint, STEPS),
    flat("round", round_half_away, STEPS),
    flat("ceil", np.ceil, STEPS),
    flat("floor", np.floor, STEPS),
    flat("trunc", np.trunc, STEPS),
    flat("fix", np.trunc, STEPS),
    *(
        Case(f"_contrib_{name}", [np.array([0, 1.5, np.nan, -np.inf, np.inf, -2])], {}, getattr(np, name), grads=())
        for name in ("isnan", "isinf", "isfinite")
    ),
    Case("logical_not", [whole(*SHAPE, low=-1, high=2)], {}, lambda x: x == 0),
    unary("_contrib_round_ste", round_half_away, away_from=STEPS, gradient=lambda x, g: [g]),
    unary("_contrib_sign_ste", np.sign, away_from=(0,), gradient=lambda x, g: [g]),
    unary("BlockGrad", lambda x: x, gradient=lambda x, g: [0 * g]),
]


def modulo(a, b):
    return np.where(b == 0, 0, np.mod(a, np.where(b == 0, 1, b)))


def power(a, b):
    return np.power(a, b)


def flag(function):
    return lambda a, b: function(a, b).astype(np.result_type(a, b))


# function: twin, the ranges of a and b, and the scalar of the scalar forms
ARITHMETIC = {
    "add": (np.add, (-2, 2), (-2, 2), 1.5),
    "sub": (np.subtract, (-2, 2), (-2, 2), 1.5),
    "mul": (np.multiply, (-2, 2), (-2, 2), -2.5),
    "div": (np.divide, (-2, 2), (0.3, 2), 0.5),
    "mod": (modulo, (0.1, 0.9), (1, 2), 0.95),
    "power": (power, (0.3, 2), (-2, 2), 1.75),
    "hypot": (np.hypot, (0.3, 2), (0.3, 2), 1.25),
    "logaddexp": (np.logaddexp, (-2, 2), (-2, 2), 0.5),
}
SAME = {"add": "elemwise_add", "sub": "elemwise_sub", "mul": "elemwise_mul", "div": "elemwise_div"}
SCALAR = {"add": "_plus_scalar", "sub": "_minus_scalar"}
REVERSE = {"sub": "_rminus_scalar", "div": "_rdiv_scalar", "mod": "_rmod_scalar", "power": "_rpower_scalar"}
COMPARISONS = {
    "equal": np.equal,
    "not_equal": np.not_equal,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
    "lesser": np.less,
    "lesser_equal": np.less_equal,
    "logical_and": np.logical_and,
    "logical_or": np.logical_or,
    "logical_xor": np.logical_xor,
}
INTEGERS = ("float32", "float64", "int32", "int64")


def arithmetic(name):
    twin, a, b, scalar = ARITHMETIC[name]
    scalar_op = SCALAR.get(name, f"_{name}_scalar")
    a, b = {"low": a[0], "high": a[1]}, {"low": b[0], "high": b[1]}
    yield Case(SAME.get(name, f"_{name}"), [real(*SHAPE, **a), real(*SHAPE, **b)], {}, twin)
    for left, right in (
        ((3, 5, 7), (3, 5, 7)),
        ((3, 1, 7), (3, 5, 1)),
        ((1, 5), (4, 1)),
        ((2, 3), (1, 1)),
        ((6,), (6,)),
    ):
        length = 35
        yield Case(f"broadcast_{name}", [real(*left, **a), real(*right, **b)], {}, twin, length=length)
    yield Case(scalar_op, [real(*SHAPE, **a)], {"scalar": scalar}, lambda x: twin(x, scalar))
    yield Case(scalar_op, [real(*SHAPE, **a)], {"is_int": False}, lambda x: twin(x, 1.0))
    if name in REVERSE:
        left = 0.5 if name != "power" else 2.5
        yield Case(REVERSE[name], [real(*SHAPE, **b)], {"scalar": left}, lambda x: twin(left, x))
        yield Case(REVERSE[name], [real(*SHAPE, **b)], {"is_int": False}, lambda x: twin(1.0, x))


def whole_arithmetic(name):
    """On integers, where the fraction of a scalar is cut off unless is_int says otherwise."""
    scalar_op = SCALAR.get(name, f"_{name}_scalar")
    twin = ARITHMETIC[name][0] if name != "div" else lambda a, b: np.trunc(a / b)
    ints = whole(4, 9, low=-9, high=9)
    other = whole(4, 9, low=1, high=9)
    kinds = {"dtypes": ("int32", "int64"), "half": False}
    yield Case(f"broadcast_{name}", [ints, other], {}, twin, **kinds)
    yield Case(scalar_op, [ints], {"scalar": 3.0}, lambda x: twin(x, 3), **kinds)
    yield Case(scalar_op, [ints], {"scalar": 2.5, "is_int": False}, lambda x: ARITHMETIC[name][0](x, 2.5), **kinds)


def extreme(name, twin):
    a, b = real(*SHAPE, distinct=True), real(*SHAPE, low=-2.2, high=2.2, distinct=True)
    yield Case(f"_{name}", [a, b], {}, twin)
    yield Case(
        f"broadcast_{name}", [real(3, 1, 7, distinct=True), real(1, 5, 1, low=-1, distinct=True)], {}, twin, length=35
    )
    yield Case(f"_{name}_scalar", [real(*SHAPE, away_from=(0.5,))], {"scalar": 0.5}, lambda x: twin(x, 0.5))
    yield Case(f"_{name}_scalar", [real(*SHAPE, away_from=(1.0,))], {"is_int": False}, lambda x: twin(x, 1.0))


def comparison(name):
    twin = flag(COMPARISONS[name])
    a, b = whole(*SHAPE, low=-1, high=2), whole(*SHAPE, low=-1, high=2)
    yield Case(f"_{name}", [a, b], {}, twin, dtypes=INTEGERS)
    yield Case(f"broadcast_{name}", [whole(3, 1, 7, low=-1, high=2), whole(5, 7, low=-1, high=2)], {}, twin)
    for scalar in (0.0, 1.0):
        compare = lambda x, s=scalar: COMPARISONS[name](x, s).astype(x.dtype)  # noqa: E731
        yield Case(f"_{name}_scalar", [a], {"scalar": scalar, "is_int": scalar > 0}, compare, dtypes=INTEGERS)


BINARY = [
    *(case for name in ARITHMETIC for case in arithmetic(name)),
    *(case for name in ("add", "sub", "mul", "div") for case in whole_arithmetic(name)),
    *extreme("maximum", np.maximum),
    *extreme("minimum", np.minimum),
    *(case for name in COMPARISONS for case in comparison(name)),
    *(
        Case("_power_scalar", [real(*SHAPE, low=0.3)], {"scalar": s}, lambda x, s=s: x**s)
        for s in (1.0, 2.0, 0.5, -0.5, -1.0)
    ),
]


def smooth_l1(sigma):
    def twin(x):
        inside = np.abs(x) < 1 / sigma**2
        return np.where(inside, 0.5 * (sigma * x) ** 2, np.abs(x) - 0.5 / sigma**2)

    return twin


CHOOSING = [
    Case("clip", [real(*SHAPE, away_from=(-1, 0.5))], {"a_min": -1.0, "a_max": 0.5}, lambda x: np.clip(x, -1, 0.5)),
    Case("clip", [real(*SHAPE, away_from=(0, 1))], {"a_min": 0.0, "a_max": 1.0}, lambda x: np.clip(x, 0, 1)),
    Case("smooth_l1", [real(*SHAPE, away_from=(-1, 1))], {}, smooth_l1(1)),
    Case("smooth_l1", [real(*SHAPE, away_from=(-0.25, 0.25))], {"scalar": 2.0}, smooth_l1(2)),
    Case(
        "hard_sigmoid",
        [real(*SHAPE, low=-4, high=4, away_from=(-2.5, 2.5))],
        {},
        lambda x: np.clip(0.2 * x + 0.5, 0, 1),
    ),
    Case(
        "hard_sigmoid",
        [real(*SHAPE, away_from=(-0.8, 1.2))],
        {"alpha": 0.5, "beta": 0.4},
        lambda x: np.clip(0.5 * x + 0.4, 0, 1),
    ),
    Case("where", [whole(*SHAPE, high=2), real(*SHAPE), real(*SHAPE)], {}, np.where),
    Case("where", [whole(*SHAPE, high=2, dtype="int32"), real(*SHAPE), real(*SHAPE)], {}, np.where),
    Case("where", [whole(4, high=2), real(4, 3), real(4, 3)], {}, lambda c, x, y: np.where(c[:, None], x, y)),
    Case("_where_rows", [whole(4, 1, high=2), real(4, 3), real(4, 3)], {}, np.where),
]


def to_dtype(dtype):
    return lambda x: x.astype("int64").astype(dtype)


DTYPES = [
    *(Case("Cast", [real(*SHAPE, high=100)], {"dtype": d}, to_dtype(d), grads=()) for d in ("int32", "int64", "int8")),
    Case("Cast", [real(*SHAPE)], {"dtype": "float32"}, lambda x: x),
    Case("Cast", [real(*SHAPE)], {"dtype": "float64"}, lambda x: x, ulps=8.0),
    Case("Cast", [whole(*SHAPE, high=300, dtype="int32")], {"dtype": "uint8"}, lambda x: x.astype("uint8")),
    Case("Cast", [whole(*SHAPE, high=3, dtype="int32")], {"dtype": "bool"}, lambda x: x != 0),
    Case("amp_cast", [real(*SHAPE)], {"dtype": "float32"}, lambda x: x),
    Case("amp_cast", [real(*SHAPE)], {"dtype": "float64"}, lambda x: x),
    Case(
        "amp_multicast",
        [real(2, 3), real(4, dtype="float32")],
        {"num_outputs": 2},
        lambda a, b: (a, b),
    ),
    Case(
        "amp_multicast",
        [real(2, 3), real(4, dtype="float32")],
        {"num_outputs": 2, "cast_narrow": True},
        lambda a, b: (a, b),
        grads=(),
    ),
    Case(
        "amp_multicast",
        [real(2, 3, dtype="float16"), real(4), real(1, dtype="float64")],
        {"num_outputs": 3},
        lambda *arrays: arrays,
        grads=(),
    ),
]


def make_loss(scale, divide):
    return lambda x, g: [np.full_like(x, scale / divide(x))]


LIKE = [
    Case("add_n", [real(*SHAPE)], {}, lambda x: x),
    Case("add_n", [real(*SHAPE), real(*SHAPE), real(*SHAPE)], {"num_args": 3}, lambda *args: sum(args)),
    Case("zeros_like", [real(*SHAPE)], {}, np.zeros_like, gradient=lambda x, g: [0 * x]),
    Case("ones_like", [real(*SHAPE)], {}, np.ones_like, gradient=lambda x, g: [0 * x]),
    Case("_identity_with_attr_like_rhs", [real(*SHAPE), real(*SHAPE)], {}, lambda a, b: a),
    Case("make_loss", [real(*SHAPE)], {}, lambda x: x, gradient=lambda x, g: [np.ones_like(x)]),
    Case("MakeLoss", [real(*SHAPE)], {}, lambda x: x, gradient=make_loss(1, lambda x: 1)),
    Case(
        "MakeLoss",
        [real(*SHAPE)],
        {"grad_scale": 3.0, "normalization": "batch"},
        lambda x: x,
        gradient=make_loss(3, len),
    ),
    Case(
        "MakeLoss",
        [real(*SHAPE, away_from=(0.2,))],
        {"valid_thresh": 0.2, "normalization": "valid"},
        lambda x: x,
        gradient=make_loss(1, lambda x: max(1, (x > 0.2).sum())),
    ),
    Case(
        "_contrib_gradientmultiplier", [real(*SHAPE)], {"scalar": -0.5}, lambda x: x, gradient=lambda x, g: [-0.5 * g]
    ),
    Case(
        "_contrib_gradientmultiplier",
        [real(*SHAPE)],
        {"scalar": 2.0, "is_int": False},
        lambda x: x,
        gradient=lambda x, g: [2 * g],
    ),
    Case("_contrib_quadratic", [real(*SHAPE)], {"a": 2.0, "b": -1.0, "c": 0.5}, lambda x: 2 * x * x - x + 0.5),
    Case("_contrib_quadratic", [real(*SHAPE)], {}, np.zeros_like),
    Case("_contrib_div_sqrt_dim", [real(*SHAPE)], {}, lambda x: x / math.sqrt(7)),
]

NEAR = np.array([1.0, np.nan, np.inf, -np.inf, 0.0])

REPEATING = [
    Case("broadcast_to", [real(2, 1, 4)], {"shape": (2, 3, 0)}, lambda x: np.broadcast_to(x, (2, 3, 4)), length=3),
    Case("broadcast_to", [real(1, 1)], {"shape": (3, 5)}, lambda x: np.broadcast_to(x, (3, 5)), length=15),
    Case(
        "broadcast_axis",
        [real(1, 3, 1)],
        {"axis": (0, -1), "size": (2, 4)},
        lambda x: np.broadcast_to(x, (2, 3, 4)),
        length=8,
    ),
    Case("broadcast_axis", [real(2, 1)], {"axis": 1, "size": 3}, lambda x: np.broadcast_to(x, (2, 3)), length=3),
    Case("broadcast_like", [real(1, 3), real(2, 3)], {}, lambda a, b: np.broadcast_to(a, (2, 3)), length=2),
    Case(
        "broadcast_like",
        [real(1, 3), real(5, 2)],
        {"lhs_axes": (0,), "rhs_axes": (1,)},
        lambda a, b: np.broadcast_to(a, (2, 3)),
        length=2,
    ),
    Case("cast_storage", [real(2, 3)], {"stype": "default"}, lambda x: x),
    Case("_contrib_allclose", [NEAR, NEAR], {}, lambda a, b: np.array([1]), half=False, grads=()),
    Case("_contrib_allclose", [NEAR, NEAR], {"equal_nan": False}, lambda a, b: np.array([0]), half=False, grads=()),
    Case("_contrib_allclose", [np.zeros(3), np.full(3, 0.1)], {}, lambda a, b: np.array([0]), grads=()),
    Case("_contrib_allclose", [np.zeros(3), np.full(3, 0.1)], {"atol": 0.2}, lambda a, b: np.array([1]), grads=()),
    Case("_contrib_allclose", [np.full(3, 1.05), np.ones(3)], {"rtol": 0.1}, lambda a, b: np.array([1]), grads=()),
    Case("_contrib_allclose", [np.ones(2), np.array([np.inf, 1])], {"rtol": 0.1}, lambda a, b: np.array([0]), grads=()),
]

CASES = [*UNARY, *BINARY, *CHOOSING, *DTYPES, *LIKE, *REPEATING]
