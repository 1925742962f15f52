"""Module: the numbers of MXNet, and every way to take the same steps."""

import logging
import re
from collections import namedtuple

import numpy as np
import pytest
from recorded import GOLDEN, RUNS, loss_of
from small_training import SGD, X, Y, assert_same, bound, first_values, mlp, rows, run, values

import minimx as mx
from minimx.base import MXNetError


@pytest.mark.parametrize("way", ["fused", "apart"])
@pytest.mark.parametrize("name", RUNS)
def test_recorded_trainings(name, way):
    run = RUNS[name]
    data = np.load(GOLDEN / run["data"])
    size = run["batch_size"]
    module = mx.mod.Module(mx.sym.load(str(GOLDEN / run["symbol"])))
    module.bind([("data", (size, *data["data"].shape[1:]))], [("any_label", (size, *data["label"].shape[1:]))])
    module.load_params(str(GOLDEN / run["initial_params"]))
    params = {**run["optimizer_params"], "rescale_grad": run["rescale_grad"]}
    module.init_optimizer(optimizer=run["optimizer"], optimizer_params=params)
    losses = []
    for step in range(run["steps"]):
        at = step % run["batches_cycle"] * size
        labels = data["label"][at : at + size]
        batch = mx.io.DataBatch([mx.nd.array(data["data"][at : at + size])], [mx.nd.array(labels)])
        if way == "fused":
            module.forward_backward(batch)
        else:
            module.forward(batch)
            module.backward()
        module.update()
        losses.append(loss_of(module.get_outputs()[0], labels))
    np.testing.assert_allclose(losses, data["loss"], rtol=run["rtol"])
    module.forward(mx.io.DataBatch([mx.nd.array(data["data"][:size])]), is_train=False)
    np.testing.assert_allclose(module.get_outputs()[0].asnumpy(), data["final_infer_probs"], atol=1e-2)


# What MXNet 1.9.1 logs and finds in `test_fit`, by the number of devices; speeds and times are left out.
LOG = """Epoch[{epoch}] Batch [0-2]\taccuracy={}\tcross-entropy={}
Epoch[{epoch}] Batch [2-4]\taccuracy={}\tcross-entropy={}
Epoch[{epoch}] Train-accuracy={}
Epoch[{epoch}] Train-cross-entropy={}
Epoch[{epoch}] Time cost
Epoch[{epoch}] Validation-accuracy={}
Epoch[{epoch}] Validation-cross-entropy={}"""
LOGS = {  # the numbers of each epoch
    1: (
        "0.633333 0.671040 0.600000 0.662692 0.620000 0.667701 0.600000 0.654846",
        "0.666667 0.614474 0.750000 0.593797 0.700000 0.606203 0.825000 0.579113",
    ),
    2: (
        "0.633333 0.694121 0.600000 0.680456 0.620000 0.688655 0.600000 0.668069",
        "0.633333 0.654518 0.600000 0.644688 0.620000 0.650586 0.600000 0.631347",
    ),
    3: (
        "0.633333 0.696935 0.600000 0.680621 0.620000 0.690410 0.600000 0.672292",
        "0.633333 0.662528 0.600000 0.662608 0.620000 0.662560 0.600000 0.653591",
    ),
}
FOUND = {
    1: {
        "bn_beta": [0.145634, -0.149144, 0.338764],
        "bn_gamma": [0.219509, 0.145996, 0.104751],
        "bn_moving_mean": [0.536755, 0.610917, 0.334966],
        "bn_moving_var": [0.788564, 0.833505, 0.493674],
        "fc1_bias": [0.036048, 0.185161, 0.090051],
        "fc1_weight": [0.472401, -0.184976, -0.16556],
        "fc2_bias": [0.08855, 0.286841],
        "fc2_weight": [-0.098502, 0.165039, 0.137576],
    },
    2: {
        "bn_beta": [0.147337, -0.119436, 0.339218],
        "bn_gamma": [0.218872, 0.159708, 0.082513],
        "bn_moving_mean": [0.537325, 0.610508, 0.335343],
        "bn_moving_var": [0.723597, 0.746708, 0.473518],
        "fc1_bias": [0.036048, 0.185161, 0.090051],
        "fc1_weight": [0.473102, -0.186314, -0.170386],
        "fc2_bias": [0.073074, 0.302318],
        "fc2_weight": [-0.068823, 0.169831, 0.098513],
    },
    3: {
        "bn_beta": [0.139574, -0.108429, 0.339066],
        "bn_gamma": [0.225759, 0.175771, 0.076777],
        "bn_moving_mean": [0.548961, 0.629804, 0.335271],
        "bn_moving_var": [0.685217, 0.729297, 0.459083],
        "fc1_bias": [0.036048, 0.185161, 0.090051],
        "fc1_weight": [0.471709, -0.184528, -0.165544],
        "fc2_bias": [0.067138, 0.308254],
        "fc2_weight": [-0.049964, 0.182544, 0.089514],
    },
}


