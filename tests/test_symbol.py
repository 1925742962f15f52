"""Symbol as MXNet 1.x has it: composing, names, attributes, lists, inference, copies."""

import copy
import json
import pickle
from pathlib import Path

import numpy as np
import pytest

import minimx as mx
from minimx.base import GraphError, MXNetError, NotImplementedForSymbol, ShapeError
from minimx.op import REGISTRY
from minimx.params import text_of

GOLDEN = Path(__file__).parent / "golden" / "symbols"


def mlp():
    x = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=8, name="fc1")
    x = mx.sym.Activation(x, act_type="relu", name="relu1")
    return mx.sym.FullyConnected(x, num_hidden=3, name="fc2")


# ---- names --------------------------------------------------------------------------------------------------------------

d = mx.sym.Variable("data")
CALLS = {
    "FullyConnected": lambda: mx.sym.FullyConnected(d, num_hidden=2),
    "split": lambda: mx.sym.split(d, num_outputs=2),
    "SliceChannel": lambda: mx.sym.SliceChannel(d, num_outputs=2),
    "concat": lambda: mx.sym.concat(d, d),
    "Concat": lambda: mx.sym.Concat(d, d),
    "a+b": lambda: d + d,
    "a-b": lambda: d - d,
    "a*b": lambda: d * d,
    "a/b": lambda: d / d,
    "a%b": lambda: d % d,
    "a**b": lambda: d**d,
    "a+1": lambda: d + 1,
    "1-a": lambda: 1 - d,
    "a-1": lambda: d - 1,
    "a*2": lambda: d * 2,
    "a/2": lambda: d / 2,
    "2/a": lambda: 2 / d,
    "a**2": lambda: d**2,
    "a%2": lambda: d % 2,
    "2%a": lambda: 2 % d,
    "-a": lambda: -d,
    "a==b": lambda: d == d,
    "a>b": lambda: d > d,
    "a>1": lambda: d > 1,
    "a<=1": lambda: d <= 1,
    "a!=1": lambda: d != 1,
    "sum": lambda: mx.sym.sum(d),
    "sum_axis": lambda: mx.sym.sum_axis(d),
    "reshape": lambda: mx.sym.reshape(d, shape=(0, -1)),
    "d.reshape": lambda: d.reshape((0, -1)),
    "zeros": lambda: mx.sym.zeros((2, 2)),
    "arange": lambda: mx.sym.arange(3),
    "maximum(a,b)": lambda: mx.sym.maximum(d, d),
    "maximum(a,1)": lambda: mx.sym.maximum(d, 1),
    "hypot(a,b)": lambda: mx.sym.hypot(d, d),
    "pow(2,a)": lambda: mx.sym.pow(2, d),
    "ElementWiseSum": lambda: mx.sym.ElementWiseSum(d, d),
    "add_n": lambda: mx.sym.add_n(d, d),
    "contrib.box_nms": lambda: mx.sym.contrib.box_nms(d),
    "linalg.gemm2": lambda: mx.sym.linalg.gemm2(d, d),
    "random.uniform": lambda: mx.sym.random.uniform(0, 1, shape=(2,)),
    "Dropout": lambda: mx.sym.Dropout(d),
    "broadcast_add": lambda: mx.sym.broadcast_add(d, d),
    "identity": lambda: mx.sym.identity(d),
    "Softmax": lambda: mx.sym.Softmax(d),
    "RNN": lambda: mx.sym.RNN(d, state_size=2, num_layers=1, mode="lstm", state_outputs=True),
    "topk both": lambda: mx.sym.topk(d, ret_typ="both"),
    "BatchNorm": lambda: mx.sym.BatchNorm(d),
}
NAMES = json.loads((GOLDEN / "auto_names.json").read_text())


def test_every_automatic_name_is_tried():
    assert list(NAMES) == list(CALLS)


