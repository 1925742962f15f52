"""Indexing of NDArrays against NumPy, over written and generated keys."""

import itertools

import numpy as np
import pytest

import minimx as mx

SHAPES = [(5,), (3, 4), (2, 3, 4), (2, 3, 1, 4)]
DTYPES = ["float32", "float64", "uint8", "float16"]  # each writes through its share of the keys
AXIS_KEYS = [
    0,
    -1,
    slice(None),
    slice(1, None),
    slice(None, -1),
    slice(None, None, 2),
    slice(None, None, -1),
    slice(-1, None, -2),
    slice(2, 2),
    slice(-100, 100),
    None,
    Ellipsis,
    [0, -1],
    [1, 1, 0],
    np.array([[0, 1], [1, 0]]),
    np.array([], np.int64),
    np.int32(1),
]


def keys_for(shape):
    """Single keys, all pairs, and a random choice of longer combinations; many do not fit, which is compared too."""
    yield from AXIS_KEYS
    yield from itertools.product(AXIS_KEYS, repeat=2)
    random = np.random.default_rng(7)
    for length in (3, 4):
        for _ in range(150):
            yield tuple(AXIS_KEYS[i] for i in random.integers(0, len(AXIS_KEYS), length))
    yield ()
    yield np.arange(int(np.prod(shape))).reshape(shape) % 3 == 0
    yield np.arange(shape[0]) % 2 == 0
    yield (np.arange(shape[0]) % 2 == 1, Ellipsis, slice(None, None, -1))
    yield [True] + [False] * (shape[0] - 1)
    if len(shape) > 1:
        yield (Ellipsis, np.arange(shape[-1]) % 2 == 0)
        yield (slice(None), np.arange(int(np.prod(shape[1:]))).reshape(shape[1:]) % 2 == 0)
        yield (np.arange(shape[0]), np.zeros(shape[0], np.int64))


def selected(values, key):
    try:
        return values[key]
    except IndexError:
        return IndexError


def as_mxnet(expected):
    """A single element is an array of one."""
    return np.asarray(expected).reshape(1) if np.ndim(expected) == 0 else expected


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_reading_equals_numpy(shape):
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    array = mx.nd.array(values)
    checked = 0
    for key in keys_for(shape):
        expected = selected(values, key)
        if expected is IndexError:
            with pytest.raises(IndexError):
                array[key]
            continue
        np.testing.assert_array_equal(array[key].asnumpy(), as_mxnet(expected), err_msg=repr(key))
        checked += 1
    assert checked > 90


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_writing_equals_numpy(shape, dtype):
    random = np.random.default_rng(3)
    start = random.integers(0, 100, shape).astype(dtype)
    for key in itertools.islice(keys_for(shape), DTYPES.index(dtype), None, len(DTYPES)):
        target = selected(start, key)
        if target is IndexError:
            with pytest.raises(IndexError):
                mx.nd.array(start, dtype=dtype)[key] = 1
            continue
        # The same place may be named twice; then the last value wins.
        value = random.integers(0, 100, np.shape(target)).astype(dtype)
        for given in (value, 7, value[..., :1] if value.ndim else value):
            expected, array = start.copy(), mx.nd.array(start, dtype=dtype)
            expected[key] = given
            array[key] = given
            np.testing.assert_array_equal(array.asnumpy(), expected, err_msg=f"{key!r} = {given!r}")
            if isinstance(given, np.ndarray):
                array = mx.nd.array(start, dtype=dtype)
                array[key] = mx.nd.array(given, dtype=dtype)
                np.testing.assert_array_equal(array.asnumpy(), expected, err_msg=f"{key!r} = NDArray {given!r}")


def test_leading_slices_share_memory():
    array = mx.nd.zeros((4, 3))
    array[1:3][:] = 5
    array[0][1] = 2
    array.reshape((2, 6))[1, 5] = 9
    expected = np.zeros((4, 3), np.float32)
    expected[1:3] = 5
    expected[0, 1] = 2
    expected[3, 2] = 9
    np.testing.assert_array_equal(array.asnumpy(), expected)


def test_other_slices_are_copies():
    array = mx.nd.zeros((4, 3))
    array[:, 1][:] = 5
    assert array.asnumpy().max() == 0


def test_arrays_as_keys():
    array = mx.nd.array(np.arange(12).reshape(4, 3))
    values = array.asnumpy()
    rows = mx.nd.array([3, 0])
    np.testing.assert_array_equal(array[rows].asnumpy(), values[[3, 0]])
    np.testing.assert_array_equal(
        array[mx.nd.array([1, 2], dtype="int32"), mx.nd.zeros(2)].asnumpy(), values[[1, 2], 0]
    )
    mask = mx.nd.array([1, 0, 0, 1], dtype="bool")
    np.testing.assert_array_equal(array[mask].asnumpy(), values[[True, False, False, True]])


def test_overlapping_assignment():
    array = mx.nd.array(np.arange(6))
    array[1:] = array[:-1]
    np.testing.assert_array_equal(array.asnumpy(), [0, 0, 1, 2, 3, 4])


def test_assignment_converts_dtypes():
    array = mx.nd.zeros((2, 2), dtype="int32")
    array[:] = np.array([[1.7, -1.7], [2.2, 3]])
    np.testing.assert_array_equal(array.asnumpy(), [[1, -1], [2, 3]])
    array[0] = [8, 9]
    np.testing.assert_array_equal(array.asnumpy(), [[8, 9], [2, 3]])


@pytest.mark.parametrize(
    "key, error, text",
    [
        (5, IndexError, "index 5 is out of bounds for axis 0 with size 2"),
        ((0, -4), IndexError, "index -4 is out of bounds for axis 1 with size 3"),
        ((0, 0, 0), IndexError, "too many indices"),
        ([0, 2], IndexError, "index 2 is out of bounds for axis 0 with size 2"),
        ("a", ValueError, "does not support slicing with key"),
        (1.0, ValueError, "does not support slicing with key"),
        (np.array([0.0]), IndexError, "integer or bool"),
        ((Ellipsis, 0, Ellipsis), IndexError, "only one Ellipsis"),
    ],
)
def test_wrong_keys(key, error, text):
    array = mx.nd.zeros((2, 3))
    with pytest.raises(error, match=text):
        array[key]
    with pytest.raises(error, match=text):
        array[key] = 0


def test_value_that_does_not_fit():
    array = mx.nd.zeros((2, 3))
    with pytest.raises(ValueError, match="could not broadcast"):
        array[:] = np.zeros((2, 2))
    with pytest.raises(ValueError, match="could not broadcast"):
        array[[0, 1]] = mx.nd.zeros((3, 3))


def test_implicit_axes():
    assert mx.nd.indexing_key_expand_implicit_axes((1, Ellipsis), (2, 3, 4)) == (1, slice(None), slice(None))
