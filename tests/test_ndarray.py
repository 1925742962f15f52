import copy
import pickle

import numpy as np
import pytest

import minimx as mx
from minimx.base import MXNetError, bfloat16

DTYPES = ["float32", "float64", "float16", "int32", "int64", "int8", "uint8", "bool"]


# ---- creation -----------------------------------------------------------------------------------------------------------


def test_array_is_float32_unless_told_otherwise():
    assert mx.nd.array([1, 2]).dtype is np.float32
    assert mx.nd.array(np.arange(3)).dtype is np.float32
    assert mx.nd.array([1, 2], dtype="int32").dtype is np.int32
    assert mx.nd.array(mx.nd.array([1], dtype=np.int64)).dtype is np.int64
    assert mx.nd.array([mx.nd.ones((2,)), mx.nd.zeros((2,))]).shape == (2, 2)


@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes_round_trip(dtype):
    values = np.array([[0, 1, 2], [3, 4, 5]]).astype(dtype)
    array = mx.nd.array(values, dtype=dtype)
    assert array.dtype is np.dtype(dtype).type
    assert array.asnumpy().dtype == values.dtype
    np.testing.assert_array_equal(array.asnumpy(), values)


def test_bfloat16():
    array = mx.nd.array([1, 2.5, 3.14159, np.nan], dtype="bfloat16")
    assert array.dtype == bfloat16
    wide = array.astype("float32").asnumpy()
    np.testing.assert_array_equal(wide[:2], [1, 2.5])
    assert wide[2] == 3.140625 and np.isnan(wide[3])
    array[0] = 7
    assert array[0].asscalar() == 7
    assert "7." in repr(array)


def test_constant_arrays():
    np.testing.assert_array_equal(mx.nd.zeros((2, 3)).asnumpy(), np.zeros((2, 3), np.float32))
    np.testing.assert_array_equal(mx.nd.ones(3, dtype="uint8").asnumpy(), np.ones(3, np.uint8))
    np.testing.assert_array_equal(mx.nd.full((2, 2), -1.5, dtype="float16").asnumpy(), np.full((2, 2), -1.5))
    np.testing.assert_array_equal(mx.nd.full((2,), 2**62 + 1, dtype="int64").asnumpy(), [2**62 + 1] * 2)
    assert mx.nd.empty((2, 5)).shape == (2, 5)
    out = mx.nd.ones((2,))
    assert mx.nd.zeros((2,), out=out) is out and out.asnumpy().sum() == 0


def test_ranges():
    np.testing.assert_array_equal(mx.nd.arange(5).asnumpy(), np.arange(5))
    np.testing.assert_array_equal(mx.nd.arange(2, 10, 3, repeat=2).asnumpy(), [2, 2, 5, 5, 8, 8])
    assert mx.nd.arange(3, dtype="int32").dtype is np.int32
    np.testing.assert_allclose(mx.nd.linspace(0, 1, 5, endpoint=False).asnumpy(), np.linspace(0, 1, 5, endpoint=False))
    np.testing.assert_array_equal(mx.nd.eye(3, 4, 1).asnumpy(), np.eye(3, 4, 1))


def test_empty_and_scalar_arrays():
    none = mx.nd.zeros((0, 3))
    assert none.size == 0 and none.asnumpy().shape == (0, 3)
    assert (none + 1).shape == (0, 3)
    assert none.reshape((3, 0)).shape == (3, 0)
    assert not mx.nd.array([])
    one = mx.nd.array(5.0)
    assert one.shape == () and one.asscalar() == 5 and (one * 2).shape == ()
    with pytest.raises(TypeError, match="no length"):
        len(one)


def test_wrong_sources():
    with pytest.raises(TypeError, match="array-like"):
        mx.nd.array([[1, 2], [3]])
    with pytest.raises(MXNetError, match="not a dtype|not supported"):
        mx.nd.zeros((2,), dtype="float8")
    with pytest.raises(ValueError, match="shape"):
        mx.nd.zeros((2, -1))
    with pytest.raises(MXNetError, match="storage type"):
        mx.nd.zeros((2,), stype="csr")


