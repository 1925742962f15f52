"""Whole networks on the gpu follow what MXNet 1.9.1 computed, and devices work side by side."""

import numpy as np
import pytest
from recorded import RUNS, train, train_by_steps

import minimx as mx
from minimx.passes.ride import GATE

STEPS = 3


@pytest.mark.parametrize("order", ("ascending", "descending", "shuffled"))
@pytest.mark.parametrize("name", RUNS)
def test_trajectory(name, order, gpu, monkeypatch):
    monkeypatch.setenv("MINIMX_EMULATE_ORDER", order)
    run, data, executor, _, losses = train(name, STEPS, mx.gpu(0))
    np.testing.assert_allclose(losses, data["loss"][:STEPS], rtol=run["rtol"])
    _, _, on_cpu, _, _ = train(name, STEPS, mx.cpu())
    for param, value in on_cpu.arg_dict.items():
        got, want = executor.arg_dict[param], value.asnumpy()
        assert got.context == mx.gpu(0)
        np.testing.assert_allclose(
            got.asnumpy(), want, rtol=1e-3, atol=1e-4 * max(1, np.abs(want).max()), err_msg=param
        )


@pytest.mark.parametrize("name", RUNS)
def test_trajectory_in_steps_of_one_program(name, gpu):
    run, data, executor, _, losses = train_by_steps(name, STEPS, mx.gpu(0))
    np.testing.assert_allclose(losses, data["loss"][:STEPS], rtol=run["rtol"])
    assert all(value.context == mx.gpu(0) for value in executor.arg_dict.values())


def test_the_gradient_of_relu_rides(gpu):
    hidden = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=9, name="first")
    network = mx.sym.FullyConnected(mx.sym.Activation(hidden, act_type="relu"), num_hidden=4, name="second")
    found = []
    for ctx in (mx.cpu(), mx.gpu(0)):
        executor = network.simple_bind(ctx, data=(5, 7))
        random = np.random.default_rng(0)
        for array in executor.arg_dict.values():
            array[:] = random.standard_normal(array.shape)
        executor.forward(is_train=True)
        executor.backward([mx.nd.ones((5, 4), ctx)])
        assert [c.args["activation"] for c in executor._programs[True].lowered.calls if "gemm" in c.kernel].count(
            GATE
        ) == 1
        found.append({name: grad.asnumpy() for name, grad in executor.grad_dict.items()})
    for name, want in found[0].items():
        np.testing.assert_allclose(found[1][name], want, rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.fixture
def two(gpu):
    if mx.context.num_gpus() < 2:
        pytest.skip("one gpu only")
    return mx.gpu(0), mx.gpu(1)


def test_arrays_move_between_devices(two):
    values = np.arange(12, dtype="float32").reshape(3, 4)
    a = mx.nd.array(values, ctx=two[0])
    b = a.as_in_context(two[1])
    assert b.context == two[1]
    b += 1
    np.testing.assert_array_equal(a.asnumpy(), values)
    np.testing.assert_array_equal(b.as_in_context(mx.cpu()).asnumpy(), values + 1)
    with pytest.raises(mx.MXNetError, match="different devices"):
        mx.nd.broadcast_add(a, b)


def test_a_graph_over_three_devices(two):
    with mx.AttrScope(ctx_group="first"):
        x = mx.sym.Variable("x")
        h = mx.sym.FullyConnected(x, num_hidden=5, name="fc1")
    with mx.AttrScope(ctx_group="second"):
        h = mx.sym.Activation(mx.sym.FullyConnected(h, num_hidden=4, name="fc2"), act_type="tanh")
    out = mx.sym.sum(h * h)
    results = []
    for groups in (None, {"first": two[0], "second": two[1]}):
        executor = out.simple_bind(mx.cpu(), group2ctx=groups, x=(3, 6))
        for i, name in enumerate(sorted(executor.arg_dict)):
            array = executor.arg_dict[name]
            array[:] = np.random.default_rng(i).standard_normal(array.shape)
        (loss,) = executor.forward(is_train=True)
        executor.backward()
        grads = {n: g.asnumpy() for n, g in executor.grad_dict.items()}
        results.append({"loss": loss.asnumpy(), **grads})
    assert executor.arg_dict["fc1_weight"].context == two[0]
    assert executor.arg_dict["fc2_weight"].context == two[1]
    for name, value in results[0].items():
        np.testing.assert_allclose(results[1][name], value, rtol=1e-5, atol=1e-6, err_msg=name)


def test_the_pool_tells_what_it_holds(gpu):
    ctx = mx.gpu(0)
    before = mx.memory_stats(ctx)
    a = mx.nd.zeros((1000, 100), ctx=ctx)
    assert mx.memory_stats(ctx)["used"] - before["used"] >= a.size * 4
    del a
    assert mx.memory_stats(ctx)["used"] == before["used"]
    ctx.empty_cache()
    stats = mx.memory_stats(ctx)
    assert stats["held"] == stats["used"]
    free, total = mx.context.gpu_memory_info(0)
    assert 0 < free <= total


def test_a_gpu_that_is_not_there(gpu):
    with pytest.raises(mx.MXNetError, match="there is no device gpu"):
        mx.nd.zeros((2,), ctx=mx.gpu(99))
