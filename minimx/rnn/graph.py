"""Whole recurrent networks as the R front end builds them, with its names: what `rnn.graph` and `rnn.graph.unroll` gave.

Arrays are in the order of this front end: data are (batch, time[, features]).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import symbol as sym
from ..base import GraphError
from ..symbol import Symbol

CONFIGS = ("seq-to-one", "one-to-one")
LOSSES = ("softmax", "linear", "logistic", "MAE")
Variable = sym.Variable


def rnn_graph(
    num_rnn_layer: int,
    input_size: int | None = None,
    num_embed: int | None = None,
    num_hidden: int = 1,
    num_decode: int | None = None,
    dropout: float = 0,
    ignore_label: int = -1,
    bidirectional: bool = False,
    loss_output: str | None = None,
    config: str = "one-to-one",
    cell_type: str = "lstm",
    masking: bool = False,
    output_last_state: bool = False,
    rnn_state: Symbol | None = None,
    rnn_state_cell: Symbol | None = None,
    prefix: str = "",
) -> Symbol:
    """A network of fused recurrent layers: embedding of `input_size` words (with num_embed), RNN, one prediction for the
    whole sequence ("seq-to-one") or one for each step ("one-to-one"), and a loss. Without `loss_output` it ends with the
    hidden states.

    Its variables are data, label, seq.mask (with masking), embed.weight, rnn.params.weight, rnn.state, rnn.state.cell,
    cls.weight and cls.bias.
    """
    _check(config, loss_output, num_decode)
    data = Variable("data")
    if num_embed is not None:
        weight = Variable("embed.weight")
        data = sym.Embedding(data, weight=weight, input_dim=input_size, output_dim=num_embed, name="embed")
    data = sym.swapaxes(data, dim1=0, dim2=1, name=f"{prefix}swap_pre")
    parameters = Variable("rnn.params.weight")
    states = {"state": Variable("rnn.state") if rnn_state is None else rnn_state}
    if cell_type == "lstm":
        states["state_cell"] = Variable("rnn.state.cell") if rnn_state_cell is None else rnn_state_cell
    hidden = sym.RNN(
        data=data,
        parameters=parameters,
        state_size=num_hidden,
        num_layers=num_rnn_layer,
        bidirectional=bidirectional,
        mode=cell_type,
        state_outputs=output_last_state,
        p=dropout,
        name=f"{prefix}RNN",
        **states,
    )[0]
    hidden = _masked(hidden, config, masking, f"{prefix}swap_post")
    decode = "decode" if config == "seq-to-one" else f"{prefix}decode"
    return _decoded(hidden, config, "label", num_decode, loss_output, ignore_label, decode)


def _check(config: str, loss_output: str | None, num_decode: int | None) -> None:
    if config not in CONFIGS:
        raise GraphError(f"rnn_graph: config must be one of {', '.join(CONFIGS)}, got {config!r}")
    if loss_output is not None and loss_output not in LOSSES:
        raise GraphError(f"rnn_graph: loss_output must be one of {', '.join(LOSSES)}, or None, got {loss_output!r}")
    if loss_output is not None and num_decode is None:
        raise GraphError("rnn_graph: num_decode (the number of predictions) is missing")


def _masked(hidden: Symbol, config: str, masking: bool, name: str) -> Symbol:
    """From (time, batch, hidden) the last step, or (batch, time, hidden) with zeros behind the end of each sequence."""
    use: dict[str, Any] = {"use_sequence_length": masking}
    if masking:
        use["sequence_length"] = Variable("seq.mask")
    if config == "seq-to-one":
        return sym.SequenceLast(hidden, name="mask", **use)
    if masking:
        hidden = sym.SequenceMask(hidden, value=0, name="mask", **use)
    else:
        hidden = sym.identity(hidden, name="mask")
    return sym.swapaxes(hidden, dim1=0, dim2=1, name=name)


def _decoded(
    hidden: Symbol,
    config: str,
    label_name: str,
    num_decode: int | None,
    loss_output: str | None,
    ignore_label: int,
    name: str,
) -> Symbol:
    """The predictions with their loss, if there is one."""
    if loss_output is None:
        return hidden
    label = Variable(label_name)
    if config == "one-to-one":
        hidden = sym.reshape(hidden, shape=(-1, 0), reverse=True)
        label = sym.reshape(label, shape=(-1,))
    weight, bias = Variable("cls.weight"), Variable("cls.bias")
    decode = sym.FullyConnected(hidden, weight=weight, bias=bias, num_hidden=num_decode, name=name)
    if loss_output == "softmax":
        use = ignore_label != -1
        return sym.SoftmaxOutput(decode, label=label, use_ignore=use, ignore_label=ignore_label, name="loss")
    losses: dict[str, Callable[..., Symbol]] = {
        "linear": sym.LinearRegressionOutput,
        "logistic": sym.LogisticRegressionOutput,
        "MAE": sym.MAERegressionOutput,
    }
    return losses[loss_output](decode, label=label, name="loss")


# ---- unrolled ------------------------------------------------------------------------------------------------------------

State = tuple[Symbol, ...]


class _Lstm:
    """Gates in the order i, c, f, o."""

    def __init__(self, hidden: int, prefix: str):
        self.hidden = hidden
        self.i2h = Variable(f"{prefix}.i2h.weight"), Variable(f"{prefix}.i2h.bias")
        self.h2h = Variable(f"{prefix}.h2h.weight"), Variable(f"{prefix}.h2h.bias")

    def step(self, x: Symbol, state: State | None, name: str) -> State:
        gates = _product(x, self.i2h, 4 * self.hidden, f"{name}.i2h")
        if state is not None:
            gates = gates + _product(state[0], self.h2h, 4 * self.hidden, f"{name}.h2h")
        parts = sym.split(gates, num_outputs=4, axis=1, squeeze_axis=False, name=f"{name}.slice")
        keep, value = _sigmoid(parts[0]), _tanh(parts[1])
        forget, show = _sigmoid(parts[2]), _sigmoid(parts[3])
        cell = keep * value if state is None else forget * state[1] + keep * value
        return show * _tanh(cell), cell


class _Gru:
    """One product for the gates (update, reset), another for the candidate."""

    def __init__(self, hidden: int, prefix: str):
        self.hidden = hidden
        self.gates_i2h = Variable(f"{prefix}.gates.i2h.weight"), Variable(f"{prefix}.gates.i2h.bias")
        self.gates_h2h = Variable(f"{prefix}.gates.h2h.weight"), Variable(f"{prefix}.gates.h2h.bias")
        self.trans_i2h = Variable(f"{prefix}.trans.i2h.weight"), Variable(f"{prefix}.trans.i2h.bias")
        self.trans_h2h = Variable(f"{prefix}.trans.h2h.weight"), Variable(f"{prefix}.trans.h2h.bias")

    def step(self, x: Symbol, state: State | None, name: str) -> State:
        gates = _product(x, self.gates_i2h, 2 * self.hidden, f"{name}.gates.i2h")
        if state is not None:
            gates = gates + _product(state[0], self.gates_h2h, 2 * self.hidden, f"{name}.gates.h2h")
        parts = sym.split(gates, num_outputs=2, axis=1, squeeze_axis=False, name=f"{name}.split")
        update, reset = _sigmoid(parts[0]), _sigmoid(parts[1])
        kept = reset * 0 if state is None else reset * state[0]
        value = _product(x, self.trans_i2h, self.hidden, f"{name}.trans.i2h")
        value = _tanh(value + _product(kept, self.trans_h2h, self.hidden, f"{name}.trans.h2h"))
        return (update * value if state is None else state[0] + update * (value - state[0]),)


def _product(x: Symbol, parameters: tuple[Symbol, Symbol], rows: int, name: str) -> Symbol:
    return sym.FullyConnected(x, weight=parameters[0], bias=parameters[1], num_hidden=rows, name=name)


def _sigmoid(x: Symbol) -> Symbol:
    return sym.Activation(x, act_type="sigmoid")


def _tanh(x: Symbol) -> Symbol:
    return sym.Activation(x, act_type="tanh")


CELLS: dict[str, Any] = {"lstm": _Lstm, "gru": _Gru}


def rnn_graph_unroll(
    num_rnn_layer: int,
    seq_len: int,
    input_size: int | None = None,
    num_embed: int | None = None,
    num_hidden: int = 1,
    num_decode: int | None = None,
    dropout: float = 0,
    ignore_label: int = -1,
    loss_output: str | None = None,
    init_state: Any = None,
    config: str = "one-to-one",
    cell_type: str = "lstm",
    masking: bool = False,
    output_last_state: bool = False,
    prefix: str = "",
    data_name: str = "data",
    label_name: str = "label",
) -> Symbol:
    """The same network from simple operators, step by step. With output_last_state it also has the last states of every
    layer as outputs and begins with variables `init_<prefix><layer>_h` (and `_c`); else it begins without a state."""
    _check(config, loss_output, num_decode)
    if cell_type not in CELLS:
        raise GraphError(f"rnn_graph_unroll: cell_type must be one of {', '.join(CELLS)}, got {cell_type!r}")
    data = sym.swapaxes(Variable(data_name), dim1=0, dim2=1, name=f"{prefix}swap_pre")
    if num_embed is not None:
        weight = Variable("embed.weight")
        data = sym.Embedding(data, weight=weight, input_dim=input_size, output_dim=num_embed, name=f"{prefix}embed")
    split = sym.split(data, axis=0, num_outputs=seq_len, squeeze_axis=True)
    steps: list[Symbol] = list(split)
    states: list[Symbol] = []
    for layer in range(1, num_rnn_layer + 1):
        cell = CELLS[cell_type](num_hidden, f"{prefix}l{layer}")
        state: State | None = None
        if init_state is not None or output_last_state:
            kinds = ("h", "c") if cell_type == "lstm" else ("h",)
            state = tuple(Variable(f"init_{prefix}{layer}_{kind}") for kind in kinds)
        outputs = []
        for t, x in enumerate(steps, start=1):
            if layer > 1 and dropout > 0:
                x = sym.Dropout(x, p=dropout)
            state = cell.step(x, state, f"{prefix}t{t}.l{layer}")
            outputs.append(state[0])
        steps = outputs
        states += state or ()
    hidden = sym.concat(*steps, dim=0, num_args=seq_len, name=f"{prefix}concat")
    hidden = sym.reshape(hidden, shape=(seq_len, -1, num_hidden), name=f"{prefix}rnn_reshape")
    hidden = _masked(hidden, config, masking, f"{prefix}swap_post")
    result = _decoded(hidden, config, label_name, num_decode, loss_output, ignore_label, f"{prefix}decode")
    return sym.Group([result, *states]) if output_last_state else result
