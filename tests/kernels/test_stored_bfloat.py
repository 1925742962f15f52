"""Kernels that compute in float32 what is stored as bfloat16: they give what float32's give, rounded once."""

import itertools

import numpy as np
import pytest

from kernels.test_conv import rng  # noqa: F401
from kernels.test_gemm_bfloat import short
from minimx import _core
from minimx.ndarray.convert import from_bfloat16
from minimx.ops.last import LP

POOLS = [(kind, include) for kind, include in itertools.product(range(3), (0, 1)) if kind != LP]


@pytest.mark.parametrize("kind,include", POOLS)
@pytest.mark.parametrize("channels", [1, 3, 16, 37, 200])
def test_pool(channels, kind, include, rng):  # noqa: F811
    args = {"batch": 2, "channels": channels, "in": [9, 8], "out": [5, 4], "kernel": [3, 2], "stride": [2, 2]}
    args |= {"pad": [1, 0], "type": kind, "count_include_pad": include}
    stored, numbers = short(rng.standard_normal((2, 9, 8, channels)))
    want, got = np.empty((2, 5, 4, channels), np.float32), np.empty((2, 5, 4, channels), np.uint16)
    _core.run_kernel("pool_last_forward.float32", args, [numbers.astype(np.float32), want])
    _core.run_kernel("pool_last_forward.bfloat16", args, [stored, got])
    np.testing.assert_array_equal(got, short(want)[0])


def close(got, want):
    """As float32 may have been contracted in another way, a number between two neighbours can become either."""
    np.testing.assert_allclose(from_bfloat16(got), want, rtol=2**-8 + 1e-5, atol=1e-5)


@pytest.mark.parametrize("fix", [0, 1])
@pytest.mark.parametrize("rows,channels", [(33, 5), (700, 75), (64, 130), (1, 4)])
def test_batch_norm(rows, channels, fix, rng):  # noqa: F811
    args = {"rows": rows, "channels": channels, "parts": min(3, rows), "eps": 1e-3, "fix_gamma": fix}
    scratch = np.full(2 * 3 * channels + 3 * channels, np.nan)
    (x, wide_x), (dy, wide_dy) = (short(rng.standard_normal((rows, channels))) for _ in range(2))
    gamma, beta = (rng.standard_normal(channels).astype(np.float32) for _ in range(2))
    results = []
    for dtype, a, g in (("float32", wide_x, wide_dy), ("bfloat16", x, dy)):
        a, g = (v if dtype == "bfloat16" else v.astype(np.float32) for v in (a, g))
        y, dx = np.empty_like(a), np.empty_like(a)
        mean, invstd, dgamma, dbeta = (np.empty(channels, np.float32) for _ in range(4))
        _core.run_kernel(f"batch_norm_last.{dtype}", args, [a, gamma, beta, y, mean, invstd, scratch])
        operands = [g, a, gamma, mean, invstd, dx, dgamma, dbeta, scratch]
        _core.run_kernel(f"batch_norm_last_backward.{dtype}", args, operands)
        results.append((y, dx, mean, invstd, dgamma, dbeta))
    (y, dx, *statistics), (short_y, short_dx, *others) = results
    close(short_y, y)
    close(short_dx, dx)
    for a, b in zip(statistics, others, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-5)
