"""lr_find: which learning rate to begin with, by trying them from small to large."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from . import metric as metrics
from . import random as rnd
from .base import MXNetError
from .initializer import Uniform
from .module.inputs import label_arguments
from .module.module import Module
from .optimizer import Optimizer
from .symbol import Symbol

# The metric that is the loss of what ends a network.
_METRICS = {
    "SoftmaxOutput": "ce",
    "LinearRegressionOutput": "mse",
    "LogisticRegressionOutput": "mse",
    "MAERegressionOutput": "mae",
}


class LearningRates:
    """What a range test has seen: `lrs`, `losses` (smoothed) and the `suggestion`."""

    def __init__(self, lrs: list[float], losses: list[float]):
        self.lrs = lrs
        self.losses = losses

    @property
    def suggestion(self) -> float:
        """The rate at which the loss fell fastest before it was lowest, judged by lines through neighbouring points."""
        logs = np.log(self.lrs)
        last = int(np.argmin(self.losses))
        reach = max(1, len(logs) // 10)  # neighbours on each side; the first losses are averages of few and not counted
        steepest, best = last, math.inf
        for i in range(min(2 * reach, max(last - 1, 0)), last + 1):
            near = slice(max(i - reach, 0), min(i + reach, last) + 1)
            if near.stop - near.start > 1:
                slope = float(np.polyfit(logs[near], self.losses[near], 1)[0])
                if slope < best:
                    steepest, best = i, slope
        return self.lrs[steepest]

    def __repr__(self) -> str:
        return f"<{len(self.lrs)} learning rates from {self.lrs[0]:g} to {self.lrs[-1]:g}; suggested: {self.suggestion:.3g}>"

    def plot(self, ax: Any = None) -> Any:
        """Draws the losses over the rates with matplotlib; returns the axes."""
        try:
            from matplotlib import pyplot
        except ImportError as error:
            raise ImportError("LearningRates.plot() needs matplotlib: pip install matplotlib") from error
        if ax is None:
            _, ax = pyplot.subplots()
        ax.plot(self.lrs, self.losses)
        ax.axvline(self.suggestion, linestyle="--", label=f"suggestion {self.suggestion:.3g}")
        ax.set(xscale="log", xlabel="learning rate", ylabel="loss")
        ax.legend()
        return ax


def lr_find(
    network: Module | Symbol,
    train_data: Any,
    start: float = 1e-6,
    stop: float = 10.0,
    steps: int = 100,
    optimizer: str = "sgd",
    optimizer_params: Mapping[str, Any] | None = None,
    eval_metric: Any = None,
    initializer: Any = Uniform(0.07),  # noqa: B008
    smooth: float = 0.9,
    diverged: float = 4.0,
) -> LearningRates:
    """Trains a copy of a network for `steps` batches, each with a higher learning rate, and watches the loss.

    It ends early when the loss is `diverged` times its lowest value. The network, its parameters, its optimizer and the
    random numbers stay as they are; the data are reset. `eval_metric` is the loss: by default that of the last layer.
    """
    if not 0 < start < stop:
        raise ValueError(f"lr_find: start and stop must be 0 < start < stop, got {start} and {stop}")
    if steps < 3:
        raise ValueError(f"lr_find: at least 3 steps are needed, got {steps}")
    if isinstance(optimizer, Optimizer):
        raise TypeError("lr_find: the optimizer is given by name, since its learning rate and states will change")
    before = rnd.get_state()
    try:
        return _search(
            _copy(network, train_data, initializer, optimizer, dict(optimizer_params or {}), start),
            train_data,
            [start * (stop / start) ** (i / (steps - 1)) for i in range(steps)],
            metrics.create(eval_metric or _loss_of(network)),
            smooth,
            diverged,
        )
    finally:
        train_data.reset()
        rnd.set_state(before)


def _copy(network: Any, data: Any, initializer: Any, optimizer: str, params: dict[str, Any], lr: float) -> Module:
    """A module with the network's parameters, ready to be trained."""
    symbol = network.symbol if isinstance(network, Module) else network
    if isinstance(network, Module):
        copy = Module(
            symbol,
            network.data_names,
            network.label_names,
            context=network._context,
            fixed_param_names=network._fixed_param_names,
        )
    else:
        copy = Module(symbol, [d[0] for d in data.provide_data], label_arguments(symbol))
    copy.bind(data.provide_data, data.provide_label)
    if isinstance(network, Module) and network.params_initialized:
        copy.init_params(None, *network.get_params())
    else:
        copy.init_params(initializer)
    copy.init_optimizer(optimizer=optimizer, optimizer_params={**params, "learning_rate": lr})
    return copy


def _loss_of(network: Any) -> Any:
    symbol = network.symbol if isinstance(network, Module) else network
    last = symbol._heads[0][0]
    return _METRICS.get(last.op.name if last.op else "", "loss")


def _search(
    module: Module, data: Any, rates: list[float], metric: Any, smooth: float, diverged: float
) -> LearningRates:
    optimizer = module._optimizer
    assert optimizer is not None
    lrs: list[float] = []
    losses: list[float] = []
    average = 0.0
    data.reset()
    for lr in rates:
        batch = _next(data)
        optimizer.lr = lr
        module.forward_backward(batch)
        module.update()
        metric.reset()
        module.update_metric(metric, batch.label)
        loss = float(metric.get_name_value()[0][1])
        if not math.isfinite(loss):
            break
        average = smooth * average + (1 - smooth) * loss
        lrs.append(lr)
        losses.append(average / (1 - smooth ** len(lrs)))
        if losses[-1] > diverged * min(losses):
            break
    if len(lrs) < 3:
        raise MXNetError(
            f"lr_find: the loss is not finite after {len(lrs)} steps; begin with a smaller rate than {rates[0]:g}"
        )
    return LearningRates(lrs, losses)


def _next(data: Any) -> Any:
    """The next batch, of the next epoch if need be."""
    try:
        return next(data)
    except StopIteration:
        data.reset()
        return next(data)
