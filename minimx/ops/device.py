"""Copies between devices."""

from ..op import Op, same_shape


class CrossDeviceCopy(Op):
    """The same values on another device; the place pass puts it where a graph crosses from one to the other."""

    name = "_CrossDeviceCopy"
    aliases = ("_copyto",)
    partial_shapes = True

    def complete_shapes(self, p, ins, outs):
        same_shape(ins, outs)

    def output_shapes(self, p, ins):
        return [ins[0]]

    def gradient(self, p, node, grads):
        return grads

    def lower(self, p, node, emit):
        emit.copy(node.inputs[0], node.outputs[0])
