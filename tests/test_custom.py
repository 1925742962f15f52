"""Operators written in Python: with arrays, with symbols, and the older kinds."""

import traceback

import numpy as np
import pytest

import minimx as mx
from minimx.base import MXNetError


class Softmax(mx.operator.CustomOp):
    def forward(self, is_train, req, in_data, out_data, aux):
        x = in_data[0].asnumpy()
        y = np.exp(x - x.max(axis=1, keepdims=True))
        self.assign(out_data[0], req[0], mx.nd.array(y / y.sum(axis=1, keepdims=True)))

    def backward(self, req, out_grad, in_data, out_data, in_grad, aux):
        labels = in_data[1].asnumpy().astype(int)
        y = out_data[0].asnumpy()
        y[np.arange(len(labels)), labels] -= 1
        self.assign(in_grad[0], req[0], mx.nd.array(y))


@mx.operator.register("softmax_in_python")
class SoftmaxProp(mx.operator.CustomOpProp):
    def __init__(self):
        super().__init__(need_top_grad=False)

    def list_arguments(self):
        return ["data", "label"]

    def infer_shape(self, in_shape):
        return [in_shape[0], (in_shape[0][0],)], [in_shape[0]], []

    def create_operator(self, ctx, in_shapes, in_dtypes):
        return Softmax()


class Scale(mx.operator.CustomOp):
    """Two outputs, options, a state that counts, and something kept from forward to backward."""

    def __init__(self, factor, seen):
        self.factor = factor
        seen.append(self)

    def forward(self, is_train, req, in_data, out_data, aux):
        self.kept = in_data[0].copy()
        self.assign(out_data[0], req[0], in_data[0] * self.factor)
        self.assign(out_data[1], req[1], in_data[0] * in_data[0])
        if is_train:
            aux[0][:] += 1

    def backward(self, req, out_grad, in_data, out_data, in_grad, aux):
        self.assign(in_grad[0], req[0], out_grad[0] * self.factor + 2 * self.kept * out_grad[1])


@mx.operator.register("scale_in_python")
class ScaleProp(mx.operator.CustomOpProp):
    made = []

    def __init__(self, factor="2"):
        super().__init__()
        self.factor = float(factor)

    def list_outputs(self):
        return ["scaled", "squared"]

    def list_auxiliary_states(self):
        return ["count"]

    def infer_shape(self, in_shape):
        return in_shape, [in_shape[0]] * 2, [(1,)]

    def create_operator(self, ctx, in_shapes, in_dtypes):
        assert ctx == mx.cpu() and in_dtypes[0] is np.float32
        self.shape = in_shapes[0]
        return Scale(self.factor, self.made)


