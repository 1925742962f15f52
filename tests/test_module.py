"""Module: the numbers of MXNet, and every way to take the same steps."""

import logging
import pickle
import re
from collections import namedtuple

import numpy as np
import pytest
from recorded import GOLDEN, RUNS, loss_of
from small_training import SGD, X, Y, assert_same, bound, first_values, mlp, rows, values

import minimx as mx
from minimx import _core
from minimx.base import MXNetError, ShapeError


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


def run(module, way, steps=8):
    """Takes steps in a way of its own; returns the values after them and the last outputs."""
    batches = list(rows())
    for i in range(steps):
        batch = batches[i % len(batches)]
        if way in ("fused", "looked at"):
            module.forward_backward(batch)
        else:
            module.forward(batch, is_train=True)
            module.backward()
        if way == "looked at" and i % 2:
            assert module.get_outputs()[0].shape == (10, 2)
        module.update()
    return values(module), module.get_outputs()[0].asnumpy()


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


# ---- parameters, files, rebinding -----------------------------------------------------------------------------------


def test_parameters_are_copies_and_can_be_set():
    module = bound()
    args, states = module.get_params()
    before = args["fc1_weight"].asnumpy()
    run(module, "fused", 1)
    np.testing.assert_array_equal(args["fc1_weight"].asnumpy(), before)
    module.set_params(args, states)
    assert_same(values(module), {n: a.asnumpy() for n, a in args.items()})
    with pytest.raises(RuntimeError, match="fc2_bias is not presented"):
        module.set_params({n: a for n, a in args.items() if n != "fc2_bias"}, states)
    module.set_params({"fc2_bias": mx.nd.array([5, 6])}, {}, allow_missing=True)
    assert module.get_params()[0]["fc2_bias"].asnumpy().tolist() == [5, 6]
    np.testing.assert_array_equal(values(module)["fc1_weight"], before)
    with pytest.raises(ValueError, match="no parameter fc9_bias"):
        module.set_params({**args, "fc9_bias": mx.nd.ones(2)}, states)
    module.set_params({**args, "fc9_bias": mx.nd.ones(2)}, states, allow_extra=True)
    with pytest.raises(ShapeError, match=r"fc2_bias has shape \(2,\) in the network, but \(3,\)"):
        module.set_params({**args, "fc2_bias": mx.nd.ones(3)}, states)
    with pytest.warns(UserWarning, match="init_params call ignored"):
        module.init_params()


