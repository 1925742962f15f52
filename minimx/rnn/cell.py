"""What a cell is, and the three simple ones.

A cell makes one step of a recurrent layer, as symbols: `output, states = cell(input, states)`. `unroll` makes all steps of
a sequence. Every step uses the same parameters, which are variables that the cell's RNNParams hold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .. import initializer
from .. import ndarray as nd
from .. import symbol as sym
from ..base import GraphError
from ..symbol import Symbol

Arrays = dict[str, Any]
Steps = Symbol | list[Symbol]
Unrolled = tuple[Steps, list[Symbol]]
Begin = Sequence[Symbol] | None


class RNNParams:
    """The variables that cells share, by name; each is made when it is first asked for."""

    def __init__(self, prefix: str = ""):
        self._prefix = prefix
        self._params: dict[str, Symbol] = {}

    def get(self, name: str, **kwargs: Any) -> Symbol:
        """The variable `prefix + name`; `kwargs` are those of mx.sym.Variable, for a new one."""
        name = self._prefix + name
        if name not in self._params:
            self._params[name] = sym.Variable(name, **kwargs)
        return self._params[name]

    def share(self, other: RNNParams) -> None:
        """Both know the variables of either."""
        other._params.update(self._params)
        self._params.update(other._params)


class BaseRNNCell:
    """A cell: what its parameters and states are, and what one step computes."""

    # How the names of a gate's weights end; one for each gate that is stacked in a parameter.
    _gate_names: tuple[str, ...] = ()

    def __init__(self, prefix: str = "", params: RNNParams | None = None):
        self._own_params = params is None
        self._prefix = prefix
        self._params = RNNParams(prefix) if params is None else params
        self._modified = False  # whether a ModifierCell works in its place
        self.reset()

    def reset(self) -> None:
        """Forgets how many steps were made, before another sequence is unrolled."""
        self._init_counter = -1
        self._counter = -1
        for cell in getattr(self, "_cells", ()):
            cell.reset()

    def __call__(self, inputs: Symbol, states: Sequence[Symbol]) -> tuple[Symbol, list[Symbol]]:
        """One step: its output and the new states."""
        raise NotImplementedError(f"{type(self).__name__}: one step")

    @property
    def params(self) -> RNNParams:
        """The parameters, which may now belong to other cells, too."""
        self._own_params = False
        return self._params

    @property
    def state_info(self) -> list[dict[str, Any]]:
        """Shape and layout of each state; 0 is the batch size, which is inferred."""
        raise NotImplementedError(f"{type(self).__name__}: state_info")

    @property
    def state_shape(self) -> list[tuple[int, ...]]:
        """The shapes of the states."""
        return [info["shape"] for info in self.state_info]

    def begin_state(self, func: Callable[..., Symbol] | None = None, **kwargs: Any) -> list[Symbol]:
        """Symbols for the states before the first step, made by `func` (mx.sym.zeros); `kwargs` go to it."""
        self._refuse_modified("begin_state")
        states = []
        for info in self.state_info:
            self._init_counter += 1
            name = f"{self._prefix}begin_state_{self._init_counter}"
            states.append((func or sym.zeros)(name=name, **{**kwargs, **(info or {})}))
        return states

    def _refuse_modified(self, what: str) -> None:
        if self._modified:
            raise GraphError(
                f"{what}: this {type(self).__name__} was given to a modifier cell; call that one's instead"
            )

    def unpack_weights(self, args: Mapping[str, Any]) -> Arrays:
        """The arrays with this cell's stacked parameters cut into those of each gate."""
        args = dict(args)
        for group in ("i2h", "h2h") if self._gate_names else ():
            for kind in ("weight", "bias"):
                whole = args.pop(f"{self._prefix}{group}_{kind}")
                size = whole.shape[0] // len(self._gate_names)
                for i, gate in enumerate(self._gate_names):
                    args[f"{self._prefix}{group}{gate}_{kind}"] = whole[i * size : (i + 1) * size].copy()
        return args

    def pack_weights(self, args: Mapping[str, Any]) -> Arrays:
        """The arrays with each gate's parameters stacked to those of this cell."""
        args = dict(args)
        for group in ("i2h", "h2h") if self._gate_names else ():
            for kind in ("weight", "bias"):
                parts = [args.pop(f"{self._prefix}{group}{gate}_{kind}") for gate in self._gate_names]
                args[f"{self._prefix}{group}_{kind}"] = nd.concatenate(parts)
        return args

    def unroll(
        self,
        length: int,
        inputs: Any,
        begin_state: Sequence[Symbol] | None = None,
        layout: str = "NTC",
        merge_outputs: bool | None = None,
    ) -> Unrolled:
        """The outputs of `length` steps and the last states.

        `inputs` is one symbol of all steps in `layout`, or a list of one symbol per step; so are the outputs:
        merge_outputs=True asks for one symbol.
        """
        self.reset()
        return self._unroll(length, inputs, begin_state, layout, merge_outputs)

    def _unroll(self, length: int, inputs: Any, begin: Begin, layout: str, merge: bool | None) -> Unrolled:
        steps = separated(length, inputs, layout)
        states = list(self.begin_state() if begin is None else begin)
        outputs = []
        for step in steps:
            output, states = self(step, states)
            outputs.append(output)
        return arranged(length, outputs, layout, merge), states

    def _get_activation(self, inputs: Symbol, activation: Any, **kwargs: Any) -> Symbol:
        if isinstance(activation, str):
            return sym.Activation(inputs, act_type=activation, **kwargs)
        return activation(inputs, **kwargs)