def test_joining_and_splitting():
    a, b = mx.nd.ones((2, 3)), mx.nd.zeros((2, 3))
    assert mx.nd.concatenate([a, b], axis=1).shape == (2, 6)
    assert mx.nd.concatenate([a], always_copy=False) is a
    left, right = mx.nd.split_v2(a, 2, axis=0, squeeze_axis=True)
    assert left.shape == right.shape == (3,)
    parts = mx.nd.split_v2(mx.nd.arange(7), [2, 3])
    assert [p.asnumpy().tolist() for p in parts] == [[0, 1], [2], [3, 4, 5, 6]]
    with pytest.raises(ValueError, match="equal sections"):
        mx.nd.split_v2(mx.nd.arange(7), 2)


@pytest.mark.parametrize("source, destination", [(0, 2), (-1, 0), ([0, 1], [2, 0]), (1, 1)])
def test_moveaxis(source, destination):
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    expected = np.moveaxis(values, source, destination)
    np.testing.assert_array_equal(mx.nd.moveaxis(mx.nd.array(values), source, destination).asnumpy(), expected)


def test_histogram_and_onehot():
    assert [a.dtype for a in mx.nd.histogram(mx.nd.arange(10), 5, range=(0, 10))] == [np.int64, np.float32]
    counts, edges = mx.nd.histogram(mx.nd.arange(10), 5)
    np.testing.assert_array_equal(counts.asnumpy(), [2] * 5)
    np.testing.assert_allclose(edges.asnumpy(), np.linspace(0, 9, 6))
    out = mx.nd.zeros((2, 3))
    mx.nd.onehot_encode(mx.nd.array([1, 0]), out)
    np.testing.assert_array_equal(out.asnumpy(), [[0, 1, 0], [1, 0, 0]])


# ---- arithmetic ---------------------------------------------------------------------------------------------------------

ARITHMETIC = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "mod": lambda a, b: a % b,
    "pow": lambda a, b: a**b,
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
}


@pytest.mark.parametrize("name", ARITHMETIC)
@pytest.mark.parametrize("other", ["same", "row", "column", "scalar", "reflected"])
def test_arithmetic(name, other):
    function = ARITHMETIC[name]
    random = np.random.default_rng(1)
    a = random.integers(1, 5, (3, 4)).astype(np.float32)
    x = mx.nd.array(a)
    if other == "scalar":
        found, expected = function(x, 2), function(a, 2)
    elif other == "reflected":
        found, expected = function(2.0, x), function(2.0, a)
    else:
        b = random.integers(1, 5, {"same": (3, 4), "row": (1, 4), "column": (3, 1)}[other]).astype(np.float32)
        found, expected = function(x, mx.nd.array(b)), function(a, b)
    assert found.dtype is np.float32
    np.testing.assert_allclose(found.asnumpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["add", "sub", "mul", "div"])
def test_arithmetic_in_place(name):
    import operator

    function = getattr(operator, {"div": "itruediv"}.get(name, f"i{name}"))
    x = mx.nd.array([[2, 4], [6, 8]])
    view, same = x[1], x
    for other in (2, mx.nd.array([[1, 2]]), x):
        expected = ARITHMETIC[name](x.asnumpy(), other.asnumpy() if isinstance(other, mx.nd.NDArray) else other)
        x = function(x, other)
        np.testing.assert_allclose(x.asnumpy(), expected)
    assert x is same
    np.testing.assert_array_equal(view.asnumpy(), x.asnumpy()[1])


