"""The ewise kernel alone: every function against NumPy and SciPy, every storage type, every way an input is walked."""

import numpy as np
import pytest
from cases.elemwise import COMPARISONS
from scipy import special

from minimx import _core

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy on infinities, meant to be there

OPCODES = _core.ewise_opcodes()
FLAGS = {"float32": 0, "float64": 1, "float16": 2, "uint8": 3, "int32": 4, "int8": 5, "int64": 6, "bool": 7}
SIZES = (1, 3, 4, 7, 17, 63, 512, 513, 1500)
SPECIAL = np.array(
    [np.nan, np.inf, -np.inf, 0, -0.0, 1, -1, 2, -2, 0.5, -0.5, 1.5, -1.5, 2.5, -2.5, 1e-45, -1e-45, 3e38, 88.8, -104]
)


def run_chain(inputs, code, *, dtype, shape=None, strides=None, constants=(), outputs=None, out=None):
    """Runs instructions (name, destination, operands...) over arrays; outputs are (operand, dtype) pairs."""
    shape = list(inputs[0].shape if shape is None else shape)
    if strides is None:
        strides = [[s // a.itemsize for s in a.strides] for a in inputs]
    numbers = []
    for name, to, *operands in code:
        assert len(operands) == OPCODES[name][1]
        numbers += [OPCODES[name][0], to, *operands, *[0] * (4 - len(operands))]
    registers = 1 + max([to for _, to, *_ in code], default=-1)
    outputs = outputs or [(len(inputs) + len(constants) + code[-1][1], dtype)]
    results = out or [np.full(shape, 77, kind) for _, kind in outputs]
    args = {
        "shape": shape,
        "inputs": len(inputs),
        "in_strides": sum((list(s) for s in strides), []),
        "in_types": [FLAGS[str(a.dtype)] for a in inputs],
        "constants": [float(c) for c in constants],
        "code": numbers,
        "registers": registers,
        "out_operands": [operand for operand, _ in outputs],
        "out_types": [FLAGS[kind] for _, kind in outputs],
    }
    _core.run_kernel("ewise." + dtype, args, [*inputs, *results])
    return results


def run(name, *arrays, dtype=None):
    dtype = dtype or str(arrays[0].dtype)
    return run_chain(list(arrays), [(name, 0, *range(len(arrays)))], dtype=dtype)[0]


def digits(name):
    """The units in the last place a float32 function may be off."""
    return {"exp": 1, "sqrt": 0.51, "power": 1, "hypot": 1, "sigmoid": 3, "tanh": 3}.get(name, 4)


def round_half_away(a):
    return np.copysign(np.floor(np.abs(a) + np.longdouble(0.5)), a)


UNARY = {
    "exp": (np.exp, -110, 95),
    "expm1": (np.expm1, -30, 90),
    "log": (np.log, 1e-40, 1e4),
    "log2": (np.log2, 1e-40, 1e4),
    "log10": (np.log10, 1e-40, 1e4),
    "log1p": (np.log1p, -1, 3),
    "sigmoid": (lambda x: 1 / (1 + np.exp(-x)), -80, 80),
    "softrelu": (lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))), -40, 40),
    "softsign": (lambda x: x / (1 + np.abs(x)), -50, 50),
    "sin": (np.sin, -1000, 1000),
    "cos": (np.cos, -1000, 1000),
    "tan": (np.tan, -1000, 1000),
    "arcsin": (np.arcsin, -1, 1),
    "arccos": (np.arccos, -1, 1),
    "arctan": (np.arctan, -20, 20),
    "sinh": (np.sinh, -89.4, 89.4),
    "cosh": (np.cosh, -89.4, 89.4),
    "tanh": (np.tanh, -12, 12),
    "arcsinh": (np.arcsinh, -100, 100),
    "arccosh": (np.arccosh, 1, 100),
    "arctanh": (np.arctanh, -1, 1),
    "sqrt": (np.sqrt, 0, 1000),
    "rsqrt": (lambda x: 1 / np.sqrt(x), 0, 1000),
    "cbrt": (np.cbrt, -1000, 1000),
    "rcbrt": (lambda x: 1 / np.cbrt(x), -1000, 1000),
    "reciprocal": (lambda x: 1 / x, -10, 10),
    "degrees": (np.degrees, -10, 10),
    "radians": (np.radians, -1000, 1000),
    "erf": (special.erf, -5, 5),
    "erfinv": (special.erfinv, -1, 1),
    "gamma": (special.gamma, 0.1, 30),
    "gammaln": (special.gammaln, 1e-6, 30),
    "digamma": (special.digamma, 2, 30),
    "identity": (lambda x: x, -5, 5),
    "abs": (np.abs, -5, 5),
    "negative": (np.negative, -5, 5),
    "sign": (lambda x: np.where(np.isnan(x), 0, np.sign(x)), -5, 5),
    "square": (np.square, -5, 5),
    "relu": (lambda x: np.where(np.isnan(x), x, np.maximum(x, 0)), -5, 5),
    "rint": (lambda x: np.ceil(x - np.longdouble(0.5)), -5, 5),
    "round": (round_half_away, -5, 5),
    "ceil": (np.ceil, -5, 5),
    "floor": (np.floor, -5, 5),
    "trunc": (np.trunc, -5, 5),
    "logical_not": (np.logical_not, -5, 5),
    "isnan": (np.isnan, -5, 5),
    "isinf": (np.isinf, -5, 5),
    "isfinite": (np.isfinite, -5, 5),
}
BINARY = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "mod": np.mod,
    "power": np.power,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "hypot": np.hypot,
    "arctan2": np.arctan2,
    **COMPARISONS,
}
DOUBLE_ONLY = (special.erf, special.erfinv, special.gamma, special.gammaln, special.digamma)


