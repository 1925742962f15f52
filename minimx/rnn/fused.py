"""FusedRNNCell: whole layers as one RNN operator."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .. import initializer
from .. import ndarray as nd
from .. import symbol as sym
from ..base import GraphError, ShapeError
from ..ops.rnn import MODES
from ..symbol import Symbol
from .cell import (
    Arrays,
    BaseRNNCell,
    Begin,
    GRUCell,
    LSTMCell,
    RNNCell,
    RNNParams,
    Unrolled,
    arranged,
    merged,
    time_axis,
)
from .combined import BidirectionalCell, DropoutCell, SequentialRNNCell


class FusedRNNCell(BaseRNNCell):
    """Layers of cells, one upon the other, computed by one operator. It cannot be stepped, only unrolled.

    All parameters are one array. `get_next_state` asks for the last states as well; `forget_bias` is what each bias of the
    forget gates of an lstm starts with.
    """

    def __init__(
        self,
        num_hidden: int,
        num_layers: int = 1,
        mode: str = "lstm",
        bidirectional: bool = False,
        dropout: float = 0.0,
        get_next_state: bool = False,
        forget_bias: float = 1.0,
        prefix: str | None = None,
        params: RNNParams | None = None,
    ):
        if mode not in MODES:
            raise GraphError(f"FusedRNNCell: mode must be one of {', '.join(MODES)}, got {mode!r}")
        super().__init__(prefix=f"{mode}_" if prefix is None else prefix, params=params)
        self._num_hidden = num_hidden
        self._num_layers = num_layers
        self._mode = mode
        self._gate_names = initializer.FusedRNN.gates[mode]
        self._bidirectional = bidirectional
        self._dropout = dropout
        self._get_next_state = get_next_state
        self._directions = ["l", "r"] if bidirectional else ["l"]
        init = initializer.FusedRNN(None, num_hidden, num_layers, mode, bidirectional, forget_bias)
        self._parameter = self.params.get("parameters", init=init)

    @property
    def state_info(self) -> list[dict[str, Any]]:
        shape = (len(self._directions) * self._num_layers, 0, self._num_hidden)
        return [{"shape": shape, "__layout__": "LNC"} for _ in range(2 if self._mode == "lstm" else 1)]

    def _pieces(self, inputs: int) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Names and shapes of what the parameter is made of, in its order."""
        hidden, sides = self._num_hidden, len(self._directions)
        for kind in ("weight", "bias"):
            for layer in range(self._num_layers):
                for side in self._directions:
                    for source, width in (("i2h", sides * hidden if layer else inputs), ("h2h", hidden)):
                        for gate in self._gate_names:
                            name = f"{self._prefix}{side}{layer}_{source}{gate}_{kind}"
                            yield name, (hidden, width) if kind == "weight" else (hidden,)

    def unpack_weights(self, args: Mapping[str, Any]) -> Arrays:
        args = dict(args)
        whole = args.pop(self._parameter.name)
        hidden, sides = self._num_hidden, len(self._directions)
        per_unit, rest = divmod(whole.size, sides * hidden * len(self._gate_names))
        inputs = per_unit - (self._num_layers - 1) * (hidden + sides * hidden + 2) - hidden - 2
        if rest or inputs < 1:
            raise ShapeError(
                f"unpack_weights: {self._parameter.name} has {whole.size} elements, which fit no input size"
            )
        at = 0
        for name, shape in self._pieces(inputs):
            size = shape[0] * (shape[1] if len(shape) > 1 else 1)
            args[name] = whole[at : at + size].reshape(shape).copy()
            at += size
        return args

    def pack_weights(self, args: Mapping[str, Any]) -> Arrays:
        args = dict(args)
        inputs = args[f"{self._prefix}l0_i2h{self._gate_names[0]}_weight"].shape[1]
        parts = []
        for name, shape in self._pieces(inputs):
            part = args.pop(name)
            if part.shape != shape:
                raise ShapeError(f"pack_weights: {name} must have shape {shape}, got {part.shape}")
            parts.append(part.reshape((-1,)))
        args[self._parameter.name] = nd.concatenate(parts)
        return args

    def __call__(self, inputs: Symbol, states: Sequence[Symbol]) -> tuple[Symbol, list[Symbol]]:
        raise NotImplementedError("a FusedRNNCell cannot be stepped; use unroll, or unfuse() it")

    def _unroll(self, length: int, inputs: Any, begin: Begin, layout: str, merge: bool | None) -> Unrolled:
        inputs = merged(length, inputs, layout)
        turned = time_axis(layout) == 1
        if turned:
            warnings.warn("FusedRNNCell: the layout TNC would spare turning inputs and outputs around", stacklevel=2)
            inputs = sym.swapaxes(inputs, dim1=0, dim2=1)
        states = list(self.begin_state() if begin is None else begin)
        rnn = sym.RNN(
            data=inputs,
            parameters=self._parameter,
            state_size=self._num_hidden,
            num_layers=self._num_layers,
            bidirectional=self._bidirectional,
            p=self._dropout,
            state_outputs=self._get_next_state,
            mode=self._mode,
            name=f"{self._prefix}rnn",
            attr={"__layout__": "LNC"} if self._get_next_state else None,
            **dict(zip(("state", "state_cell"), states, strict=False)),
        )
        outputs, states = rnn[0], [rnn[i] for i in range(1, len(rnn))]
        if turned:
            outputs = sym.swapaxes(outputs, dim1=0, dim2=1)
        return arranged(length, outputs, layout, merge), states

    def unfuse(self) -> SequentialRNNCell:
        """The same layers as simple cells, which can be stepped; `unpack_weights` and `pack_weights` carry weights over."""
        stack = SequentialRNNCell()
        for layer in range(self._num_layers):
            cells = [self._simple_cell(f"{self._prefix}{side}{layer}_") for side in self._directions]
            if self._bidirectional:
                stack.add(BidirectionalCell(*cells, output_prefix=f"{self._prefix}bi_l{layer}_"))
            else:
                stack.add(cells[0])
            if self._dropout > 0 and layer != self._num_layers - 1:
                stack.add(DropoutCell(self._dropout, prefix=f"{self._prefix}_dropout{layer}_"))
        return stack

    def _simple_cell(self, prefix: str) -> BaseRNNCell:
        if self._mode == "lstm":
            return LSTMCell(self._num_hidden, prefix=prefix)
        if self._mode == "gru":
            return GRUCell(self._num_hidden, prefix=prefix)
        return RNNCell(self._num_hidden, activation=self._mode.removeprefix("rnn_"), prefix=prefix)
