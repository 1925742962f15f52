"""Operators applied at once: the cache of programs, outputs given by the caller, errors, threads."""

import threading
import timeit

import numpy as np
import pytest

import minimx as mx
from minimx import _core
from minimx.base import MXNetError, ParameterError


@pytest.fixture
def plans():
    """How many programs were compiled since."""
    before = _core.cached_plans()
    return lambda: _core.cached_plans() - before


def test_one_program_serves_equal_calls(plans):
    a, b = mx.nd.ones((7, 11)), mx.nd.ones((7, 11))
    for _ in range(3):
        mx.nd.broadcast_add(a, b)
        a.sum(axis=1)
        mx.nd.sum(b, axis=(1,), keepdims=False)
    assert plans() == 2
    mx.nd.sum(a, axis=0)
    mx.nd.sum(mx.nd.ones((7, 12)), axis=0)
    mx.nd.sum(mx.nd.ones((7, 12), dtype="float64"), axis=0)
    assert plans() == 5


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "float16", "bfloat16", "uint8"])
def test_one_program_serves_every_scalar(plans, dtype):
    a = mx.nd.array([[1, 2, 3]], dtype=dtype)
    for scalar in (1, 2.5, 3 if dtype == "uint8" else -3, np.float32(4), True):
        for function in (lambda x, y: x + y, lambda x, y: y - x, lambda x, y: x * y, lambda x, y: x > y):
            found = function(a, scalar).astype("float64").asnumpy()
            narrow = mx.nd.array([scalar], dtype=dtype)
            expected = function(a, mx.nd.concatenate([narrow] * 3).reshape((1, 3))).astype("float64").asnumpy()
            np.testing.assert_array_equal(found, expected, err_msg=f"{scalar} {function}")
    before = plans()
    for scalar in range(100):
        a + scalar / 7
    assert plans() == before


def test_scalars_equal_constants():
    """A scalar that is an operand gives what the scalar operator itself gives."""
    a = mx.nd.array(np.linspace(-2, 2, 9))
    for name, scalar in [("_plus_scalar", 0.1), ("_rminus_scalar", 3), ("_rdiv_scalar", 7), ("_mod_scalar", 0.7)]:
        from minimx.eager import invoke
        from minimx.op import find

        direct = invoke(name, [a], {"scalar": scalar})
        through = _core.binary(None, find(name), None, a, scalar)
        np.testing.assert_array_equal(direct.asnumpy(), through.asnumpy())


def test_a_schedule_compiles_nothing(plans):
    w, g, mom = mx.nd.ones((3,)), mx.nd.ones((3,)), mx.nd.zeros((3,))
    expected = np.ones(3)
    for step in range(1, 5):
        mx.nd.sgd_update(w, g, lr=0.1 / step, wd=0.5, out=w)
        expected -= 0.1 / step * (1 + 0.5 * expected)
    np.testing.assert_allclose(w.asnumpy(), expected, rtol=1e-6)
    assert plans() <= 1
    mx.nd.sgd_mom_update(w, g, mom, lr=0.5, momentum=0.9, out=w)
    mx.nd.sgd_mom_update(w, g, mom, lr=0.25, momentum=0.9, out=w)
    np.testing.assert_allclose(mom.asnumpy(), -0.5 * 0.9 - 0.25, rtol=1e-6)


def test_out():
    a, out = mx.nd.array([1, 4, 9]), mx.nd.zeros((3,))
    assert mx.nd.sqrt(a, out=out) is out
    assert out.asnumpy().tolist() == [1, 2, 3]
    parts = [mx.nd.zeros((1, 2)), mx.nd.zeros((1, 2))]
    assert mx.nd.split(mx.nd.array([[1, 2], [3, 4]]), num_outputs=2, axis=0, out=parts) is parts
    assert parts[1].asnumpy().tolist() == [[3, 4]]


def test_out_that_does_not_fit():
    a = mx.nd.ones((3,))
    with pytest.raises(MXNetError, match=r"sqrt: output 0 is float32\(3,\), but out is float32\(2,\)"):
        mx.nd.sqrt(a, out=mx.nd.zeros((2,)))
    with pytest.raises(MXNetError, match="but out is float64"):
        mx.nd.sqrt(a, out=mx.nd.zeros((3,), dtype="float64"))
    with pytest.raises(MXNetError, match="gives 1 outputs, but out holds 2 arrays"):
        mx.nd.sqrt(a, out=[a, a])
    with pytest.raises(MXNetError, match="out must be an NDArray"):
        mx.nd.sqrt(a, out=np.zeros(3))
    with pytest.raises(MXNetError, match="another device"):
        mx.nd.sqrt(a, out=mx.nd.zeros((3,), mx.cpu(1)))


