"""The sweep of autograd over all operators and their cases: it gives what a bound symbol gives."""

import numpy as np
import pytest
from cases import all_cases
from running import Running, differentiable, inputs_of

import minimx as mx
from minimx import autograd
from minimx.eager import invoke
from minimx.op import find

CASES = [
    c
    for c in all_cases()
    if not find(c.op).random and c.twin is not None and differentiable(c, inputs_of(c, c.dtypes[0]))
]


@pytest.mark.parametrize("case", CASES, ids=[c.id for c in CASES])
def test_equals_the_executor(case):
    """The first pass goes operator by operator, later ones are compiled; both are compared."""
    inputs = inputs_of(case, case.dtypes[0])
    names = differentiable(case, inputs)
    running = Running(case.op, case.params, inputs, names)
    outputs = running.forward(train=True)
    generator = np.random.default_rng(1)
    heads = [generator.uniform(-1, 1, o.shape).astype(o.dtype) for o in outputs]
    expected = running.backward(heads)
    for attempt in range(3):
        arrays = {n: mx.nd.array(a, dtype=a.dtype) for n, a in inputs.items()}
        for name in names:
            arrays[name].attach_grad()
        with autograd.record():
            found = invoke(case.op, list(arrays.values()), case.params)
        found = found if isinstance(found, list) else [found]
        autograd.backward(found, [mx.nd.array(h, dtype=h.dtype) for h in heads])
        for got, wanted in zip(found, outputs, strict=True):
            np.testing.assert_allclose(got.asnumpy(), wanted, rtol=1e-5, atol=1e-6, err_msg=f"attempt {attempt}")
        for name, wanted in zip(names, expected, strict=True):
            got = arrays[name].grad.asnumpy()
            np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5, err_msg=f"attempt {attempt}: {name}")
