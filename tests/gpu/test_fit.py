"""What stands around a training, on the second device: initialisers, short floats, checkpoints, predictions, the profiler."""

import json

import numpy as np
import pytest

import minimx as mx


def network():
    hidden = mx.sym.Activation(mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=8, name="fc1"), act_type="relu")
    return mx.sym.SoftmaxOutput(mx.sym.FullyConnected(hidden, num_hidden=3, name="fc2"), name="softmax")


def rows():
    rng = np.random.RandomState(0)
    labels = rng.randint(0, 3, 30)
    return rng.normal(0, 0.3, (30, 5)) + np.eye(3, 5)[labels], labels


def fit(epochs, context, seed=0, **more):
    mx.random.seed(seed)
    np.random.seed(seed)
    module = mx.mod.Module(network(), context=context)
    data = mx.io.NDArrayIter(*rows(), batch_size=10, shuffle=True)
    options = {
        "optimizer_params": {"learning_rate": 0.2, "momentum": 0.9},
        "initializer": mx.init.Xavier(),
        "verbose": 0,
    }
    return module, module.fit(data, num_epoch=epochs, **options, **more)


@pytest.mark.parametrize("precision", [None, "float16", "bfloat16"])
def test_resume_and_predict(gpu, tmp_path, precision):
    path = str(tmp_path / "run.ckpt")
    straight, history = fit(4, mx.gpu(0), precision=precision)
    fit(2, mx.gpu(0), precision=precision, checkpoint=path)
    resumed, _ = fit(4, mx.gpu(0), 77, precision=precision, checkpoint=path, resume=True)
    for name, value in straight.get_params()[0].items():
        assert (value.asnumpy() == resumed.get_params()[0][name].asnumpy()).all()
    assert history["train-accuracy"][-1] > 0.5
    data = rows()[0]
    here, there = mx.Predictor(path, ctx=mx.cpu()), mx.Predictor(path, ctx=mx.gpu(0))
    np.testing.assert_allclose(there.predict(data), here.predict(data), rtol=1e-5, atol=1e-6)


def test_profiler(gpu, tmp_path):
    path = tmp_path / "profile.json"
    mx.profiler.set_config(profile_all=True, filename=str(path))
    mx.profiler.set_state("run")
    fit(1, mx.gpu(0))
    mx.profiler.set_state("stop")
    mx.profiler.dump()
    found = json.loads(path.read_text())["traceEvents"]
    processes = {e["pid"]: e["args"]["name"] for e in found if e["ph"] == "M"}
    on_gpu = [e for e in found if e["ph"] == "X" and processes[e["pid"]] == "gpu/0"]
    assert any("FullyConnected" in e["name"] for e in on_gpu)
