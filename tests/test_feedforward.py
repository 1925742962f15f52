"""FeedForward: training from arrays and iterators, prediction, scores, files; the numbers of MXNet."""

import logging
import pickle

import numpy as np
import pytest
from small_training import SGD, X, Y, assert_same, first_values, mlp, rows
from test_module import assert_logged

import minimx as mx

# What MXNet 1.9.1 logs and finds: from arrays shuffled by np.random.seed(3), and from an iterator in epochs of 7 batches.
SHUFFLED_LOG = """Start training with [cpu(0)]
Epoch[0] Batch [0-2]\taccuracy=0.400000\tcross-entropy=0.714496
Epoch[0] Batch [2-4]\taccuracy=0.600000\tcross-entropy=0.637641
Epoch[0] Resetting Data Iterator
Epoch[0] Time cost
Epoch[1] Batch [0-2]\taccuracy=0.850000\tcross-entropy=0.505561
Epoch[1] Batch [2-4]\taccuracy=0.700000\tcross-entropy=0.508352
Epoch[1] Resetting Data Iterator
Epoch[1] Time cost
Epoch[2] Batch [0-2]\taccuracy=0.750000\tcross-entropy=0.357463
Epoch[2] Batch [2-4]\taccuracy=0.900000\tcross-entropy=0.350733
Epoch[2] Resetting Data Iterator
Epoch[2] Time cost"""
SHUFFLED = {
    "fc1_bias": [0.007097, 0.066037, 0.0591],
    "fc1_weight": [0.554725, -0.136805, -0.154939],
    "fc2_bias": [0.004128, 0.306734],
    "fc2_weight": [-0.18372, -0.284061, 0.196968],
}
SIZED_LOG = """Start training with [cpu(0)]
Epoch[0] Resetting Data Iterator
Epoch[0] Time cost
Epoch[0] Validation-accuracy=0.800000
Epoch[0] Validation-cross-entropy=0.412535
Epoch[1] Resetting Data Iterator
Epoch[1] Time cost
Epoch[1] Validation-accuracy=0.900000
Epoch[1] Validation-cross-entropy=0.236715"""
SIZED = {
    "fc1_bias": [0.015244, 0.117243, 0.059997],
    "fc1_weight": [0.582006, -0.126342, -0.149032],
    "fc2_bias": [-0.077705, 0.388567],
    "fc2_weight": [-0.25765, -0.464332, 0.21198],
}


def model(**options):
    args, _ = first_values(mlp())
    given = {"num_epoch": 3, "numpy_batch_size": 10, "arg_params": args, "aux_params": {}, **SGD, **options}
    return mx.model.FeedForward(mlp(), **given)


def heads(params):
    return {n: a.asnumpy().reshape(-1)[:3] for n, a in params.items()}


@pytest.mark.parametrize("kind", [np.asarray, mx.nd.array])
@pytest.mark.parametrize("devices", [1, 2])
def test_arrays(kind, devices, caplog):
    caplog.set_level(logging.INFO)
    np.random.seed(3)
    net = model(ctx=[mx.cpu(i) for i in range(devices)])
    meter = mx.callback.Speedometer(10, 2)
    net.fit(kind(X), kind(Y), eval_metric=["acc", "ce"], batch_end_callback=meter)
    assert_logged(caplog.messages, SHUFFLED_LOG.replace("[cpu(0)]", "[cpu(0), cpu(1)]" if devices == 2 else "[cpu(0)]"))
    assert_same(heads(net.arg_params), SHUFFLED, rtol=1e-4, atol=5e-6)


def test_an_iterator_with_epochs_of_its_own_length(caplog):
    caplog.set_level(logging.INFO)
    net = model(num_epoch=2, epoch_size=7)
    net.fit(rows(), eval_data=rows(count=40), eval_metric=["acc", "ce"])
    assert_logged(caplog.messages, SIZED_LOG)
    assert_same(heads(net.arg_params), SIZED, rtol=1e-4, atol=5e-6)


def test_batches_count_from_one():
    seen = []
    model().fit(rows(), batch_end_callback=lambda p: seen.append((p.epoch, p.nbatch)))
    assert seen == [(e, n) for e in range(3) for n in range(1, 6)]


def test_callbacks_end_the_training():
    seen = []

    def stop(param):
        seen.append((param.epoch, param.nbatch))
        return param.epoch == 0 or param.nbatch < 2 or False

    net = model()
    before = net.arg_params["fc1_weight"].asnumpy()
    net.fit(rows(), batch_end_callback=stop)
    assert seen[-1] == (1, 2) and len(seen) == 7
    assert not np.array_equal(net.arg_params["fc1_weight"].asnumpy(), before)