def test_checkpoints_go_on_where_training_stopped(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    prefix = str(tmp_path / "net")
    one = bound()
    run(one, "fused", 5)
    one.save_checkpoint(prefix, 3, save_optimizer_states=True)
    assert caplog.messages == [
        f'Saved checkpoint to "{prefix}-0003.params"',
        f'Saved optimizer state to "{prefix}-0003.states"',
    ]
    two = mx.mod.Module.load(prefix, 3, load_optimizer_states=True)
    two.bind([("data", (10, 6))], [("softmax_label", (10,))])
    two.init_optimizer(optimizer_params=SGD)
    assert_same(run(two, "fused", 5)[0], run(one, "apart", 5)[0])
    one.save_params(f"{prefix}.params")
    two.load_params(f"{prefix}.params")
    assert_same(values(two), values(one), rtol=0, atol=0)


@pytest.mark.parametrize("names", [False, True])
def test_states_that_mxnet_wrote(tmp_path, names):
    one, two = bound(), bound()
    run(one, "fused", 5)
    # Its arrays pickle like ours, under another module's name; modules on several devices number states by names.
    written = {one._param_names[i] if names else i: a for i, a in one._updater.states.items()}
    text = pickle.dumps(written, protocol=0).replace(b"minimx.ndarray.ndarray", b"mxnet.ndarray.ndarray")
    assert b"mxnet" in text
    (tmp_path / "net.states").write_bytes(text)
    two.set_params(*one.get_params())
    two.load_optimizer_states(str(tmp_path / "net.states"))
    assert_same(run(two, "fused", 5)[0], run(one, "fused", 5)[0])


def test_what_programs_for_mxnet_look_up():
    module = bound(context=[mx.cpu(0), mx.cpu(1)])
    module.forward_backward(next(rows()))
    group = module._exec_group
    assert group.param_names == ["fc1_weight", "fc1_bias", "fc2_weight", "fc2_bias"]
    for arrays in (group.param_arrays, group.grad_arrays):
        assert [[a.shape for a in per_device] for per_device in arrays] == [
            [s] * 2 for s in ((8, 6), (8,), (2, 8), (2,))
        ]
    assert group.aux_arrays == []
    for grads in group.grad_arrays:
        for grad in grads:
            grad[:] = 0
    before = values(module)
    module.init_optimizer(optimizer_params={"learning_rate": 1.0}, force_init=True)
    module.update()
    assert_same(values(module), before, rtol=0, atol=0)


def test_a_checkpoint_of_mxnet(tmp_path):
    module = mx.mod.Module.load(str(GOLDEN / "params/module"), 3)
    saved = mx.nd.load(str(GOLDEN / "params/module-0003.params"))
    assert {f"arg:{n}" for n in module.get_params()[0]} | {f"aux:{n}" for n in module.get_params()[1]} == set(saved)
    prefix = str(tmp_path / "again")
    mx.model.save_checkpoint(prefix, 3, module.symbol, *module.get_params())
    for end in ("symbol.json", "0003.params"):
        assert (tmp_path / f"again-{end}").read_bytes() == (GOLDEN / f"params/module-{end}").read_bytes()


def test_a_checkpoint_that_lacks_something(tmp_path):
    prefix = str(tmp_path / "net")
    args, states = first_values(mlp())
    del args["fc2_bias"]
    mx.model.save_checkpoint(prefix, 1, mlp(), args, states)
    with pytest.raises(ValueError, match="the network wants fc2_bias, which is not among its loaded parameters"):
        mx.mod.Module.load(prefix, 1).bind([("data", (10, 6))])


def test_rebinding_keeps_what_was_learned(caplog):
    module = bound()
    run(module, "fused", 5)
    before = values(module)
    module.bind([("data", (4, 6))], [("softmax_label", (4,))])
    assert caplog.messages == ["Already bound, ignoring bind()"]
    module.bind([("data", (4, 6))], [("softmax_label", (4,))], force_rebind=True)
    assert module.data_shapes[0].shape == (4, 6)
    assert_same(values(module), before, rtol=0, atol=0)
    other = bound()
    run(other, "fused", 5)
    assert_same(run(module, "fused", 2)[0], run(other, "fused", 2)[0])  # with the momenta, too


def test_modules_share_parameters():
    one = bound()
    two = mx.mod.Module(mlp())
    two.bind([("data", (5, 6))], [("softmax_label", (5,))], shared_module=one)
    assert two.params_initialized and two.optimizer_initialized
    batch = mx.io.DataBatch([mx.nd.array(X[:5])], [mx.nd.array(Y[:5])])
    two.forward_backward(batch)
    two.update()
    assert_same(values(one), values(two), rtol=0, atol=0)
    run(one, "fused", 3)
    assert_same(values(one), values(two), rtol=0, atol=0)
    three = bound()
    three.borrow_optimizer(one)
    assert three._updater is one._updater


@pytest.mark.parametrize("pattern", ["fc1_weight", "fc1_*", "fc1_(weight|bias)", "fc.*_weight"])
def test_fixed_parameters(pattern):
    module = bound(fixed_param_names=[pattern])
    before = values(module)
    run(module, "fused", 2)
    run(module, "apart", 2)
    same = {n for n, a in values(module).items() if np.array_equal(a, before[n])}
    assert (
        same
        == {
            "fc1_weight": {"fc1_weight"},
            "fc1_*": {"fc1_weight", "fc1_bias"},
            "fc1_(weight|bias)": {"fc1_weight", "fc1_bias"},
            "fc.*_weight": {"fc1_weight", "fc2_weight"},
        }[pattern]
    )


def test_monitors_see_every_step():
    module = bound()
    monitor = mx.mon.Monitor(2, pattern="fc1_(output|weight)")
    batches = list(rows())
    seen = []
    module.install_monitor(monitor)
    for batch in batches[:4]:
        monitor.tic()
        module.forward_backward(batch)
        module.update()
        seen.append(sorted(name for _, name, _ in monitor.toc()))
    assert seen == [["fc1_output", "fc1_weight"], []] * 2


def test_another_optimizer():
    module = bound()
    module.init_optimizer(optimizer="adam")  # ignored, with a warning in the log
    assert type(module._optimizer).__name__ == "SGD"
    run(module, "fused", 1)
    module.init_optimizer(optimizer="adam", force_init=True)
    assert module._optimizer.rescale_grad == 0.1
    other = bound(optimizer="adam", params={"learning_rate": 0.01})
    other.set_params(*module.get_params())
    assert_same(run(module, "fused", 3)[0], run(other, "apart", 3)[0])
    module.init_optimizer(optimizer=module._optimizer, force_init=True)  # the same one, but without states
    assert np.isfinite(run(module, "fused", 1)[1]).all()
    own = mx.optimizer.SGD(learning_rate=0.1)
    with pytest.warns(UserWarning, match=r"rescale_grad is not normalized.*1.0 vs. 0.1"):
        module.init_optimizer(optimizer=own, force_init=True)
    assert own.idx2name == dict(enumerate(["fc1_weight", "fc1_bias", "fc2_weight", "fc2_bias"]))


def test_an_optimizer_that_works_on_arrays():
    class Own(mx.optimizer.Optimizer):
        def create_state(self, index, weight):
            return mx.nd.zeros(weight.shape)

        def update(self, index, weight, grad, state):
            state += grad * grad
            weight -= 0.1 * grad / (state.sqrt() + 1)

    one, two = (bound(optimizer=Own(rescale_grad=0.1)) for _ in range(2))
    assert_same(run(one, "fused")[0], run(two, "apart")[0])
    assert not np.allclose(values(one)["fc1_weight"], first_values(mlp())[0]["fc1_weight"].asnumpy())


# ---- what goes wrong ------------------------------------------------------------------------------------------------


def test_steps_in_the_wrong_order():
    module = mx.mod.Module(mlp())
    batch = next(rows())
    for call, first in (
        (lambda: module.forward(batch), "bind"),
        (lambda: module.predict(rows()), "bind"),
        (lambda: module.get_params(), "bind"),
        (lambda: module.data_shapes, "bind"),
        (lambda: module.init_params(), "bind"),
    ):
        with pytest.raises(MXNetError, match=rf"Module: call {first}\(\) first"):
            call()
    module.bind([("data", (10, 6))], [("softmax_label", (10,))])
    with pytest.raises(MXNetError, match=r"call init_params\(\) first"):
        module.forward(batch)
    module.init_params()
    module.forward(batch)
    module.backward()
    with pytest.raises(MXNetError, match=r"call init_optimizer\(\) first"):
        module.update()
    with pytest.raises(ValueError, match="num_epoch"):
        module.fit(rows())


def regression(label="lin_label", outputs=1):
    net = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=outputs, name="fc")
    return mx.sym.LinearRegressionOutput(net, mx.sym.Variable(label), name="lin")