def assert_logged(messages, want):
    """Lines without speeds and times; numbers to the last digit but one."""
    got = [re.sub(r"\tSpeed: \S+ samples/sec|=\d+\.\d{3}$", "", m) for m in messages]
    number = re.compile(r"(?<==)\d+\.\d{6}")
    assert [number.sub("#", m) for m in got] == [number.sub("#", m) for m in want.splitlines()]
    for line, expected in zip(got, want.splitlines(), strict=True):
        found = [[float(n) for n in number.findall(text)] for text in (line, expected)]
        np.testing.assert_allclose(*found, atol=2e-5, err_msg=line)


@pytest.mark.parametrize("devices", LOGS)
def test_fit(devices, caplog):
    caplog.set_level(logging.INFO)
    net = mlp(norm=True)
    module = mx.mod.Module(net, context=[mx.cpu(i) for i in range(devices)])
    args, states = first_values(net)
    module.fit(
        rows(),
        rows(count=40),
        eval_metric=["acc", "ce"],
        optimizer_params=SGD,
        arg_params=args,
        aux_params=states,
        num_epoch=2,
        batch_end_callback=mx.callback.Speedometer(10, 2),
    )
    epochs = enumerate(LOGS[devices])
    assert_logged(caplog.messages, "\n".join(LOG.format(*numbers.split(), epoch=i) for i, numbers in epochs))
    got = {n: a.reshape(-1)[:3] for n, a in values(module).items()}
    assert_same(got, FOUND[devices], rtol=1e-4, atol=5e-6)


