"""Images of another size: UpSampling, BilinearResize2D, AdaptiveAvgPooling2D; and the columns of a convolution."""

from __future__ import annotations

import math

from ..base import ShapeError
from ..graph import apply
from ..op import Op, product, require, share_dtype
from ..params import Bool, Enum, Float, Int, Shape
from .conv import DILATE, KERNEL, PAD, STRIDE, convolved, window_of
from .elemwise import F


def image(shape, what="data"):
    """The shape of a batch of images."""
    if len(shape) != 4:
        raise ShapeError(f"{what} must have 4 dimensions (batch, channels, height, width)")
    return shape


def args(small, large, align_corners=True):
    """Kernel arguments for planes of two sizes."""
    return {
        "planes": product(small[:2]),
        "in_height": small[2],
        "in_width": small[3],
        "out_height": large[2],
        "out_width": large[3],
        "align_corners": int(align_corners),
    }


# ---- UpSampling ----------------------------------------------------------------------------------------------------------


class UpsampleNearest(Op):
    """Every pixel becomes a square of `scale` pixels."""

    name = "_upsample_nearest"
    scale = Int(doc="side of the squares", min=1)

    def output_shapes(self, p, ins):
        n, c, h, w = image(ins[0])
        return [(n, c, h * p.scale, w * p.scale)]

    def gradient(self, p, node, grads):
        side = (p.scale, p.scale)
        return [apply("Pooling", grads, kernel=side, stride=side, pool_type="sum")]

    def lower(self, p, node, emit):
        (data,), (out,) = node.inputs, node.outputs
        emit("upsample_nearest", data.dtype, args(data.shape, out.shape), [data], [out])