def exact(function, *arrays):
    """The function in more digits than the arrays have (SciPy's stop at float64)."""
    wide = np.float64 if function in DOUBLE_ONLY else np.longdouble
    return np.asarray(function(*[a.astype(wide) for a in arrays]), np.longdouble)


def errors_in_ulp(got, want):
    rounded = want.astype(got.dtype)
    same = (got == rounded) | (np.isnan(got) & np.isnan(rounded))
    unit = np.abs(np.spacing(np.where(np.isfinite(rounded), rounded, 1))).astype(np.longdouble)
    return np.where(same, 0, np.abs(got.astype(np.longdouble) - want) / unit)


@pytest.mark.parametrize("name", UNARY)
def test_unary_accuracy(name):
    function, low, high = UNARY[name]
    rng = np.random.default_rng(1)
    small = rng.choice([-1, 1], 5000) * 10.0 ** rng.uniform(-30, 0, 5000)
    x = np.concatenate([rng.uniform(low, high, 40001), small[(small > low) & (small < high)]]).astype("float32")
    assert errors_in_ulp(run(name, x), exact(function, x)).max() <= digits(name)


@pytest.mark.parametrize("name", UNARY)
def test_unary_float64(name):
    function, low, high = UNARY[name]
    x = np.random.default_rng(2).uniform(low, high, 3001)
    want = exact(function, x)
    np.testing.assert_allclose(run(name, x), want.astype("float64"), rtol=1e-14, atol=1e-15 * float(np.abs(want).max()))


@pytest.mark.parametrize("name", UNARY)
def test_unary_special_values(name):
    function = UNARY[name][0]
    x = SPECIAL.astype("float32")
    got, want = run(name, x), exact(function, x).astype("float32")
    if name == "gammaln":  # the C library: infinity at both ends
        want[2] = np.inf
    if name == "digamma":  # no value at the pole
        want[3:5] = np.nan
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-44)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", BINARY)
def test_binary(name, dtype):
    rng = np.random.default_rng(3)
    a = rng.uniform(0 if name == "power" else -5, 5, 20001).astype(dtype)
    b = rng.uniform(-8, 8, 20001).astype(dtype)
    b[::7] = a[::7]
    a[::11] = 0
    b[5::13] = 1
    want = exact(BINARY[name], a, b)
    assert errors_in_ulp(run(name, a, b), want).max() <= digits(name)


