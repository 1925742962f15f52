"""Initializers: MXNet's values and name rules, sizes of random weights, seeds, files and texts."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest

import minimx as mx
from minimx import initializer

GOLDEN = json.loads((Path(__file__).parent / "golden/misc/init.json").read_text())

UNIFORM = mx.init.Uniform(0.1)
LSTM = mx.init.LSTMBias(forget_bias=1.5)
MIXED = mx.init.Mixed([".*bias", "fc.*", ".*"], [mx.init.Zero(), mx.init.Constant(1.0), mx.init.Constant(2.0)])
CALLS = {
    "attr __init__ wins": (UNIFORM, '["one", {}]'),
    "attr __init__ constant": (UNIFORM, mx.init.Constant(2.5).dumps()),
    "Zero": (mx.init.Zero(), None),
    "One": (mx.init.One(), None),
    "Constant(0.3)": (mx.init.Constant(0.3), None),
    "LSTMBias": (LSTM, LSTM.dumps()),
    "LSTMBias on plain bias name": (LSTM, None),
    "Constant(0.25) global + FusedRNN(None, 2, 1, lstm, forget_bias=2)": (
        mx.init.Constant(0.25),
        mx.init.FusedRNN(None, 2, 1, "lstm", False, 2.0).dumps(),
    ),
    "Constant(0.25) global + FusedRNN(None, 2, 1, gru, bidirectional)": (
        mx.init.Constant(0.25),
        mx.init.FusedRNN(None, 2, 1, "gru", True).dumps(),
    ),
}
# What MXNet 1.9.1 refuses for InitDesc but fills for plain names is filled here for both.
WIDER = {"bn_moving_mean": 0.0, "bn_moving_var": 1.0}


def call_of(text):
    if text.startswith("Uniform default rule"):
        return UNIFORM, None
    if text.startswith("Bilinear"):
        return mx.init.Bilinear(), None
    if text.startswith("Mixed"):
        return MIXED, None
    return CALLS[text]


def filled(init, desc, shape):
    array = mx.nd.full(shape, 9.0)
    init(desc, array)
    return array.asnumpy()


@pytest.mark.parametrize("text", [t for t in GOLDEN["deterministic"] if "fails in 1.9.1" not in t])
def test_values(text):
    case = GOLDEN["deterministic"][text]
    init, attribute = call_of(text)
    desc = mx.init.InitDesc(case["param"], attribute and {"__init__": attribute})
    if "error" in case and case["param"] not in WIDER:
        with pytest.raises(ValueError, match=case["param"]):
            filled(init, desc, case["shape"])
        return
    want = case.get("value", WIDER.get(case["param"]))
    np.testing.assert_allclose(filled(init, desc, case["shape"]).ravel(), want, rtol=1e-6)


def test_a_fused_rnn_with_an_initializer_of_its_own():
    text = mx.init.FusedRNN(mx.init.Constant(0.25), 2, 1, "lstm", False, 2.0).dumps()
    got = filled(mx.init.Constant(0.1), mx.init.InitDesc("lstm_parameters", {"__init__": text}), (56,))
    np.testing.assert_array_equal(got[:40], np.full(40, 0.25, "f"))
    np.testing.assert_array_equal(got[40:], [0, 0, 2, 2, 0, 0, 0, 0] * 2)
    with pytest.raises(mx.base.ShapeError, match="55"):
        filled(mx.init.FusedRNN(None, 2, 1, "lstm"), mx.init.InitDesc("a_weight"), (55,))


@pytest.mark.parametrize("name", GOLDEN["legacy_string_name_rules_with_Constant7"])
def test_rules_for_plain_names(name):
    want = GOLDEN["legacy_string_name_rules_with_Constant7"][name]
    shape = (1, 1, 2, 3) if name == "upsampling0_weight" else (6,)
    if isinstance(want, str):
        with pytest.raises(ValueError, match=name):
            filled(mx.init.Constant(7.0), name, shape)
    else:
        np.testing.assert_allclose(filled(mx.init.Constant(7.0), name, shape).ravel(), want)


@pytest.mark.parametrize("case", GOLDEN["xavier"], ids=lambda c: "_".join(map(str, c.values())).replace(" ", ""))
def test_size_of_xavier_weights(case):
    mx.random.seed(3)
    init = mx.init.Xavier(case["rnd_type"], case["factor_type"], case["magnitude"])
    drawn = np.concatenate([filled(init, mx.init.InitDesc("x_weight"), case["shape"]).ravel() for _ in range(40)])
    assert drawn.std() == pytest.approx(case["measured_std"], rel=0.1)
    if case["rnd_type"] == "uniform":
        assert 0.97 * case["scale"] < np.abs(drawn).max() <= case["scale"] * (1 + 1e-6)


@pytest.mark.parametrize("shape", [(6, 10), (10, 6), (5, 2, 3, 3)])
@pytest.mark.parametrize("kind", ["uniform", "normal"])
def test_orthogonal(shape, kind):
    drawn = filled(mx.init.Orthogonal(1.5, kind), mx.init.InitDesc("o_weight"), shape).reshape(shape[0], -1)
    if drawn.shape[0] > drawn.shape[1]:
        drawn = drawn.T
    np.testing.assert_allclose(drawn @ drawn.T, 2.25 * np.eye(len(drawn)), atol=1e-5)


def test_msra_is_a_gaussian_xavier():
    for case in GOLDEN["msraprelu_magnitude"]:
        init = mx.init.MSRAPrelu(slope=case["slope"])
        assert init.magnitude == pytest.approx(case["magnitude"])
        assert init.rnd_type == "gaussian"


@pytest.mark.parametrize("text", GOLDEN["dumps"])
def test_texts(text):
    init = eval(text, vars(initializer))
    assert init.dumps() == GOLDEN["dumps"][text]
    again = mx.init.create(init.dumps())
    assert type(again) is type(init)
    assert again.dumps() == init.dumps()


def test_made_by_name():
    assert isinstance(mx.init.create("zeros"), mx.init.Zero)
    assert isinstance(mx.init.create('["Constant", {"value": 2}]'), mx.init.Constant)
    assert mx.init.create("xavier", magnitude=2).magnitude == 2
    with pytest.raises(ValueError, match="did you mean xavier"):
        mx.init.create("xaver")
    values = mx.init.create(mx.init.Constant(np.array([1.0, 2.0])).dumps())
    np.testing.assert_array_equal(filled(values, mx.init.InitDesc("a_weight"), (2,)), [1, 2])


@pytest.mark.parametrize("init", [mx.init.Uniform(1), mx.init.Normal(1), mx.init.Xavier(), mx.init.Orthogonal()])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_seeds_repeat(init, dtype):
    drawn = []
    for seed in (5, 5, 6):
        mx.random.seed(seed)
        array = mx.nd.zeros((7, 9), dtype=dtype)
        init(mx.init.InitDesc("a_weight"), array)
        assert array.dtype == np.dtype(dtype)
        drawn.append(array.asnumpy())
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert (drawn[0] != drawn[2]).any()


def test_init_attribute_of_a_variable():
    variable = mx.sym.Variable("strange", init=mx.init.Constant(3))
    attrs = variable.attr_dict()["strange"]
    np.testing.assert_array_equal(filled(mx.init.Xavier(), mx.init.InitDesc("strange", attrs), (2,)), [3, 3])


def test_quantized_weights():
    drawn = filled(mx.init.Zero(), mx.init.InitDesc("fc_weight_quantize"), (50, 50))
    assert drawn.min() >= -127
    assert drawn.max() > 100
    np.testing.assert_array_equal(drawn, np.round(drawn))


def test_load(tmp_path):
    file = str(tmp_path / "saved.params")
    mx.nd.save(file, {"arg:a_weight": mx.nd.array([1, 2]), "aux:m": mx.nd.array([3])})
    init = mx.init.Load(file, default_init=mx.init.One())
    np.testing.assert_array_equal(filled(init, "a_weight", (2,)), [1, 2])
    np.testing.assert_array_equal(filled(init, "m", (1,)), [3])
    np.testing.assert_array_equal(filled(init, "b_weight", (2,)), [1, 1])
    with pytest.raises(ValueError, match="a_weight"):
        filled(init, "a_weight", (3,))
    with pytest.raises(ValueError, match="c_weight"):
        filled(mx.init.Load({}), "c_weight", (3,))


def test_mixed_needs_a_match():
    with pytest.raises(ValueError, match="xfc"):
        filled(mx.init.Mixed(["fc"], [mx.init.One()]), "xfc_weight", (2,))
    with pytest.raises(ValueError, match="patterns"):
        mx.init.Mixed(["a"], [])


def test_verbose(caplog):
    with caplog.at_level(logging.INFO):
        filled(mx.init.Constant(2.0).set_verbosity(True), mx.init.InitDesc("a_weight"), (2,))
        filled(mx.init.One().set_verbosity(True, lambda a: a.shape), mx.init.InitDesc("a_bias"), (2,))
        filled(mx.init.Load({"a": mx.nd.zeros(2)}, verbose=True), "a", (2,))
    assert [r.getMessage() for r in caplog.records] == [
        "Initialized a_weight as weight: 2.0",
        "Initialized a_bias as bias: (2,)",
        "Initialized a by loading",
    ]


@pytest.mark.parametrize(
    "make",
    [
        lambda: mx.init.Xavier(rnd_type="normal"),
        lambda: mx.init.Xavier(factor_type="both"),
        lambda: mx.init.Orthogonal(rand_type="gaussian"),
        lambda: mx.init.FusedRNN(None, 2, 1, "rnn"),
        lambda: filled(mx.init.Xavier(), mx.init.InitDesc("a_weight"), (3,)),
    ],
)
def test_refused(make):
    with pytest.raises(ValueError):
        make()


def test_an_initializer_without_a_rule_says_so():
    with pytest.raises(NotImplementedError, match="Mine"):
        filled(type("Mine", (mx.init.Initializer,), {})(), mx.init.InitDesc("a_weight"), (1,))
