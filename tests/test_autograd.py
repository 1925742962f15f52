import gc
import threading
import weakref

import numpy as np
import pytest

import minimx as mx
from minimx import autograd
from minimx.base import MXNetError


def variable(values, grad_req="write"):
    x = mx.nd.array(values)
    x.attach_grad(grad_req)
    return x


def test_chain_of_operators():
    x = variable([[0.1, 0.2], [0.3, 0.4]])
    w = variable([[0.5], [2]])
    with autograd.record():
        y = mx.nd.dot(x, w)
        z = (y * y + 3 * y).exp() * 0.1
    z.backward()
    y_ = x.asnumpy() @ w.asnumpy()
    dy = 0.1 * np.exp(y_ * y_ + 3 * y_) * (2 * y_ + 3)
    np.testing.assert_allclose(x.grad.asnumpy(), dy @ w.asnumpy().T, rtol=1e-5)
    np.testing.assert_allclose(w.grad.asnumpy(), x.asnumpy().T @ dy, rtol=1e-5)


def test_a_value_used_twice_gets_the_sum():
    x = variable([1, 2, 3])
    with autograd.record():
        y = x * x
        z = y * y + y + x
    z.backward()
    v = x.asnumpy()
    np.testing.assert_allclose(x.grad.asnumpy(), 4 * v**3 + 2 * v + 1, rtol=1e-6)


def test_head_gradient_and_several_heads():
    x = variable([1, 2])
    with autograd.record():
        y, z = x * 2, x * x
    autograd.backward([y, z], [mx.nd.array([1, 10]), mx.nd.array([100, 1000])])
    np.testing.assert_allclose(x.grad.asnumpy(), [2 + 200, 20 + 4000])


@pytest.mark.parametrize("req, expected", [("write", 2), ("add", 6), ("null", 0)])
def test_grad_req(req, expected):
    x = variable([1.0], req)
    for _ in range(3):
        with autograd.record():
            y = 2 * x
        y.backward()
    assert x.grad.asscalar() == expected


def test_the_gradient_array_stays_the_same():
    x = variable([1.0, 2.0])
    kept = x.grad
    with autograd.record():
        y = x * x
    y.backward()
    np.testing.assert_allclose(kept.asnumpy(), [2, 4])


def test_gradient_with_respect_to_an_inner_value():
    x = variable([3.0])
    with autograd.record():
        y = x * x
        z = y * y
    (dy,) = autograd.grad([z], [y], retain_graph=True)
    dx = autograd.grad(z, x)
    assert dy.asscalar() == 18
    assert dx.asscalar() == 108


def test_second_derivative():
    x = variable([0.3, 0.7])
    with autograd.record():
        y = x.sin()
        dx = autograd.grad(y, x, create_graph=True)
        z = dx * dx
    z.backward()
    v = x.asnumpy()
    np.testing.assert_allclose(x.grad.asnumpy(), -2 * np.cos(v) * np.sin(v), rtol=1e-5)


def test_third_derivative():
    x = variable([2.0])
    with autograd.record():
        y = x * x * x * x
        first = autograd.grad(y, x, create_graph=True)
        second = autograd.grad(first, x, create_graph=True)
    second.backward()
    assert x.grad.asscalar() == 48


def test_detach_and_pause_stop_gradients():
    x = variable([2.0])
    with autograd.record():
        y = x * x
        with autograd.pause():
            c = y * 10
        z = y.detach() * x + c * x
    z.backward()
    assert x.grad.asscalar() == 4 + 40


def test_views_are_recorded():
    x = variable(np.arange(6).reshape(2, 3))
    with autograd.record():
        y = x[1] * 2 + x.reshape((3, 2))[0, 1] + x[:, ::2].sum()
    y.backward()
    expected = np.zeros((2, 3))
    expected[1] += 2
    expected[0, 1] += 3
    expected[:, ::2] += 3
    np.testing.assert_allclose(x.grad.asnumpy(), expected)


