"""Layers of old programs."""

import numpy as np

from . import Case, real
from .norm import OWN, WRT, batch_norm, built, moved, unmoved


def windows(x, kernel, stride, pad, full, fold, border):
    """One axis length for kernel, stride and pad; `border` is what missing pixels are."""
    size = [(n + 2 * pad - kernel) / stride for n in x.shape[2:]]
    size = [int(np.ceil(s) if full else np.floor(s)) + 1 for s in size]
    more = [(pad, pad + stride)] * 2
    x = np.pad(x, [(0, 0), (0, 0), *more], constant_values=border)
    out = np.zeros((*x.shape[:2], *size))
    for i, j in np.ndindex(*size):
        out[:, :, i, j] = fold(x[:, :, i * stride : i * stride + kernel, j * stride : j * stride + kernel], axis=(2, 3))
    return out


def pool(kind, kernel, stride=1, pad=0, full=False):
    fold, border = (np.max, -np.inf) if kind == "max" else (np.sum, 0)
    share = kernel**2 if kind == "avg" else 1
    return lambda x: windows(x, kernel, stride, pad, full, fold, border) / share


def correlate(x, w, *bias):
    view = np.lib.stride_tricks.sliding_window_view(x, w.shape[2:], (2, 3))
    out = np.einsum("nchwij,fcij->nfhw", view, w)
    return out + bias[0][:, None, None] if bias else out


IMAGE = real(2, 3, 5, 6, distinct=True)

CASES = [
    built("BatchNorm_v1", OWN, batch_norm(fix_gamma=False), train=True, states=moved()),
    built(
        "BatchNorm_v1",
        {"eps": 0.02, "momentum": 0.5, "use_global_stats": True, "output_mean_var": True},
        batch_norm(0.02, moving=True, full=True),
        (),
        states=unmoved,
    ),
    built("BatchNorm_v1", {}, batch_norm(), WRT[::2], train=True, states=moved()),
    Case(
        "Pooling_v1",
        [IMAGE],
        {"kernel": (3, 3), "stride": (2, 2), "pad": (1, 1), "pool_type": "avg", "pooling_convention": "full"},
        pool("avg", 3, 2, 1, True),
        length=9,
    ),
    Case("Pooling_v1", [IMAGE], {"kernel": (2, 2)}, pool("max", 2)),
    Case("Pooling_v1", [IMAGE], {"kernel": (2, 2), "pool_type": "sum"}, pool("sum", 2), length=4),
    Case(
        "Pooling_v1",
        [IMAGE],
        {"global_pool": True, "pool_type": "avg"},
        lambda x: x.mean((2, 3), keepdims=True),
        length=30,
    ),
    Case(
        "Convolution_v1",
        [real(2, 3, 5, 6), real(4, 3, 3, 2), real(4)],
        {"kernel": (3, 2), "num_filter": 4},
        correlate,
        length=18,
    ),
    Case(
        "Convolution_v1",
        [real(1, 4, 6, 5), real(6, 2, 2, 3)],
        {
            "kernel": (2, 3),
            "num_filter": 6,
            "num_group": 2,
            "no_bias": True,
            "stride": (2, 1),
            "dilate": (1, 2),
            "pad": (1, 1),
            "workspace": 256,
            "cudnn_tune": "off",
            "cudnn_off": True,
            "layout": "NCHW",
        },
        None,
        length=18,
    ),
    *[
        Case(
            "Convolution_v1",
            [real(*data), real(*weight)],
            {"kernel": (2,) * (len(data) - 2), "num_filter": 4, "no_bias": True, "layout": layout},
            None,
            length=24,
        )
        for layout, data, weight in (
            ("NHWC", (2, 5, 6, 3), (4, 2, 2, 3)),
            ("NCDHW", (2, 3, 4, 3, 4), (4, 3, 2, 2, 2)),
            ("NDHWC", (2, 4, 3, 4, 3), (4, 2, 2, 2, 3)),
        )
    ],
]