def test_symbol_equals_the_built_in_loss():
    data, label = mx.sym.Variable("data"), mx.sym.Variable("label")
    net = mx.sym.FullyConnected(data, num_hidden=3, name="fc")
    own = mx.sym.Custom(net, label, op_type="softmax_in_python", name="softmax")
    built_in = mx.sym.SoftmaxOutput(net, label, name="softmax")
    assert own.list_arguments() == ["data", "fc_weight", "fc_bias", "label"]
    assert own.list_outputs() == ["softmax_output"]
    random = np.random.default_rng(0)
    values = {
        "data": random.normal(size=(4, 5)),
        "fc_weight": random.normal(size=(3, 5)),
        "fc_bias": random.normal(size=3),
        "label": np.array([0, 2, 1, 1]),
    }
    results = []
    for symbol in (own, built_in):
        executor = symbol.simple_bind(mx.cpu(), data=(4, 5))
        executor.forward(is_train=True, **values)
        executor.backward()
        results.append((executor.outputs[0].asnumpy(), executor.grad_dict["fc_weight"].asnumpy()))
    for found, expected in zip(*results, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_missing_inputs_become_variables():
    symbol = mx.sym.Custom(mx.sym.Variable("x"), op_type="softmax_in_python", name="loss")
    assert symbol.list_arguments() == ["x", "loss_label"]
    assert symbol.infer_shape(x=(7, 2))[0] == [(7, 2), (7,)]


def test_states_options_and_several_outputs():
    x = mx.sym.Variable("x")
    symbol = mx.sym.Custom(x, op_type="scale_in_python", factor=3, name="s")
    assert symbol.list_outputs() == ["s_scaled", "s_squared"]
    assert symbol.list_auxiliary_states() == ["s_count"]
    executor = symbol.simple_bind(mx.cpu(), x=(2,))
    for _ in range(2):
        executor.forward(is_train=True, x=np.array([1, 2]))
    executor.backward([mx.nd.ones((2,)), mx.nd.array([10, 100])])
    assert executor.outputs[0].asnumpy().tolist() == [3, 6]
    assert executor.outputs[1].asnumpy().tolist() == [1, 4]
    assert executor.grad_dict["x"].asnumpy().tolist() == [3 + 20, 3 + 400]
    assert executor.aux_dict["s_count"].asscalar() == 2
    executor.forward(is_train=False)
    assert executor.aux_dict["s_count"].asscalar() == 2


def test_each_node_has_its_own_operator():
    ScaleProp.made.clear()
    x = mx.sym.Variable("x")
    a = mx.sym.Custom(x, op_type="scale_in_python", name="a")
    b = mx.sym.Custom(a[0], op_type="scale_in_python", name="b")
    executor = (a[1] + b[1]).simple_bind(mx.cpu(), x=(1,))
    executor.forward(is_train=True, x=np.array([3]))
    executor.backward()
    assert len(ScaleProp.made) == 2
    assert executor.outputs[0].asscalar() == 9 + 36
    assert executor.grad_dict["x"].asscalar() == 6 + 24


def test_saved_symbols_find_their_operator(tmp_path):
    symbol = mx.sym.Custom(mx.sym.Variable("x"), op_type="scale_in_python", factor=5, name="s")
    path = str(tmp_path / "net.json")
    symbol.save(path)
    loaded = mx.sym.load(path)
    assert loaded.tojson() == symbol.tojson()
    assert loaded.simple_bind(mx.cpu(), x=(1,)).forward(x=np.array([1]))[0].asscalar() == 5


def test_arrays_and_autograd():
    x, states = mx.nd.array([1, 2]), mx.nd.zeros((1,))
    x.attach_grad()
    with mx.autograd.record():
        first = mx.nd.Custom(x, states, op_type="scale_in_python", factor=3)
        second = mx.nd.Custom(first[0], count=states, op_type="scale_in_python", factor=1)
        y = (second[1] + first[1]).sum()
    y.backward()
    # y = sum((3x)^2 + x^2)
    assert x.grad.asnumpy().tolist() == [20, 40]
    assert states.asscalar() == 2
    assert mx.nd.Custom(x, states, op_type="scale_in_python")[0].asnumpy().tolist() == [2, 4]


def test_grad_req_add_and_null():
    symbol = mx.sym.Custom(mx.sym.Variable("x"), op_type="scale_in_python", name="s")[0]
    executor = symbol.simple_bind(mx.cpu(), grad_req="add", x=(1,))
    for _ in range(3):
        executor.forward(is_train=True, x=np.array([1]))
        executor.backward()
    assert executor.grad_dict["x"].asscalar() == 6
    executor = symbol.simple_bind(mx.cpu(), grad_req="null", x=(1,))
    executor.forward(is_train=True, x=np.array([1]))
    executor.backward()


class Broken(mx.operator.CustomOp):
    def forward(self, is_train, req, in_data, out_data, aux):
        raise KeyError("the forward method is broken")


@mx.operator.register("broken_in_python")
class BrokenProp(mx.operator.CustomOpProp):
    def create_operator(self, ctx, in_shapes, in_dtypes):
        return Broken()


@pytest.mark.parametrize("way", ["symbol", "array"])
def test_errors_keep_their_place(way):
    with pytest.raises(KeyError, match="the forward method is broken") as caught:
        if way == "symbol":
            mx.sym.Custom(mx.sym.Variable("x"), op_type="broken_in_python").eval(x=mx.nd.ones((1,)))
        else:
            mx.nd.Custom(mx.nd.ones((1,)), op_type="broken_in_python")
    lines = [frame.line for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert any("raise KeyError" in line for line in lines)
    assert "op_type" in lines[0]


def test_wrong_uses():
    with pytest.raises(MXNetError, match="no operator is registered as 'softmax_in_pyton'; did you mean"):
        mx.sym.Custom(mx.sym.Variable("x"), op_type="softmax_in_pyton")
    with pytest.raises(MXNetError, match="op_type"):
        mx.sym.Custom(mx.sym.Variable("x"))
    with pytest.raises(TypeError, match="subclass of CustomOpProp"):
        mx.operator.register("wrong")(Broken)
    with pytest.raises(MXNetError, match="missing are label"):
        mx.nd.Custom(mx.nd.ones((2, 2)), op_type="softmax_in_python")


def test_infer_shape_of_the_wrong_length():
    @mx.operator.register("two_shapes")
    class TwoShapes(mx.operator.CustomOpProp):
        def infer_shape(self, in_shape):
            return in_shape, in_shape * 2, []

    symbol = mx.sym.Custom(mx.sym.Variable("x"), op_type="two_shapes", name="t")
    with pytest.raises(MXNetError, match="must return 1 shapes of outputs, got 2"):
        symbol.infer_shape(x=(1,))


class NumpySquare(mx.operator.NumpyOp):
    def forward(self, in_data, out_data):
        assert isinstance(in_data[0], np.ndarray)
        out_data[0][:] = in_data[0] ** 2

    def backward(self, out_grad, in_data, out_data, in_grad):
        in_grad[0][:] = 2 * in_data[0] * out_grad[0]


class ArraySquare(mx.operator.NDArrayOp):
    def forward(self, in_data, out_data):
        out_data[0][:] = in_data[0] * in_data[0]

    def backward(self, out_grad, in_data, out_data, in_grad):
        in_grad[0][:] = 2 * in_data[0] * out_grad[0]


@pytest.mark.parametrize("kind", [NumpySquare, ArraySquare])
def test_older_kinds(kind):
    symbol = kind()(mx.sym.Variable("x"), name="square") * 10
    executor = symbol.simple_bind(mx.cpu(), x=(3,))
    executor.forward(is_train=True, x=np.array([1, 2, 3]))
    executor.backward()
    assert executor.outputs[0].asnumpy().tolist() == [10, 40, 90]
    assert executor.grad_dict["x"].asnumpy().tolist() == [20, 40, 60]


def test_what_there_is():
    assert {"Custom", "FullyConnected"} <= set(mx.operator.get_all_registered_operators())
    arguments = mx.operator.get_operator_arguments("FullyConnected")
    assert arguments.names[:3] == ["data", "weight", "bias"] and arguments.narg == len(arguments.types)


def test_unused_inputs_are_not_kept():
    class Sign(mx.operator.CustomOp):
        def forward(self, is_train, req, in_data, out_data, aux):
            self.assign(out_data[0], req[0], in_data[0].sign())

        def backward(self, req, out_grad, in_data, out_data, in_grad, aux):
            assert in_data == [None] and out_data == [None]
            self.assign(in_grad[0], req[0], out_grad[0])

    @mx.operator.register("sign_in_python")
    class SignProp(mx.operator.CustomOpProp):
        def declare_backward_dependency(self, out_grad, in_data, out_data):
            return out_grad

        def create_operator(self, ctx, in_shapes, in_dtypes):
            return Sign()

    executor = mx.sym.Custom(mx.sym.Variable("x"), op_type="sign_in_python").simple_bind(mx.cpu(), x=(2,))
    executor.forward(is_train=True, x=np.array([-3, 3]))
    executor.backward(mx.nd.array([5, 6]))
    assert executor.outputs[0].asnumpy().tolist() == [-1, 1]
    assert executor.grad_dict["x"].asnumpy().tolist() == [5, 6]
