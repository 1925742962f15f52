"""Updates of several weights by one operator, whose arrays follow each other: weight, grad, ..., weight, grad, ..."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from ..base import ShapeError
from ..graph import Value
from ..op import Op, find, same_shape, unify
from ..params import Bool, Float, Floats, Int, Shape
from .elemwise import F
from .large_batch import AdamwUpdate, LambUpdatePhase1, LambUpdatePhase2, MpAdamwUpdate
from .update import (
    BETA1,
    BETA2,
    CLIP_GRADIENT,
    EPSILON,
    MOMENTUM,
    RESCALE_GRAD,
    MpSgdMomUpdate,
    MpSgdUpdate,
    SgdMomUpdate,
    SgdUpdate,
    with_copy,
)


class _Multi(Op, abstract=True):
    """The outputs are the new weights; the states of each weight, `changed`, are changed in place."""

    count = "num_weights"
    each: ClassVar[tuple[str, ...]] = ()  # the arrays of one weight
    changed: ClassVar[tuple[str, ...]] = ()
    tail: ClassVar[tuple[str, ...]] = ()  # arrays behind those of all weights
    early_updates = True
    partial_shapes = True

    def step(self, p: Any, i: int, arrays: Sequence[Value], tail: Sequence[Value]) -> tuple[Value, ...]:
        """The i-th weight's new value, then that of each of its states in `changed`."""
        raise NotImplementedError(f"{self.name}: step")

    def numbers(self, p: Any) -> Sequence[str]:
        """Parameters that have a number for each weight."""
        return ()

    def counted(self, inputs):
        return (inputs - len(self.tail)) // len(self.each)

    def weights(self, p: Any) -> int:
        return getattr(p, self.count or "")

    def input_names(self, p):
        return (*(f"{name}_{i}" for i in range(self.weights(p)) for name in self.each), *self.tail)

    def output_names(self, p):
        return tuple(f"output{i}" for i in range(self.weights(p))) if self.weights(p) > 1 else ("output",)

    def complete_shapes(self, p, ins, outs):
        for i, part in self.parts(p):
            one, out = ins[part], outs[i : i + 1]
            same_shape(one, out)
            ins[part], outs[i] = one, out[0]

    def output_shapes(self, p, ins):
        for name in self.numbers(p):
            if len(getattr(p, name)) != self.weights(p):
                raise ShapeError(f"{name} must have {self.weights(p)} numbers, one for each weight")
        return [ins[part][0] for _, part in self.parts(p)]

    def infer_types(self, p, ins, outs):
        """One dtype for all arrays of a weight, or float32 for the states of one that has a float32 copy."""
        for i, part in self.parts(p):
            one = ins[part]
            kind = next((t for t in [*one[:2], outs[i]] if t), None)
            rest = "float32" if "weight32" in self.each else kind
            ins[part] = [t or (kind if at < 2 else rest) for at, t in enumerate(one)]
            outs[i] = outs[i] or kind
        ins[len(ins) - len(self.tail) :] = [t or "float32" for t in ins[len(ins) - len(self.tail) :]]

    def expand(self, p, node, train):
        return [step[0] for _, step in self.steps(p, node)]

    def updates(self, p, node):
        changed = {}
        for part, step in self.steps(p, node):
            for name, value in zip(self.changed, step[1:], strict=True):
                changed[part.start + self.each.index(name)] = value
        return changed

    def parts(self, p: Any) -> list[tuple[int, slice]]:
        """The number of each weight, and where its arrays are among the inputs."""
        width = len(self.each)
        return [(i, slice(i * width, (i + 1) * width)) for i in range(self.weights(p))]

    def steps(self, p: Any, node: Any) -> Iterator[tuple[slice, tuple[Value, ...]]]:
        tail = node.inputs[len(node.inputs) - len(self.tail) :]
        for i, part in self.parts(p):
            yield part, self.step(p, i, node.inputs[part], tail)


def part(given: dict[str, Any], op: Op) -> dict[str, Any]:
    """The parameters that an operator has, too."""
    return {name: value for name, value in given.items() if name in op.params}