@pytest.fixture(scope="module")
def called():
    """All the calls in MXNet's order with one NameManager; None where the operator does not exist yet."""
    made = {}
    with mx.name.NameManager():
        for call, told in NAMES.items():
            made[call] = CALLS[call]() if told["op"] in REGISTRY else None
    return made


@pytest.mark.parametrize("call", NAMES)
def test_automatic_names_equal_those_of_mxnet(call, called):
    symbol, told = called[call], NAMES[call]
    if symbol is None:
        pytest.skip(f"needs the operator {told['op']}")
    assert symbol.name == told["name"]
    node = symbol._heads[0][0]
    assert node.op.name == told["op"]
    assert node.attrs == told["attrs"]
    assert symbol.list_outputs() == told["outputs"]
    assert symbol.list_arguments() == told["arguments"]


def test_name_managers_nest():
    with mx.name.NameManager():
        assert (d + d).name == "_plus0"
        with mx.name.NameManager():
            assert (d + d).name == "_plus0"
        assert (d + d).name == "_plus1"
        with mx.name.Prefix("net_"):
            assert (d + d).name == "net__plus0"
            assert mx.sym.exp(d, name="e").name == "net_e"
            assert mx.sym.Variable("v").name == "v"
        assert mx.name.NameManager.current.get(None, "x") == "x0"


def test_own_name_manager():
    class Loud(mx.name.NameManager):
        def get(self, name, hint):
            return super().get(name, hint).upper()

    with Loud():
        assert mx.sym.exp(d).name == "EXP0"


# ---- lists and indexing -------------------------------------------------------------------------------------------------


def test_lists():
    s = mlp()
    assert s.list_arguments() == ["data", "fc1_weight", "fc1_bias", "fc2_weight", "fc2_bias"]
    assert s.list_outputs() == ["fc2_output"]
    assert s.list_auxiliary_states() == []
    assert s.list_inputs() == s.list_arguments()
    assert s.name == "fc2"
    assert repr(s) == "<Symbol fc2>"


def test_internals_and_children():
    s = mlp()
    inside = s.get_internals()
    assert inside["fc1_output"].list_arguments() == ["data", "fc1_weight", "fc1_bias"]
    assert inside["relu1_output"].name == "relu1"
    assert s.get_children().list_outputs() == ["relu1_output", "fc2_weight", "fc2_bias"]
    assert mx.sym.Variable("x").get_children() is None
    with pytest.raises(GraphError, match="did you mean fc1_output"):
        inside["fc1_outptu"]


def test_group_index_iterate():
    a, b = mx.sym.Variable("a"), mx.sym.exp(mx.sym.Variable("b"), name="e")
    g = mx.sym.Group([a, b, mx.sym.SliceChannel(a, num_outputs=2, name="s")])
    assert g.name is None
    assert len(g) == 4
    assert g.list_outputs() == ["a", "e_output", "s_output0", "s_output1"]
    assert [s.name for s in g] == ["a", "e", "s", "s"]
    assert g[1].name == g["e_output"].name == "e"
    assert g[-1].list_outputs() == ["s_output1"]
    assert g[1:3].list_outputs() == ["e_output", "s_output0"]
    assert mx.sym.Group([g, a]).list_outputs()[-1] == "a"
    assert repr(g) == "<Symbol group [a, e, s, s]>"
    with pytest.raises(IndexError):
        g[4]
    with pytest.raises(TypeError):
        g[1.0]
    with pytest.raises(TypeError):
        mx.sym.Group([])
    with pytest.raises(GraphError, match="2 outputs called 'a'"):
        mx.sym.Group([a, a])["a"]


def test_split_symbol_has_a_name():
    assert mx.sym.SliceChannel(mx.sym.Variable("a"), num_outputs=2, name="s").name == "s"


# ---- composing ----------------------------------------------------------------------------------------------------------


