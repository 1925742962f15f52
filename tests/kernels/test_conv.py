"""conv against the definition written out with NumPy: odd sizes, tails, strides, dilation, groups, three dimensions."""

import itertools
import random

import numpy as np
import pytest

from minimx import _core
from minimx.ops.conv import Geometry

NONE, RELU, SIGMOID, TANH = 0, 1, 2, 3

# batch, channels, filters, groups, in, kernel, stride, dilate, pad
CASES = [
    (2, 1, 20, 1, (28, 28), (5, 5), (1, 1), (1, 1), (0, 0)),
    (3, 20, 50, 1, (12, 12), (5, 5), (1, 1), (1, 1), (0, 0)),
    (2, 3, 5, 1, (9, 11), (3, 3), (1, 1), (1, 1), (1, 1)),
    (1, 8, 16, 1, (7, 7), (3, 3), (1, 1), (1, 1), (1, 1)),
    (2, 8, 12, 1, (14, 14), (3, 3), (2, 2), (1, 1), (1, 1)),
    (1, 3, 9, 1, (31, 29), (7, 7), (2, 2), (1, 1), (3, 3)),
    (2, 16, 24, 1, (13, 13), (1, 1), (1, 1), (1, 1), (0, 0)),
    (2, 6, 4, 1, (13, 12), (1, 1), (2, 2), (1, 1), (0, 0)),
    (2, 6, 8, 2, (10, 9), (3, 2), (1, 2), (1, 1), (1, 0)),
    (1, 7, 7, 7, (17, 19), (3, 3), (1, 1), (1, 1), (1, 1)),
    (2, 5, 10, 5, (12, 12), (3, 3), (2, 2), (1, 1), (1, 1)),
    (2, 4, 6, 1, (15, 15), (3, 3), (1, 1), (2, 2), (2, 2)),
    (2, 4, 6, 1, (15, 16), (3, 4), (3, 2), (2, 3), (1, 4)),
    (1, 2, 3, 1, (8, 9), (2, 3), (4, 4), (2, 2), (0, 1)),
    (1, 2, 3, 1, (4, 4), (3, 3), (1, 1), (1, 1), (5, 5)),
    (2, 3, 4, 1, (5, 3), (5, 3), (1, 1), (1, 1), (0, 0)),
    (2, 3, 4, 1, (1, 1), (1, 1), (1, 1), (1, 1), (0, 0)),
    (3, 4, 5, 1, (40,), (3,), (1,), (1,), (1,)),
    (1, 4, 5, 1, (37,), (4,), (3,), (2,), (2,)),
    (1, 2, 3, 1, (3,), (2,), (1,), (1,), (0,)),
    (2, 3, 4, 1, (5, 6, 7), (2, 3, 3), (1, 1, 1), (1, 1, 1), (0, 1, 1)),
    (1, 4, 6, 2, (7, 8, 16), (3, 3, 3), (2, 1, 2), (1, 2, 1), (1, 1, 1)),
    (1, 2, 9, 1, (100, 64), (3, 3), (1, 1), (1, 1), (1, 1)),
]


