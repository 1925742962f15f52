"""What training with short floats needs: gradients that are made larger on their way, so that small ones survive."""

from __future__ import annotations

from ..op import Op


class ScaleGradient(Op):
    """The same numbers; the gradient is multiplied by the only element of `scale`."""

    name = "_scale_gradient"
    inputs = ("data", "scale")

    def complete_shapes(self, p, ins, outs):
        ins[0] = outs[0] = ins[0] if ins[0] is not None else outs[0]
        ins[1] = ins[1] or (1,)

    def output_shapes(self, p, ins):
        return [ins[0]]

    def expand(self, p, node, train):
        return [node.inputs[0]]

    def gradient(self, p, node, grads):
        return [grads[0] * node.inputs[1], None]
