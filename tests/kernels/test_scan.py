"""Running sums and histograms against NumPy, with any number of threads."""

import numpy as np
import pytest

from minimx import _core


@pytest.fixture(autouse=True)
def thread_count():
    before = _core.thread_count()
    yield
    _core.set_thread_count(before)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64"])
@pytest.mark.parametrize(
    "outer, n, inner", [(1, 1, 1), (3, 7, 1), (2, 9000, 1), (1, 50000, 1), (4, 5, 3), (2, 60, 700)]
)
def test_cumsum(outer, n, inner, dtype):
    data = (10 * np.random.default_rng(n).standard_normal((outer, n, inner))).astype(dtype)
    scratch = np.zeros(8 * outer * -(-n // 8192), np.uint8)
    for reverse in (0, 1):
        turned = data[:, ::-1] if reverse else data
        wide = np.cumsum(turned, 1, dtype=np.float64 if data.dtype.kind == "f" else np.int64)
        want = (wide[:, ::-1] if reverse else wide).astype(dtype)
        results = []
        for threads in (1, 3):
            _core.set_thread_count(threads)
            out = np.full_like(data, 77)
            args = {"outer": outer, "n": n, "inner": inner, "reverse": reverse}
            _core.run_kernel(f"cumsum.{dtype}", args, [data, out, scratch])
            np.testing.assert_allclose(out, want, rtol=1e-6, atol=1e-6 * np.abs(want).max())
            results.append(out)
        np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64"])
@pytest.mark.parametrize("size, bins", [(0, 3), (5, 1), (1000, 7), (100000, 500)])
def test_histogram(size, bins, dtype):
    data = (20 * np.random.default_rng(size).standard_normal(size)).astype(dtype)
    if size:
        data[0] = 30
    for uniform, edges in ((1, np.linspace(-10, 30, bins + 1)), (0, np.linspace(0, 1, bins + 1) ** 2 * 40 - 10)):
        for threads in (1, 3):
            _core.set_thread_count(threads)
            out = np.full(bins, 77, np.int64)
            args = {"size": size, "bins": bins, "uniform": uniform}
            _core.run_kernel(f"histogram.{dtype}", args, [data, edges, out, np.zeros(8 * bins * threads, np.uint8)])
            np.testing.assert_array_equal(out, np.histogram(data, edges)[0])


def test_what_is_no_number_lies_in_no_bin():
    data = np.array([np.nan, np.inf, 0.5, -np.inf], np.float32)
    out = np.zeros(2, np.int64)
    edges = np.array([0.0, 1.0, 2.0])
    args = {"size": 4, "bins": 2, "uniform": 1}
    scratch = np.zeros(16 * _core.thread_count(), np.uint8)
    _core.run_kernel("histogram.float32", args, [data, edges, out, scratch])
    assert out.tolist() == [1, 0]
