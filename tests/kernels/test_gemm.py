"""gemm alone against NumPy: every transposition, tails of every size, blocks in each direction, riders, batches."""

import itertools

import numpy as np
import pytest

from minimx import _core
from minimx.passes.ride import GATE

TRANSPOSITIONS = [(0, 0), (0, 1), (1, 0), (1, 1)]
ACTIVATIONS = {
    0: lambda x: x,
    1: lambda x: np.maximum(x, 0),
    2: lambda x: 1 / (1 + np.exp(-x)),
    3: np.tanh,
    4: lambda x: np.logaddexp(x, 0),
    5: lambda x: x / (1 + np.abs(x)),
}


def scratch(m, n, k, dtype):
    per_thread = min(k, 512) * (min(m, 256) + min(n, 2048) + 64)
    return np.full(_core.thread_count() * -(-per_thread // 64) * 64, np.nan, dtype)


def arguments(a, b, trans_a, trans_b, bias_axis, activation):
    """Those of the kernel, for matrices, or stacks of them where one of the two may be a single shared matrix; and the
    shape of the product."""
    batch = max(len(x) if x.ndim == 3 else 1 for x in (a, b))
    m, k = a.shape[-2:][::-1] if trans_a else a.shape[-2:]
    n = b.shape[-2 if trans_b else -1]
    args = dict(
        batch=batch,
        m=m,
        n=n,
        k=k,
        lda=a.shape[-1],
        ldb=b.shape[-1],
        ldc=n,
        trans_a=trans_a,
        trans_b=trans_b,
        batch_a=m * k if a.ndim == 3 else 0,
        batch_b=k * n if b.ndim == 3 else 0,
        batch_c=m * n,
        bias_axis=bias_axis,
        activation=activation,
    )
    return args, (batch, m, n) if a.ndim == 3 or b.ndim == 3 else (m, n)


def gemm(a, b, trans_a=0, trans_b=0, bias=None, bias_axis=0, residual=None, activation=0, out=None):
    args, shape = arguments(a, b, trans_a, trans_b, bias_axis, activation)
    if out is None:
        out = np.full(shape, np.nan, a.dtype)
    own = scratch(args["m"], args["n"], args["k"], a.dtype)
    _core.run_kernel(f"gemm.{a.dtype}", args, [a, b, bias, residual, out, own])
    return out


def check(result, exact, k, dtype):
    # Sums of k products of standard normal numbers: rounding errors add like a random walk, with a margin of 8.
    tolerance = 8 * np.finfo(dtype).eps * np.sqrt(k + 1)
    np.testing.assert_allclose(result, exact, rtol=tolerance, atol=tolerance * np.sqrt(k + 1))


def operands(rng, m, n, k, trans_a, trans_b, dtype, stack=()):
    a = rng.standard_normal(stack + ((k, m) if trans_a else (m, k))).astype(dtype)
    b = rng.standard_normal(stack + ((n, k) if trans_b else (k, n))).astype(dtype)
    exact = np.matmul(
        np.swapaxes(a, -1, -2) if trans_a else a, np.swapaxes(b, -1, -2) if trans_b else b, dtype="float64"
    )
    return a, b, exact


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("trans_a,trans_b", TRANSPOSITIONS)
def test_every_tail(dtype, trans_a, trans_b):
    rng = np.random.default_rng(1)
    sizes = [1, 2, 3, 4, 5, 7, 8, 9, 12, 13, 16, 17, 23, 24, 25, 31, 33, 50]
    for m, n in itertools.product(sizes, repeat=2):
        k = int(rng.integers(1, 40))
        a, b, exact = operands(rng, m, n, k, trans_a, trans_b, dtype)
        check(gemm(a, b, trans_a, trans_b), exact, k, dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("trans_a,trans_b", TRANSPOSITIONS)
@pytest.mark.parametrize(
    "m,n,k",
    [
        (301, 401, 611),
        (1, 1003, 517),
        (1003, 1, 517),
        (517, 5, 1003),
        (2, 4100, 33),
        (450, 33, 1500),
        (8, 4, 3),
        (64, 128, 784),
        (130, 2500, 70),
    ],
)
def test_blocks(m, n, k, trans_a, trans_b, dtype):
    a, b, exact = operands(np.random.default_rng(m), m, n, k, trans_a, trans_b, dtype)
    check(gemm(a, b, trans_a, trans_b), exact, k, dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("m,n,k", [(37, 45, 300), (3, 70, 9), (70, 3, 9), (50, 1, 64), (300, 300, 600)])
@pytest.mark.parametrize("bias_axis", [0, 1, 2])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_riders(m, n, k, bias_axis, activation, dtype):
    rng = np.random.default_rng(activation)
    for trans_a, trans_b in TRANSPOSITIONS:
        a, b, exact = operands(rng, m, n, k, trans_a, trans_b, dtype)
        bias = rng.standard_normal(m if bias_axis == 2 else n).astype(dtype) if bias_axis else None
        residual = rng.standard_normal((m, n)).astype(dtype)
        if bias_axis:
            exact = exact + (bias[:, None] if bias_axis == 2 else bias)
        check(
            gemm(a, b, trans_a, trans_b, bias, bias_axis, residual, activation),
            ACTIVATIONS[activation](exact + residual),
            k,
            dtype,
        )
        into = residual.copy()  # the residual may be c itself
        gemm(a, b, trans_a, trans_b, bias, bias_axis, into, activation, into)
        check(into, ACTIVATIONS[activation](exact + residual), k, dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("m,n,k", [(37, 45, 300), (3, 70, 9), (50, 1, 64), (300, 300, 600), (5, 4, 0)])
def test_gate(m, n, k, dtype):
    rng = np.random.default_rng(m)
    for trans_a, trans_b in TRANSPOSITIONS:
        a, b, exact = operands(rng, m, n, k, trans_a, trans_b, dtype)
        bias, gate = rng.standard_normal(n).astype(dtype), rng.standard_normal((m, n)).astype(dtype)
        check(gemm(a, b, trans_a, trans_b, bias, 1, gate, GATE), (exact + bias) * (gate > 0), k, dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "batch,m,n,k", [(3, 5, 6, 7), (20, 64, 64, 64), (2, 200, 150, 170), (5, 9, 1, 30), (33, 1, 40, 30)]
)
@pytest.mark.parametrize("trans_a,trans_b", TRANSPOSITIONS)
def test_batches(batch, m, n, k, trans_a, trans_b, dtype):
    rng = np.random.default_rng(batch)
    a, b, exact = operands(rng, m, n, k, trans_a, trans_b, dtype, (batch,))
    check(gemm(a, b, trans_a, trans_b), exact, k, dtype)
    shared = np.matmul(
        np.swapaxes(a[0], -1, -2) if trans_a else a[0], np.swapaxes(b, -1, -2) if trans_b else b, dtype="float64"
    )
    check(gemm(a[0], b, trans_a, trans_b), shared, k, dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nothing_to_sum(dtype):
    bias = np.array([-1, 2, 3], dtype)
    empty = gemm(np.zeros((4, 0), dtype), np.zeros((0, 3), dtype), bias=bias, bias_axis=1, activation=1)
    np.testing.assert_array_equal(empty, np.tile(np.maximum(bias, 0), (4, 1)))
    np.testing.assert_array_equal(
        gemm(np.zeros((40, 0), dtype), np.zeros((50, 0), dtype), trans_b=1), np.zeros((40, 50))
    )
    assert gemm(np.zeros((0, 5), dtype), np.zeros((5, 3), dtype)).shape == (0, 3)
    assert gemm(np.zeros((2, 5), dtype), np.zeros((5, 0), dtype)).shape == (2, 0)


def test_leading_dimensions():
    rng = np.random.default_rng(5)
    a, b, c = rng.standard_normal((3, 60, 90)).astype("float32")
    before = c.copy()
    args = dict(
        batch=1,
        m=30,
        n=41,
        k=50,
        lda=90,
        ldb=90,
        ldc=90,
        batch_a=0,
        batch_b=0,
        batch_c=0,
        trans_a=0,
        trans_b=0,
        bias_axis=0,
        activation=0,
    )
    _core.run_kernel("gemm.float32", args, [a, b, None, None, c, scratch(30, 41, 50, "float32")])
    check(c[:30, :41], a[:30, :50].astype("float64") @ b[:50, :41], 50, "float32")
    np.testing.assert_array_equal(c[:, 41:], before[:, 41:])
    np.testing.assert_array_equal(c[30:], before[30:])


def test_relu_keeps_nan():
    a = np.array([[np.nan], [-1], [2]], "float32")
    np.testing.assert_array_equal(gemm(a, np.ones((1, 20), "float32"), activation=1)[:, 0], [np.nan, 0, 2])
    np.testing.assert_array_equal(gemm(a, np.ones((1, 1), "float32"), activation=1)[:, 0], [np.nan, 0, 2])
