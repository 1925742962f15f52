"""Trainings that are interrupted and resumed end with the same bits as those that were not."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minimx as mx
from minimx.base import FileFormatError
from minimx.callback import Callback, EarlyStopping, TrainingCheckpoint
from minimx.serial_safetensors import read_tensors, write_tensors


def network(dropout=0.3):
    hidden = mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=16, name="fc1")
    hidden = mx.sym.BatchNorm(hidden, name="bn", fix_gamma=False)
    hidden = mx.sym.Dropout(mx.sym.Activation(hidden, act_type="tanh", name="act"), p=dropout)
    return mx.sym.SoftmaxOutput(mx.sym.FullyConnected(hidden, num_hidden=4, name="fc2"), name="softmax")


def rows(count=70):
    rng = np.random.RandomState(3)
    return rng.uniform(-1, 1, (count, 6)).astype(np.float32), rng.randint(0, 4, count).astype(np.float32)


def iterator(handle="roll_over", **more):
    return mx.io.NDArrayIter(*rows(), batch_size=16, shuffle=True, last_batch_handle=handle, **more)


OPTIMIZERS = {
    "sgd": lambda: {"learning_rate": 0.1, "momentum": 0.9, "lr_scheduler": mx.lr_scheduler.FactorScheduler(3, 0.9)},
    "adam": lambda: {"learning_rate": 0.01, "lr_scheduler": mx.lr_scheduler.CosineScheduler(30, 0.01)},
    "nadam": lambda: {"learning_rate": 0.01},
    "rmsprop": lambda: {"learning_rate": 0.01},
}


class StopAt(Callback):
    """Ends a training after some steps."""

    def __init__(self, steps):
        self.steps = steps

    def on_batch_end(self, fit):
        return fit.steps != self.steps


def train(epochs, optimizer="sgd", data=None, seed=5, **more):
    mx.random.seed(seed)
    np.random.seed(seed)
    module = mx.mod.Module(network())
    history = module.fit(
        data() if data else iterator(),
        eval_data=mx.io.NDArrayIter(*rows(40), batch_size=16, shuffle=True),
        eval_metric=["acc", "ce"],
        optimizer=optimizer,
        optimizer_params=OPTIMIZERS[optimizer](),
        num_epoch=epochs,
        verbose=0,
        **more,
    )
    return module, history


def assert_same(one, other):
    for a, b in zip(one[0].get_params(), other[0].get_params(), strict=True):
        assert a.keys() == b.keys()
        for name in a:
            assert a[name].asnumpy().tobytes() == b[name].asnumpy().tobytes(), name
    first, second = one[1].history, other[1].history
    assert one[1].epoch == other[1].epoch
    for name in set(first) - {"time"}:
        assert first[name] == second[name], name


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_between_epochs(tmp_path, optimizer):
    path = str(tmp_path / "run.ckpt")
    straight = train(4, optimizer)
    train(2, optimizer, checkpoint=path)
    assert_same(straight, train(4, optimizer, seed=77, resume=path))


@pytest.mark.parametrize("handle", ["pad", "discard", "roll_over"])
@pytest.mark.parametrize("steps", [1, 4, 5, 6])
def test_within_an_epoch(tmp_path, handle, steps):
    path = str(tmp_path / "run.ckpt")

    def data():
        return iterator(handle)

    straight = train(3, data=data)
    train(3, data=data, callbacks=[TrainingCheckpoint(path, batches=steps), StopAt(steps)])
    assert_same(straight, train(3, data=data, seed=77, resume=path))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda: mx.io.PrefetchingIter(iterator()),
        lambda: mx.io.ResizeIter(iterator(), 5, reset_internal=False),
        lambda: iterator(seed=9),
    ],
    ids=["prefetching", "resized", "seeded"],
)
def test_iterators(tmp_path, wrap):
    path = str(tmp_path / "run.ckpt")
    straight = train(3, data=wrap)
    train(3, data=wrap, callbacks=[TrainingCheckpoint(path, batches=6), StopAt(6)])
    assert_same(straight, train(3, data=wrap, seed=77, resume=path))


def test_an_iterator_that_cannot_tell_where_it_is(tmp_path):
    class Plain(mx.io.DataIter):
        def __init__(self):
            self.inner = mx.io.NDArrayIter(*rows(), batch_size=16)
            super().__init__(16)
            self.provide_data, self.provide_label = self.inner.provide_data, self.inner.provide_label

        def reset(self):
            self.inner.reset()

        def next(self):
            return self.inner.next()

    path = str(tmp_path / "run.ckpt")
    straight = train(3, data=Plain)
    train(3, data=Plain, callbacks=[TrainingCheckpoint(path, batches=7), StopAt(7)])
    assert_same(straight, train(3, data=Plain, seed=77, resume=path))


def feed_forward(epochs, seed=5, epoch_size=None, **more):
    mx.random.seed(seed)
    np.random.seed(seed)
    model = mx.model.FeedForward(
        network(), num_epoch=epochs, optimizer="adam", numpy_batch_size=16, epoch_size=epoch_size
    )
    history = model.fit(*rows(), eval_data=rows(32), verbose=0, **more)
    return model, history


@pytest.mark.parametrize("epoch_size", [None, 3])
@pytest.mark.parametrize("steps", [None, 5, 6])
def test_feed_forward(tmp_path, epoch_size, steps):
    path = str(tmp_path / "run.ckpt")
    straight, history = feed_forward(4, epoch_size=epoch_size)
    if steps is None:
        feed_forward(2, epoch_size=epoch_size, checkpoint=path)
    else:
        feed_forward(4, epoch_size=epoch_size, callbacks=[TrainingCheckpoint(path, batches=steps), StopAt(steps)])
    resumed, again = feed_forward(4, seed=77, epoch_size=epoch_size, resume=path)
    for name, value in straight.arg_params.items():
        assert (value.asnumpy() == resumed.arg_params[name].asnumpy()).all()
    assert history["train-accuracy"] == again["train-accuracy"]
    assert history["validation-accuracy"] == again["validation-accuracy"]


# ---- other modules ------------------------------------------------------------------------------------------------------


def chain():
    hidden = mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=8, name="fc1")
    last = mx.sym.SoftmaxOutput(mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=4, name="fc2"), name="softmax")
    made = mx.mod.SequentialModule()
    made.add(mx.mod.Module(mx.sym.Dropout(hidden), label_names=None))
    made.add(mx.mod.Module(last), take_labels=True, auto_wiring=True)
    return made


class Buckets(mx.io.DataIter):
    """Batches of two lengths in turn."""

    default_bucket_key = 6

    def __init__(self):
        super().__init__(8)
        self.provide_data, self.provide_label = [("data", (8, 6))], [("softmax_label", (8,))]
        self.at = 0

    def reset(self):
        self.at = 0

    def next(self):
        if self.at == 5:
            raise StopIteration
        x, y = rows()
        part = slice(8 * self.at, 8 * self.at + 8)
        key = 6 if self.at % 2 else 3
        self.at += 1
        shapes = [("data", (8, key))], [("softmax_label", (8,))]
        return mx.io.DataBatch(
            [mx.nd.array(x[part, :key])],
            [mx.nd.array(y[part])],
            0,
            None,
            key,
            provide_data=shapes[0],
            provide_label=shapes[1],
        )


def buckets():
    def generate(key):
        mean = mx.sym.mean(mx.sym.var("data"), axis=1, keepdims=True)
        hidden = mx.sym.Dropout(mx.sym.FullyConnected(mean, num_hidden=8, name="fc1"))
        net = mx.sym.SoftmaxOutput(mx.sym.FullyConnected(hidden, num_hidden=4, name="fc2"), name="softmax")
        return net, ["data"], ["softmax_label"]

    return mx.mod.BucketingModule(generate, default_bucket_key=6)


def two_devices():
    return mx.mod.Module(network(), context=[mx.cpu(0), mx.cpu(1)])


@pytest.mark.parametrize(
    ("make", "data"),
    [(chain, iterator), (buckets, Buckets), (two_devices, iterator)],
    ids=["chain", "buckets", "devices"],
)
@pytest.mark.parametrize("steps", [None, 7])
def test_other_modules(tmp_path, make, data, steps):
    path = str(tmp_path / "run.ckpt")

    def run(epochs, seed=5, **more):
        mx.random.seed(seed)
        np.random.seed(seed)
        module = make()
        options = {"optimizer": "adam", "verbose": 0, "initializer": mx.init.Uniform(0.1)}
        return module, module.fit(data(), num_epoch=epochs, **options, **more)

    if make is two_devices and steps:
        return  # within an epoch the devices have moving statistics of their own
    straight = run(4)
    if steps is None:
        run(2, checkpoint=path)
    else:
        run(4, callbacks=[TrainingCheckpoint(path, batches=steps), StopAt(steps)])
    assert_same(straight, run(4, seed=77, resume=path))


def test_resume_true_is_for_scripts_that_are_started_again(tmp_path):
    path = str(tmp_path / "run.ckpt")
    straight = train(4)
    train(2, checkpoint=path, resume=True)
    assert_same(straight, train(4, checkpoint=path, resume=True, seed=77))
    finished = train(4, checkpoint=path, resume=True)  # nothing left to be done
    assert_same(straight, finished)


def test_callbacks_remember(tmp_path):
    path = str(tmp_path / "run.ckpt")

    def stopping():
        return EarlyStopping("train-accuracy", patience=50)

    one = stopping()
    train(6, callbacks=[one])
    train(3, callbacks=[stopping()], checkpoint=path)
    two = stopping()
    train(6, callbacks=[two], resume=path, seed=77)
    assert (one.best, one.best_epoch, one.wait) == (two.best, two.best_epoch, two.wait)
    for name, value in one.best_params[0].items():
        assert (value.asnumpy() == two.best_params[0][name].asnumpy()).all()


def test_the_file_is_one_of_parameters(tmp_path):
    path = str(tmp_path / "run.safetensors")
    module, _ = train(1, checkpoint=path)
    saved = mx.nd.load(path)
    assert (saved["arg:fc1_weight"].asnumpy() == module.get_params()[0]["fc1_weight"].asnumpy()).all()
    assert [p.name for p in tmp_path.iterdir()] == ["run.safetensors"]
    told = mx.Predictor(path).predict(rows()[0])
    assert told.shape == (70, 4)


def test_what_cannot_be_resumed(tmp_path):
    path = str(tmp_path / "run.ckpt")
    with pytest.raises(FileNotFoundError):
        train(1, resume=path)
    with pytest.raises(ValueError, match="resume=True goes with checkpoint"):
        train(1, resume=True)
    mx.nd.save(str(tmp_path / "x.safetensors"), {"a": mx.nd.ones(1)})
    with pytest.raises(FileFormatError, match="no training to resume"):
        train(1, resume=str(tmp_path / "x.safetensors"))
    train(1, checkpoint=path)
    with pytest.raises(mx.MXNetError, match=r"used the optimizer SGD, this one Adam"):
        train(2, "adam", resume=path)
    mx.random.seed(0)
    smaller = mx.sym.SoftmaxOutput(mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=4, name="fc2"), name="softmax")
    with pytest.raises(mx.MXNetError, match=r"another network: fc2_weight is \(4, 16\) there and \(4, 6\) in this one"):
        mx.mod.Module(smaller).fit(iterator(), num_epoch=2, resume=path, verbose=0)
    with pytest.raises(ValueError, match="num_data is 70, here it is 64"):
        train(2, resume=path, data=lambda: mx.io.NDArrayIter(*rows(64), batch_size=16))
    records, names, metadata = read_tensors(path)
    told = json.loads(metadata["minimx.training"])
    write_tensors(path, records, names, {"minimx.training": json.dumps({**told, "version": 99})})
    with pytest.raises(FileFormatError, match="another version of minimx"):
        train(2, resume=path)
    write_tensors(path, records, names, {"minimx.training": json.dumps({"version": 1})})
    with pytest.raises(FileFormatError, match="in its header lacks"):
        train(2, resume=path)
    write_tensors(path, records, names, {"minimx.training": "{"})
    with pytest.raises(FileFormatError, match="is damaged"):
        train(2, resume=path)


SAVING = """
import os, random, signal, sys, time
import numpy as np
import minimx as mx
from minimx.callback import Callback, TrainingCheckpoint
from minimx.module.resume import read_training