class UpSampling(Op):
    """Makes images `scale` times as large: every pixel a square (nearest), or by a Deconvolution whose weight begins as
    bilinear interpolation. With nearest, further inputs are enlarged to the size of the first result and joined."""

    count = "num_args"
    param_order = ("scale", "num_filter", "sample_type", "multi_input_mode", "num_args", "workspace")
    scale = Int(doc="how much larger the first input becomes", min=1, max=1000)
    num_filter = Int(0, doc="channels of the data, with bilinear", min=0)
    sample_type = Enum(("nearest", "bilinear"), doc="how the new pixels are made")
    multi_input_mode = Enum(("concat", "sum"), "concat", doc="how several inputs are joined")
    num_args = Int(doc="number of inputs", min=1)
    workspace = Int(512, doc="accepted for MXNet's sake; memory is planned", min=0)

    def input_names(self, p):
        return ("data", "weight") if p.sample_type == "bilinear" else super().input_names(p)

    def counted(self, inputs):
        return max(inputs, 1)

    def key_variable_attrs(self, p, input_name):
        return {"__init__": '["bilinear", {}]'} if input_name == "weight" else {}

    def complete_shapes(self, p, ins, outs):
        if p.sample_type == "bilinear":
            side = 2 * p.scale - p.scale % 2
            require(ins, 1, "weight", (p.num_filter, 1, side, side))

    def output_shapes(self, p, ins):
        n, c, h, w = image(ins[0])
        size = (h * p.scale, w * p.scale)
        if p.sample_type == "bilinear":
            if c != p.num_filter:
                raise ShapeError(f"num_filter must be the channels of data, {c}, got {p.num_filter}")
            return [(n, c, *size)]
        for i, shape in enumerate(ins):
            if image(shape, f"input {i}")[0] != n or size[0] % shape[2] or size[0] // shape[2] * shape[3] != size[1]:
                raise ShapeError(f"input {i} of shape {shape} cannot be enlarged to {size}")
            if p.multi_input_mode == "sum" and shape[1] != c:
                raise ShapeError(f"inputs to be added must have the same channels, got {c} and {shape[1]}")
        return [(n, c if p.multi_input_mode == "sum" else sum(s[1] for s in ins), *size)]

    def expand(self, p, node, train):
        if p.sample_type == "bilinear":
            side, pad = 2 * p.scale - p.scale % 2, math.ceil((p.scale - 1) / 2)
            more = {"num_filter": p.num_filter, "num_group": p.num_filter, "no_bias": True}
            return [
                F.Deconvolution(*node.inputs, kernel=(side, side), stride=(p.scale, p.scale), pad=(pad, pad), **more)
            ]
        height = node.outputs[0].shape[2]
        large = [F._upsample_nearest(v, scale=height // v.shape[2]) for v in node.inputs]
        if len(large) == 1:
            return large
        return [apply("add_n", large) if p.multi_input_mode == "sum" else apply("Concat", large, dim=1)]


# ---- interpolation -------------------------------------------------------------------------------------------------------

MODES = ("size", "odd_scale", "like", "to_even_down", "to_even_up", "to_odd_down", "to_odd_up")


class BilinearResize2D(Op):
    """Images of another height and width, interpolated between the four nearest pixels.

    The new size is height and width or the scales (size), near the scales so that it is odd where the old one is
    (odd_scale), that of a second input (like), or the old one made even or odd by one pixel less or more.
    """

    name = "_contrib_BilinearResize2D"
    inputs = ("data", "like")
    height = Int(1, doc="the new height, with size", min=1, max=10000)
    width = Int(1, doc="the new width, with size", min=1, max=10000)
    scale_height = Float(None, doc="the new height over the old one")
    scale_width = Float(None, doc="the new width over the old one")
    mode = Enum(MODES, "size", doc="how the new size is found")
    align_corners = Bool(True, doc="the outermost pixels keep their centres, instead of the image its border")

    def input_names(self, p):
        return self.inputs if p.mode == "like" else self.inputs[:1]

    def resized(self, p, old, given, scale):
        if p.mode == "size":
            return given if scale is None else math.floor(old * scale)
        if p.mode == "odd_scale":
            if scale is None:
                raise ShapeError("mode 'odd_scale' needs scale_height and scale_width")
            return int(old * scale) if old % 2 == 0 else int((old - 1) * scale) + 1
        if p.mode in ("to_even_down", "to_odd_down"):
            return old - (old % 2 != (p.mode == "to_odd_down"))
        return old + (old % 2 != (p.mode == "to_odd_up"))

    def output_shapes(self, p, ins):
        n, c, h, w = image(ins[0])
        if p.mode == "like":
            return [(n, c, *image(ins[1], "like")[2:])]
        size = (self.resized(p, h, p.height, p.scale_height), self.resized(p, w, p.width, p.scale_width))
        if min(size) < 1:
            raise ShapeError(f"the new size would be {size}")
        return [(n, c, *size)]

    def infer_types(self, p, ins, outs):
        share_dtype(ins, outs)
        if len(ins) == 2:
            ins[1] = ins[1] or ins[0]

    def gradient(self, p, node, grads):
        more = {"shape": node.inputs[0].shape, "align_corners": p.align_corners}
        data = apply("_bilinear_resize_gradient", grads, **more)
        return [data, *[apply("zeros_like", [v]) for v in node.inputs[1:]]]

    def lower(self, p, node, emit):
        data, out = node.inputs[0], node.outputs[0]
        sizes = args(data.shape, out.shape, p.align_corners)
        emit("bilinear_resize", data.dtype, sizes, [data], [out], scratch=24 * out.shape[3])


class BilinearResizeGradient(Op):
    """The gradient of BilinearResize2D's data."""

    name = "_bilinear_resize_gradient"
    inputs = ("grad",)
    shape = Shape(doc="of the data")
    align_corners = Bool(True, doc="as in BilinearResize2D")

    def output_shapes(self, p, ins):
        return [p.shape]

    def gradient(self, p, node, grads):
        h, w = node.inputs[0].shape[2:]
        return [apply("_contrib_BilinearResize2D", grads, height=h, width=w, align_corners=p.align_corners)]

    def lower(self, p, node, emit):
        (grad,), (out,) = node.inputs, node.outputs
        sizes = args(out.shape, grad.shape, p.align_corners)
        emit("bilinear_resize_gradient", grad.dtype, sizes, [grad], [out], scratch=24 * grad.shape[3])


class AdaptiveAvgPooling2D(Op):
    """Images of a given size whose pixels are the means of equal shares of the data's."""

    name = "_contrib_AdaptiveAvgPooling2D"
    output_size = Shape((), doc="the new height and width, one number for both; 1 by default", min=1)

    def output_shapes(self, p, ins):
        if len(p.output_size) > 2:
            raise ShapeError(f"output_size must have one or two numbers, got {p.output_size}")
        size = p.output_size * 2 if len(p.output_size) == 1 else p.output_size or (1, 1)
        return [(*image(ins[0])[:2], *size)]

    def gradient(self, p, node, grads):
        return [apply("_adaptive_average_gradient", grads, shape=node.inputs[0].shape)]

    def lower(self, p, node, emit):
        (data,), (out,) = node.inputs, node.outputs
        emit("adaptive_average", data.dtype, args(data.shape, out.shape), [data], [out])


class AdaptiveAverageGradient(Op):
    """The gradient of AdaptiveAvgPooling2D's data."""

    name = "_adaptive_average_gradient"
    inputs = ("grad",)
    shape = Shape(doc="of the data")

    def output_shapes(self, p, ins):
        return [p.shape]

    def gradient(self, p, node, grads):
        return [apply("_contrib_AdaptiveAvgPooling2D", grads, output_size=node.inputs[0].shape[2:])]

    def lower(self, p, node, emit):
        (grad,), (out,) = node.inputs, node.outputs
        emit("adaptive_average_gradient", grad.dtype, args(out.shape, grad.shape), [grad], [out])


# ---- columns -------------------------------------------------------------------------------------------------------------


class _Columns(Op, abstract=True):
    kernel, stride, dilate, pad = KERNEL, STRIDE, DILATE, PAD

    def windows(self, p, size):
        """How many windows there are along each axis of an image."""
        return convolved(p, size, window_of(p, len(size)))

    def args(self, p, planes, size):
        named = {"in": (size, 1), "out": (self.windows(p, size), 1)}
        for name, value in zip(("kernel", "stride", "dilate", "pad"), window_of(p, len(size)), strict=True):
            named[name] = (value, 0 if name == "pad" else 1)
        found = {"planes": planes}
        for name, (value, fill) in named.items():
            three = [fill] * (3 - len(value)) + list(value)
            found.update(zip((f"{name}_depth", f"{name}_height", f"{name}_width"), three, strict=True))
        return found


class Im2Col(_Columns):
    """What a convolution sees: (N, C, spatial...) becomes (N, C times the pixels of a window, windows)."""

    name = "im2col"

    def output_shapes(self, p, ins):
        data = ins[0]
        if not 3 <= len(data) <= 5:
            raise ShapeError("data must have three to five dimensions")
        return [(data[0], data[1] * product(p.kernel), product(self.windows(p, data[2:])))]

    def gradient(self, p, node, grads):
        return [apply("col2im", grads, output_size=node.inputs[0].shape[2:], **p._asdict())]

    def lower(self, p, node, emit):
        (data,), (out,) = node.inputs, node.outputs
        emit("im2col", data.dtype, self.args(p, product(data.shape[:2]), data.shape[2:]), [data], [out])


class Col2Im(_Columns):
    """Puts what im2col took apart together again, adding up what belongs to the same pixel."""

    name = "col2im"
    output_size = Shape(doc="spatial size of the image", min=1)

    def output_shapes(self, p, ins):
        data = ins[0]
        if not 1 <= len(p.output_size) <= 3:
            raise ShapeError(f"output_size must have one to three dimensions, got {p.output_size}")
        count, windows = product(p.kernel), product(self.windows(p, p.output_size))
        if len(data) != 3 or data[1] % count or data[2] != windows:
            raise ShapeError(f"data must have shape (N, a multiple of {count}, {windows})")
        return [(data[0], data[1] // count, *p.output_size)]

    def gradient(self, p, node, grads):
        own = {n: v for n, v in p._asdict().items() if n != "output_size"}
        return [apply("im2col", grads, **own)]

    def lower(self, p, node, emit):
        (data,), (out,) = node.inputs, node.outputs
        emit("col2im", data.dtype, self.args(p, product(out.shape[:2]), p.output_size), [data], [out])
