"""The benchmarks' plumbing: what a worker answers, what a network costs, how tables are made. Nothing is timed."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minimx as mx

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"


@pytest.fixture(scope="module", autouse=True)
def on_the_path():
    sys.path.insert(0, str(FOLDER))
    yield
    sys.path.remove(str(FOLDER))


# Multiply-adds of one image, in millions, as the papers and other libraries count them.
COSTS = {"vgg16": 15_470, "resnet50": 3_858, "mobilenet": 569, "inception_v3": 5_713, "resnet18": 1_814}


@pytest.mark.parametrize("name", COSTS)
def test_cost_of_networks(name, tmp_path):
    import networks

    row = networks.row(tmp_path, name, "infer", 2)
    assert row.flops / 2 / 2e6 == pytest.approx(COSTS[name], rel=2e-3)
    assert networks.row(tmp_path, name, "train", 2).flops == 3 * row.flops


def test_symbol_files_are_read_as_plain_data(tmp_path):
    import symbol_file

    mx.models.resnet(num_layers=18).save(str(tmp_path / "net.json"))
    layers, (head,) = symbol_file.read(str(tmp_path / "net.json"))
    assert layers[head].op == "SoftmaxOutput"
    first = next(layer for layer in layers if layer.op == "Convolution")
    assert first.attrs["kernel"] == (7, 7) and first.attrs["no_bias"] is True
    assert [layers[i].name for i, _ in first.inputs] == ["bn_data", "conv0_weight"]


def test_a_worker_answers():
    work = {"kind": "gemm", "m": 3, "n": 4, "k": 5, "trans_a": False, "trans_b": True, "dtype": "float32"}
    lines = [json.dumps(work), json.dumps({"count": 2})]
    done = subprocess.run(
        [sys.executable, str(FOLDER / "serve.py"), "minimx"],
        input="\n".join(lines) + "\n",
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(FOLDER.parent), "PATH": ""},
    )
    ready, took = (json.loads(line.removeprefix("answer ")) for line in done.stdout.splitlines())
    assert ready["check"] is None and ready["import_bytes"] > 0
    assert took["seconds"] >= 0 and took["peak_bytes"] > 0


@pytest.mark.parametrize("kind", ["train", "infer"])
def test_networks_run(kind, tmp_path):
    import networks
    import with_minimx

    row = networks.row(tmp_path, "lenet", kind, 2)
    work = dict(row.work)
    run = getattr(with_minimx, work.pop("kind"))(**work)
    run(2)
    assert len(run.check) == 8 and np.isfinite(run.check).all()
    compiled = run.profiled()
    times = networks.call_times(compiled, 0)
    assert len(times) == len(compiled.lowered.calls)


def test_tables():
    import harness

    row = harness.Row("work", {}, (), "steps/s", 2.0, flops=4e9)
    times = {"minimx": [1.0, 2.0, 3.0], "torch": [4.0, 4.0, 8.0], "jax": [16.0]}
    facts = {"minimx": {"check": [1.0, 2.0]}, "torch": {"check": [1.0, 2.001]}, "jax": {"check": [1.5, 2.0]}}
    result = harness._figures(row, times, {}, facts, peak=4.0)
    assert result["best peer"] == "torch" and result["ratio"] == 2.0 and result["ratio of best"] == 4.0
    assert result["of peak"] == 0.5
    assert result["disagree"] == ["jax"]
    assert "| work | steps/s | 1 | 0.5 | 0.125 | 2.00 | 0.50 |" in harness.markdown([result])


def test_deep_graphs():
    import deep

    for make in deep.GRAPHS.values():
        executor = make(mx, 100).simple_bind(mx.cpu(), data=(4, 8))
        executor.forward(is_train=True)
        executor.backward()
        assert np.isfinite(executor.grad_dict["data"].asnumpy()).all()
