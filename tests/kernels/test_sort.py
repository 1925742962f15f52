"""The order kernel against NumPy's stable sort, for rows of every length and any number of threads."""

import numpy as np
import pytest

from minimx import _core

DTYPES = ["float32", "float64", "int32", "int64", "uint8", "int8"]
SHARED = 1 << 16


@pytest.fixture(autouse=True)
def thread_count():
    before = _core.thread_count()
    yield
    _core.set_thread_count(before)


def run(data, k, descending, values=True, indices=True, threads=1):
    rows, n = data.shape
    _core.set_thread_count(threads)
    lanes = threads if n < SHARED or rows >= threads else 1
    outs = ([np.zeros((rows, k), data.dtype)] if values else []) + ([np.zeros((rows, k), np.int64)] if indices else [])
    scratch = np.zeros(2 * n * 2 * max(4, data.itemsize) * lanes + 4 * 2048 * threads, np.uint8)
    args = {"rows": rows, "n": n, "k": k, "descending": int(descending), "lanes": lanes, "padded": 0}
    args |= {"values": int(values), "indices": int(indices)}
    _core.run_kernel(f"order.{data.dtype.name}", args, [data, *outs, scratch])
    return outs


def expected(data, k, descending):
    """Values and positions: equal elements in their order, NaN as the largest number."""
    wide = np.where(np.isnan(data), np.inf, data) if data.dtype.kind == "f" else data.astype(np.int64)
    places = np.argsort(-wide if descending else wide, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(data, places, 1), places


def rows_of(dtype, rows, n, distinct=0):
    rng = np.random.default_rng(rows + n)
    if distinct:
        return rng.integers(0, distinct, (rows, n)).astype(dtype)
    if np.dtype(dtype).kind == "f":
        return rng.standard_normal((rows, n)).astype(dtype)
    info = np.iinfo(dtype)
    return rng.integers(max(info.min, -(2**52)), min(info.max, 2**52), (rows, n)).astype(dtype)


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows, n", [(1, 1), (3, 2), (5, 17), (40, 128), (7, 129), (3, 1000), (2, 5000)])
def test_order(rows, n, dtype, descending):
    for distinct in (0, 3):
        data = rows_of(dtype, rows, n, distinct)
        for k in sorted({1, min(5, n), max(1, n // 5), n}):
            for threads in (1, 3):
                want = expected(data, k, descending)
                for got, exact in zip(run(data, k, descending, threads=threads), want, strict=True):
                    np.testing.assert_array_equal(got, exact)
                (alone,) = run(data, k, descending, indices=False, threads=threads)
                np.testing.assert_array_equal(alone, want[0])
                (alone,) = run(data, k, descending, values=False, threads=threads)
                np.testing.assert_array_equal(alone, want[1])


@pytest.mark.parametrize("dtype", ["float32", "int64", "uint8"])
@pytest.mark.parametrize("k", [1, 40, 3000, SHARED + 100])
def test_threads_share_a_long_row(dtype, k):
    data = rows_of(dtype, 1, SHARED + 100)
    for descending in (False, True):
        want = expected(data, k, descending)
        for threads in (2, 3):
            for got, exact in zip(run(data, k, descending, threads=threads), want, strict=True):
                np.testing.assert_array_equal(got, exact)
            (alone,) = run(data, k, descending, indices=False, threads=threads)
            np.testing.assert_array_equal(alone, want[0])


@pytest.mark.parametrize("order", ["rising", "falling", "equal"])
@pytest.mark.parametrize("k", [1, 16, 17, 200])
def test_rows_that_are_in_some_order_already(order, k):
    data = np.arange(2000, dtype=np.float32)[None]
    data = {"rising": data, "falling": data[:, ::-1].copy(), "equal": np.zeros_like(data)}[order]
    for descending in (False, True):
        for got, exact in zip(run(data, k, descending), expected(data, k, descending), strict=True):
            np.testing.assert_array_equal(got, exact)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_special_numbers(dtype):
    data = np.array([[np.nan, 1, -np.inf, 0.0, -0.0, np.inf, -1, np.nan, 0.0]], dtype)
    assert run(data, 9, False)[1].tolist() == [[2, 6, 3, 4, 8, 1, 5, 0, 7]]
    assert run(data, 9, True)[1].tolist() == [[0, 7, 5, 1, 3, 4, 8, 6, 2]]
    assert np.isnan(run(data, 2, True)[0]).all()
