"""Operators that compute coordinates: from flat numbers, to flat numbers, and of every element."""

from ..base import ShapeError
from ..graph import apply
from ..op import Op, normalize_axis, product
from ..params import Shape
from ..strided import contiguous


class RavelMultiIndex(Op):
    """The flat number of each column of coordinates in an array of `shape`."""

    name = "_ravel_multi_index"
    aliases = ("ravel_multi_index",)
    shape = Shape(None, doc="shape of the array that is indexed", min=1)

    def output_shapes(self, p, ins):
        if not p.shape or not ins[0] or ins[0][0] != len(p.shape):
            raise ShapeError(f"data must have one row for each dimension of shape={p.shape}")
        return [ins[0][1:] or (1,)]

    def gradient(self, p, node, grads):
        return [None]

    def expand(self, p, node, train):
        data = node.inputs[0]
        total = None
        for axis, step in enumerate(contiguous(p.shape)):
            row = apply("slice_axis", [data], axis=0, begin=axis, end=axis + 1)
            total = row * step if total is None else total + row * step
        return [apply("Reshape", [total], shape=node.outputs[0].shape)]


class UnravelIndex(Op):
    """The coordinates, one column each, of flat numbers in an array of `shape`; its first dimension may be -1."""

    name = "_unravel_index"
    aliases = ("unravel_index",)
    shape = Shape(None, doc="shape of the array that is indexed")

    def output_shapes(self, p, ins):
        if not p.shape or p.shape[0] < -1 or any(d < 1 for d in p.shape[1:]):
            raise ShapeError(f"shape={p.shape} must be positive; only its first dimension may be -1")
        return [(len(p.shape), *ins[0])]

    def gradient(self, p, node, grads):
        return [None]

    def expand(self, p, node, train):
        data = node.inputs[0]
        steps = contiguous((1, *p.shape[1:]))
        rows = []
        for axis, step in enumerate(steps):
            row = apply("floor", [data / step])
            rows.append(apply("_mod_scalar", [row], scalar=p.shape[axis]) if axis else row)
        return [apply("stack", rows)]


class IndexArray(Op):
    """The coordinates of every element of `data`, as an int64 array with one more dimension; or only some of them."""

    name = "_contrib_index_array"
    axes = Shape(None, doc="which coordinates, in this order; all by default")

    def order(self, p, ndim):
        return range(ndim) if p.axes is None else [normalize_axis(a, ndim, "axes:") for a in p.axes]

    def output_shapes(self, p, ins):
        return [(*ins[0], len(self.order(p, len(ins[0]))))]

    def infer_types(self, p, ins, outs):
        outs[0] = "int64"

    def gradient(self, p, node, grads):
        return [None]

    def expand(self, p, node, train):
        shape = node.inputs[0].shape
        if product(shape) == 0:
            return None
        parts = []
        for axis in self.order(p, len(shape)):
            count = apply("_arange", [], start=0, stop=shape[axis], dtype="int64")
            line = [1] * len(shape)
            line[axis] = shape[axis]
            parts.append(apply("broadcast_to", [apply("Reshape", [count], shape=line)], shape=shape))
        return [apply("stack", parts, axis=-1)]

    def lower(self, p, node, emit):
        """Nothing to compute: this is reached for empty arrays only."""
