"""Updates of weights as operators: compositions of elementwise operators, so that each is one pass over the memory."""

from __future__ import annotations

from typing import ClassVar

from ..base import ShapeError
from ..graph import Value
from ..op import Op, same_shape
from ..params import Bool, Float, Int
from .elemwise import F, scaled

LR = Float(doc="the learning rate")
RESCALE_GRAD = Float(1.0, doc="the factor of the gradient")
CLIP_GRADIENT = Float(-1.0, doc="the limit of the rescaled gradient's size; none if it is negative")
MOMENTUM = Float(0.0, doc="how much of the last step is taken again")
BETA1 = Float(0.9, doc="how much of mean is kept")
BETA2 = Float(0.999, doc="how much of var is kept")
EPSILON = Float(1e-8, doc="keeps the divisor away from 0")


class Stepping(Op, abstract=True):
    """The output is the new weight; the inputs in `mutates` are states and changed in place."""

    early_updates = True
    partial_shapes = True

    def output_shapes(self, p, ins):
        return [ins[0]]

    def step(self, p, *inputs: Value) -> tuple[Value, ...]:
        """The new weight, then the new value of each input in `mutates`."""
        raise NotImplementedError(f"{self.name}: step")

    def expand(self, p, node, train):
        return self.step(p, *node.inputs)[:1]

    def updates(self, p, node):
        names = self.input_names(p)
        return dict(zip(map(names.index, self.mutates), self.step(p, *node.inputs)[1:], strict=True))


class _Step(Stepping, abstract=True):
    """All arrays have the weight's shape."""

    steered = ("lr",)
    param_order = (
        *("lr", "momentum", "beta1", "beta2", "gamma1", "gamma2", "lamda1", "beta", "epsilon", "t"),
        *("wd", "rescale_grad", "clip_gradient"),
    )

    def complete_shapes(self, p, ins, outs):
        same_shape(ins, outs)


class Update(_Step, abstract=True):
    inputs: ClassVar[tuple[str, ...]] = ("weight", "grad")
    lr = LR
    wd = Float(0.0, doc="the factor of the weight that is added to the gradient")
    rescale_grad = RESCALE_GRAD
    clip_gradient = CLIP_GRADIENT


def clipped(value: Value, limit: float) -> Value:
    return value if limit < 0 else F.clip(value, a_min=-limit, a_max=limit)


def rescaled(p, grad: Value) -> Value:
    """The gradient, rescaled and clipped."""
    return clipped(scaled(grad, p.rescale_grad), p.clip_gradient)


def decayed(p, grad: Value, weight: Value) -> Value:
    """The gradient, rescaled, clipped, then with weight decay: what sgd and its kin go by."""
    grad = rescaled(p, grad)
    return grad if p.wd == 0 else grad + weight * p.wd


def decayed_and_clipped(p, grad: Value, weight: Value, limit: float) -> Value:
    """The gradient, rescaled, with weight decay, then clipped: what adam and its kin go by."""
    grad = scaled(grad, p.rescale_grad)
    return clipped(grad if p.wd == 0 else grad + weight * p.wd, limit)


def mixed(old: Value, new: Value, keep: float) -> Value:
    """A moving average that keeps the part `keep` of what it was."""
    return old * keep + new * (1 - keep)


def with_copy(step: tuple[Value, ...], weight: Value) -> tuple[Value, ...]:
    """The step of a float32 copy as that of a half precision weight, whose last state is the copy."""
    return F.Cast(step[0], dtype=weight.dtype), *step[1:], step[0]


# ---- sgd ----------------------------------------------------------------------------------------------------------------


class _Lazy(Update, abstract=True):
    lazy_update = Bool(True, doc="only matters for sparse gradients; has no effect")


class SgdUpdate(_Lazy):
    """weight - lr (rescaled gradient + wd weight)."""

    name = "sgd_update"

    def step(self, p, weight, grad):
        return (weight - decayed(p, grad, weight) * p.lr,)


class SgdMomUpdate(_Lazy):
    """mom = momentum mom - lr (rescaled gradient + wd weight); weight + mom."""

    name = "sgd_mom_update"
    inputs = ("weight", "grad", "mom")
    mutates = ("mom",)
    momentum = MOMENTUM

    def step(self, p, weight, grad, mom):
        mom = mom * p.momentum - decayed(p, grad, weight) * p.lr
        return weight + mom, mom


