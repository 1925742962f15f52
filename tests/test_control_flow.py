"""foreach, while_loop and cond: on arrays and on symbols, their gradients, their files."""

import json
from pathlib import Path

import numpy as np
import pytest

import minimx as mx
from minimx.ops import control

V = mx.sym.Variable
# Symbol files that MXNet 1.9.1 wrote, and what it computed from some of them: <file>/<in, out or grad>/<name or number>.
GOLDEN = json.loads((Path(__file__).parent / "golden/control_flow.json").read_text())
VALUES = np.load(Path(__file__).parent / "golden/control_flow.npz")


def flat(value):
    return [w for v in value for w in flat(v)] if isinstance(value, (list, tuple)) else [value]


def group(*values):
    return mx.sym.Group(flat(list(values)))


# ---- programs that take mx.sym as well as mx.nd ----------------------------------------------------------------------------
# Each is called with mx.sym or mx.nd and named operands, and returns a list of outputs.


def dense(F, x, s, w):
    def step(x, s):
        y = F.FullyConnected(x, w, num_hidden=3, no_bias=True) + s[0]
        return F.tanh(y) * 2, [F.sigmoid(y)]

    return flat(F.contrib.foreach(step, x, [s]))


def several(F, a, b, s, t, w):
    def step(x, states):
        s, t = states
        h = x[0] * w + x[1] + s * t
        return [h, h * h], [F.sin(h), t + x[1]]

    return flat(F.contrib.foreach(step, [a, b], [s, t]))


def only_states(F, x, s):
    return flat(F.contrib.foreach(lambda x, s: ([], [s[0] * x + x]), x, [s])[1])


def only_outputs(F, x, w):
    return [F.contrib.foreach(lambda x, _: (x * w * w, []), x, [])[0]]


def nested(F, x, s, w):
    def inner(x, s):
        return x * w + s[0], [s[0] * x]

    def outer(x, s):
        out, after = F.contrib.foreach(inner, x, [s[0] * w])
        return out, [after[0] + s[0]]

    return flat(F.contrib.foreach(outer, x, [s]))


def computed_outside(F, x, s, w):
    twice = w * 2
    parts = F.split(twice, num_outputs=2, axis=0)
    return flat(
        F.contrib.foreach(lambda x, s: (x + parts[1] * s[0], [s[0] + F.broadcast_mul(parts[0], twice.sum())]), x, [s])
    )


def power(F, i, a, w):
    return flat(
        F.contrib.while_loop(
            lambda i, a: i < 4, lambda i, a: ([a * w, i + 1], [i + 1, F.tanh(a * w)]), [i, a], max_iterations=6
        )
    )


def bounded(F, i, a):
    return flat(
        F.contrib.while_loop(
            lambda i, a: i < 100, lambda i, a: (F.broadcast_mul(a, i), [i + 1, a * 1.5]), [i, a], max_iterations=3
        )
    )


def branch(F, x, y):
    return flat(F.contrib.cond(x.sum() > y.sum(), lambda: [x * y, F.exp(x)], lambda: [y * y * 3, x * 1]))


def branch_in_loop(F, x, s):
    def step(x, s):
        out = F.contrib.cond(s[0].sum() > 0, lambda: x * s[0], lambda: x * x)
        return out, [s[0] + x]

    return flat(F.contrib.foreach(step, x, [s]))


def loop_in_loop(F, x, s):
    def step(x, s):
        _, after = F.contrib.while_loop(
            lambda i, h: i < 3, lambda i, h: ([], [i + 1, F.sin(h) * x]), [x.sum() * 0, s[0]], max_iterations=5
        )
        return after[1], [after[1] + x]

    return flat(F.contrib.foreach(step, x, [s]))


def seven(*shape, seed=0, sign=1.0):
    return np.random.default_rng(seed).uniform(-1, 1, shape) * sign


