"""Training with 16 bits: what is computed with how many, and that networks learn as well."""

import numpy as np
import pytest

import minimx as mx
from minimx.digits import digits
from minimx.op import OPERATORS
from minimx.passes.infer import infer_types
from minimx.precision import EITHER, LOSS_SCALE, NARROW, LossScale, lowered

SHORT = ["float16", "bfloat16"]


def lenet():
    body = mx.sym.Convolution(mx.sym.var("data"), kernel=(5, 5), num_filter=6, name="conv1")
    body = mx.sym.Pooling(mx.sym.Activation(body, act_type="tanh"), kernel=(2, 2), stride=(2, 2), pool_type="max")
    body = mx.sym.BatchNorm(mx.sym.Convolution(body, kernel=(5, 5), num_filter=12, name="conv2"), name="bn")
    body = mx.sym.Pooling(mx.sym.Activation(body, act_type="tanh"), kernel=(2, 2), stride=(2, 2), pool_type="max")
    body = mx.sym.Activation(mx.sym.FullyConnected(body, num_hidden=40, name="fc1"), act_type="tanh")
    return mx.sym.SoftmaxOutput(mx.sym.FullyConnected(body, num_hidden=10, name="fc2"), name="softmax")


def images(count, seed=0):
    data, labels = digits(count, seed)
    return data.reshape(count, 1, 28, 28), labels


def train(net, precision=None, epochs=3, **more):
    mx.random.seed(1)
    np.random.seed(1)
    module = mx.mod.Module(net)
    history = module.fit(
        mx.io.NDArrayIter(*images(500), batch_size=25, shuffle=True),
        eval_data=mx.io.NDArrayIter(*images(200, 1), batch_size=50),
        eval_metric=["acc", "ce"],
        initializer=mx.init.Xavier(),
        optimizer_params={"learning_rate": 0.05, "momentum": 0.9},
        num_epoch=epochs,
        precision=precision,
        verbose=0,
        **more,
    )
    return module, history


def dtypes_inside(symbol):
    inside = symbol.get_internals()
    found = infer_types(inside._heads, {"data": (4, 1, 28, 28)}, {})
    return {name: found.dtypes[node][i] for name, (node, i) in zip(inside.list_outputs(), inside._heads, strict=True)}


# ---- the rewritten network ----------------------------------------------------------------------------------------------


def test_names_and_dtypes_stay():
    net = lenet()
    short = lowered(net, "float16")
    assert short.list_arguments() == net.list_arguments()
    assert short.list_auxiliary_states() == net.list_auxiliary_states()
    assert short.list_outputs() == net.list_outputs()
    types = dtypes_inside(short)
    assert {types[n] for n in net.list_arguments() + net.list_auxiliary_states()} == {"float32"}
    narrow = ["conv1_output", "activation0_output", "pooling0_output", "conv2_output", "fc1_output", "fc2_output"]
    assert {types[n] for n in narrow if n in types} == {"float16"}
    assert types["bn_output"] == types["softmax_output"] == "float32"


def test_other_outputs_keep_name_and_dtype():
    fc = mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=3, name="fc")
    for scaled in (False, True):
        short = lowered(mx.sym.Group([fc, mx.sym.softmax(fc, name="p")]), "float16", scaled)
        assert short.list_outputs() == ["fc_output", "p_output"]
        executor = short.simple_bind(mx.cpu(), data=(2, 4))
        assert [o.dtype_name for o in executor.forward()] == ["float32", "float32"]


def test_sums_of_short_and_long_are_long():
    data = mx.sym.var("data")
    fc = mx.sym.FullyConnected(data, num_hidden=3, name="fc", no_bias=True)
    types = dtypes_inside(lowered(mx.sym.elemwise_add(fc, mx.sym.exp(fc), name="sum"), "bfloat16"))
    assert types["sum_output"] == "float32"
    both = dtypes_inside(lowered(mx.sym.exp(mx.sym.elemwise_add(fc, fc, name="sum")), "float16"))
    assert both["sum_output"] == "float16"


