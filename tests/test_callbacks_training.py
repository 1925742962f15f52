"""Callbacks that know the whole training, its history, and what it shows on a terminal."""

import csv
import io
import logging
import struct
import sys

import numpy as np
import pytest

import minimx as mx
from minimx.callback import (
    Callback,
    CSVLogger,
    EarlyStopping,
    ModelCheckpoint,
    ReduceLROnPlateau,
    TensorBoard,
    TerminateOnNaN,
)
from minimx.callback.progress import ProgressLine
from minimx.callback.tensorboard import crc32c, masked
from minimx.history import History


def network():
    hidden = mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=8, name="fc1")
    return mx.sym.SoftmaxOutput(
        mx.sym.FullyConnected(mx.sym.Activation(hidden, act_type="relu"), num_hidden=3, name="fc2"), name="softmax"
    )


def rows(count=60, seed=0):
    rng = np.random.RandomState(seed)
    labels = rng.randint(0, 3, count)
    return (rng.normal(0, 0.5, (count, 5)) + np.eye(3, 5)[labels] * 2).astype(np.float32), labels.astype(np.float32)


def fit(epochs=4, lr=0.1, **more):
    module = mx.mod.Module(network())
    more.setdefault("verbose", 0)
    more.setdefault("eval_data", mx.io.NDArrayIter(*rows(30, 1), batch_size=10))
    mx.random.seed(0)
    history = module.fit(
        mx.io.NDArrayIter(*rows(), batch_size=10),
        eval_metric=["acc", "ce"],
        optimizer_params={"learning_rate": lr},
        initializer=mx.init.Xavier(),
        num_epoch=epochs,
        **more,
    )
    return module, history


class Scripted(Callback):
    """Gives the history values of the test's own."""

    def __init__(self, values, name="validation-made-up"):
        self.values, self.name = list(values), name

    def on_epoch_end(self, fit):
        fit.history.note(self.name, self.values[fit.epoch])


# ---- history ------------------------------------------------------------------------------------------------------------


def test_history():
    _, history = fit(3)
    assert history.epoch == [0, 1, 2] and len(history) == 3
    names = ["train-accuracy", "train-cross-entropy", "validation-accuracy", "validation-cross-entropy", "time", "lr"]
    assert list(history) == names
    assert all(len(history[name]) == 3 for name in names)
    assert history["train-cross-entropy"][2] < history["train-cross-entropy"][0]
    assert history["lr"] == [0.1] * 3
    assert history["accuracy"] == history["val_accuracy"] == history["validation-accuracy"]
    assert history["train_accuracy"] == history["train-accuracy"]
    with pytest.raises(mx.MXNetError, match="'acuracy'.*there are train-accuracy.*did you mean"):
        history["acuracy"]


def test_history_without_validation():
    _, history = fit(1, eval_data=None)
    assert "validation-accuracy" not in history
    assert history.find(None) == "train-accuracy"
    history.begin(1)
    assert history["accuracy"][1] is None


def test_plot_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        History().plot()


def test_plot():
    pytest.importorskip("matplotlib").use("agg")
    _, history = fit(2)
    axes = history.plot()
    assert len(axes.lines) == 4
    assert len(history.plot("accuracy").lines) == 1


# ---- callbacks ----------------------------------------------------------------------------------------------------------


def test_order_of_calls():
    class Notes(Callback):
        def __init__(self):
            self.seen = []

        def on_train_begin(self, fit):
            self.seen.append("begin")

        def on_epoch_begin(self, fit):
            self.seen.append(f"epoch {fit.epoch}")

        def on_batch_end(self, fit):
            self.seen.append(fit.nbatch)
            return not (fit.epoch == 1 and fit.nbatch == 2)

        def on_epoch_end(self, fit):
            self.seen.append("end")

        def on_train_end(self, fit):
            self.seen.append("over")

    notes = Notes()
    fit(5, callbacks=[notes])
    assert notes.seen == ["begin", "epoch 0", *range(6), "end", "epoch 1", 0, 1, 2, "over"]


def test_callbacks_in_mxnets_places():
    stop = EarlyStopping("made-up", patience=1)
    _, history = fit(5, epoch_end_callback=[Scripted([1, 0, 0, 0, 0]), stop])
    assert len(history) == 2


def test_on_train_end_comes_after_errors():
    class Breaks(Callback):
        over = False

        def on_batch_end(self, fit):
            raise KeyError("here")

        def on_train_end(self, fit):
            self.over = True

    breaks = Breaks()
    with pytest.raises(KeyError, match="here"):
        fit(1, callbacks=[breaks])
    assert breaks.over
    with pytest.raises(TypeError, match="callbacks must be .* got function"):
        fit(1, callbacks=[lambda fit: None])


