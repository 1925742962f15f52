"""Cells of mx.rnn: the symbols they unroll to are MXNet's, and fused and simple cells compute the same."""

import hashlib
import json
import warnings
from pathlib import Path

import numpy as np
import pytest

import minimx as mx

R = mx.rnn
# Case -> digest of the symbol file that MXNet 1.9.1 wrote for it, without node_row_ptr.
DIGESTS = json.loads((Path(__file__).parent / "golden/rnn/cells.json").read_text())


def stack():
    cell = R.SequentialRNNCell()
    cell.add(R.LSTMCell(4, prefix="l0_"))
    cell.add(R.DropoutCell(0.5))
    cell.add(R.ResidualCell(R.GRUCell(4)))
    cell.add(R.ZoneoutCell(R.LSTMCell(4, prefix="z_"), 0.2, 0.3))
    return cell


def fused(mode, both, prefix="q_"):
    prefix = None if both else prefix
    return R.FusedRNNCell(4, 2, mode, both, dropout=0.3, get_next_state=both, prefix=prefix)


CELLS = {
    "rnn": lambda: R.RNNCell(4),
    "rnnrelu": lambda: R.RNNCell(4, activation="relu", prefix="x_"),
    "lstm": lambda: R.LSTMCell(4, forget_bias=2.0),
    "gru": lambda: R.GRUCell(4),
    "seq": stack,
    "bi": lambda: R.BidirectionalCell(R.LSTMCell(4, prefix="a_"), R.GRUCell(4, prefix="b_")),
    "residual fused": lambda: R.ResidualCell(R.FusedRNNCell(4, 1, "lstm")),
}
MODES = ("rnn_relu", "rnn_tanh", "lstm", "gru")
for mode in MODES:
    for both in (False, True):
        CELLS[f"fused {mode} {both}"] = lambda mode=mode, both=both: fused(mode, both)
        CELLS[f"unfused {mode} {both}"] = lambda mode=mode, both=both: R.FusedRNNCell(
            4, 2, mode, both, dropout=0.3
        ).unfuse()


def flat(value):
    return [w for v in value for w in flat(v)] if isinstance(value, (list, tuple)) else [value]


def digest(symbol):
    document = json.loads(symbol.tojson())
    del document["node_row_ptr"]
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:16]


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.filterwarnings("ignore:FusedRNNCell")
def test_unrolled_symbols_are_those_of_mxnet(name):
    for layout in ("NTC", "TNC"):
        for merge in (None, True, False):
            for listed in (False, True):
                with mx.name.NameManager():
                    steps = [mx.sym.Variable(f"t{i}") for i in range(3)] if listed else mx.sym.Variable("data")
                    outputs, states = CELLS[name]().unroll(3, steps, layout=layout, merge_outputs=merge)
                    symbol = mx.sym.Group([*flat(outputs if isinstance(outputs, list) else [outputs]), *flat(states)])
                case = f"{name} {layout} {merge} {listed}"
                assert digest(symbol) == DIGESTS[case], f"{case}:\n{symbol.tojson()}"


@pytest.mark.parametrize("name", ["ConvRNN", "ConvLSTM", "ConvGRU"])
def test_convolutional_cells_are_those_of_mxnet(name):
    cell = getattr(R, f"{name}Cell")((1, 3, 8, 8), 4)
    with mx.name.NameManager():
        outputs, states = cell.unroll(2, [mx.sym.Variable(f"t{i}") for i in range(2)])
        assert digest(mx.sym.Group([*outputs, *states])) == DIGESTS[name]
    executor = mx.sym.Group(outputs).simple_bind(mx.cpu(), t0=(2, 3, 8, 8), t1=(2, 3, 8, 8))
    assert [o.shape for o in executor.forward()] == [(2, 4, 8, 8)] * 2


def run(symbol, args, shapes, train=True):
    executor = symbol.simple_bind(mx.cpu(), grad_req="write", **shapes)
    executor.copy_params_from(args, allow_extra_params=True)
    outputs = [o.asnumpy() for o in executor.forward(is_train=train)]
    executor.backward([mx.nd.array(np.cos(np.arange(o.size)).reshape(o.shape)) for o in outputs])
    return outputs, executor.grad_dict


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("both", [False, True])
def test_unfused_cells_compute_what_fused_ones_do(mode, both):
    cell = R.FusedRNNCell(3, 2, mode, both, prefix="f_", get_next_state=True)
    data = np.random.default_rng(0).uniform(-1, 1, (4, 2, 5)).astype("float32")
    symbol, _ = cell.unroll(4, mx.sym.Variable("data"), layout="TNC", merge_outputs=True)
    shapes = dict(zip(symbol.list_arguments(), symbol.infer_shape(data=data.shape)[0], strict=True))
    (size,) = shapes["f_parameters"]
    whole = mx.nd.array(np.random.default_rng(1).uniform(-0.5, 0.5, size))
    args = {"f_parameters": whole, "data": mx.nd.array(data)}
    (first,), slopes = run(symbol, args, {"data": data.shape})

    simple = cell.unfuse()
    unpacked = cell.unpack_weights({"f_parameters": whole})
    packed = simple.pack_weights(unpacked)
    steps, _ = simple.unroll(4, mx.sym.Variable("data"), layout="TNC", merge_outputs=True)
    (second,), simple_slopes = run(steps, {**packed, "data": mx.nd.array(data)}, {"data": data.shape})
    np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(slopes["data"].asnumpy(), simple_slopes["data"].asnumpy(), rtol=1e-4, atol=1e-6)
    own = simple.unpack_weights({k: v for k, v in simple_slopes.items() if k in packed})
    back = cell.pack_weights(own)["f_parameters"].asnumpy()
    np.testing.assert_allclose(slopes["f_parameters"].asnumpy(), back, rtol=1e-4, atol=1e-5)
    again = cell.pack_weights(simple.unpack_weights(packed))
    np.testing.assert_array_equal(again["f_parameters"].asnumpy(), whole.asnumpy())


