"""What optimizers for large batches and low precision need besides plain updates: LAMB, LARS, AdamW, checks for overflow."""

from __future__ import annotations

from typing import ClassVar

from ..graph import Value
from ..op import Op, same_shape, unify
from ..params import Bool, Float, Int
from .elemwise import F, scaled
from .update import BETA1, BETA2, CLIP_GRADIENT, EPSILON, LR, RESCALE_GRAD, Stepping, clipped, mixed, with_copy

# ---- LAMB ---------------------------------------------------------------------------------------------------------------


class _Phase(Stepping, abstract=True):
    """Arrays of the weight's shape, except `scalars`, which have one element."""

    scalars: ClassVar[tuple[str, ...]] = ()

    def complete_shapes(self, p, ins, outs):
        names = self.input_names(p)
        alike = [i for i, name in enumerate(names) if name not in self.scalars]
        shapes = [ins[i] for i in alike]
        same_shape(shapes, outs)
        for i, name in enumerate(names):
            ins[i] = unify(ins[i], (1,)) if name in self.scalars else shapes[0]

    def infer_types(self, p, ins, outs):
        """float32 for the states of a half precision weight, one dtype for all otherwise."""
        if "weight32" in self.inputs:
            half = {"weight", "grad"}
            ins[:] = [t if name in half else "float32" for name, t in zip(self.inputs, ins, strict=True)]
            outs[0] = self.output_type(ins)
        else:
            super().infer_types(p, ins, outs)

    def output_type(self, ins):
        return ins[0]


class LambUpdatePhase1(_Phase):
    """LAMB's direction: mean / (sqrt(var) + epsilon) + wd weight, with adam's moving averages, which are changed in place."""

    name = "lamb_update_phase1"
    inputs: ClassVar[tuple[str, ...]] = ("weight", "grad", "mean", "var")
    mutates = ("mean", "var")
    beta1, beta2 = BETA1, BETA2
    epsilon = Float(1e-6, doc=EPSILON.doc)
    t = Int(min=1, doc="the number of this update, counted from 1")
    bias_correction = Bool(True, doc="whether the averages are corrected for having started at 0")
    wd = Float(doc="the factor of the weight that is added to the direction")
    rescale_grad = RESCALE_GRAD
    clip_gradient = CLIP_GRADIENT

    def step(self, p, weight: Value, grad: Value, mean: Value, var: Value) -> tuple[Value, Value, Value]:
        return self.step_at(p, 1 - p.beta1**p.t, 1 - p.beta2**p.t, weight, grad, mean, var)

    def step_at(
        self, p, first: Value | float, second: Value | float, weight: Value, grad: Value, mean: Value, var: Value
    ) -> tuple[Value, Value, Value]:
        """The step when 1 - beta1^t and 1 - beta2^t are known, which an optimizer steers from step to step."""
        grad = clipped(scaled(grad, p.rescale_grad), p.clip_gradient)
        mean, var = mixed(mean, grad, p.beta1), mixed(var, F.square(grad), p.beta2)
        m, v = (mean / first, var / second) if p.bias_correction else (mean, var)
        return m / (F.sqrt(v) + p.epsilon) + weight * p.wd, mean, var


class MpLambUpdatePhase1(LambUpdatePhase1):
    """`lamb_update_phase1` of a half precision weight with a float32 copy; the direction is float32."""

    name = "mp_lamb_update_phase1"
    inputs = ("weight", "grad", "mean", "var", "weight32")

    def output_type(self, ins):
        return "float32"

    def step(self, p, weight, grad, mean, var, weight32):
        return super().step(p, weight32, F.Cast(grad, dtype="float32"), mean, var)


class LambUpdatePhase2(_Phase):
    """weight - lr (r1 / r2) g, where r1 and r2 are the norms of weight and g; the ratio is 1 if one of them is 0."""

    name = "lamb_update_phase2"
    inputs: ClassVar[tuple[str, ...]] = ("weight", "g", "r1", "r2")
    scalars = ("r1", "r2")
    steered = ("lr",)
    lr = LR
    lower_bound = Float(-1.0, doc="the lowest r1; none if it is negative")
    upper_bound = Float(-1.0, doc="the highest r1; none if it is negative")

    def step(self, p, weight: Value, g: Value, r1: Value, r2: Value) -> tuple[Value, ...]:
        if p.lower_bound >= 0:
            r1 = F._maximum_scalar(r1, scalar=p.lower_bound)
        if p.upper_bound >= 0:
            r1 = F._minimum_scalar(r1, scalar=p.upper_bound)
        ratio = F.where(F.broadcast_logical_and(r1, r2), r1 / r2, F.ones_like(r1))
        return (weight - g * ratio * p.lr,)


class MpLambUpdatePhase2(LambUpdatePhase2):
    """`lamb_update_phase2` of a half precision weight with a float32 copy, which is changed in place."""

    name = "mp_lamb_update_phase2"
    inputs = ("weight", "g", "r1", "r2", "weight32")
    mutates = ("weight32",)

    def step(self, p, weight, g, r1, r2, weight32):
        return with_copy(super().step(p, weight32, g, r1, r2), weight)


