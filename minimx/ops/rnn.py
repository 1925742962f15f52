"""Recurrent layers: RNN is whole networks of them, made of one scan per layer and direction."""

from __future__ import annotations

from ..base import ITEM_SIZES, ShapeError
from ..graph import apply, apply_all
from ..op import Op, product, require, unify
from ..params import Bool, Enum, Float, Int, Shape
from .join import Concat

MODES = ("rnn_relu", "rnn_tanh", "lstm", "gru")
GATES = {"rnn_relu": 1, "rnn_tanh": 1, "lstm": 4, "gru": 3}


class _Recurrent(Op, abstract=True):
    mode = Enum(MODES, doc="what a unit is")


class RNN(_Recurrent):
    """Recurrent layers over `data` (time, batch, inputs), one upon the other.

    `parameters` holds the weights of all layers and directions (i2h, h2h), then their biases; `state` and, for lstm,
    `state_cell` are (layers x directions, batch, state_size). The first output is (time, batch, directions x state_size);
    with state_outputs the last states follow. Gates come as i, f, c, o (lstm) and r, z, n (gru).
    """

    inputs = ("data", "parameters", "state", "state_cell", "sequence_length")
    outputs = ("output", "state_output", "statecell_output")
    param_order = ("state_size", "num_layers", "bidirectional", "mode")
    state_size = Int(min=1, doc="units of a layer in one direction")
    num_layers = Int(min=1, doc="how many layers")
    bidirectional = Bool(False, doc="whether each layer also walks backwards in time")
    p = Float(0.0, doc="how much is dropped between layers in training", min=0, max=1)
    state_outputs = Bool(False, doc="whether the last states are outputs, too")
    projection_size = Int(None, doc="accepted for MXNet's sake; projections are not offered")
    lstm_state_clip_min = Float(None, doc="the least value of an lstm's cell")
    lstm_state_clip_max = Float(None, doc="the largest value of an lstm's cell")
    lstm_state_clip_nan = Bool(False, doc="whether a cell that is not a number becomes lstm_state_clip_min")
    use_sequence_length = Bool(False, doc="whether sequence_length says how many steps each example has")

    def input_names(self, p):
        return (
            *self.inputs[:3],
            *(("state_cell",) if p.mode == "lstm" else ()),
            *(("sequence_length",) if p.use_sequence_length else ()),
        )

    def output_names(self, p):
        return self.outputs[: 1 + p.state_outputs * (2 if p.mode == "lstm" else 1)]

    def complete_shapes(self, p, ins, outs):
        if p.projection_size is not None:
            raise ShapeError("projection_size is not offered; project the states by a FullyConnected layer")
        sides = 1 + p.bidirectional
        hidden, steps, batch = sides * p.state_size, -1, -1
        states = [*range(2, 4 if p.mode == "lstm" else 3)]
        for shape, axis in ((ins[0], 1), (outs[0], 1), *((ins[i], 1) for i in states), *((s, 1) for s in outs[1:])):
            if shape is not None:
                if len(shape) != 3:
                    raise ShapeError("data must have 3 dimensions (time, batch, inputs), as states have")
                batch = unify((batch,), shape[axis : axis + 1], "batch sizes")[0]
        if p.use_sequence_length:
            ins[-1] = unify(ins[-1], (batch,), "sequence_length must have one element per example:")
            batch = ins[-1][0]
        if outs[0] is not None:
            steps = outs[0][0]
        ins[0] = unify(ins[0], (steps, batch, -1), "data")
        for i in states:
            ins[i] = unify(ins[i], (p.num_layers * sides, batch, p.state_size), "states")
        outs[0] = unify(outs[0], (ins[0][0], batch, hidden), "output")
        if ins[0][2] >= 0:
            size = sum(product(s) for kind in pieces(p, ins[0][2]) for s in kind)
            require(ins, 1, "parameters", (size,))

    def output_shapes(self, p, ins):
        time, batch, _ = ins[0]
        return [(time, batch, (1 + p.bidirectional) * p.state_size), *ins[2:4]][: len(self.output_names(p))]

    def infer_types(self, p, ins, outs):
        count = 4 if p.mode == "lstm" else 3
        first = ins[:count]
        super().infer_types(p, first, outs)
        ins[:count] = first
        ins[count:] = [t or ins[0] for t in ins[count:]]

    def expand(self, p, node, train):
        data, parameters, state, *rest = node.inputs
        cell = rest[0] if p.mode == "lstm" else None
        length = rest[-1] if p.use_sequence_length else None
        sides = 1 + p.bidirectional
        weights, biases = pieces(p, data.shape[2])
        parts = split(parameters, [*weights, *biases])
        weights, biases = parts[: len(weights)], parts[len(weights) :]
        count = p.num_layers * sides
        states = _leading(state, count)
        cells = _leading(cell, count) if cell is not None else None
        value = data
        last, last_cells = [], []
        clip = {k: getattr(p, k) for k in ("lstm_state_clip_min", "lstm_state_clip_max", "lstm_state_clip_nan")}
        for layer in range(p.num_layers):
            if layer and p.p > 0 and train:
                value = apply("Dropout", [value], p=p.p)
            found = []
            for side in range(sides):
                k = layer * sides + side
                source = value
                if length is not None and side:
                    source = apply("SequenceReverse", [value, length], use_sequence_length=True)
                projection = apply(
                    "FullyConnected",
                    [source, weights[2 * k], biases[2 * k]],
                    num_hidden=GATES[p.mode] * p.state_size,
                    flatten=False,
                )
                begin = [states[k]] if cells is None else [states[k], cells[k]]
                reverse = bool(side) and length is None
                made = apply_all(
                    "_rnn_scan",
                    [projection, weights[2 * k + 1], biases[2 * k + 1], *begin],
                    mode=p.mode,
                    reverse=reverse,
                    **clip,
                )
                names = scan_outputs(p.mode)
                output = made[names.index("output")]
                final = [made[names.index("last")]]
                if cells is not None:
                    final.append(made[names.index("last_cell")])
                if length is not None:
                    final = self._at_ends(p, made, names, begin, length)
                    if side:
                        output = apply("SequenceReverse", [output, length], use_sequence_length=True)
                    output = apply("SequenceMask", [output, length], use_sequence_length=True)
                found.append(output)
                last.append(final[0])
                last_cells += final[1:]
            value = found[0] if sides == 1 else apply("Concat", found, dim=2)
        results = [value]
        if p.state_outputs:
            results.append(apply("stack", last, axis=0))
            if cells is not None:
                results.append(apply("stack", last_cells, axis=0))
        return results

    @staticmethod
    def _at_ends(p, made, names, begin, length):
        """The states after each example's own number of steps."""
        kinds = ("output", "cell_output") if p.mode == "lstm" else ("output",)
        return [apply("SequenceLast", [made[names.index(kind)], length], use_sequence_length=True) for kind in kinds]