def out_size(size, kernel, stride, dilate, pad):
    return tuple(
        (n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, d, p in zip(size, kernel, stride, dilate, pad, strict=True)
    )


def windows(x, kernel, stride, dilate, out):
    """For every tap, the slice of padded spatial dimensions that it meets."""
    for tap in itertools.product(*map(range, kernel)):
        at = [slice(t * d, t * d + (n - 1) * s + 1, s) for t, d, s, n in zip(tap, dilate, stride, out, strict=True)]
        yield tap, (slice(None), slice(None), *at)


class Reference:
    """The three kernels in float64."""

    def __init__(self, case):
        self.batch, self.channels, self.filters, self.groups, self.size, self.kernel, *rest = case
        self.stride, self.dilate, self.pad = rest
        self.out = out_size(self.size, self.kernel, self.stride, self.dilate, self.pad)
        self.x_shape = (self.batch, self.channels, *self.size)
        self.w_shape = (self.filters, self.channels // self.groups, *self.kernel)
        self.y_shape = (self.batch, self.filters, *self.out)

    def padded(self, x):
        return np.pad(x, [(0, 0), (0, 0), *[(p, p) for p in self.pad]])

    def grouped(self):
        c, f = self.channels // self.groups, self.filters // self.groups
        for g in range(self.groups):
            yield slice(g * c, (g + 1) * c), slice(g * f, (g + 1) * f)

    def forward(self, x, w):
        x, y = self.padded(x), np.zeros(self.y_shape)
        for tap, at in windows(x, self.kernel, self.stride, self.dilate, self.out):
            for c, f in self.grouped():
                y[:, f] += np.einsum("nc...,fc->nf...", x[at][:, c], w[(f, slice(None), *tap)])
        return y

    def data_gradient(self, dy, w):
        dx = self.padded(np.zeros(self.x_shape))
        for tap, at in windows(dx, self.kernel, self.stride, self.dilate, self.out):
            for c, f in self.grouped():
                dx[at][:, c] += np.einsum("nf...,fc->nc...", dy[:, f], w[(f, slice(None), *tap)])
        return dx[(..., *[slice(p, p + n) for p, n in zip(self.pad, self.size, strict=True)])]

    def weight_gradient(self, x, dy):
        x, dw = self.padded(x), np.zeros(self.w_shape)
        for tap, at in windows(x, self.kernel, self.stride, self.dilate, self.out):
            for c, f in self.grouped():
                n = dy[:, f].reshape(self.batch, -1, int(np.prod(self.out)))
                m = x[at][:, c].reshape(self.batch, -1, int(np.prod(self.out)))
                dw[(f, slice(None), *tap)] = np.einsum("nfp,ncp->fc", n, m)
        return dw


def geometry(r):
    return Geometry(r.x_shape, r.w_shape, r.y_shape, r.stride, r.dilate, r.pad, r.groups)


def run(kernel, g, elements, operands, out_shape, activation=NONE):
    """Runs a kernel; the scratch is full of NaN and guarded behind its end."""
    dtype = operands[0].dtype
    scratch = np.full(elements + 4096, np.nan, dtype)
    out = np.full(out_shape, np.nan, dtype)
    _core.run_kernel(f"{kernel}.{dtype}", g.args(elements, activation), [*operands, out, scratch])
    assert np.isnan(scratch[elements:]).all()
    return out


def check(got, want, terms):
    eps = np.finfo(got.dtype).eps
    np.testing.assert_allclose(got, want, rtol=8 * eps, atol=4 * eps * np.sqrt(terms) * max(1.0, np.abs(want).max()))


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture(params=[1, 2], ids=["1 thread", "2 threads"])
def threads(request):
    before = _core.thread_count()
    _core.set_thread_count(request.param)
    yield request.param
    _core.set_thread_count(before)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_three_kernels(case, dtype, threads, rng):
    r = Reference(case)
    g = geometry(r)
    x, w, dy = (rng.standard_normal(s).astype(dtype) for s in (r.x_shape, r.w_shape, r.y_shape))
    taps = int(np.prod(r.kernel))
    y = run("conv_forward", g, g.forward_scratch(threads), [x, w, None, None, None], r.y_shape)
    check(y, r.forward(x, w), taps * r.channels // r.groups)
    dx = run("conv_data_gradient", g, g.data_gradient_scratch(threads), [dy, w], r.x_shape)
    check(dx, r.data_gradient(dy, w), taps * r.filters // r.groups)
    dw = run("conv_weight_gradient", g, g.weight_gradient_scratch(), [x, dy], r.w_shape)
    check(dw, r.weight_gradient(x, dy), r.batch * int(np.prod(r.out)))


def random_case(seed):
    """Sizes nobody thought of."""
    draw = random.Random(seed)
    while True:
        n, groups = draw.choice([1, 2, 2, 2, 3]), draw.choice([1, 1, 1, 2, 3])

        def each(*choices, n=n):
            return tuple(draw.choice(choices) for _ in range(n))

        kernel = each(1, 2, 3, 5, 7) if n < 3 else each(1, 2, 3)
        stride, dilate, pad = each(1, 1, 2, 3), each(1, 1, 2, 3), each(0, 1, 2, 4)
        size = tuple(draw.randint(1, 40 if n < 3 else 10) for _ in range(n))
        channels = groups * draw.choice([1, 2, 5, 33 if n == 2 else 3])
        filters = groups * draw.choice([1, 3, 4, 9, 20])
        case = (draw.randint(1, 4), channels, filters, groups, size, kernel, stride, dilate, pad)
        if min(out_size(size, kernel, stride, dilate, pad)) > 0:
            return case


@pytest.mark.parametrize("seed", range(40))
def test_random_sizes(seed, threads):
    test_three_kernels(random_case(seed), np.float32, threads, np.random.default_rng(seed))


ACTIVATIONS = {
    NONE: lambda v: v,
    RELU: lambda v: np.maximum(v, 0),
    SIGMOID: lambda v: 1 / (1 + np.exp(-v)),
    TANH: np.tanh,
    4: lambda v: np.log1p(np.exp(v)),
    5: lambda v: v / (1 + np.abs(v)),
}


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("case", [CASES[0], CASES[2], CASES[4], CASES[8], CASES[20]], ids=str)
@pytest.mark.parametrize("riders", ["bias", "residual", "bias residual", "scale bias", "scale bias residual"])
def test_epilogue(case, activation, riders, rng):
    r = Reference(case)
    g = geometry(r)
    x, w, residual = (rng.standard_normal(s).astype(np.float32) for s in (r.x_shape, r.w_shape, r.y_shape))
    bias, scale = (rng.standard_normal(r.filters).astype(np.float32) for _ in range(2))
    column = (-1, *[1] * len(r.out))
    want = r.forward(x, w)
    if "scale" in riders:
        want *= scale.reshape(column)
    if "bias" in riders:
        want += bias.reshape(column)
    if "residual" in riders:
        want += residual
    want = ACTIVATIONS[activation](want)
    given = [v if name in riders else None for name, v in (("bias", bias), ("residual", residual), ("scale", scale))]
    elements = g.forward_scratch(_core.thread_count())
    y = run("conv_forward", g, elements, [x, w, *given], r.y_shape, activation)
    check(y, want, r.channels * 25)
    if "residual" in riders:
        scratch = np.full(elements, np.nan, np.float32)
        _core.run_kernel("conv_forward.float32", g.args(elements, activation), [x, w, *given, residual, scratch])
        np.testing.assert_array_equal(residual, y)  # in place


def test_threads_do_not_change_the_result(rng):
    for case in CASES[:8]:
        r = Reference(case)
        g = geometry(r)
        x, w, dy = (rng.standard_normal(s).astype(np.float32) for s in (r.x_shape, r.w_shape, r.y_shape))
        results = []
        before = _core.thread_count()
        for threads in (1, 2, 3):
            _core.set_thread_count(threads)
            results.append(
                [
                    run("conv_forward", g, g.forward_scratch(threads), [x, w, None, None, None], r.y_shape),
                    run("conv_data_gradient", g, g.data_gradient_scratch(threads), [dy, w], r.x_shape),
                    run("conv_weight_gradient", g, g.weight_gradient_scratch(), [x, dy], r.w_shape),
                ]
            )
        _core.set_thread_count(before)
        for other in results[1:]:
            for a, b in zip(results[0], other, strict=True):
                np.testing.assert_array_equal(a, b)


def test_infinity_and_nan_pass(rng):
    """A ReLU keeps NaN, and what lies beside an infinite pixel is not touched by it."""
    r = Reference(CASES[3])
    g = geometry(r)
    x, w, dy = (rng.standard_normal(s).astype(np.float32) for s in (r.x_shape, r.w_shape, r.y_shape))
    x[0, 0, 0, 0] = np.nan
    y = run("conv_forward", g, g.forward_scratch(_core.thread_count()), [x, w, None, None, None], r.y_shape, RELU)
    assert np.isnan(y[0, :, :2, :2]).all() and np.isfinite(y[0, :, 2:, 2:]).all()
    dy[0, 3, 6, 6] = np.inf
    dx = run("conv_data_gradient", g, g.data_gradient_scratch(_core.thread_count()), [dy, w], r.x_shape)
    assert np.isfinite(dx[0, :, :5, :5]).all()
