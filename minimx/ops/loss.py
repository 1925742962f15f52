"""Layers that end a network: their output is a prediction, their gradient that of a loss.

They ignore the gradient that arrives at their output, so that backward() needs none.
"""

from __future__ import annotations

from ..base import ShapeError
from ..graph import apply
from ..op import Op, known, product, share_dtype, unify
from ..params import Bool, Enum, Float
from ..strided import around
from .elemwise import F
from .softmax import emit_softmax


class _Loss(Op, abstract=True):
    inputs = ("data", "label")

    def infer_types(self, p, ins, outs):
        share_dtype(ins, outs)
        ins[1] = ins[1] or ins[0]


class _SoftmaxLoss(Op, abstract=True):
    grad_scale = Float(1.0, doc="what the gradient is multiplied by")
    ignore_label = Float(-1.0, doc="the label whose examples are left out, with use_ignore")
    multi_output = Bool(False, doc="one label for each position behind axis 1, which holds the classes")
    use_ignore = Bool(False, doc="whether examples labelled ignore_label get no gradient")
    preserve_shape = Bool(False, doc="the last axis holds the classes")
    normalization = Enum(
        ("null", "batch", "valid"),
        "null",
        doc="what the gradient is divided by: nothing, the number of examples, or of labels that are not ignore_label",
    )
    out_grad = Bool(False, doc="whether the gradient is multiplied by what arrives at the output")
    smooth_alpha = Float(0.0, doc="how much of the label's probability goes to the other classes", min=0, max=1)

    @staticmethod
    def columns(p, shape):
        """The data as (outer, classes, inner)."""
        if p.multi_output:
            return around(shape, 1)
        rows = product(shape[:-1]) if p.preserve_shape else shape[0]
        return rows, product(shape) // max(rows, 1), 1


class SoftmaxOutput(_Loss, _SoftmaxLoss):
    """Softmax over the classes, with the gradient of cross-entropy against `label`.

    The classes are everything but axis 0, the last axis (preserve_shape), or axis 1 (multi_output). Labels are class
    numbers, one for each distribution; or probabilities, in the shape of data, which know neither normalization nor
    ignore_label.
    """

    aliases = ("Softmax",)

    def complete_shapes(self, p, ins, outs):
        ins[0] = outs[0] = unify(ins[0], outs[0])
        if ins[1] is None and known(ins[0]) and ins[0]:
            ins[1] = self._label_shapes(p, ins[0])[0]
        elif ins[0] is None or ins[1] is None or p.multi_output:
            return
        elif len(ins[1]) == len(ins[0]) - 1 and (p.preserve_shape or len(ins[0]) == 2):
            ins[0] = unify(ins[0], (*ins[1], -1))
            outs[0] = ins[0]

    def output_shapes(self, p, ins):
        data, label = ins
        if len(data) < 1 + p.multi_output:
            raise ShapeError("data has no axis of classes")
        allowed = self._label_shapes(p, data)
        if label not in allowed and label != data:
            raise ShapeError(f"label must have shape {' or '.join(map(str, allowed))}, or that of data")
        return [data]

    @staticmethod
    def _label_shapes(p, data):
        """The shapes that class numbers may come in; the first is what an unknown one becomes."""
        if p.multi_output:
            shapes = [(data[0], product(data[2:])), (data[0], *data[2:]), (data[0], 1, *data[2:])]
            return list(dict.fromkeys(shapes))
        rows = [data[:-1]] if p.preserve_shape or product(data[:-1]) == data[0] else []
        return list(dict.fromkeys([*rows, *([] if p.preserve_shape else [data[:1]])]))

    def gradient(self, p, node, grads):
        label, out = node.inputs[1], node.outputs[0]
        if label.shape == out.shape:
            slope = (out - F.Cast(label, dtype=out.dtype)) * p.grad_scale
            return [slope * grads[0] if p.out_grad else slope, None]
        heads = [grads[0]] if p.out_grad else []
        return [apply("_softmax_output_grad", [out, label, *heads], **p._asdict()), None]

    def lower(self, p, node, emit):
        data, out = node.inputs[0], node.outputs[0]
        view = self.columns(p, data.shape)
        emit_softmax(emit, "softmax", emit.view(data, view), None, emit.view(out, view), 1)


class SoftmaxOutputGrad(_SoftmaxLoss):
    """The gradient of SoftmaxOutput for class numbers, from its output."""

    name = "_softmax_output_grad"

    def input_names(self, p):
        return ("output", "label", "grad") if p.out_grad else ("output", "label")

    def output_shapes(self, p, ins):
        return [ins[0]]

    def infer_types(self, p, ins, outs):
        share_dtype(ins, outs)

    def lower(self, p, node, emit):
        output, label = node.inputs[:2]
        outer, n, inner = self.columns(p, output.shape)
        scale = p.grad_scale
        if p.normalization != "valid":
            scale /= inner * (outer if p.normalization == "batch" else 1) or 1
        args = {
            "outer": outer,
            "n": n,
            "inner": inner,
            "scale": scale,
            "smooth_alpha": p.smooth_alpha,
            "use_ignore": int(p.use_ignore),
            "ignore_label": int(p.ignore_label),
            "per_valid": int(p.normalization == "valid"),
        }
        head = node.inputs[2] if p.out_grad else None
        emit("softmax_output_grad", output.dtype, args, [output, emit.cast(label, "int64"), head], node.outputs)