OPTIMIZERS = {
    "sgd": SGD,
    "adam": {"learning_rate": 0.01},
    "nadam": {},
    "rmsprop": {"centered": True},
    "adagrad": {"wd": 0.01},
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("way", ["looked at", "apart", "watched"])
def test_every_way_takes_the_same_steps(optimizer, way):
    norm = optimizer == "sgd"  # the others make steps of any gradient, even of the rounding before a normalization

    def made():
        schedule = mx.lr_scheduler.FactorScheduler(2, 0.5)
        return bound(mlp(norm=norm), optimizer=optimizer, params={**OPTIMIZERS[optimizer], "lr_scheduler": schedule})

    one, two = made(), made()
    if way == "watched":
        two.install_monitor(mx.mon.Monitor(1))
    wanted, outputs = run(one, "fused")
    got, found = run(two, "fused" if way == "watched" else way)
    assert_same(got, wanted, rtol=2e-4, atol=1e-5)
    np.testing.assert_allclose(found, outputs, rtol=1e-4)


def test_an_unwatched_step_is_one_program(monkeypatch):
    module = bound()
    run(module, "fused", steps=1)
    executor = module._first.execs[0]
    monkeypatch.setattr(executor, "forward", None)
    monkeypatch.setattr(executor, "backward", None)
    run(module, "fused", steps=3)
    assert callable(executor._grads)  # nobody needed gradient arrays


def test_ways_can_change_between_steps(tmp_path):
    one, two = bound(), bound()
    run(one, "fused", 9)
    for way in ("fused", "apart", "looked at"):
        batches = list(rows())
        start = ("fused", "apart", "looked at").index(way) * 3
        for i in range(start, start + 3):
            if way == "apart":
                two.forward(batches[i % 5], is_train=True)
                two.backward()
            else:
                two.forward_backward(batches[i % 5])
            if way == "looked at":
                two.get_outputs()
            two.update()
        two.save_optimizer_states(str(tmp_path / "states"))
        two.load_optimizer_states(str(tmp_path / "states"))
    assert_same(values(two), values(one))


def test_a_batch_without_an_update_still_counts():
    """Moving statistics change with every training pass, also if nobody asks for an update."""
    one, two = bound(mlp(norm=True)), bound(mlp(norm=True))
    for batch in rows():
        one.forward_backward(batch)
        two.forward(batch)
        two.backward()
    assert_same(values(one), values(two))


def test_gradients_are_kept_once_somebody_looks(caplog):
    one, two = bound(), bound()
    batches = list(rows())
    for i, batch in enumerate(batches):
        for module in (one, two):
            module.forward_backward(batch)
            module.update()
        if i == 1:
            with pytest.raises(MXNetError, match="no batch since the last update"):
                one.update()
        if i >= 1:
            grads = one._exec_group.grad_arrays
            assert np.abs(grads[0][0].asnumpy()).sum() > 0 or i == 1
    assert caplog.messages == ["The gradients of the last step were not kept, since nobody looked; now they will be"]
    assert_same(values(one), values(two))


def test_gradients_add_up():
    one = bound(bind={"grad_req": "add"})
    two = bound()
    first, second = list(rows())[:2]
    one.forward_backward(first)
    one.forward_backward(second)
    both = [one._first.execs[0].grad_dict[n].asnumpy() for n in ("fc1_weight", "fc2_bias")]
    single = []
    for batch in (first, second):
        two.forward_backward(batch)
        single.append([two._exec_group.execs[0].grad_dict[n].asnumpy() for n in ("fc1_weight", "fc2_bias")])
    for total, a, b in zip(both, *single, strict=True):
        np.testing.assert_allclose(total, a + b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("loads", [[1, 1], [1, 3], [2, 1, 1]])
def test_devices_take_their_shares(loads):
    one = bound()
    several = bound(context=[mx.cpu(i) for i in range(len(loads))], work_load_list=loads)
    assert_same(run(several, "fused")[0], run(one, "fused")[0])
    shares = [a.shape[0] for a in several.get_outputs(merge_multi_context=False)[0]]
    assert sum(shares) == 10
    assert shares == {2: {1: [5, 5], 3: [2, 8]}, 3: {1: [5, 2, 3]}}[len(loads)][loads[1] if len(loads) == 2 else 1]
    assert several.output_shapes == [("softmax_output", (10, 2))]


def test_fewer_rows_than_devices():
    with pytest.raises(ValueError, match="a batch of 2 is too small for 3 devices"):
        bound(batch=2, context=[mx.cpu(i) for i in range(3)])


def test_input_gradients():
    module = bound(bind={"inputs_need_grad": True})
    batch = next(rows())
    module.forward_backward(batch)
    (grad,) = module.get_input_grads()
    loss = []
    for sign in (1, -1):
        moved = batch.data[0].asnumpy()
        moved[3, 2] += sign * 1e-2
        module.forward(mx.io.DataBatch([mx.nd.array(moved)], batch.label), is_train=True)
        loss.append(loss_of(module.get_outputs()[0], batch.label[0].asnumpy()) * 10)
    assert grad.shape == (10, 6)
    np.testing.assert_allclose(grad.asnumpy()[3, 2], (loss[0] - loss[1]) / 2e-2, rtol=2e-2)
    module.update()
    with pytest.raises(MXNetError, match="inputs_need_grad=True first"):
        bound().get_input_grads()


def test_gradients_from_outside():
    net = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=2, name="fc")
    found = []
    for devices in (1, 2):
        module = mx.mod.Module(net, label_names=None, context=[mx.cpu(i) for i in range(devices)])
        module.bind([("data", (4, 3))], inputs_need_grad=True)
        module.init_params(mx.init.One())
        module.forward(mx.io.DataBatch([mx.nd.array(np.arange(12).reshape(4, 3))]))
        module.backward([mx.nd.array(np.arange(8).reshape(4, 2))])
        found.append(module.get_input_grads()[0].asnumpy())
    np.testing.assert_array_equal(found[0], np.repeat([[1], [5], [9], [13]], 3, axis=1))
    np.testing.assert_array_equal(*found)


def test_states_go_around():
    state = mx.sym.Variable("state")
    out = mx.sym.FullyConnected(mx.sym.Variable("data") + state, num_hidden=3, name="fc")
    for devices in (1, 2):
        module = mx.mod.Module(
            mx.sym.Group([out, out * 2]),
            label_names=None,
            state_names=["state"],
            context=[mx.cpu(i) for i in range(devices)],
        )
        with pytest.raises(MXNetError, match=r"call bind\(\) first"):
            module.get_states()
        module.bind([("data", (4, 3))], for_training=False)
        module.init_params(mx.init.One())
        assert module.get_states()[0].asnumpy().sum() == 0
        module.set_states(value=2)
        module.forward(mx.io.DataBatch([mx.nd.ones((4, 3))]))
        assert module.get_outputs()[0].asnumpy().tolist() == [[9] * 3] * 4
        module.set_states(states=[module.get_outputs()[0]])
        assert module.get_states()[0].asnumpy().tolist() == [[9] * 3] * 4
        module.set_states(states=module.get_outputs(merge_multi_context=False)[1:])
        assert module.get_states()[0].asnumpy().tolist() == [[18] * 3] * 4
        assert sorted(module.get_params()[0]) == ["fc_bias", "fc_weight"]
        with pytest.raises(ValueError, match="either states or value"):
            module.set_states()


# ---- prediction and scores ------------------------------------------------------------------------------------------


def expected(module, data):
    """The outputs of the small network by NumPy."""
    p = values(module)
    hidden = np.maximum(data @ p["fc1_weight"].T + p["fc1_bias"], 0)
    scores = np.exp(hidden @ p["fc2_weight"].T + p["fc2_bias"])
    return scores / scores.sum(1, keepdims=True)


@pytest.mark.parametrize("size", [1, 4, 10, 43, 50])
def test_no_row_is_lost_or_counted_twice(size, recwarn):
    module = bound(batch=size)
    want = expected(module, X)
    unlabelled = mx.io.NDArrayIter(X, None, size)
    for data in (unlabelled, rows(size), X, mx.nd.array(X)):
        np.testing.assert_allclose(module.predict(data).asnumpy(), want, rtol=1e-4, atol=1e-6)
    correct = (want.argmax(1) == Y).mean()
    assert dict(module.score(rows(size), ["acc", "ce"]))["accuracy"] == pytest.approx(correct)
    assert module.score(rows(size), mx.metric.CustomMetric(lambda label, pred: (1, len(label)))) is not None
    counted = mx.metric.CustomMetric(lambda label, pred: (len(pred), 1), name="rows")
    module.score(rows(size), counted)
    assert counted.sum_metric == 43
    assert not [w for w in recwarn if "label" in str(w.message)]


def test_scores_of_a_module_that_was_bound_without_labels():
    labelled, module = bound(), mx.mod.Module(mlp())
    module.bind([("data", (10, 6))], for_training=False)
    module.set_params(*labelled.get_params())
    assert module.score(rows(), ["acc", "ce"]) == labelled.score(rows(), ["acc", "ce"])


def test_iterators_of_iterators():
    one = bound()
    one.fit(rows(), num_epoch=2)
    for data in (mx.io.PrefetchingIter(rows()), mx.io.ResizeIter(rows(), 5)):
        other = bound()
        other.fit(data, num_epoch=2)
        assert_same(values(other), values(one), rtol=0, atol=0)


def test_layers_on_several_devices():
    with mx.AttrScope(ctx_group="one"):
        net = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=8, name="fc1")
        net = mx.sym.Activation(net, act_type="relu", name="relu1")
    with mx.AttrScope(ctx_group="two"):
        net = mx.sym.SoftmaxOutput(mx.sym.FullyConnected(net, num_hidden=2, name="fc2"), name="softmax")
    module = bound(net, group2ctxs={"one": mx.cpu(0), "two": mx.cpu(1)})
    whole = bound()
    assert_same(run(module, "fused")[0], run(whole, "fused")[0])
    assert module._first.execs[0].arg_dict["fc2_weight"].context == mx.cpu(1)


