"""The operator whose result has a shape that depends on values."""

from ..base import ShapeError
from ..op import Op
from ..params import Int


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