def test_integer_arrays_keep_their_dtype():
    x = mx.nd.array([1, 2, 3], dtype="int32")
    assert (x + 1.5).dtype is np.int32
    np.testing.assert_array_equal((x * 2).asnumpy(), [2, 4, 6])
    np.testing.assert_array_equal((x / 2).asnumpy(), [0, 1, 1])


def test_unary_and_absolute():
    x = mx.nd.array([-1, 2])
    np.testing.assert_array_equal((-x).asnumpy(), [1, -2])
    np.testing.assert_array_equal(abs(x).asnumpy(), [1, 2])


def test_numpy_operands():
    x = mx.nd.array([1, 2])
    for found in (x + np.array([10, 20]), np.array([10, 20]) + x, np.float32(10) * x, x * np.int64(10)):
        assert isinstance(found, mx.nd.NDArray)
    np.testing.assert_array_equal((np.array([10, 20]) - x).asnumpy(), [9, 18])


def test_other_operands():
    x = mx.nd.array([1, 2])
    with pytest.raises(TypeError):
        x + "a"
    assert (x == None) is False  # noqa: E711
    with pytest.raises(MXNetError, match="broadcast_add"):
        x + mx.nd.ones((3,))
    with pytest.raises(MXNetError, match="dtype"):
        x + mx.nd.ones((2,), dtype="float64")


def test_finite():
    x = mx.nd.array([1, np.nan, -np.inf])
    assert mx.nd.contrib.isnan(x).asnumpy().tolist() == [0, 1, 0]
    assert mx.nd.contrib.isinf(x).asnumpy().tolist() == [0, 0, 1]
    assert mx.nd.contrib.isfinite(x).asnumpy().tolist() == [1, 0, 0]


def test_functions_of_two_operands():
    x = mx.nd.array([1, 5])
    np.testing.assert_array_equal(mx.nd.maximum(x, 3).asnumpy(), [3, 5])
    np.testing.assert_array_equal(mx.nd.maximum(3, x).asnumpy(), [3, 5])
    np.testing.assert_array_equal(mx.nd.subtract(3, x).asnumpy(), [2, -2])
    np.testing.assert_array_equal(mx.nd.power(2, x).asnumpy(), [2, 32])
    np.testing.assert_array_equal(mx.nd.greater(3, x).asnumpy(), [1, 0])
    np.testing.assert_array_equal(mx.nd.lesser_equal(1, x).asnumpy(), [1, 1])
    np.testing.assert_array_equal(mx.nd.logical_and(x, 0).asnumpy(), [0, 0])
    assert mx.nd.add(1, 2) == 3
    with pytest.raises(TypeError, match="maximum"):
        mx.nd.maximum(x, "a")


# ---- as a Python value --------------------------------------------------------------------------------------------------


def test_python_numbers():
    x = mx.nd.array([2.5])
    assert float(x) == 2.5 and int(x) == 2 and x.asscalar() == 2.5 and bool(x)
    assert not mx.nd.zeros((1,))
    with pytest.raises(ValueError, match="ambiguous"):
        bool(mx.nd.ones((2,)))
    with pytest.raises(ValueError, match="not a scalar"):
        mx.nd.ones((2,)).asscalar()


def test_iteration():
    rows = list(mx.nd.array([[1, 2], [3, 4]]))
    assert [r.asnumpy().tolist() for r in rows] == [[1, 2], [3, 4]]
    assert len(mx.nd.ones((3, 1))) == 3


def test_text():
    assert repr(mx.nd.array([[1, 2], [3, 4]])) == "\n[[1. 2.]\n [3. 4.]]\n<NDArray 2x2 @cpu(0)>"
    assert str(mx.nd.ones((1,), dtype="int32")) == "\n[1]\n<NDArray 1 @cpu(0)>"


def test_arrays_are_hashable():
    x, y = mx.nd.ones((1,)), mx.nd.ones((1,))
    assert len({x, y, x}) == 2