def test_unknown_precision():
    with pytest.raises(ValueError, match="float32, float16, bfloat16, got 'int8'"):
        train(lenet(), "int8")


@pytest.mark.parametrize("out_grad", [False, True])
def test_gradients_are_scaled_once(out_grad):
    data = np.random.RandomState(0).uniform(-1, 1, (4, 6))
    hidden = mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=5, name="fc")
    nets = [
        mx.sym.SoftmaxOutput(hidden, mx.sym.var("label"), out_grad=out_grad),
        mx.sym.LinearRegressionOutput(hidden * 2, mx.sym.var("label")),
        mx.sym.MakeLoss(mx.sym.sum(mx.sym.square(hidden))),
        mx.sym.sum(mx.sym.square(hidden)),
        mx.sym.Group([mx.sym.MakeLoss(mx.sym.square(hidden)), mx.sym.BlockGrad(hidden)]),
    ]
    for net in nets:
        grads = []
        for symbol, scale in ((net, 1.0), (lowered(net, "float32", scaled=True), 8.0)):
            shapes = {"label": (4,)} if net is nets[0] else {}
            executor = symbol.simple_bind(mx.cpu(), data=(4, 6), **shapes)
            if LOSS_SCALE in executor.arg_dict:
                executor.arg_dict[LOSS_SCALE][:] = scale
            executor.arg_dict["fc_weight"][:] = mx.nd.array(np.arange(30).reshape(5, 6) / 30)
            executor.forward(is_train=True, data=data)
            executor.backward()
            grads.append(executor.grad_dict["fc_weight"].asnumpy())
        assert np.abs(grads[0]).max() > 0
        np.testing.assert_array_equal(grads[1], 8 * grads[0])  # a power of two changes no digit


# ---- training -----------------------------------------------------------------------------------------------------------


def test_networks_learn_as_well():
    wide, history = train(lenet())
    final = history["validation-accuracy"][-1]
    assert final > 0.9
    for precision in SHORT:
        module, other = train(lenet(), precision)
        assert other["validation-accuracy"][-1] >= final - 0.03
        weights = module.get_params()[0]
        assert {a.dtype_name for a in weights.values()} == {"float32"}
        assert (weights["fc1_weight"].asnumpy() != wide.get_params()[0]["fc1_weight"].asnumpy()).any()
        stays = mx.mod.Module(lenet())  # the trained parameters are those of the network as it was
        assert module.symbol.list_arguments() == stays.symbol.list_arguments()


def test_float32_with_a_scale_is_exact():
    plain, _ = train(lenet(), epochs=1)
    scaled, _ = train(lenet(), "float32", epochs=1, loss_scale=1024)
    for name, value in plain.get_params()[0].items():
        np.testing.assert_array_equal(value.asnumpy(), scaled.get_params()[0][name].asnumpy())


class Snapshots(mx.callback.Callback):
    """Parameters, moving statistics, momenta and the scale after every step."""

    def __init__(self):
        self.seen = []

    def on_batch_end(self, fit):
        args, aux = fit.module.get_params()
        states = fit.module.updaters()[0].states
        arrays = [*args.values(), *aux.values(), *(s for s in states.values() if s is not None)]
        self.seen.append(([a.asnumpy() for a in arrays], fit.module.precision_state()))


