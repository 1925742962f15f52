"""Optimizers with a rate per element, from running means of the gradients and their squares."""

from __future__ import annotations

import math
from typing import Any

from ..op import find
from ..ops.elemwise import F
from ..ops.update import clipped, decayed_and_clipped, mixed
from .operators import parameters, step
from .optimizer import Optimizer, register


class _Corrected(Optimizer):
    """Optimizers that count a parameter's updates to correct running means for their start at 0."""

    beta1: float
    beta2: float

    def missing(self, index: Any) -> tuple[float, float]:
        """1 - beta1^t and 1 - beta2^t at this update."""
        t = self._index_update_count[index]
        return 1 - self.beta1**t, 1 - self.beta2**t


@register
class Adam(_Corrected):
    """Running means of the gradient and of its square."""

    state_names = ("mean", "var")
    constants = ("beta1", "beta2", "epsilon")

    def __init__(
        self,
        learning_rate: float = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        lazy_update: bool = True,
        **kwargs: Any,
    ):
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.beta1, self.beta2, self.epsilon = beta1, beta2, epsilon
        self.lazy_update = lazy_update

    def numbers(self, index):
        n = super().numbers(index)
        first, second = self.missing(index)
        return {**n, "lr": n["lr"] * math.sqrt(second) / first}

    def rule(self, n, weight, grad, mean, var):
        constants = {name: getattr(self, name) for name in self.constants}
        return step("adam_update", n, self.limit, weight, grad, mean, var, **constants)


@register
class Adamax(_Corrected):
    """Adam with the largest gradient seen, fading, in place of the mean of squares."""

    state_names = ("mean", "largest")
    constants = ("beta1", "beta2")

    def __init__(self, learning_rate: float = 0.002, beta1: float = 0.9, beta2: float = 0.999, **kwargs: Any):
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.beta1, self.beta2 = beta1, beta2

    def numbers(self, index):
        n = super().numbers(index)
        return {**n, "lr": n["lr"] / self.missing(index)[0]}

    def rule(self, n, weight, grad, mean, largest):
        grad = decayed_and_clipped(n, grad, weight, self.limit)
        mean = mixed(mean, grad, self.beta1)
        largest = F.broadcast_maximum(largest * self.beta2, F.abs(grad))
        return weight - mean * n.lr / largest, mean, largest


@register
class Nadam(_Corrected):
    """Adam with Nesterov's look ahead. As in MXNet, all parameters move one common schedule of the momentum."""

    state_names = ("mean", "var")
    constants = ("beta1", "beta2", "epsilon")
    extra_numbers = ("from_grad", "from_mean", "second")

    def __init__(
        self,
        learning_rate: float = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        schedule_decay: float = 0.004,
        **kwargs: Any,
    ):
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.beta1, self.beta2, self.epsilon = beta1, beta2, epsilon
        self.schedule_decay = schedule_decay
        self.m_schedule = 1.0

    def numbers(self, index):
        t = self._index_update_count[index]
        now, after = (self.beta1 * (1 - 0.5 * 0.96 ** (s * self.schedule_decay)) for s in (t, t + 1))
        self.m_schedule *= now
        weights = {
            "from_grad": (1 - now) / (1 - self.m_schedule),
            "from_mean": after / (1 - self.m_schedule * after),
            "second": self.missing(index)[1],
        }
        return {**super().numbers(index), **weights}

    def rule(self, n, weight, grad, mean, var):
        grad = decayed_and_clipped(n, grad, weight, self.limit)
        mean = mixed(mean, grad, self.beta1)
        var = mixed(var, grad * grad, self.beta2)
        ahead = grad * n.from_grad + mean * n.from_mean
        return weight - ahead * n.lr / (F.sqrt(var / n.second) + self.epsilon), mean, var


@register
class AdaGrad(Optimizer):
    """Rates that fall with the sum of the squared gradients."""

    state_names = ("history",)
    constants = ("float_stable_eps",)

    def __init__(self, eps: float = 1e-7, **kwargs: Any):
        super().__init__(**kwargs)
        self.float_stable_eps = eps

    def rule(self, n, weight, grad, history):
        grad = clipped(grad * n.rescale_grad, self.limit)
        history = history + grad * grad
        return weight - (grad / F.sqrt(history + self.float_stable_eps) + weight * n.wd) * n.lr, history


