"""SequentialModule, PythonModule and PythonLossModule, with the numbers of MXNet."""

import numpy as np
import pytest
from small_training import SGD, X, assert_same, bound, first_values, mlp, rows, values

import minimx as mx
from minimx.base import MXNetError


def halves():
    """The small network cut in two."""
    first = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=8, name="fc1")
    first = mx.sym.Activation(first, act_type="relu", name="relu1")
    second = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=2, name="fc2")
    return first, mx.sym.SoftmaxOutput(second, name="softmax")


def chain(second=None):
    first, last = halves()
    made = mx.mod.SequentialModule()
    made.add(mx.mod.Module(first, label_names=None))
    made.add(mx.mod.Module(last) if second is None else second, take_labels=True, auto_wiring=True)
    return made


def test_a_chain_is_the_whole():
    whole = bound()
    whole.fit(rows(), num_epoch=2)
    made = chain()
    made.fit(
        rows(),
        rows(),
        num_epoch=2,
        optimizer_params=SGD,
        arg_params=first_values(mlp())[0],
        aux_params={},
        allow_missing=True,
    )
    assert_same(values(made), values(whole))
    np.testing.assert_allclose(made.predict(X).asnumpy(), whole.predict(X).asnumpy(), rtol=1e-5)
    assert made.score(rows(), "acc") == whole.score(rows(), "acc")
    assert made.data_names == ["data"] and made.output_names == ["softmax_output"]
    assert made.output_shapes == [("softmax_output", (10, 2))]
    assert made.label_shapes[0].name == "softmax_label"


def test_input_gradients_come_through():
    whole, made = bound(bind={"inputs_need_grad": True}), chain()
    made.bind([("data", (10, 6))], [("softmax_label", (10,))], inputs_need_grad=True)
    made.init_params(None, first_values(mlp())[0], {}, allow_missing=True)
    for module in (whole, made):
        module.forward_backward(next(rows()))
    want = whole.get_input_grads()[0].asnumpy()
    np.testing.assert_allclose(made.get_input_grads()[0].asnumpy(), want, rtol=1e-5, atol=1e-7)


def slope(scores, labels):
    """The gradient of softmax with cross-entropy."""
    x, label = scores.asnumpy(), labels.asnumpy().astype(int)
    p = np.exp(x - x.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    p[np.arange(len(label)), label] -= 1
    return p


def test_a_loss_in_python():
    net = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=2, name="fc")
    args = {"fc_weight": mx.nd.full((2, 6), 0.1), "fc_bias": mx.nd.zeros(2)}
    given = {"num_epoch": 2, "arg_params": args, "aux_params": {}, "optimizer_params": {"learning_rate": 0.1}}
    made = mx.mod.SequentialModule()
    made.add(mx.mod.Module(net, label_names=None))
    made.add(mx.mod.PythonLossModule(grad_func=slope), take_labels=True, auto_wiring=True)
    made.fit(rows(), **given)
    whole = mx.mod.Module(mx.sym.SoftmaxOutput(net, name="softmax"))
    whole.fit(rows(), **given)
    assert_same(values(made), values(whole))
    assert made.output_shapes == [("pyloss_output", (10, 2))]
    assert made.score(rows(), "acc") == whole.score(rows(), "acc")
    assert made.predict(rows()).shape == (43, 2)


def test_a_module_in_python():
    class Doubled(mx.mod.PythonModule):
        def _compute_output_shapes(self):
            return [("doubled_output", self.data_shapes[0].shape)]

        def forward(self, data_batch, is_train=None):
            self.out = data_batch.data[0] * 2

        def backward(self, out_grads=None):
            self.grad = out_grads[0] * 2

        def get_outputs(self, merge_multi_context=True):
            return [self.out]

        def get_input_grads(self, merge_multi_context=True):
            return [self.grad]

    first, last = halves()
    made = mx.mod.SequentialModule()
    made.add(mx.mod.Module(first, label_names=None))
    made.add(Doubled(["x"], None, ["doubled_output"]), auto_wiring=True)
    made.add(mx.mod.Module(last), take_labels=True, auto_wiring=True)
    given = {"num_epoch": 1, "optimizer_params": SGD, "aux_params": {}, "allow_missing": True}
    args = first_values(mlp())[0]
    made.fit(rows(), arg_params=args, **given)
    inner = mx.sym.Activation(
        mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=8, name="fc1"), act_type="relu", name="relu1"
    )
    net = mx.sym.SoftmaxOutput(mx.sym.FullyConnected(inner * 2, num_hidden=2, name="fc2"), name="softmax")
    whole = mx.mod.Module(net)
    whole.fit(rows(), arg_params=args, **given)
    assert_same(values(made), values(whole))


def test_what_goes_wrong():
    with pytest.raises(ValueError, match="unknown meta 'take_label'"):
        mx.mod.SequentialModule().add(mx.mod.Module(mlp()), take_label=True)
    with pytest.raises(MXNetError, match=r"add\(\) a module first"):
        mx.mod.SequentialModule().bind([("data", (2, 6))])
    twice = mx.mod.SequentialModule()
    twice.add(mx.mod.Module(halves()[0], label_names=None))
    twice.add(mx.mod.Module(halves()[0], label_names=None), auto_wiring=True)
    twice.bind([("data", (2, 8))])
    with pytest.raises(ValueError, match="modules 0 and 1 both have a parameter 'fc1_weight'"):
        twice.init_params()
    with pytest.raises(TypeError, match="grad_func must be a function"):
        mx.mod.PythonLossModule(grad_func=3)
    with pytest.raises(ValueError, match="one data and one label"):
        mx.mod.PythonLossModule(data_names=["a", "b"])
    made = chain()
    made.bind([("data", (10, 6))], [("softmax_label", (10,))])
    with pytest.raises(ValueError, match="no module has fc9_weight"):
        made.init_params(None, {**first_values(mlp())[0], "fc9_weight": mx.nd.ones(1)}, {}, allow_missing=True)