def pieces(p, inputs):
    """Shapes of the pieces of the parameters: the weights (i2h, h2h of each layer and direction), and the biases."""
    sides, rows = 1 + p.bidirectional, GATES[p.mode] * p.state_size
    weights, biases = [], []
    for layer in range(p.num_layers):
        for _ in range(sides):
            weights += [(rows, sides * p.state_size if layer else inputs), (rows, p.state_size)]
            biases += [(rows,), (rows,)]
    return weights, biases


def split(value, shapes):
    """One flat array as several ones. Its gradient is a join, and the parts cost nothing."""
    starts, at = [], 0
    for shape in shapes:
        starts.append(at)
        at += product(shape)
    parts = apply_all("_split_v2", [value], indices=tuple(starts), axis=0)
    return [apply("Reshape", [v], shape=s) if len(s) > 1 else v for v, s in zip(parts, shapes, strict=True)]


def _leading(value, count):
    """The entries along the first axis."""
    if count == 1:
        return [apply("squeeze", [value], axis=(0,))]
    return apply_all("SliceChannel", [value], num_outputs=count, axis=0, squeeze_axis=True)


# ---- one layer in one direction ----------------------------------------------------------------------------------------


def kernel_of(mode):
    return mode if mode in ("lstm", "gru") else "plain"


