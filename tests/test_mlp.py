"""mx.mlp: the network that it makes, and that it learns."""

import json

import numpy as np
import pytest
from small_training import X, Y

import minimx as mx


def operators(net):
    return [(n["op"], n.get("attrs", {})) for n in json.loads(net.tojson())["nodes"] if n["op"] != "null"]


def test_the_network():
    with mx.name.NameManager():
        net = mx.mlp(
            X, Y, hidden_node=[5, 4], out_node=2, dropout=0.5, activation=["tanh", "relu"], num_round=1, verbose=False
        )
    assert operators(net.symbol) == [
        ("FullyConnected", {"num_hidden": "5"}),
        ("Activation", {"act_type": "tanh"}),
        ("FullyConnected", {"num_hidden": "4"}),
        ("Activation", {"act_type": "relu"}),
        ("Dropout", {"p": "0.5"}),
        ("FullyConnected", {"num_hidden": "2"}),
        ("SoftmaxOutput", {}),
    ]
    assert "fullyconnected0_weight" in net.arg_params


def test_outputs():
    kinds = {}
    for kind, out, labels in (("softmax", 2, Y), ("rmse", 1, X[:, 0]), ("logistic", 1, Y)):
        net = mx.mlp(
            X,
            labels,
            hidden_node=3,
            out_node=out,
            out_activation=kind,
            num_round=1,
            eval_metric="rmse" if out == 1 else "acc",
        )
        kinds[kind] = operators(net.symbol)[-1][0], net.predict(X).shape
    assert kinds == {
        "softmax": ("SoftmaxOutput", (43, 2)),
        "rmse": ("LinearRegressionOutput", (43, 1)),
        "logistic": ("LogisticRegressionOutput", (43, 1)),
    }


def test_it_learns():
    mx.random.seed(0)
    net = mx.mlp(
        X,
        Y,
        hidden_node=10,
        out_node=2,
        out_activation="softmax",
        num_round=60,
        array_batch_size=15,
        learning_rate=0.07,
        momentum=0.9,
        eval_metric="acc",
        initializer=mx.init.Xavier(),
    )
    assert net.score(X, Y) > 0.9


def test_what_goes_wrong():
    for given, message in (
        ({}, "out_node, the number of outputs, is missing"),
        ({"out_node": 2, "out_activation": "linear"}, "out_activation must be one of rmse, softmax, logistic"),
        ({"out_node": 2, "hidden_node": [3, 3, 3], "activation": ["tanh", "relu"]}, "one activation or 3, got 2"),
    ):
        with pytest.raises(ValueError, match=message):
            mx.mlp(X, Y, num_round=1, **given)


def test_names_with_dots():
    net = mx.mlp(X, Y, **{"hidden.node": 4, "out.node": 2, "num.round": 1, "learning.rate": 0.1})
    assert net.arg_params[net.symbol.list_arguments()[1]].shape == (4, 6)
    assert np.isfinite(net.predict(X)).all()
