"""Cells whose products are convolutions: states are images."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from .. import symbol as sym
from ..base import GraphError
from ..symbol import Symbol
from .cell import GatedCell, GRUStep, LSTMStep, RNNParams, RNNStep

Pair = tuple[int, ...]
LEAKY = partial(sym.LeakyReLU, act_type="leaky", slope=0.2)


class BaseConvRNNCell(GatedCell):
    """What the convolutional cells share. `input_shape` is that of one step, with the batch size (which may be 0)."""

    default_prefix = ""

    def __init__(
        self,
        input_shape: Sequence[int],
        num_hidden: int,
        h2h_kernel: Pair = (3, 3),
        h2h_dilate: Pair = (1, 1),
        i2h_kernel: Pair = (3, 3),
        i2h_stride: Pair = (1, 1),
        i2h_pad: Pair = (1, 1),
        i2h_dilate: Pair = (1, 1),
        i2h_weight_initializer: Any = None,
        h2h_weight_initializer: Any = None,
        i2h_bias_initializer: Any = "zeros",
        h2h_bias_initializer: Any = "zeros",
        activation: Any = LEAKY,
        prefix: str | None = None,
        params: RNNParams | None = None,
        conv_layout: str = "NCHW",
    ):
        super().__init__(prefix=self.default_prefix if prefix is None else prefix, params=params)
        if any(k % 2 == 0 for k in h2h_kernel):
            raise GraphError(f"{type(self).__name__}: h2h_kernel must be odd, got {h2h_kernel}")
        self._num_hidden = num_hidden
        self._activation = activation
        self._i2h = {"kernel": i2h_kernel, "stride": i2h_stride, "pad": i2h_pad, "dilate": i2h_dilate}
        pad = tuple(d * (k - 1) // 2 for k, d in zip(h2h_kernel, h2h_dilate, strict=True))
        self._h2h = {"kernel": h2h_kernel, "dilate": h2h_dilate, "stride": (1,) * len(h2h_kernel), "pad": pad}
        self._layout = conv_layout
        get = self.params.get
        self._iW = get("i2h_weight", init=i2h_weight_initializer)
        self._hW = get("h2h_weight", init=h2h_weight_initializer)
        self._iB = get("i2h_bias", init=i2h_bias_initializer)
        self._hB = get("h2h_bias", init=h2h_bias_initializer)
        probe = sym.Convolution(sym.Variable("data"), num_filter=num_hidden, layout=conv_layout, **self._i2h)
        (shape,) = probe.infer_shape_partial(data=tuple(input_shape))[1]
        self._state_shape = (0, *shape[1:])

    @property
    def state_info(self) -> list[dict[str, Any]]:
        return [{"shape": self._state_shape, "__layout__": self._layout}]

    def _products(self, inputs: Symbol, state: Symbol, name: str) -> tuple[Symbol, Symbol]:
        filters = self._num_hidden * len(self._gate_names)
        kind = {"num_filter": filters, "layout": self._layout}
        i2h = sym.Convolution(data=inputs, weight=self._iW, bias=self._iB, name=f"{name}i2h", **kind, **self._i2h)
        h2h = sym.Convolution(data=state, weight=self._hW, bias=self._hB, name=f"{name}h2h", **kind, **self._h2h)
        return i2h, h2h

    def _gates(self, stacked: Symbol, name: str) -> Symbol:
        axis = self._layout.find("C")
        return sym.SliceChannel(stacked, num_outputs=len(self._gate_names), axis=axis, name=name)


class ConvRNNCell(RNNStep, BaseConvRNNCell):
    """The simple cell with convolutions."""

    default_prefix = "ConvRNN_"


class ConvLSTMCell(LSTMStep, BaseConvRNNCell):
    """Long short-term memory with convolutions."""

    default_prefix = "ConvLSTM_"


class ConvGRUCell(GRUStep, BaseConvRNNCell):
    """Gated recurrent unit with convolutions."""

    default_prefix = "ConvGRU_"

    def _gates(self, stacked: Symbol, name: str) -> Symbol:
        if self._layout.find("C") != 1:
            return super()._gates(stacked, name)
        # MXNet leaves the axis out here, which is right where channels come second.
        return sym.SliceChannel(stacked, num_outputs=3, name=name)