def test_half_precision():
    data = mx.io.NDArrayIter(mx.nd.array(X, dtype="float16"), Y, 10)
    module = mx.mod.Module(mlp())
    params = {"learning_rate": 0.3, "momentum": 0.9, "multi_precision": True}
    module.fit(data, num_epoch=4, optimizer_params=params, initializer=mx.init.Xavier())
    assert module.get_params()[0]["fc1_weight"].dtype == np.float16
    assert module._updater.states[0][0].dtype == np.float32
    assert dict(module.score(data, "acc"))["accuracy"] > 0.8
    args, states = module.get_params()
    module.set_params({n: a * 0 for n, a in args.items()}, states)  # the float32 copies follow
    module._optimizer.lr = module._optimizer.wd = 0.0
    for state in module._updater.states.values():
        state[1][:] = 0
    module.fit(data, num_epoch=1)
    assert all(not a.asnumpy().any() for a in module.get_params()[0].values())


def test_predictions_by_batch():
    module = bound()
    want = expected(module, X)
    parts = module.predict(rows(), merge_batches=False)
    assert [p[0].shape[0] for p in parts] == [10, 10, 10, 10, 3]
    np.testing.assert_allclose(np.concatenate([p[0].asnumpy() for p in parts]), want, rtol=1e-4, atol=1e-6)
    assert module.predict(rows(), num_batch=2).shape == (20, 2)
    assert [a.shape for a in module.predict(rows(), always_output_list=True)] == [(43, 2)]
    found = [(outputs[0].shape[0], n, batch.pad) for outputs, n, batch in module.iter_predict(rows(), num_batch=5)]
    assert found == [(10, 0, 0), (10, 1, 0), (10, 2, 0), (10, 3, 0), (3, 4, 7)]
    data = rows()
    next(data)
    assert module.predict(data, reset=False).shape == (33, 2)