def test_the_only_label_is_found(recwarn):
    for net in (regression(), regression("y"), mlp()):
        module = mx.mod.Module(net)
        module.fit(rows(), eval_metric="loss", num_epoch=1)
        module.predict(rows())
        assert "label" not in " ".join(module.get_params()[0])
    assert not recwarn.list


def test_labels_that_do_not_match():
    two = mx.sym.Group([regression("first_label"), regression("second_label")])
    module = mx.mod.Module(two)
    message = r"label: your iterator gives softmax_label \(10,\); the graph wants first_label, second_label"
    with pytest.raises(ValueError, match=message):
        module.fit(rows(), num_epoch=1)
    given = [("first_label", (10,)), ("other", (10,))]
    with pytest.raises(ValueError, match=r"gives first_label \(10,\), other \(10,\); the graph wants first_label, sec"):
        module.bind([("data", (10, 6))], given)
    module.bind([("data", (10, 6))], given, for_training=False)
    module.bind([("data", (10, 6))], for_training=False, force_rebind=True)
    with pytest.raises(ValueError, match=r"data: your iterator gives x \(10, 6\); the graph wants data"):
        mx.mod.Module(mlp()).bind([("x", (10, 6))])
    with pytest.raises(ValueError, match=r"data_names has 'dat', .* did you mean data\?"):
        mx.mod.Module(mlp(), data_names=["dat"])
    with pytest.raises(ValueError, match="the batch has 2 data arrays; the module takes data"):
        bound().forward(mx.io.DataBatch([mx.nd.ones((10, 6))] * 2), is_train=False)
    with pytest.raises(ValueError, match="a batch for training must have labels: the graph wants softmax_label"):
        bound().forward_backward(mx.io.DataBatch([mx.nd.ones((10, 6))]))


def test_labels_of_a_regression_never_broadcast():
    with pytest.raises(ValueError, match=r"(?s)\(10, 3\).*\(10,\)|\(10,\).*\(10, 3\)"):
        mx.mod.Module(regression(outputs=3)).fit(rows(), num_epoch=1)


def test_patterns_that_match_nothing():
    with pytest.raises(ValueError, match=r"fixed_param_names: 'fc3_\*' matches no parameter"):
        mx.mod.Module(mlp(), fixed_param_names=["fc3_*"])
    with pytest.raises(ValueError, match=r"'fc1_weigt' matches no parameter; did you mean fc1_weight"):
        mx.mod.Module(mlp(), fixed_param_names=["fc1_weigt"])


def test_data_that_is_used_up():
    one, two = bound(), bound()
    data = rows()
    list(data)
    one.fit(data, num_epoch=1)
    two.fit(rows(), num_epoch=1)
    assert_same(values(one), values(two))

    class Empty(mx.io.NDArrayIter):
        def iter_next(self):
            return False

    with pytest.raises(ValueError, match="gave no batch in epoch 0"):
        one.fit(Empty(X, Y, 10), num_epoch=1)


