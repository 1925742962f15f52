"""The sweep over all operators and their cases (tests/cases): forward, gradient, dtypes, adding, files, fusing, levels."""

import os
import subprocess
import sys

import numpy as np
import pytest
from cases import all_cases
from running import Running, differentiable, input_names, inputs_of, stands_for_reals, symbol_of

import minimx as mx
from minimx import _core
from minimx.base import FLOATS, dtype_name
from minimx.eager import invoke
from minimx.op import find

CASES = all_cases()
STEP = 1e-5  # of finite differences, in float64
EVERY = 48  # inputs up to this size are differentiated element by element, larger ones in random directions


def over(cases):
    """The test runs for each of these cases."""
    return pytest.mark.parametrize("case", cases, ids=[c.id for c in cases])


def twin_inputs(inputs):
    """What the twin gets: the numbers that were really fed in, with all precision to compute with."""
    return [a.astype(np.float64 if dtype_name(a.dtype) in FLOATS else np.int64) for a in inputs.values()]


def twin_arrays(case, inputs):
    """The inputs for the twin: those that stand for whole numbers come as integers."""
    return [
        a if stands_for_reals(given) else a.astype(int)
        for a, given in zip(twin_inputs(inputs), case.inputs, strict=True)
    ]


def many(result):
    return list(result) if isinstance(result, (tuple, list)) else [result]


def tolerance(case, dtype):
    return (case.ulps + 4 * case.length**0.5) * np.finfo(dtype).eps if dtype_name(dtype) in FLOATS else 0.0


def assert_near(case, got, expected, what, terms=None):
    """Equal up to the case's tolerance, relative to the largest element."""
    expected = np.asarray(expected)
    assert got.shape == expected.shape, f"{what}: shape {got.shape} instead of {expected.shape}"
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(np.isfinite(got), finite, err_msg=what)
    np.testing.assert_array_equal(got[~finite], expected[~finite].astype(got.dtype), err_msg=what)
    size = max(np.abs(expected[finite]).max(initial=0), terms or 0)
    limit = tolerance(case, got.dtype) * size
    worst = np.abs(got[finite].astype(np.float64) - expected[finite]).max(initial=0)
    assert worst <= limit, f"{what}: off by {worst:.3g} of {size:.3g}, allowed are {limit:.3g}"


def head_gradients(outputs, seed=1):
    generator = np.random.default_rng(seed)
    return [generator.uniform(-1, 1, o.shape).astype(o.dtype) for o in outputs]


REPEATABLE = [c for c in CASES if not find(c.op).random]
HALF = [c for c in CASES if c.half and c.twin is not None and "float32" in c.dtypes]
DIFFERENTIABLE = [c for c in CASES if "float64" in c.dtypes and differentiable(c, inputs_of(c, "float64"))]
WITH_STATES = [c for c in CASES if find(c.op).aux]


# ---- forward ------------------------------------------------------------------------------------------------------------


@over(CASES)
def test_forward(case):
    for dtype in case.dtypes:
        inputs = inputs_of(case, dtype)
        running = Running(case.op, case.params, inputs)
        outputs = running.forward(case.train)
        # What inference promised is what the program computes.
        promised = [(o.shape, dtype_name(o.dtype)) for o in running.executor.outputs]
        assert running.inferred(case.train) == promised
        if case.twin is None:
            continue
        expected = many(case.twin(*twin_arrays(case, inputs)))
        assert len(outputs) == len(expected), "number of outputs"
        for i, (got, exact) in enumerate(zip(outputs, expected, strict=True)):
            assert_near(case, got, exact, f"output {i} in {dtype}")


@over(REPEATABLE)
def test_eager_equals_bound(case):
    inputs = inputs_of(case, case.dtypes[0])
    bound = Running(case.op, case.params, inputs).forward()
    got = invoke(case.op, [mx.nd.array(a, dtype=a.dtype) for a in inputs.values()], case.params)
    for a, b in zip(many(got), bound, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a.asnumpy(), b)


@over(HALF)
def test_half(case):
    inputs = inputs_of(case, "float16")
    outputs = Running(case.op, case.params, inputs).forward(case.train)
    expected = many(case.twin(*twin_arrays(case, inputs)))
    for i, (got, exact) in enumerate(zip(outputs, expected, strict=True)):
        assert_near(case, got, exact, f"output {i}")


# ---- gradients ----------------------------------------------------------------------------------------------------------


@over(DIFFERENTIABLE)
def test_gradient(case):
    inputs = inputs_of(case, "float64")
    names = differentiable(case, inputs)
    running = Running(case.op, case.params, inputs, names)
    outputs = running.forward(True)
    heads = head_gradients(outputs)
    gradients = dict(zip(names, running.backward(heads), strict=True))
    if case.gradient is not None:
        exact = case.gradient(*twin_arrays(case, inputs), *heads)
        for name, slope in zip(names, many(exact), strict=True):
            assert_near(case, gradients[name], slope, f"gradient of {name}", terms=1)
        return

    if any(o.dtype != np.float64 for o in outputs):
        pytest.skip("its output is too coarse for finite differences")

    def loss():
        return sum(float(np.sum(o * h)) for o, h in zip(running.forward(True), heads, strict=True))

    for name in names:
        x = inputs[name]
        if x.dtype != np.float64:
            continue
        for direction in directions(x.shape):
            running.feed(name, x + STEP * direction)
            above = loss()
            running.feed(name, x - STEP * direction)
            numeric = (above - loss()) / (2 * STEP)
            analytic = float(np.sum(gradients[name] * direction))
            limit = 1e-6 * max(1.0, abs(numeric), np.abs(gradients[name]).max())
            assert abs(analytic - numeric) <= limit, f"gradient of {name}: {analytic} instead of {numeric}"
        running.feed(name, x)


