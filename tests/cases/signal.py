"""Fourier transforms and sketches."""

import numpy as np

from . import Case, real


def fft(x):
    y = np.fft.fft(x)
    return np.stack([y.real, y.imag], -1).reshape(*x.shape[:-1], -1)


def ifft(x):
    return np.fft.ifft(x[..., ::2] + 1j * x[..., 1::2]).real * (x.shape[-1] // 2)


def sketch(length):
    def twin(x, places, signs):
        out = np.zeros((*x.shape[:-1], length))
        for i, (place, sign) in enumerate(zip(places.ravel(), signs.ravel(), strict=True)):
            out[..., int(place)] += x[..., i] * sign
        return out

    return twin


PLACES, SIGNS = np.array([[0, 2, 1, 0, 2, 2]]), np.array([[1.0, -1, 1, 1, -1, 1]])
COUNT_SKETCH = "_contrib_count_sketch"

CASES = [
    Case("_contrib_fft", [real(3, 8)], {}, fft, length=8),
    Case("_contrib_fft", [real(2, 2, 30)], {"compute_size": 2}, fft, length=30),
    Case("_contrib_fft", [real(2, 1)], {}, fft),
    Case("_contrib_fft", [real(2, 13)], {}, fft, length=13),
    Case("_contrib_fft", [real(5, 360)], {}, fft, length=360),
    Case("_contrib_ifft", [real(3, 16)], {}, ifft, length=8),
    Case("_contrib_ifft", [real(2, 2, 42)], {"compute_size": 2}, ifft, length=30),
    Case(COUNT_SKETCH, [real(4, 6), PLACES, SIGNS], {"out_dim": 3}, sketch(3), ("data",), length=3),
    Case(
        COUNT_SKETCH,
        [real(2, 3, 6), PLACES, SIGNS],
        {"out_dim": 5, "processing_batch_size": 2},
        sketch(5),
        ("data",),
        length=3,
    ),
]
