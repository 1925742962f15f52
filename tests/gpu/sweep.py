"""Operators and networks on a gpu beside the cpu: what the tests and `make gpu-test` share. Needs no pytest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import networks
import numpy as np
from cases import Case
from running import Running, differentiable, inputs_of

import minimx as mx
from minimx.base import FLOATS

NETWORKS = {
    "lenet": ((16, 1, 28, 28), (16,), 10),
    "mini_inception_bn": ((8, 3, 32, 32), (8,), 10),
}


def operator_results(case: Case, ctx: Any) -> list[np.ndarray]:
    """Outputs, gradients for fixed head gradients, and auxiliary states, in the case's first dtype."""
    dtype = case.dtypes[0]
    inputs = inputs_of(case, dtype)
    names = differentiable(case, inputs) if dtype in FLOATS else []
    mx.random.seed(7)
    running = Running(case.op, case.params, inputs, names, ctx=ctx)
    outputs = running.forward(case.train or bool(names))
    heads = [np.cos(np.arange(o.size)).reshape(o.shape).astype(o.dtype) for o in outputs]
    return outputs + (running.backward(heads) if names else []) + running.auxiliary()


def operator_error(case: Case, got: Sequence[np.ndarray], want: Sequence[np.ndarray]) -> float:
    """The largest difference in units of the case's tolerance, relative to the largest element of each result."""
    worst = 0.0
    for a, b in zip(got, want, strict=True):
        if a.shape != b.shape or a.dtype != b.dtype:
            return np.inf
        exact = b.astype(np.float64)
        finite = np.isfinite(exact)
        if not np.array_equal(a[~finite], b[~finite], equal_nan=a.dtype.kind == "f"):
            return np.inf
        apart = np.abs(a.astype(np.float64) - exact)[finite].max(initial=0)
        if a.dtype.kind == "f":
            size = max(1.0, np.abs(exact[finite]).max(initial=0))
            worst = max(worst, float(apart / size / ((case.ulps + 4 * case.length**0.5) * np.finfo(a.dtype).eps)))
        elif apart:
            return np.inf
    return worst


class Training:
    """A network of tests/networks.py on random images, trained by sgd with momentum through simple_bind."""

    def __init__(self, name: str, ctx: Any, batch: int | None = None):
        data, label, classes = NETWORKS[name]
        if batch:
            data, label = (batch, *data[1:]), (batch, *label[1:])
        self.executor = getattr(networks, name)().simple_bind(ctx, data=data, softmax_label=label)
        generator = np.random.default_rng(3)
        self.images = generator.standard_normal(data).astype("float32")
        self.labels = generator.integers(0, classes, label).astype("float32")
        self.states = {}
        for param, array in self.executor.arg_dict.items():
            if param not in ("data", "softmax_label"):
                spread = 1 / np.sqrt(max(1, array.size // array.shape[0]))
                array[:] = generator.uniform(-spread, spread, array.shape) + param.endswith("gamma")
                self.states[param] = mx.nd.zeros(array.shape, ctx=ctx)

    def step(self) -> Any:
        """One step; gives the probabilities it found, still on the device."""
        (out,) = self.executor.forward(is_train=True, data=self.images, softmax_label=self.labels)
        self.executor.backward()
        for param, state in self.states.items():
            weight, grad = self.executor.arg_dict[param], self.executor.grad_dict[param]
            mx.nd.sgd_mom_update(
                weight, grad, state, out=weight, lr=0.02, momentum=0.9, rescale_grad=1 / len(self.labels)
            )
        return out

    def loss(self) -> float:
        probabilities = self.step().asnumpy()
        picked = probabilities[np.arange(len(self.labels)), self.labels.astype(int)]
        return float(-np.log(np.maximum(picked, 1e-10)).mean())