class _Mixed(_Step, abstract=True):
    """The form with a float32 copy of a half precision weight: the last state, and the one that learns."""

    def step(self, p, weight, grad, *states):
        *states, weight32 = states
        return with_copy(super().step(p, weight32, F.Cast(grad, dtype="float32"), *states), weight)

    def infer_types(self, p, ins, outs):
        known = next((t for t in [*ins[:2], *outs] if t), None)
        ins[:2] = [t or known for t in ins[:2]]
        ins[2:] = ["float32"] * (len(ins) - 2)
        outs[0] = outs[0] or known


class MpSgdUpdate(_Mixed, SgdUpdate):
    """`sgd_update` of a half precision weight with a float32 copy."""

    name = "mp_sgd_update"
    inputs = ("weight", "grad", "weight32")
    mutates = ("weight32",)


class MpSgdMomUpdate(_Mixed, SgdMomUpdate):
    """`sgd_mom_update` of a half precision weight with a float32 copy."""

    name = "mp_sgd_mom_update"
    inputs = ("weight", "grad", "mom", "weight32")
    mutates = ("mom", "weight32")


class NagMomUpdate(Update):
    """Nesterov's momentum: mom = momentum mom; weight - mom + (1 + momentum) (mom - lr g), g with the decay of the weight.

    The new mom is mom - lr g with the decay of the new weight, as MXNet computes it.
    """

    name = "nag_mom_update"
    inputs = ("weight", "grad", "mom")
    mutates = ("mom",)
    momentum = MOMENTUM

    def step(self, p, weight, grad, mom):
        mom = mom * p.momentum
        new = weight - mom + (mom - decayed(p, grad, weight) * p.lr) * (1 + p.momentum)
        return new, mom - decayed(p, grad, new) * p.lr


class MpNagMomUpdate(_Mixed, NagMomUpdate):
    """`nag_mom_update` of a half precision weight with a float32 copy."""

    name = "mp_nag_mom_update"
    inputs = ("weight", "grad", "mom", "weight32")
    mutates = ("mom", "weight32")


# ---- signs --------------------------------------------------------------------------------------------------------------


class SignsgdUpdate(Update):
    """(1 - lr wd) weight - lr sign(gradient)."""

    name = "signsgd_update"

    def step(self, p, weight, grad):
        return (weight - (F.sign(rescaled(p, grad)) + weight * p.wd) * p.lr,)


class SignumUpdate(Update):
    """mom = momentum mom - (1 - momentum) (gradient + wd weight); (1 - lr wd_lh) weight + lr sign(mom)."""

    name = "signum_update"
    inputs = ("weight", "grad", "mom")
    mutates = ("mom",)
    momentum = Float(0.0, doc="how much of mom is kept")
    wd_lh = Float(0.0, doc="weight decay apart from the gradient")

    def step(self, p, weight, grad, mom):
        mom = mom * p.momentum - decayed(p, grad, weight) * (1 - p.momentum)
        return weight + (F.sign(mom) - weight * p.wd_lh) * p.lr, mom


# ---- moving averages ----------------------------------------------------------------------------------------------------


class AdamUpdate(_Lazy):
    """mean and var are moving averages of the gradient and its square; weight - lr mean / (sqrt(var) + epsilon)."""

    name = "adam_update"
    inputs = ("weight", "grad", "mean", "var")
    mutates = ("mean", "var")
    beta1, beta2, epsilon = BETA1, BETA2, EPSILON

    def step(self, p, weight, grad, mean, var):
        grad = decayed_and_clipped(p, grad, weight, p.clip_gradient)
        mean, var = mixed(mean, grad, p.beta1), mixed(var, F.square(grad), p.beta2)
        return weight - mean / (F.sqrt(var) + p.epsilon) * p.lr, mean, var


class _RmsProp(Update, abstract=True):
    gamma1 = Float(0.95, doc="how much of the moving averages is kept")
    epsilon = EPSILON
    clip_weights = Float(-1.0, doc="the limit of the weights' size; none if it is negative")


class RmspropUpdate(_RmsProp):
    """n is a moving average of the squared gradient; weight - lr gradient / sqrt(n + epsilon)."""

    name = "rmsprop_update"
    inputs = ("weight", "grad", "n")
    mutates = ("n",)

    def step(self, p, weight, grad, n):
        grad = decayed_and_clipped(p, grad, weight, p.clip_gradient)
        n = mixed(n, F.square(grad), p.gamma1)
        return clipped(weight - grad * F.rsqrt(n + p.epsilon) * p.lr, p.clip_weights), n


