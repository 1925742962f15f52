"""Pooling."""

from __future__ import annotations

from ..base import ShapeError
from ..graph import apply
from ..op import Op, product
from ..params import Bool, Enum, Int, Shape
from . import last
from .conv import to_first, to_last

TYPES = {"max": 0, "avg": 1, "sum": 2, "lp": 3}  # as in csrc/args/pool.h


class _Pool(Op, abstract=True):
    kernel = Shape((), doc="size of the window", min=1)
    pool_type = Enum(tuple(TYPES), "max", doc="what a window becomes: its maximum, mean, sum or p-norm")
    global_pool = Bool(False, doc="the window is the whole image")
    pooling_convention = Enum(
        ("valid", "full", "same"),
        "valid",
        doc="whether the number of windows is rounded down, up, or is the size over the stride, rounded up (1-D only)",
    )
    stride = Shape((), doc="distance between windows, 1 by default", min=1)
    pad = Shape((), doc="pixels around the data that count as missing, 0 by default", min=0)
    p_value = Int(None, doc="the p of lp", min=1)
    count_include_pad = Bool(None, doc="whether avg counts missing pixels, True by default")

    def window(self, p, size):
        """kernel, stride and pad for an image of that size."""
        n = len(size)
        if p.global_pool:
            return size, (1,) * n, (0,) * n
        if not p.kernel:
            raise ShapeError("kernel is missing; only global_pool does without")
        found = [p.kernel, p.stride or (1,) * n, p.pad or (0,) * n]
        for name, value in zip(("kernel", "stride", "pad"), found, strict=True):
            if len(value) != n:
                raise ShapeError(f"{name} must have {n} dimensions for data of {n + 2}, got {value}")
        return found

    def pooled(self, p, size):
        out = []
        for i, n, k, s, q in zip(range(len(size)), size, *self.window(p, size), strict=True):
            if n + 2 * q < k:
                raise ShapeError(f"the window spans {k} pixels of spatial axis {i}, which has {n} and {q} on each side")
            if q >= k:
                raise ShapeError(f"pad {q} must be less than the window, {k}: a window could be empty")
            if p.global_pool or p.pooling_convention == "valid":
                out.append((n + 2 * q - k) // s + 1)
            elif p.pooling_convention == "full":
                out.append(-(-(n + 2 * q - k) // s) + 1)
            elif len(size) == 1:
                out.append(-(-(n + 2 * q) // s))
            else:
                raise ShapeError("pooling_convention 'same' is for one spatial dimension")
        return tuple(out)

    def args(self, p, data, out):
        def three(dims, fill):
            return [fill] * (3 - len(dims)) + list(dims)

        if p.pool_type == "lp" and p.p_value is None:
            raise ShapeError("pool_type 'lp' needs p_value")
        kernel, stride, pad = self.window(p, data[2:])
        return {
            "planes": product(data[:2]),
            "in": three(data[2:], 1),
            "out": three(out[2:], 1),
            "kernel": three(kernel, 1),
            "stride": three(stride, 1),
            "pad": three(pad, 0),
            "type": TYPES[p.pool_type],
            "count_include_pad": int(p.count_include_pad is not False),
            "p": float(p.p_value or 0),
        }


class Pooling(_Pool):
    """Makes one number of every window, channel by channel, in one to three dimensions."""

    cheap = True
    param_order = (
        *("kernel", "pool_type", "global_pool", "cudnn_off", "pooling_convention"),
        *("stride", "pad", "p_value", "count_include_pad"),
    )
    cudnn_off = Bool(False, doc="accepted for MXNet's sake")
    layout = Enum(
        ("NCW", "NCHW", "NCDHW", "NWC", "NHWC", "NDHWC"), None, doc="order of the axes, channels second by default"
    )

    def output_shapes(self, p, ins):
        data = ins[0]
        if not 3 <= len(data) <= 5:
            raise ShapeError("data must have three to five dimensions")
        if p.layout is not None and len(p.layout) != len(data):
            raise ShapeError(f"layout {p.layout} does not fit data of {len(data)} dimensions")
        if self._channels_last(p):
            return [to_last((*to_first(data)[:2], *self.pooled(p, to_first(data)[2:])))]
        return [(*data[:2], *self.pooled(p, data[2:]))]

    def expand_before_gradient(self, p, train):
        return self._channels_last(p)

    def expand(self, p, node, train):
        if not self._channels_last(p):
            return None
        data = apply("transpose", node.inputs, axes=to_first(range(node.inputs[0].ndim)))
        out = apply(self.name, [data], **p._replace(layout=None)._asdict())
        return [apply("transpose", [out], axes=to_last(range(out.ndim)))]

    def gradient(self, p, node, grads):
        operands = [grads[0]]
        if p.pool_type in ("max", "lp"):
            operands.append(node.inputs[0])
        if p.pool_type == "lp":
            operands.append(node.outputs[0])
        own = {name: getattr(p, name) for name in _Pool.params}
        return [apply("_pooling_gradient", operands, shape=node.inputs[0].shape, **own)]

    def channels_last(self, p, node, moved, plain):
        return last.pooling(last.POOL, node, node.inputs[0].shape, node.outputs[0].shape, TYPES[p.pool_type], moved)

    def lower(self, p, node, emit):
        (data,), (out,) = node.inputs, node.outputs
        emit("pool_forward", data.dtype, self.args(p, data.shape, out.shape), [data], [out])

    @staticmethod
    def _channels_last(p):
        return p.layout is not None and p.layout[-1] == "C"


class PoolingGradient(_Pool):
    """The gradient of Pooling's data. Of equal maxima the first gets it."""

    name = "_pooling_gradient"
    shape = Shape(doc="of the data")

    def input_names(self, p):
        return {"max": ("grad", "data"), "lp": ("grad", "data", "output")}.get(p.pool_type, ("grad",))

    def output_shapes(self, p, ins):
        if ins[0] != (*p.shape[:2], *self.pooled(p, p.shape[2:])):
            raise ShapeError(f"data of shape {p.shape} is not pooled to {ins[0]}")
        return [p.shape]

    def channels_last(self, p, node, moved, plain):
        return last.pooling(last.POOL_GRADIENT, node, p.shape, node.inputs[0].shape, TYPES[p.pool_type], moved)

    def lower(self, p, node, emit):
        operands = [*node.inputs, None, None][:3]
        args = self.args(p, p.shape, node.inputs[0].shape)
        emit("pool_backward", node.outputs[0].dtype, args, operands, node.outputs)
