"""Module: what goes wrong, and what is said."""

import pytest
from small_training import X, Y, assert_same, bound, mlp, rows, values

import minimx as mx
from minimx.base import MXNetError


def test_steps_in_the_wrong_order():
    module = mx.mod.Module(mlp())
    batch = next(rows())
    for call, first in (
        (lambda: module.forward(batch), "bind"),
        (lambda: module.predict(rows()), "bind"),
        (lambda: module.get_params(), "bind"),
        (lambda: module.data_shapes, "bind"),
        (lambda: module.init_params(), "bind"),
    ):
        with pytest.raises(MXNetError, match=rf"Module: call {first}\(\) first"):
            call()
    module.bind([("data", (10, 6))], [("softmax_label", (10,))])
    with pytest.raises(MXNetError, match=r"call init_params\(\) first"):
        module.forward(batch)
    module.init_params()
    module.forward(batch)
    module.backward()
    with pytest.raises(MXNetError, match=r"call init_optimizer\(\) first"):
        module.update()
    with pytest.raises(ValueError, match="num_epoch"):
        module.fit(rows())


def regression(label="lin_label", outputs=1):
    net = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=outputs, name="fc")
    return mx.sym.LinearRegressionOutput(net, mx.sym.Variable(label), name="lin")


def test_the_only_label_is_found(recwarn):
    for net in (regression(), regression("y"), mlp()):
        module = mx.mod.Module(net)
        module.fit(rows(), eval_metric="loss", num_epoch=1)
        module.predict(rows())
        assert "label" not in " ".join(module.get_params()[0])
    assert not recwarn.list


def test_labels_that_do_not_match():
    two = mx.sym.Group([regression("first_label"), regression("second_label")])
    module = mx.mod.Module(two)
    message = r"label: your iterator gives softmax_label \(10,\); the graph wants first_label, second_label"
    with pytest.raises(ValueError, match=message):
        module.fit(rows(), num_epoch=1)
    given = [("first_label", (10,)), ("other", (10,))]
    with pytest.raises(ValueError, match=r"gives first_label \(10,\), other \(10,\); the graph wants first_label, sec"):
        module.bind([("data", (10, 6))], given)
    module.bind([("data", (10, 6))], given, for_training=False)
    module.bind([("data", (10, 6))], for_training=False, force_rebind=True)
    with pytest.raises(ValueError, match=r"data: your iterator gives x \(10, 6\); the graph wants data"):
        mx.mod.Module(mlp()).bind([("x", (10, 6))])
    with pytest.raises(ValueError, match=r"data_names has 'dat', .* did you mean data\?"):
        mx.mod.Module(mlp(), data_names=["dat"])
    with pytest.raises(ValueError, match="the batch has 2 data arrays; the module takes data"):
        bound().forward(mx.io.DataBatch([mx.nd.ones((10, 6))] * 2), is_train=False)
    with pytest.raises(ValueError, match="a batch for training must have labels: the graph wants softmax_label"):
        bound().forward_backward(mx.io.DataBatch([mx.nd.ones((10, 6))]))


def test_labels_of_a_regression_never_broadcast():
    with pytest.raises(ValueError, match=r"(?s)\(10, 3\).*\(10,\)|\(10,\).*\(10, 3\)"):
        mx.mod.Module(regression(outputs=3)).fit(rows(), num_epoch=1)


def test_patterns_that_match_nothing():
    with pytest.raises(ValueError, match=r"fixed_param_names: 'fc3_\*' matches no parameter"):
        mx.mod.Module(mlp(), fixed_param_names=["fc3_*"])
    with pytest.raises(ValueError, match=r"'fc1_weigt' matches no parameter; did you mean fc1_weight"):
        mx.mod.Module(mlp(), fixed_param_names=["fc1_weigt"])


def test_data_that_is_used_up():
    one, two = bound(), bound()
    data = rows()
    list(data)
    one.fit(data, num_epoch=1)
    two.fit(rows(), num_epoch=1)
    assert_same(values(one), values(two))

    class Empty(mx.io.NDArrayIter):
        def iter_next(self):
            return False

    with pytest.raises(ValueError, match="gave no batch in epoch 0"):
        one.fit(Empty(X, Y, 10), num_epoch=1)