# ---- sgd ----------------------------------------------------------------------------------------------------------------


class _SgdOfMany(_Multi, abstract=True):
    single: ClassVar[type[Any]] = SgdUpdate
    rescale_grad = RESCALE_GRAD
    clip_gradient = CLIP_GRADIENT
    num_weights = Int(1, min=1, doc="the number of weights")

    def __init_subclass__(cls, **options: Any):
        cls.each, cls.changed = cls.single.inputs, cls.single.mutates
        super().__init_subclass__(**options)

    def single_step(self, p: Any, lr: Any, wd: Any, arrays: Sequence[Value]) -> tuple[Value, ...]:
        op: Any = find(self.single.name)
        return op.step(op.parse({**part(p._asdict(), op), "lr": 0})._replace(lr=lr, wd=wd), *arrays)


class _MultiSgd(_SgdOfMany, abstract=True):
    param_order = ("lrs", "wds", "momentum")
    lrs = Floats(doc="the learning rate of each weight")
    wds = Floats(doc="the weight decay of each weight")

    def numbers(self, p):
        return ("lrs", "wds")

    def step(self, p, i, arrays, tail):
        return self.single_step(p, p.lrs[i], p.wds[i], arrays)


class MultiSgdUpdate(_MultiSgd):
    """`sgd_update` of several weights."""

    name = "multi_sgd_update"


class MultiSgdMomUpdate(_MultiSgd):
    """`sgd_mom_update` of several weights."""

    name = "multi_sgd_mom_update"
    single = SgdMomUpdate
    momentum = MOMENTUM


class MultiMpSgdUpdate(_MultiSgd):
    """`mp_sgd_update` of several weights."""

    name = "multi_mp_sgd_update"
    single = MpSgdUpdate


class MultiMpSgdMomUpdate(_MultiSgd):
    """`mp_sgd_mom_update` of several weights."""

    name = "multi_mp_sgd_mom_update"
    single = MpSgdMomUpdate
    momentum = MOMENTUM


class _Preloaded(_SgdOfMany, abstract=True):
    """Learning rates and weight decays are two arrays behind the others, with a number for each weight."""

    tail = ("lrs", "wds")
    param_order = ("momentum",)

    def complete_shapes(self, p, ins, outs):
        super().complete_shapes(p, ins, outs)
        for i in (-2, -1):
            ins[i] = unify(ins[i], (p.num_weights,), "the shapes of lrs and wds")

    def step(self, p, i, arrays, tail):
        dtype = arrays[-1].dtype  # of what learns
        lr, wd = (one(numbers, i, dtype) for numbers in tail)
        return self.single_step(p, lr, wd, arrays)


def one(numbers: Value, i: int, dtype: str) -> Value:
    """The i-th of a vector of numbers."""
    number = F.slice_axis(numbers, axis=0, begin=i, end=i + 1)
    return number if number.dtype == dtype else F.Cast(number, dtype=dtype)


class PreloadedMultiSgdUpdate(_Preloaded):
    """`sgd_update` of several weights, with learning rates and weight decays in two arrays."""

    name = "preloaded_multi_sgd_update"


class PreloadedMultiSgdMomUpdate(_Preloaded):
    """`sgd_mom_update` of several weights, with learning rates and weight decays in two arrays."""

    name = "preloaded_multi_sgd_mom_update"
    single = SgdMomUpdate
    momentum = MOMENTUM


class PreloadedMultiMpSgdUpdate(_Preloaded):
    """`mp_sgd_update` of several weights, with learning rates and weight decays in two arrays."""

    name = "preloaded_multi_mp_sgd_update"
    single = MpSgdUpdate


class PreloadedMultiMpSgdMomUpdate(_Preloaded):
    """`mp_sgd_mom_update` of several weights, with learning rates and weight decays in two arrays."""

    name = "preloaded_multi_mp_sgd_mom_update"
    single = MpSgdMomUpdate
    momentum = MOMENTUM


# ---- adamw and lamb -----------------------------------------------------------------------------------------------------