def test_validation_counts_every_row():
    found = []
    counted = mx.metric.CustomMetric(lambda label, pred: (len(label), 1), name="rows")
    given = {"eval_metric": counted, "eval_end_callback": lambda p: found.append(p.eval_metric.sum_metric)}
    for data in ((X, Y), [X, Y], {"data": X, "label": Y}, rows()):
        model(num_epoch=1).fit(X, Y, eval_data=data, **given)
    assert found == [43] * 4


@pytest.mark.parametrize("size", [4, 10, 100])
def test_prediction(size):
    net = model(numpy_batch_size=size)
    args = {n: a.asnumpy() for n, a in net.arg_params.items()}
    hidden = np.maximum(X @ args["fc1_weight"].T + args["fc1_bias"], 0)
    want = np.exp(hidden @ args["fc2_weight"].T + args["fc2_bias"])
    want /= want.sum(1, keepdims=True)
    for data in (X, mx.nd.array(X), rows(size), {"data": X}):
        got = net.predict(data)
        assert isinstance(got, np.ndarray)
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6)
    outputs, data, labels = net.predict(rows(size), return_data=True)
    np.testing.assert_array_equal(data, X)
    np.testing.assert_array_equal(labels, Y)
    correct = (want.argmax(1) == Y).mean()
    assert net.score(rows(size)) == pytest.approx(correct)
    assert net.score(X, Y) == pytest.approx(correct)
    assert net.score(X, "acc", y=Y) == pytest.approx(correct)
    assert net.predict(rows(10), num_batch=2).shape == (20, 2)
    assert outputs.shape == want.shape


def test_predictions_follow_the_parameters():
    net = model()
    first = net.predict(X)
    net.fit(X, Y)
    assert not np.allclose(net.predict(X), first)
    net.arg_params, _ = first_values(mlp())
    np.testing.assert_array_equal(net.predict(X), first)


def test_several_outputs():
    parts = mlp().get_internals()
    net = mx.model.FeedForward(
        mx.sym.Group([parts["softmax_output"], parts["relu1_output"]]), arg_params=first_values(mlp())[0]
    )
    probabilities, hidden = net.predict(X)
    assert probabilities.shape == (43, 2) and hidden.shape == (43, 8)


def test_files(tmp_path):
    prefix = str(tmp_path / "net")
    net = model()
    net.fit(X, Y)
    net.save(prefix)
    again = mx.model.FeedForward.load(prefix, 3, num_epoch=5, **SGD)
    np.testing.assert_array_equal(again.predict(X), net.predict(X))
    assert again.begin_epoch == 3
    epochs = []
    again.fit(X, Y, epoch_end_callback=lambda epoch, *rest: epochs.append(epoch))
    assert epochs == [3, 4]
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(net)).predict(X), net.predict(X))


@pytest.mark.parametrize(
    "given",
    [
        {"num_round": 3, "array_batch_size": 10, "begin_round": 1},
        {"num.round": 3, "array.batch.size": 10, "begin.round": 1, "array.layout": "auto", "metric_cpu": True},
        {"num_epoch": 3, "numpy_batch_size": 10, "verbose": False, "input_names": ["data"]},
    ],
)
def test_create_in_one_call(given, caplog):
    caplog.set_level(logging.INFO)
    np.random.seed(3)
    rounds = []
    net = mx.model.FeedForward.create(
        mlp(),
        X,
        Y,
        ctx=mx.cpu(),
        arg_params=first_values(mlp())[0],
        aux_params={},
        eval_metric="acc",
        kvstore="local",
        batch_end_callback=lambda p: rounds.append(p.epoch),
        **SGD,
        **given,
    )
    assert_same(heads(net.arg_params), SHUFFLED, rtol=1e-4, atol=5e-6)
    assert sorted(set(rounds)) == [0, 1, 2]
    assert bool(caplog.messages) == given.get("verbose", True)


def test_layouts():
    shifted = model(array_layout="colmajor", num_epoch=1)
    np.random.seed(1)
    shifted.fit(X.T, Y)
    plain = model(num_epoch=1)
    np.random.seed(1)
    plain.fit(X, Y)
    assert_same(heads(shifted.arg_params), heads(plain.arg_params), rtol=0, atol=0)
    np.testing.assert_array_equal(shifted.predict(X.T), plain.predict(X))
    auto = model(array_layout="auto", num_epoch=1)
    np.random.seed(1)
    auto.fit(X.T, Y)
    for given in (X, X.T):
        np.testing.assert_array_equal(auto.predict(given), plain.predict(X))
    with pytest.raises(ValueError, match="Cannot auto select array_layout"):
        model(array_layout="auto").fit(X[:6], Y[:6])
    with pytest.raises(ValueError, match="array_layout must be"):
        model(array_layout="diagonal")


