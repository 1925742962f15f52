"""Softmax and its kin: probabilities along one axis."""

from __future__ import annotations

from ..base import FLOATS, ShapeError
from ..graph import apply
from ..op import Op, normalize_axis, product, same_shape, share_dtype, unify
from ..params import Bool, Enum, Float, Int
from ..strided import around
from .elemwise import F

_FLOAT_TYPES = ("float16", "float32", "float64")


class _SoftmaxBase(Op, abstract=True):
    partial_shapes = True
    log = False
    sign = 1.0

    def complete_shapes(self, p, ins, outs):
        ins[0] = outs[0] = unify(ins[0], outs[0])

    def output_shapes(self, p, ins):
        normalize_axis(p.axis, len(ins[0]))
        return [ins[0]]

    def infer_types(self, p, ins, outs):
        if p.dtype is None and (ins[0] is None or ins[0] in FLOATS):
            share_dtype(ins, outs)
        else:
            outs[0] = p.dtype or "float32"

    def scale(self, p) -> float:
        return self.sign if p.temperature is None else self.sign / p.temperature

    def gradient(self, p, node, grads):
        params = {"axis": p.axis, "scale": self.scale(p), "log_softmax": self.log}
        return [apply("_softmax_grad", [grads[0], node.outputs[0]], **params)]

    def expand_before_gradient(self, p, train):
        return p.dtype is not None

    def expand(self, p, node, train):
        x, out = node.inputs[0], node.outputs[0]
        if p.dtype is None and x.dtype == out.dtype:
            return None
        if x.dtype not in FLOATS or (out.dtype in ("float32", "float64") and x.dtype != "float64"):
            x = F.Cast(x, dtype=out.dtype)
        result = apply(self.name, [x, *node.inputs[1:]], **{**p._asdict(), "dtype": None})
        return [result if result.dtype == out.dtype else F.Cast(result, dtype=out.dtype)]

    def lower(self, p, node, emit):
        x, out = node.inputs[0], node.outputs[0]
        length = emit.cast(node.inputs[1], "int64") if len(node.inputs) > 1 else None
        emit_softmax(emit, "log_softmax" if self.log else "softmax", x, length, out, p.axis, self.scale(p))


def emit_softmax(emit, kernel, data, length, out, axis, scale=1.0):
    """One call of a softmax kernel along an axis of `data`."""
    outer, n, inner = around(data.shape, normalize_axis(axis, len(data.shape)))
    args = {"outer": outer, "n": n, "inner": inner, "scale": scale}
    emit(kernel, data.dtype, args, [data, length], [out], inplace=[0])


class Softmax(_SoftmaxBase):
    """exp(x / temperature), divided by its sum along an axis.

    With use_length, `length` (the shape of data without the axis) says how many leading elements take part; the others
    give 0.
    """

    name = "softmax"
    inputs = ("data", "length")
    axis = Int(-1, doc="the axis along which the results add up to 1")
    temperature = Float(None, doc="what the numbers are divided by first; None for 1")
    dtype = Enum(_FLOAT_TYPES, None, doc="dtype of the result; None for that of the data")
    use_length = Bool(False, doc="whether `length` is an input")

    def input_names(self, p):
        return ("data", "length") if p.use_length else ("data",)

    def complete_shapes(self, p, ins, outs):
        super().complete_shapes(p, ins, outs)
        if p.use_length and ins[0] is not None:
            ins[1] = unify(ins[1], self._columns(p, ins[0]), "length and data without the axis:")

    def output_shapes(self, p, ins):
        if p.use_length and ins[1] != self._columns(p, ins[0]):
            raise ShapeError(f"length must have shape {self._columns(p, ins[0])}")
        return super().output_shapes(p, ins)

    @staticmethod
    def _columns(p, shape):
        axis = normalize_axis(p.axis, len(shape))
        return (*shape[:axis], *shape[axis + 1 :])


class _WithoutLength(_SoftmaxBase, abstract=True):
    axis = Int(-1, doc="the axis along which the results are normalized")
    temperature = Float(None, doc="what the numbers are divided by first; None for 1")
    dtype = Enum(_FLOAT_TYPES, None, doc="dtype of the result; None for that of the data")
    use_length = Bool(False, doc="accepted for MXNet's sake, which has no length input here either")


class LogSoftmax(_WithoutLength):
    """The logarithm of softmax, exact also where softmax is too small for a number."""

    name = "log_softmax"
    log = True


class Softmin(_WithoutLength):
    """Softmax of the negative numbers."""

    name = "softmin"
    sign = -1.0


class SoftmaxGrad(Op):
    """The gradient of softmax (or log_softmax): what arrives at the data, from what arrives at the output."""

    name = "_softmax_grad"
    inputs = ("grad", "output")
    partial_shapes = True
    axis = Int(-1, doc="the axis of the distributions")
    scale = Float(1.0, doc="what the data were multiplied by")
    log_softmax = Bool(False, doc="whether the output is a logarithm")

    def complete_shapes(self, p, ins, outs):
        same_shape(ins, outs)

    def output_shapes(self, p, ins):
        return [ins[0]]

    def gradient(self, p, node, grads):
        (grad, y), h = node.inputs, grads[0]

        def total(v):
            return F.sum(v, axis=p.axis, keepdims=True)

        if p.log_softmax:
            exp_y = F.exp(y)
            return [(h - total(h * exp_y)) * p.scale, h * exp_y * total(grad) * -p.scale]
        by_grad = apply(self.name, [h, y], **p._asdict())
        by_y = (h * (grad - total(grad * y)) - grad * total(h * y)) * p.scale
        return [by_grad, by_y]

    def lower(self, p, node, emit):
        grad, y = node.inputs
        outer, n, inner = around(grad.shape, normalize_axis(p.axis, grad.ndim))
        args = {"outer": outer, "n": n, "inner": inner, "scale": p.scale}
        kernel = "log_softmax_grad" if p.log_softmax else "softmax_grad"
        emit(kernel, grad.dtype, args, [grad, y], node.outputs, inplace=[0, 1])


class SoftmaxActivation(Op):
    """Softmax over everything that belongs to one example, or over the channels (axis 1) at each position."""

    partial_shapes = True
    mode = Enum(("instance", "channel"), "instance", doc="over all numbers of an example, or over its channels")

    def complete_shapes(self, p, ins, outs):
        same_shape(ins, outs)

    def output_shapes(self, p, ins):
        if len(ins[0]) < 2:
            raise ShapeError("data must have at least 2 dimensions")
        return [ins[0]]

    def expand(self, p, node, train):
        x = node.inputs[0]
        if p.mode == "channel" or x.ndim == 2:
            return [F.softmax(x, axis=1)]
        rows = F.Reshape(x, shape=(x.shape[0], product(x.shape[1:])))
        return [F.Reshape(F.softmax(rows, axis=1), shape=x.shape)]
