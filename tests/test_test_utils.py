"""test_utils: that it accepts what is right, and catches what is wrong."""

import os
import random

import numpy as np
import pytest

import minimx as mx
from minimx import test_utils as tu
from minimx.base import MXNetError

X = np.array([[1.0, 2.0, -3.0], [0.5, -0.25, 4.0]], np.float32)


# ---- comparing -------------------------------------------------------------------------------------------------------


def test_same_is_exact():
    assert tu.same(mx.nd.array(X), X)
    assert not tu.same(X, X + np.float32(1e-6))
    assert not tu.same(X, X[:1])


def test_tolerance_follows_the_less_accurate_dtype():
    assert tu.almost_equal(X, X * (1 + 5e-5))
    assert not tu.almost_equal(X.astype(np.float64), X.astype(np.float64) * (1 + 5e-5))
    assert tu.almost_equal(X.astype(np.float16), X * (1 + 5e-3))
    assert not tu.almost_equal(np.array([1, 2]), np.array([1, 3]))
    assert tu.get_tols(X, X.astype(np.float64), None, None) == (1e-4, 1e-3)
    assert tu.get_tols(X, X, {np.float32: 0.5}, 0.25) == (0.5, 0.25)


def test_broadcasting_may_be_refused():
    assert tu.almost_equal(np.ones((2, 3)), np.ones(3))
    assert not tu.almost_equal(np.ones((2, 3)), np.ones(3), use_broadcast=False)
    with pytest.raises(AssertionError, match=r"left has shape \(2, 3\) and right has shape \(3,\)"):
        tu.assert_almost_equal(np.ones((2, 3)), np.ones(3), names=("left", "right"), use_broadcast=False)


def test_the_worst_element_is_named():
    wrong = X.copy()
    wrong[1, 2] = 5
    with pytest.raises(AssertionError, match=r"1 of 6 elements.*\n  \(1, 2\): a 4.0, b 5.0"):
        tu.assert_almost_equal(X, wrong)
    place, factor = tu.find_max_violation(X, wrong, rtol=0.1, atol=0)
    assert place == (1, 2) and factor == pytest.approx(2)
    tu.assert_almost_equal(X, wrong, atol=1)


def test_nan_and_infinity():
    holes = np.array([1, np.nan, np.inf])
    with pytest.raises(AssertionError):
        tu.assert_almost_equal(holes, holes)
    tu.assert_almost_equal(holes, holes, equal_nan=True)
    with pytest.raises(AssertionError):
        tu.assert_almost_equal(np.array([np.inf]), np.array([1.0]))
    with pytest.raises(AssertionError):
        tu.assert_almost_equal(np.array([np.nan]), np.array([1.0]), equal_nan=True)
    tu.assert_almost_equal_ignore_nan(holes, np.array([1, 7, np.inf]))
    assert not tu.almost_equal_ignore_nan(holes, np.array([2, 7, np.inf]))


def test_part_of_the_elements_may_be_wrong():
    wrong = X.copy()
    wrong[0, 0] = 9
    tu.assert_almost_equal_with_err(X, wrong, etol=0.2)
    with pytest.raises(AssertionError):
        tu.assert_almost_equal_with_err(X, wrong, etol=0.1)


def test_arrays_that_share_memory():
    a = mx.nd.array(X)
    assert tu.same_array(a, a.reshape((3, 2)).reshape((2, 3)))
    assert not tu.same_array(a, a.copy())
    assert tu.same(a, X)


def test_states_in_tuples():
    a = mx.nd.array(X)
    tu.compare_ndarray_tuple((a, (None, a)), (a, (None, a.copy())))
    with pytest.raises(AssertionError):
        tu.compare_ndarray_tuple((a, None), (a, a))


def test_assert_exception():
    tu.assert_exception(int, ValueError, "x")
    with pytest.raises(AssertionError):
        tu.assert_exception(int, ValueError, "1")


@pytest.mark.parametrize("axis", [None, 0, (0, 2), -1])
@pytest.mark.parametrize("keepdims", [False, True])
def test_np_reduce(axis, keepdims):
    x = np.random.default_rng(0).normal(size=(2, 3, 4))
    np.testing.assert_allclose(tu.np_reduce(x, axis, keepdims, np.sum), x.sum(axis=axis, keepdims=keepdims))


