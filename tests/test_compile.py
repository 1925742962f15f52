"""The compile passes: what each promises, on small graphs made for it and on random ones."""

import random
from pathlib import Path

import numpy as np
import pytest

import minimx as mx
from minimx import _core
from minimx.compile import Options, compile_symbol, describe
from minimx.executor import Executor
from minimx.passes.infer import infer
from minimx.passes.plan import plan

GOLDEN = Path(__file__).parent / "golden"


def compiled(symbol, shapes, train=False, grad_req=None, **options):
    names = symbol.list_arguments()
    reqs = dict.fromkeys(names, grad_req or "write")
    return compile_symbol(
        symbol._heads, shapes, {}, symbol.list_outputs(), ("cpu", 0), train, reqs, options=Options(**options)
    )


def mlp():
    net = mx.sym.Variable("data")
    net = mx.sym.FullyConnected(net, num_hidden=16, name="fc1")
    net = mx.sym.Activation(net, act_type="tanh", name="act1")
    net = mx.sym.FullyConnected(net, num_hidden=4, name="fc2")
    return mx.sym.SoftmaxOutput(net, name="softmax")


def random_symbol(seed, size=40):
    """A graph of elementwise operators and row sums with much sharing: what makes fusing hard."""
    draw = random.Random(seed)
    values = [mx.sym.Variable("a"), mx.sym.Variable("b")]
    for _ in range(size):
        x, y = draw.choice(values[-8:]), draw.choice(values)
        kind = draw.randrange(6)
        if kind == 0:
            values.append(mx.sym.tanh(x))
        elif kind == 1:
            values.append(x + y)
        elif kind == 2:
            values.append(x * y * 0.5)
        elif kind == 3:
            values.append(mx.sym.broadcast_sub(x, mx.sym.mean(y, axis=1, keepdims=True)))
        elif kind == 4:
            values.append(mx.sym.sigmoid(x) - y)
        else:
            values.append(mx.sym.broadcast_add(mx.sym.sin(x), mx.sym.max(y, axis=0, keepdims=True)))
    return mx.sym.Group([values[-1], values[size // 2], mx.sym.sum(values[-2])])


@pytest.mark.parametrize("seed", range(12))
def test_fused_equals_unfused(seed):
    """Fusing and recomputing are choices of speed and memory: outputs and gradients stay the same."""
    results = []
    for options in (Options(fuse=False), Options(fuse=True), Options(fuse=True, mirror=True)):
        executor = Executor.simple_bind(random_symbol(seed), mx.cpu(), options=options, a=(7, 9), b=(7, 9))
        state = np.random.default_rng(seed)
        for name in "ab":
            executor.arg_dict[name][:] = state.normal(size=(7, 9))
        executor.forward(is_train=True)
        executor.backward()
        results.append([o.asnumpy() for o in (*executor.outputs, *executor.grad_arrays)])
    for other in results[1:]:
        for expected, got in zip(results[0], other, strict=True):
            np.testing.assert_allclose(got, expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("seed", range(6))
def test_plan_never_overlaps_what_is_alive(seed):
    lowered = compiled(random_symbol(seed, 80), {"a": (8, 8), "b": (8, 8)}, train=True).lowered
    planned = plan(lowered)
    alive = {}
    for i, call in enumerate(lowered.calls):
        for buffer in call.operands():
            if buffer is not None and buffer.root()[0].bound is None:
                root = buffer.root()[0]
                first, _ = alive.get(root, (i, i))
                alive[root] = (first, i)
    spans = [(root, *life, planned.offsets[root], planned.offsets[root] + root.nbytes) for root, life in alive.items()]
    for k, (one, first, last, start, stop) in enumerate(spans):
        assert stop <= planned.arenas[("cpu", 0)]
        for other, other_first, other_last, other_start, other_stop in spans[k + 1 :]:
            if start < other_stop and other_start < stop:
                handover = (last == other_first and first < other_first) or (
                    other_last == first and other_first < first
                )
                assert last < other_first or other_last < first or handover, (one, other)


@pytest.mark.parametrize("seed", range(20))
def test_packing_takes_the_lowest_free_place(seed):
    state = random.Random(seed)
    end = state.choice((1, 2, 7, 60, 300))
    lives = []
    for _ in range(state.randrange(100)):
        first = state.randrange(end)
        lives.append(
            (64 * state.randrange(1, 20), first, state.randrange(first, min(end, first + state.choice((1, 4, end)))))
        )
    places, size = _core.pack(lives)
    taken = []
    for (nbytes, first, last), at in zip(lives, places, strict=True):
        meets = sorted((start, stop) for start, stop, f, t in taken if f <= last and t >= first)
        lowest = 0
        for start, stop in meets:
            if start - lowest >= nbytes:
                break
            lowest = max(lowest, stop)
        assert at == lowest
        taken.append((at, at + nbytes, first, last))
    assert size == max((stop for _, stop, _, _ in taken), default=0)


def test_elementwise_chain_is_one_call():
    x = mx.sym.Variable("x")
    y = mx.sym.tanh(mx.sym.exp(x * 2 + 1) - x)
    assert len(compiled(y, {"x": (4, 4)}).lowered.calls) == 1
    assert len(compiled(y, {"x": (4, 4)}, fuse=False).lowered.calls) == 5


def test_memory_is_reused():
    net = mx.sym.Variable("data")
    for i in range(10):
        net = mx.sym.FullyConnected(net, num_hidden=64, name=f"fc{i}")
    one = compiled(net, {"data": (32, 64)})
    assert sum(one.plan.arenas.values()) <= one.plan.unshared_bytes / 3


@pytest.mark.parametrize("network, saved", [("inception_bn", 0.3), ("resnet18", 0.2), ("lenet", 0)])
def test_mirror_saves_memory_of_networks(network, saved):
    symbol = mx.sym.load(str(GOLDEN / f"symbols/{network}.json"))
    data = {"data": (100, 1, 28, 28) if network == "lenet" else (2, 3, 224, 224)}
    plain, mirrored = (
        sum(compiled(symbol, data, train=True, mirror=mirror).plan.arenas.values()) for mirror in (False, True)
    )
    assert mirrored <= (1 - saved) * plain


def test_mirror_saves_memory():
    net = mx.sym.Variable("data")
    for i in range(6):
        net = mx.sym.FullyConnected(net, num_hidden=64, name=f"fc{i}")
        net = mx.sym.softsign(mx.sym.sin(net) * mx.sym.cos(net))
    shapes = {"data": (128, 64)}
    plain = compiled(net, shapes, train=True)
    mirrored = compiled(net, shapes, train=True, mirror=True)
    assert sum(mirrored.plan.arenas.values()) < 0.9 * sum(plain.plan.arenas.values())


def test_shapes_flow_backwards():
    state = mx.sym.zeros((0, 16))
    data = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=16, name="fc")
    total = data + state
    args, outs, _ = total.infer_shape(data=(5, 3))
    assert args == [(5, 3), (16, 3), (16,)] and outs == [(5, 16)]


def test_unknown_shapes_are_explained():
    with pytest.raises(
        mx.base.ShapeError, match=r"shapes of data, .*unknown; inference stops at FullyConnected\(fc1\)"
    ):
        infer(mlp()._heads, {}, {}, ["softmax_output"])


def test_wrong_shapes_name_operator_and_inputs():
    with pytest.raises(
        mx.base.ShapeError, match=r"FullyConnected\(fc1\): .*inputs are data=data \(8, 5\), weight \(16, 6\)"
    ):
        infer(mlp()._heads, {"data": (8, 5), "fc1_weight": (16, 6)}, {}, ["softmax_output"])


def test_debug_prints_every_pass(monkeypatch, capfd):
    monkeypatch.setenv("MINIMX_DEBUG", "1")
    compiled(mlp(), {"data": (2, 3)}, train=True)
    text = capfd.readouterr().err
    for stage in ("infer", "expand", "gradient", "place", "fuse", "lower", "plan"):
        assert f"---- {stage}" in text


def test_describe_shows_calls_and_mark():
    text = describe(compiled(mlp(), {"data": (2, 3)}, train=True).lowered)
    assert "gemm.float32" in text and "-- backward --" in text


def test_zeros_of_both_signs_are_not_shared():
    """Parameters that are equal need not be the same: 0.0 and -0.0."""
    x = mx.sym.Variable("x")
    executor = mx.sym.Group([1 / (x * 0.0), 1 / (x * -0.0)]).simple_bind(mx.cpu(), grad_req="null", x=(2,))
    executor.arg_dict["x"][:] = 1
    first, second = (out.asnumpy() for out in executor.forward())
    np.testing.assert_array_equal(first, np.inf)
    np.testing.assert_array_equal(second, -np.inf)


def test_nodes_that_are_lowered_alike_have_their_own_operands():
    """Calls are taken over from the first node of a kind: with other buffers, and not where a value comes twice."""
    a, b = mx.sym.Variable("a"), mx.sym.Variable("b")
    products = [mx.sym.dot(a, b), mx.sym.dot(b, a), mx.sym.dot(a, a), mx.sym.dot(b, b)]
    executor = mx.sym.Group([*products, mx.sym.dot(products[1], products[0])]).simple_bind(
        mx.cpu(), grad_req="null", a=(3, 3), b=(3, 3)
    )
    values = {name: np.random.RandomState(i).randn(3, 3).astype("float32") for i, name in enumerate("ab")}
    found = [out.asnumpy() for out in executor.forward(**values)]
    a, b = values["a"], values["b"]
    for out, expected in zip(found, [a @ b, b @ a, a @ a, b @ b, b @ a @ a @ b], strict=True):
        np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-5)


def test_calls_that_do_the_same_share_their_arguments():
    x = mx.sym.Variable("x")
    weight = mx.sym.Variable("w")
    for i in range(6):
        x = mx.sym.FullyConnected(x, weight, no_bias=True, num_hidden=4, name=f"fc{i}")
    calls = compiled(x, {"x": (2, 4)}).lowered.calls
    assert [call.node for call in calls] == [f"fc{i}" for i in range(6)]
    assert len({id(call.args) for call in calls}) == 1
    assert all(call.like is calls[0] for call in calls[1:])


def test_a_binding_infers_once(monkeypatch):
    """The graph whose types said what arrays to make is what the first program is made of."""
    executor = mlp().simple_bind(mx.cpu(), data=(8, 10))
    monkeypatch.setattr("minimx.compile.infer", None)
    executor.forward(is_train=True)
    monkeypatch.undo()
    assert executor.forward()[0].shape == (8, 4)
