"""The sweep over all operators and their cases on the gpu: outputs and gradients equal the cpu's."""

import numpy as np
import pytest
from cases import all_cases
from running import Running
from test_ops import assert_near, differentiable, head_gradients, inputs_of

import minimx as mx
from minimx.base import FLOATS

ORDERS = ("ascending", "descending", "shuffled")
CASES = [(case, ORDERS[i % 3]) for i, case in enumerate(all_cases())]


def results(case, dtype, ctx):
    inputs = inputs_of(case, dtype)
    names = differentiable(case, inputs) if dtype in FLOATS else []
    mx.random.seed(7)
    running = Running(case.op, case.params, inputs, names, ctx=ctx)
    outputs = running.forward(case.train or bool(names))
    return outputs + (running.backward(head_gradients(outputs)) if names else []) + running.auxiliary()


@pytest.mark.parametrize("case, order", CASES, ids=[case.id for case, _ in CASES])
def test_equals_the_cpu(case, order, gpu, monkeypatch):
    monkeypatch.setenv("MINIMX_EMULATE_ORDER", order)
    dtype = case.dtypes[0]
    got = results(case, dtype, mx.gpu(0))
    for i, (on_gpu, on_cpu) in enumerate(zip(got, results(case, dtype, mx.cpu()), strict=True)):
        assert_near(case, on_gpu, on_cpu.astype(np.float64), f"result {i}", terms=1)
