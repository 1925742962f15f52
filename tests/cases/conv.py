"""Convolution, its gradients, Deconvolution."""

import itertools

import numpy as np

from . import Case, real


class Twin:
    """The three kernels, tap by tap."""

    def __init__(self, kernel, stride=None, dilate=None, pad=None, num_group=1):
        n = len(kernel)
        self.kernel, self.stride, self.dilate = kernel, stride or (1,) * n, dilate or (1,) * n
        self.pad, self.groups = pad or (0,) * n, num_group

    def padded(self, x):
        return np.pad(x, [(0, 0), (0, 0), *[(p, p) for p in self.pad]])

    def out(self, size):
        steps = zip(size, self.kernel, self.stride, self.dilate, self.pad, strict=True)
        return tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, d, p in steps)

    def taps(self, out):
        """Every tap with the pixels that it meets."""
        for tap in itertools.product(*map(range, self.kernel)):
            steps = zip(tap, self.stride, self.dilate, out, strict=True)
            yield tap, (slice(None), slice(None), *[slice(t * d, t * d + (n - 1) * s + 1, s) for t, s, d, n in steps])

    def by_group(self, channels, filters):
        c, f = channels // self.groups, filters // self.groups
        return [(slice(g * c, g * c + c), slice(g * f, g * f + f)) for g in range(self.groups)]

    def forward(self, x, w, b=None):
        out = self.out(x.shape[2:])
        y = np.zeros((len(x), len(w), *out))
        for tap, at in self.taps(out):
            for c, f in self.by_group(x.shape[1], len(w)):
                y[:, f] += np.einsum("nc...,fc->nf...", self.padded(x)[at][:, c], w[(f, slice(None), *tap)])
        return y if b is None else y + b.reshape(-1, *[1] * len(out))

    def data_gradient(self, shape):
        def twin(dy, w):
            dx = self.padded(np.zeros(shape))
            for tap, at in self.taps(dy.shape[2:]):
                for c, f in self.by_group(shape[1], len(w)):
                    dx[at][:, c] += np.einsum("nf...,fc->nc...", dy[:, f], w[(f, slice(None), *tap)])
            return dx[(..., *[slice(p, p + n) for p, n in zip(self.pad, shape[2:], strict=True)])]

        return twin

    def weight_gradient(self, x, dy):
        dw = np.zeros((dy.shape[1], x.shape[1] // self.groups, *self.kernel))
        for tap, at in self.taps(dy.shape[2:]):
            for c, f in self.by_group(x.shape[1], dy.shape[1]):
                a, b = self.padded(x)[at][:, c], dy[:, f]
                dw[(f, slice(None), *tap)] = np.tensordot(b, a, axes=([0, *range(2, b.ndim)],) * 2)
        return dw


def conv(data, weight, *bias, length, **params):
    window = {k: v for k, v in params.items() if k in ("kernel", "stride", "dilate", "pad", "num_group")}
    twin = Twin(**window).forward
    params = {"num_filter": weight[0], **params}
    if not bias:
        params["no_bias"] = True
    return Case("Convolution", [real(*s) for s in (data, weight, *bias)], params, twin, length=length)


def channels_last(twin):
    """The same on operands whose channels are the last axis."""

    def turned(*arrays):
        out = twin(*[np.moveaxis(a, -1, 1) if a.ndim > 1 else a for a in arrays])
        return np.moveaxis(out, 1, -1)

    return turned


def scaled(x, w, shift, scale):
    column = (-1, *[1] * (x.ndim - 2))
    return Twin(w.shape[2:]).forward(x, w) * scale.reshape(column) + shift.reshape(column)


def deconv(data, weight, out, bias=None, length=1, **params):
    """`pad` is the padding that the window ends up with; `given` what the operator is told instead."""
    given = params.pop("given", {})
    window = {k: v for k, v in params.items() if k in ("kernel", "stride", "dilate", "pad", "num_group")}
    twin = Twin(**window).data_gradient(out)

    def with_bias(x, w, b):
        return twin(x, w) + b.reshape(-1, *[1] * (x.ndim - 2))

    params = {"num_filter": out[1], **params, **given}
    if bias:
        params["no_bias"] = False
    inputs = [real(*s) for s in (data, weight, *([bias] if bias else []))]
    return Case("Deconvolution", inputs, params, with_bias if bias else twin, length=length)


CASES = [
    # Enough filters for the layout pass to move the channels.
    conv((2, 3, 7, 6), (24, 3, 3, 3), (24,), kernel=(3, 3), stride=(2, 1), pad=(1, 1), length=120),
    conv((2, 3, 7, 9), (4, 3, 3, 3), (4,), kernel=(3, 3), length=120),
    conv((2, 3, 8, 7), (5, 3, 3, 2), kernel=(3, 2), stride=(2, 1), pad=(1, 0), workspace=512, length=80),
    conv((1, 4, 9, 9), (6, 2, 3, 3), (6,), kernel=(3, 3), dilate=(2, 2), pad=(2, 2), num_group=2, length=90),
    conv((2, 6, 5, 5), (6, 1, 3, 3), kernel=(3, 3), pad=(1, 1), num_group=6, cudnn_tune="off", length=60),
    conv((2, 5, 6, 6), (3, 5, 1, 1), (3,), kernel=(1, 1), stride=(2, 2), cudnn_off=True, length=30),
    conv((2, 3, 17), (4, 3, 3), (4,), kernel=(3,), stride=(2,), dilate=(2,), pad=(1,), layout="NCW", length=60),
    conv((1, 2, 4, 5, 6), (3, 2, 2, 3, 2), kernel=(2, 3, 2), pad=(0, 1, 0), length=120),
    conv((1, 2, 4, 5), (3, 2, 2, 2), (3,), kernel=(2, 2), layout="NCHW", length=40),
    conv((1, 2, 3, 4, 5), (3, 2, 2, 2, 2), (3,), kernel=(2, 2, 2), layout="NCDHW", length=80),
    *(
        Case(
            "Convolution",
            [real(2, *size, 3), real(4, *kernel, 3), real(4)],
            {"kernel": kernel, "num_filter": 4, "layout": layout, "pad": pad},
            channels_last(Twin(kernel, pad=pad).forward),
            length=100,
        )
        for layout, size, kernel, pad in (
            ("NWC", (9,), (3,), (1,)),
            ("NHWC", (6, 7), (3, 2), (1, 0)),
            ("NDHWC", (3, 4, 3), (2, 3, 1), (0, 1, 0)),
        )
    ),
    conv((3, 2, 4, 3), (5, 2, 4, 3), (5,), kernel=(4, 3), length=30),
    conv((3, 4, 1, 1), (5, 4, 1, 1), kernel=(1, 1), stride=(2, 2), length=10),
    Case(
        "_scaled_convolution",
        [real(2, 3, 6, 6), real(4, 3, 3, 3), real(4), real(4)],
        {"kernel": (3, 3)},
        scaled,
        grads=(),
        length=60,
    ),
    Case(
        "_scaled_convolution",
        [real(2, 4, 9), real(6, 2, 2), real(6), real(6)],
        {"kernel": (2,), "stride": (2,), "dilate": (3,), "pad": (1,), "num_group": 2},
        lambda x, w, shift, scale: Twin((2,), (2,), (3,), (1,), 2).forward(x, w) * scale[:, None] + shift[:, None],
        grads=(),
        length=60,
    ),
    Case(
        "_conv_data_gradient",
        [real(2, 4, 3, 5), real(4, 3, 3, 2)],
        {"kernel": (3, 2), "stride": (2, 1), "pad": (1, 0), "shape": (2, 3, 6, 6)},
        Twin((3, 2), (2, 1), pad=(1, 0)).data_gradient((2, 3, 6, 6)),
        length=60,
    ),
    Case(
        "_conv_data_gradient",
        [real(1, 4, 3, 3), real(4, 1, 2, 2)],
        {"kernel": (2, 2), "dilate": (2, 3), "num_group": 2, "shape": (1, 2, 5, 6)},
        Twin((2, 2), dilate=(2, 3), num_group=2).data_gradient((1, 2, 5, 6)),
        length=30,
    ),
    Case(
        "_conv_data_gradient",
        [real(3, 5, 1), real(5, 2, 4)],
        {"kernel": (4,), "shape": (3, 2, 4)},
        Twin((4,)).data_gradient((3, 2, 4)),
        length=10,
    ),
    Case(
        "_conv_weight_gradient", [real(3, 2, 4), real(3, 5, 1)], {"kernel": (4,)}, Twin((4,)).weight_gradient, length=6
    ),
    Case(
        "_conv_weight_gradient",
        [real(2, 3, 6, 6), real(2, 4, 3, 5)],
        {"kernel": (3, 2), "stride": (2, 1), "pad": (1, 0)},
        Twin((3, 2), (2, 1), pad=(1, 0)).weight_gradient,
        length=60,
    ),
    Case(
        "_conv_weight_gradient",
        [real(1, 2, 5, 6), real(1, 4, 3, 3)],
        {"kernel": (2, 2), "dilate": (2, 3), "num_group": 2},
        Twin((2, 2), dilate=(2, 3), num_group=2).weight_gradient,
        length=30,
    ),
    deconv((2, 3, 4, 5), (3, 2, 4, 4), (2, 2, 8, 10), kernel=(4, 4), stride=(2, 2), pad=(1, 1), length=90),
    deconv(
        (2, 3, 4, 4),
        (3, 4, 3, 3),
        (2, 4, 6, 6),
        bias=(4,),
        kernel=(3, 3),
        cudnn_tune="fastest",
        workspace=99,
        length=90,
    ),
    deconv(
        (1, 4, 3, 3),
        (4, 1, 3, 3),
        (1, 2, 6, 6),
        kernel=(3, 3),
        stride=(2, 2),
        pad=(1, 1),
        num_group=2,
        given={"adj": (1, 1), "cudnn_off": True},
        length=40,
    ),
    deconv(
        (1, 2, 3, 3),
        (2, 2, 3, 3),
        (1, 2, 8, 7),
        kernel=(3, 3),
        stride=(2, 2),
        dilate=(2, 1),
        pad=(1, 0),
        given={"target_shape": (8, 7), "pad": ()},
        length=40,
    ),
    deconv((1, 2, 5), (2, 3, 2), (1, 3, 6), kernel=(2,), layout="NCW", length=10),
    deconv((1, 2, 3, 4), (2, 3, 2, 2), (1, 3, 4, 5), kernel=(2, 2), layout="NCHW", length=20),
    deconv((1, 2, 2, 3, 2), (2, 3, 2, 1, 2), (1, 3, 3, 3, 3), kernel=(2, 1, 2), layout="NCDHW", length=20),
    *(
        Case(
            "Deconvolution",
            [real(2, *size, 3), real(3, *kernel, 2)],
            {"kernel": kernel, "num_filter": 2, "stride": stride, "layout": layout},
            channels_last(Twin(kernel, stride).data_gradient((2, 2, *out))),
            length=40,
        )
        for layout, size, kernel, stride, out in (
            ("NWC", (5,), (4,), (2,), (12,)),
            ("NHWC", (3, 4), (2, 3), (2, 1), (6, 6)),
            ("NDHWC", (2, 3, 2), (1, 2, 2), (1, 2, 1), (2, 6, 3)),
        )
    ),
]
