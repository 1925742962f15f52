"""Attention on queries, keys and values that lie interleaved, head by head: (length, batch, heads * parts * dim)."""

from __future__ import annotations

import math

from ..base import ShapeError
from ..graph import apply
from ..op import Op, share_dtype
from ..params import Int
from .elemwise import F


class _Interleaved(Op, abstract=True):
    heads = Int(doc="number of heads", min=1)

    def cut(self, p, shape, parts, name):
        """length, batch and the size of a head."""
        if len(shape) != 3 or shape[2] % (p.heads * parts):
            raise ShapeError(f"{name} must have shape (length, batch, heads * {parts} * dim) with heads = {p.heads}")
        return shape[0], shape[1], shape[2] // (p.heads * parts)

    def part(self, p, value, parts, which):
        """One of the interleaved parts of all heads: (batch * heads, length, dim)."""
        length, batch, dim = self.cut(p, value.shape, parts, "an input")
        count = batch * p.heads
        steps = (parts * dim, count * parts * dim, 1)
        return apply("_strided_read", [value], sizes=(count, length, dim), strides=steps, offset=which * dim)

    def likeness(self, queries, keys):
        return F.batch_dot(queries, keys, transpose_b=True) * (1 / math.sqrt(queries.shape[2]))

    def weighted(self, p, attention, values, shape):
        """The values that attention chooses, side by side for all heads."""
        return F.Reshape(F.SwapAxis(F.batch_dot(attention, values), dim1=0, dim2=1), shape=shape)

    def check_attention(self, p, attention, batch, keys):
        if len(attention) != 3 or attention[0] != batch * p.heads or attention[2] != keys:
            raise ShapeError(f"attention must have shape ({batch * p.heads}, queries, {keys})")

    def infer_types(self, p, ins, outs):
        share_dtype(ins, outs, of=range(len(ins)))


class SelfAttentionQk(_Interleaved):
    """How alike each query is to each key, divided by the root of a head's size: (batch * heads, length, length)."""

    name = "_contrib_interleaved_matmul_selfatt_qk"
    inputs = ("queries_keys_values",)

    def output_shapes(self, p, ins):
        length, batch, _ = self.cut(p, ins[0], 3, self.inputs[0])
        return [(batch * p.heads, length, length)]

    def expand(self, p, node, train):
        (data,) = node.inputs
        return [self.likeness(self.part(p, data, 3, 0), self.part(p, data, 3, 1))]


class SelfAttentionValues(_Interleaved):
    """The mean of the values, weighted by attention: (length, batch, heads * dim)."""

    name = "_contrib_interleaved_matmul_selfatt_valatt"
    inputs = ("queries_keys_values", "attention")

    def output_shapes(self, p, ins):
        length, batch, dim = self.cut(p, ins[0], 3, self.inputs[0])
        self.check_attention(p, ins[1], batch, length)
        return [(ins[1][1], batch, p.heads * dim)]

    def expand(self, p, node, train):
        data, attention = node.inputs
        return [self.weighted(p, attention, self.part(p, data, 3, 2), node.outputs[0].shape)]


class EncoderDecoderQk(_Interleaved):
    """How alike each query is to each key of another sequence, divided by the root of a head's size."""

    name = "_contrib_interleaved_matmul_encdec_qk"
    inputs = ("queries", "keys_values")

    def output_shapes(self, p, ins):
        queries = self.cut(p, ins[0], 1, self.inputs[0])
        keys = self.cut(p, ins[1], 2, self.inputs[1])
        if queries[1:] != keys[1:]:
            raise ShapeError("queries and keys_values must have the same batch and size of a head")
        return [(queries[1] * p.heads, queries[0], keys[0])]

    def expand(self, p, node, train):
        queries, keys = node.inputs
        return [self.likeness(self.part(p, queries, 1, 0), self.part(p, keys, 2, 0))]


class EncoderDecoderValues(_Interleaved):
    """The mean of another sequence's values, weighted by attention."""

    name = "_contrib_interleaved_matmul_encdec_valatt"
    inputs = ("keys_values", "attention")

    def output_shapes(self, p, ins):
        length, batch, dim = self.cut(p, ins[0], 2, self.inputs[0])
        self.check_attention(p, ins[1], batch, length)
        return [(ins[1][1], batch, p.heads * dim)]

    def expand(self, p, node, train):
        data, attention = node.inputs
        return [self.weighted(p, attention, self.part(p, data, 2, 1), node.outputs[0].shape)]
