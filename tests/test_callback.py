"""Callbacks, monitors and checkpoints: what they log, when, and what they write."""

import logging
import re

import numpy as np
import pytest

import minimx as mx
from minimx.model import BatchEndParam


@pytest.fixture
def log(caplog):
    caplog.set_level(logging.INFO)
    return caplog


def at(nbatch, metric=None, epoch=3):
    return BatchEndParam(epoch=epoch, nbatch=nbatch, eval_metric=metric, locals=None)


def accuracy():
    metric = mx.metric.create(["acc", "ce"])
    metric.update([mx.nd.array([0, 1])], [mx.nd.array([[0.75, 0.25], [0.75, 0.25]])])
    return metric


SPEED = r"Speed: (\d+\.\d\d|inf) samples/sec"


def test_speedometer_begins_the_metric_again(log):
    metric = accuracy()
    meter = mx.callback.Speedometer(batch_size=10, frequent=2)
    for nbatch in range(5):
        meter(at(nbatch, metric))
    assert len(log.messages) == 2
    assert re.fullmatch(
        rf"Epoch\[3\] Batch \[0-2\]\t{SPEED}\taccuracy=0.500000\tcross-entropy=0.836988", log.messages[0]
    )
    assert re.fullmatch(rf"Epoch\[3\] Batch \[2-4\]\t{SPEED}\taccuracy=nan\tcross-entropy=nan", log.messages[1])
    assert metric.get_global()[1][0] == 0.5


def test_speedometer_over_the_whole_epoch(log):
    meter = mx.callback.Speedometer(10, 2, auto_reset=False)
    metric = accuracy()
    for nbatch in range(5):
        meter(at(nbatch, metric))
    assert [re.sub(SPEED, "S", m) for m in log.messages] == [
        f"Epoch[3] Batch [0-{n}]\tS\taccuracy=0.500000\tcross-entropy=0.836988" for n in (2, 4)
    ]


def test_speedometer_without_metric_and_in_a_new_epoch(log):
    meter = mx.callback.Speedometer(10, 2)
    for nbatch in (1, 2, 0, 2):
        meter(at(nbatch))
    assert [re.sub(SPEED, "S", m) for m in log.messages] == ["Iter[3] Batch [2]\tS"] * 2


def test_log_train_metric(log):
    metric = accuracy()
    for nbatch in range(4):
        mx.callback.log_train_metric(2, auto_reset=True)(at(nbatch, metric))
    mx.callback.log_train_metric(1)(at(0))
    assert log.messages == [
        "Iter[3] Batch[0] Train-accuracy=0.500000",
        "Iter[3] Batch[0] Train-cross-entropy=0.836988",
        "Iter[3] Batch[2] Train-accuracy=nan",
        "Iter[3] Batch[2] Train-cross-entropy=nan",
    ]


def test_progress_bar(log):
    bar = mx.callback.ProgressBar(total=3, length=6)
    for nbatch in (1, 3):
        bar(at(nbatch))
    assert log.messages == ["[==----] 34%\r", "[======] 100%\r"]


def test_validation_metrics(log):
    mx.callback.LogValidationMetricsCallback()(at(0, accuracy()))
    mx.callback.LogValidationMetricsCallback()(at(0))
    assert log.messages == ["Epoch[3] Validation-accuracy=0.500000", "Epoch[3] Validation-cross-entropy=0.836988"]


def network():
    return mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=2, name="fc")


def test_checkpoints(tmp_path, log):
    prefix = str(tmp_path / "net")
    args = {"fc_weight": mx.nd.ones((2, 3)), "fc_bias": mx.nd.zeros(2)}
    states = {"bn_moving_mean": mx.nd.full((2,), 5.0)}
    save = mx.callback.do_checkpoint(prefix, period=2)
    for epoch in range(4):
        save(epoch, network(), args, states)
    assert sorted(f.name for f in tmp_path.iterdir()) == ["net-0002.params", "net-0004.params", "net-symbol.json"]
    assert log.messages == [f'Saved checkpoint to "{prefix}-000{n}.params"' for n in (2, 4)]
    symbol, got_args, got_states = mx.model.load_checkpoint(prefix, 4)
    assert symbol.tojson() == network().tojson()
    assert sorted(got_args) == ["fc_bias", "fc_weight"]
    np.testing.assert_array_equal(got_args["fc_weight"].asnumpy(), np.ones((2, 3)))
    np.testing.assert_array_equal(got_states["bn_moving_mean"].asnumpy(), [5, 5])
    assert mx.model.load_params(prefix, 2)[0].keys() == got_args.keys()


