"""Convolutions with what follows them: folded and ridden must give what the operators give one by one."""

import numpy as np
import pytest

import minimx as mx
from minimx.compile import Options
from minimx.executor import Executor

SHAPE = (2, 6, 9, 9)


def conv(x, name, **params):
    return mx.sym.Convolution(x, kernel=(3, 3), pad=(1, 1), num_filter=6, name=name, **params)


def plain(x):
    return mx.sym.BatchNorm(conv(x, "c1", no_bias=True), name="bn1")


def with_bias_and_gamma(x):
    return mx.sym.BatchNorm(conv(x, "c1"), fix_gamma=False, eps=1e-2, name="bn1")


def with_relu(x):
    return mx.sym.Activation(with_bias_and_gamma(x), act_type="relu")


def residual_block(x):
    y = with_relu(x)
    y = mx.sym.BatchNorm(conv(y, "c2", no_bias=True), fix_gamma=False, name="bn2")
    return mx.sym.Activation(y + x, act_type="relu")


def read_twice(x):
    y = conv(x, "c1")
    return mx.sym.BatchNorm(y, name="bn1") + y


def other_axis(x):
    return mx.sym.BatchNorm(conv(x, "c1"), axis=3, name="bn1")


def grouped_with_stride(x):
    y = mx.sym.Convolution(x, kernel=(2, 2), stride=(2, 2), num_filter=4, num_group=2, name="c1")
    return mx.sym.BatchNorm(y, output_mean_var=True, fix_gamma=False, name="bn1")


def epilogue(x):
    """No BatchNorm: bias, a residual and tanh alone."""
    return mx.sym.tanh(conv(x, "c1") + x)


def bind(symbol, **options):
    executor = Executor.simple_bind(symbol, mx.cpu(), options=Options(**options), data=SHAPE)
    random = np.random.default_rng(4)
    for name, array in [*executor.arg_dict.items(), *executor.aux_dict.items()]:
        low = 0.5 if name.endswith(("gamma", "var")) else -1.0
        array[:] = random.uniform(low, 1.5, array.shape)
    return executor


def kernels(executor, train=False):
    program = executor._programs[train].lowered
    return [call.kernel.split(".")[0] for call in program.calls]


NETWORKS = [
    plain,
    with_bias_and_gamma,
    with_relu,
    residual_block,
    read_twice,
    other_axis,
    grouped_with_stride,
    epilogue,
]


@pytest.mark.parametrize("network", NETWORKS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("train", [False, True])
def test_equals_one_by_one(network, train):
    results = []
    for fuse in (False, True):
        executor = bind(network(mx.sym.Variable("data")), fuse=fuse)
        executor.forward(is_train=train)
        if train:
            executor.backward([mx.nd.array(np.cos(np.arange(o.size)).reshape(o.shape)) for o in executor.outputs])
        arrays = [*executor.outputs, *(executor.grad_arrays if train else []), *executor.aux_arrays]
        results.append([a.asnumpy() for a in arrays])
    for expected, got in zip(*results, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_a_block_is_two_convolutions():
    """What is left besides them works on one number per channel."""
    executor = bind(residual_block(mx.sym.Variable("data")), fuse=True)
    executor.forward()
    lowered = executor._programs[False].lowered
    large = [c.kernel.split(".")[0] for c in lowered.calls if any(b.shape == SHAPE for b in c.writes)]
    assert large == ["conv_forward", "conv_forward"]


@pytest.mark.parametrize("network", [read_twice, other_axis], ids=lambda f: f.__name__)
def test_what_cannot_be_folded_stays(network):
    executor = bind(network(mx.sym.Variable("data")), fuse=True)
    executor.forward()
    assert kernels(executor).count("conv_forward") == 1 and "ewise" in kernels(executor)


def test_statistics_that_change_are_seen():
    """Nothing is folded into numbers: the program reads the statistics every time."""
    executor = bind(plain(mx.sym.Variable("data")), fuse=True)
    before = executor.forward()[0].asnumpy()
    executor.aux_dict["bn1_moving_mean"][:] = executor.aux_dict["bn1_moving_mean"].asnumpy() + 1
    after = executor.forward()[0].asnumpy()
    shift = 1 / np.sqrt(executor.aux_dict["bn1_moving_var"].asnumpy() + 1e-3)
    np.testing.assert_allclose(
        before - after, np.broadcast_to(shift[:, None, None], before.shape), rtol=1e-4, atol=1e-4
    )