@pytest.mark.parametrize("fused", [True, False])
def test_a_step_that_overflows_changes_nothing(fused):
    mx.random.seed(0)
    snapshots = Snapshots()
    module = mx.mod.Module(lenet())
    monitor = None if fused else mx.mon.Monitor(1000, pattern="nothing")
    module.fit(
        mx.io.NDArrayIter(*images(100), batch_size=25),
        initializer=mx.init.Xavier(),
        optimizer_params={"learning_rate": 0.05, "momentum": 0.9},
        num_epoch=2,
        precision="float16",
        monitor=monitor,
        callbacks=[snapshots],
        verbose=0,
    )
    skipped = 0
    for (before, old), (after, new) in zip(snapshots.seen, snapshots.seen[1:], strict=False):
        same = all((a == b).all() for a, b in zip(before, after, strict=True))
        assert all(np.isfinite(a).all() for a in after)
        if new["skipped"] > old["skipped"]:
            skipped += 1
            assert new["value"] == old["value"] / 2
            assert same or not fused  # moving statistics are written by the forward pass of a step in parts
        else:
            assert not same
    assert 0 < skipped < 7


def test_the_scale_grows_again():
    scale = LossScale("dynamic", interval=3)
    for finite in (False, False, True, True, True, True):
        scale.adjust(finite)
    assert (scale.value, scale.good, scale.skipped) == (32768.0, 1, 2)
    with pytest.raises(ValueError, match="positive number or 'dynamic', got -1"):
        LossScale(-1)


def test_resuming_with_a_scale(tmp_path):
    path = str(tmp_path / "run.ckpt")
    straight, _ = train(lenet(), "float16", epochs=2)
    train(lenet(), "float16", epochs=1, checkpoint=path)
    resumed, _ = train(lenet(), "float16", epochs=2, resume=path)
    assert straight.precision_state() == resumed.precision_state()
    for name, value in straight.get_params()[0].items():
        np.testing.assert_array_equal(value.asnumpy(), resumed.get_params()[0][name].asnumpy())
    with pytest.raises(mx.MXNetError, match="another precision"):
        train(lenet(), epochs=2, resume=path)


def test_feed_forward():
    mx.random.seed(0)
    model = mx.model.FeedForward(lenet(), num_epoch=3, numpy_batch_size=25, learning_rate=0.05, momentum=0.9)
    model.initializer = mx.init.Xavier()
    model.fit(*images(500), precision="bfloat16", verbose=0)
    assert model.score(mx.io.NDArrayIter(*images(200, 1), batch_size=50)) > 0.85


def test_buckets_share_one_scale():
    def generate(key):
        hidden = mx.sym.FullyConnected(mx.sym.mean(mx.sym.var("data"), axis=1, keepdims=True), num_hidden=3, name="fc")
        return mx.sym.SoftmaxOutput(hidden, name="softmax"), ["data"], ["softmax_label"]

    module = mx.mod.BucketingModule(generate, default_bucket_key=6)
    module.set_precision("float16")
    module.bind([("data", (4, 6))], [("softmax_label", (4,))])
    module.init_params(mx.init.One())
    module.init_optimizer()
    for key in (6, 3, 6, 3):
        data, label = mx.nd.ones((4, key)) * 6e4, mx.nd.zeros((4,))
        shapes = {"provide_data": [("data", (4, key))], "provide_label": [("softmax_label", (4,))]}
        module.forward_backward(mx.io.DataBatch([data], [label], bucket_key=key, **shapes))
        module.update()
    assert module.precision_state()["skipped"] == 4  # 60000 times a scaled gradient is too much
    assert module.precision_state()["value"] == 2.0**12
    assert (module.get_params()[0]["fc_weight"].asnumpy() == 1).all()


def test_too_late():
    module = mx.mod.Module(lenet())
    module.bind([("data", (2, 1, 28, 28))], [("softmax_label", (2,))])
    with pytest.raises(mx.MXNetError, match="before bind"):
        module.set_precision("float16")


def test_going_on_with_the_same_precision():
    module = mx.mod.Module(lenet())
    data = mx.io.NDArrayIter(*images(50), batch_size=25)
    for _ in range(2):
        module.fit(data, num_epoch=1, precision="float16", verbose=0)
    assert module.precision_state()["good"] + module.precision_state()["skipped"] == 4


def test_layers_are_operators():
    assert set(OPERATORS) >= NARROW | EITHER
