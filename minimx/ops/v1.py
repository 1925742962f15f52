"""Layers of old programs, under the names that MXNet keeps them: today's, except for what is said here."""

from __future__ import annotations

from ..graph import apply
from ..op import Op, find, product
from ..params import Bool, Enum, Shape
from .conv import Convolution
from .norm import _MadeOfBatchNorm


class BatchNormV1(_MadeOfBatchNorm):
    """BatchNorm with the channels on axis 1."""

    name = "BatchNorm_v1"


class ConvolutionV1(Convolution):
    """Convolution."""

    name = "Convolution_v1"
    param_order = (*Convolution.param_order, "cudnn_off", "layout")
    layout = Enum(("NCHW", "NHWC", "NCDHW", "NDHWC"), None, doc="order of the axes, channels second by default")

    def expand(self, p, node, train):
        return [apply("Convolution", node.inputs, **p._asdict())]

    def expand_before_gradient(self, p, train):
        return True


class PoolingV1(Op):
    """Pooling in which a mean is the sum divided by the size of the window, however much of it lies outside."""

    name = "Pooling_v1"
    kernel = Shape((), doc="size of the window", min=1)
    pool_type = Enum(("max", "avg", "sum"), "max", doc="what a window becomes")
    global_pool = Bool(False, doc="the window is the whole image")
    pooling_convention = Enum(("valid", "full"), "valid", doc="whether the number of windows is rounded down or up")
    stride = Shape((), doc="distance between windows, 1 by default", min=1)
    pad = Shape((), doc="pixels around the data that count as missing, 0 by default", min=0)

    def inner(self, p):
        """The parameters of Pooling."""
        return {**p._asdict(), "pool_type": "sum" if p.pool_type == "avg" else p.pool_type}

    def output_shapes(self, p, ins):
        pooling = find("Pooling")
        return pooling.output_shapes(pooling.parse(self.inner(p)), ins)

    def expand(self, p, node, train):
        out = apply("Pooling", node.inputs, **self.inner(p))
        window = node.inputs[0].shape[2:] if p.global_pool else p.kernel
        return [out * (1 / product(window)) if p.pool_type == "avg" else out]
