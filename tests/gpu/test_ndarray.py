"""Arrays on the second device: memory, indexing, arithmetic, autograd and Python operators."""

import itertools
import pickle

import numpy as np
import pytest
from test_indexing import as_mxnet, keys_for, selected

import minimx as mx
from minimx import autograd
from minimx.base import MXNetError


@pytest.fixture(autouse=True)
def on_gpu(gpu):
    with mx.gpu(0):
        yield


def test_creation_and_copies():
    x = mx.nd.array([[1, 2], [3, 4]])
    assert x.context == mx.gpu(0) and repr(x).endswith("@gpu(0)>")
    host = x.as_in_context(mx.cpu())
    assert host.context == mx.cpu() and host.asnumpy().tolist() == [[1, 2], [3, 4]]
    assert host.copyto(mx.nd.zeros((2, 2))).context == mx.gpu(0)
    assert x.copyto(mx.gpu(1)).context == mx.gpu(1)
    x[:] = host * 10
    assert x.asnumpy().tolist() == [[10, 20], [30, 40]]
    assert pickle.loads(pickle.dumps(x)).asnumpy().tolist() == x.asnumpy().tolist()
    for made in (mx.nd.zeros((2,)), mx.nd.ones((2,)), mx.nd.full((2,), 3), mx.nd.arange(2), mx.nd.eye(2)):
        assert made.context == mx.gpu(0)
    with pytest.raises(MXNetError, match="different devices"):
        x + host


def test_arithmetic_and_reductions():
    values = np.arange(1, 7, dtype=np.float32).reshape(2, 3)
    x = mx.nd.array(values)
    np.testing.assert_allclose(((x * 2 + 1) / x - x**2 % 3).asnumpy(), (values * 2 + 1) / values - values**2 % 3, 1e-6)
    np.testing.assert_allclose((2 - x).exp().asnumpy(), np.exp(2 - values), rtol=1e-6)
    np.testing.assert_allclose(x.sum(axis=0).asnumpy(), values.sum(axis=0))
    x += x
    np.testing.assert_array_equal(x.asnumpy(), 2 * values)


@pytest.mark.parametrize("shape", [(5,), (2, 3, 4)], ids=str)
def test_indexing(shape):
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    for key in itertools.islice(keys_for(shape), 0, None, 5):
        expected = selected(values, key)
        if expected is IndexError:
            continue
        array = mx.nd.array(values)
        np.testing.assert_array_equal(array[key].asnumpy(), as_mxnet(expected), err_msg=repr(key))
        written = values.copy()
        written[key] = expected * 2 + 1
        array[key] = expected * 2 + 1
        np.testing.assert_array_equal(array.asnumpy(), written, err_msg=repr(key))


def test_autograd():
    x = mx.nd.array([[1, 2], [3, 4]])
    x.attach_grad()
    for _ in range(3):
        with autograd.record():
            y = (mx.nd.dot(x, x) * x[0]).sum()
        y.backward()
        v = x.asnumpy()
        weights = np.broadcast_to(v[0], (2, 2))
        expected = weights @ v.T + v.T @ weights
        expected[0] += (v @ v).sum(axis=0)
        np.testing.assert_allclose(x.grad.asnumpy(), expected, rtol=1e-5)


def test_updates_with_a_schedule():
    w, g = mx.nd.ones((3,)), mx.nd.ones((3,))
    for step in range(1, 4):
        mx.nd.sgd_update(w, g, lr=1 / step, out=w)
    np.testing.assert_allclose(w.asnumpy(), 1 - (1 + 1 / 2 + 1 / 3), rtol=1e-5)


class Square(mx.operator.CustomOp):
    def forward(self, is_train, req, in_data, out_data, aux):
        assert in_data[0].context == mx.gpu(0)
        self.assign(out_data[0], req[0], in_data[0] * in_data[0])

    def backward(self, req, out_grad, in_data, out_data, in_grad, aux):
        self.assign(in_grad[0], req[0], 2 * in_data[0] * out_grad[0])


@mx.operator.register("square_on_gpu")
class SquareProp(mx.operator.CustomOpProp):
    def create_operator(self, ctx, in_shapes, in_dtypes):
        assert ctx == mx.gpu(0)
        return Square()


def test_custom_operators():
    executor = mx.sym.Custom(mx.sym.Variable("x"), op_type="square_on_gpu").simple_bind(mx.gpu(0), x=(2,))
    executor.forward(is_train=True, x=np.array([2, 3]))
    executor.backward()
    assert executor.outputs[0].asnumpy().tolist() == [4, 9]
    assert executor.grad_dict["x"].asnumpy().tolist() == [4, 6]


def test_protocols():
    x = mx.nd.array([1, 2])
    assert x.__cuda_array_interface__["data"] == (x.address, False)
    assert not hasattr(x, "__array_interface__")
    assert x.__dlpack_device__() == (2, 0)
    y = mx.nd.from_dlpack(x)
    y[0] = 9
    assert x.asnumpy().tolist() == [9, 2] and y.context == mx.gpu(0)
    assert np.asarray(x).tolist() == [9, 2]
    with pytest.raises(ValueError, match="host memory"):
        x.asnumpy_view()
