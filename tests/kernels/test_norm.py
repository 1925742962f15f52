"""batch_norm and its gradient against the formulas in float64."""

import numpy as np
import pytest

from minimx import _core

SHAPES = [
    (3, 5, 49),
    (2, 3, 5000),
    (7, 1, 33),
    (50, 70, 1),
    (33, 5, 1),
    (700, 75, 1),
    (4, 130, 2),
    (2, 64, 300),
    (1, 4, 1),
]


def run(x, gamma, beta, eps, fix):
    outer, channels, inner = x.shape
    args = {"outer": outer, "channels": channels, "inner": inner, "eps": eps, "fix_gamma": fix}
    y, mean, invstd = np.full_like(x, np.nan), np.full_like(beta, np.nan), np.full_like(beta, np.nan)
    _core.run_kernel(f"batch_norm.{x.dtype}", args, [x, gamma, beta, y, mean, invstd])
    if inner == 1:  # the kernel for channels side by side gives the same
        others = [np.full_like(a, np.nan) for a in (y, mean, invstd)]
        run_last("batch_norm_last", args, [x, gamma, beta, *others])
        for a, b in zip(others, (y, mean, invstd), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e3 * np.finfo(x.dtype).eps, atol=200 * np.finfo(x.dtype).eps)
    return args, y, mean, invstd


def run_last(kernel, args, operands, parts=3):
    rows, channels = args["outer"], args["channels"]
    parts = min(parts, rows)
    scratch = np.full(2 * parts * channels + 3 * channels + 8, np.nan)
    told = {"rows": rows, "channels": channels, "parts": parts, "eps": args["eps"], "fix_gamma": args["fix_gamma"]}
    _core.run_kernel(f"{kernel}.{operands[0].dtype}", told, [*operands, scratch])
    assert np.isnan(scratch[-8:]).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("fix", [0, 1])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_forward_and_backward(shape, fix, dtype):
    rng = np.random.default_rng(5)
    x = (rng.standard_normal(shape) * 2 + 3).astype(dtype)
    gamma, beta = (rng.standard_normal(shape[1]).astype(dtype) for _ in range(2))
    dy = rng.standard_normal(shape).astype(dtype)
    args, y, mean, invstd = run(x, gamma, beta, 1e-3, fix)

    wide, column = x.astype(np.float64), (slice(None), None)
    m = wide.mean((0, 2))
    inverse = 1 / np.sqrt(wide.var((0, 2)) + 1e-3)
    xhat = (wide - m[column]) * inverse[column]
    scale = np.ones_like(m) if fix else gamma.astype(np.float64)
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(mean, m, rtol=20 * eps)
    np.testing.assert_allclose(invstd, inverse, rtol=40 * eps)
    np.testing.assert_allclose(y, scale[column] * xhat + beta[column], rtol=50 * eps, atol=200 * eps)

    dx, dgamma, dbeta = np.full_like(x, np.nan), np.full_like(beta, np.nan), np.full_like(beta, np.nan)
    _core.run_kernel(f"batch_norm_backward.{x.dtype}", args, [dy, x, gamma, mean, invstd, dx, dgamma, dbeta])
    if shape[2] == 1:
        others = [np.full_like(a, np.nan) for a in (dx, dgamma, dbeta)]
        run_last("batch_norm_last_backward", args, [dy, x, gamma, mean, invstd, *others])
        for a, b in zip(others, (dx, dgamma, dbeta), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e3 * np.finfo(dtype).eps, atol=1e3 * np.finfo(dtype).eps)
    sums, dots = dy.sum((0, 2), dtype=np.float64), (dy * xhat).sum((0, 2))
    count = shape[0] * shape[2]
    want = (scale * inverse)[column] * (dy - sums[column] / count - xhat * dots[column] / count)
    tolerance = 20 * eps * np.sqrt(count)
    np.testing.assert_allclose(dbeta, sums, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(dgamma, 0 * dots if fix else dots, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(dx, want, rtol=tolerance, atol=tolerance * max(1, (scale * inverse).max()))


@pytest.mark.parametrize("shape", [(4, 3, 1000), (4000, 3, 1)])
def test_large_mean_keeps_the_variance(shape):
    """A variance of one around ten thousand: what the square of the mean would have drowned."""
    x = (np.random.default_rng(0).standard_normal(shape) + 1e4).astype(np.float32)
    ones = np.ones(3, np.float32)
    *_, invstd = run(x, ones, ones, 0.0, 0)
    np.testing.assert_allclose(invstd, 1 / x.astype(np.float64).std((0, 2)), rtol=1e-4)
