"""Operators that make arrays from nothing: constants, ranges, unit matrices."""

from __future__ import annotations

import math

from ..base import FLAG_TYPES
from ..elementwise import Elementwise
from ..op import Op, normalize_axis, product
from ..params import Bool, DType, Float, Int, Param, Shape, Text
from .elemwise import F


class _Made(Elementwise, abstract=True):
    """A formula of the element's index, in a shape and a dtype of its own."""

    inputs = ()
    ctx = Text("", doc="the device the array is made on when the operator is called by itself")
    dtype: Param = DType("float32", doc="the dtype of the array")

    def complete_shapes(self, p, ins, outs):
        pass

    def infer_types(self, p, ins, outs):
        outs[0] = p.dtype

    def gradient(self, p, node, grads):
        return []


class _Constant(_Made, abstract=True):
    number = 0.0
    shape = Shape((), min=0, doc="the shape; 0 is found out from where the array is used")

    def output_shapes(self, p, ins):
        return [tuple(d or -1 for d in p.shape)]

    def write(self, p, t):
        return t.constant(self.number)


class Zeros(_Constant):
    """Zeros."""

    name = "_zeros"


class Ones(_Constant):
    """Ones."""

    name = "_ones"
    number = 1.0


class Full(_Constant):
    """One number everywhere."""

    name = "_full"
    param_order = ("shape", "ctx", "dtype")
    value = Float(doc="the number")

    def write(self, p, t):
        return t.constant(p.value)


class ZerosWithoutDtype(_Constant):
    """Zeros whose dtype is given by its number."""

    name = "_zeros_without_dtype"
    param_order = ("shape", "ctx")
    dtype = Int(-1, doc="MXNet's number of the dtype; -1 is float32")

    def infer_types(self, p, ins, outs):
        outs[0] = FLAG_TYPES.get(p.dtype, "float32")


class Arange(_Made):
    """start, start + step, ... up to stop, which is not included; each number `repeat` times."""

    name = "_arange"
    start = Float(doc="the first number; where there is no stop, the stop")
    stop = Float(None, doc="the end")
    step = Float(1.0, doc="the distance of two numbers")
    repeat = Int(1, min=1, doc="how often each number occurs")
    infer_range = Bool(False, doc="whether the length is found out from where the array is used")

    def output_shapes(self, p, ins):
        if p.infer_range:
            return [(-1,)]
        start, stop = (0.0, p.start) if p.stop is None else (p.start, p.stop)
        return [(max(0, math.ceil((stop - start) / p.step)) * p.repeat,)]

    def compute_type(self, p, ins, out):
        return "float64"

    def write(self, p, t):
        number = t("iota")
        if p.repeat > 1:
            number = t("floor", t("div", number, t.constant(p.repeat)))
        start = 0.0 if p.stop is None and not p.infer_range else p.start
        return t("add", t("mul", number, t.constant(p.step)), t.constant(start))


class Linspace(_Made):
    """`num` numbers at equal distances from start to stop."""

    name = "_linspace"
    start = Float(doc="the first number")
    stop = Float(doc="the end")
    num = Int(50, min=1, doc="how many numbers")
    endpoint = Bool(True, doc="whether stop is the last number")

    def output_shapes(self, p, ins):
        return [(p.num,)]

    def compute_type(self, p, ins, out):
        return "float64"

    def write(self, p, t):
        step = (p.stop - p.start) / max(1, p.num - (1 if p.endpoint else 0))
        return t("add", t("mul", t("iota"), t.constant(step)), t.constant(p.start))


class Eye(_Made):
    """A matrix with ones on a diagonal."""

    name = "_eye"
    N = Int(min=1, doc="the number of rows")
    M = Int(0, min=0, doc="the number of columns; 0 is as many as rows")
    k = Int(0, doc="which diagonal: 0 the main one, above it positive, below it negative")

    def output_shapes(self, p, ins):
        return [(p.N, p.M or p.N)]

    def compute_type(self, p, ins, out):
        return "int64"

    def write(self, p, t):
        columns = t.constant(p.M or p.N)
        row = t("div", t("iota"), columns)
        column = t("sub", t("iota"), t("mul", row, columns))
        return t("equal", t("sub", column, row), t.constant(p.k))


class ArangeLike(Op):
    """A range in the shape of an array, or as long as one of its axes."""

    name = "_contrib_arange_like"
    start = Float(0.0, doc="the first number")
    step = Float(1.0, doc="the distance of two numbers")
    repeat = Int(1, min=1, doc="how often each number occurs")
    ctx = Text("", doc="has no effect")
    axis = Int(None, doc="the axis whose length is taken; all of them by default")

    def output_shapes(self, p, ins):
        return [ins[0] if p.axis is None else (ins[0][normalize_axis(p.axis, len(ins[0]))],)]

    def gradient(self, p, node, grads):
        return [None]

    def expand(self, p, node, train):
        shape = node.outputs[0].shape
        count = -(-product(shape) // p.repeat)
        stop = p.start + p.step * (count - 0.5)
        numbers = F._arange(start=p.start, stop=stop, step=p.step, repeat=p.repeat, dtype=node.outputs[0].dtype)
        if numbers.shape[0] != product(shape):
            numbers = F.slice_axis(numbers, axis=0, begin=0, end=product(shape))
        return [numbers if len(shape) == 1 else F.Reshape(numbers, shape=shape)]
