"""Freezing layers, trying learning rates, summaries and loggers: what stands around a training."""

import logging
import re

import numpy as np
import pytest

import minimx as mx
from minimx.base import GraphError, ShapeError


def network():
    body = mx.sym.Convolution(mx.sym.var("data"), kernel=(3, 3), num_filter=4, name="conv1")
    body = mx.sym.Activation(mx.sym.BatchNorm(body, fix_gamma=False, name="bn1"), act_type="relu", name="act1")
    body = mx.sym.Convolution(body, kernel=(3, 3), num_filter=4, no_bias=True, num_group=2, name="conv2")
    body = mx.sym.BatchNorm(body, fix_gamma=False, name="bn2")
    return mx.sym.SoftmaxOutput(mx.sym.FullyConnected(body, num_hidden=3, name="fc"), name="softmax")


def images(count=24):
    rng = np.random.RandomState(0)
    labels = rng.randint(0, 3, count)
    return rng.normal(0, 0.3, (count, 2, 8, 8)) + labels[:, None, None, None], labels


def data():
    return mx.io.NDArrayIter(*images(), batch_size=8)


# ---- freeze -------------------------------------------------------------------------------------------------------------


def test_names():
    net = network()
    assert mx.freeze(net, up_to="bn1").names == ["conv1_weight", "conv1_bias", "bn1_gamma", "bn1_beta"]
    assert mx.freeze(net, up_to="conv1_output").names == ["conv1_weight", "conv1_bias"]
    assert mx.freeze(net, up_to="bn1").symbol is net
    everything = mx.freeze(net).names
    assert set(everything) == set(net.list_arguments()) - {"data", "softmax_label"}
    with pytest.raises(GraphError, match=r"no layer 'bn3'; did you mean bn"):
        mx.freeze(net, up_to="bn3")


@pytest.mark.parametrize("batch_norm", [False, True])
def test_what_is_frozen_stays(batch_norm):
    net, fixed = mx.freeze(network(), up_to="act1", batch_norm=batch_norm)
    assert net.list_arguments() == network().list_arguments()
    module = mx.mod.Module(net, fixed_param_names=fixed)
    module.bind(data().provide_data, data().provide_label)
    module.init_params(mx.init.Xavier())
    before = [{n: a.asnumpy() for n, a in part.items()} for part in module.get_params()]
    rates = {"learning_rate": 0.1, "momentum": 0.9, "wd": 0.1}
    module.fit(data(), num_epoch=2, optimizer_params=rates, initializer=None, verbose=0)
    after = module.get_params()
    for old, new in zip(before, after, strict=True):
        for name, value in new.items():
            stays = name in fixed or (batch_norm and name.startswith("bn1_moving"))
            assert (value.asnumpy() == old[name]).all() == stays, name


def test_frozen_batch_norm_computes_as_in_predictions():
    net, _ = mx.freeze(network(), up_to="bn1", batch_norm=True)
    inside = net.get_internals()["bn1_output"]
    assert 'use_global_stats": "True' in net.tojson()
    executor = inside.simple_bind(mx.cpu(), data=(8, 2, 8, 8))
    for name, array in executor.arg_dict.items():
        array[:] = mx.nd.array(np.random.RandomState(len(name)).uniform(0.5, 1, array.shape))
    executor.aux_dict["bn1_moving_var"][:] = 2
    trained = executor.forward(is_train=True)[0].asnumpy()
    predicted = executor.forward(is_train=False)[0].asnumpy()
    np.testing.assert_allclose(trained, predicted, rtol=1e-5)


# ---- lr_find ------------------------------------------------------------------------------------------------------------


def test_lr_find_leaves_everything_as_it_was():
    mx.random.seed(0)
    module = mx.mod.Module(network())
    source = data()
    module.bind(source.provide_data, source.provide_label)
    module.init_params(mx.init.Xavier())
    before = {n: a.asnumpy() for n, a in module.get_params()[0].items()}
    state = mx.random.get_state()
    found = mx.lr_find(module, source, start=1e-4, stop=100, steps=40)
    assert len(found.lrs) == len(found.losses) <= 40
    assert found.lrs[0] == 1e-4 and found.lrs == sorted(found.lrs)
    assert 1e-4 < found.suggestion < 10
    assert min(found.losses) < found.losses[0]
    assert "suggested" in repr(found)
    for name, value in module.get_params()[0].items():
        assert (value.asnumpy() == before[name]).all()
    assert mx.random.get_state()["programs"] == state["programs"]
    assert len(list(source)) == 3  # as reset as it was
    source.reset()
    history = module.fit(source, num_epoch=25, optimizer_params={"learning_rate": found.suggestion}, verbose=0)
    assert history["train-accuracy"][-1] > 0.9


def test_lr_find_with_a_symbol_and_other_losses():
    label = mx.sym.var("target_label")
    net = mx.sym.LinearRegressionOutput(mx.sym.FullyConnected(mx.sym.var("x"), num_hidden=1, name="fc"), label)
    rng = np.random.RandomState(0)
    x = rng.uniform(-1, 1, (40, 3))
    source = mx.io.NDArrayIter({"x": x}, {"target_label": x.sum(axis=1, keepdims=True)}, 10)
    model = mx.model.FeedForward(net, num_epoch=1, initializer=mx.init.Uniform())
    for network in (net, model):
        found = mx.lr_find(network, source, steps=30, stop=1e4, optimizer="adam")
        assert 1e-6 < found.suggestion < 100
    model.fit(source, eval_metric="mse", verbose=0)
    before = model.arg_params["fc_weight"].asnumpy()
    assert len(mx.lr_find(model, source, steps=30, optimizer="adam").lrs) > 3
    assert (model.arg_params["fc_weight"].asnumpy() == before).all()


