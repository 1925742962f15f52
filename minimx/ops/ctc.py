"""Connectionist temporal classification."""

from ..base import ITEM_SIZES, ShapeError
from ..graph import apply
from ..op import Op, share_dtype, unify
from ..params import Bool, Enum
from .softmax import emit_softmax


class CTCLoss(Op):
    """The loss of a sequence of labels that is shorter than the data: the negative logarithm of its probability, summed
    over all ways to spread the labels over the steps with blanks between them.

    `data` (time, batch, classes) is what a softmax is taken of, `label` (batch, labels) are class numbers, padded with 0
    (blank_label "first", where class 0 is the blank) or -1 ("last", where it is the last class). An example whose labels
    do not fit into its steps has the loss 0.
    """

    aliases = ("ctc_loss", "_contrib_CTCLoss", "_contrib_ctc_loss")
    inputs = ("data", "label", "data_lengths", "label_lengths")
    outputs = ("output0", "output1")
    use_data_lengths = Bool(False, doc="whether data_lengths says how many steps each example has; else all of them")
    use_label_lengths = Bool(
        False, doc="whether label_lengths says how many labels each example has; else padding does"
    )
    blank_label = Enum(("first", "last"), "first", doc="which class is the blank")

    def input_names(self, p):
        return (
            "data",
            "label",
            *(("data_lengths",) if p.use_data_lengths else ()),
            *(("label_lengths",) if p.use_label_lengths else ()),
        )

    def visible(self, p):
        return 1  # the other one is the gradient

    def complete_shapes(self, p, ins, outs):
        batch = -1
        for shape, axis, ndim in ((ins[0], 1, 3), (ins[1], 0, 2), *((s, 0, 1) for s in ins[2:]), (outs[0], 0, 1)):
            if shape is not None and len(shape) != ndim:
                raise ShapeError(
                    "data must have 3 dimensions (time, batch, classes), label 2 (batch, labels) and lengths 1"
                )
            if shape is not None and shape[axis] >= 0:
                if batch not in (-1, shape[axis]):
                    raise ShapeError("data, label and lengths must have one batch size")
                batch = shape[axis]
        ins[0] = unify(ins[0], (-1, batch, -1))
        ins[1] = unify(ins[1], (batch, -1))
        ins[2:] = [(batch,)] * len(ins[2:])

    def output_shapes(self, p, ins):
        if ins[1][1] > ins[0][0]:
            raise ShapeError(f"there are more labels ({ins[1][1]}) than steps ({ins[0][0]})")
        if ins[0][2] == 0:
            raise ShapeError("there must be at least one class, the blank")
        return [ins[0][1:2], ins[0]]

    def infer_types(self, p, ins, outs):
        share_dtype(ins, outs)
        ins[1:] = [t or ins[0] for t in ins[1:]]

    def gradient(self, p, node, grads):
        if grads[0] is None:
            return []
        return [node.outputs[1] * apply("expand_dims", [apply("expand_dims", [grads[0]], axis=0)], axis=2)]

    def lower(self, p, node, emit):
        data, label, *lengths = node.inputs
        time, batch, classes = data.shape
        if data.size == 0:
            return
        logp = emit.temp(data.shape, data.dtype)
        view = (time * batch, classes, 1)
        emit_softmax(emit, "log_softmax", emit.view(data, view), None, emit.view(logp, view), 1)
        labels = label.shape[1]
        args = {
            "time": time,
            "batch": batch,
            "classes": classes,
            "labels": labels,
            "blank": 0 if p.blank_label == "first" else classes - 1,
            "padding": 0 if p.blank_label == "first" else -1,
        }
        rest = iter(emit.cast(v, "int64") for v in lengths)
        given = [next(rest) if used else None for used in (p.use_data_lengths, p.use_label_lengths)]
        workers = emit.threads if emit.device[0] == "cpu" else batch
        scratch = workers * (time + 5) * (2 * labels + 1 + 64) * max(4, ITEM_SIZES[data.dtype])
        emit("ctc_loss", data.dtype, args, [logp, emit.cast(label, "int64"), *given], node.outputs, scratch=scratch)