def scan_outputs(mode):
    """First what the kernel makes, then parts of it under names of their own."""
    return {
        "lstm": ("gates", "hidden", "cells", "output", "last", "cell_output", "last_cell"),
        "gru": ("gates", "hidden", "products", "output", "last"),
        "plain": ("hidden", "output", "last"),
    }[kernel_of(mode)]


def scan_arguments(p, time, batch, hidden):
    clip = p.mode == "lstm" and not (p.lstm_state_clip_min is None and p.lstm_state_clip_max is None)
    return {
        "time": time,
        "batch": batch,
        "hidden": hidden,
        "reverse": int(p.reverse),
        "relu": int(p.mode == "rnn_relu"),
        "clip": int(clip),
        "clip_nan": int(p.lstm_state_clip_nan),
        "clip_min": float("-inf") if p.lstm_state_clip_min is None else p.lstm_state_clip_min,
        "clip_max": float("inf") if p.lstm_state_clip_max is None else p.lstm_state_clip_max,
    }


def scan_scratch(mode, hidden, dtype):
    elements = GATES[mode] * hidden * (hidden + 16)
    return (elements + 63) // 64 * 64 * max(4, ITEM_SIZES[dtype])


class _Scanning(_Recurrent, abstract=True):
    reverse = Bool(False, doc="whether time is walked backwards")
    lstm_state_clip_min = Float(None, doc="the least value of an lstm's cell")
    lstm_state_clip_max = Float(None, doc="the largest value of an lstm's cell")
    lstm_state_clip_nan = Bool(False, doc="whether a cell that is not a number becomes lstm_state_clip_min")


class Scan(_Scanning):
    """The steps of one recurrent layer, from the projections of its inputs (time, batch, gates x hidden).

    `hidden` (and the cells of an lstm) are the states before and after every step; `output` is those after them, `last` the
    one after the last.
    """

    name = "_rnn_scan"
    inputs = ("projection", "weight", "bias", "state", "cell")

    def input_names(self, p):
        return self.inputs if p.mode == "lstm" else self.inputs[:4]

    def output_names(self, p):
        return scan_outputs(p.mode)

    def output_shapes(self, p, ins):
        gates, (time, batch, _), (_, hidden) = GATES[p.mode], ins[0], ins[1]
        wanted = [(time, batch, gates * hidden), (gates * hidden, hidden), (gates * hidden,), (batch, hidden)]
        if ins != [*wanted, *wanted[3:] * (p.mode == "lstm")]:
            raise ShapeError(f"inputs must have shapes {', '.join(map(str, wanted))}")
        states = (time + 1, batch, hidden)
        shapes = {"gates": ins[0], "hidden": states, "cells": states, "products": (time, batch, hidden)}
        shapes |= {"output": (time, batch, hidden), "cell_output": (time, batch, hidden)}
        return [shapes.get(name, (batch, hidden)) for name in self.output_names(p)]

    def gradient(self, p, node, grads):
        names = self.output_names(p)
        value, grad = dict(zip(names, node.outputs, strict=True)), dict(zip(names, grads, strict=True))
        projection, weight, bias, state = node.inputs[:4]
        time, batch, _ = projection.shape
        if time == 0:
            return [None, None, None, grad["last"], grad.get("last_cell")]
        arriving = [grad["output"], grad["last"]]
        if p.mode == "lstm":
            arriving += [grad["last_cell"], grad["cell_output"]]
        kept = [value[name] for name in _kept(p.mode)]
        found = apply_all(
            "_rnn_scan_grad",
            [*[g for g in arriving if g is not None], weight, *kept],
            **p._asdict(),
            given=[int(g is not None) for g in arriving],
        )
        d_projection, d_product = found[0], found[1 if p.mode == "gru" else 0]
        first = int(p.reverse)
        before = apply("slice_axis", [value["hidden"]], axis=0, begin=first, end=first + time)
        rows, hidden = weight.shape
        d_weight = apply("_gemm", [d_product, before], m=rows, n=hidden, k=time * batch, transpose_a=True)
        d_states = found[2 if p.mode == "gru" else 1 :]
        return [d_projection, d_weight, apply("sum", [d_product], axis=(0, 1)), *d_states]

    def lower(self, p, node, emit):
        projection, weight = node.inputs[:2]
        (time, batch, _), hidden = projection.shape, weight.shape[1]
        names = self.output_names(p)
        outputs = dict(zip(names, node.outputs, strict=True))
        made = [v for n, v in outputs.items() if n in ("gates", "hidden", "cells", "products")]
        emit(
            f"rnn_{kernel_of(p.mode)}",
            projection.dtype,
            scan_arguments(p, time, batch, hidden),
            node.inputs,
            made,
            scratch=scan_scratch(p.mode, hidden, projection.dtype),
            inplace=[0] if "gates" in outputs else [],
        )
        row = batch * hidden * ITEM_SIZES[projection.dtype]
        for source, whole, last in (("hidden", "output", "last"), ("cells", "cell_output", "last_cell")):
            if source in outputs:
                emit.alias(outputs[whole], outputs[source], 0 if p.reverse else row)
                emit.alias(outputs[last], outputs[source], 0 if p.reverse else time * row)