def test_compose_by_name():
    top = mx.sym.FullyConnected(name="fc3", num_hidden=10)
    assert top.list_arguments() == ["fc3_data", "fc3_weight", "fc3_bias"]
    top = mx.sym.FullyConnected(mx.sym.Activation(top, act_type="relu"), name="fc4", num_hidden=20)
    composed = top(fc3_data=mlp(), name="composed")
    assert composed.list_arguments()[:4] == ["data", "fc1_weight", "fc1_bias", "fc2_weight"]
    assert composed.list_outputs() == ["composed_output"]
    assert top.list_outputs() == ["fc4_output"]
    assert "fc3_data" in top.list_arguments()
    with pytest.raises(GraphError, match="no variable 'nothing'"):
        top(nothing=mlp())


def test_compose_by_position():
    a, b = mx.sym.Variable("a"), mx.sym.Variable("b")
    s = a - b
    assert s(b, a).list_arguments() == ["b", "a"]
    assert s(mx.sym.exp(a, name="e")).list_arguments() == ["a", "b"]
    with pytest.raises(TypeError):
        s(a, b=b)
    with pytest.raises(GraphError):
        s(a, a, a)


def test_variables_are_shared_not_copied():
    w = mx.sym.Variable("w")
    x = mx.sym.FullyConnected(mx.sym.Variable("data"), weight=w, num_hidden=4, no_bias=True)
    x = mx.sym.FullyConnected(x, weight=w, num_hidden=4, no_bias=True)
    assert x.list_arguments() == ["data", "w"]


def test_methods_are_operators():
    x = mx.sym.Variable("x")
    assert x.exp().list_outputs()[0].startswith("exp")
    assert x.sum(axis=1, name="total").attr("axis") == "1"
    assert x.slice_axis(axis=0, begin=1, end=None).attr("end") == "None"
    assert x.reshape(2, -1).attr("shape") == "(2, -1)"
    assert x.reshape(shape=(2, -1)).attr("shape") == "(2, -1)"
    assert x.astype("float16").attr("dtype") == "float16"
    assert x.astype(np.float64).attr("dtype") == "float64"
    assert x.expand_dims(0, inplace=True).attr("axis") == "0"
    assert x.flatten().name.startswith("flatten")
    assert x.squeeze().attr("axis") is None
    assert len(x.split_v2(3)) == 3
    assert not hasattr(x, "no_such_operator")
    assert {"exp", "list_arguments"} <= set(dir(x))


def test_what_needs_values_says_so():
    x = mx.sym.Variable("x")
    for call in (
        x.asnumpy,
        x.asscalar,
        x.wait_to_read,
        x.backward,
        x.detach,
        lambda: bool(x),
        lambda: x.gradient(["x"]),
    ):
        with pytest.raises(NotImplementedForSymbol):
            call()
    with pytest.raises(MXNetError):
        bool(x == x)


def test_arithmetic_with_other_things():
    x = mx.sym.Variable("x")
    assert (x + np.float32(1.5)).attr("scalar") == "1.5"
    assert (True + x).attr("scalar") == "True"
    with pytest.raises(TypeError, match="do not go together"):
        x + "1"
    assert mx.sym.maximum(2, 3) == 3
    assert mx.sym.power(2, 3) == 8
    assert mx.sym.maximum(2, x).attr("scalar") == "2"
    x += 1
    assert x.list_arguments() == ["x"]