def test_reading_by_arrays_is_recorded():
    x = variable(np.arange(12).reshape(4, 3))
    rows = np.array([3, 0, 3])
    with autograd.record():
        y = x[rows] * mx.nd.array([[1], [2], [3]]) + x[rows, [0, 1, 2]].sum()
    y.backward()
    expected = np.zeros((4, 3))
    np.add.at(expected, rows, np.array([[1.0], [2], [3]]) * np.ones(3))
    np.add.at(expected, (rows, [0, 1, 2]), 9)
    np.testing.assert_allclose(x.grad.asnumpy(), expected)


def test_writing_into_a_fresh_array_is_recorded():
    x = variable([1.0, 2.0])
    with autograd.record():
        y = mx.nd.zeros((3, 2))
        y[1] = x * x
        z = y * mx.nd.array([[1, 1], [10, 100], [1, 1]])
    z.backward()
    np.testing.assert_allclose(x.grad.asnumpy(), [20, 400])


def test_writing_rows_into_a_fresh_array_is_recorded():
    x = variable([1.0, 2.0])
    with autograd.record():
        y = mx.nd.zeros((3, 2))
        y[[0, 2]] = x * x
        z = y * mx.nd.array([[1, 2], [10, 100], [3, 4]])
    z.backward()
    np.testing.assert_allclose(x.grad.asnumpy(), [2 * 4, 4 * 6])


@pytest.mark.parametrize("write", ["x += 1", "x[:] = 0", "x[0] = 3", "mx.nd.exp(x, out=x)"])
def test_writing_in_place_while_recording_is_refused(write):
    x = variable([1.0, 2.0])
    with autograd.record(), pytest.raises(MXNetError, match="in place"):
        exec(write, {"x": x, "mx": mx})
    np.testing.assert_allclose(x.asnumpy(), [1, 2])


def test_writing_in_place_outside_is_seen_by_the_next_recording():
    x = variable([1.0])
    x += 4
    with autograd.record():
        y = x * x
    y.backward()
    assert x.grad.asscalar() == 10


def test_freed_graph():
    x = variable([1.0])
    with autograd.record():
        y = x * x
    y.backward(retain_graph=True)
    y.backward()
    with pytest.raises(MXNetError, match="retain_graph"):
        y.backward()


def test_arrays_without_history():
    with pytest.raises(MXNetError, match="attach_grad"):
        mx.nd.ones((2,)).backward()
    x = variable([1.0])
    y = x * x
    with pytest.raises(MXNetError, match="attach_grad"):
        y.backward()


def test_wrong_head_gradient():
    x = variable([1.0, 2.0])
    with autograd.record():
        y = x * x
    with pytest.raises(MXNetError, match=r"shape \(2,\) got a gradient of shape \(3,\)"):
        y.backward(mx.nd.ones((3,)))


def test_unreached_variable_gets_zeros():
    x, y = variable([1.0]), variable([1.0, 2.0])
    with autograd.record():
        z = x * 2
        u = y * 2
    dx, dy = autograd.grad([z], [x, u])
    assert dx.asscalar() == 2
    np.testing.assert_allclose(dy.asnumpy(), [0, 0])


def test_flags():
    assert not autograd.is_recording() and not autograd.is_training()
    with autograd.record():
        assert autograd.is_recording() and autograd.is_training()
        with autograd.pause():
            assert not autograd.is_recording() and not autograd.is_training()
        with autograd.predict_mode():
            assert autograd.is_recording() and not autograd.is_training()
    with autograd.record(train_mode=False), autograd.train_mode():
        assert autograd.is_training()
    assert autograd.set_recording(True) is False
    assert autograd.set_recording(False) is True
    assert autograd.set_training(True) is False
    assert autograd.set_training(False) is True


def test_flags_belong_to_the_thread():
    seen = []
    with autograd.record():
        thread = threading.Thread(target=lambda: seen.append(autograd.is_recording()))
        thread.start()
        thread.join()
    assert seen == [False]