# ---- sequences -----------------------------------------------------------------------------------------------------------


def time_axis(layout: str) -> int:
    if sorted(layout) != ["C", "N", "T"] and "T" not in layout:
        raise GraphError(f"layout must say where the time axis T is, got {layout!r}")
    return layout.index("T")


def separated(length: int | None, inputs: Any, layout: str) -> list[Symbol]:
    """One symbol per step."""
    if not isinstance(inputs, Symbol):
        return _listed(length, inputs)
    if len(inputs) != 1:
        raise GraphError(f"unroll: inputs must be one output or a list of one symbol per step, got {inputs!r}")
    return list(sym.split(inputs, axis=time_axis(layout), num_outputs=length, squeeze_axis=1))


def merged(length: int | None, inputs: Any, layout: str) -> Symbol:
    """One symbol of all steps."""
    if isinstance(inputs, Symbol):
        return inputs
    axis = time_axis(layout)
    return sym.Concat(*[sym.expand_dims(step, axis=axis) for step in _listed(length, inputs)], dim=axis)


def arranged(length: int | None, sequence: Any, layout: str, merge: bool | None) -> Any:
    """As `merge` asks; None leaves it as it is."""
    if merge is None:
        return sequence
    return merged(length, sequence, layout) if merge else separated(length, sequence, layout)


def _listed(length: int | None, steps: Any) -> list[Symbol]:
    steps = list(steps)
    if length is not None and len(steps) != length:
        raise GraphError(f"unroll: {length} steps need as many inputs, got {len(steps)}")
    return steps


# ---- simple cells --------------------------------------------------------------------------------------------------------


class GatedCell(BaseRNNCell):
    """A cell whose step is made of two products, one of the input and one of the state, with all gates stacked in each."""

    _activation: Any = "tanh"

    def _products(self, inputs: Symbol, state: Symbol, name: str) -> tuple[Symbol, Symbol]:
        raise NotImplementedError(f"{type(self).__name__}: _products")

    def _gates(self, stacked: Symbol, name: str) -> Symbol:
        """The gates of a product apart, as outputs."""
        return sym.SliceChannel(stacked, num_outputs=len(self._gate_names), name=name)

    def _active(self, x: Symbol, **kwargs: Any) -> Symbol:
        return self._get_activation(x, self._activation, **kwargs)

    def _next_name(self) -> str:
        self._counter += 1
        return f"{self._prefix}t{self._counter}_"


class RNNStep(GatedCell):
    """The simple cell's step: activation(W x + R h)."""

    _gate_names = ("",)

    def __call__(self, inputs: Symbol, states: Sequence[Symbol]) -> tuple[Symbol, list[Symbol]]:
        name = self._next_name()
        i2h, h2h = self._products(inputs, states[0], name)
        output = self._active(i2h + h2h, name=f"{name}out")
        return output, [output]


