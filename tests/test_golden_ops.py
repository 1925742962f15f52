"""Operators against what MXNet 1.9.1 computed: outputs, gradients and auxiliary states."""

import json
from pathlib import Path

import numpy as np
import pytest
from running import Running, input_names

from minimx.op import REGISTRY

GOLDEN = Path(__file__).parent / "golden"
INDEX = json.loads((GOLDEN / "ops/index.json").read_text())
CASES = {Path(case["file"]).stem: case for case in INDEX}

# What MXNet 1.9.1 computes wrongly, and what of it is not compared.
WRONG = {
    "softmaxoutput_out_grad": "multiplies the gradient by the output instead of the head gradient",
}


@pytest.mark.parametrize("name", CASES)
def test_golden(name):
    compare(name)


def compare(name, ctx=None):
    """Runs a recorded case on a device and compares everything that was recorded."""
    case = CASES[name]
    assert case["op"] in REGISTRY
    data = np.load(GOLDEN / case["file"])
    own = dict(zip(case["inputs"], input_names(case["op"], case["attrs"], len(case["inputs"])), strict=True))
    inputs = {own[n]: data[f"in_{n}"] for n in case["inputs"]}
    running = Running(case["op"], case["attrs"], inputs, [own[n] for n in case["grads"]], ctx=ctx)
    close = {"rtol": case["rtol"], "atol": case["atol"]}
    outputs = running.forward(case["is_train"])
    stored = [i for i in range(len(case["outputs"])) if f"out_{i}" in data]
    for i in stored:
        expected = data[f"out_{i}"]
        assert outputs[i].shape == expected.shape and outputs[i].dtype == expected.dtype
        np.testing.assert_allclose(outputs[i], expected, **close, err_msg=f"output {i}")
    if case["is_train"] and (case["grads"] or case["aux"]):
        heads = [data[f"ograd_{i}"] if f"ograd_{i}" in data else np.zeros_like(o) for i, o in enumerate(outputs)]
        gradients = running.backward(heads)
        if name in WRONG:
            return
        for grad_name, got in zip(case["grads"], gradients, strict=True):
            np.testing.assert_allclose(got, data[f"grad_{grad_name}"], **close, err_msg=f"gradient of {grad_name}")
    if name not in WRONG:
        for state, got in zip(case["aux"], running.auxiliary(), strict=True):
            np.testing.assert_allclose(got, data[f"auxout_{state}"], **close, err_msg=f"state {state}")
