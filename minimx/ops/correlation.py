"""Correlation of two images."""

from ..base import ShapeError
from ..graph import apply_all
from ..op import Op, same_shape
from ..params import Bool, Int
from .resize import image


class _Correlating(Op, abstract=True):
    kernel_size = Int(1, doc="side of the patches that are compared, an odd number", min=1)
    max_displacement = Int(1, doc="how far the second image is displaced", min=0)
    stride1 = Int(1, doc="distance of places that are compared", min=1)
    stride2 = Int(1, doc="distance of displacements", min=1)
    pad_size = Int(0, doc="zeros around both images", min=0)
    is_multiply = Bool(True, doc="patches are multiplied, else subtracted")

    def args(self, p, shape):
        images, channels, height, width = image(shape, "data1")
        border = p.max_displacement + (p.kernel_size - 1) // 2
        if p.kernel_size % 2 == 0:
            raise ShapeError(f"kernel_size must be odd, got {p.kernel_size}")
        size = [-(-(n + 2 * p.pad_size - 2 * border) // p.stride1) for n in (height, width)]
        if min(size) < 1:
            raise ShapeError(f"images of {height} x {width} leave no place for displacements of {p.max_displacement}")
        return {
            "images": images,
            "channels": channels,
            "height": height,
            "width": width,
            "out_height": size[0],
            "out_width": size[1],
            "kernel": p.kernel_size,
            "displacement": p.max_displacement,
            "radius": p.max_displacement // p.stride2,
            "stride1": p.stride1,
            "stride2": p.stride2,
            "pad": p.pad_size,
            "multiply": int(p.is_multiply),
        }


class Correlation(_Correlating):
    """How alike two images are at each place for every displacement of the second: the mean over a patch and all channels
    of products or of absolute differences, with one channel for each displacement."""

    inputs = ("data1", "data2")

    def complete_shapes(self, p, ins, outs):
        same_shape(ins, [])

    def output_shapes(self, p, ins):
        args = self.args(p, ins[0])
        return [(ins[0][0], (2 * args["radius"] + 1) ** 2, args["out_height"], args["out_width"])]

    def gradient(self, p, node, grads):
        return apply_all("_correlation_gradient", [grads[0], *node.inputs], **p._asdict())

    def lower(self, p, node, emit):
        data = node.inputs[0]
        emit("correlation", data.dtype, self.args(p, data.shape), node.inputs, node.outputs)


class CorrelationGradient(_Correlating):
    """The gradients of both images."""

    name = "_correlation_gradient"
    inputs = ("grad", "data1", "data2")
    outputs = ("data1_grad", "data2_grad")

    def output_shapes(self, p, ins):
        return ins[1:]

    def lower(self, p, node, emit):
        data = node.inputs[1]
        emit("correlation_gradient", data.dtype, self.args(p, data.shape), node.inputs, node.outputs)
