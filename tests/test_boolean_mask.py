"""boolean_mask, whose result has a shape that depends on values."""

import numpy as np
import pytest

import minimx as mx


def test_chooses_rows():
    data = mx.nd.array(np.arange(6).reshape(3, 2))
    assert mx.nd.contrib.boolean_mask(data, mx.nd.array([0, 1, 1])).asnumpy().tolist() == [[2, 3], [4, 5]]
    assert mx.nd.contrib.boolean_mask(data, mx.nd.array([0, 0, 0])).shape == (0, 2)


def test_gradient():
    data = mx.nd.array(np.arange(6).reshape(3, 2))
    data.attach_grad()
    with mx.autograd.record():
        loss = (mx.nd.contrib.boolean_mask(data, mx.nd.array([1, 0, 1])) ** 2).sum()
    loss.backward()
    assert data.grad.asnumpy().tolist() == [[0, 2], [0, 0], [8, 10]]


def test_says_what_is_wrong():
    data = mx.nd.zeros((3, 2))
    with pytest.raises(mx.MXNetError, match="one element for each row"):
        mx.nd.contrib.boolean_mask(data, mx.nd.zeros(2))
    with pytest.raises(mx.MXNetError, match="axis must be 0"):
        mx.nd.contrib.boolean_mask(data, mx.nd.zeros(2), axis=1)
    symbol = mx.sym.contrib.boolean_mask(mx.sym.Variable("data"), mx.sym.Variable("index"), name="mask")
    assert mx.sym.load_json(symbol.tojson()).list_arguments() == ["data", "index"]
    with pytest.raises(mx.MXNetError, match="mask.*depends on the values of index"):
        symbol.simple_bind(mx.cpu(), data=(3, 2), index=(3,))