path, times = sys.argv[1], int(sys.argv[2])

class Ready(Callback):
    def __init__(self, pipe):
        self.pipe = pipe
    def on_batch_end(self, fit):
        if fit.steps == 2:
            os.write(self.pipe, b"!")

def save_all_the_time(pipe):
    net = mx.sym.LinearRegressionOutput(mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=400, name="fc"), name="lro")
    data = mx.io.NDArrayIter(np.ones((64, 300)), np.ones((64, 400)), 4, label_name="lro_label")
    module = mx.mod.Module(net, label_names=["lro_label"])
    options = {"learning_rate": 1e-6, "momentum": 0.9}
    callbacks = [TrainingCheckpoint(path, batches=1), Ready(pipe)]
    module.fit(data, num_epoch=100000, eval_metric="mse", optimizer_params=options, verbose=0, callbacks=callbacks)

random.seed(0)
for _ in range(times):
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            save_all_the_time(writes)
        finally:
            os._exit(1)
    os.close(writes)
    assert os.read(reads, 1) == b"!"
    os.close(reads)
    time.sleep(random.uniform(0, 0.05))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    told, arrays = read_training(path)
    assert arrays["arg:fc_weight"].shape == (400, 300)
    print(told["steps"])
"""


def kill_while_saving(path, times):
    """Kills a process that saves all the time, at random moments; the file must be a whole one every time. Returns how many
    steps the files had seen."""
    command = [sys.executable, "-c", SAVING, str(path), str(times)]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [int(line) for line in done.stdout.split()]


def test_killed_while_saving(tmp_path):
    steps = kill_while_saving(tmp_path / "run.ckpt", 20)
    assert len(steps) == 20 and min(steps) >= 2


def test_what_killed_processes_have_left_is_removed(tmp_path):
    path = tmp_path / "run.ckpt"
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    names = [f"run.ckpt.{ended.pid}.part", f"run.ckpt.{os.getpid()}.part", "run.ckpt.old.part", f"x.{ended.pid}.part"]
    for name in names:
        (tmp_path / name).write_bytes(b"")
    train(1, callbacks=[TrainingCheckpoint(path, period=9)])
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(names[1:])