@pytest.mark.parametrize(
    ("values", "mode", "epochs", "best"),
    [
        ([1, 2, 3, 2, 2, 9], "auto", 5, 2),
        ([3, 2, 2.5, 2.5, 1], "min", 4, 1),
        ([1, float("nan"), float("nan"), 3], "max", 3, 0),
        ([1, 2, 3, 4], "max", 4, 3),
    ],
)
def test_early_stopping(values, mode, epochs, best):
    kept = []

    class Keep(Callback):
        def on_epoch_end(self, fit):
            kept.append(fit.module.get_params()[0]["fc1_weight"].asnumpy())

    stop = EarlyStopping("made-up", patience=2, mode=mode)
    module, history = fit(len(values), callbacks=[Scripted(values), Keep(), stop])
    assert (len(history), stop.best_epoch) == (epochs, best)
    assert (module.get_params()[0]["fc1_weight"].asnumpy() == kept[best]).all()


def test_early_stopping_knows_what_is_better():
    stop = EarlyStopping("validation-cross-entropy", patience=1, restore_best=False)
    fit(3, callbacks=[stop])
    assert stop.best_epoch == 2  # falls


def test_feed_forward_gets_the_best_parameters():
    kept = []

    class Keep(Callback):
        def on_epoch_end(self, fit):
            kept.append(fit.module.get_params()[0]["fc1_weight"].asnumpy())

    model = mx.model.FeedForward(network(), num_epoch=5, learning_rate=0.1)
    callbacks = [Scripted([2, 3, 1, 1, 1]), Keep(), EarlyStopping("made-up", patience=2)]
    model.fit(*rows(), callbacks=callbacks, verbose=0)
    assert (model.arg_params["fc1_weight"].asnumpy() == kept[1]).all()


def test_reduce_lr_on_plateau():
    values = [1, 2, 2, 2, 2, 2, 2, 3]
    reduce = ReduceLROnPlateau("made-up", factor=0.5, patience=2, cooldown=1, min_lr=0.04)
    _, history = fit(8, callbacks=[Scripted(values), reduce])
    # what an epoch used: two bad epochs, then a reduction, one that does not count, and again
    assert history["lr"] == [0.1, 0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.04]
    with pytest.raises(mx.MXNetError, match="without lr_scheduler"):
        module = mx.mod.Module(network())
        module.fit(
            mx.io.NDArrayIter(*rows(), batch_size=10),
            num_epoch=1,
            optimizer_params={"lr_scheduler": mx.lr_scheduler.FactorScheduler(3)},
            callbacks=[ReduceLROnPlateau()],
        )
    with pytest.raises(ValueError, match="factor"):
        ReduceLROnPlateau(factor=2)


def test_terminate_on_nan(caplog):
    _, history = fit(3, lr=1e30, callbacks=[TerminateOnNaN()], eval_data=None)
    assert len(history) == 1
    assert "is not finite: training stops" in caplog.text
    _, history = fit(2, callbacks=[TerminateOnNaN(2)])
    assert len(history) == 2


def test_csv_logger(tmp_path):
    path = tmp_path / "log.csv"
    _, history = fit(2, callbacks=[CSVLogger(path)])
    fit(3, callbacks=[CSVLogger(path)])
    fit(2, callbacks=[CSVLogger(path, append=True)])
    found = list(csv.DictReader(path.open()))
    assert [r["epoch"] for r in found] == ["0", "1", "2", "0", "1"]
    assert list(found[0]) == ["epoch", *history]
    assert float(found[1]["train-accuracy"]) == history["train-accuracy"][1]


def test_csv_logger_goes_on(tmp_path):
    path, saved = tmp_path / "log.csv", str(tmp_path / "run.ckpt")
    fit(2, callbacks=[CSVLogger(path)], checkpoint=saved)
    fit(4, callbacks=[CSVLogger(path)], resume=saved)
    assert [r["epoch"] for r in csv.DictReader(path.open())] == ["0", "1", "2", "3"]


def files(folder):
    return sorted(p.name for p in folder.iterdir())


def test_model_checkpoint(tmp_path):
    prefix = tmp_path / "m"
    fit(4, callbacks=[ModelCheckpoint(prefix, period=2, save_optimizer_states=True)])
    assert files(tmp_path) == ["m-0002.params", "m-0002.states", "m-0004.params", "m-0004.states", "m-symbol.json"]