def test_shared_parameters():
    shared = R.RNNParams("own_")
    first, second = R.LSTMCell(4, prefix="own_", params=shared), R.LSTMCell(4, prefix="own_", params=shared)
    a, _ = first(mx.sym.Variable("a"), first.begin_state())
    b, _ = second(mx.sym.Variable("b"), second.begin_state())
    weights = [n for n in mx.sym.Group([a, b]).list_arguments() if n.startswith("own_")]
    assert sorted(weights) == ["own_h2h_bias", "own_h2h_weight", "own_i2h_bias", "own_i2h_weight"]
    with pytest.raises(mx.MXNetError, match="not to both"):
        both = R.SequentialRNNCell(params=R.RNNParams("x_"))
        both.add(first)


def test_modified_cells_refuse_their_own_states():
    inner = R.LSTMCell(4)
    outer = R.ResidualCell(inner)
    with pytest.raises(mx.MXNetError, match="modifier"):
        inner.begin_state()
    assert len(outer.begin_state()) == 2
    assert len(outer.begin_state(func=mx.sym.ones)) == 2
    with pytest.raises(mx.MXNetError, match="unfuse"):
        R.ZoneoutCell(R.FusedRNNCell(4))
    with pytest.raises(mx.MXNetError, match="3 steps"):
        R.LSTMCell(4).unroll(3, [mx.sym.Variable("a")])
    with pytest.raises(mx.MXNetError, match="mode must be"):
        R.FusedRNNCell(4, mode="elman")


def test_zoneout_keeps_the_step_before():
    cell = R.ZoneoutCell(R.RNNCell(8), zoneout_outputs=0.5)
    outputs, _ = cell.unroll(2, [mx.sym.Variable("a"), mx.sym.Variable("b")])
    executor = mx.sym.Group(outputs).simple_bind(mx.cpu(), a=(64, 5), b=(64, 5))
    for array in executor.arg_arrays:
        array[:] = np.random.default_rng(array.size).uniform(-1, 1, array.shape)
    first, second = (o.asnumpy() for o in executor.forward(is_train=True))
    assert 0.35 < (first == 0).mean() < 0.65
    assert 0.35 < (second == first).mean() < 0.65


def test_initializer_of_fused_cells():
    cell = R.FusedRNNCell(4, 2, "lstm", True, forget_bias=3.0)
    symbol, _ = cell.unroll(3, mx.sym.Variable("data"), layout="TNC", merge_outputs=True)
    attributes = symbol.attr_dict()["lstm_parameters"]
    size = dict(zip(symbol.list_arguments(), symbol.infer_shape(data=(3, 2, 5))[0], strict=True))["lstm_parameters"]
    array = mx.nd.zeros(size)
    mx.init.Xavier()(mx.init.InitDesc("lstm_parameters", attributes, global_init=mx.init.Xavier()), array)
    parts = cell.unpack_weights({"lstm_parameters": array})
    for name, part in parts.items():
        if name.endswith("_f_bias"):
            assert (part.asnumpy() == 3).all()
        elif name.endswith("bias"):
            assert (part.asnumpy() == 0).all()
        else:
            assert part.asnumpy().std() > 0


def test_checkpoints_hold_gates(tmp_path):
    cell = R.FusedRNNCell(3, 1, "gru", prefix="g_")
    symbol, _ = cell.unroll(2, mx.sym.Variable("data"), layout="TNC", merge_outputs=True)
    args = {"g_parameters": mx.nd.arange(3 * 3 * (5 + 3 + 2))}
    save = R.do_rnn_checkpoint(cell, str(tmp_path / "net"), period=2)
    save(0, symbol, args, {})
    save(1, symbol, args, {})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["net-0002.params", "net-symbol.json"]
    assert "arg:g_l0_h2h_z_weight" in mx.nd.load(str(tmp_path / "net-0002.params"))
    simple = cell.unfuse()
    _, packed, _ = R.load_rnn_checkpoint(simple, str(tmp_path / "net"), 2)
    assert sorted(packed) == ["g_l0_h2h_bias", "g_l0_h2h_weight", "g_l0_i2h_bias", "g_l0_i2h_weight"]
    _, again, _ = R.load_rnn_checkpoint(cell, str(tmp_path / "net"), 2)
    np.testing.assert_array_equal(again["g_parameters"].asnumpy(), args["g_parameters"].asnumpy())


def test_unroll_with_inputs_of_its_own():
    outputs, states = R.rnn_unroll(R.LSTMCell(4), 2, input_prefix="x_")
    assert mx.sym.Group(outputs).list_arguments()[0] == "x_t0_data"
    assert len(states) == 2


def test_fused_cells_warn_of_the_slower_layout():
    with pytest.warns(UserWarning, match="TNC"):
        R.FusedRNNCell(4).unroll(2, mx.sym.Variable("data"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        R.FusedRNNCell(4).unroll(2, mx.sym.Variable("data"), layout="TNC")