# ---- shape --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target, options, expected",
    [
        ((4, 6), {}, (4, 6)),
        ((-1,), {}, (24,)),
        ((0, -1), {}, (2, 12)),
        ((-2,), {}, (2, 3, 4)),
        ((-3, 0), {}, (6, 4)),
        ((-4, 1, 2, -2), {}, (1, 2, 3, 4)),
        ((-1, 0), {"reverse": True}, (6, 4)),
    ],
)
def test_reshape(target, options, expected):
    x = mx.nd.arange(24).reshape((2, 3, 4))
    y = x.reshape(target, **options)
    assert y.shape == expected
    y[:] = 1
    assert x.asnumpy().sum() == 24


def test_reshape_spellings():
    x = mx.nd.arange(6)
    assert x.reshape(2, 3).shape == x.reshape([2, 3]).shape == x.reshape(shape=(2, 3)).shape == (2, 3)
    with pytest.raises(MXNetError, match="Reshape"):
        x.reshape((4, 2))
    with pytest.raises(TypeError, match="no argument 'order'"):
        x.reshape((2, 3), order="F")


def test_axes():
    x = mx.nd.zeros((2, 1, 3))
    assert x.T.shape == (3, 1, 2)
    assert x.flatten().shape == (2, 3)
    assert x.expand_dims(-1).shape == x.expand_dims(3, inplace=True).shape == (2, 1, 3, 1)
    assert x.squeeze().shape == x.squeeze(axis=1, inplace=True).shape == (2, 3)
    x.squeeze(inplace=True)[:] = 1
    assert x.asnumpy().sum() == 6


def test_methods_are_the_operators():
    x = mx.nd.array([[3, -1], [2, 5]])
    np.testing.assert_array_equal(x.sum(axis=1).asnumpy(), [2, 7])
    assert x.max().shape == (1,) and x.max().asscalar() == 5
    np.testing.assert_array_equal(x.clip(0, 3).asnumpy(), [[3, 0], [2, 3]])
    np.testing.assert_array_equal(x.transpose((1, 0)).asnumpy(), x.asnumpy().T)
    np.testing.assert_array_equal(x.argmax(axis=1).asnumpy(), [0, 1])
    np.testing.assert_array_equal(x.take(mx.nd.array([1])).asnumpy(), [[2, 5]])
    assert mx.nd.NDArray.relu.__name__ == "relu"


def test_slice_assign():
    x = mx.nd.zeros((3, 3))
    y = x.slice_assign(mx.nd.ones((2, 1)), (0, 1), (2, 2), (1, 1))
    assert y.asnumpy().tolist() == [[0, 1, 0], [0, 1, 0], [0, 0, 0]] and x.asnumpy().sum() == 0
    assert x.slice_assign_scalar(3, (1, 1), (2, 3), (1, 1)).asnumpy().sum() == 6


# ---- copies, dtypes, devices --------------------------------------------------------------------------------------------


def test_copies():
    x = mx.nd.array([1, 2])
    for y in (x.copy(), x.copyto(mx.cpu()), copy.copy(x), copy.deepcopy(x), x.astype("float32")):
        y[:] = 0
    assert x.asnumpy().sum() == 3
    target = mx.nd.zeros((2,))
    assert x.copyto(target) is target and target.asnumpy().sum() == 3
    assert x.as_in_context(mx.cpu()) is x
    assert x.astype("float32", copy=False) is x
    assert x.copyto(mx.nd.zeros((2,), dtype="int32")).dtype is np.int32
    with pytest.raises(MXNetError, match=r"source has shape \(2,\), the target \(3,\)"):
        x.copyto(mx.nd.zeros((3,)))
    with pytest.warns(RuntimeWarning):
        x.copyto(x)


def test_contexts():
    with mx.cpu(1):
        x = mx.nd.ones((2,))
        y = mx.nd.arange(2)
    assert x.context == y.ctx == mx.cpu(1)
    assert (x + 1).context == mx.cpu(1)
    with pytest.raises(MXNetError, match="different devices"):
        x + mx.nd.ones((2,))
    assert (x.as_in_context(mx.cpu(0)) + mx.nd.ones((2,))).context == mx.cpu(0)


