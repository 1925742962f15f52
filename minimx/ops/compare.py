"""Operators that compare arrays, and one that chooses by what was found."""

from ..base import ShapeError
from ..op import Op
from ..params import Bool, Float, Int
from .elemwise import F


class AllClose(Op):
    """1 if all numbers of two arrays are equal up to atol + rtol |b|, else 0."""

    name = "_contrib_allclose"
    inputs = ("a", "b")
    rtol = Float(1e-5, doc="difference that is allowed, relative to b")
    atol = Float(1e-8, doc="difference that is allowed besides")
    equal_nan = Bool(True, doc="NaN is equal to NaN")

    def output_shapes(self, p, ins):
        if ins[0] != ins[1]:
            raise ShapeError("a and b must have one shape")
        return [(1,)]

    def infer_types(self, p, ins, outs):
        super().infer_types(p, ins, [])
        outs[0] = "uint8"

    def gradient(self, p, node, grads):
        return [None, None]

    def expand(self, p, node, train):
        a, b = node.inputs
        near = F.abs(a - b) <= F.abs(b) * p.rtol + p.atol
        same = F.broadcast_maximum(near, F._equal(a, b))  # infinities are as far apart as can be
        if p.equal_nan:
            same = F.broadcast_maximum(same, F._contrib_isnan(a) * F._contrib_isnan(b))
        # Comparisons with NaN are false, and what is not true is not close.
        return [F.Cast(F.min(F.Cast(same, dtype="float32")), dtype="uint8")]


class BooleanMask(Op):
    """The rows of data for which index is not 0. Their number depends on the values, so that this is a function of arrays:
    a graph, which is planned before it runs, cannot hold it."""

    name = "_contrib_boolean_mask"
    inputs = ("data", "index")
    axis = Int(0, doc="accepted when 0: the axis that index counts along", min=0, max=0)

    def output_shapes(self, p, ins):
        raise ShapeError(
            "the shape of the output depends on the values of index: only mx.nd.contrib.boolean_mask has it"
        )