def test_time_major_batches_lose_their_fillers():
    net = mx.sym.Reshape(mx.sym.Variable("data") * 1.0, shape=(-1,))
    net = mx.sym.MAERegressionOutput(net, mx.sym.Reshape(mx.sym.Variable("label"), shape=(-1,)), name="out")
    steps = np.arange(15, dtype=np.float32).reshape(3, 5)  # three steps, five sequences

    class Steps(mx.io.DataIter):
        provide_data = [mx.io.DataDesc("data", (3, 2), layout="TN")]
        provide_label = [mx.io.DataDesc("label", (3, 2), layout="TN")]
        at = 0

        def reset(self):
            self.at = 0

        def next(self):
            if self.at >= 5:
                raise StopIteration
            part = np.take(steps, range(self.at, self.at + 2), axis=1, mode="wrap")
            self.at += 2
            return mx.io.DataBatch([mx.nd.array(part)], [mx.nd.array(part)], pad=max(0, self.at - 5))

    module = mx.mod.Module(net, label_names=["label"])
    module.bind(Steps.provide_data, Steps.provide_label, for_training=False)
    module.init_params()
    last = module.predict(Steps(), merge_batches=False)[-1][0]
    assert last.asnumpy().tolist() == steps[:, 4].tolist()
    counted = mx.metric.CustomMetric(lambda label, pred: (label.size, 1))
    module.score(Steps(), counted)
    assert counted.sum_metric == 15


def test_batches_of_other_shapes():
    module = bound()
    want = expected(module, X[:7])
    Batch = namedtuple("Batch", ["data"])  # what tutorials call a batch
    module.forward(Batch([mx.nd.array(X[:7])]), is_train=False)
    np.testing.assert_allclose(module.get_outputs()[0].asnumpy(), want, rtol=1e-4, atol=1e-6)
    assert module.data_shapes[0].shape == (7, 6)
    module.forward_backward(mx.io.DataBatch([mx.nd.array(X[:3])], [mx.nd.array(Y[:3])]))
    module.update()  # the same parameters and momenta
    short = mx.io.DataBatch([mx.nd.array(X[:4])], [mx.nd.array(Y[:4])], provide_data=rows().provide_data)
    module.forward(short, is_train=False)
    assert module.get_outputs()[0].shape == (4, 2)
    run(module, "fused", 1)
    other = bound()
    for size in (3, 10):
        other.reshape([("data", (size, 6))], [("softmax_label", (size,))])
        assert other.label_shapes[0].shape == (size,)
        other.forward(mx.io.DataBatch([mx.nd.array(X[:size])], [mx.nd.array(Y[:size])]), is_train=True)
        other.backward()
        other.update()
    assert_same(values(module), values(other))


def test_training_without_label_shapes_still_sees_labels():
    one, two = bound(), mx.mod.Module(mlp())
    two.bind([("data", (10, 6))])
    two.init_params(None, *first_values(mlp()))
    two.init_optimizer(optimizer_params=SGD)
    assert_same(run(two, "fused")[0], run(one, "fused")[0])