# ---- random arrays ---------------------------------------------------------------------------------------------------


def test_random_arrays_and_shapes():
    a, b = tu.random_arrays((2, 3), (4,))
    assert a.shape == (2, 3) and b.shape == (4,) and a.dtype == np.float32
    assert tu.random_arrays((5,)).shape == (5,)
    (c,) = tu.random_uniform_arrays((100,), low=2, high=3, dtype=np.float64)
    assert c.dtype == np.float64 and c.min() >= 2 and c.max() <= 3
    d = tu.rand_ndarray((3, 4), dtype=np.float64, modifier_func=abs)
    assert d.shape == (3, 4) and d.dtype == np.float64 and d.asnumpy().min() >= 0
    assert len(tu.rand_shape_nd(4, dim=3)) == 4 and len(tu.rand_shape_2d()) == 2 and len(tu.rand_shape_3d()) == 3
    assert all(1 <= n <= 3 for _ in range(20) for n in tu.rand_shape_nd(4, dim=3))
    random.seed(1)
    assert any(0 in tu.rand_shape_nd(4, dim=3, allow_zero_size=True) for _ in range(20))
    picked = tu.random_sample(list("abcdef"), 3)
    assert picked == sorted(set(picked)) and len(picked) == 3
    assert tu.rand_coord_2d(1, 2, 3, 4) == (1, 3)


def test_what_is_not_offered_says_so():
    with pytest.raises(MXNetError, match="dense"):
        tu.rand_ndarray((2, 2), stype="csr")
    with pytest.raises(MXNetError, match="dense"):
        tu.rand_sparse_ndarray((2, 2), "row_sparse")
    with pytest.raises(MXNetError, match="get_mnist would download"):
        tu.get_mnist()


def test_generators_are_told_apart():
    generator = np.random.default_rng(3)
    assert tu.mean_check(lambda n: generator.normal(2, 3, n), 2, 3, nsamples=10000)
    assert not tu.mean_check(lambda n: generator.normal(2.5, 3, n), 2, 3, nsamples=10000)
    assert tu.var_check(lambda n: generator.normal(2, 3, n), 3, nsamples=10000)
    assert not tu.var_check(lambda n: generator.normal(2, 4, n), 3, nsamples=10000)
    buckets, probs = tu.gen_buckets_probs_with_ppf(lambda q: 2 * q, 5)
    assert buckets[1] == (0.4, 0.8) and sum(probs) == pytest.approx(1)
    tu.verify_generator(lambda n: generator.uniform(0, 2, n), buckets, probs, nsamples=10000)
    with pytest.raises(AssertionError, match="0 of 5"):
        tu.verify_generator(lambda n: generator.uniform(0, 1.9, n), buckets, probs, nsamples=10000)
    tu.verify_generator(lambda n: generator.integers(0, 3, n), [0, 1, 2], [1 / 3] * 3, nsamples=10000)


# ---- symbols ---------------------------------------------------------------------------------------------------------


def product_symbol():
    a = mx.sym.Variable("a")
    return a * mx.sym.Variable("b") + a


def test_simple_forward():
    a, b = tu.random_arrays((2, 3), (2, 3))
    tu.assert_almost_equal(tu.simple_forward(product_symbol(), a=a, b=b), a * b + a)


def test_check_symbolic_forward_and_backward():
    a, b, g = tu.random_arrays((2, 3), (2, 3), (2, 3))
    net = product_symbol()
    tu.check_symbolic_forward(net, [a, b], [a * b + a])
    tu.check_symbolic_forward(net, {"b": b, "a": a}, [a * b + a], dtype=np.float64)
    with pytest.raises(AssertionError):
        tu.check_symbolic_forward(net, [a, b], [a * b])
    for grad_req in ("write", "add", "null", {"a": "add", "b": "write"}):
        tu.check_symbolic_backward(net, [a, b], [g], [g * b + g, g * a], grad_req=grad_req)
    tu.check_symbolic_backward(net, [a, b], [g], {"b": g * a})
    with pytest.raises(AssertionError):
        tu.check_symbolic_backward(net, [a, b], [g], {"a": g * b})