PROGRAMS = {
    "dense": (dense, dict(x=seven(4, 2, 5), s=seven(2, 3), w=seven(3, 5))),
    "several": (
        several,
        dict(a=seven(3, 4), b=seven(3, 4, seed=1), s=seven(4), t=seven(4, seed=2), w=seven(4, seed=3)),
    ),
    "only_states": (only_states, dict(x=seven(5, 3), s=seven(3))),
    "only_outputs": (only_outputs, dict(x=seven(5, 3), w=seven(3))),
    "nested": (nested, dict(x=seven(3, 2, 4), s=seven(4), w=seven(4, seed=1))),
    "computed_outside": (computed_outside, dict(x=seven(3, 2, 2), s=seven(2, 2), w=seven(4, 2))),
    "power": (power, dict(i=np.array([1.0]), a=seven(3), w=seven(3, seed=1))),
    "no_step": (power, dict(i=np.array([9.0]), a=seven(3), w=seven(3, seed=1))),
    "bounded": (bounded, dict(i=np.array([2.0]), a=seven(3))),
    "then": (branch, dict(x=abs(seven(3)), y=seven(3, sign=0.1))),
    "else": (branch, dict(x=-abs(seven(3)), y=seven(3, sign=0.1))),
    "branch_in_loop": (branch_in_loop, dict(x=seven(4, 3), s=seven(3))),
    "loop_in_loop": (loop_in_loop, dict(x=seven(3, 1), s=seven(1, seed=4))),
}
every_program = pytest.mark.parametrize("name", PROGRAMS)


@pytest.fixture(params=[False, True], ids=["looped", "unrolled"], autouse=True)
def unrolling(request, monkeypatch):
    """foreach has two ways to run."""
    monkeypatch.setattr(control, "UNROLLED", 1000 if request.param else 0)


def bound(name, ctx=None, grad_req="write", dtype="float64"):
    program, operands = PROGRAMS[name]
    symbol = group(*program(mx.sym, **{n: V(n) for n in operands}))
    return bind(symbol, operands, ctx, grad_req, dtype)


def bind(symbol, operands, ctx=None, grad_req="write", dtype="float64"):
    shapes = {n: a.shape for n, a in operands.items()}
    executor = symbol.simple_bind(
        ctx or mx.cpu(), grad_req=grad_req, type_dict=dict.fromkeys(operands, dtype), **shapes
    )
    for n, a in operands.items():
        executor.arg_dict[n][:] = a
    return executor


def heads_for(outputs):
    return [np.cos(np.arange(o.size)).reshape(o.shape) for o in outputs]


def trained(executor):
    outputs = [o.asnumpy() for o in executor.forward(is_train=True)]
    executor.backward([mx.nd.array(h, dtype="float64") for h in heads_for(outputs)])
    return outputs, {n: g.asnumpy() for n, g in executor.grad_dict.items()}


@every_program
def test_symbols_compute_what_arrays_do(name):
    program, operands = PROGRAMS[name]
    arrays = {n: mx.nd.array(a, dtype="float64") for n, a in operands.items()}
    for a in arrays.values():
        a.attach_grad()
    with mx.autograd.record():
        eager = program(mx.nd, **arrays)
    executor = bound(name)
    plain = [o.asnumpy() for o in executor.forward(is_train=False)]
    outputs, slopes = trained(executor)
    if name == "no_step":  # arrays have no outputs then
        eager = [mx.nd.zeros(o.shape, dtype="float64") for o in outputs[:2]] + eager
    for a, b, c in zip(eager, plain, outputs, strict=True):
        np.testing.assert_allclose(b, a.asnumpy(), rtol=1e-12)
        np.testing.assert_array_equal(b, c)
    if name == "no_step":
        np.testing.assert_array_equal(slopes["a"], heads_for(outputs)[-1])
        np.testing.assert_array_equal(slopes["w"], 0)
        return
    mx.autograd.backward(eager, [mx.nd.array(h, dtype="float64") for h in heads_for(outputs)])
    for n, a in arrays.items():
        np.testing.assert_allclose(slopes[n], a.grad.asnumpy(), rtol=1e-10, atol=1e-12, err_msg=n)


