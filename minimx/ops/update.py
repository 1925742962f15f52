"""Updates of weights as operators: compositions of elementwise operators, so that each is one pass over the memory."""

from __future__ import annotations

from ..graph import Value
from ..op import Op, same_shape
from ..params import Bool, Float
from .elemwise import F


class Update(Op, abstract=True):
    """An optimizer step: the output is the new weight, states are changed in place."""

    early_updates = True
    partial_shapes = True
    steered = ("lr",)
    param_order = ("lr", "momentum", "wd", "rescale_grad", "clip_gradient")
    lr = Float(doc="the learning rate")
    wd = Float(0.0, doc="how much of the weight is added to the gradient")
    rescale_grad = Float(1.0, doc="the factor of the gradient")
    clip_gradient = Float(-1.0, doc="the limit of the rescaled gradient's size; none if it is negative")

    def complete_shapes(self, p, ins, outs):
        same_shape(ins, outs)

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


def rescaled(p, grad: Value) -> Value:
    """The gradient as an update sees it."""
    grad = grad if p.rescale_grad == 1 else grad * p.rescale_grad
    return grad if p.clip_gradient < 0 else F.clip(grad, a_min=-p.clip_gradient, a_max=p.clip_gradient)


def decayed(p, grad: Value, weight: Value) -> Value:
    """The rescaled gradient with weight decay."""
    return rescaled(p, grad) if p.wd == 0 else rescaled(p, grad) + weight * p.wd


class _Lazy(Update, abstract=True):
    lazy_update = Bool(True, doc="only matters for sparse gradients; has no effect")


class SgdUpdate(_Lazy):
    """weight - lr (rescaled gradient + wd weight)."""

    name = "sgd_update"
    inputs = ("weight", "grad")

    def step(self, p, weight, grad):
        return (weight - decayed(p, grad, weight) * p.lr,)


class _Momentum(_Lazy, abstract=True):
    momentum = Float(0.0, doc="how much of the last step is taken again")

    def moved(self, p, weight: Value, grad: Value, mom: Value) -> tuple[Value, Value]:
        mom = mom * p.momentum - decayed(p, grad, weight) * p.lr
        return weight + mom, mom


class SgdMomUpdate(_Momentum):
    """mom = momentum mom - lr (rescaled gradient + wd weight); weight + mom."""

    name = "sgd_mom_update"
    inputs = ("weight", "grad", "mom")
    mutates = ("mom",)

    def step(self, p, weight, grad, mom):
        return self.moved(p, weight, grad, mom)


class _Mixed(Op, abstract=True):
    """The form with a float32 copy of a half precision weight, which is the one that learns."""

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

    def step(self, p, weight, grad, weight32):
        new = SgdUpdate.step(self, p, weight32, F.Cast(grad, dtype="float32"))[0]
        return F.Cast(new, dtype=weight.dtype), new


class MpSgdMomUpdate(_Mixed, _Momentum):
    """`sgd_mom_update` of a half precision weight with a float32 copy."""

    name = "mp_sgd_mom_update"
    inputs = ("weight", "grad", "mom", "weight32")
    mutates = ("mom", "weight32")

    def step(self, p, weight, grad, mom, weight32):
        new, mom = self.moved(p, weight32, F.Cast(grad, dtype="float32"), mom)
        return F.Cast(new, dtype=weight.dtype), mom, new