@pytest.mark.parametrize("name", BINARY)
def test_binary_special_values(name):
    a, b = (m.ravel().astype("float32") for m in np.meshgrid(SPECIAL, SPECIAL))
    want = exact(BINARY[name], a, b).astype("float32")
    got = run(name, a, b)
    if name == "mod":  # MXNet: 0 by a zero divisor; what it does with infinities is nobody's business
        keep = np.isfinite(a) & np.isfinite(b)
        got, want = got[keep], np.where(b == 0, 0, want)[keep]
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-44)


@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_integers(dtype):
    rng = np.random.default_rng(4)
    a, b = rng.integers(-20, 20, (2, 1001)).astype(dtype)
    lowest = np.iinfo(dtype).min
    a[:2], b[:2] = lowest, (-1, 0)
    for name, (function, _, _) in UNARY.items():
        if OPCODES[name][2] and name != "isnan":
            np.testing.assert_array_equal(run(name, a[2:]), function(a[2:]).astype(dtype), err_msg=name)
        elif name != "isnan":
            assert not OPCODES[name][2]
    for name, function in BINARY.items():
        if not OPCODES[name][2]:
            continue
        got = run(name, a, b)
        if name == "div":
            assert got[0] == lowest and got[1] == 0
            want = np.trunc(a / np.where(b == 0, np.inf, b))
            np.testing.assert_array_equal(got[2:], want[2:])
        elif name == "mod":
            np.testing.assert_array_equal(got, np.where(b == 0, 0, np.mod(a, np.where(b == 0, 1, b))))
        else:
            np.testing.assert_array_equal(got, function(a, b).astype(dtype), err_msg=name)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64"])
@pytest.mark.parametrize("size", SIZES)
def test_ternary_and_iota(dtype, size):
    rng = np.random.default_rng(size)
    a, b, c = (rng.integers(-3, 4, size).astype(dtype) for _ in range(3))
    np.testing.assert_array_equal(run("where", a, b, c), np.where(a != 0, b, c))
    np.testing.assert_array_equal(run("mul_add", a, b, c), a * b + c)
    low, high = np.minimum(b, c), np.maximum(b, c)
    np.testing.assert_array_equal(run("clip", a, low, high), np.clip(a, low, high))
    out = run_chain([], [("iota", 0)], dtype=dtype, shape=[size])[0]
    np.testing.assert_array_equal(out, np.arange(size))


@pytest.mark.parametrize("size", SIZES)
def test_two_steps_in_one(size):
    """The functions of `CONTRACTIONS` round after each step."""
    a, b, c = np.random.default_rng(size).uniform(0.5, 2, (3, size)).astype("float32")
    np.testing.assert_array_equal(run("mul_add", a, b, c), a * b + c)
    np.testing.assert_array_equal(run("mul_sub", a, b, c), a * b - c)
    np.testing.assert_array_equal(run("sub_mul", a, b, c), c - a * b)
    np.testing.assert_array_equal(run("if_greater", a, b, c), (a > b) * c)
    np.testing.assert_array_equal(run("square_mul", a, b), a * a * b)
    np.testing.assert_array_equal(run("root_add", a, b), np.sqrt(a) + b)
    np.testing.assert_array_equal(run("div_root", a, b, c), c / (np.sqrt(a) + b))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64"])
@pytest.mark.parametrize("single", range(16))
def test_two_products_in_one(dtype, single):
    """Any of the operands may be one number, which the walk over a tile knows before it begins."""
    for size in SIZES:
        draw = np.random.default_rng(size).uniform(0.5, 9, (4, size)).astype(dtype)
        operands = [row[:1] if single >> k & 1 else row for k, row in enumerate(draw)]
        a, b, c, d = operands
        strides = [[0 if single >> k & 1 else 1] for k in range(4)]
        for name, expected in (("mul_add_mul", a * b + c * d), ("mul_sub_mul", a * b - c * d)):
            (got,) = run_chain(operands, [(name, 0, 0, 1, 2, 3)], dtype=dtype, shape=[size], strides=strides)
            np.testing.assert_array_equal(got, np.broadcast_to(expected, size), err_msg=name)


def test_clip_keeps_nan():
    x = np.array([np.nan, -9, 0, 9], "float32")
    out = run_chain([x], [("clip", 0, 0, 1, 2)], dtype="float32", constants=[-1, 1])[0]
    np.testing.assert_array_equal(out, [np.nan, -1, 0, 1])