@every_program
def test_gradients(name):
    executor = bound(name)
    outputs, slopes = trained(executor)
    heads = heads_for(outputs)

    def loss():
        return sum(float((o.asnumpy() * h).sum()) for o, h in zip(executor.forward(is_train=False), heads, strict=True))

    for n, slope in slopes.items():
        if n == "i":
            continue  # the number of steps depends on it
        x = executor.arg_dict[n].asnumpy()
        for k in range(min(x.size, 5)):
            change = np.zeros(x.size)
            change[k] = 1e-6
            executor.arg_dict[n][:] = x + change.reshape(x.shape)
            above = loss()
            executor.arg_dict[n][:] = x - change.reshape(x.shape)
            numeric = (above - loss()) / 2e-6
            assert abs(numeric - slope.ravel()[k]) < 1e-6 * max(1, abs(numeric)), (n, k)
        executor.arg_dict[n][:] = x


@every_program
def test_adding_to_gradients(name):
    executor = bound(name, grad_req="add")
    _, once = trained(executor)
    _, twice = trained(executor)
    for n in once:
        np.testing.assert_allclose(twice[n], 2 * once[n], rtol=1e-12)


@every_program
def test_files(name):
    program, operands = PROGRAMS[name]
    symbol = group(*program(mx.sym, **{n: V(n) for n in operands}))
    text = symbol.tojson()
    again = mx.sym.load_json(text)
    assert again.tojson() == text
    assert again.list_arguments() == symbol.list_arguments() and again.list_outputs() == symbol.list_outputs()
    first, second = trained(bind(symbol, operands)), trained(bind(again, operands))
    for a, b in zip(first[0], second[0], strict=True):
        np.testing.assert_array_equal(a, b)
    for n in first[1]:
        np.testing.assert_array_equal(first[1][n], second[1][n])


# ---- files of MXNet --------------------------------------------------------------------------------------------------------


def simple():
    w = V("w")

    def step(x, s):
        y = mx.sym.FullyConnected(x, weight=w, num_hidden=3, no_bias=True, name="fc") + s[0]
        return y * 2, [y]

    return mx.sym.contrib.foreach(step, V("data"), [V("state")])


def closure():
    b = V("a") * 3
    parts = mx.sym.split(V("q"), num_outputs=2, name="parts")

    def step(x, s):
        h = mx.sym.FullyConnected(x[0], num_hidden=4, name="fc") + x[1] * b + parts[1]
        return [h, h], [s[0] + h, s[1]]

    return mx.sym.contrib.foreach(step, [V("d0"), V("d1")], [V("s0"), V("s1")])


def nested_file():
    w = V("w")

    def outer(x, s):
        out, after = mx.sym.contrib.foreach(lambda x, s: (x * w + s[0], [s[0] + 1]), x, [s[0] * 2])
        return out, [after[0]]

    return mx.sym.contrib.foreach(outer, V("d"), [V("s")])


def loop():
    w = V("w")
    body = lambda i, a: ([a * 2 + w], [i + 1, a + i])  # noqa: E731
    return mx.sym.contrib.while_loop(lambda i, a: i < 5, body, [V("i"), V("a")], max_iterations=10)


def loop_cell():
    cell = mx.rnn.LSTMCell(4)

    def body(i, h, c):
        out, (h, c) = cell(V("x"), [h, c])
        return [out], [i + 1, h, c]

    return mx.sym.contrib.while_loop(lambda i, h, c: i < V("n"), body, [V("i"), V("h"), V("c")], max_iterations=3)


def branch_file():
    x, y = V("x"), V("y")
    return mx.sym.contrib.cond(x.sum() > y.sum(), lambda: x * 2, lambda: y + 1)


def branch_in_loop_file():
    def step(x, s):
        return mx.sym.contrib.cond(s[0].sum() > 1, lambda: x * 2, lambda: x + s[0]), [s[0] + x]

    return mx.sym.contrib.foreach(step, V("d"), [V("s")])