def test_model_checkpoint_of_the_best(tmp_path):
    saver = ModelCheckpoint(tmp_path / "m", "made-up", save_best_only=True, keep=1)
    fit(5, callbacks=[Scripted([1, 3, 2, 4, 0]), saver])
    assert files(tmp_path) == ["m-0004.params", "m-symbol.json"]
    assert (saver.best, saver.best_epoch) == (4, 3)
    symbol, args, _ = mx.model.load_checkpoint(str(tmp_path / "m"), 4)
    assert args.keys() == set(symbol.list_arguments()) - {"data", "softmax_label"}


# ---- event files --------------------------------------------------------------------------------------------------------


def test_checksums():
    # RFC 3720, appendix B.4
    assert crc32c(b"\0" * 32) == 0x8A9136AA
    assert crc32c(bytes(range(32))) == 0x46DD794E
    assert masked(0) == 0xA282EAD8


def records(data):
    at = 0
    while at < len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        assert struct.unpack_from("<I", data, at + 8)[0] == masked(crc32c(data[at : at + 8]))
        body = data[at + 12 : at + 12 + length]
        assert struct.unpack_from("<I", data, at + 12 + length)[0] == masked(crc32c(body))
        yield body
        at += length + 16


def fields(data):
    """The fields of a protocol buffer: (number, value)."""

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    at = 0
    while at < len(data):
        key = varint()
        kind = key & 7
        if kind == 0:
            yield key >> 3, varint()
            continue
        size = varint() if kind == 2 else {1: 8, 5: 4}[kind]
        value = data[at : at + size]
        at += size
        yield key >> 3, value if kind == 2 else struct.unpack("<d" if kind == 1 else "<f", value)[0]


def test_tensorboard(tmp_path):
    _, history = fit(2, callbacks=[TensorBoard(tmp_path, batch_period=3, histograms=True)])
    (file,) = tmp_path.iterdir()
    assert file.name.startswith("events.out.tfevents.")
    events = [dict(fields(r)) for r in records(file.read_bytes())]
    assert events[0][3] == b"brain.Event:2"
    found, histograms = {}, {}
    for event in events[1:]:
        for _, value in fields(event[5]):
            told = dict(fields(value))
            if 2 in told:
                found[told[1].decode(), event[2]] = told[2]
            else:
                histograms[told[1].decode(), event[2]] = dict(fields(told[5]))
    assert found["train/accuracy", 1] == pytest.approx(history["train-accuracy"][1])
    assert found["lr", 0] == pytest.approx(0.1)
    assert {step for name, step in found if name == "batch/accuracy"} == {3, 6, 9, 12}
    weights = histograms["fc1_weight", 1]
    assert weights[3] == 40  # numbers of values
    assert np.frombuffer(weights[7]).sum() == 40 and len(weights[6]) == len(weights[7])


# ---- what is shown ------------------------------------------------------------------------------------------------------


def test_log_lines_are_mxnets(caplog):
    caplog.set_level(logging.INFO)
    fit(1, verbose=1)
    lines = [m for m in caplog.messages if m.startswith("Epoch")]
    assert [line.split("=")[0] for line in lines] == [
        "Epoch[0] Train-accuracy",
        "Epoch[0] Train-cross-entropy",
        "Epoch[0] Time cost",
        "Epoch[0] Validation-accuracy",
        "Epoch[0] Validation-cross-entropy",
    ]


def test_lines_without_logging(capsys):
    logger = logging.getLogger()
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        fit(1, verbose=1)
        assert "Epoch[0] Train-accuracy=" in capsys.readouterr().err
        fit(1, verbose=0)
        assert capsys.readouterr().err == ""
    finally:
        logger.setLevel(before)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_line_on_a_terminal(monkeypatch):
    monkeypatch.setattr("minimx.callback.progress.SECONDS_BETWEEN", 0)
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    fit(2, verbose=1)
    drawn = screen.getvalue().split("\r\x1b[K")[1:]
    assert len(drawn) == 14  # six batches and an end in each epoch
    assert drawn[2].startswith("Epoch 1/2  [==========..........] 3/6  ")
    assert "samples/s" in drawn[2] and " left" in drawn[2]
    assert all(len(line) <= 79 for line in drawn if not line.endswith("\n"))
    assert drawn[6].endswith("\n") and "validation-accuracy=" in drawn[6]


def test_length_of_an_epoch():
    def total(count, **more):
        line = ProgressLine(io.StringIO())
        line.on_epoch_begin(Fit(mx.io.NDArrayIter(np.zeros((count, 1)), batch_size=4, **more)))
        return line._epoch_batches

    class Fit:
        done = 0

        def __init__(self, data):
            self.train_data = data

    assert total(9) == 3
    assert total(9, last_batch_handle="discard") == 2
