"""Operators on boxes against what MXNet 1.9.1 computed for the same calls (tests/golden/detection)."""

import json
from pathlib import Path

import numpy as np
import pytest

import minimx as mx
from minimx.eager import invoke

GOLDEN = Path(__file__).parent / "golden/detection"
CALLS = json.loads((GOLDEN / "index.json").read_text())


@pytest.mark.parametrize("number", range(len(CALLS)), ids=[f"{i}-{c['op']}" for i, c in enumerate(CALLS)])
def test_equals_mxnet(number):
    call, data = CALLS[number], np.load(GOLDEN / "calls.npz")
    inputs = [mx.nd.array(data[f"{number}_in{i}"]) for i in range(call["inputs"])]
    result = invoke(call["op"], inputs, call["params"])
    outputs = list(result) if isinstance(result, (list, tuple)) else [result]
    assert len(outputs) == call["outputs"]
    for i, got in enumerate(outputs):
        np.testing.assert_allclose(got.asnumpy(), data[f"{number}_out{i}"], rtol=1e-4, atol=1e-4, err_msg=f"output {i}")


def test_no_more_pairs_than_asked_for():
    """MXNet 1.9.1 makes one more."""
    scores = mx.nd.array([[0.5, 0.6], [0.1, 0.2], [0.3, 0.4]])
    rows, columns = mx.nd.contrib.bipartite_matching(scores, threshold=1e-12, topk=1)
    assert rows.asnumpy().tolist() == [1, -1, -1] and columns.asnumpy().tolist() == [-1, 0]


def test_every_box_is_converted():
    """MXNet 1.9.1 leaves boxes as they are that begin left of the image."""
    box = mx.nd.array([[0, 0.9, -0.2, 0.2, 0.4, 0.6]])
    kept = mx.nd.contrib.box_nms(box, out_format="center").asnumpy()
    np.testing.assert_allclose(kept, [[0, 0.9, 0.1, 0.4, 0.6, 0.4]], rtol=1e-6)


def test_scores_that_are_not_numbers():
    boxes = np.array([[np.nan, 0, 0, 1, 1], [0.5, 0, 0, 1, 1], [np.nan, 0, 0, 1, 1]], "float32")
    kept = mx.nd.contrib.box_nms(mx.nd.array(boxes), coord_start=1, score_index=0).asnumpy()
    np.testing.assert_array_equal(kept, [[0.5, 0, 0, 1, 1], [-1] * 5, [-1] * 5])


def test_nothing_to_look_at():
    assert mx.nd.contrib.box_nms(mx.nd.zeros((0, 6))).shape == (0, 6)
    assert mx.nd.contrib.box_iou(mx.nd.zeros((0, 4)), mx.nd.zeros((3, 4))).shape == (0, 3)


def test_trains_a_detector_as_mxnet_does():
    """Two feature maps, MultiBox layers, mining: 30 steps beside those that MXNet recorded."""
    data = np.load(GOLDEN / "ssd.npz")
    net = mx.sym.load(str(GOLDEN / "ssd-symbol.json"))
    executor = net.simple_bind(mx.cpu(), data=data["data"].shape, label=data["label"].shape)
    weights = {n: a for n, a in executor.arg_dict.items() if n not in ("data", "label")}
    for name, weight in weights.items():
        weight[:] = data[f"param_{name}"]
    feed = {n: mx.nd.array(data[n]) for n in ("data", "label")}
    for expected in data["loss"]:
        probability, distance, target, found = (o.asnumpy() for o in executor.forward(is_train=True, **feed))
        image, anchor = np.nonzero(target >= 0)
        chosen = probability[image, target[image, anchor].astype(int), anchor]
        np.testing.assert_allclose([-np.log(chosen).mean(), distance.sum()], expected, rtol=2e-3)
        executor.backward()
        for name, weight in weights.items():
            weight[:] = weight - 0.3 * executor.grad_dict[name]
    np.testing.assert_allclose(found[:, 0], data["detected"][:, 0], rtol=2e-2)
