"""Convolution, its gradients, and Deconvolution: three kernels over the same sizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import gcd

from ..base import ITEM_SIZES, ShapeError
from ..graph import apply
from ..op import Op, product, require, unify
from ..params import Bool, Enum, Int, Shape
from . import last
from .linear import EXACT, emit_gemm

# Elements of scratch a thread is given when one slice of the output would do with less: half of a second-level cache.
ENOUGH = 128 * 1024
# Elements of images that the weight gradient copies at once.
IMAGES_AT_ONCE = 2 * 1024 * 1024


LAYOUTS = ("NCW", "NCHW", "NCDHW", "NWC", "NHWC", "NDHWC")


KERNEL = Shape(doc="size of the window", min=1)
STRIDE = Shape((), doc="distance between windows, 1 by default", min=1)
DILATE = Shape((), doc="distance between the pixels of a window, 1 by default", min=1)
PAD = Shape((), doc="zeros around the data, 0 by default", min=0)


def window_of(p, ndim):
    """kernel, stride, dilate and pad of so many dimensions, with their defaults."""
    found = []
    for name, default in (("kernel", 1), ("stride", 1), ("dilate", 1), ("pad", 0)):
        value = getattr(p, name) or (default,) * ndim
        if len(value) != ndim:
            raise ShapeError(f"{name} must have {ndim} dimensions, got {value}")
        found.append(value)
    return found


class _Convolving(Op, abstract=True):
    """What all of them are told. Weights are (filters, channels per group, *kernel), those of Deconvolution too."""

    kernel, stride, dilate, pad = KERNEL, STRIDE, DILATE, PAD
    num_group = Int(1, doc="groups of channels that are convolved apart", min=1)
    in_last: Callable | None = None  # makes of a node one that works on images with their channels last

    @staticmethod
    def window(p):
        """kernel, stride, dilate and pad with their defaults."""
        if not 1 <= len(p.kernel) <= 3:
            raise ShapeError(f"kernel must have one to three dimensions, got {p.kernel}")
        return window_of(p, len(p.kernel))

    @staticmethod
    def own(p):
        """The parameters that the gradients share."""
        return {name: getattr(p, name) for name in _Convolving.params}

    def wants_channels_last(self, node):
        return self.in_last is not None and last.suits(node)

    def channels_last(self, p, node, moved, plain):
        return self.in_last(node, moved, plain) if self.wants_channels_last(node) else None


def convolved(p, data, window):
    """The spatial dimensions of a convolution's output."""
    out = []
    for i, n, k, s, d, q in zip(range(len(data)), data, *window, strict=True):
        span = d * (k - 1) + 1
        if n + 2 * q < span:
            raise ShapeError(f"the window spans {span} pixels of spatial axis {i}, which has {n} and {q} on each side")
        out.append((n + 2 * q - span) // s + 1)
    return tuple(out)


def sees_everything(p, data):
    """Whether one window is the whole image: the convolution is a matrix product, batch x filters."""
    kernel, _, dilate, pad = _Convolving.window(p)
    return kernel == data[2:] and not any(pad) and p.num_group == 1 and all(d == 1 for d in dilate)


def emit_forward(p, emit, data, weight, out, bias=None, scale=None):
    g = Geometry(data.shape, weight.shape, out.shape, *_Convolving.window(p)[1:], p.num_group)
    elements = g.forward_scratch(emit.threads)
    operands = [data, weight, bias, None, scale]
    emit("conv_forward", out.dtype, g.args(elements), operands, [out], scratch=elements * max(4, ITEM_SIZES[out.dtype]))


class _Padded(_Convolving, abstract=True):
    """Parameters of the operators that users call."""

    inputs = ("data", "weight", "bias")
    param_order = (
        *("kernel", "stride", "dilate", "pad", "adj", "target_shape"),
        *("num_filter", "num_group", "workspace", "no_bias", "cudnn_tune"),
    )
    num_filter = Int(doc="number of filters, which are the channels of the output", min=1)
    workspace = Int(1024, doc="accepted for MXNet's sake; memory is planned", min=0)
    cudnn_tune = Enum(("fastest", "limited_workspace", "off"), None, doc="accepted for MXNet's sake")
    cudnn_off = Bool(False, doc="accepted for MXNet's sake")
    layout = Enum(LAYOUTS, None, doc="order of the axes, channels second by default; weights have the same order")

    def input_names(self, p):
        return ("data", "weight") if p.no_bias else ("data", "weight", "bias")

    @staticmethod
    def channels_last_given(p):
        return p.layout is not None and p.layout[-1] == "C"

    def plain(self, p, shape):
        """The shape of an operand with the channels second."""
        return to_first(shape) if self.channels_last_given(p) and shape is not None else shape

    def arranged(self, p, shape):
        return to_last(shape) if self.channels_last_given(p) else shape

    def complete_shapes(self, p, ins, outs):
        kernel = self.window(p)[0]
        if p.layout is not None and len(p.layout) != len(kernel) + 2:
            raise ShapeError(f"layout {p.layout} does not fit a kernel of {len(kernel)} dimensions")
        data = self.plain(p, ins[0])
        if data is not None and len(data) != len(kernel) + 2:
            raise ShapeError(f"data must have {len(kernel) + 2} dimensions for a kernel of {len(kernel)}")
        if data is not None and outs[0] is not None and len(outs[0]) == len(data):
            ins[0] = (*unify(ins[0][:1], outs[0][:1], "batch sizes of data and output"), *ins[0][1:])
        require(ins, 1, "weight", self.arranged(p, (*self.weight_rows(p, data[1] if data else -1), *kernel)))
        if not p.no_bias:
            require(ins, 2, "bias", (p.num_filter,))

    def output_shapes(self, p, ins):
        data = self.plain(p, ins[0])
        for what, n in (("the channels of data", data[1]), ("num_filter", p.num_filter)):
            if n % p.num_group:
                raise ShapeError(f"{what}, {n}, cannot be cut into {p.num_group} groups")
        return [self.arranged(p, (data[0], p.num_filter, *self.spatial(p, data[2:])))]

    def expand_before_gradient(self, p, train):
        return self.channels_last_given(p)


class Convolution(_Padded):
    """Slides `num_filter` windows over the data and sums up what each sees, weighted: a cross-correlation in one to three
    dimensions, over all channels or within groups of them."""

    takes_riders = EXACT
    in_last = staticmethod(last.convolution)
    no_bias = Bool(False, doc="leaves the bias out")

    def wants_channels_last(self, node):
        return not self.channels_last_given(node.params) and super().wants_channels_last(node)

    def weight_rows(self, p, channels):
        return p.num_filter, channels // p.num_group if channels >= 0 else -1

    def spatial(self, p, size):
        return convolved(p, size, self.window(p))

    def expand(self, p, node, train):
        if not self.channels_last_given(p):
            return None
        data, weight = (apply("transpose", [v], axes=to_first(range(v.ndim))) for v in node.inputs[:2])
        out = apply(self.name, [data, weight, *node.inputs[2:]], **p._replace(layout=None)._asdict())
        return [apply("transpose", [out], axes=to_last(range(out.ndim)))]

    def gradient(self, p, node, grads):
        data, weight = node.inputs[:2]
        result = [
            apply("_conv_data_gradient", [grads[0], weight], shape=data.shape, **self.own(p)),
            apply("_conv_weight_gradient", [data, grads[0]], **self.own(p)),
        ]
        return result if p.no_bias else [*result, sum_of_filters(grads[0])]

    def lower(self, p, node, emit):
        (data, weight, *bias), (out,) = node.inputs, node.outputs
        if sees_everything(p, data.shape):
            k = product(weight.shape[1:])
            emit_gemm(
                emit, data, weight, out, data.shape[0], weight.shape[0], k, transpose_b=True, bias=(*bias, None)[0]
            )
        else:
            emit_forward(p, emit, data, weight, out, *bias)


class ScaledConvolution(_Convolving):
    """A convolution whose filters are scaled and shifted: what one before an inference BatchNorm becomes."""

    name = "_scaled_convolution"
    takes_riders = EXACT
    in_last = staticmethod(last.convolution)
    inputs = ("data", "weight", "shift", "scale")

    def infer_types(self, p, ins, outs):
        outs[0] = ins[0]  # those of a short float are scaled and shifted in float32

    def output_shapes(self, p, ins):
        data, weight = ins[:2]
        return [(data[0], weight[0], *convolved(p, data[2:], self.window(p)))]

    def lower(self, p, node, emit):
        data, weight, shift, scale = node.inputs
        emit_forward(p, emit, data, weight, node.outputs[0], shift, scale)


class ConvDataGradient(_Convolving):
    """The gradient of a convolution's data, from that of its output: also the convolution that enlarges."""

    name = "_conv_data_gradient"
    in_last = staticmethod(last.data_gradient)
    inputs = ("grad", "weight")
    shape = Shape(doc="of the data")

    def output_shapes(self, p, ins):
        grad, weight = ins
        want = (p.shape[0], weight[0], *convolved(p, p.shape[2:], self.window(p)))
        if grad != want or weight[1] * p.num_group != p.shape[1]:
            raise ShapeError(f"data of shape {p.shape} is not convolved to {grad}")
        return [p.shape]

    def gradient(self, p, node, grads):
        grad, weight = node.inputs
        return [
            apply("Convolution", [grads[0], weight], no_bias=True, num_filter=weight.shape[0], **self.own(p)),
            apply("_conv_weight_gradient", [grads[0], grad], **self.own(p)),
        ]

    def lower(self, p, node, emit):
        (grad, weight), (out,) = node.inputs, node.outputs
        if sees_everything(p, out.shape):
            emit_gemm(emit, grad, weight, out, out.shape[0], product(out.shape[1:]), weight.shape[0])
            return
        g = Geometry(out.shape, weight.shape, grad.shape, *self.window(p)[1:], p.num_group)
        elements = g.data_gradient_scratch(emit.threads)
        scratch = elements * max(4, ITEM_SIZES[out.dtype])
        emit("conv_data_gradient", out.dtype, g.args(elements), [grad, weight], [out], scratch=scratch)


class ConvWeightGradient(_Convolving):
    """The gradient of a convolution's weights, from its data and the gradient of its output."""

    name = "_conv_weight_gradient"
    in_last = staticmethod(last.weight_gradient)
    inputs = ("data", "grad")

    def output_shapes(self, p, ins):
        data, grad = ins
        want = convolved(p, data[2:], self.window(p))
        if grad[2:] != want or data[1] % p.num_group:
            raise ShapeError(f"data of shape {data} is not convolved to {grad}")
        return [(grad[1], data[1] // p.num_group, *p.kernel)]

    def gradient(self, p, node, grads):
        data, grad = node.inputs
        return [
            apply("_conv_data_gradient", [grad, grads[0]], shape=data.shape, **self.own(p)),
            apply("Convolution", [data, grads[0]], no_bias=True, num_filter=grad.shape[1], **self.own(p)),
        ]

    def moves_output(self, node):
        return False

    def lower(self, p, node, emit):
        (data, grad), (out,) = node.inputs, node.outputs
        if sees_everything(p, data.shape):
            emit_gemm(emit, grad, data, out, out.shape[0], product(out.shape[1:]), data.shape[0], transpose_a=True)
            return
        g = Geometry(data.shape, out.shape, grad.shape, *self.window(p)[1:], p.num_group)
        elements = g.weight_gradient_scratch()
        scratch = elements * max(4, ITEM_SIZES[out.dtype])
        emit("conv_weight_gradient", out.dtype, g.args(elements), [data, grad], [out], scratch=scratch)


class Deconvolution(_Padded):
    """The transpose of a convolution: every pixel of the data adds its weighted window to the output, which a stride makes
    larger than the data. The weight is (channels of data, num_filter / num_group, *kernel)."""

    workspace = Int(512, doc="accepted for MXNet's sake; memory is planned", min=0)
    no_bias = Bool(True, doc="leaves the bias out")
    adj = Shape((), doc="added to the size of the output, less than the stride", min=0)
    target_shape = Shape((), doc="the spatial size of the output, from which pad and adj follow", min=0)

    def weight_rows(self, p, channels):
        return channels, p.num_filter // p.num_group

    def spatial(self, p, size):
        return self._placed(p, size)[0]

    def _placed(self, p, size):
        """The output's size and the padding that gives it."""
        kernel, stride, dilate, pad = self.window(p)
        adj = p.adj or (0,) * len(kernel)
        out, pads = [], []
        for i, (n, k, s, d, q) in enumerate(zip(size, kernel, stride, dilate, pad, strict=True)):
            full, extra = (n - 1) * s + d * (k - 1) + 1, adj[i]
            if any(p.target_shape):
                total = full - p.target_shape[i]
                if total < 0:
                    raise ShapeError(f"target_shape {p.target_shape} is larger than the windows reach, {full}")
                q, extra = (total + 1) // 2, total % 2
            if extra >= s:
                raise ShapeError(f"adj {extra} must be less than the stride {s}")
            out.append(full - 2 * q + extra)
            pads.append(q)
        if min(out) < 1:
            raise ShapeError(f"the output would have the spatial size {tuple(out)}")
        return tuple(out), tuple(pads)

    def expand(self, p, node, train):
        data, weight = node.inputs[:2]
        if self.channels_last_given(p):
            data, weight = (apply("transpose", [v], axes=to_first(range(v.ndim))) for v in (data, weight))
        size, pad = self._placed(p, data.shape[2:])
        shape = (data.shape[0], p.num_filter, *size)
        out = apply("_conv_data_gradient", [data, weight], shape=shape, **self.own(p) | {"pad": pad})
        if not p.no_bias:
            out = out + apply("reshape", [node.inputs[2]], shape=(p.num_filter, *[1] * len(size)))
        return [apply("transpose", [out], axes=to_last(range(out.ndim))) if self.channels_last_given(p) else out]


def sum_of_filters(grad):
    return apply("sum", [grad], axis=(0, *range(2, grad.ndim)))


def to_first(dims):
    """Channels from the last place to the second."""
    return (dims[0], dims[-1], *dims[1:-1])


def to_last(dims):
    return (dims[0], *dims[2:], dims[1])


class Geometry:
    """The sizes of a convolution with three spatial dimensions, as csrc/args/conv.h names them."""

    def __init__(
        self,
        x: Sequence[int],
        w: Sequence[int],
        y: Sequence[int],
        stride: Sequence[int],
        dilate: Sequence[int],
        pad: Sequence[int],
        groups: int,
    ):
        def three(dims: Sequence[int], fill: int) -> list[int]:
            return [fill] * (3 - len(dims)) + list(dims)

        self.batch, self.channels, self.filters, self.groups = x[0], x[1], w[0], groups
        self.inside, self.out, self.kernel = three(x[2:], 1), three(y[2:], 1), three(w[2:], 1)
        self.stride, self.dilate, self.pad = three(stride, 1), three(dilate, 1), three(pad, 0)

    def args(self, scratch: int, activation: int = 0) -> dict[str, object]:
        return {
            "batch": self.batch,
            "channels": self.channels,
            "filters": self.filters,
            "groups": self.groups,
            "in": self.inside,
            "out": self.out,
            "kernel": self.kernel,
            "stride": self.stride,
            "dilate": self.dilate,
            "pad": self.pad,
            "activation": activation,
            "scratch": scratch,
        }

    def forward_scratch(self, threads: int) -> int:
        """Elements, as for the others."""
        phases = [min(k, s // gcd(s, d)) for k, s, d in zip(self.kernel, self.stride, self.dilate, strict=True)]
        reach = [(k - 1) * d // s for k, s, d in zip(self.kernel, self.stride, self.dilate, strict=True)]
        channels, filters = self.channels // self.groups, self.filters // self.groups
        return threads * boxes(channels, filters, self.out, product(phases), reach, product(self.kernel))

    def data_gradient_scratch(self, threads: int) -> int:
        reach = [(k - 1) * d for k, d in zip(self.kernel, self.dilate, strict=True)]
        channels, filters = self.channels // self.groups, self.filters // self.groups
        weights = up(self.filters * channels * product(self.kernel))
        return weights + threads * boxes(filters, channels, self.inside, 1, reach, product(self.kernel))

    def weight_gradient_scratch(self) -> int:
        phases = [min(k, s // gcd(s, d)) for k, s, d in zip(self.kernel, self.stride, self.dilate, strict=True)]
        reach = [(k - 1) * d // s for k, s, d in zip(self.kernel, self.stride, self.dilate, strict=True)]
        places = places_of(self.out, reach)
        terms = self.channels // self.groups * product(self.kernel)
        image = self.channels * source_of(self.out, product(phases), reach) + 64 * self.groups + self.filters * places
        images = max(1, min(self.batch, IMAGES_AT_ONCE // image))
        return up(terms + places + 64) + images * image


def boxes(channels: int, filters: int, out: Sequence[int], phases: int, reach: Sequence[int], taps: int) -> int:
    """What one thread needs for the whole output, or for a slice of it when the whole is large."""

    def box(rows: Sequence[int]) -> int:
        places = places_of(rows, reach)
        return up(channels * source_of(rows, phases, reach) + filters * places + channels * taps + places + 128)

    cut = next((i for i, n in enumerate(out) if n > 1), 2)
    slice_of_one = [1 if i <= cut else n for i, n in enumerate(out)]
    return min(box(out), max(box(slice_of_one), ENOUGH))


def source_of(rows: Sequence[int], phases: int, reach: Sequence[int]) -> int:
    return phases * product([n + r for n, r in zip(rows, reach, strict=True)]) + 32


def places_of(rows: Sequence[int], reach: Sequence[int]) -> int:
    return rows[0] * (rows[1] * (rows[2] + reach[2] + 16) + 64)


def up(n: int) -> int:
    return (n + 63) // 64 * 64
