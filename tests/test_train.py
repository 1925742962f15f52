"""Whole trainings that MXNet 1.9.1 has done: the same losses, parameters and predictions step by step."""

import numpy as np
import pytest
from recorded import GOLDEN, RUNS, train, train_by_steps

import minimx as mx


@pytest.mark.parametrize("way", [train, train_by_steps])
@pytest.mark.parametrize("name", RUNS)
def test_trajectory(name, way):
    run, data, executor, label, losses = way(name, RUNS[name]["steps"])
    np.testing.assert_allclose(losses, data["loss"], rtol=run["rtol"])
    expected = mx.nd.load(str(GOLDEN / run["final_params"]))
    for key, value in expected.items():
        kind, param = key.split(":", 1)
        got = (executor.arg_dict if kind == "arg" else executor.aux_dict)[param].asnumpy()
        scale = max(1e-3, np.abs(value.asnumpy()).max())
        np.testing.assert_allclose(got, value.asnumpy(), rtol=1e-2, atol=1e-2 * scale, err_msg=key)
    batch = run["batch_size"]
    (out,) = executor.forward(is_train=False, **{"data": data["data"][:batch], label: data["label"][:batch]})
    np.testing.assert_allclose(out.asnumpy(), data["final_infer_probs"], atol=1e-2)