class RmspropalexUpdate(_RmsProp):
    """Graves' rmsprop: n and g are moving averages of the squared gradient and the gradient, and
    delta = gamma2 delta - lr gradient / sqrt(n - g² + epsilon); weight + delta."""

    name = "rmspropalex_update"
    inputs = ("weight", "grad", "n", "g", "delta")
    mutates = ("n", "g", "delta")
    gamma2 = Float(0.9, doc="how much of the last step is taken again")

    def step(self, p, weight, grad, n, g, delta):
        grad = decayed_and_clipped(p, grad, weight, p.clip_gradient)
        n, g = mixed(n, F.square(grad), p.gamma1), mixed(g, grad, p.gamma1)
        delta = delta * p.gamma2 - grad * F.rsqrt(n - F.square(g) + p.epsilon) * p.lr
        return clipped(weight + delta, p.clip_weights), n, g, delta


class FtrlUpdate(Update):
    """Follow the regularised leader: z gathers gradients, n their squares; weights with |z| <= lamda1 are 0."""

    name = "ftrl_update"
    inputs = ("weight", "grad", "z", "n")
    mutates = ("z", "n")
    lamda1 = Float(0.01, doc="the strength of what makes weights 0")
    beta = Float(1.0, doc="what is added to sqrt(n)")

    def step(self, p, weight, grad, z, n):
        grad = rescaled(p, grad)
        new_n = n + F.square(grad)
        z = z + grad - (F.sqrt(new_n) - F.sqrt(n)) * weight / p.lr
        scale = (F.sqrt(new_n) + p.beta) / p.lr + p.wd
        moved = (F.sign(z) * p.lamda1 - z) / scale
        return F.where(F.abs(z) > p.lamda1, moved, F.zeros_like(z)), z, new_n


class FtmlUpdate(_Step):
    """Follow the moving leader: v is a moving average of the squared gradient, d the scale, z what is followed."""

    name = "ftml_update"
    inputs = ("weight", "grad", "d", "v", "z")
    mutates = ("d", "v", "z")
    lr = LR
    t = Int(min=1, doc="the number of this update, counted from 1")
    beta1 = Float(0.6, doc="how much of z is kept")
    beta2 = Float(0.999, doc="how much of v is kept")
    epsilon = EPSILON
    wd = Float(0.0, doc="the factor of the weight that is added to the gradient")
    rescale_grad = RESCALE_GRAD
    clip_grad = CLIP_GRADIENT

    def step(self, p, weight, grad, d, v, z):
        return self.step_at(p, 1 - p.beta1**p.t, 1 - p.beta2**p.t, weight, grad, d, v, z)

    def step_at(self, p, first, second, weight, grad, d, v, z):
        """The step when 1 - beta1^t and 1 - beta2^t are known, which an optimizer steers from step to step."""
        grad = decayed_and_clipped(p, grad, weight, p.clip_grad)
        v = mixed(v, F.square(grad), p.beta2)
        new_d = (F.sqrt(v / second) + p.epsilon) * first / p.lr
        z = mixed(z, grad, p.beta1) - (new_d - d * p.beta1) * weight
        return -z / new_d, new_d, v, z


class GroupAdagradUpdate(Stepping):
    """AdaGrad with one history for each row: the mean of the squares of its gradients, added up."""

    name = "_contrib_group_adagrad_update"
    inputs = ("weight", "grad", "history")
    mutates = ("history",)
    partial_shapes = False
    steered = ("lr",)
    lr = LR
    rescale_grad = RESCALE_GRAD
    clip_gradient = CLIP_GRADIENT
    epsilon = Float(1e-5, doc="keeps the divisor away from 0")

    def output_shapes(self, p, ins):
        weight, grad, history = ins
        rows = (weight[0],) + (1,) * (len(weight) - 1)
        if grad != weight or history not in (rows, weight[:1]):
            raise ShapeError(f"grad must have the shape of weight, {weight}, and history {rows}")
        return [weight]

    def step(self, p, weight: Value, grad: Value, history: Value) -> tuple[Value, Value]:
        grad = rescaled(p, grad)
        rows = (weight.shape[0],) + (1,) * (weight.ndim - 1)
        squares = F.square(grad)
        if weight.ndim > 1:
            squares = F.mean(squares, axis=tuple(range(1, weight.ndim)))
        history = history + F.Reshape(squares, shape=history.shape)
        scale = F.rsqrt(F.Reshape(history, shape=rows) + p.epsilon)
        return weight - grad * scale * p.lr, history