def test_creation():
    assert mx.sym.full((2,), 3).attr("value") == "3.0"
    assert mx.sym.eye(3, k=1).attr("k") == "1"
    assert mx.sym.linspace(0, 1, 5).attr("num") == "5"
    assert mx.sym.ones((2, 0), dtype="int32", name="o").attr_dict()["o"] == {"shape": "(2, 0)", "dtype": "int32"}
    assert mx.sym.zeros((0, 4), __layout__="NC", name="z").attr("__layout__") == "NC"
    assert mx.sym.split_v2(mx.sym.Variable("x"), (1, 3), axis=1).attr("indices") == "[0, 1, 3]"
    low, high = mx.sym.Variable("low"), mx.sym.Variable("high")
    assert mx.sym.random.uniform(low, high, shape=4).list_arguments() == ["low", "high"]
    assert mx.sym.random.randn(2, 3).attr("shape") == "(2, 3)"
    with pytest.raises(GraphError, match="all numbers or all Symbols"):
        mx.sym.random.uniform(low, 1)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2.0, "2.0"),
        (1e10, "10000000000.0"),
        (1e-5, "1e-05"),
        (np.float32(0.1), "0.1"),
        (np.int64(3), "3"),
        (np.bool_(True), "True"),
        ((3,), "(3,)"),
        ([1, 2], "[1, 2]"),
        ((np.int32(1), None), "(1, None)"),
        (np.array([1, 2]), "(1, 2)"),
        (None, "None"),
        (np.float16, "float16"),
        (np.dtype("int8"), "int8"),
    ],
)
def test_text_of_parameters(value, text):
    assert text_of(value) == text


# ---- attributes ---------------------------------------------------------------------------------------------------------


def test_variable_attributes():
    v = mx.sym.Variable(
        "v", shape=(2, 0), lr_mult=2, wd_mult=0.5, dtype="float16", init='["zero", {}]', stype="csr", __note__=1
    )
    assert v.list_attr() == {
        "__shape__": "(2, 0)",
        "__lr_mult__": "2",
        "lr_mult": "2",
        "__wd_mult__": "0.5",
        "wd_mult": "0.5",
        "__dtype__": "2",
        "__init__": '["zero", {}]',
        "__storage_type__": "2",
        "__note__": "1",
    }
    assert mx.sym.var("b", dtype=mx.base.bfloat16).attr("__dtype__") == "12"
    assert mx.sym.var("n", shape=(np.int64(3),)).attr("__shape__") == "(3,)"
    with pytest.raises(ValueError, match="__note__"):
        mx.sym.Variable("v", note=1)
    with pytest.raises(TypeError):
        mx.sym.Variable(3)
    with pytest.raises(ValueError, match="must be a string"):
        mx.sym.Variable("v", attr={"__a__": 1})


def test_attr_scope():
    with mx.AttrScope(__group__="4", __data__="great"):
        data = mx.sym.Variable("data", attr={"dtype": "data", "__group__": "1", "force_mirroring": "True"}, lr_mult=1)
        plain = mx.sym.Variable("data2")
        fc1 = mx.sym.Activation(data, act_type="relu")
        with mx.AttrScope(__init_bias__="0.0", __group__="5"):
            fc2 = mx.sym.FullyConnected(fc1, num_hidden=10, name="fc2")
    assert plain.attr("__group__") == "4"
    assert data.attr("__group__") == "1"
    assert data.attr("lr_mult") == data.attr("__lr_mult__") == "1"
    assert data.attr("force_mirroring") == data.attr("__force_mirroring__") == "True"
    assert fc1.attr("__data__") == "great"
    assert fc2.attr("__group__") == "5"
    assert fc2.get_internals()["fc2_weight"].attr("__init_bias__") == "0.0"
    assert mx.sym.Variable("x").list_attr() == {}
    assert mx.AttrScope.current.get(None) == {}
    with pytest.raises(ValueError, match="must be a string"):
        mx.AttrScope(group=4)


def test_attr_dict():
    data = mx.sym.Variable("data", attr={"mood": "angry"})
    op = mx.sym.FullyConnected(data, name="fc", num_hidden=1, attr={"__mood__": "so so"}, lr_mult=1)
    own = {"__mood__": "so so", "num_hidden": "1", "lr_mult": "1", "__lr_mult__": "1"}
    assert op.attr_dict() == {"data": {"mood": "angry"}, "fc_weight": own, "fc_bias": own, "fc": own}
    assert op.list_attr() == own
    assert op.attr("nothing") is None
    with pytest.raises(DeprecationWarning):
        op.list_attr(recursive=True)


