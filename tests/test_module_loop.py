"""Module: the loop of fit, and the memory of a step."""

import numpy as np
from small_training import assert_same, bound, mlp, rows, values

import minimx as mx
from minimx import _core


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