@pytest.mark.parametrize("stored", FLAGS)
@pytest.mark.parametrize("compute", ["float32", "float64", "int32", "int64"])
def test_storage_types(stored, compute):
    rng = np.random.default_rng(5)
    for size in SIZES:
        x = rng.integers(0, 2 if stored == "bool" else 100, size).astype(stored)
        if stored.startswith("float"):
            x = x + rng.choice([0, 0.25, -0.5], size).astype(stored)
        np.testing.assert_array_equal(run_chain([x], [], dtype=compute, outputs=[(0, compute)])[0], x.astype(compute))
        y = rng.integers(-300, 300, size).astype(compute)
        if compute.startswith("float"):
            y = y + rng.choice([0, 0.25, -0.5], size).astype(compute)
        want = y.astype("int64").astype(stored) if stored in ("int8", "uint8") else y.astype(stored)
        np.testing.assert_array_equal(run_chain([y], [], dtype=compute, outputs=[(0, stored)])[0], want)


def test_float16_conversion_is_exact():
    halves = np.arange(65536, dtype="uint16").view("float16")
    np.testing.assert_array_equal(run("identity", halves, dtype="float32").astype("float16"), halves)
    rng = np.random.default_rng(6)
    x = rng.integers(0, 2**32, 200003, dtype="uint32").view("float32")
    near = halves.astype("float32")
    x = np.concatenate(
        [x, near, np.nextafter(near, np.inf), np.nextafter(near, -np.inf), near * np.float32(1.00048828125)]
    )
    want = x.astype("float16")
    for n in (len(x), 5):  # the processor's instruction, and the tail
        np.testing.assert_array_equal(
            run_chain([x[-n:].copy()], [], dtype="float32", outputs=[(0, "float16")])[0], want[-n:]
        )


def test_bfloat16():
    rng = np.random.default_rng(7)
    x = np.concatenate([rng.normal(size=1001), [np.nan, np.inf, -np.inf, 3.4e38]]).astype("float32")
    args = {"shape": [x.size], "inputs": 1, "in_strides": [1], "constants": [], "code": [], "registers": 0}
    args |= {"out_operands": [0]}
    stored, back = np.empty(x.size, "uint16"), np.empty_like(x)
    _core.run_kernel("ewise.float32", args | {"in_types": [0], "out_types": [12]}, [x, stored])
    _core.run_kernel("ewise.float32", args | {"in_types": [12], "out_types": [0]}, [stored, back])
    np.testing.assert_allclose(back[:-4], x[:-4], rtol=2**-8)
    np.testing.assert_array_equal(back[-4:], [np.nan, np.inf, -np.inf, np.inf])
    bits = x.view("uint32").astype("uint64")[:-4]
    even = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
    np.testing.assert_array_equal(stored[:-4], even)