@register
class GroupAdaGrad(Optimizer):
    """AdaGrad with one rate per row, for embeddings."""

    state_names = ("history",)
    constants = ("float_stable_eps",)

    def __init__(self, eps: float = 1e-5, **kwargs: Any):
        super().__init__(**kwargs)
        self.float_stable_eps = eps

    def state_shape(self, name, shape):
        return shape[:1] + (1,) * (len(shape) - 1)

    def numbers(self, index):
        n = super().numbers(index)
        if n["wd"]:
            raise ValueError("GroupAdaGrad has no weight decay: wd must be 0")
        return n

    def rule(self, n, weight, grad, history):
        grad = clipped(grad * n.rescale_grad, self.limit)
        squares = grad * grad
        rows = tuple(range(1, grad.ndim))
        history = history + (F.mean(squares, axis=rows, keepdims=True) if rows else squares)
        return weight - grad * n.lr / F.sqrt(history + self.float_stable_eps), history


@register
class AdaDelta(Optimizer):
    """Steps scaled by the running size of steps over that of gradients; there is no learning rate."""

    state_names = ("squares", "steps")
    constants = ("rho", "epsilon")

    def __init__(self, rho: float = 0.90, epsilon: float = 1e-5, **kwargs: Any):
        super().__init__(**kwargs)
        self.rho, self.epsilon = rho, epsilon

    def rule(self, n, weight, grad, squares, steps):
        grad = clipped(grad * n.rescale_grad, self.limit)
        squares = mixed(squares, grad * grad, self.rho)
        delta = F.sqrt(steps + self.epsilon) / F.sqrt(squares + self.epsilon) * grad
        return weight - delta - weight * n.wd, squares, mixed(steps, delta * delta, self.rho)


@register
class RMSProp(Optimizer):
    """Gradients over the root of the running mean of their squares; `centered` takes the mean gradient off."""

    constants = ("gamma1", "gamma2", "epsilon", "centered", "clip_weights")

    def __init__(
        self,
        learning_rate: float = 0.001,
        gamma1: float = 0.9,
        gamma2: float = 0.9,
        epsilon: float = 1e-8,
        centered: bool = False,
        clip_weights: float | None = None,
        **kwargs: Any,
    ):
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.gamma1, self.gamma2, self.epsilon = gamma1, gamma2, epsilon
        self.centered = centered
        self.clip_weights = clip_weights

    def create_state(self, index, weight):
        return tuple(self.initial_state(name, weight) for name in self.used_states())

    def used_states(self):
        return ("n", "g", "delta") if self.centered else ("n",)

    def rule(self, n, weight, grad, *states):
        constants = {"gamma1": self.gamma1, "epsilon": self.epsilon, "clip_weights": self.clip_weights or -1.0}
        if not self.centered:
            return step("rmsprop_update", n, self.limit, weight, grad, *states, **constants)
        return step("rmspropalex_update", n, self.limit, weight, grad, *states, gamma2=self.gamma2, **constants)


@register
class Ftrl(Optimizer):
    """Follow the regularized leader, which makes weights exactly 0."""

    state_names = ("z", "n")
    constants = ("lamda1", "beta")

    def __init__(self, lamda1: float = 0.01, learning_rate: float = 0.1, beta: float = 1, **kwargs: Any):
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.lamda1, self.beta = lamda1, beta

    def rule(self, n, weight, grad, z, squares):
        constants = {"lamda1": self.lamda1, "beta": self.beta}
        return step("ftrl_update", n, self.limit, weight, grad, z, squares, **constants)


@register
class FTML(_Corrected):
    """Follow the moving leader."""

    state_names = ("d", "v", "z")
    constants = ("beta1", "beta2", "epsilon")
    extra_numbers = ("first", "second")

    def __init__(self, beta1: float = 0.6, beta2: float = 0.999, epsilon: float = 1e-8, **kwargs: Any):
        super().__init__(**kwargs)
        self.beta1, self.beta2, self.epsilon = beta1, beta2, epsilon

    def numbers(self, index):
        first, second = self.missing(index)
        return {**super().numbers(index), "first": first, "second": second}

    def rule(self, n, weight, grad, *states):
        constants = {name: getattr(self, name) for name in self.constants}
        p = parameters("ftml_update", n, self.limit, t=1, clip_grad=self.limit, **constants)
        return find("ftml_update").step_at(p, n.first, n.second, weight, grad, *states)  # type: ignore[attr-defined]
