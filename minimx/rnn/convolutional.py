"""Cells whose products are convolutions: states are images."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from .. import symbol as sym
from ..base import GraphError
from ..symbol import Symbol
from .cell import BaseRNNCell, RNNParams

Pair = tuple[int, ...]
LEAKY = partial(sym.LeakyReLU, act_type="leaky", slope=0.2)


class BaseConvRNNCell(BaseRNNCell):
    """What the convolutional cells share. `input_shape` is that of one step, with the batch size (which may be 0)."""

    def __init__(
        self,
        input_shape: Sequence[int],
        num_hidden: int,
        h2h_kernel: Pair,
        h2h_dilate: Pair,
        i2h_kernel: Pair,
        i2h_stride: Pair,
        i2h_pad: Pair,
        i2h_dilate: Pair,
        i2h_weight_initializer: Any,
        h2h_weight_initializer: Any,
        i2h_bias_initializer: Any,
        h2h_bias_initializer: Any,
        activation: Any,
        prefix: str = "",
        params: RNNParams | None = None,
        conv_layout: str = "NCHW",
    ):
        super().__init__(prefix=prefix, params=params)
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

    def _next_name(self) -> str:
        self._counter += 1
        return f"{self._prefix}t{self._counter}_"


class _ConvCell(BaseConvRNNCell):
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
        super().__init__(
            input_shape,
            num_hidden,
            h2h_kernel,
            h2h_dilate,
            i2h_kernel,
            i2h_stride,
            i2h_pad,
            i2h_dilate,
            i2h_weight_initializer,
            h2h_weight_initializer,
            i2h_bias_initializer,
            h2h_bias_initializer,
            activation,
            self.default_prefix if prefix is None else prefix,
            params,
            conv_layout,
        )


class ConvRNNCell(_ConvCell):
    """The simple cell with convolutions."""

    default_prefix = "ConvRNN_"

    @property
    def _gate_names(self) -> tuple[str, ...]:
        return ("",)

    def __call__(self, inputs: Symbol, states: Sequence[Symbol]) -> tuple[Symbol, list[Symbol]]:
        name = self._next_name()
        i2h, h2h = self._products(inputs, states[0], name)
        output = self._get_activation(i2h + h2h, self._activation, name=f"{name}out")
        return output, [output]


class ConvLSTMCell(_ConvCell):
    """Long short-term memory with convolutions."""

    default_prefix = "ConvLSTM_"

    @property
    def _gate_names(self) -> tuple[str, ...]:
        return ("_i", "_f", "_c", "_o")

    @property
    def state_info(self) -> list[dict[str, Any]]:
        return super().state_info * 2

    def __call__(self, inputs: Symbol, states: Sequence[Symbol]) -> tuple[Symbol, list[Symbol]]:
        name = self._next_name()
        i2h, h2h = self._products(inputs, states[0], name)
        gates = sym.SliceChannel(i2h + h2h, num_outputs=4, axis=self._layout.find("C"), name=f"{name}slice")
        keep = sym.Activation(gates[0], act_type="sigmoid", name=f"{name}i")
        forget = sym.Activation(gates[1], act_type="sigmoid", name=f"{name}f")
        value = self._get_activation(gates[2], self._activation, name=f"{name}c")
        show = sym.Activation(gates[3], act_type="sigmoid", name=f"{name}o")
        cell = sym._internal._plus(forget * states[1], keep * value, name=f"{name}state")
        output = sym._internal._mul(show, self._get_activation(cell, self._activation), name=f"{name}out")
        return output, [output, cell]


class ConvGRUCell(_ConvCell):
    """Gated recurrent unit with convolutions."""

    default_prefix = "ConvGRU_"

    @property
    def _gate_names(self) -> tuple[str, ...]:
        return ("_r", "_z", "_o")

    def __call__(self, inputs: Symbol, states: Sequence[Symbol]) -> tuple[Symbol, list[Symbol]]:
        name, before = self._next_name(), states[0]
        i2h, h2h = self._products(inputs, before, name)
        # MXNet leaves the axis out here, which is right where channels come second.
        axis = {} if self._layout.find("C") == 1 else {"axis": self._layout.find("C")}
        x = sym.SliceChannel(i2h, num_outputs=3, name=f"{name}_i2h_slice", **axis)
        h = sym.SliceChannel(h2h, num_outputs=3, name=f"{name}_h2h_slice", **axis)
        reset = sym.Activation(x[0] + h[0], act_type="sigmoid", name=f"{name}_r_act")
        update = sym.Activation(x[1] + h[1], act_type="sigmoid", name=f"{name}_z_act")
        value = self._get_activation(x[2] + reset * h[2], self._activation, name=f"{name}_h_act")
        output = sym._internal._plus((1.0 - update) * value, update * before, name=f"{name}out")
        return output, [output]