def _kept(mode):
    """What the gradient kernel reads of what the forward kernel made."""
    return {"lstm": ("gates", "cells"), "gru": ("gates", "hidden", "products"), "plain": ("hidden",)}[kernel_of(mode)]


class ScanGrad(_Scanning):
    """What the projections, the recurrent products (for gru) and the first states of `_rnn_scan` get. `given` says which
    of its outputs something arrives at: output, last, and for lstm last_cell, cell_output."""

    name = "_rnn_scan_grad"
    inputs = ("d_output", "d_last", "d_last_cell", "d_cell_output", "weight", "gates", "hidden", "cells", "products")
    given = Shape(doc="for each of the outputs 1 if its gradient is among the inputs, else 0", min=0)

    def input_names(self, p):
        arriving = [n for n, given in zip(self.inputs[:4], p.given, strict=False) if given]
        return (*arriving, "weight", *_kept(p.mode))

    def output_names(self, p):
        return (
            "d_projection",
            *(("d_product",) if p.mode == "gru" else ()),
            "d_state",
            *(("d_cell",) if p.mode == "lstm" else ()),
        )

    def output_shapes(self, p, ins):
        shapes = dict(zip(self.input_names(p), ins, strict=True))
        time, batch, hidden = shapes["cells" if p.mode == "lstm" else "hidden"]
        gates = (time - 1, batch, GATES[p.mode] * hidden)
        if shapes["weight"] != (gates[2], hidden) or shapes.get("gates", gates) != gates:
            raise ShapeError(f"weight must have shape {(gates[2], hidden)} and gates {gates}")
        return [gates if name in ("d_projection", "d_product") else (batch, hidden) for name in self.output_names(p)]

    def lower(self, p, node, emit):
        values = dict(zip(self.input_names(p), node.inputs, strict=True))
        time, batch, hidden = values["cells" if p.mode == "lstm" else "hidden"].shape
        dtype = node.outputs[0].dtype
        arriving = [values.get(n) for n in self.inputs[: 4 if p.mode == "lstm" else 2]]
        emit(
            f"rnn_{kernel_of(p.mode)}_grad",
            dtype,
            scan_arguments(p, time - 1, batch, hidden),
            [*arriving, values["weight"], *(values[n] for n in _kept(p.mode))],
            node.outputs,
            scratch=scan_scratch(p.mode, hidden, dtype),
        )


class ParamConcat(Concat):
    """Joins the pieces of a recurrent network's parameters."""

    name = "_rnn_param_concat"
    aliases = ()
