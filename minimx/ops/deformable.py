"""Convolutions whose windows are bent: every tap is moved by an offset that another layer computes."""

from __future__ import annotations

from ..base import ShapeError
from ..graph import apply, apply_all
from ..op import Op, product, require
from ..params import Bool, Enum, Int, Shape
from .conv import DILATE, KERNEL, PAD, STRIDE, convolved, window_of
from .elemwise import F
from .resize import image


class _Deformed(Op, abstract=True):
    kernel, stride, dilate, pad = KERNEL, STRIDE, DILATE, PAD
    num_deformable_group = Int(1, doc="groups of channels that are moved alike", min=1)

    @staticmethod
    def own(p):
        return {name: getattr(p, name) for name in _Deformed.params}

    def windows(self, p, data):
        """Height and width of the output."""
        if image(data)[1] % p.num_deformable_group:
            raise ShapeError(f"{data[1]} channels cannot be cut into {p.num_deformable_group} deformable groups")
        return convolved(p, data[2:], window_of(p, 2))


class _Columns(_Deformed, abstract=True):
    modulated = Bool(False, doc="whether taps are multiplied by a mask, and how they see the border")

    def args(self, p, data):
        out = self.windows(p, data)
        found = {
            **dict(zip(("images", "channels", "height", "width"), data, strict=True)),
            "groups": p.num_deformable_group,
            "clamp": int(not p.modulated),
        }
        for name, value in zip(("kernel", "stride", "dilate", "pad", "out"), [*window_of(p, 2), out], strict=True):
            found[f"{name}_height"], found[f"{name}_width"] = value
        return found


class DeformableColumns(_Columns):
    """What a convolution with moved taps sees: (channels, pixels of a window, images, windows)."""

    name = "_deformable_columns"
    inputs = ("data", "offset", "mask")

    def input_names(self, p):
        return self.inputs if p.modulated else self.inputs[:2]

    def output_shapes(self, p, ins):
        return [(ins[0][1], product(p.kernel), ins[0][0], product(self.windows(p, ins[0])))]

    def gradient(self, p, node, grads):
        data, *moves = node.inputs
        slopes = apply_all("_deformable_columns_offset_gradient", [grads[0], data, *moves], **p._asdict())
        return [
            apply("_deformable_columns_data_gradient", [grads[0], *moves], shape=data.shape, **p._asdict()),
            *slopes,
        ]

    def lower(self, p, node, emit):
        data, offset, *mask = node.inputs
        ins = [data, offset, *(mask or [None])]
        emit("deformable_columns", data.dtype, self.args(p, data.shape), ins, node.outputs)


class DeformableColumnsDataGradient(_Columns):
    """The gradient of the data under moved taps."""

    name = "_deformable_columns_data_gradient"
    inputs = ("grad", "offset", "mask")
    shape = Shape(doc="of the data")

    def input_names(self, p):
        return self.inputs if p.modulated else self.inputs[:2]

    def output_shapes(self, p, ins):
        return [p.shape]

    def lower(self, p, node, emit):
        grad, offset, *mask = node.inputs
        ins = [grad, offset, *(mask or [None])]
        emit("deformable_columns_data_gradient", grad.dtype, self.args(p, p.shape), ins, node.outputs)


class DeformableColumnsOffsetGradient(_Columns):
    """The gradients of the offset and the mask."""

    name = "_deformable_columns_offset_gradient"
    inputs = ("grad", "data", "offset", "mask")
    outputs = ("offset_grad", "mask_grad")

    def input_names(self, p):
        return self.inputs if p.modulated else self.inputs[:3]

    def output_names(self, p):
        return self.outputs if p.modulated else self.outputs[:1]

    def output_shapes(self, p, ins):
        return ins[2:]

    def lower(self, p, node, emit):
        grad, data, offset, *mask = node.inputs
        ins = [grad, data, offset, *(mask or [None])]
        outs = list(node.outputs) if p.modulated else [*node.outputs, emit.temp((0,), data.dtype)]
        args = self.args(p, data.shape)
        emit("deformable_columns_offset_gradient", data.dtype, args, ins, outs)


class _Convolution(_Deformed, abstract=True):
    num_filter = Int(doc="windows, which are the channels of the output", min=1)
    num_group = Int(1, doc="groups of channels that are convolved apart", min=1)
    workspace = Int(1024, doc="accepted for MXNet's sake; memory is planned", min=0)
    no_bias = Bool(False, doc="leaves the bias out")
    layout = Enum(("NCHW",), None, doc="accepted when NCHW: order of the axes")
    moves = ("offset",)

    def input_names(self, p):
        return self.inputs[:-1] if p.no_bias else self.inputs

    def complete_shapes(self, p, ins, outs):
        if ins[0] is None or any(d < 0 for d in ins[0]):
            return
        data = image(ins[0])
        size, taps = self.windows(p, data), product(p.kernel)
        if data[1] % p.num_group or p.num_filter % p.num_group:
            raise ShapeError(f"{data[1]} channels and {p.num_filter} filters cannot be cut into {p.num_group} groups")
        wanted = {
            "offset": (data[0], p.num_deformable_group * 2 * taps, *size),
            "mask": (data[0], p.num_deformable_group * taps, *size),
            "weight": (p.num_filter, data[1] // p.num_group, *p.kernel),
            "bias": (p.num_filter,),
        }
        for i, name in enumerate(self.input_names(p)):
            if name in wanted:
                require(ins, i, name, wanted[name])

    def output_shapes(self, p, ins):
        return [(ins[0][0], p.num_filter, *self.windows(p, ins[0]))]

    def expand(self, p, node, train):
        modulated = "mask" in self.inputs
        data, *moves = node.inputs[: 2 + modulated]
        weight, *bias = node.inputs[2 + modulated :]
        columns = apply("_deformable_columns", [data, *moves], modulated=modulated, **self.own(p))
        columns = F.Reshape(columns, shape=(p.num_group, -1, columns.shape[2] * columns.shape[3]))
        filters = F.Reshape(weight, shape=(p.num_group, p.num_filter // p.num_group, -1))
        out = F.Reshape(F.batch_dot(filters, columns), shape=(p.num_filter, data.shape[0], -1))
        out = F.Reshape(F.SwapAxis(out, dim1=0, dim2=1), shape=node.outputs[0].shape)
        return [out + F.Reshape(bias[0], shape=(-1, 1, 1)) if bias else out]


_ORDER = (
    "kernel",
    "stride",
    "dilate",
    "pad",
    "num_filter",
    "num_group",
    "num_deformable_group",
    "workspace",
    "no_bias",
)


class DeformableConvolution(_Convolution):
    """A convolution whose taps are moved: offset holds a distance in y and in x for every tap of every window."""

    name = "_contrib_DeformableConvolution"
    param_order = (*_ORDER, "layout")
    inputs = ("data", "offset", "weight", "bias")


class ModulatedDeformableConvolution(_Convolution):
    """A convolution whose taps are moved by offset and multiplied by mask."""

    name = "_contrib_ModulatedDeformableConvolution"
    param_order = (*_ORDER, "im2col_step", "layout")
    inputs = ("data", "offset", "mask", "weight", "bias")
    im2col_step = Int(64, doc="accepted for MXNet's sake; all images are convolved at once", min=1)