class _Regression(_Loss, abstract=True):
    grad_scale = Float(1.0, doc="what the gradient is multiplied by")

    def complete_shapes(self, p, ins, outs):
        ins[0] = outs[0] = unify(ins[0], outs[0])
        if ins[1] is None and known(ins[0]):
            ins[1] = ins[0][:1] if len(ins[0]) == 2 and ins[0][1] == 1 else ins[0]
        elif ins[0] is None and known(ins[1]) and len(ins[1]) > 1:
            ins[0] = outs[0] = ins[1]

    def output_shapes(self, p, ins):
        data, label = ins
        if product(data) != product(label) or data[:1] != label[:1]:
            raise ShapeError("label must have as many elements as data and the same first axis")
        return [data]

    def gradient(self, p, node, grads):
        label, out = node.inputs[1], node.outputs[0]
        if label.dtype != out.dtype:
            label = F.Cast(label, dtype=out.dtype)
        if label.shape != out.shape:
            label = F.Reshape(label, shape=out.shape)
        per_example = product(out.shape[1:])
        return [self.slope(out, label) * (p.grad_scale / max(per_example, 1)), None]


class LinearRegressionOutput(_Regression):
    """The data themselves, with the gradient of half the squared distance to `label`, averaged over an example."""

    def slope(self, out, label):
        return out - label

    def expand(self, p, node, train):
        return [node.inputs[0]]


class MAERegressionOutput(_Regression):
    """The data themselves, with the gradient of the absolute distance to `label`, averaged over an example."""

    def slope(self, out, label):
        return F.sign(out - label)

    def expand(self, p, node, train):
        return [node.inputs[0]]


class LogisticRegressionOutput(_Regression):
    """The logistic function of the data, with the gradient of cross-entropy against `label`, averaged over an example."""

    def slope(self, out, label):
        return out - label

    def expand(self, p, node, train):
        return [F.sigmoid(node.inputs[0])]


class SVMOutput(_Loss):
    """The data themselves, scores of classes along the last axis, with the gradient of a hinge loss against `label`."""

    margin = Float(1.0, doc="how far the label's score has to be above 0, and the others below")
    regularization_coefficient = Float(1.0, doc="what the gradient is multiplied by")
    use_linear = Bool(False, doc="the hinge itself instead of its square")

    def complete_shapes(self, p, ins, outs):
        ins[0] = outs[0] = unify(ins[0], outs[0])
        if ins[0] is not None and ins[0]:
            ins[1] = unify(ins[1], ins[0][:-1], "label and data without the last axis:")

    def output_shapes(self, p, ins):
        data, label = ins
        if not data or label != data[:-1]:
            raise ShapeError("label must have the shape of data without the last axis")
        return [data]

    def expand(self, p, node, train):
        return [node.inputs[0]]

    def gradient(self, p, node, grads):
        x, label = node.inputs
        # 1 at the label, -1 elsewhere: what each score should have the sign of.
        side = F.one_hot(label, depth=x.shape[-1], on_value=1.0, off_value=-1.0, dtype=x.dtype)
        c = -p.regularization_coefficient
        if p.use_linear:
            return [side * (side * x < p.margin) * c, None]
        return [side * F.relu(p.margin - side * x) * (2 * c), None]


class SoftmaxCrossEntropy(Op):
    """The sum over all rows of -log softmax(data)[label], as an array of one element; an ordinary function of data."""

    name = "softmax_cross_entropy"
    inputs = ("data", "label")

    def complete_shapes(self, p, ins, outs):
        if ins[0] is not None:
            if len(ins[0]) != 2:
                raise ShapeError("data must have 2 dimensions")
            ins[1] = unify(ins[1], ins[0][:1], "label and rows of data:")

    def output_shapes(self, p, ins):
        if len(ins[0]) != 2 or ins[1] != ins[0][:1]:
            raise ShapeError("data must have 2 dimensions and label one element for each row")
        return [(1,)]

    def infer_types(self, p, ins, outs):
        share_dtype(ins, outs)
        ins[1] = ins[1] or ins[0]

    def expand(self, p, node, train):
        data, label = node.inputs
        return [-F.sum(F.pick(F.log_softmax(data), label))]


class IdentityAttachKLSparseReg(Op):
    """The data themselves, numbers between 0 and 1, with a gradient that draws the average of every unit (axis 1) over
    the batches towards sparseness_target."""

    inputs = ("data", "moving_avg")
    aux = ("moving_avg",)
    sparseness_target = Float(0.1, doc="the average that is aimed at", min=0, max=1)
    penalty = Float(0.001, doc="what the gradient is multiplied by")
    momentum = Float(0.9, doc="how much of the moving average a step keeps", min=0, max=1)

    def complete_shapes(self, p, ins, outs):
        ins[0] = outs[0] = unify(ins[0], outs[0])
        if ins[0] is not None:
            if len(ins[0]) < 2:
                raise ShapeError("data must have at least two dimensions")
            ins[1] = unify(ins[1], ins[0][1:2], "moving_avg and the units of data:")

    def output_shapes(self, p, ins):
        return [ins[0]]

    @staticmethod
    def average(p, node):
        """The moving average after this batch."""
        data, moving = node.inputs
        axes = (0, *range(2, data.ndim))
        return moving * p.momentum + F.mean(data, axis=axes) * (1 - p.momentum)

    def gradient(self, p, node, grads):
        average = F.Reshape(self.average(p, node), shape=(1, -1, *[1] * (node.inputs[0].ndim - 2)))
        target = p.sparseness_target
        slope = ((1 - target) / (1.0 - average) - target / average) * p.penalty
        return [grads[0] + slope, None]

    def updates(self, p, node):
        return {1: self.average(p, node)}

    def lower(self, p, node, emit):
        emit.alias(node.outputs[0], node.inputs[0])