def test_lr_find_with_bad_input():
    with pytest.raises(ValueError, match="0 < start < stop"):
        mx.lr_find(network(), data(), start=1, stop=0.1)
    with pytest.raises(ValueError, match="3 steps"):
        mx.lr_find(network(), data(), steps=2)
    with pytest.raises(TypeError, match="by name"):
        mx.lr_find(network(), data(), optimizer=mx.optimizer.SGD())


# ---- summary ------------------------------------------------------------------------------------------------------------


def test_summary():
    found = mx.summary(network(), data=(2, 2, 8, 8), fixed_param_names=["conv1_weight", "conv1_bias"])
    layers = {layer.name: layer for layer in found.layers}
    assert layers["conv1"].parameters == 4 * 2 * 9 + 4 and layers["conv1"].trainable == 0
    assert layers["conv1"].shapes == [(2, 4, 6, 6)]
    assert layers["conv1"].multiply_adds == 2 * 4 * 36 * 2 * 9
    assert layers["conv2"].multiply_adds == 2 * 4 * 16 * 2 * 9
    assert layers["fc"].multiply_adds == 2 * 3 * 64
    assert found.parameters == sum(layer.parameters for layer in found.layers) == 76 + 8 + 72 + 8 + 195
    assert found.trainable == found.parameters - 76
    assert found.states == 16
    assert found.parameter_bytes == 4 * (found.parameters + found.states)
    assert found.gradient_bytes == 4 * found.trainable
    executor = network().simple_bind(mx.cpu(), data=(2, 2, 8, 8))
    assert found.predicting_bytes == executor.memory(is_train=False)["arena"]
    text = str(found)
    assert re.search(r"conv1 +Convolution +2x4x6x6 +76 fixed +5,184\n", text)
    assert "Parameters: 359 (283 trainable, 76 fixed), states: 16" in text


def test_summary_of_products():
    a, b = mx.sym.var("a"), mx.sym.var("b")
    cases = [
        (mx.sym.dot(a, b), (3, 4), (4, 5), 60),
        (mx.sym.dot(a, b, transpose_a=True), (4, 3), (4, 5), 60),
        (mx.sym.batch_dot(a, b, transpose_b=True), (2, 3, 4), (2, 5, 4), 120),
        (mx.sym.Deconvolution(a, b, kernel=(2, 2), num_filter=3), (1, 2, 4, 4), (2, 3, 2, 2), 32 * 12),
    ]
    for net, first, second, count in cases:
        assert mx.summary(net, a=first, b=second).multiply_adds == count


def test_summary_of_a_module_and_shared_weights():
    module = mx.mod.Module(network(), fixed_param_names=["fc_weight"])
    module.bind(data().provide_data, data().provide_label)
    found = mx.summary(module)
    assert found.layers[0].shapes == [(8, 4, 6, 6)]
    assert found.parameters - found.trainable == 192
    weight = mx.sym.var("w")
    twice = mx.sym.FullyConnected(mx.sym.var("data"), weight, num_hidden=4, no_bias=True)
    twice = mx.sym.FullyConnected(twice, weight, num_hidden=4, no_bias=True)
    assert mx.summary(twice, (3, 4)).parameters == 16
    with pytest.raises(ShapeError, match="shapes of the inputs are needed"):
        mx.summary(twice)


# ---- log ----------------------------------------------------------------------------------------------------------------


def test_loggers(capsys, tmp_path):
    logger = mx.log.get_logger("minimx.test.one", level=mx.log.INFO)
    assert mx.log.get_logger("minimx.test.one") is logger and len(logger.handlers) == 1
    logger.info("hello %s", "there")
    logger.debug("not this")
    line = capsys.readouterr().err
    assert re.fullmatch(
        r"\x1b\[32mI\d{4} \d\d:\d\d:\d\d \d+ .*test_freezing.py:test_loggers:\d+\]\x1b\[0m hello there\n", line
    )
    with pytest.warns(DeprecationWarning, match="get_logger"):
        to_file = mx.log.getLogger("minimx.test.two", str(tmp_path / "log"), level=mx.log.DEBUG)
    to_file.debug("kept")
    assert (tmp_path / "log").read_text() == "kept\n"
    assert mx.log.get_logger() is logging.getLogger()


# ---- monitor ------------------------------------------------------------------------------------------------------------


def test_a_monitor_in_a_training(caplog):
    caplog.set_level(logging.INFO)
    seen = []
    monitor = mx.mon.Monitor(2, lambda x: seen.append(x.shape) or x.abs().max(), pattern="conv1.*|.*weight", sort=True)
    watched = mx.mod.Module(network())
    mx.random.seed(0)
    watched.fit(data(), num_epoch=1, monitor=monitor, initializer=mx.init.Xavier(), verbose=0)
    lines = [m for m in caplog.messages if m.startswith("Batch:")]
    names = [line.split()[2] for line in lines]
    assert names[:6] == ["conv1_bias", "conv1_output", "conv1_weight", "conv2_weight", "fc_weight", "conv1_bias"]
    assert [line.split()[1] for line in lines[::5]] == ["1", "3"]
    assert re.fullmatch(r"Batch: +1 conv1_output {18} \d\.\d+\t", lines[1])
    assert (8, 4, 6, 6) in seen
    plain = mx.mod.Module(network())
    mx.random.seed(0)
    plain.fit(data(), num_epoch=1, initializer=mx.init.Xavier(), verbose=0)
    for name, value in plain.get_params()[0].items():
        np.testing.assert_allclose(value.asnumpy(), watched.get_params()[0][name].asnumpy(), rtol=1e-4, atol=1e-6)