FILES = {
    "simple": simple,
    "closure": closure,
    "nested": nested_file,
    "loop": loop,
    "loop_cell": loop_cell,
    "branch": branch_file,
    "branch_in_loop": branch_in_loop_file,
}


def without_numbers(text):
    """Sub-graphs are counted over the whole process."""
    import re

    return re.sub(r'("__subgraph_name__": "[^"]*")', lambda m: re.sub(r"\d+", "#", m[1]), text)


@pytest.mark.parametrize("name", FILES)
def test_symbols_are_those_of_mxnet(name):
    with mx.name.NameManager():
        symbol = group(FILES[name]())
    assert without_numbers(symbol.tojson()) == without_numbers(GOLDEN[name])


@pytest.mark.parametrize("name", GOLDEN)
def test_files_of_mxnet_load(name):
    symbol = mx.sym.load_json(GOLDEN[name])
    assert symbol.tojson() == GOLDEN[name]
    assert len(symbol.get_internals().list_outputs()) > len(symbol.list_outputs())


# ---- the rest --------------------------------------------------------------------------------------------------------------


def test_shapes_are_inferred_through_bodies():
    symbol = group(simple())
    arguments, outputs, _ = symbol.infer_shape(data=(4, 2, 5))
    assert dict(zip(symbol.list_arguments(), arguments, strict=True)) == {
        "data": (4, 2, 5),
        "state": (2, 3),
        "w": (3, 5),
    }
    assert outputs == [(4, 2, 3), (2, 3)]
    symbol = group(loop_cell())
    shapes = dict(x=(2, 5), i=(1,), n=(1,))
    arguments = dict(zip(symbol.list_arguments(), symbol.infer_shape(**shapes, h=(2, 4), c=(2, 4))[0], strict=True))
    assert arguments["lstm_i2h_weight"] == (16, 5)
    assert group(simple()).infer_type(data="float64")[1] == [np.float64] * 2