class LSTMStep(GatedCell):
    """The step of long short-term memory."""

    _gate_names = ("_i", "_f", "_c", "_o")

    @property
    def state_info(self) -> list[dict[str, Any]]:
        return super().state_info * 2

    def __call__(self, inputs: Symbol, states: Sequence[Symbol]) -> tuple[Symbol, list[Symbol]]:
        name = self._next_name()
        i2h, h2h = self._products(inputs, states[0], name)
        gates = self._gates(i2h + h2h, f"{name}slice")
        keep = sym.Activation(gates[0], act_type="sigmoid", name=f"{name}i")
        forget = sym.Activation(gates[1], act_type="sigmoid", name=f"{name}f")
        value = self._active(gates[2], name=f"{name}c")
        show = sym.Activation(gates[3], act_type="sigmoid", name=f"{name}o")
        cell = sym._internal._plus(forget * states[1], keep * value, name=f"{name}state")
        output = sym._internal._mul(show, self._active(cell), name=f"{name}out")
        return output, [output, cell]


class GRUStep(GatedCell):
    """The gated recurrent unit's step, with the reset gate after the product (as cuDNN has it)."""

    _gate_names = ("_r", "_z", "_o")

    def __call__(self, inputs: Symbol, states: Sequence[Symbol]) -> tuple[Symbol, list[Symbol]]:
        name, before = self._next_name(), states[0]
        i2h, h2h = self._products(inputs, before, name)
        x = self._gates(i2h, f"{name}_i2h_slice")
        h = self._gates(h2h, f"{name}_h2h_slice")
        reset = sym.Activation(x[0] + h[0], act_type="sigmoid", name=f"{name}_r_act")
        update = sym.Activation(x[1] + h[1], act_type="sigmoid", name=f"{name}_z_act")
        value = self._active(x[2] + reset * h[2], name=f"{name}_h_act")
        output = sym._internal._plus((1.0 - update) * value, update * before, name=f"{name}out")
        return output, [output]


class _StackedCell(GatedCell):
    """The products are of matrices."""

    def __init__(self, num_hidden: int, prefix: str, params: RNNParams | None, **bias: Any):
        super().__init__(prefix=prefix, params=params)
        self._num_hidden = num_hidden
        get = self.params.get if params is not None else self._params.get
        self._iW, self._iB = get("i2h_weight"), get("i2h_bias", **bias)
        self._hW, self._hB = get("h2h_weight"), get("h2h_bias")

    @property
    def state_info(self) -> list[dict[str, Any]]:
        return [{"shape": (0, self._num_hidden), "__layout__": "NC"}]

    def _products(self, inputs: Symbol, state: Symbol, name: str) -> tuple[Symbol, Symbol]:
        rows = self._num_hidden * len(self._gate_names)
        return (
            sym.FullyConnected(data=inputs, weight=self._iW, bias=self._iB, num_hidden=rows, name=f"{name}i2h"),
            sym.FullyConnected(data=state, weight=self._hW, bias=self._hB, num_hidden=rows, name=f"{name}h2h"),
        )


class RNNCell(RNNStep, _StackedCell):
    """The simple cell: activation(W x + R h)."""

    def __init__(
        self, num_hidden: int, activation: Any = "tanh", prefix: str = "rnn_", params: RNNParams | None = None
    ):
        super().__init__(num_hidden, prefix, params)
        self._activation = activation


class LSTMCell(LSTMStep, _StackedCell):
    """Long short-term memory. `forget_bias` is what the bias of the forget gate starts with."""

    def __init__(
        self, num_hidden: int, prefix: str = "lstm_", params: RNNParams | None = None, forget_bias: float = 1.0
    ):
        super().__init__(num_hidden, prefix, params, init=initializer.LSTMBias(forget_bias=forget_bias))


class GRUCell(GRUStep, _StackedCell):
    """Gated recurrent unit, with the reset gate after the product (as cuDNN has it)."""

    def __init__(self, num_hidden: int, prefix: str = "gru_", params: RNNParams | None = None):
        super().__init__(num_hidden, prefix, params)

    def _products(self, inputs: Symbol, state: Symbol, name: str) -> tuple[Symbol, Symbol]:
        return super()._products(inputs, state, f"{name}_")  # MXNet's names
