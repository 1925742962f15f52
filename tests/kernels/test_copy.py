"""strided_copy and fill against NumPy's own strided views."""

import itertools

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided

from minimx import _core
from minimx.base import bits

TYPES = [np.uint8, np.uint16, np.uint32, np.uint64]


def numbers(shape, dtype):
    return (np.arange(int(np.prod(shape, dtype=np.int64))) * 2654435761 % 251).astype(dtype).reshape(shape)


def offset_of(view, base):
    start = view.__array_interface__["data"][0] - base.__array_interface__["data"][0]
    return start // base.itemsize


def copy(base_in, view_in, base_out, view_out):
    """Runs strided_copy from one view to another of the same shape."""
    size = base_in.itemsize
    args = {
        "shape": list(view_in.shape),
        "in_strides": [s // size for s in view_in.strides],
        "out_strides": [s // size for s in view_out.strides],
        "in_offset": offset_of(view_in, base_in),
        "out_offset": offset_of(view_out, base_out),
    }
    _core.run_kernel(f"strided_copy.{size}", args, [base_in, base_out])


def check(base, view):
    out = np.full(view.shape, 77, base.dtype)
    copy(base, view, out, out)
    np.testing.assert_array_equal(out, view)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(
    "shape",
    [(1, 1), (2, 3), (3, 67), (67, 3), (16, 16), (15, 17), (33, 64), (40, 129), (8, 1000), (70, 2048), (4096, 141)],
)
def test_matrix_transpose(shape, dtype):
    base = numbers(shape, dtype)
    check(base, base.T)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("columns", [1024, 1029, 65536])
def test_transpose_of_more_than_the_caches_hold(columns, dtype):
    """Large results are written past the caches, where their rows lie on whole vectors."""
    rows = (17 << 20) // (columns * np.dtype(dtype).itemsize)
    base = numbers((rows, columns), dtype)
    check(base, base.T)
    check(base, base[3:, 5:].T)


@pytest.mark.parametrize("dtype", TYPES)
def test_every_permutation(dtype):
    for shape in [(3, 4, 5, 2), (2, 17, 18, 3), (5, 1, 19, 16)]:
        base = numbers(shape, dtype)
        for axes in itertools.permutations(range(4)):
            check(base, base.transpose(axes))


@pytest.mark.parametrize("dtype", TYPES)
def test_slices_steps_and_flips(dtype):
    base = numbers((6, 7, 35), dtype)
    for view in [
        base[1:4],
        base[:, 2:5, 3:30],
        base[::-1],
        base[:, ::-1, ::-1],
        base[::2, 1::3, ::4],
        base[::-2, ::-3, 33:2:-5],
        base[:, :, ::-1].transpose(2, 0, 1),
        base[:, :, 4:8],
        base[..., 1:3],
        base[2, 3, 4],
        base[:0],
    ]:
        check(base, view)


@pytest.mark.parametrize("dtype", TYPES)
def test_broadcast_and_tile(dtype):
    base = numbers((5, 9), dtype)
    check(base, np.broadcast_to(base[:, None, :], (5, 4, 9)))
    check(base, np.broadcast_to(base[:, :, None], (5, 9, 70)))
    check(base, np.broadcast_to(base[:1, :1], (300, 3)))
    check(base, np.broadcast_to(base[None, :, None, :], (3, 5, 2, 9)))


@pytest.mark.parametrize("dtype", TYPES)
def test_writing_into_part_of_the_output(dtype):
    base = numbers((4, 6, 10), dtype)
    for pick in [np.s_[:4, :6, :10], np.s_[2:6, 1:7, 3:13], np.s_[::2, 1:13:2, 19::-2], np.s_[3::-1, 5::-1, 9::-1]]:
        out = np.full((8, 13, 20), 99, dtype)
        expected = out.copy()
        expected[pick] = base
        copy(base, base, out, out[pick])
        np.testing.assert_array_equal(out, expected)
    out = np.zeros((10, 6, 4), dtype)
    copy(base, base, out, out.T)
    np.testing.assert_array_equal(out, base.T)


@pytest.mark.parametrize("dtype", TYPES)
def test_large_enough_for_threads(dtype):
    base = numbers((37, 300, 71), dtype)
    for view in [
        base.transpose(2, 1, 0),
        base.transpose(1, 0, 2),
        base[:, ::-1],
        base.transpose(0, 2, 1),
        base[1:, :, 5:],
    ]:
        check(base, view)
    flat = numbers((1 << 20,), dtype)
    check(flat, flat[3:])
    check(flat, flat[::-1])
    check(flat, as_strided(flat, (1000, 1000), (flat.itemsize, flat.itemsize)))


def test_results_do_not_depend_on_threads():
    base = numbers((129, 257, 7), np.uint32)
    before = _core.thread_count()
    try:
        for threads in (1, 3):
            _core.set_thread_count(threads)
            check(base, base.transpose(1, 2, 0))
    finally:
        _core.set_thread_count(before)


def test_many_dimensions():
    base = numbers((2,) * 12, np.uint16)
    check(base, base.transpose(*range(11, -1, -1)))
    check(base, base.transpose(1, 3, 5, 7, 9, 11, 0, 2, 4, 6, 8, 10))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("count", [0, 1, 5, 100, 70001])
@pytest.mark.parametrize("value", [0, 1, 200])
def test_fill(dtype, count, value):
    out = np.full(count + 2, 77, dtype)
    expected = out.copy()
    expected[:count] = value
    _core.run_kernel(f"fill.{out.itemsize}", {"count": count, "bits": value}, [out])
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize(
    "dtype, value",
    [
        ("float32", -1.5),
        ("float64", 1e300),
        ("float16", 0.1),
        ("float16", 1e9),
        ("int64", -(2**63)),
        ("int32", -7),
        ("uint8", 255),
        ("int8", -1.9),
        ("bool", 3),
    ],
)
def test_fill_with_the_bits_of_a_number(dtype, value):
    out = np.zeros(1000, dtype)
    _core.run_kernel(f"fill.{out.itemsize}", {"count": 1000, "bits": bits(value, dtype)}, [out])
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(out, np.full(1000, value).astype(dtype))


def test_bits_of_integers_wrap_and_of_bfloat16_round_to_even():
    assert [bits(300, "uint8"), bits(200, "int8"), bits(2**64 + 5, "int64")] == [44, -56, 5]
    assert [bits(1.0, "bfloat16"), bits(1 + 2**-8, "bfloat16"), bits(1 + 3 * 2**-8, "bfloat16")] == [
        0x3F80,
        0x3F80,
        0x3F82,
    ]
