"""Fourier transforms and sketches."""

from __future__ import annotations

from ..base import ITEM_SIZES, ShapeError
from ..graph import apply
from ..op import Op, product, share_dtype
from ..params import Int
from .elemwise import F


class _Transform(Op, abstract=True):
    compute_size = Int(128, doc="accepted for MXNet's sake: rows transformed at once", min=1)
    back = ""

    def rows(self, node):
        """How many rows of how many complex numbers."""
        raise NotImplementedError

    def gradient(self, p, node, grads):
        return [apply(self.back, grads)]

    def lower(self, p, node, emit):
        (data,) = node.inputs
        rows, n = self.rows(node)
        scratch = max(64, (2 * n + 4 * rows * n) * max(4, ITEM_SIZES[data.dtype]))
        emit(self.kernel, data.dtype, {"rows": rows, "n": n}, [data], node.outputs, scratch=scratch)


class Fft(_Transform):
    """The discrete Fourier transform of every row: real and imaginary parts in turn, twice as many numbers."""

    name = "_contrib_fft"
    kernel = "fft"
    back = "_contrib_ifft"

    def output_shapes(self, p, ins):
        if not ins[0] or not ins[0][-1]:
            raise ShapeError("data must have rows to transform")
        return [(*ins[0][:-1], 2 * ins[0][-1])]

    def rows(self, node):
        shape = node.inputs[0].shape
        return product(shape[:-1]), shape[-1]


class InverseFft(_Transform):
    """The real part of the inverse transform of rows of real and imaginary parts in turn, not divided by their length."""

    name = "_contrib_ifft"
    kernel = "ifft"
    back = "_contrib_fft"

    def output_shapes(self, p, ins):
        if not ins[0] or not ins[0][-1] or ins[0][-1] % 2:
            raise ShapeError("data must have rows of real and imaginary parts, an even number of them")
        return [(*ins[0][:-1], ins[0][-1] // 2)]

    def rows(self, node):
        shape = node.outputs[0].shape
        return product(shape[:-1]), shape[-1]


class CountSketch(Op):
    """Adds every number of a row, multiplied by its sign `s`, to place `h` of a shorter row."""

    name = "_contrib_count_sketch"
    inputs = ("data", "h", "s")
    out_dim = Int(doc="length of the output's rows", min=1)
    processing_batch_size = Int(32, doc="accepted for MXNet's sake: rows computed at once", min=1)

    def output_shapes(self, p, ins):
        data, places, signs = ins
        if not data or product(places) != data[-1] or product(signs) != data[-1]:
            raise ShapeError("h and s must have one element for each number of a row of data")
        return [(*data[:-1], p.out_dim)]

    def infer_types(self, p, ins, outs):
        share_dtype(ins, outs, of=[0, 2])
        ins[1] = ins[1] or ins[0]

    def expand(self, p, node, train):
        data, places, signs = node.inputs
        shape = node.outputs[0].shape
        signed = F.Reshape(data, shape=(-1, data.shape[-1])) * F.Reshape(signs, shape=(1, -1))
        total = F._scatter_add(signed, F.Reshape(places, shape=(-1,)), size=p.out_dim, axis=1)
        return [F.Reshape(total, shape=shape)]