def test_odds_and_ends():
    x = mx.nd.ones((2, 3))
    assert (x.stype, x.size, x.ndim, x.writable, x.tostype("default")) == ("default", 6, 2, True, x)
    assert x.handle == x.asnumpy_view().ctypes.data
    x.wait_to_read()
    mx.nd.waitall()
    with pytest.raises(MXNetError, match="mx.np"):
        x.as_np_ndarray()


# ---- other libraries ----------------------------------------------------------------------------------------------------


def test_numpy_sees_the_same_memory():
    x = mx.nd.zeros((2, 2))
    np.asarray(x)[0, 1] = 5
    x.asnumpy_view()[1, 0] = 6
    np.testing.assert_array_equal(x.asnumpy(), [[0, 5], [6, 0]])
    copied = np.array(x)
    copied[:] = 9
    assert x.asnumpy().sum() == 11
    assert np.asarray(x, dtype=np.float64).dtype == np.float64
    np.testing.assert_array_equal(np.exp(x), np.exp(x.asnumpy()))


def test_from_numpy_shares():
    values = np.zeros((2, 2))
    x = mx.nd.from_numpy(values)
    x[:] = 3
    assert values.sum() == 12 and x.dtype is np.float64
    y = mx.nd.from_numpy(values, zero_copy=False)
    y[:] = 0
    assert values.sum() == 12
    with pytest.raises(ValueError, match="C-contiguous"):
        mx.nd.from_numpy(values[:, ::2])


def test_memory_outlives_its_first_owner():
    view = mx.nd.array([1, 2, 3]).asnumpy_view()
    rest = mx.nd.arange(1000)[990:]
    held = mx.nd.from_numpy(np.arange(4.0))
    for _ in range(10):
        mx.nd.zeros((1000,))
    assert view.tolist() == [1, 2, 3] and rest.asnumpy()[0] == 990 and held.asnumpy()[3] == 3


@pytest.mark.parametrize("dtype", DTYPES)
def test_dlpack(dtype):
    x = mx.nd.array([[0, 1], [1, 0]], dtype=dtype)
    y = np.from_dlpack(x)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, x.asnumpy())
    z = mx.nd.from_dlpack(y)
    assert z.address == x.address
    np.testing.assert_array_equal(mx.nd.from_dlpack(x.to_dlpack_for_write()).asnumpy(), y)


def test_dlpack_capsules():
    x = mx.nd.array([1, 2])
    capsule = mx.nd.to_dlpack_for_read(x)
    y = mx.nd.from_dlpack(capsule)
    with pytest.raises(ValueError, match="not been used"):
        mx.nd.from_dlpack(capsule)
    del x, capsule
    assert y.asnumpy().tolist() == [1, 2]
    mx.nd.to_dlpack_for_write(y)  # a capsule nobody takes
    with pytest.raises(ValueError, match="contiguous"):
        mx.nd.from_dlpack(np.zeros((2, 3)).T)
    assert y.__dlpack_device__() == (1, 0)


# ---- files and pickles --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [*DTYPES, "bfloat16"])
def test_pickles(dtype):
    x = mx.nd.array([[0, 1, 2]], dtype=dtype)
    y = pickle.loads(pickle.dumps(x))
    assert y.dtype == x.dtype and y.context == x.context
    np.testing.assert_array_equal(y.astype("float32").asnumpy(), x.astype("float32").asnumpy())


def test_pickles_of_mxnet():
    """What MXNet writes is the class, None for its handle, and a dict with the bytes of a record."""
    x = mx.nd.array([[1, 2]])
    y = mx.nd.NDArray(None)
    y.__setstate__({"handle": x.__getstate__()["handle"]})
    assert y.asnumpy().tolist() == [[1, 2]]


