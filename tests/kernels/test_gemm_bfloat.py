"""gemm.bfloat16 against float64: every transposition, tails of every size, blocks in each direction, riders, batches.

Runs where the kernel is offered: tests/test_bfloat.py runs it with MINIMX_BF16=1 at every level.
"""

import itertools

import numpy as np
import pytest

from kernels.test_gemm import ACTIVATIONS, TRANSPOSITIONS, arguments
from minimx import _core
from minimx.ndarray.convert import from_bfloat16, to_bfloat16
from minimx.ops.linear import gemm_scratch

OFFERED = _core.device("cpu", 0).has_kernel("gemm.bfloat16")
pytestmark = pytest.mark.skipif(
    not OFFERED, reason="this machine does not multiply bfloat16, and MINIMX_BF16 is not set"
)


def short(values):
    """As the kernels store numbers, and the numbers that they are then."""
    stored = to_bfloat16(np.asarray(values, np.float32)).view(np.uint16)
    return stored, from_bfloat16(stored).astype(np.float64)


def gemm(a, b, trans_a=0, trans_b=0, bias=None, bias_axis=0, residual=None, activation=0, out=None):
    args, shape = arguments(a, b, trans_a, trans_b, bias_axis, activation)
    if out is None:
        out = np.full(shape, 0x7FC0, np.uint16)
    elements = gemm_scratch(args["m"], args["n"], args["k"], "bfloat16", _core.thread_count()) // 4
    scratch = np.full(elements + 1024, np.nan, np.float32)
    _core.run_kernel("gemm.bfloat16", args, [a, b, bias, residual, out, scratch])
    assert np.isnan(scratch[elements:]).all()
    return out


def check(result, exact, k):
    # Products are exact. Sums of k of them round in float32 like a random walk, with a margin of 8, and what comes out
    # has 8 bits.
    error = 8 * np.finfo(np.float32).eps * np.sqrt(k + 1)
    np.testing.assert_allclose(from_bfloat16(result), exact, rtol=2**-8 + error, atol=error * np.sqrt(k + 1))


def operands(rng, m, n, k, trans_a, trans_b, stack=()):
    a, exact_a = short(rng.standard_normal(stack + ((k, m) if trans_a else (m, k))))
    b, exact_b = short(rng.standard_normal(stack + ((n, k) if trans_b else (k, n))))
    left = np.swapaxes(exact_a, -1, -2) if trans_a else exact_a
    return a, b, left @ (np.swapaxes(exact_b, -1, -2) if trans_b else exact_b)


@pytest.mark.parametrize("trans_a,trans_b", TRANSPOSITIONS)
def test_every_tail(trans_a, trans_b):
    rng = np.random.default_rng(1)
    sizes = [1, 2, 3, 4, 5, 7, 8, 9, 12, 13, 16, 17, 23, 24, 25, 31, 33, 50]
    for m, n in itertools.product(sizes, repeat=2):
        k = int(rng.integers(1, 80))
        a, b, exact = operands(rng, m, n, k, trans_a, trans_b)
        check(gemm(a, b, trans_a, trans_b), exact, k)


@pytest.mark.parametrize("trans_a,trans_b", TRANSPOSITIONS)
@pytest.mark.parametrize(
    "m,n,k", [(241, 300, 70), (20, 1100, 33), (30, 40, 1025), (250, 1030, 2049), (16, 300, 2048), (5, 7, 3000)]
)
def test_blocks(m, n, k, trans_a, trans_b):
    a, b, exact = operands(np.random.default_rng(2), m, n, k, trans_a, trans_b)
    check(gemm(a, b, trans_a, trans_b), exact, k)


@pytest.mark.parametrize("trans_a,trans_b", TRANSPOSITIONS)
@pytest.mark.parametrize("m,n,k", [(50, 40, 20), (3, 40, 64), (30, 35, 1100)])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_riders(m, n, k, trans_a, trans_b, activation):
    rng = np.random.default_rng(3)
    for axis, with_residual in itertools.product((0, 1, 2), (False, True)):
        a, b, exact = operands(rng, m, n, k, trans_a, trans_b)
        bias = rng.standard_normal((0, n, m)[axis]).astype(np.float32) if axis else None
        exact = exact + (0 if bias is None else bias if axis == 1 else bias[:, None])
        residual, added = short(rng.standard_normal((m, n)))
        exact = ACTIVATIONS[activation](exact + added if with_residual else exact)
        given = residual if with_residual else None
        result = gemm(a, b, trans_a, trans_b, bias, axis, given, activation)
        check(result, exact, k)
        if with_residual:  # which may be the output itself
            np.testing.assert_array_equal(
                gemm(a, b, trans_a, trans_b, bias, axis, given, activation, out=residual), result
            )


@pytest.mark.parametrize("trans_a,trans_b", TRANSPOSITIONS)
@pytest.mark.parametrize("m,n,k", [(20, 30, 41), (4, 5, 6), (300, 1, 65), (1, 300, 65)])
def test_batches(m, n, k, trans_a, trans_b):
    rng = np.random.default_rng(4)
    a, b, exact = operands(rng, m, n, k, trans_a, trans_b, (5,))
    check(gemm(a, b, trans_a, trans_b), exact, k)
    shared, one = short(rng.standard_normal((n, k) if trans_b else (k, n)))
    left = from_bfloat16(a).astype(np.float64)
    exact = (np.swapaxes(left, 1, 2) if trans_a else left) @ (one.T if trans_b else one)
    check(gemm(a, shared, trans_a, trans_b), exact, k)


@pytest.mark.parametrize("trans_a,trans_b", TRANSPOSITIONS)
def test_threads_do_not_change_the_result(trans_a, trans_b):
    rng = np.random.default_rng(5)
    before = _core.thread_count()
    for m, n, k in [(300, 301, 302), (8, 2000, 301), (2000, 9, 64), (64, 64, 3001)]:
        a, b, _ = operands(rng, m, n, k, trans_a, trans_b)
        results = []
        for count in (1, 2, 3):
            _core.set_thread_count(count)
            results.append(gemm(a, b, trans_a, trans_b))
        _core.set_thread_count(before)
        np.testing.assert_array_equal(results[0], results[1])
        np.testing.assert_array_equal(results[0], results[2])


def test_infinity_and_nan_stay_in_their_row():
    for k in (7, 8, 70):
        a, b, _ = operands(np.random.default_rng(6), 20, 40, k, 0, 0)
        a[3, 0], a[5, k - 1] = 0x7F80, 0x7FC0
        result = from_bfloat16(gemm(a, b, activation=1))
        assert np.isnan(result[5]).all()
        assert np.isin(result[3], [0, np.inf]).all()
        assert np.isfinite(np.delete(result, [3, 5], 0)).all()


def test_nothing_to_sum_up():
    bias = np.arange(40, dtype=np.float32)
    result = gemm(np.zeros((20, 0), np.uint16), np.zeros((0, 40), np.uint16), bias=bias, bias_axis=1)
    np.testing.assert_array_equal(from_bfloat16(result), np.tile(bias, (20, 1)))


def test_results_round_to_even():
    one, step = 1.0, 2.0**-8
    a, _ = short([[one, step, 0], [one + 2**-7, step, 0], [one, step, 2.0**-20]])
    b, _ = short(np.ones((3, 40)))
    result = from_bfloat16(gemm(np.tile(a, (4, 1)), b))
    np.testing.assert_array_equal(result[:3, 0], [one, one + 2 * 2.0**-7, one + 2**-7])
