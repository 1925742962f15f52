"""The layout pass: networks give the same with their channels moved, and move them only where they must."""

import numpy as np
import pytest

import minimx as mx
from minimx.compile import Options
from minimx.executor import Executor
from minimx.passes.ride import GATE


def conv(x, name, filters=32, kernel=3, **params):
    pad = (kernel // 2, kernel // 2)
    return mx.sym.Convolution(x, kernel=(kernel, kernel), pad=pad, num_filter=filters, name=name, **params)


def norm(x, name):
    return mx.sym.BatchNorm(x, fix_gamma=False, name=name)


def relu(x):
    return mx.sym.Activation(x, act_type="relu")


def inception(x):
    """Branches, pools of every kind, a concatenation, a residual sum and a head."""
    x = mx.sym.Pooling(relu(norm(conv(x, "c0", stride=(2, 2)), "b0")), kernel=(3, 3), stride=(2, 2), pad=(1, 1))
    pooled = mx.sym.Pooling(x, kernel=(3, 3), pad=(1, 1), pool_type="avg", count_include_pad=False)
    y = mx.sym.Concat(conv(x, "c1", 48, 1), norm(conv(x, "c2", no_bias=True), "b2"), pooled)
    y = relu(conv(y, "c3", 112) + y)
    y = mx.sym.Pooling(conv(y, "c4", 64, stride=(2, 2)), kernel=(2, 2), pool_type="sum")
    y = mx.sym.Pooling(y, kernel=(1, 1), global_pool=True, pool_type="avg")
    return mx.sym.SoftmaxOutput(mx.sym.FullyConnected(mx.sym.Flatten(y), num_hidden=5, name="fc"), name="softmax")


def split(x):
    parts = mx.sym.SliceChannel(conv(x, "c0", 64), num_outputs=2)
    return conv(parts[0] * 2 + mx.sym.tanh(parts[1]), "c1", 16)


def with_strangers(x):
    """Operators between that know nothing of moved channels."""
    y = mx.sym.LRN(conv(x, "c0"), nsize=3)
    y = conv(mx.sym.transpose(y, axes=(0, 1, 3, 2)), "c1")
    return mx.sym.Group([mx.sym.Pooling(y, kernel=(2, 2), pool_type="lp", p_value=2), mx.sym.sum(y)])


def sums(x):
    y = conv(x, "c0")
    total = mx.sym.sum(y, axis=1, keepdims=True)
    parts = [mx.sym.broadcast_mul(y, total), mx.sym.broadcast_add(y, mx.sym.mean(y, axis=(0, 2, 3), keepdims=True))]
    return mx.sym.Group([*parts, mx.sym.max(y, axis=1), mx.sym.sum(y, axis=2), mx.sym.sum(y, axis=1, exclude=True)])


def users_own(x):
    """Data that comes with its channels last, as a parameter of the layers and as transposes."""
    y = mx.sym.transpose(conv(x, "c0"), axes=(0, 2, 3, 1))
    y = mx.sym.Convolution(y, kernel=(3, 3), num_filter=16, layout="NHWC", name="c1")
    y = mx.sym.Pooling(relu(y), kernel=(2, 2), layout="NHWC")
    return conv(mx.sym.transpose(y, axes=(0, 3, 1, 2)), "c2", 16)


def relus(x):
    """A gate behind one convolution, and one behind the sum of two."""
    y = relu(conv(relu(conv(x, "c0")), "c1"))
    return conv(y, "c2", 48) + conv(y, "c3", 48, 1)


def joins(x):
    """Pieces that may be written where they are joined, among others that something else reads, too."""
    y = conv(x, "c0", 64)
    shared = conv(y, "c1", 32)
    whole = mx.sym.Concat(
        relu(conv(y, "c2", 40)), shared, mx.sym.tanh(conv(y, "c3", 24, 1)), shared, conv(y, "c4", 36, 5)
    )
    outer = mx.sym.Concat(whole, relu(conv(y, "c5", 48) + conv(y, "c6", 48)), conv(y, "c7", 24))
    pooled = mx.sym.Pooling(y, kernel=(3, 3), pad=(1, 1))
    alike = [mx.sym.Concat(conv(y, "c8", 64), pooled), mx.sym.Concat(conv(y, "c9", 64), conv(y, "c10", 64))]
    return mx.sym.Group([outer, shared, *alike])


NETWORKS = [inception, split, with_strangers, sums, users_own, relus, joins]


def bind(network, data=(2, 3, 24, 20), grad_req="write", dtype="float32", **options):
    symbol = network(mx.sym.Variable("data", dtype=dtype))
    executor = Executor.simple_bind(symbol, mx.cpu(), grad_req, options=Options(**options), data=data)
    random = np.random.default_rng(4)
    for name, array in [*executor.arg_dict.items(), *executor.aux_dict.items()]:
        if not name.endswith("label"):
            positive = name.endswith(("gamma", "var"))
            numbers = random.uniform(0.5, 1.5, array.shape) if positive else random.normal(0, 0.2, array.shape)
            array[:] = numbers.astype("float32")  # the same for every dtype
    return executor


def results(executor, train):
    executor.forward(is_train=train)
    if train:
        executor.backward([mx.nd.array(np.cos(np.arange(o.size)).reshape(o.shape)) for o in executor.outputs])
    arrays = {f"output {i}": o for i, o in enumerate(executor.outputs)} | executor.aux_dict
    if train:
        arrays |= {f"gradient of {n}": a for n, a in executor.grad_dict.items() if a is not None}
    return {name: a.asnumpy() for name, a in arrays.items()}


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("network", NETWORKS, ids=lambda f: f.__name__)
def test_equals_channels_second(network, train, mirror):
    plain = results(bind(network, fuse=False, mirror=mirror), train)
    moved = results(bind(network, fuse=True, mirror=mirror), train)
    scale = max(np.abs(a).max() for a in plain.values())
    for name, want in plain.items():
        np.testing.assert_allclose(moved[name], want, rtol=2e-4, atol=2e-6 * scale, err_msg=name)


def kernels(executor, train=False):
    executor.forward(is_train=train)
    return [call.kernel.split(".")[0] for call in executor._programs[train].lowered.calls]


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("largest", [0, 2, 4])
def test_winograd_where_it_pays(largest, train):
    def network(x):
        return conv(conv(conv(x, "c0"), "c1", 64), "c2", 64, 1)

    shape, req = (2, 16, 16, 16), "write" if train else "null"
    executor = bind(network, shape, req, winograd=largest)
    found = kernels(executor, train)
    expected = {"forward", "data_gradient", "weight_gradient"} if train else {"forward"}
    assert {k.removeprefix("conv_winograd_") for k in found} >= (expected if largest else set())
    tiles = {c.args["tile"] for c in executor._programs[train].lowered.calls if c.kernel.startswith("conv_winograd")}
    assert tiles <= {2, 4} and max(tiles, default=0) == largest
    assert_rounded_alike(network, shape, req, executor, train)


def assert_rounded_alike(network, shape, req, executor, train):
    """No element is far from the exact result, and on average they are not further than four times what a plain sum is, or
    eight units in the last place."""
    moved, plain = results(executor, train), results(bind(network, shape, req, fuse=False), train)
    for name, exact in results(bind(network, shape, req, fuse=False, dtype="float64"), train).items():
        scale = np.sqrt(np.mean(exact**2))
        error, usual = (np.sqrt(np.mean((a[name] - exact) ** 2)) for a in (moved, plain))
        assert error < 4 * usual + 8 * np.finfo("float32").eps * scale, name
        atol = 1e-5 * np.abs(exact).max()
        np.testing.assert_allclose(moved[name], exact, rtol=1e-3, atol=atol, err_msg=name)


@pytest.mark.parametrize(
    "shape, filters, pad", [((3, 5, 7, 9), 31, 1), ((1, 37, 10, 6), 16, 0), ((2, 16, 4, 5), 50, 2)]
)
@pytest.mark.parametrize("kernel, stride, tile", [(3, 1, 2), (3, 1, 4), (4, 2, 4), (2, 1, 4)])
def test_winograd_of_odd_shapes(kernel, stride, tile, shape, filters, pad, monkeypatch):
    """Tiles that stick out, channels and filters that fill no vector."""
    monkeypatch.setattr("minimx.passes.winograd._work", lambda node, size, keeps: abs(size - tile))

    def network(x):
        window = {"kernel": (kernel, kernel), "stride": (stride, stride), "pad": (pad, pad)}
        return mx.sym.Convolution(x, num_filter=filters, name="c", **window)

    executor = bind(network, shape, "write")
    assert sum(k.startswith("conv_winograd") for k in kernels(executor, True)) == 5
    assert_rounded_alike(network, shape, "write", executor, True)


@pytest.mark.parametrize("kernel, stride, pad", [(3, 2, 1), (5, 3, 2), (4, 2, 2)])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_gradients_of_small_images(size, kernel, stride, pad):
    """Some classes of pixels of the stride have none."""

    def network(x):
        window = {"kernel": (kernel, kernel), "stride": (stride, stride), "pad": (pad, pad)}
        return mx.sym.Convolution(x, num_filter=32, name="c", **window)

    executor = bind(network, (2, 32, size, size))
    assert "conv_last_data_gradient" in kernels(executor, True)
    assert_rounded_alike(network, (2, 32, size, size), "write", executor, True)


def test_gradients_of_relu_and_sums_ride():
    """What is left is the gradient of the second relu, whose sum rides already."""
    executor = bind(relus, (2, 3, 12, 12), winograd=0)
    executor.forward(is_train=True)
    calls = [c for c in executor._programs[True].lowered.calls if c.kernel.startswith("conv_last_data_gradient")]
    riders = [(c.args["activation"], c.reads[3] is not None) for c in calls]
    assert sorted(riders) == [(GATE, True), (0, False), (0, False), (0, True)]
    assert kernels(executor, True).count("ewise") == 1


def test_channels_move_once_at_the_beginning():
    """One copy for the data, one for the pooled part of the concatenation, and none after the global pool."""
    found = kernels(bind(inception, grad_req="null"))
    assert found.count("strided_copy") == 2
    assert not {"conv_forward", "pool_forward"} & set(found)


def test_convolutions_write_where_they_are_joined():
    executor = bind(joins, grad_req="null")
    executor.forward()
    calls = [
        c
        for c in executor._programs[False].lowered.calls
        if "pitch" in c.args and c.kernel.endswith("_forward.float32")
    ]
    pitches = {c.node.split("+")[0]: c.args["pitch"] for c in calls}
    whole = 40 + 32 + 24 + 32 + 36
    assert pitches["c2"] == pitches["c3"] == pitches["c4"] == whole
    assert pitches["c8"] == pitches["c9"] == pitches["c10"] == 128
    assert pitches["c7"] == whole + 48 + 24
    # Something else reads it, or it is added to what another one has left.
    assert not any(pitches[name] for name in ("c0", "c1", "c5", "c6"))


def test_transposes_of_the_user_disappear():
    found = kernels(bind(users_own, grad_req="null"))
    assert sum(k.startswith("conv_") and k.endswith("_forward") for k in found) == 3
    assert found.count("strided_copy") == 3  # data, c1's weights, the result


@pytest.mark.parametrize("train", [False, True])
def test_a_batch_may_be_empty(train):
    one = bind(inception, (1, 3, 24, 20), "null")
    args = {**one.arg_dict, "data": mx.nd.zeros((0, 3, 24, 20)), "softmax_label": mx.nd.zeros((0,))}
    grad = {"c3_weight": mx.nd.ones(args["c3_weight"].shape)}
    executor = one._symbol.bind(mx.cpu(), args, grad, "write" if train else "null", one.aux_dict)
    executor.forward(is_train=train)
    if train:
        executor.backward()
        assert not grad["c3_weight"].asnumpy().any()
    assert executor.outputs[0].shape == (0, 5)


def test_float64_moves_too():
    executor = Executor.simple_bind(
        conv(mx.sym.Variable("data"), "c"), mx.cpu(), type_dict={"data": "float64"}, data=(1, 3, 6, 6)
    )
    assert "conv_last_forward" in kernels(executor)


@pytest.mark.parametrize(
    "params",
    [{"filters": 8}, {"filters": 32, "num_group": 2}, {"filters": 32, "stride": (2, 2), "dilate": (2, 2)}],
    ids=["few filters", "groups", "stride and dilation"],
)
def test_what_gains_nothing_stays(params):
    executor = bind(lambda x: conv(x, "c", **params), data=(1, 16, 12, 12), grad_req="null")
    assert "conv_last_forward" not in kernels(executor)
