"""Operators and networks on a gpu beside the cpu: what the tests and `make gpu-test` share. Needs no pytest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import golden_networks
import numpy as np
from cases import Case
from recorded import train
from running import Running, differentiable, inputs_of

import minimx as mx
from minimx.base import FLOATS


def operator_results(case: Case, ctx: Any) -> list[np.ndarray]:
    """Outputs, gradients for fixed head gradients, and auxiliary states, in the case's first dtype."""
    running, names = bound_operator(case, ctx)
    mx.random.seed(7)
    outputs = running.forward(case.train or bool(names))
    heads = [np.cos(np.arange(o.size)).reshape(o.shape).astype(o.dtype) for o in outputs]
    return outputs + (running.backward(heads) if names else []) + running.auxiliary()


def bound_operator(case: Case, ctx: Any) -> tuple[Running, list[str]]:
    """The operator, bound, and the names of the inputs it is differentiated for."""
    inputs = inputs_of(case, case.dtypes[0])
    names = differentiable(case, inputs) if case.dtypes[0] in FLOATS else []
    return Running(case.op, case.params, inputs, names, ctx=ctx), names


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
        apart = np.abs(a[finite].astype(np.float64) - exact[finite]).max(initial=0)
        if a.dtype.kind == "f":
            size = max(1.0, np.abs(exact[finite]).max(initial=0))
            worst = max(worst, float(apart / size / ((case.ulps + 4 * case.length**0.5) * np.finfo(a.dtype).eps)))
        elif apart:
            return np.inf
    return worst


def training_error(name: str, steps: int, ctx: Any) -> float:
    """The largest difference of a loss from the one MXNet recorded, in units of the run's tolerance."""
    run, data, _, _, losses = train(name, steps, ctx)
    want = data["loss"][:steps]
    return float(np.max(np.abs(losses - want) / np.abs(want)) / run["rtol"])


class LeNet:
    """LeNet on random images, trained by sgd with momentum through simple_bind: for its speed."""

    def __init__(self, batch: int, ctx: Any):
        data, label = (batch, 1, 28, 28), (batch,)
        self.executor = golden_networks.lenet().simple_bind(ctx, data=data, softmax_label=label)
        generator = np.random.default_rng(3)
        self.feed = {
            "data": generator.standard_normal(data).astype("float32"),
            "softmax_label": generator.integers(0, 10, label).astype("float32"),
        }
        sgd = mx.optimizer.create("sgd", learning_rate=0.02, momentum=0.9, rescale_grad=1 / batch)
        self.updater = mx.optimizer.get_updater(sgd)

    def step(self) -> None:
        self.executor.forward(is_train=True, **self.feed)
        self.executor.backward()
        for name, grad in self.executor.grad_dict.items():
            if name not in self.feed:
                self.updater(name, grad, self.executor.arg_dict[name])
