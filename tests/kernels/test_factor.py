"""The trsm kernel alone, against NumPy: every triangle and side, whole panels and what is left over."""

import numpy as np
import pytest

from minimx import _core


def solve(a, b, *, transpose, rightside, lower, alpha):
    batch, rows, columns = b.shape
    x = np.full_like(b, np.nan)
    scratch = np.full(_core.thread_count() * a.shape[-1] * 32, np.nan, "float32")
    args = {"batch": batch, "rows": rows, "columns": columns, "alpha": alpha}
    args |= {"transpose": int(transpose), "rightside": int(rightside), "lower": int(lower)}
    _core.run_kernel(f"trsm.{b.dtype}", args, [a, b, x, scratch])
    return x


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [1, 3, 4, 7, 33, 64])
@pytest.mark.parametrize("systems", [1, 5, 16, 37])
def test_triangular_systems(n, systems, dtype):
    rng = np.random.default_rng(n)
    a = (rng.normal(size=(3, n, n)) / n + 2 * np.eye(n)).astype(dtype)
    for transpose, rightside, lower in np.ndindex(2, 2, 2):
        b = rng.normal(size=(3, systems, n) if rightside else (3, n, systems)).astype(dtype)
        used = (np.tril if lower else np.triu)(a).astype("float64")
        used = used.swapaxes(1, 2) if transpose else used
        inverse = np.linalg.inv(used)
        want = 0.5 * (b @ inverse if rightside else inverse @ b)
        found = solve(a, b, transpose=transpose, rightside=rightside, lower=lower, alpha=0.5)
        limit = 20 * np.finfo(dtype).eps * np.abs(want).max()
        np.testing.assert_allclose(found, want, rtol=0, atol=limit)