def test_history_dies_with_the_arrays():
    x = variable([1.0])
    with autograd.record():
        y = x * x
        z = y * y
    node = weakref.ref(y)
    del y
    gc.collect()
    assert node() is None
    z.backward()
    assert x.grad.asscalar() == 4


def test_no_reference_cycles():
    gc.collect()
    gc.disable()
    try:
        x = variable([1.0])
        with autograd.record():
            z = x * x
        dead = weakref.ref(z)
        del z
        assert dead() is None
    finally:
        gc.enable()


class Sigmoid(autograd.Function):
    def forward(self, x):
        y = 1 / (1 + (-x).exp())
        self.save_for_backward(y)
        return y

    def backward(self, dy):
        (y,) = self.saved_tensors
        return dy * y * (1 - y)


class SumAndProduct(autograd.Function):
    def forward(self, a, b):
        self.save_for_backward(a, b)
        return a + b, a * b

    def backward(self, dsum, dproduct):
        a, b = self.saved_tensors
        return dsum + dproduct * b, dsum + dproduct * a


def test_function():
    x = variable([0.5, -1.0])
    with autograd.record():
        y = Sigmoid()(x * 2)
    y.backward()
    s = 1 / (1 + np.exp(-2 * x.asnumpy()))
    np.testing.assert_allclose(x.grad.asnumpy(), 2 * s * (1 - s), rtol=1e-5)


def test_function_of_several_arrays():
    a, b = variable([2.0]), variable([5.0])
    with autograd.record():
        total, product = SumAndProduct()(a, b)
        z = product * 10
    z.backward()
    assert (a.grad.asscalar(), b.grad.asscalar()) == (50, 20)
    assert total.asscalar() == 7


def test_a_function_serves_one_call():
    f = Sigmoid()
    f(mx.nd.ones((1,)))
    with pytest.raises(MXNetError, match="object of its own"):
        f(mx.nd.ones((1,)))


def test_error_in_a_function_reaches_the_caller():
    class Wrong(autograd.Function):
        def forward(self, x):
            return x * 2

        def backward(self, dy):
            raise KeyError("mine")

    x = variable([1.0])
    with autograd.record():
        y = Wrong()(x)
    with pytest.raises(KeyError, match="mine"):
        y.backward()


def test_mark_variables():
    x, g = mx.nd.array([3.0]), mx.nd.zeros((1,))
    autograd.mark_variables(x, g)
    with autograd.record():
        y = x * x
    y.backward()
    assert g.asscalar() == 6
    with pytest.raises(MXNetError, match="grad_req"):
        autograd.mark_variables(x, g, "sum")
    with pytest.raises(MXNetError, match="shape"):
        autograd.mark_variables(x, mx.nd.zeros((2,)))


def test_get_symbol():
    x, w = variable([[1.0, 2.0]]), variable([[3.0], [4.0]])
    with autograd.record():
        y = mx.nd.dot(x, w) + 1
    symbol = autograd.get_symbol(y)
    assert symbol.list_arguments() == ["var0", "var1"]
    assert symbol.eval(var0=x, var1=w)[0].asscalar() == 12


def test_dropout_gradient_uses_the_same_mask():
    x = variable(np.ones((1000,)))
    with autograd.record():
        y = mx.nd.Dropout(x, p=0.5)
    y.backward()
    np.testing.assert_array_equal(x.grad.asnumpy(), y.asnumpy())
    assert 0 < (y.asnumpy() == 0).sum() < 1000


def test_batch_norm_statistics_move_with_backward():
    data = variable(np.arange(8).reshape(4, 2))
    gamma, beta = mx.nd.ones((2,)), mx.nd.zeros((2,))
    mean, var = mx.nd.zeros((2,)), mx.nd.ones((2,))
    with autograd.record():
        y = mx.nd.BatchNorm(data, gamma, beta, mean, var, momentum=0.5, fix_gamma=False)
    np.testing.assert_array_equal(mean.asnumpy(), [0, 0])
    y.backward()
    np.testing.assert_allclose(mean.asnumpy(), [1.5, 2])
    np.testing.assert_allclose(var.asnumpy(), [3, 3])