def test_set_attr():
    v = mx.sym.Variable("v")
    before = v.copy()
    v._set_attr(__mood__="happy", lr_mult="2")
    assert v.list_attr() == {"__mood__": "happy", "__lr_mult__": "2", "lr_mult": "2"}
    assert before.list_attr() == {}


# ---- inference ----------------------------------------------------------------------------------------------------------


def test_infer_shape():
    s = mlp()
    args, outs, states = s.infer_shape(data=(5, 4))
    assert args == [(5, 4), (8, 4), (8,), (3, 8), (3,)]
    assert outs == [(5, 3)]
    assert states == []
    assert s.infer_shape((5, 4)) == (args, outs, states)


def test_infer_shape_backwards():
    a, b = mx.sym.Variable("a", shape=(0, 3)), mx.sym.Variable("b")
    assert (a + b).infer_shape(b=(2, 0)) == ([(2, 3), (2, 3)], [(2, 3)], [])


def test_infer_shape_incomplete():
    s = mlp()
    with pytest.warns(UserWarning, match="data: .*\n.*fc1_weight: .8, 0."):
        assert s.infer_shape() == (None, None, None)
    assert s.infer_shape_partial() == ([(), (8, 0), (8,), (3, 0), (3,)], [()], [])


def test_infer_shape_contradiction():
    with pytest.raises(ShapeError, match=r"FullyConnected\(fc1\).*weight"):
        mlp().infer_shape(data=(5, 4), fc1_weight=(8, 5))
    with pytest.raises(GraphError, match="no argument 'date'"):
        mlp().infer_shape(date=(5, 4))
    with pytest.raises(TypeError, match="must be a tuple"):
        mlp().infer_shape(data="5")


def test_infer_type():
    s = mlp()
    args, outs, _ = s.infer_type(data="float16")
    assert args == [np.float16] * 5
    assert outs == [np.float16]
    assert s.infer_type() == (None, None, None)
    assert s.infer_type_partial()[0] == [None] * 5
    assert mx.sym.Variable("x", dtype="int32").infer_type()[1] == [np.int32]
    assert s.astype("float64").infer_type(np.float32)[1] == [np.float64]


# ---- copies and running -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s)), mx.sym.Symbol.copy])
def test_copies(how):
    s = mlp()
    other = how(s)
    assert other is not s
    assert other.tojson() == s.tojson()
    assert hash(other) != hash(s)


def test_debug_str():
    text = mlp().debug_str()
    assert "output[0]=fc2(0)" in text
    assert "Op:FullyConnected, Name=fc1" in text
    assert "Variable:data" in text


def test_eval_bind_simple_bind():
    a, b = mx.sym.Variable("a"), mx.sym.Variable("b")
    (result,) = (a * 2 - b).eval(a=mx.nd.array([1, 2]), b=mx.nd.array([3, 5]))
    assert result.asnumpy().tolist() == [-1, -1]
    exe = (a * b).bind(mx.cpu(), {"a": mx.nd.array([2]), "b": mx.nd.array([3])})
    assert exe.forward()[0].asscalar() == 6
    exe = mlp().simple_bind(mx.cpu(), data=(2, 4))
    assert exe.forward()[0].shape == (2, 3)
    assert mlp().optimize_for("anything").list_outputs() == ["fc2_output"]


def test_errors_point_to_the_line_that_made_the_node():
    def build():
        x = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=4, name="first")
        return mx.sym.FullyConnected(x, num_hidden=4, name="second")

    line = build.__code__.co_firstlineno + 2
    with pytest.raises(mx.MXNetError, match=rf"second.*it was made at test_symbol\.py:{line}$"):
        build().infer_shape(data=(2, 3), second_weight=(5, 5))
