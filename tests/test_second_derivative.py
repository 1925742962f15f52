"""Gradients of gradients, for operators that gradient penalties are made of."""

import numpy as np
import pytest
from cases import all_cases
from running import differentiable, inputs_of

import minimx as mx
from minimx import autograd
from minimx.eager import invoke

OPERATORS = {
    "FullyConnected",
    "Activation",
    "batch_dot",
    "broadcast_div",
    "broadcast_mul",
    "dot",
    "exp",
    "log_softmax",
    "mean",
    "moments",
    "norm",
    "prod",
    "softmax",
    "softmax_cross_entropy",
    "softmin",
    "sqrt",
    "square",
    "sum",
    "tanh",
}
CASES = [c for c in all_cases() if c.op in OPERATORS and c.gradient is None and "float64" in c.dtypes]
CASES = [c for c in CASES if c.params.get("dtype") in (None, "float64") and "out_dtype" not in c.params]
CASES = [c for c in CASES if sum(np.prod(i.shape) for i in c.inputs) < 200]


def penalty(case, arrays, names, create_graph):
    """The squared length of the gradient of a sum of the operator's squared outputs."""
    with autograd.record():
        outputs = invoke(case.op, list(arrays.values()), case.params)
        outputs = outputs if isinstance(outputs, list) else [outputs]
        loss = sum((mx.nd.sum(mx.nd.square(o)) for o in outputs[1:]), mx.nd.sum(mx.nd.square(outputs[0])))
        slopes = autograd.grad(loss, [arrays[n] for n in names], retain_graph=True, create_graph=create_graph)
        return sum((mx.nd.sum(mx.nd.square(g)) for g in slopes[1:]), mx.nd.sum(mx.nd.square(slopes[0])))


@pytest.mark.parametrize("case", CASES, ids=[c.id for c in CASES])
def test_second_derivative(case):
    inputs = inputs_of(case, "float64")
    names = differentiable(case, inputs)
    if not names:
        pytest.skip("has no gradients")
    arrays = {n: mx.nd.array(a, dtype=a.dtype) for n, a in inputs.items()}
    for name in names:
        arrays[name].attach_grad()
    penalty(case, arrays, names, True).backward()
    gradients = {n: arrays[n].grad.asnumpy() for n in names}
    generator = np.random.default_rng(3)
    for name in names:
        x = inputs[name]
        for _ in range(3):
            direction = generator.uniform(-1, 1, x.shape) / x.size**0.5
            values = []
            for step in (1e-5, -1e-5):
                arrays[name][:] = x + step * direction
                values.append(float(penalty(case, arrays, names, False).asnumpy().item()))
            arrays[name][:] = x
            numeric = (values[0] - values[1]) / 2e-5
            analytic = float(np.sum(gradients[name] * direction))
            limit = 1e-6 * max(1.0, abs(numeric), np.abs(gradients[name]).max(), *map(abs, values))
            assert abs(analytic - numeric) <= limit, f"{name}: {analytic} instead of {numeric}"