def convolution(x, w, b):
    y = mx.nd.Convolution(x, w, b, kernel=(3, 3), num_filter=2)
    y = mx.nd.Activation(y, act_type="relu")
    return mx.nd.Pooling(y, kernel=(2, 2), pool_type="max")


def views(x, w, b):
    y = x[0] * b[1] + x.reshape((1, 2, 5, 5))[0]
    y = y + mx.nd.sum(w[:, :, 1]) * x[0, :, ::-1]
    return y[[0, 0]]


def shared(x, w, b):
    y = x * x
    return (y * y + y).mean() * w.sum() + (b * b).sum()


@pytest.mark.parametrize("function", [convolution, views, shared])
@pytest.mark.parametrize("req", ["write", "add"])
def test_repeated_structures_run_as_programs(function, req):
    """The first pass goes operator by operator, the third is a compiled program."""
    random = np.random.default_rng(0)
    arrays = [variable(random.normal(size=s), req) for s in [(1, 2, 5, 5), (2, 2, 3, 3), (2,)]]
    found = []
    for _ in range(4):
        for a in arrays:
            a.grad[:] = 1
        with autograd.record():
            y = function(*arrays)
        y.backward(mx.nd.array(random.normal(size=y.shape)) * 0 + 2)
        found.append([a.grad.asnumpy() for a in arrays])
    for later in found[1:]:
        for a, b in zip(found[0], later, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    assert any(np.abs(g - 1).max() > 0.1 for g in found[0])


def test_repeated_structures_see_new_values():
    x = variable([0.0, 0.0])
    for step in range(5):
        x[:] = step
        with autograd.record(train_mode=step % 2 == 0):
            y = (x * x * x).sum()
        y.backward()
        assert x.grad.asnumpy().tolist() == [3 * step**2] * 2


def test_repeated_structures_move_statistics():
    data = variable(np.arange(8).reshape(4, 2))
    gamma, beta = mx.nd.ones((2,)), mx.nd.zeros((2,))
    mean, var = mx.nd.zeros((2,)), mx.nd.ones((2,))
    expected = np.zeros(2)
    for _ in range(4):
        with autograd.record():
            y = mx.nd.BatchNorm(data, gamma, beta, mean, var, momentum=0.5, fix_gamma=False)
        y.backward()
        expected = expected * 0.5 + 0.5 * np.array([3, 4])
        np.testing.assert_allclose(mean.asnumpy(), expected, rtol=1e-6)


def test_gradients_may_be_read_by_the_pass_that_writes_them():
    x = variable([1.0, 2.0])
    for _ in range(4):
        x.grad[:] = 3
        with autograd.record():
            y = x * x * x.grad
        y.backward()
        assert x.grad.asnumpy().tolist() == [6, 12]


def test_only_what_gradients_need_is_kept():
    x = variable(np.ones((256, 256)))
    with autograd.record():
        y = x * 3
        before = mx.memory_stats()["used"]
        for _ in range(20):
            y = y * 2 - 1
        z = y.sum()
    assert mx.memory_stats()["used"] <= before + 4 * 256 * 256 * 4
    z.backward()
    assert x.grad[0, 0].asscalar() == 3 * 2**20


def test_what_was_not_kept_is_computed_again():
    from minimx.tape import array_of

    x = variable([1.0, 2.0])
    with autograd.record():
        y = x * 3 + 1
        z = y * 2
    entry = y.entry
    assert entry.node.arrays[0] is None
    del y
    assert array_of(entry).asnumpy().tolist() == [4, 7]
    z.backward()
    assert x.grad.asnumpy().tolist() == [6, 6]


def test_values_needed_by_a_later_operator_are_kept():
    x = variable([1.0, 2.0])
    with autograd.record():
        y = x + 1
        z = y * y
        y = None
    z.backward()
    assert x.grad.asnumpy().tolist() == [4, 6]
