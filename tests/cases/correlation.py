"""Correlation of two images."""

import numpy as np

from . import Case, real


def correlate(kernel=1, most=1, stride1=1, stride2=1, pad=0, multiply=True):
    def twin(a, b):
        a, b = (np.pad(v, [(0, 0), (0, 0), (pad, pad), (pad, pad)]) for v in (a, b))
        border, radius = most + (kernel - 1) // 2, most // stride2
        height, width = (-(-(n - 2 * border) // stride1) for n in a.shape[2:])
        shifts = [d * stride2 for d in range(-radius, radius + 1)]
        out = np.zeros((len(a), len(shifts) ** 2, height, width))
        for n, (i, j) in enumerate((i, j) for i in shifts for j in shifts):
            for y, x in np.ndindex(height, width):
                top, left = y * stride1 + most, x * stride1 + most
                p = a[:, :, top : top + kernel, left : left + kernel]
                q = b[:, :, top + i : top + i + kernel, left + j : left + j + kernel]
                out[:, n, y, x] = (p * q if multiply else np.abs(p - q)).mean((1, 2, 3))
        return out

    return twin


PAIR = [real(2, 3, 6, 7), real(2, 3, 6, 7)]
APART = [real(1, 2, 7, 8, low=-2, high=-0.1), real(1, 2, 7, 8, low=0.1, high=2)]
WIDE = {"kernel_size": 3, "max_displacement": 2, "stride1": 2, "stride2": 2, "pad_size": 3}
LIMITS = {"length": 27, "half": False}

CASES = [
    Case("Correlation", PAIR, {"max_displacement": 2, "pad_size": 2}, correlate(most=2, pad=2), **LIMITS),
    Case("Correlation", PAIR, {}, correlate(), **LIMITS),
    Case("Correlation", PAIR, WIDE, correlate(3, 2, 2, 2, 3), **LIMITS),
    # Pixels outside are 0, where the difference to a pixel has no kink either.
    Case("Correlation", APART, WIDE | {"is_multiply": False}, correlate(3, 2, 2, 2, 3, False), **LIMITS),
    *[
        Case("_correlation_gradient", [real(*shape), *inputs], params, None, (), **LIMITS)
        for shape, inputs, params in (
            ((2, 9, 4, 5), PAIR, {}),
            ((1, 9, 4, 4), APART, WIDE | {"is_multiply": False}),
        )
    ],
]
