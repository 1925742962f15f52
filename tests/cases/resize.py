"""Images of another size, and the columns of a convolution."""

import numpy as np

from . import Case, real


def nearest(scale):
    return lambda x: x.repeat(scale, 2).repeat(scale, 3)


def between(n, out, corners):
    """The matrix that interpolates n pixels to `out`."""
    o = np.arange(out)
    at = o * (n - 1) / max(out - 1, 1) if corners else np.maximum((o + 0.5) * n / out - 0.5, 0)
    low = np.minimum(at.astype(int), n - 1)
    high = np.minimum(low + 1, n - 1)
    weights = np.zeros((out, n))
    np.add.at(weights, (o, low), 1 - (at - low))
    np.add.at(weights, (o, high), at - low)
    return weights


def resized(h, w, corners=True):
    return lambda x, *_: between(x.shape[2], h, corners) @ x @ between(x.shape[3], w, corners).T


def resized_back(h, w, corners=True):
    return lambda g: between(h, g.shape[2], corners).T @ g @ between(w, g.shape[3], corners)


def shares(n, out):
    """The matrix that averages n pixels to `out`."""
    weights = np.zeros((out, n))
    for o in range(out):
        first, last = o * n // out, -(-(o + 1) * n // out)
        weights[o, first:last] = 1 / (last - first)
    return weights


def averaged(h, w):
    return lambda x: shares(x.shape[2], h) @ x @ shares(x.shape[3], w).T


def columns(x, kernel, stride=1, dilate=1, pad=0):
    """im2col with the same numbers along all axes but the kernel's."""
    n = len(kernel)
    x = np.pad(x, [(0, 0), (0, 0)] + [(pad, pad)] * n)
    taps = []
    for tap in np.ndindex(*kernel):
        spans = [s - dilate * (k - 1) for s, k in zip(x.shape[2:], kernel, strict=True)]
        part = tuple(slice(t * dilate, t * dilate + s, stride) for t, s in zip(tap, spans, strict=True))
        taps.append(x[(slice(None), slice(None), *part)])
    out = np.stack(taps, 2)
    return out.reshape(x.shape[0], x.shape[1] * len(taps), -1)


def image_of(shape, kernel, **options):
    """The transpose of im2col, by its matrix."""
    size = int(np.prod(shape))
    unit = np.eye(size).reshape(size, *shape)
    matrix = np.stack([columns(u, kernel, **options).ravel() for u in unit])
    return lambda x: (matrix @ x.ravel()).reshape(shape)


