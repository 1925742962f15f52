"""pool against loops over windows."""

import itertools

import numpy as np
import pytest

from minimx import _core

MAX, AVG, SUM, LP = range(4)

# in, kernel, stride, pad, out
CASES = [
    ((8, 8), (2, 2), (2, 2), (0, 0), (4, 4)),
    ((5, 49), (2, 2), (2, 2), (0, 0), (2, 24)),
    ((24, 35), (2, 2), (2, 2), (0, 0), (12, 17)),
    ((7, 9), (3, 3), (2, 2), (0, 0), (3, 4)),
    ((8, 10), (3, 3), (2, 2), (0, 0), (4, 5)),
    ((7, 30), (3, 3), (1, 1), (1, 1), (7, 30)),
    ((9, 11), (3, 4), (3, 2), (1, 2), (4, 6)),
    ((7, 7), (7, 7), (1, 1), (0, 0), (1, 1)),
    ((3, 300), (1, 1), (1, 1), (0, 0), (3, 300)),
    ((2, 601), (2, 3), (1, 2), (0, 1), (1, 301)),
    ((17,), (3,), (2,), (1,), (9,)),
    ((5, 6, 7), (2, 3, 2), (2, 1, 2), (0, 1, 1), (2, 6, 4)),
]


def three(dims, fill):
    return [fill] * (3 - len(dims)) + list(dims)


def windows(case):
    """(output index, slices of the input, number of pixels with padding) for every window."""
    size, kernel, stride, pad, out = case
    for o in itertools.product(*map(range, out)):
        at, padded = [], 1
        for i, n, k, s, p in zip(o, size, kernel, stride, pad, strict=True):
            start = i * s - p
            at.append(slice(max(0, start), min(start + k, n)))
            padded *= min(start + k, n + p) - start
        yield o, tuple(at), padded


def forward(case, x, kind, include, p):
    y = np.zeros((len(x), *case[4]))
    for o, at, padded in windows(case):
        part = x[(slice(None), *at)].reshape(len(x), -1).astype(np.float64)
        total = part.sum(1)
        y[(slice(None), *o)] = {
            MAX: lambda part=part: part.max(1),
            AVG: lambda total=total, part=part, padded=padded: total / (padded if include else part.shape[1]),
            SUM: lambda total=total: total,
            LP: lambda part=part: (np.abs(part) ** p).sum(1) ** (1 / p),
        }[kind]()
    return y


def backward(case, dy, x, y, kind, include, p):
    dx = np.zeros(x.shape)
    for o, at, padded in windows(case):
        for n in range(len(x)):
            g, part = dy[(n, *o)], x[(n, *at)].astype(np.float64)
            if kind == MAX:
                share = np.zeros(part.size)
                share[part.argmax()] = g
                share = share.reshape(part.shape)
            elif kind == LP:
                share = g * np.sign(part) * (np.abs(part) / y[(n, *o)]) ** (p - 1)
            else:
                share = np.full(part.shape, g / (1 if kind == SUM else padded if include else part.size))
            dx[(n, *at)] += share
    return dx


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "kind, include, p", [(MAX, 0, 0), (AVG, 1, 0), (AVG, 0, 0), (SUM, 0, 0), (LP, 0, 2), (LP, 0, 3)]
)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_forward_and_backward(case, kind, include, p, dtype):
    rng = np.random.default_rng(3)
    size, kernel, stride, pad, out = case
    x = rng.standard_normal((5, *size)).astype(dtype)
    if kind == MAX:
        x = np.round(x, 1)  # ties: the first pixel wins
    args = {
        "planes": 5,
        "in": three(size, 1),
        "out": three(out, 1),
        "kernel": three(kernel, 1),
        "stride": three(stride, 1),
        "pad": three(pad, 0),
        "type": kind,
        "count_include_pad": include,
        "p": float(p),
    }
    y = np.full((5, *out), np.nan, dtype)
    _core.run_kernel(f"pool_forward.{x.dtype}", args, [x, y])
    tolerance = 20 * np.finfo(dtype).eps
    want = forward(case, x, kind, include, p)
    np.testing.assert_allclose(y, want, rtol=tolerance, atol=tolerance * 8)
    dy = rng.standard_normal(y.shape).astype(dtype)
    dx = np.full(x.shape, np.nan, dtype)
    operands = [dy, x if kind in (MAX, LP) else None, y if kind == LP else None, dx]
    _core.run_kernel(f"pool_backward.{x.dtype}", args, operands)
    np.testing.assert_allclose(dx, backward(case, dy, x, want, kind, include, p), rtol=tolerance, atol=tolerance * 4)


def test_max_leaves_nan_out():
    x = np.array([[np.nan, 2.0], [3.0, np.nan]], np.float32)
    args = dict(planes=1, type=MAX, count_include_pad=0, p=0.0)
    args |= {"in": [1, 2, 2], "out": [1, 1, 1], "kernel": [1, 2, 2], "stride": [1, 2, 2], "pad": [0, 0, 0]}
    y, dx = np.zeros((1, 1), np.float32), np.zeros((2, 2), np.float32)
    _core.run_kernel("pool_forward.float32", args, [x, y])
    assert y[0, 0] == 3
    _core.run_kernel("pool_backward.float32", args, [np.ones((1, 1), np.float32), x, None, dx])
    np.testing.assert_array_equal(dx, [[0, 0], [1, 0]])
