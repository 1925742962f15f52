"""im2col and col2im: the blocks that a convolution sees, one under each other."""

from __future__ import annotations

from typing import Any

from ..base import ShapeError
from ..op import Op, product
from ..params import Shape
from ..strided import contiguous
from .elemwise import F


class _Windows(Op, abstract=True):
    kernel = Shape(min=1, doc="size of the blocks: (w,), (h, w) or (d, h, w)")
    stride = Shape((), min=1, doc="distance of two neighbouring blocks; 1 by default")
    dilate = Shape((), min=1, doc="distance of two neighbouring elements of a block; 1 by default")
    pad = Shape((), min=0, doc="zeros around the data on both sides; 0 by default")

    def geometry(self, p: Any, spatial: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
        """Strides, dilations, padding and the number of blocks along each spatial axis."""
        nd = len(p.kernel)
        stride, dilate, pad = p.stride or (1,) * nd, p.dilate or (1,) * nd, p.pad or (0,) * nd
        if not len(stride) == len(dilate) == len(pad) == len(spatial) == nd:
            raise ShapeError(f"kernel {p.kernel}, stride, dilate, pad must have a number for each of {spatial}")
        counts = []
        for size, k, s, d, border in zip(spatial, p.kernel, stride, dilate, pad, strict=True):
            reach = d * (k - 1) + 1
            if size + 2 * border < reach:
                raise ShapeError(f"a block of kernel {p.kernel} does not fit into {spatial} with pad {pad}")
            counts.append((size + 2 * border - reach) // s + 1)
        return stride, dilate, pad, tuple(counts)


def border(data: Any, pad: tuple[int, ...]) -> Any:
    """Zeros around the spatial axes."""
    if not any(pad):
        return data
    widths = (0, 0, 0, 0, *(w for p in pad for w in (p, p)))
    return F.Pad(data, mode="constant", pad_width=widths)


class Im2Col(_Windows):
    """The blocks of data (n, c, ...) as columns: (n, c * block size, number of blocks)."""

    name = "im2col"

    def output_shapes(self, p, ins):
        shape = ins[0]
        if len(shape) != 2 + len(p.kernel):
            raise ShapeError(f"data must have {2 + len(p.kernel)} dimensions for kernel {p.kernel}")
        counts = self.geometry(p, shape[2:])[3]
        return [(shape[0], shape[1] * product(p.kernel), product(counts))]

    def gradient(self, p, node, grads):
        return [F.col2im(grads[0], output_size=node.inputs[0].shape[2:], **p._asdict())]

    def expand(self, p, node, train):
        (data,) = node.inputs
        stride, dilate, pad, counts = self.geometry(p, data.shape[2:])
        padded = border(data, pad)
        image, channel, *steps = contiguous(padded.shape)
        blocks = F._strided_read(
            padded,
            sizes=(*data.shape[:2], *p.kernel, *counts),
            strides=(
                *(image, channel),
                *(s * d for s, d in zip(steps, dilate, strict=True)),
                *(s * d for s, d in zip(steps, stride, strict=True)),
            ),
        )
        return [F.Reshape(blocks, shape=node.outputs[0].shape)]


class Col2Im(_Windows):
    """The sum of all columns, each written back to where im2col took it from: (n, c, ...)."""

    name = "col2im"
    param_order = ("output_size", "kernel", "stride", "dilate", "pad")
    output_size = Shape(min=1, doc="the spatial size of the output")

    def output_shapes(self, p, ins):
        shape = ins[0]
        counts = self.geometry(p, p.output_size)[3]
        if len(shape) != 3 or shape[1] % product(p.kernel) or shape[2] != product(counts):
            raise ShapeError(f"data must have shape (n, c * {product(p.kernel)}, {product(counts)})")
        return [(shape[0], shape[1] // product(p.kernel), *p.output_size)]

    def gradient(self, p, node, grads):
        options = p._asdict()
        del options["output_size"]
        return [F.im2col(grads[0], **options)]

    def expand(self, p, node, train):
        (data,) = node.inputs
        out = node.outputs[0].shape
        stride, dilate, pad, counts = self.geometry(p, p.output_size)
        padded = (*out[:2], *(n + 2 * b for n, b in zip(out[2:], pad, strict=True)))
        steps = contiguous(padded)
        columns = F.Reshape(data, shape=(*out[:2], product(p.kernel), *counts))
        strides = (*steps[:2], *(s * d for s, d in zip(steps[2:], stride, strict=True)))
        parts = []
        for i in range(product(p.kernel)):
            place, rest = 0, i  # of the i-th element of a block
            for size, step, d in zip(reversed(p.kernel), reversed(steps), reversed(dilate), strict=False):
                place += rest % size * d * step
                rest //= size
            part = F.Reshape(F.slice_axis(columns, axis=2, begin=i, end=i + 1), shape=(*out[:2], *counts))
            parts.append(F._strided_write(part, shape=padded, strides=strides, offset=place))
        total = F.add_n(*parts) if len(parts) > 1 else parts[0]
        if not any(pad):
            return [total]
        ends = tuple(b + n for n, b in zip(out[2:], pad, strict=True))
        return [F.slice(total, begin=(0, 0, *pad), end=(*out[:2], *ends))]