def test_check_numeric_gradient_accepts_and_catches():
    a, b = tu.random_arrays((2, 3), (2, 3))
    net = product_symbol()
    net = mx.sym.Group([net, mx.sym.tanh(net)])
    tu.check_numeric_gradient(net, [a, b])
    tu.check_numeric_gradient(net, {"a": a, "b": b}, grad_nodes={"a": "add", "b": "null"}, dtype=np.float64)
    wrong = mx.sym.BlockGrad(mx.sym.Variable("a")) * mx.sym.Variable("b")
    tu.check_numeric_gradient(wrong, [a, b], grad_nodes=["b"])
    with pytest.raises(AssertionError, match="gradient of a"):
        tu.check_numeric_gradient(wrong, [a, b])


def test_numeric_grad():
    a, b = tu.random_arrays((2, 3), (2, 3))
    executor = product_symbol().bind(mx.cpu(), args={"a": mx.nd.array(a), "b": mx.nd.array(b)})
    grads = tu.numeric_grad(executor, {"a": a, "b": b}, eps=1e-2)
    tu.assert_almost_equal(grads["a"], b + 1, rtol=1e-3, atol=1e-3)
    tu.assert_almost_equal(grads["b"], a, rtol=1e-3, atol=1e-3)


def test_check_consistency():
    net = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=4, name="fc")
    entries = [
        {"ctx": mx.cpu(), "data": (3, 5), "type_dict": {"data": np.float64}},
        {"ctx": mx.cpu(), "data": (3, 5), "type_dict": {"data": np.float32}},
    ]
    truth = tu.check_consistency(net, entries)
    assert truth["fc_output"].dtype == np.float64 and "fc_weight_grad" in truth
    tu.check_consistency(net, entries, grad_req="null", use_uniform=True)
    tu.check_consistency([net, (net * 2) / 2], entries)
    with pytest.raises(AssertionError, match="fc_output of"):
        tu.check_consistency([net, net * 1.5], entries)


def test_check_speed():
    net = product_symbol()
    assert tu.check_speed(net, N=2, a=(2, 3), b=(2, 3)) > 0
    assert tu.check_speed(net, {"a": X, "b": X}, N=2, typ="forward") > 0
    with pytest.raises(ValueError, match="typ"):
        tu.check_speed(net, typ="half", a=(2, 3), b=(2, 3))


def test_same_symbol_structure():
    one = mx.sym.FullyConnected(mx.sym.Variable("x"), num_hidden=3, name="one")
    two = mx.sym.FullyConnected(mx.sym.Variable("y"), num_hidden=3, name="two")
    assert tu.same_symbol_structure(one, two)
    assert not tu.same_symbol_structure(one, mx.sym.Activation(two, act_type="relu"))


# ---- around tests ----------------------------------------------------------------------------------------------------


def test_default_context():
    assert tu.default_context() == mx.cpu()
    with mx.Context("cpu", 0):
        assert tu.default_context() == mx.cpu()
    before = tu.default_context()
    try:
        tu.set_default_context(mx.Context("cpu_pinned"))
        assert tu.default_context() == mx.cpu_pinned()
    finally:
        tu.set_default_context(before)
    assert tu.list_gpus() == list(range(mx.num_gpus()))


def test_retry():
    calls = []

    @tu.retry(3)
    def third_time():
        calls.append(1)
        assert len(calls) == 3

    third_time()
    with pytest.raises(AssertionError):
        tu.retry(1)(lambda: tu.assert_exception(int, ValueError, "1"))()
    with pytest.raises(ValueError):
        tu.retry(0)


def test_environment():
    name = "MINIMX_TEST_VARIABLE"
    os.environ.pop(name, None)
    with tu.environment(name, "1"):
        assert os.environ[name] == "1"
        with tu.environment({name: None}):
            assert name not in os.environ
        assert os.environ[name] == "1"
    assert name not in os.environ
    assert tu.set_env_var(name, "2", "none") == "none"
    assert tu.set_env_var(name, "3") == "2"
    os.environ.pop(name)


def test_dummy_iter():
    class Batches:
        provide_data, provide_label, batch_size = [("data", (2, 3))], [], 2

        def __init__(self):
            self.numbers = iter(range(10))

        def __next__(self):
            return next(self.numbers)

    dummy = tu.DummyIter(Batches())
    assert [dummy.next(), next(dummy), next(iter(dummy))] == [0, 0, 0]
    assert dummy.batch_size == 2 and dummy.provide_data == [("data", (2, 3))]
    dummy.reset()