def test_a_checkpoint_that_fails_leaves_the_old_one(tmp_path, monkeypatch):
    prefix = str(tmp_path / "net")
    mx.model.save_checkpoint(prefix, 1, None, {"a": mx.nd.ones(2)}, {})

    def fail(path, arrays):
        with open(path, "wb") as file:
            file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(mx.nd, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        mx.model.save_checkpoint(prefix, 1, None, {"a": mx.nd.zeros(2)}, {})
    assert [f.name for f in tmp_path.iterdir()] == ["net-0001.params"]
    np.testing.assert_array_equal(mx.model.load_params(prefix, 1)[0]["a"].asnumpy(), [1, 1])


def test_files_that_are_no_checkpoints(tmp_path):
    prefix = str(tmp_path / "net")
    mx.nd.save(f"{prefix}-0001.params", [mx.nd.ones(2)])
    mx.nd.save(f"{prefix}-0002.params", {"weight": mx.nd.ones(2)})
    for epoch, message in ((1, "names"), (2, "'weight'")):
        with pytest.raises(ValueError, match=message):
            mx.model.load_params(prefix, epoch)


def test_module_checkpoint():
    class Module:
        saved = []

        def save_checkpoint(self, *args):
            self.saved.append(args)

    save = mx.callback.module_checkpoint(Module(), "net", period=2, save_optimizer_states=True)
    for epoch in range(4):
        save(epoch)
    assert Module.saved == [("net", 2, True), ("net", 4, True)]


def bound():
    net = mx.sym.Activation(network(), act_type="relu", name="act")
    executor = net.simple_bind(mx.cpu(), data=(2, 3))
    executor.arg_dict["data"][:] = 2.0
    executor.arg_dict["fc_weight"][:] = 1.0
    return executor


def watched(executor, batches=1, **options):
    monitor = mx.mon.Monitor(**{"interval": 1, **options})
    monitor.install(executor)
    found = []
    for _ in range(batches):
        monitor.tic()
        executor.forward()
        found.append(monitor.toc())
    return found


def test_monitor():
    (found,) = watched(bound())
    assert [name for _, name, _ in found] == ["fc_output", "act_output", "data", "fc_weight", "fc_bias"]
    assert {name: float(text) for _, name, text in found} == {
        "fc_output": 6.0,
        "act_output": 6.0,
        "data": 2.0,
        "fc_weight": 1.0,
        "fc_bias": 0.0,
    }


def test_monitor_chooses_names_batches_and_statistics(log):
    found = watched(bound(), 3, interval=2, pattern="fc_.*", sort=True, stat_func=lambda x: [x.max(), x.min()])
    assert [[name for _, name, _ in batch] for batch in found] == [["fc_bias", "fc_output", "fc_weight"], []] + [
        ["fc_bias", "fc_output", "fc_weight"]
    ]
    assert found[2][1] == (3, "fc_output", "6.0\t6.0\t")
    monitor = mx.monitor.Monitor(1, stat_func=lambda x: x, pattern="fc_output")
    executor = bound()
    monitor.install(executor)
    monitor.tic()
    executor.forward()
    monitor.toc_print()
    assert log.messages == [f"Batch: {1:7d} {'fc_output':30s} [[6. 6.]\n [6. 6.]]\t"]


def test_monitor_all_sees_inputs_of_operators():
    (found,) = watched(bound(), monitor_all=True)
    assert [name for _, name, _ in found].count("fc_weight") == 2