# ---- AdamW --------------------------------------------------------------------------------------------------------------


class AdamwUpdate(_Phase):
    """adam with weight decay apart from the gradient: weight - eta (lr mean / (sqrt(var) + epsilon) + wd weight).

    The factor of the gradient is an array; where it is 0, NaN or infinite, nothing changes.
    """

    name = "_adamw_update"
    aliases: ClassVar[tuple[str, ...]] = ("_contrib_adamw_update",)
    inputs: ClassVar[tuple[str, ...]] = ("weight", "grad", "mean", "var", "rescale_grad")
    scalars = ("rescale_grad",)
    mutates: ClassVar[tuple[str, ...]] = ("mean", "var")
    lr = LR
    beta1, beta2, epsilon = BETA1, BETA2, EPSILON
    wd = Float(0.0, doc="the factor of the weight in the step")
    eta = Float(doc="the factor of the whole step")
    clip_gradient = CLIP_GRADIENT

    def step(
        self, p, weight: Value, grad: Value, mean: Value, var: Value, rescale: Value
    ) -> tuple[Value, Value, Value]:
        usable = F.Reshape(F._contrib_isfinite(rescale) * (F.abs(rescale) > 0), shape=(1,) * weight.ndim)
        grad = clipped(grad * rescale, p.clip_gradient)
        new_mean, new_var = mixed(mean, grad, p.beta1), mixed(var, F.square(grad), p.beta2)
        step = new_mean / (F.sqrt(new_var) + p.epsilon) * p.lr + weight * p.wd
        return (
            F._where_rows(usable, weight - step * p.eta, weight),
            F._where_rows(usable, new_mean, mean),
            F._where_rows(usable, new_var, var),
        )


class MpAdamwUpdate(AdamwUpdate):
    """`_adamw_update` of a half precision weight with a float32 copy, which is changed in place."""

    name = "_mp_adamw_update"
    aliases = ("_contrib_mp_adamw_update",)
    inputs = ("weight", "grad", "mean", "var", "weight32", "rescale_grad")
    mutates = ("mean", "var", "weight32")

    def step(self, p, weight, grad, mean, var, weight32, rescale):
        return with_copy(super().step(p, weight32, F.Cast(grad, dtype="float32"), mean, var, rescale), weight)


# ---- LARS and checks ----------------------------------------------------------------------------------------------------


class MultiLars(Op):
    """LARS' learning rates of many weights, from the sums of their squares and of their gradients'."""

    name = "multi_lars"
    inputs = ("lrs", "weights_sum_sq", "grads_sum_sq", "wds")
    partial_shapes = True
    eta = Float(doc="the factor of the trust ratio")
    eps = Float(doc="keeps the divisor away from 0")
    rescale_grad = Float(1.0, doc="the factor of the gradients")

    def complete_shapes(self, p, ins, outs):
        same_shape(ins, outs)

    def output_shapes(self, p, ins):
        return [ins[0]]

    def expand(self, p, node, train):
        lrs, weights, grads, wds = node.inputs
        size = F.sqrt(weights)
        trusted = size * p.eta / (scaled(F.sqrt(grads), p.rescale_grad) + wds * size + p.eps)
        return [lrs * F.where((weights > 0) * (grads > 0), trusted, F.ones_like(lrs))]


class MultiSumSq(Op):
    """The sum of the squares of each array."""

    name = "multi_sum_sq"
    count = "num_arrays"
    num_arrays = Int(min=1, doc="the number of arrays")

    def output_shapes(self, p, ins):
        return [(p.num_arrays,)]

    def infer_types(self, p, ins, outs):
        outs[0] = "float32"

    def expand(self, p, node, train):
        sums = [F.Reshape(F.sum(F.square(F.Cast(v, dtype="float32"))), shape=(1,)) for v in node.inputs]
        return [F.Concat(*sums, dim=0)]


class AllFinite(Op):
    """1 if no number of the array is NaN or infinite, else 0."""

    name = "all_finite"
    init_output = Bool(True, doc="has no effect: the output is always written")

    def output_shapes(self, p, ins):
        return [(1,)]

    def infer_types(self, p, ins, outs):
        outs[0] = "float32"

    def gradient(self, p, node, grads):
        return [None] * len(node.inputs)

    def expand(self, p, node, train):
        finite = None
        for value in node.inputs:
            one = F.Cast(F.Reshape(F.min(F._contrib_isfinite(value)), shape=(1,)), dtype="float32")
            finite = one if finite is None else finite * one
        return [finite]


class MultiAllFinite(AllFinite):
    """1 if no number of any array is NaN or infinite, else 0."""

    name = "multi_all_finite"
    count = "num_arrays"
    num_arrays = Int(1, min=1, doc="the number of arrays")