def test_pickles_without_elements_or_axes():
    assert pickle.loads(pickle.dumps(mx.nd.zeros((0, 2)))).shape == (0, 2)
    assert pickle.loads(pickle.dumps(mx.nd.array(3))).asscalar() == 3


def test_files(tmp_path):
    path = tmp_path / "a.params"
    arrays = {"w": mx.nd.ones((2, 3)), "n": mx.nd.arange(3, dtype="int32")}
    mx.nd.save(path, arrays)
    loaded = mx.nd.load(path)
    assert list(loaded) == ["w", "n"] and loaded["n"].dtype is np.int32
    mx.nd.save(str(path), [arrays["w"]])
    assert isinstance(mx.nd.load(str(path)), list)
    mx.nd.save(path, arrays["n"])
    assert mx.nd.load(path)[0].asnumpy().tolist() == [0, 1, 2]
    assert mx.nd.load_frombuffer(path.read_bytes())[0].shape == (3,)
    with pytest.raises(TypeError, match="only NDArrays"):
        mx.nd.save(path, [np.ones(2)])
    assert mx.nd.utils.load is mx.nd.load


# ---- random numbers -----------------------------------------------------------------------------------------------------


def test_random_arrays():
    mx.random.seed(5)
    a = mx.nd.random.uniform(2, 3, shape=(100,))
    mx.random.seed(5)
    b = mx.random.uniform(2, 3, shape=(100,))
    np.testing.assert_array_equal(a.asnumpy(), b.asnumpy())
    assert a.asnumpy().min() >= 2 and a.asnumpy().max() < 3
    assert (mx.random.uniform(2, 3, shape=(100,)).asnumpy() != b.asnumpy()).any()
    out = mx.nd.zeros((5, 2), dtype="float64")
    assert mx.random.normal(0, 1, out=out) is out and out.asnumpy().std() > 0
    assert mx.nd.random.randn(2, 3, dtype="float64").dtype is np.float64
    assert mx.nd.random.normal(mx.nd.array([0, 100]), mx.nd.ones((2,)), shape=3).shape == (2, 3)
    assert set(mx.nd.random.randint(0, 2, shape=(50,)).asnumpy()) == {0, 1}
    assert sorted(mx.nd.random.shuffle(mx.nd.arange(5)).asnumpy()) == [0, 1, 2, 3, 4]
    assert abs(mx.nd.random.exponential(4.0, shape=(5000,)).asnumpy().mean() - 4) < 0.5
    with pytest.raises(MXNetError, match="all numbers or all NDArrays"):
        mx.nd.random.uniform(0, mx.nd.ones((2,)))
    with pytest.raises(ValueError, match="integer"):
        mx.random.seed("a")


@pytest.mark.parametrize("bins, limits", [(7, None), (3, (-1, 2)), ([-1.0, 0.5, 0.75, 2.0], None)])
def test_histogram_is_numpys(bins, limits):
    x = np.random.default_rng(0).normal(size=(30, 40))
    given = mx.nd.array(bins, dtype="float64") if isinstance(bins, list) else bins
    counts, edges = mx.nd.histogram(mx.nd.array(x, dtype="float64"), given, limits)
    want = np.histogram(x, bins, limits)
    np.testing.assert_array_equal(counts.asnumpy(), want[0])
    np.testing.assert_allclose(edges.asnumpy(), want[1], rtol=1e-12)


def test_histogram_of_equal_and_of_infinite_numbers():
    counts, edges = mx.nd.histogram(mx.nd.full((4,), 2), 2)
    assert counts.asnumpy().tolist() == [0, 4] and edges.asnumpy().tolist() == [1.5, 2, 2.5]
    with pytest.raises(ValueError, match="histogram: numbers from 1.0 to inf need a range"):
        mx.nd.histogram(mx.nd.array([1, np.inf]), 3)