def directions(shape):
    size = int(np.prod(shape))
    if size <= EVERY:
        for i in range(size):
            unit = np.zeros(size)
            unit[i] = 1
            yield unit.reshape(shape)
    else:
        generator = np.random.default_rng(2)
        for _ in range(8):
            yield generator.uniform(-1, 1, shape) / size**0.5
        for i in generator.choice(size, 16, replace=False):
            unit = np.zeros(size)
            unit[i] = 1
            yield unit.reshape(shape)


@over([c for c in DIFFERENTIABLE if "float32" in c.dtypes])
def test_gradient_in_float32(case):
    """The float32 gradient is the float64 one, up to rounding."""
    names = differentiable(case, inputs_of(case, "float32"))
    results = {}
    for dtype in ("float32", "float64"):
        inputs = inputs_of(case, "float32")
        if dtype == "float64":
            inputs = {n: a.astype(np.float64) if a.dtype == np.float32 else a for n, a in inputs.items()}
        running = Running(case.op, case.params, inputs, names)
        heads = [h.astype(np.float32).astype(h.dtype) for h in head_gradients(running.forward(True))]
        results[dtype] = running.backward(heads)
    for name, single, double in zip(names, results["float32"], results["float64"], strict=True):
        assert_near(case, single, double, f"gradient of {name}", terms=1)


@over([c for c in DIFFERENTIABLE if c in REPEATABLE])
def test_adding_to_a_gradient(case):
    inputs = inputs_of(case, "float64")
    names = differentiable(case, inputs)
    written = Running(case.op, case.params, inputs, names)
    heads = head_gradients(written.forward(True))
    once = written.backward(heads)
    added = Running(case.op, case.params, inputs, names, grad_req="add")
    added.forward(True)
    start = [np.full(g.shape, 0.5, g.dtype) for g in once]
    for name, value in zip(names, start, strict=True):
        added.executor.grad_dict[name][:] = value
    added.backward(heads)
    added.forward(True)
    twice = added.backward(heads)
    for name, first, g, got in zip(names, start, once, twice, strict=True):
        assert_near(case, got, first.astype(np.float64) + 2 * g.astype(np.float64), f"gradient of {name}", terms=1)


@over(WITH_STATES)
def test_states(case):
    assert case.states is not None or case.twin is None, "the case does not say what becomes of the states"
    for dtype in case.dtypes:
        inputs = inputs_of(case, dtype)
        running = Running(case.op, case.params, inputs, differentiable(case, inputs))
        running.backward(head_gradients(running.forward(True)))
        if case.states is not None:
            expected = many(case.states(*twin_arrays(case, inputs)))
            for name, got, exact in zip(running.states, running.auxiliary(), expected, strict=True):
                assert_near(case, got, exact, f"state {name} in {dtype}")


# ---- the compiler and files ---------------------------------------------------------------------------------------------


@over(REPEATABLE)
def test_fused_equals_unfused(case):
    dtype = case.dtypes[0]
    inputs = inputs_of(case, dtype)
    names = differentiable(case, inputs) if dtype in FLOATS else []
    results = []
    for fuse in (True, False):
        running = Running(case.op, case.params, inputs, names, fuse=fuse)
        outputs = running.forward(bool(names))
        results.append(outputs + (running.backward(head_gradients(outputs)) if names else []))
    for fused, unfused in zip(*results, strict=True):
        assert_near(case, fused, unfused.astype(np.float64), "fused", terms=1)


@over(CASES)
def test_json_round_trip(case):
    symbol = symbol_of(case.op, case.params, input_names(case.op, case.params, len(case.inputs)))
    text = symbol.tojson(remove_amp_cast=False)
    read = mx.sym.load_json(text)
    assert read.tojson(remove_amp_cast=False) == text
    assert read.list_inputs() == symbol.list_inputs()
    assert read.list_outputs() == symbol.list_outputs()
    (node, _), (original, _) = read._heads[0], symbol._heads[0]
    assert node.op is original.op
    assert node.attrs == original.attrs
    if isinstance(node.params, tuple):  # those of Custom are an object of their own for every node
        assert node.params == original.params


# ---- instruction sets ---------------------------------------------------------------------------------------------------


def other_levels():
    """The levels this machine can run besides the one in use."""
    found = []
    for level in ("baseline", "avx2", "avx512", "avx512bf16", "wide"):
        code = "from minimx import _core; print(_core.cpu_level())"
        env = {**os.environ, "MINIMX_ISA": level}
        done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
        if done.stdout.strip() == level and level != _core.cpu_level():
            found.append(level)
    return found


@pytest.mark.skipif("MINIMX_ISA" in os.environ, reason="runs one level already")
def test_every_level():
    for level in other_levels():
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", __file__]
        command += ["-k", "test_forward or test_gradient_in_float32"]
        done = subprocess.run(command, env={**os.environ, "MINIMX_ISA": level}, capture_output=True, text=True)
        assert done.returncode == 0, f"level {level}:\n{done.stdout[-4000:]}"
