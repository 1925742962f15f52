"""Sequences of different lengths side by side: masked behind their ends, reversed, their last elements."""

from ..base import ITEM_SIZES, ShapeError, bits
from ..graph import apply
from ..op import Op, product, share_dtype, unify
from ..params import Bool, Float, Int, Shape


def time_axis(p):
    if p.axis not in (0, 1):
        raise ShapeError(f"axis must be 0 or 1, got {p.axis}")
    return p.axis


def emit_sequence(p, emit, kernel, rows, data, length, out, value=0.0):
    """`rows` is the shape of the array that has a time axis."""
    axis = time_axis(p)
    time, batch, inner = rows[axis], rows[1 - axis], product(rows[2:])
    steps = (batch * inner, inner) if axis == 0 else (inner, time * inner)
    args = {
        "time": time,
        "batch": batch,
        "inner": inner,
        "time_stride": steps[0],
        "batch_stride": steps[1],
        "bits": bits(value, out.dtype),
    }
    emit(kernel, str(ITEM_SIZES[out.dtype]), args, [data, emit.cast(length, "int64")], [out])


class _Sequence(Op, abstract=True):
    kernel = ""

    inputs = ("data", "sequence_length")
    param_order = ("use_sequence_length",)
    use_sequence_length = Bool(False, doc="whether sequence_length says how long each example is; else all are whole")

    def input_names(self, p):
        return self.inputs if p.use_sequence_length else self.inputs[:1]

    def complete_shapes(self, p, ins, outs):
        ins[0] = outs[0] = unify(ins[0], outs[0])
        self.complete_length(p, ins)

    def complete_length(self, p, ins):
        if not p.use_sequence_length or ins[0] is None:
            return
        if len(ins[0]) < 2:
            raise ShapeError("data must have axes for time and batch")
        batch = 1 - time_axis(p)
        ins[1] = unify(ins[1], (ins[0][batch],), "sequence_length must have one element per example:")
        ins[0] = (*ins[0][:batch], ins[1][0], *ins[0][batch + 1 :])

    def output_shapes(self, p, ins):
        time_axis(p)
        if len(ins[0]) < 2:
            raise ShapeError("data must have axes for time and batch")
        return [ins[0]]

    def infer_types(self, p, ins, outs):
        share_dtype(ins, outs)
        if len(ins) > 1:
            ins[1] = ins[1] or ins[0]

    def expand(self, p, node, train):
        return None if p.use_sequence_length else [self.whole(p, node.inputs[0])]

    def expand_before_gradient(self, p, train):
        return not p.use_sequence_length

    def lower(self, p, node, emit):
        data, length = node.inputs
        value = getattr(p, "value", 0.0)
        emit_sequence(p, emit, self.kernel, data.shape, data, length, node.outputs[0], value)


class SequenceMask(_Sequence):
    """Sets what lies behind the end of each example's sequence to `value`."""

    kernel = "sequence_mask"
    value = Float(0.0, doc="what the masked elements become")
    axis = Int(0, doc="the axis of time, 0 or 1; the other one is the batch")

    def whole(self, p, data):
        return apply("_copy", [data])

    def gradient(self, p, node, grads):
        length = node.inputs[1]
        return [apply(self.name, [grads[0], length], use_sequence_length=True, axis=p.axis), None]


class SequenceReverse(_Sequence):
    """Turns each example's sequence around; what lies behind its end stays where it is."""

    kernel = "sequence_reverse"
    axis = Int(0, doc="the axis of time, 0 or 1; the other one is the batch")

    def whole(self, p, data):
        return apply("reverse", [data], axis=(time_axis(p),))

    def gradient(self, p, node, grads):
        return [apply(self.name, [grads[0], node.inputs[1]], use_sequence_length=True, axis=p.axis), None]


class SequenceLast(_Sequence):
    """The last element of each example's sequence."""

    kernel = "sequence_last"
    axis = Int(0, doc="the axis of time, 0 or 1; the other one is the batch")

    def complete_shapes(self, p, ins, outs):
        self.complete_length(p, ins)

    def output_shapes(self, p, ins):
        (data,) = super().output_shapes(p, ins)
        axis = time_axis(p)
        if data[axis] == 0:
            raise ShapeError("there is no last element in sequences of length 0")
        return [(data[1 - axis], *data[2:])]

    def whole(self, p, data):
        return apply("squeeze", [apply("slice_axis", [data], axis=p.axis, begin=-1)], axis=(p.axis,))

    def gradient(self, p, node, grads):
        data, length = node.inputs
        return [apply("_sequence_place", [grads[0], length], shape=data.shape, axis=p.axis), None]


class SequencePlace(Op):
    """Zeros of a shape, with each example's row at the end of its sequence."""

    name = "_sequence_place"
    inputs = ("data", "sequence_length")
    shape = Shape(doc="shape of the output")
    axis = Int(0, doc="the axis of time, 0 or 1; the other one is the batch")

    def output_shapes(self, p, ins):
        batch = p.shape[1 - time_axis(p)]
        if ins != [(batch, *p.shape[2:]), (batch,)]:
            raise ShapeError(f"data must have shape {(batch, *p.shape[2:])} and sequence_length {(batch,)}")
        return [p.shape]

    def infer_types(self, p, ins, outs):
        share_dtype(ins, outs)
        ins[1] = ins[1] or ins[0]

    def gradient(self, p, node, grads):
        return [apply("SequenceLast", [grads[0], node.inputs[1]], use_sequence_length=True, axis=p.axis), None]

    def lower(self, p, node, emit):
        emit_sequence(p, emit, "sequence_place", p.shape, *node.inputs, node.outputs[0])
