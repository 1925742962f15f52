"""Activation functions of layers, and Dropout."""

from __future__ import annotations

import math

from ..elementwise import Elementwise
from ..op import Op, same_shape, unify
from ..params import Bool, Enum, Float, Shape
from .elemwise import F, scaled

_SLOPES = {
    "relu": lambda x, y: y > 0,
    "sigmoid": lambda x, y: y * (1.0 - y),
    "tanh": lambda x, y: 1.0 - F.square(y),
    "softrelu": lambda x, y: -F.expm1(-y),
    "softsign": lambda x, y: F.square(1.0 / (F.abs(x) + 1.0)),
}


class Activation(Elementwise):
    """An activation function: relu, sigmoid, tanh, softrelu log(1 + exp(x)) or softsign x / (1 + |x|)."""

    float_only = True
    act_type = Enum(tuple(_SLOPES), doc="the function")

    def write(self, p, t, x):
        return t(p.act_type, x)

    def gradient(self, p, node, grads):
        return [grads[0] * _SLOPES[p.act_type](node.inputs[0], node.outputs[0])]


_SELU_SCALE = 1.0507009873554805
_SELU_ALPHA = 1.6732632423543772


class LeakyReLU(Elementwise):
    """Activation functions that let something through for negative numbers.

    leaky: slope x; elu: slope (exp(x) - 1); prelu: gamma x with a learnt gamma for each channel (axis 1) or one for all;
    rrelu: a random slope in training, its mean otherwise; selu: elu with the slope and scale that keep a layer's variance;
    gelu: x times the normal distribution's probability below x, for all numbers.
    """

    inputs = ("data", "gamma")
    float_only = True
    act_type = Enum(("leaky", "elu", "prelu", "rrelu", "selu", "gelu"), "leaky", doc="the function")
    slope = Float(0.25, doc="the slope of leaky and elu")
    lower_bound = Float(0.125, doc="the lowest slope of rrelu", min=0, max=1)
    upper_bound = Float(0.334, doc="the highest slope of rrelu", min=0, max=1)

    def input_names(self, p):
        return ("data", "gamma") if p.act_type == "prelu" else ("data",)

    def output_names(self, p):
        return ("output", "mask") if p.act_type == "rrelu" else ("output",)

    def visible(self, p):
        return 1

    def key_variable_attrs(self, p, input_name):
        return {"__init__": '["Constant", {"value": 0.25}]'} if input_name == "gamma" else {}

    def complete_shapes(self, p, ins, outs):
        data = ins[:1]
        same_shape(data, outs)
        ins[0] = data[0]
        if p.act_type == "prelu" and data[0] is not None and ins[1] != (1,):
            ins[1] = unify(ins[1], data[0][1:2] or (1,))

    def output_shapes(self, p, ins):
        return [ins[0]] * len(self.output_names(p))

    def write(self, p, t, x):
        if p.act_type == "gelu":
            return t("mul", x, t("mul", t.constant(0.5), _normal_below(t, x)))
        below = x
        slope = p.slope
        if p.act_type != "leaky":
            below = t("expm1", x)
        if p.act_type == "selu":
            slope = _SELU_ALPHA
        y = t("where", t("greater", x, t.constant(0.0)), x, t("mul", t.constant(slope), below))
        return t("mul", t.constant(_SELU_SCALE), y) if p.act_type == "selu" else y

    def gradient(self, p, node, grads):
        x, y, g = node.inputs[0], node.outputs[0], grads[0]
        if p.act_type == "gelu":
            below = (F.erf(x * math.sqrt(0.5)) + 1.0) * 0.5
            return [g * (below + x * F.exp(F.square(x) * -0.5) * (1 / math.sqrt(2 * math.pi)))]
        if p.act_type == "leaky":
            return [F.where(x > 0, g, scaled(g, p.slope))]
        if p.act_type == "elu":
            return [F.where(x > 0, g, g * (y + p.slope))]
        # MXNet's own formula. The derivative is y + scale alpha; this one differs from it by (scale - 1) y, and networks
        # have been trained with it.
        return [F.where(x > 0, g * _SELU_SCALE, g * ((y + _SELU_ALPHA) * _SELU_SCALE))]

    def expand_before_gradient(self, p, train):
        return p.act_type in ("prelu", "rrelu")

    def expand(self, p, node, train):
        x = node.inputs[0]
        if p.act_type == "prelu":
            gamma = node.inputs[1]
            if gamma.shape != (1,):
                gamma = F.Reshape(gamma, shape=(1, gamma.shape[0]) + (1,) * (x.ndim - 2))
            return [F.where(x > 0, x, F.broadcast_mul(x, gamma))]
        if p.act_type == "rrelu":
            if train:
                slope = F._random_uniform_like(x, low=p.lower_bound, high=p.upper_bound)
            else:
                slope = F.ones_like(x) * ((p.lower_bound + p.upper_bound) / 2)
            mask = F.where(x > 0, F.ones_like(x), slope)
            return [x * mask, mask]
        return None


def _normal_below(t, x):
    return t("add", t("erf", t("mul", x, t.constant(math.sqrt(0.5)))), t.constant(1.0))


class Dropout(Op):
    """In training, numbers are zero with probability p and the others are divided by 1 - p; otherwise nothing happens."""

    outputs = ("output", "mask")
    partial_shapes = True
    p = Float(0.5, doc="the probability of a zero", min=0, max=1)
    mode = Enum(("training", "always"), "training", doc="whether numbers are also dropped outside of training")
    axes = Shape((), doc="axes along which all numbers are dropped or kept together")
    cudnn_off = Bool(False, doc="has no effect")

    def visible(self, p):
        return 1

    def complete_shapes(self, p, ins, outs):
        data = outs[:1]
        same_shape(ins, data)
        outs[0] = data[0]

    def output_shapes(self, p, ins):
        mask = tuple(1 if d in p.axes else n for d, n in enumerate(ins[0]))
        return [ins[0], mask]

    def expand(self, p, node, train):
        x = node.inputs[0]
        if p.p == 0 or not (train or p.mode == "always"):
            return [F._copy(x), F._ones(shape=node.outputs[1].shape, dtype=x.dtype)]
        mask = F._dropout_mask(shape=node.outputs[1].shape, dtype=x.dtype, p=p.p)
        return [F.broadcast_mul(x, mask), mask]
