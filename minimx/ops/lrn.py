"""Local response normalisation."""

from ..base import ShapeError
from ..graph import apply
from ..op import Op, product, same_shape
from ..params import Float, Int


class WindowSum(Op):
    """Sums of `nsize` neighbouring channels (axis 1); fewer at the ends."""

    name = "_window_sum"
    nsize = Int(min=1, doc="channels per sum, an odd number")
    partial_shapes = True

    def complete_shapes(self, p, ins, outs):
        same_shape(ins, outs)

    def output_shapes(self, p, ins):
        if len(ins[0]) < 2:
            raise ShapeError("data must have a channel axis")
        return [ins[0]]

    def gradient(self, p, node, grads):
        return [apply(self.name, grads, nsize=p.nsize)]  # a window reaches as far up as down

    def lower(self, p, node, emit):
        (data,) = node.inputs
        args = {"outer": data.shape[0], "channels": data.shape[1], "inner": product(data.shape[2:]), "size": p.nsize}
        emit("window_sum", data.dtype, args, [data], node.outputs)


class LRN(Op):
    """Divides every element by a power of the squares around it in the neighbouring channels:

    out = data * (knorm + alpha / nsize * sum of squares of nsize channels) ** -beta.
    """

    outputs = ("output", "tmp_norm")
    alpha = Float(1e-4, doc="weight of the sum of squares")
    beta = Float(0.75, doc="exponent")
    knorm = Float(2.0, doc="what is added to the sum")
    nsize = Int(min=1, doc="channels per sum, an odd number")
    partial_shapes = True

    def visible(self, p):
        return 1

    def complete_shapes(self, p, ins, outs):
        same_shape(ins, outs)

    def output_shapes(self, p, ins):
        return [ins[0], ins[0]]

    def expand(self, p, node, train):
        (data,) = node.inputs
        norm = apply("_window_sum", [data * data], nsize=p.nsize) * (p.alpha / p.nsize) + p.knorm
        return [data * _power(norm, -p.beta), norm]


def _power(norm, exponent):
    """norm ** exponent; the usual -3/4 by roots, which cost a tenth."""
    if exponent != -0.75:
        return norm**exponent
    root = apply("rsqrt", [norm])
    return root * apply("sqrt", [root])
