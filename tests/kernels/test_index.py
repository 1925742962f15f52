"""The index kernels against NumPy."""

import numpy as np
import pytest

from minimx import _core

SIZES = [np.uint8, np.uint16, np.uint32, np.uint64]
ADDING = [np.float32, np.float64, np.int32, np.int64, np.uint8, np.int8]
CLIP, WRAP = 0, 1


def data(shape, dtype, seed=0):
    return np.random.default_rng(seed).integers(0, 100, shape).astype(dtype)


def index(shape, low, high, seed=1):
    return np.random.default_rng(seed).integers(low, high, shape).astype(np.int64)


def valid(indices, n, mode):
    return np.clip(indices, 0, n - 1) if mode == CLIP else indices % n


# outer, axis, inner, count: single elements, short and long rows, work for several threads
GATHERS = [
    (1, 5, 1, 7),
    (3, 4, 5, 6),
    (2, 3, 17, 1),
    (1, 10, 33, 0),
    (1, 300, 200, 1000),
    (50, 40, 1, 900),
    (7, 11, 300, 65),
]


@pytest.mark.parametrize("mode", [CLIP, WRAP])
@pytest.mark.parametrize("dtype", SIZES)
@pytest.mark.parametrize("outer, axis, inner, count", GATHERS)
def test_gather(outer, axis, inner, count, dtype, mode):
    table, at = data((outer, axis, inner), dtype), index(count, -2 * axis, 3 * axis)
    out = np.zeros((outer, count, inner), dtype)
    args = {"outer": outer, "axis": axis, "inner": inner, "count": count, "mode": mode}
    _core.run_kernel(f"gather.{table.itemsize}", args, [table, at, out])
    np.testing.assert_array_equal(out, table[:, valid(at, axis, mode)])


def sums_in_order(values, at, axis):
    out = np.zeros((values.shape[0], axis, values.shape[2]), values.dtype)
    for c, row in enumerate(at):
        out[:, row] += values[:, c]
    return out


@pytest.mark.parametrize("mode", [CLIP, WRAP])
@pytest.mark.parametrize("dtype", ADDING)
@pytest.mark.parametrize("outer, axis, inner, count", [*GATHERS, (1, 5000, 64, 200), (1, 9000, 1, 30000)])
def test_scatter_add(outer, axis, inner, count, dtype, mode):
    at = index(count, -axis, 2 * axis)
    values = np.random.default_rng(2).normal(size=(outer, count, inner), scale=20).astype(np.int8).astype(dtype)
    if np.issubdtype(dtype, np.floating):
        values /= 7  # sums that round: the order of adding shows
    out = np.full((outer, axis, inner), 55, dtype)
    args = {"outer": outer, "axis": axis, "inner": inner, "count": count, "mode": mode}
    expected = sums_in_order(values, valid(at, axis, mode), axis)
    before = _core.thread_count()
    try:
        for threads in (before, 1, 3):
            _core.set_thread_count(threads)
            out[...] = 55
            _core.run_kernel(f"scatter_add.{np.dtype(dtype).name}", args, [values, at, out])
            np.testing.assert_array_equal(out, expected)
    finally:
        _core.set_thread_count(before)


PICKS = [(1, 5, 1), (6, 7, 1), (3, 4, 5), (5000, 10, 1), (3, 9, 2000)]


@pytest.mark.parametrize("mode", [CLIP, WRAP])
@pytest.mark.parametrize("dtype", SIZES)
@pytest.mark.parametrize("outer, axis, inner", PICKS)
def test_pick_and_place(outer, axis, inner, dtype, mode):
    table, at = data((outer, axis, inner), dtype), index((outer, inner), -2 * axis, 3 * axis)
    out = np.zeros((outer, inner), dtype)
    args = {"outer": outer, "axis": axis, "count": 1, "inner": inner, "mode": mode}
    _core.run_kernel(f"pick.{table.itemsize}", args, [table, at, out])
    where = valid(at, axis, mode)[:, None, :]
    np.testing.assert_array_equal(out, np.take_along_axis(table, where, 1)[:, 0])

    for keep in (0, 1):
        placed = table.copy()
        _core.run_kernel(f"place.{table.itemsize}", {**args, "keep": keep}, [out[::-1].copy(), at, placed])
        expected = table.copy() if keep else np.zeros_like(table)
        np.put_along_axis(expected, where, out[::-1][:, None, :], 1)
        np.testing.assert_array_equal(placed, expected)


@pytest.mark.parametrize("dtype", SIZES)
@pytest.mark.parametrize("count, depth", [(1, 1), (7, 5), (0, 3), (300, 1000)])
def test_one_hot(count, depth, dtype):
    at = index(count, -2, depth + 2)
    for on, off in [(1, 0), (0, 1), (9, 4)]:
        out = np.full((count, depth), 77, dtype)
        args = {"count": count, "depth": depth, "on": on, "off": off}
        _core.run_kernel(f"one_hot.{out.itemsize}", args, [at, out])
        np.testing.assert_array_equal(out, np.where(at[:, None] == np.arange(depth), on, off).astype(dtype))


# leading dims, inner, count
NDS = [((5,), 1, 3), ((3, 4), 5, 6), ((2, 3, 4), 1, 9), ((300,), 200, 700), ((40, 50), 3, 4000), ((4,), 2000, 50)]


@pytest.mark.parametrize("dtype", SIZES)
@pytest.mark.parametrize("dims, inner, count", NDS)
def test_gather_nd_and_scatter_nd(dims, inner, count, dtype):
    table = data((*dims, inner), dtype)
    at = np.stack([index(count, -n, n, seed) for seed, n in enumerate(dims)])
    out = np.zeros((count, inner), dtype)
    args = {"dims": list(dims), "count": count, "inner": inner}
    _core.run_kernel(f"gather_nd.{table.itemsize}", args, [table, at, out])
    np.testing.assert_array_equal(out, table[tuple(at)])

    values = data((count, inner), dtype, 3)
    for keep in (0, 1):
        written = table.copy()
        _core.run_kernel(f"scatter_nd.{table.itemsize}", {**args, "keep": keep}, [values, at, written])
        expected = table.copy() if keep else np.zeros_like(table)
        for c in range(count):
            expected[tuple(at[:, c])] = values[c]
        np.testing.assert_array_equal(written, expected)


@pytest.mark.parametrize("keep", [0, 1])
@pytest.mark.parametrize("dtype", ADDING)
@pytest.mark.parametrize("dims, inner, count", NDS)
def test_scatter_nd_add(dims, inner, count, dtype, keep):
    at = np.stack([index(count, -n, n, seed) for seed, n in enumerate(dims)])
    values, start = data((count, inner), dtype, 3), data((*dims, inner), dtype, 4)
    out = start.copy()
    args = {"dims": list(dims), "count": count, "inner": inner, "keep": keep}
    _core.run_kernel(f"scatter_nd_add.{np.dtype(dtype).name}", args, [values, at, out])
    expected = start if keep else np.zeros_like(start)
    np.add.at(expected, tuple(at), values)
    np.testing.assert_array_equal(out, expected)