def test_a_cell_in_a_loop_is_the_unrolled_cell():
    cell, data = mx.rnn.LSTMCell(4), np.float32(seven(5, 2, 3))
    outputs, states = mx.sym.contrib.foreach(
        cell, V("data"), [mx.sym.zeros((0, 4), name="h"), mx.sym.zeros((0, 4), name="c")]
    )
    looped = group(outputs, states)
    outputs, states = mx.rnn.LSTMCell(4).unroll(5, V("data"), layout="TNC", merge_outputs=True)
    unrolled = group(outputs, states)
    results = []
    for symbol in (looped, unrolled):
        executor = symbol.simple_bind(mx.cpu(), data=data.shape)
        for n, a in executor.arg_dict.items():
            a[:] = data if n == "data" else seven(*a.shape, seed=a.size)
        outs = [o.asnumpy() for o in executor.forward(is_train=True)]
        executor.backward([mx.nd.array(h) for h in heads_for(outs)])
        results.append((outs, {n: g.asnumpy() for n, g in executor.grad_dict.items()}))
    for a, b in zip(results[0][0], results[1][0], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    for n, slope in results[1][1].items():
        np.testing.assert_allclose(results[0][1][n], slope, rtol=1e-4, atol=1e-5, err_msg=n)


@pytest.mark.parametrize("kind", ["foreach", "while_loop", "cond"])
def test_masks_are_the_same_backwards(kind):
    def drop(x):
        return mx.sym.Dropout(x, p=0.5)

    x = V("x")
    if kind == "foreach":
        symbol = mx.sym.contrib.foreach(lambda x, s: (drop(x), [s[0]]), x, [V("s")])[0]
    elif kind == "while_loop":
        symbol = mx.sym.contrib.while_loop(lambda i: i < 2, lambda i: (drop(x), [i + 1]), [V("i")], max_iterations=4)[0]
    else:
        symbol = mx.sym.contrib.cond(V("i") < 3, lambda: drop(x), lambda: x * 1)
    shapes = {"x": (4, 50), **{n: (1,) for n in symbol.list_arguments() if n != "x"}}
    executor = symbol.simple_bind(mx.cpu(), **shapes)
    executor.arg_dict["x"][:] = 1
    (out,) = executor.forward(is_train=True)
    before = mx.nd.random.uniform(shape=(4,)).asnumpy()
    executor.backward()
    values, slope = out.asnumpy(), executor.grad_dict["x"].asnumpy()
    expected = values.sum(axis=0) if kind == "while_loop" else values
    np.testing.assert_array_equal(slope, expected)
    assert set(np.unique(values)) == {0, 2}
    assert not np.array_equal(before, mx.nd.random.uniform(shape=(4,)).asnumpy())  # numbers go on
    (again,) = executor.forward(is_train=True)
    assert not np.array_equal(again.asnumpy(), values)


def test_mistakes_are_told():
    x, s = V("x"), V("s")
    contrib = mx.sym.contrib
    with pytest.raises(mx.MXNetError, match="all states must be used"):
        contrib.foreach(lambda x, s: (x, [x]), x, [s])
    with pytest.raises(mx.MXNetError, match="got 1 states and returned 2"):
        contrib.foreach(lambda x, s: (x, [x, s[0]]), x, [s])
    with pytest.raises(mx.MXNetError, match="data to walk along"):
        contrib.foreach(lambda x, s: (x, s), [], [s])
    with pytest.raises(mx.MXNetError, match="same number of outputs"):
        contrib.cond(x, lambda: [x, x], lambda: x)
    with pytest.raises(mx.MXNetError, match="loop variables"):
        contrib.while_loop(lambda i: i < 3, lambda i: (i, [i, i]), [x], max_iterations=3)
    with pytest.raises(mx.MXNetError, match="max_iterations"):
        mx.nd.contrib.while_loop(lambda i: i < 3, lambda i: (i, [i]), [mx.nd.ones(1)])
    with pytest.raises(mx.MXNetError, match="one number"):
        mx.nd.contrib.cond(mx.nd.ones((2,)), lambda: 1, lambda: 2)
    with pytest.raises(mx.MXNetError, match="first axes"):
        mx.nd.contrib.foreach(lambda x, s: (x[0], s), [mx.nd.ones((2, 1)), mx.nd.ones((3, 1))], [])
    normed = contrib.foreach(lambda x, s: (mx.sym.BatchNorm(x, name="bn"), [s[0] + x]), x, [s])[0]
    executor = normed.simple_bind(mx.cpu(), x=(3, 2, 4), s=(2, 4))
    executor.forward()
    with pytest.raises(mx.MXNetError, match="auxiliary"):
        executor.forward(is_train=True)
    with pytest.raises(mx.MXNetError, match="before and after a step"):
        contrib.foreach(lambda x, s: (x, [mx.sym.sum(s[0])]), x, [s])[0].infer_shape(x=(3, 4), s=(4,))
    text = json.loads(GOLDEN["simple"])
    text["nodes"][3]["subgraphs"] = []
    with pytest.raises(mx.MXNetError, match="needs 1 sub-graphs"):
        mx.sym.load_json(json.dumps(text))


@pytest.mark.parametrize("name", sorted({key.split("/")[0] for key in VALUES}))
def test_values_are_those_of_mxnet(name):
    def stored(kind):
        start = f"{name}/{kind}/"
        return {key.removeprefix(start): VALUES[key] for key in VALUES if key.startswith(start)}

    symbol = mx.sym.load_json(GOLDEN[name])
    executor = bind(symbol, stored("in"), dtype="float32")
    outputs = [o.asnumpy() for o in executor.forward(is_train=True)]
    executor.backward([mx.nd.array(h) for h in heads_for(outputs)])
    for i, expected in stored("out").items():
        np.testing.assert_allclose(outputs[int(i)], expected, rtol=1e-5, atol=1e-6, err_msg=f"output {i}")
    for n, expected in stored("grad").items():
        np.testing.assert_allclose(executor.grad_dict[n].asnumpy(), expected, rtol=1e-4, atol=1e-5, err_msg=n)