def test_out_may_be_an_input():
    values = np.arange(1, 10, dtype=np.float32).reshape(3, 3)
    a = mx.nd.array(values)
    mx.nd.dot(a, a, out=a)
    np.testing.assert_allclose(a.asnumpy(), values @ values)
    a = mx.nd.array(values)
    mx.nd.transpose(a, out=a)
    np.testing.assert_array_equal(a.asnumpy(), values.T)
    a = mx.nd.array(values)
    mx.nd.softmax(a, out=a)
    np.testing.assert_allclose(a.asnumpy().sum(axis=1), 1, rtol=1e-6)


def test_out_may_overlap_an_input():
    a = mx.nd.arange(10)
    mx.nd.broadcast_add(a[:9], a[1:], out=a[1:])
    np.testing.assert_array_equal(a.asnumpy(), [0, *(np.arange(9) + np.arange(1, 10))])
    a = mx.nd.array([[1, 2], [3, 4]])
    a += a[0]
    np.testing.assert_array_equal(a.asnumpy(), [[2, 4], [4, 6]])


def test_errors_name_the_operator():
    a = mx.nd.ones((2, 3))
    with pytest.raises(MXNetError, match=r"dot.*lhs \(2, 3\).*rhs \(2, 3\)"):
        mx.nd.dot(a, a)
    with pytest.raises(ParameterError, match="sum.*axis must be"):
        mx.nd.sum(a, axis="x")
    with pytest.raises(ParameterError, match="no parameter 'axes'"):
        mx.nd.sum(a, axes=1)
    with pytest.raises(ParameterError, match="given twice"):
        mx.nd.sum(a, data=a)
    with pytest.raises(MXNetError, match="dot: input 1 must be an NDArray, got list"):
        mx.nd.dot(a, [1, 2])
    with pytest.raises(MXNetError, match="takes 2 inputs"):
        mx.nd.dot(a)
    with pytest.raises(MXNetError, match="different devices: input 0 on cpu"):
        mx.nd.dot(a, mx.nd.ones((3, 2), mx.cpu(1)))


def test_inputs_and_parameters_by_position_and_name():
    a = mx.nd.array([[1, 2], [3, 4]])
    for found in (mx.nd.sum(a, 1), mx.nd.sum(data=a, axis=1), mx.nd.sum(a, axis=(1,)), mx.nd.sum(a, axis="(1,)")):
        assert found.asnumpy().tolist() == [3, 7]
    weight, bias = mx.nd.ones((1, 2)), mx.nd.ones((1,))
    assert mx.nd.FullyConnected(a, weight, num_hidden=1, no_bias=True).shape == (2, 1)
    found = mx.nd.FullyConnected(a, bias=bias, weight=weight, num_hidden=1)
    assert found.asnumpy().tolist() == [[4], [8]]
    assert mx.nd.Concat(a, a, dim=1).shape == mx.nd.concat(*[a, a], dim=1).shape == (2, 4)
    assert mx.nd.add_n(*[a] * 80).asnumpy().tolist() == [[80, 160], [240, 320]]


def test_training_decides_the_program():
    a = mx.nd.ones((100,))
    assert mx.nd.Dropout(a, p=0.5).asnumpy().tolist() == [1] * 100
    with mx.autograd.train_mode():
        assert set(mx.nd.Dropout(a, p=0.5).asnumpy()) == {0, 2}


def test_random_operators_draw_anew():
    mx.random.seed(1)
    a = mx.nd.random.uniform(shape=(5,)).asnumpy()
    b = mx.nd.random.uniform(shape=(5,)).asnumpy()
    assert (a != b).any()


def test_threads():
    """Several threads run the same cached programs at once, small and large."""
    wrong = []

    def work(number):
        small, large = mx.nd.full((3, 3), number), mx.nd.full((200, 200), number)
        for _ in range(50):
            for a in (small, large):
                found = mx.nd.dot((a * 2 + 1), a).asnumpy()
                if not np.allclose(found, (2 * number + 1) * number * a.shape[0]):
                    wrong.append(number)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_temporary_memory_goes_back():
    a = mx.nd.ones((1000, 1000))
    for _ in range(3):
        a = a * 0.5 + 1
    before = mx.memory_stats()["held"]
    for _ in range(20):
        a = a * 0.5 + 1
    assert mx.memory_stats()["held"] == before


def test_small_operations_are_cheap():
    """Guards the order of magnitude; benchmarks/ measures."""
    a, n = mx.nd.ones((2, 2)), np.ones((2, 2), np.float32)

    def cost(function):
        return min(timeit.repeat(function, number=2000, repeat=7))

    assert cost(lambda: a + 1) < 8 * cost(lambda: n + 1)