class MultiAdamwUpdate(_Multi):
    """`_adamw_update` of several weights; the last array is the factor of all gradients."""

    name = "_multi_adamw_update"
    single: ClassVar[type[Any]] = AdamwUpdate
    each = ("weight", "grad", "mean", "var")
    changed = ("mean", "var")
    tail = ("rescale_grad",)
    lrs = Floats(doc="the learning rate of each weight")
    beta1, beta2, epsilon = BETA1, BETA2, EPSILON
    wds = Floats(doc="the weight decay of each weight")
    etas = Floats(doc="the factor of each weight's whole step")
    clip_gradient = CLIP_GRADIENT
    num_weights = Int(1, min=1, doc="the number of weights")

    def numbers(self, p):
        return ("lrs", "wds", "etas")

    def step(self, p, i, arrays, tail):
        op: Any = find(self.single.name)
        given = {**part(p._asdict(), op), "lr": p.lrs[i], "wd": p.wds[i], "eta": p.etas[i]}
        return op.step(op.parse(given), *arrays, one(tail[0], 0, arrays[-1].dtype))

    def complete_shapes(self, p, ins, outs):
        super().complete_shapes(p, ins, outs)
        ins[-1] = unify(ins[-1], (1,), "the shape of rescale_grad")


class MultiMpAdamwUpdate(MultiAdamwUpdate):
    """`_mp_adamw_update` of several weights; the last array is the factor of all gradients."""

    name = "_multi_mp_adamw_update"
    single = MpAdamwUpdate
    each = ("weight", "grad", "mean", "var", "weight32")
    changed = ("mean", "var", "weight32")


class MultiLambUpdate(_Multi):
    """LAMB's whole step of several weights: the direction of adam, as long as the weight is."""

    name = "_multi_lamb_update"
    count = "num_tensors"
    each = ("weight", "grad", "mean", "var")
    changed = ("mean", "var")
    learning_rates = Floats(doc="the learning rate of each weight")
    beta1, beta2 = BETA1, BETA2
    epsilon = Float(1e-6, doc=EPSILON.doc)
    wds = Floats(doc="the weight decay of each weight")
    rescale_grad = RESCALE_GRAD
    lower_bound = Float(-1.0, doc="the lowest norm of a weight that counts; none if it is negative")
    upper_bound = Float(-1.0, doc="the highest norm of a weight that counts; none if it is negative")
    clip_gradient = CLIP_GRADIENT
    bias_correction = Bool(True, doc="whether the averages are corrected for having started at 0")
    step_count = Shape(min=1, doc="the number of this update of each weight, counted from 1")
    num_tensors = Int(1, min=1, doc="the number of weights")

    def numbers(self, p):
        return ("learning_rates", "wds", "step_count")

    def step(self, p, i, arrays, tail):
        direction: Any = find(LambUpdatePhase1.name)
        length: Any = find(LambUpdatePhase2.name)
        given = {**p._asdict(), "t": p.step_count[i], "wd": p.wds[i], "lr": p.learning_rates[i]}
        weight, grad, mean, var, *copy = arrays
        old = copy[0] if copy else weight
        grad = F.Cast(grad, dtype=old.dtype) if copy else grad
        g, mean, var = direction.step(direction.parse(part(given, direction)), old, grad, mean, var)
        r1, r2 = F.norm(old), F.norm(g)
        step = *length.step(length.parse(part(given, length)), old, g, r1, r2), mean, var
        return with_copy(step, weight) if copy else step


class MultiMpLambUpdate(MultiLambUpdate):
    """LAMB's whole step of several half precision weights with float32 copies."""

    name = "_multi_mp_lamb_update"
    each = ("weight", "grad", "mean", "var", "weight32")
    changed = ("mean", "var", "weight32")


# ---- resetting ----------------------------------------------------------------------------------------------------------


class ResetArrays(_Multi):
    """Fills all arrays with zeros, in place."""

    name = "reset_arrays"
    count = "num_arrays"
    each = ("data",)
    changed = ("data",)
    num_arrays = Int(min=1, doc="the number of arrays")

    def step(self, p, i, arrays, tail):
        zeros = F.zeros_like(arrays[0])
        return zeros, zeros