def bilinear(scale):
    """Every pixel adds its window to an image with a border, which is then cut off."""

    def twin(x, w):
        n, c, h, wide = x.shape
        side, pad = w.shape[2], -(-(scale - 1) // 2)
        out = np.zeros((n, c, (h - 1) * scale + side, (wide - 1) * scale + side))
        for i in range(h):
            for j in range(wide):
                window = x[:, :, i, j, None, None] * w[:, 0]
                out[:, :, i * scale : i * scale + side, j * scale : j * scale + side] += window
        return out[:, :, pad : pad + h * scale, pad : pad + wide * scale]

    return twin


def resize(shape, params, h, w, corners=True, like=()):
    inputs = [real(*shape), *like]
    return Case("_contrib_BilinearResize2D", inputs, params, resized(h, w, corners), ("data",), length=4, ulps=16)


CASES = [
    Case("_upsample_nearest", [real(2, 3, 4, 5)], {"scale": 2}, nearest(2), length=4),
    Case("_upsample_nearest", [real(2, 1, 3, 2)], {"scale": 3}, nearest(3), length=9),
    Case("UpSampling", [real(2, 3, 4, 5)], {"scale": 2, "sample_type": "nearest", "num_args": 1}, nearest(2), length=4),
    Case(
        "UpSampling",
        [real(2, 3, 4, 6), real(2, 2, 2, 3)],
        {"scale": 1, "sample_type": "nearest", "num_args": 2, "workspace": 256},
        lambda a, b: np.concatenate([a, nearest(2)(b)], 1),
        length=4,
    ),
    Case(
        "UpSampling",
        [real(2, 3, 2, 2), real(2, 3, 4, 4)],
        {"scale": 2, "sample_type": "nearest", "num_args": 2, "multi_input_mode": "sum"},
        lambda a, b: nearest(2)(a) + b,
        length=4,
    ),
    *[
        Case(
            "UpSampling",
            [real(2, 3, 4, 5), real(3, 1, 2 * s - s % 2, 2 * s - s % 2)],
            {"scale": s, "sample_type": "bilinear", "num_filter": 3, "num_args": 2},
            bilinear(s),
            length=40,
        )
        for s in (2, 3)
    ],
    resize((2, 3, 4, 5), {"height": 7, "width": 9}, 7, 9),
    resize((1, 2, 5, 4), {"height": 3, "width": 8, "align_corners": False}, 3, 8, False),
    resize((1, 1, 4, 3), {"height": 1, "width": 1}, 1, 1),
    resize((1, 2, 4, 3), {"scale_height": 2.5, "scale_width": 1.5}, 10, 4),
    resize((1, 2, 5, 4), {"mode": "odd_scale", "scale_height": 1.5, "scale_width": 2.0}, 7, 8),
    resize((1, 2, 5, 4), {"mode": "like"}, 3, 6, like=[real(1, 1, 3, 6)]),
    resize((1, 2, 5, 4), {"mode": "to_even_down"}, 4, 4),
    resize((1, 2, 5, 4), {"mode": "to_even_up"}, 6, 4),
    resize((1, 2, 5, 4), {"mode": "to_odd_down"}, 5, 3),
    resize((1, 2, 5, 4), {"mode": "to_odd_up"}, 5, 5),
    Case("_bilinear_resize_gradient", [real(2, 2, 7, 9)], {"shape": (2, 2, 4, 5)}, resized_back(4, 5), length=16),
    Case(
        "_bilinear_resize_gradient",
        [real(1, 2, 7, 3)],
        {"shape": (1, 2, 4, 6), "align_corners": False},
        resized_back(4, 6, False),
        length=16,
    ),
    Case("_contrib_AdaptiveAvgPooling2D", [real(2, 3, 7, 5)], {"output_size": (3, 2)}, averaged(3, 2), length=9),
    Case("_contrib_AdaptiveAvgPooling2D", [real(2, 3, 4, 5)], {}, averaged(1, 1), length=20),
    Case("_contrib_AdaptiveAvgPooling2D", [real(1, 2, 3, 4)], {"output_size": 5}, averaged(5, 5), length=4),
    *[
        Case(
            "_adaptive_average_gradient",
            [real(2, 2, *small)],
            {"shape": (2, 2, *large)},
            lambda g, s=small, n=large: shares(n[0], s[0]).T @ g @ shares(n[1], s[1]),
            length=16,
        )
        for small, large in (((3, 2), (7, 5)), ((6, 7), (4, 3)))
    ],
    Case("im2col", [real(2, 3, 5, 6)], {"kernel": (2, 3)}, lambda x: columns(x, (2, 3)), length=6),
    Case(
        "im2col",
        [real(1, 2, 5, 6)],
        {"kernel": (3, 2), "stride": (2, 2), "dilate": (2, 2), "pad": (1, 1)},
        lambda x: columns(x, (3, 2), 2, 2, 1),
        length=6,
    ),
    Case("im2col", [real(2, 3, 7)], {"kernel": 3, "pad": 1}, lambda x: columns(x, (3,), pad=1), length=3),
    Case("im2col", [real(1, 2, 3, 4, 3)], {"kernel": (2, 2, 2)}, lambda x: columns(x, (2, 2, 2)), length=8),
    Case(
        "col2im",
        [real(2, 12, 16)],
        {"output_size": (5, 6), "kernel": (2, 3), "pad": (0, 0)},
        image_of((2, 2, 5, 6), (2, 3)),
        length=6,
    ),
    Case(
        "col2im",
        [real(1, 8, 4)],
        {"output_size": (5, 6), "kernel": (2, 2), "stride": 2 * (2,), "dilate": (2, 2), "pad": (0, 0)},
        image_of((1, 2, 5, 6), (2, 2), stride=2, dilate=2),
        length=6,
    ),
    Case(
        "col2im",
        [real(1, 6, 7)],
        {"output_size": 7, "kernel": 3, "pad": 1},
        image_of((1, 2, 7), (3,), pad=1),
        length=3,
    ),
]