def test_names_of_inputs():
    net = mx.sym.FullyConnected(mx.sym.Variable("pixels"), num_hidden=1, name="fc")
    net = mx.sym.LinearRegressionOutput(net, mx.sym.Variable("price"), name="out")
    for labels in (X[:, 0], X[:, :1]):
        trained = mx.model.FeedForward(net, num_epoch=60, learning_rate=0.3)
        trained.fit(X, labels, eval_metric="rmse")
        assert trained.predict(X).shape == (43, 1)
        assert trained.score(X, "rmse", y=labels) < 0.05
    three = mx.sym.FullyConnected(mx.sym.Variable("pixels"), num_hidden=3, name="fc")
    trained = mx.model.FeedForward(mx.sym.LinearRegressionOutput(three, name="out"), num_epoch=60, learning_rate=0.3)
    trained.fit(X, X[:, :3], eval_metric="rmse")
    assert trained.predict(X, return_data=True)[0].shape == (43, 3)
    assert trained.score(X, "rmse", y=X[:, :3]) < 0.05
    both = mx.sym.FullyConnected(mx.sym.Variable("a") + mx.sym.Variable("b"), num_hidden=2, name="fc")
    both = mx.sym.SoftmaxOutput(both, name="softmax")
    trained = mx.model.FeedForward(both, num_epoch=1)
    trained.fit({"a": X, "b": X * 2}, Y)
    assert trained.predict({"a": X, "b": X}).shape == (43, 2)
    with pytest.raises(ValueError, match="the graph has no such argument: it wants a, b"):
        trained.predict(X)


def test_layers_that_an_initializer_knows_by_name():
    net = mx.sym.Deconvolution(
        mx.sym.Variable("data"), kernel=(4, 4), stride=(2, 2), pad=(1, 1), num_filter=1, name="upsampling1"
    )
    trained = mx.model.FeedForward(mx.sym.MAERegressionOutput(net, name="out"), num_epoch=1, learning_rate=0.0)
    trained.fit(np.ones((4, 1, 2, 2)), np.ones((4, 1, 4, 4)), eval_metric="mae")
    want = mx.nd.zeros((1, 1, 4, 4))
    mx.init.Bilinear()._init_weight("w", want)
    np.testing.assert_array_equal(trained.arg_params["upsampling1_weight"].asnumpy(), want.asnumpy())


def test_what_goes_wrong():
    for call, message in (
        (lambda: model().fit(X), "y must be specified"),
        (lambda: model().fit(X, Y[:5]), "43 examples, but 5 labels"),
        (lambda: model().fit(rows(), Y), "y must not be given"),
        (lambda: model(num_epoch=None).fit(X, Y), "num_epoch, the number of epochs, is missing"),
        (lambda: mx.model.FeedForward(mlp()).predict(X), r"no parameters yet; call fit\(\) or load\(\) first"),
        (lambda: model().fit(X, Y, eval_data=(X, Y, Y)), "eval_data must be"),
        (lambda: model(num_round=3, **{"num.round": 4}), "given twice"),
        (lambda: model(arg_params={"fc9": mx.nd.ones(2)}).fit(X, Y), "no parameter fc9"),
        (lambda: model(num_epoch=None).save("net"), "number of the epoch is missing"),
        (lambda: model(learning_speed=1).fit(X, Y), "learning_speed"),
    ):
        with pytest.raises((ValueError, TypeError), match=message):
            call()
    model(arg_params={"fc9": mx.nd.ones(2)}, allow_extra_params=True).fit(X, Y)


def test_fit_warns_of_labels_in_the_order_of_their_classes(caplog):
    data, label = np.random.rand(100, 4).astype("f"), np.repeat([0, 1, 2, 5], 25).astype("f")
    net = mx.sym.SoftmaxOutput(mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=3), name="softmax")
    mx.mod.Module(net).fit(mx.io.NDArrayIter(data, label, 20), num_epoch=2, verbose=0)
    assert caplog.text.count("the iterator does not shuffle") == 1
    caplog.clear()
    mx.mod.Module(net).fit(mx.io.NDArrayIter(data[::-1], label[::-1].copy(), 25), num_epoch=1, verbose=0)
    assert "label 5 (softmax_label) of example 0 is none of the 3 classes" in caplog.text
