"""bfloat16 with kernels of its own: every level's, and what networks make of them.

Only a machine that multiplies bfloat16 offers them by itself; elsewhere MINIMX_BF16=1 does. So these tests run in processes
of their own, once for each level that this machine has.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_precision import images

import minimx as mx
from minimx import _core
from minimx.compile import Options
from minimx.executor import Executor
from minimx.precision import lowered

HERE = Path(__file__).parent
LEVELS = ("baseline", "avx2", "wide", "avx512", "avx512bf16")
KERNELS = tuple(f"kernels/test_{name}_bfloat.py" for name in ("gemm", "conv_last", "stored"))
offered = pytest.mark.skipif(
    not _core.device("cpu", 0).has_kernel("gemm.bfloat16"), reason="runs in a process with MINIMX_BF16=1"
)


def run(command, **environment):
    return subprocess.run(
        [sys.executable, *command], env={**os.environ, **environment}, capture_output=True, text=True, cwd=HERE
    )


@pytest.mark.skipif("MINIMX_BF16" in os.environ, reason="is a process of its own already")
@pytest.mark.parametrize("level", LEVELS)
def test_every_level(level):
    if run(["-c", "from minimx import _core; _core.device('cpu', 0)"], MINIMX_ISA=level).returncode:
        pytest.skip("this build or this machine has no such level")
    done = run(
        ["-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *KERNELS, __file__], MINIMX_ISA=level, MINIMX_BF16="1"
    )
    assert done.returncode == 0, f"level {level}:\n{done.stdout[-4000:]}"


def test_the_environment_offers_them_or_not():
    asked = ["-c", "from minimx import _core; print(_core.device('cpu', 0).has_kernel('gemm.bfloat16'))"]
    assert run(asked, MINIMX_BF16="1").stdout.strip() == "True"
    assert run(asked, MINIMX_BF16="0").stdout.strip() == "False"
    assert run(asked, MINIMX_BF16="", MINIMX_ISA="baseline").stdout.strip() == "False"


# ---- networks in inference ----------------------------------------------------------------------------------------------

INCEPTION = mx.models.inception_bn(10, (3, 28, 28))
RESNET = mx.models.resnet(10, num_layers=20, image_shape=(3, 32, 32), version=1)
NETWORKS = {"inception_bn": (INCEPTION, (3, 28, 28)), "resnet": (RESNET, (3, 32, 32))}


def bind(symbol, shape, train=False, **options):
    executor = Executor.simple_bind(
        symbol, mx.cpu(), "write" if train else "null", options=Options(**options), data=shape
    )
    random = np.random.default_rng(4)
    for name, array in [*executor.arg_dict.items(), *executor.aux_dict.items()]:
        if name.endswith(("gamma", "var")):
            array[:] = random.uniform(0.5, 1.5, array.shape)
        elif name.endswith("weight"):  # keeps what passes through at its size
            array[:] = random.normal(0, np.sqrt(2 / np.prod(array.shape[1:])), array.shape)
        elif name == "data":
            array[:] = random.normal(0, 1, array.shape)
    return executor


def distance(a, b):
    return np.linalg.norm(a.asnumpy() - b.asnumpy()) / np.linalg.norm(b.asnumpy())


@offered
@pytest.mark.parametrize("name", NETWORKS)
def test_inference_is_close_to_float32(name):
    net, shape = NETWORKS[name]
    inside = net.get_internals()
    scores = inside[net._heads[0][0].inputs[0][0].output_name(0)]
    short, wide = (bind(s, (4, *shape)) for s in (lowered(scores, "bfloat16"), scores))
    # Rounding to 8 bits changes numbers by 2**-9 of their size on average. Each of some 25 layers rounds its weights and
    # its result, and these errors add up like a random walk; with a margin of 4.
    assert 0 < distance(short.forward()[0], wide.forward()[0]) < 4 * 2**-9 * np.sqrt(2 * 25)


def calls_of(executor, train=False):
    return executor._programs[train].lowered.calls


@offered
@pytest.mark.parametrize("name", NETWORKS)
def test_nothing_is_converted_between_the_layers(name):
    net, shape = NETWORKS[name]
    executor = bind(lowered(net, "bfloat16"), (4, *shape))
    executor.forward()
    calls = calls_of(executor)
    kernels = {call.kernel for call in calls}
    assert {"conv_last_forward.bfloat16", "gemm.bfloat16"} <= kernels
    assert not any(
        k.startswith(("conv_", "pool_", "gemm")) and k.endswith(("forward.float32", "gemm.float32")) for k in kernels
    )
    # Elementwise calls that see whole images: the cast of the data, and sums that no convolution could take along.
    whole = [c for c in calls if c.kernel.startswith("ewise") and c.writes[0].nbytes > 4 * 4 * 1024]
    assert [c.reads[0].bound for c in whole] == [("arg", "data")]


@offered
def test_riders_give_the_same_as_layers_by_themselves():
    for net, shape in NETWORKS.values():
        fused, plain = (bind(lowered(net, "bfloat16"), (2, *shape), fuse=fuse) for fuse in (True, False))
        assert distance(fused.forward()[0], plain.forward()[0]) < 0.03


@offered
def test_shapes_that_the_kernels_leave_to_float32():
    """Groups, few filters, three dimensions and a rider behind each."""
    data = mx.sym.Variable("data")
    nets = [
        mx.sym.Convolution(data, kernel=(3, 3), num_filter=32, num_group=2, name="a"),
        mx.sym.Convolution(data, kernel=(3, 3), num_filter=5, name="a"),
        mx.sym.Convolution(mx.sym.expand_dims(data, axis=2), kernel=(1, 3, 3), num_filter=16, name="a"),
    ]
    for net in nets:
        net = mx.sym.relu(net)
        short, wide = (bind(s, (2, 4, 9, 9)) for s in (lowered(net, "bfloat16"), net))
        assert distance(short.forward()[0], wide.forward()[0]) < 2**-7


@offered
def test_packed_weights_are_made_anew_when_the_weights_change():
    net = mx.sym.Convolution(mx.sym.Variable("data"), kernel=(3, 3), num_filter=16, no_bias=True, name="a")
    executor = bind(lowered(net, "bfloat16"), (1, 4, 6, 6))
    first = executor.forward()[0].asnumpy()
    packing = [c for c in calls_of(executor) if c.kernel == "conv_last_weights.float32.bfloat16"]
    assert [c.kept for c in packing] == [True]
    executor.arg_dict["a_weight"][:] *= 2
    np.testing.assert_array_equal(executor.forward()[0].asnumpy(), 2 * first)


# ---- training -----------------------------------------------------------------------------------------------------------


def small(activation, pool):
    x = mx.sym.Variable("data")
    for i, filters in enumerate((16, 32)):
        x = mx.sym.Convolution(x, kernel=(3, 3), pad=(1, 1), num_filter=filters, no_bias=i == 0, name=f"conv{i}")
        x = mx.sym.Convolution(x, kernel=(1, 1), num_filter=filters + 1, no_bias=True, name=f"mix{i}")
        x = mx.sym.Activation(mx.sym.BatchNorm(x, fix_gamma=False, name=f"bn{i}"), act_type=activation)
        x = mx.sym.Pooling(x, kernel=(2, 2), stride=(2, 2), pool_type=pool)
    return mx.sym.SoftmaxOutput(mx.sym.FullyConnected(x, num_hidden=10, name="fc"), name="softmax")


@offered
def test_gradients_are_close_to_float32():
    """In a smooth network: where relu and max choose, a small difference can be a large one."""
    net = small("tanh", "avg")
    short, wide = (bind(s, (8, 3, 20, 20), train=True) for s in (lowered(net, "bfloat16"), net))
    for executor in (short, wide):
        executor.forward(is_train=True, softmax_label=np.arange(8) % 10)
        executor.backward()
    kernels = {call.kernel for call in calls_of(short, True)}
    assert {"conv_last_data_gradient.bfloat16", "conv_last_turned.float32.bfloat16"} <= kernels
    for name, grad in wide.grad_dict.items():
        if name.endswith(("weight", "gamma")):  # as above, with some 10 roundings on the way there and back
            assert distance(short.grad_dict[name], grad) < 4 * 2**-9 * np.sqrt(2 * 10), name


@offered
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_are_trained_with_few_conversions(name):
    """The gradients of weights of windows alone are computed in float32."""
    net, shape = NETWORKS[name]
    executor = bind(lowered(net, "bfloat16"), (4, *shape), train=True)
    executor.forward(is_train=True)
    executor.backward()
    products = {c.kernel for c in calls_of(executor, True) if c.kernel.startswith(("gemm", "conv_"))}
    assert {k for k in products if k.endswith(".float32")} == {"conv_last_weight_gradient.float32"}
    assert all(np.isfinite(g.asnumpy()).all() for g in executor.grad_dict.values() if g is not None)


class Losses(mx.callback.Callback):
    def __init__(self):
        self.seen = []

    def on_batch_end(self, fit):
        self.seen.append(dict(fit.eval_metric.get_name_value())["cross-entropy"])


def losses(precision):
    mx.random.seed(1)
    np.random.seed(1)
    seen = Losses()
    mx.mod.Module(small("relu", "max")).fit(
        mx.io.NDArrayIter(*images(500), batch_size=25, shuffle=True),
        eval_metric=["ce"],
        initializer=mx.init.Xavier(),
        optimizer_params={"learning_rate": 0.003, "momentum": 0.9},
        num_epoch=2,
        precision=precision,
        callbacks=[seen],
        verbose=0,
    )
    return np.array(seen.seen)


@offered
def test_the_loss_follows_that_of_float32():
    short, wide = losses("bfloat16"), losses("float32")
    assert wide[-1] < wide[0] / 4
    # Means over the epoch so far. Steps go apart with time, for each starts from what the others have left.
    np.testing.assert_allclose(short, wide, rtol=0.05)