SHAPES = [(1,), (5,), (2, 2), (3, 1, 4), (7, 33), (4, 10, 7, 7), (513,), (3, 700), (2, 3, 4, 5, 6), (64, 8), (40, 512)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("stored", ["float32", "int8", "float64"])
def test_broadcast_and_strides(shape, stored):
    rng = np.random.default_rng(8)
    full = rng.integers(-9, 9, shape).astype("float32")
    for mask in range(2 ** len(shape)):
        kept = tuple(n if mask >> d & 1 else 1 for d, n in enumerate(shape))
        base = rng.integers(-9, 9, kept).astype(stored)
        other = np.broadcast_to(base, shape)
        strides = [[s // a.itemsize for s in a.strides] for a in (full, other)]
        out = run_chain([full, base], [("add", 0, 0, 1)], dtype="float32", strides=strides)[0]
        np.testing.assert_array_equal(out, full + other.astype("float32"))
    turned = np.ascontiguousarray(full.T)
    strides = [[s // full.itemsize for s in turned.T.strides]]
    out = run_chain([turned], [("negative", 0, 0)], dtype="float32", shape=shape, strides=strides)[0]
    np.testing.assert_array_equal(out, -full)


def test_chain_with_several_outputs_in_place():
    """The momentum step: two outputs over the memory of two inputs."""
    rng = np.random.default_rng(9)
    for size in SIZES + (100_003,):
        weight, gradient, momentum = rng.normal(size=(3, size)).astype("float32")
        new_momentum = np.float32(0.9) * momentum - np.float32(0.1) * gradient
        want = weight + new_momentum
        code = [("mul", 0, 2, 3), ("mul", 1, 1, 4), ("sub", 1, 5, 6), ("add", 0, 0, 6)]
        outputs = [(5, "float32"), (6, "float32")]
        run_chain(
            [weight, gradient, momentum],
            code,
            dtype="float32",
            constants=[0.9, 0.1],
            outputs=outputs,
            out=[weight, momentum],
        )
        np.testing.assert_allclose(momentum, new_momentum, rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(weight, want, rtol=1e-6, atol=1e-6)


def test_an_input_is_read_before_an_output_is_written_over_it():
    rng = np.random.default_rng(10)
    for size in SIZES + (70_001,):
        a, b = rng.normal(size=(2, size)).astype("float32")
        want, product = a + b, a * b
        other = np.empty_like(a)
        code = [("add", 0, 0, 1), ("mul", 1, 0, 1)]
        run_chain([a, b], code, dtype="float32", outputs=[(2, "float32"), (3, "float32")], out=[a, other])
        np.testing.assert_array_equal(a, want)
        np.testing.assert_array_equal(other, product)


def test_a_number_is_stored_everywhere():
    """An output that is a broadcast number or a constant itself, beside one that is computed from them."""
    number, a = np.array([3], "float32"), np.arange(1000, dtype="float32")
    outputs = [(0, "float32"), (2, "float64"), (3, "float32")]
    strides = [[0], [1]]
    everywhere, five, total = run_chain(
        [number, a], [("add", 0, 0, 1)], dtype="float32", shape=[1000], strides=strides, constants=[5], outputs=outputs
    )
    np.testing.assert_array_equal(everywhere, np.full(1000, 3, "float32"))
    np.testing.assert_array_equal(five, np.full(1000, 5, "float64"))
    np.testing.assert_array_equal(total, a + 3)


def test_inputs_that_are_outputs_outlive_what_is_written_over_them():
    rng = np.random.default_rng(11)
    for size in SIZES + (70_001,):
        a, b = rng.normal(size=(2, size)).astype("float32")
        old_a, old_b, last = a.copy(), b.copy(), np.empty(size, "float32")
        outputs = [(1, "float32"), (0, "float32"), (2, "float32")]
        run_chain([a, b], [("mul", 0, 0, 1)], dtype="float32", outputs=outputs, out=[a, b, last])
        np.testing.assert_array_equal(a, old_b)
        np.testing.assert_array_equal(b, old_a)
        np.testing.assert_array_equal(last, old_a * old_b)


def test_tails_are_left_alone():
    for size in SIZES:
        x, out = np.ones(size, "float32"), np.full(size + 40, 5, "float32")
        run_chain([x], [("add", 0, 0, 0)], dtype="float32", out=[out], shape=[size])
        assert (out[:size] == 2).all() and (out[size:] == 5).all()


def test_large_arrays_and_streaming_stores():
    x = np.random.default_rng(10).normal(size=5_000_011).astype("float32")
    room = np.empty(x.size + 64, "float32")
    start = -(room.ctypes.data // 4) % 16  # streaming needs an aligned output
    for shift in (0, 1):
        out = room[start + shift : start + shift + x.size]
        run_chain([x], [("mul_add", 0, 0, 1, 2)], dtype="float32", constants=[2, 1], out=[out])
        np.testing.assert_allclose(out, 2 * x + 1, rtol=1e-6, atol=1e-6)


def test_empty_shape_is_one_element_and_zero_size_is_none():
    assert run_chain([np.array([3], "float32")], [("square", 0, 0)], dtype="float32", shape=[], strides=[[]])[0] == 9
    out = np.full(4, 5, "float32")
    run_chain([out], [("square", 0, 0)], dtype="float32", shape=[0, 4], strides=[[4, 1]], out=[out])
    assert (out == 5).all()
