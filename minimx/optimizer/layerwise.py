"""Optimizers for large batches: the rate of a layer follows from the sizes of its weights and gradients."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

from ..graph import Value
from ..op import find
from ..ops.elemwise import F
from .adaptive import _Corrected
from .operators import parameters, step
from .optimizer import Optimizer, register


def length(x: Value) -> Value:
    """The Euclidean norm of all elements, of shape (1,)."""
    return F.Reshape(F.norm(x), shape=(1,))


@register
class LAMB(_Corrected):
    """Adam's direction at the length of the layer's weights."""

    state_names = ("mean", "var")
    constants = ("beta1", "beta2", "epsilon", "lower_bound", "upper_bound", "bias_correction")
    extra_numbers = ("first", "second")

    def __init__(
        self,
        learning_rate: float = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-6,
        lower_bound: float | None = None,
        upper_bound: float | None = None,
        bias_correction: bool = True,
        **kwargs: Any,
    ):
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.beta1, self.beta2, self.epsilon = beta1, beta2, epsilon
        self.lower_bound, self.upper_bound = lower_bound, upper_bound
        self.bias_correction = bias_correction

    def numbers(self, index):
        first, second = self.missing(index)
        return {**super().numbers(index), "first": first, "second": second}

    def rule(self, n, weight, grad, mean, var):
        constants = {"beta1": self.beta1, "beta2": self.beta2, "epsilon": self.epsilon, "t": 1}
        first, second = find("lamb_update_phase1"), find("lamb_update_phase2")
        p = parameters(first.name, n, self.limit, bias_correction=self.bias_correction, **constants)
        direction, mean, var = first.step_at(p, n.first, n.second, weight, grad, mean, var)  # type: ignore[attr-defined]
        bounds = {"lower_bound": self.lower_bound, "upper_bound": self.upper_bound}
        bounds = {name: -1.0 if bound is None else bound for name, bound in bounds.items()}
        p = parameters(second.name, n, self.limit, **bounds)
        (new,) = second.step(p, weight, direction, length(weight), length(direction))  # type: ignore[attr-defined]
        return new, mean, var


@register
class LARS(Optimizer):
    """SGD where a layer's rate is scaled by the length of its weights over that of its gradient.

    Parameters whose names end in gamma, beta or bias keep their rate.
    """

    state_names = ("mom",)
    constants = ("momentum", "eta", "eps")
    extra_numbers = ("scaling", "correction")
    decaying = ("weight",)

    def __init__(
        self,
        momentum: float = 0.0,
        lazy_update: bool = True,
        eta: float = 0.001,
        eps: float = 0,
        momentum_correction: bool = True,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.momentum = momentum
        self.momentum_correction = momentum_correction
        self.lazy_update = lazy_update
        self.eta, self.eps = eta, eps
        self._rates: list[tuple[int, float]] = []  # (num_update, rate) of the last two updates

    def used_states(self):
        return self.state_names if self.momentum else ()

    def numbers(self, index):
        name = self.idx2name.get(index, str(index))
        scaling = 0.0 if name.endswith(("gamma", "beta", "bias")) else 1.0
        correction = self._correction() if self.momentum_correction else 1.0
        return {**super().numbers(index), "scaling": scaling, "correction": correction}

    def _correction(self) -> float:
        """The rate over that of the update before: by how much the momentum, which contains the rate, must grow."""
        if not self._rates or self._rates[-1][0] != self.num_update:
            self._rates = [*self._rates[-1:], (self.num_update, self.learning_rate)]
        return self._rates[-1][1] / (self._rates[0][1] or 1.0) if len(self._rates) > 1 else 1.0

    def rule(self, n, weight, grad, *mom):
        size, slope = length(weight), length(grad * n.rescale_grad)
        ratio = size * self.eta / (slope + size * n.wd + self.eps)
        usable = F.broadcast_logical_and(F.broadcast_logical_and(size > 0.0, slope > 0.0), n.scaling)
        scaled = SimpleNamespace(**{**vars(n), "lr": F.where(usable, ratio, F.ones_like(ratio)) * n.lr})
        if not mom:
            return step("sgd_update", scaled, self.limit, weight, grad)
        old = mom[0] * n.correction
        return step("sgd_mom_update", scaled, self.limit, weight, grad, old, momentum=self.momentum)


@register
class LBSGD(Optimizer):
    """SGD that collects `batch_scale` gradients for one step of a larger batch, with a rate that warms up to it."""

    state_names = ("mom", "sum")
    constants = ("momentum", "batch_scale", "warmup_strategy")
    extra_numbers = ("keep", "momentum", "stepping")

    def __init__(
        self,
        momentum: float = 0.0,
        multi_precision: bool = False,
        warmup_strategy: str = "linear",
        warmup_epochs: int = 5,
        batch_scale: int = 1,
        updates_per_epoch: int = 32,
        begin_epoch: int = 0,
        num_epochs: int = 60,
        **kwargs: Any,
    ):
        super().__init__(multi_precision=multi_precision, **kwargs)
        if warmup_strategy not in ("linear", "power2", "sqrt", "lars"):
            raise ValueError(f"warmup_strategy must be linear, power2, sqrt or lars, got {warmup_strategy!r}")
        logging.info("Running Large-Batch SGD Algorithm")
        logging.info(
            "(Batch_scale=%f, warmup_epochs=%d, warmup_strategy=%s, updates_per_epoch=%d)",
            batch_scale,
            warmup_epochs,
            warmup_strategy,
            updates_per_epoch,
        )
        self.momentum = momentum
        self.warmup_strategy = warmup_strategy
        self.warmup_epochs = warmup_epochs
        self.batch_scale = batch_scale
        self.updates_per_epoch = updates_per_epoch
        self.init_updates = begin_epoch * updates_per_epoch
        self.num_epochs = num_epochs
        self._gradients: dict[Any, int] = {}  # how many gradients a parameter has seen

    def used_states(self):
        return self.state_names if self.momentum else self.state_names[1:]

    def numbers(self, index):
        n = super().numbers(index)
        before = self._gradients.get(index, self.init_updates)
        now = self._gradients[index] = before + 1
        stepping = now % self.batch_scale == 0
        factor = self._warmup(now) if stepping else 0.0
        return {
            **n,
            "lr": n["lr"] * factor,
            "keep": float(before % self.batch_scale != 0),
            "momentum": self.momentum if stepping else 1.0,
            "stepping": float(stepping),
        }

    def _warmup(self, updates: int) -> float:
        """The factor of the rate after so many updates."""
        whole = self.warmup_epochs * self.updates_per_epoch
        if self.warmup_strategy == "lars":
            return 1.0
        if updates >= whole:
            return float(self.batch_scale)
        if whole <= 1:
            return 1.0
        done = {"linear": 1.0, "power2": 2.0, "sqrt": 0.5}[self.warmup_strategy]
        return 1.0 + (self.batch_scale - 1.0) * (updates / whole) ** done

    def rule(self, n, weight, grad, *states):
        total = states[-1] * n.keep + grad
        mean = total * (1.0 / self.batch_scale)
        if self.warmup_strategy == "lars":
            size, slope = (F.Reshape(F.sum(F.square(x)), shape=(1,)) for x in (weight, mean))
            ratio = F.clip(F.sqrt(size / (slope + size * n.wd + 1e-18)), a_min=0.01, a_max=100.0)
            n = SimpleNamespace(**{**vars(n), "lr": ratio * n.lr})
        if not self.momentum:
            return *step("sgd_update", n, self.limit, weight, mean), total
        p = parameters("sgd_mom_update", n, self.limit)._replace(momentum=n.momentum)
        _, mom = find("sgd_mom_update").step(p, weight, mean, states[0])  # type: ignore[attr-defined]
        return weight + mom * n.stepping, mom, total
