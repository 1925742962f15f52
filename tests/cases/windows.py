"""im2col and col2im: see tests/cases/__init__.py."""

from itertools import product

import numpy as np

from . import Case, real


def blocks(x, kernel, stride=None, dilate=None, pad=None):
    """What im2col makes of an array of indices or numbers; zeros, or -1, outside."""
    nd = len(kernel)
    stride, dilate, pad = stride or (1,) * nd, dilate or (1,) * nd, pad or (0,) * nd
    x = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in pad)], constant_values=-1 if x.dtype.kind == "i" else 0)
    counts = [(n - d * (k - 1) - 1) // s + 1 for n, k, s, d in zip(x.shape[2:], kernel, stride, dilate, strict=True)]
    rows = []
    for place in product(*map(range, kernel)):
        index = tuple(
            slice(p * d, p * d + (c - 1) * s + 1, s) for p, d, c, s in zip(place, dilate, counts, stride, strict=True)
        )
        rows.append(x[(slice(None), slice(None), *index)].reshape(*x.shape[:2], -1))
    return np.stack(rows, 2).reshape(x.shape[0], -1, int(np.prod(counts)))


def im2col(**params):
    return lambda x: blocks(x, **params)


def col2im(output_size, **params):
    def twin(columns):
        channels = columns.shape[1] // int(np.prod(params["kernel"]))
        shape = (columns.shape[0], channels, *output_size)
        where = blocks(np.arange(np.prod(shape)).reshape(shape), **params)
        out = np.zeros(int(np.prod(shape)) + 1)
        np.add.at(out, where, columns)
        return out[:-1].reshape(shape)

    return twin


FULL = {"kernel": (3, 2), "stride": (2, 1), "dilate": (1, 2), "pad": (1, 2)}

CASES = [
    Case("im2col", [real(2, 3, 5, 4)], {"kernel": (2, 3)}, im2col(kernel=(2, 3))),
    Case("im2col", [real(2, 3, 5, 4)], FULL, im2col(**FULL)),
    Case("im2col", [real(2, 2, 6)], {"kernel": (3,), "stride": (3,)}, im2col(kernel=(3,), stride=(3,))),
    Case(
        "col2im", [real(2, 18, 8)], {"output_size": (5, 4), "kernel": (2, 3)}, col2im((5, 4), kernel=(2, 3)), length=6
    ),
    Case("col2im", [real(2, 12, 18)], {"output_size": (5, 4), **FULL}, col2im((5, 4), **FULL), length=6),
    Case("col2im", [real(2, 6, 4)], {"output_size": (6,), "kernel": (3,)}, col2im((6,), kernel=(3,)), length=3),
]
