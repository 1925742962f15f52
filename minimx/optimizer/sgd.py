"""Optimizers that go along the gradient: SGD, its momenta, signs and noise."""

from __future__ import annotations

from typing import Any

from ..graph import apply
from ..ndarray import array
from ..ops.elemwise import F
from ..ops.update import clipped
from .operators import step
from .optimizer import Optimizer, register


@register
class SGD(Optimizer):
    """Stochastic gradient descent, with momentum if asked."""

    state_names = ("mom",)
    constants = ("momentum",)

    def __init__(self, momentum: float = 0.0, lazy_update: bool = True, **kwargs: Any):
        super().__init__(**kwargs)
        self.momentum = momentum
        self.lazy_update = lazy_update

    def used_states(self):
        return self.state_names if self.momentum else ()

    def rule(self, n, weight, grad, *mom):
        if not mom:
            return step("sgd_update", n, self.limit, weight, grad)
        return step("sgd_mom_update", n, self.limit, weight, grad, *mom, momentum=self.momentum)


@register
class ccSGD(SGD):
    """`SGD` under an old name."""


@register
class NAG(Optimizer):
    """SGD with Nesterov's momentum."""

    state_names = ("mom",)
    constants = ("momentum",)

    def __init__(self, momentum: float = 0.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.momentum = momentum

    def used_states(self):
        return self.state_names if self.momentum else ()

    def rule(self, n, weight, grad, *mom):
        if not mom:
            return step("sgd_update", n, self.limit, weight, grad)
        return step("nag_mom_update", n, self.limit, weight, grad, *mom, momentum=self.momentum)


@register
class Signum(Optimizer):
    """Steps of one size along the sign of the gradient, or of its running mean."""

    state_names = ("mom",)
    constants = ("momentum", "wd_lh")

    def __init__(self, learning_rate: float = 0.01, momentum: float = 0.9, wd_lh: float = 0.0, **kwargs: Any):
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.momentum = momentum
        self.wd_lh = wd_lh

    def used_states(self):
        return self.state_names if self.momentum else ()

    def rule(self, n, weight, grad, *mom):
        if not mom:
            return step("signsgd_update", n, self.limit, weight, grad)
        constants = {"momentum": self.momentum, "wd_lh": self.wd_lh}
        return step("signum_update", n, self.limit, weight, grad, *mom, **constants)


@register
class DCASGD(Optimizer):
    """Delay compensated asynchronous SGD: corrects a gradient for how far the weight has moved since."""

    state_names = ("mom", "previous")
    constants = ("momentum", "lamda")

    def __init__(self, momentum: float = 0.0, lamda: float = 0.04, **kwargs: Any):
        super().__init__(**kwargs)
        self.momentum = momentum
        self.lamda = lamda

    def create_state(self, index, weight):
        mom = self.initial_state("mom", weight) if self.momentum else None
        return mom, self.initial_state("previous", weight)

    def used_states(self):
        return self.state_names if self.momentum else self.state_names[1:]

    def initial_state(self, name, weight):
        return array(weight, weight.context) if name == "previous" else super().initial_state(name, weight)

    def rule(self, n, weight, grad, *states):
        grad = clipped(grad * n.rescale_grad, self.limit)
        ahead = (grad + weight * n.wd + grad * grad * (weight - states[-1]) * self.lamda) * n.lr
        if not self.momentum:
            return weight - ahead, weight
        mom = states[0] * self.momentum - ahead
        return weight + mom, mom, weight


@register
class SGLD(Optimizer):
    """Langevin dynamics: SGD with half the rate and with normal noise of variance lr, which samples the posterior."""

    extra_numbers = ("deviation",)

    def numbers(self, index):
        n = super().numbers(index)
        return {**n, "deviation": n["lr"] ** 0.5}

    def rule(self, n, weight, grad):
        grad = clipped(grad * n.rescale_grad, self.limit)
        noise = apply("_random_normal", [], shape=weight.shape, dtype=weight.dtype)
        return (weight - (grad + weight * n.wd) * n.lr * 0.5 + noise * n.deviation,)


@register
class Test(Optimizer):
    """Adds the rescaled gradient to the weight, which it also keeps as its state: for tests of what calls optimizers."""

    state_names = ("last",)

    def rule(self, n, weight, grad, last):
        new = weight + grad * n.rescale_grad
        return new, F._copy(new)