# ---- the loop -------------------------------------------------------------------------------------------------------


def test_callbacks_end_the_training():
    def count(*given):
        calls.append(given)

    for kind, at, want in (
        ("batch_end_callback", 7, 7),
        ("epoch_end_callback", 2, 10),
        ("eval_end_callback", 2, 10),
        ("eval_batch_end_callback", 7, 10),
    ):
        calls = []
        seen = []

        def stop(*given, at=at, seen=seen):
            seen.append(given)
            return False if len(seen) == at else None

        module = mx.mod.Module(mlp())
        others = {"batch_end_callback": [count, stop] if kind == "batch_end_callback" else count}
        module.fit(rows(), rows(), num_epoch=4, **{**others, kind: others.get(kind, stop)})
        assert len(calls) == want, kind
    params = [p for (p,) in calls]
    assert [(p.epoch, p.nbatch) for p in params] == [(e, n) for e in range(2) for n in range(5)]
    fit = params[0].locals["fit"]
    assert fit.stop and fit.epoch == 1 and fit.module is module and fit.optimizer is module._optimizer


def test_epochs_begin_where_asked():
    seen = []
    mx.mod.Module(mlp()).fit(
        rows(),
        begin_epoch=2,
        num_epoch=5,
        epoch_end_callback=lambda epoch, symbol, args, states: seen.append(
            (epoch, symbol.list_outputs(), sorted(args))
        ),
    )
    assert seen == [(e, ["softmax_output"], ["fc1_bias", "fc1_weight", "fc2_bias", "fc2_weight"]) for e in (2, 3, 4)]


def test_a_seed_repeats_everything_on_any_number_of_threads():
    net = mx.sym.Convolution(mx.sym.Variable("data"), kernel=(3, 3), num_filter=16, name="conv")
    net = mx.sym.Activation(mx.sym.BatchNorm(net, fix_gamma=False, name="bn"), act_type="relu")
    net = mx.sym.Pooling(net, kernel=(2, 2), stride=(2, 2), pool_type="max")
    net = mx.sym.Dropout(mx.sym.FullyConnected(mx.sym.Flatten(net), num_hidden=64, name="fc1"), p=0.3)
    net = mx.sym.SoftmaxOutput(mx.sym.FullyConnected(net, num_hidden=2, name="fc2"), name="softmax")
    images = np.random.RandomState(0).randn(96, 3, 12, 12).astype("float32")

    def train():
        mx.random.seed(11)
        data = mx.io.NDArrayIter(images, images[:, 0, 0, 0] > 0, 32, shuffle=True)
        module = mx.mod.Module(net)
        module.fit(data, num_epoch=2, initializer=mx.init.Xavier())
        return values(module)

    before = _core.thread_count()
    try:
        found = []
        for count in (before, 1, 2, 5):
            _core.set_thread_count(count)
            found.append(train())
    finally:
        _core.set_thread_count(before)
    for other in found[1:]:
        assert_same(other, found[0], rtol=0, atol=0)


# ---- memory ---------------------------------------------------------------------------------------------------------


def test_a_step_holds_what_the_plan_promises():
    net = mlp(hidden=2000)
    before = mx.memory_stats()["used"]
    module = bound(net, batch=200)
    batch = mx.io.DataBatch([mx.nd.ones((200, 6))], [mx.nd.zeros((200,))])
    for _ in range(3):
        module.forward_backward(batch)
        module.update()
    held = mx.memory_stats()["used"] - before
    executor = module._first.execs[0]
    bound_arrays = [*executor.arg_arrays, *executor.aux_arrays, *executor.outputs]
    states = module._updater.states.values()
    plan = sum(module._first.step._compiled.plan.arenas.values())
    promised = plan + sum(a.nbytes for a in (*bound_arrays, *states)) + batch.data[0].nbytes + batch.label[0].nbytes
    assert held <= 1.1 * promised + 65536


def test_memory_does_not_grow():
    def resident():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096

    module = bound()
    batches = list(rows())

    def work(rebinds, steps):
        for i in range(rebinds):
            module.bind([("data", (10 + i % 3, 6))], [("softmax_label", (10 + i % 3,))], force_rebind=True)
            module.forward_backward(batches[0])
            module.update()
        for i in range(steps):
            module.forward_backward(batches[i % 5])
            module.update()

    work(10, 100)
    used, size = mx.memory_stats()["used"], resident()
    work(40, 1000)
    assert mx.memory_stats()["used"] <= used + 2**16
    assert resident() <= size + 2**24
