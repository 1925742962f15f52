"""Cells made of other cells: stacks, both directions, and cells that change what another one gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .. import symbol as sym
from ..base import GraphError
from ..symbol import Symbol
from .cell import Arrays, BaseRNNCell, Begin, RNNParams, Unrolled, arranged, separated, time_axis


class _Group(BaseRNNCell):
    """Cells one after the other in one list of states."""

    def __init__(self, params: RNNParams | None = None):
        self._cells: list[BaseRNNCell] = []
        super().__init__(prefix="", params=params)
        self._override_cell_params = params is not None

    def _take_in(self, cell: BaseRNNCell) -> None:
        self._cells.append(cell)
        if self._override_cell_params:
            if not cell._own_params:
                raise GraphError(f"{type(self).__name__}: give params either to it or to its cells, not to both")
            cell.params._params.update(self._params._params)
        self._params._params.update(cell.params._params)

    @property
    def state_info(self) -> list[dict[str, Any]]:
        return [info for cell in self._cells for info in cell.state_info]

    def begin_state(self, func: Callable[..., Symbol] | None = None, **kwargs: Any) -> list[Symbol]:
        self._refuse_modified("begin_state")
        given = {**kwargs, **({} if func is None else {"func": func})}
        return [state for cell in self._cells for state in cell.begin_state(**given)]

    def unpack_weights(self, args: Mapping[str, Any]) -> Arrays:
        for cell in self._cells:
            args = cell.unpack_weights(args)
        return dict(args)

    def pack_weights(self, args: Mapping[str, Any]) -> Arrays:
        for cell in self._cells:
            args = cell.pack_weights(args)
        return dict(args)

    def _shares(self, states: Sequence[Symbol]) -> list[list[Symbol]]:
        """The states of each cell."""
        rest = iter(states)
        return [[next(rest) for _ in cell.state_info] for cell in self._cells]


class SequentialRNNCell(_Group):
    """A stack of cells: each one's output is the next one's input."""

    def add(self, cell: BaseRNNCell) -> None:
        """Puts a cell on top."""
        self._take_in(cell)

    def __call__(self, inputs: Symbol, states: Sequence[Symbol]) -> tuple[Symbol, list[Symbol]]:
        self._counter += 1
        after: list[Symbol] = []
        for cell, share in zip(self._cells, self._shares(states), strict=True):
            if isinstance(cell, BidirectionalCell):
                raise GraphError("a stack with a BidirectionalCell cannot be stepped; use unroll")
            inputs, new = cell(inputs, share)
            after += new
        return inputs, after

    def _unroll(self, length: int, inputs: Any, begin: Begin, layout: str, merge: bool | None) -> Unrolled:
        shares = self._shares(self.begin_state() if begin is None else begin)
        after: list[Symbol] = []
        for i, (cell, share) in enumerate(zip(self._cells, shares, strict=True)):
            last = i + 1 == len(self._cells)
            inputs, new = cell.unroll(length, inputs, share, layout, merge if last else None)
            after += new
        return inputs, after


class BidirectionalCell(_Group):
    """Two cells, one of which reads the sequence backwards; their outputs are joined."""

    def __init__(
        self, l_cell: BaseRNNCell, r_cell: BaseRNNCell, params: RNNParams | None = None, output_prefix: str = "bi_"
    ):
        super().__init__(params)
        self._output_prefix = output_prefix
        self._take_in(l_cell)
        self._take_in(r_cell)

    def __call__(self, inputs: Symbol, states: Sequence[Symbol]) -> tuple[Symbol, list[Symbol]]:
        raise NotImplementedError("a BidirectionalCell cannot be stepped; use unroll")

    def _unroll(self, length: int, inputs: Any, begin: Begin, layout: str, merge: bool | None) -> Unrolled:
        steps = separated(length, inputs, layout)
        left, right = self._cells
        shares = self._shares(self.begin_state() if begin is None else begin)
        there, there_states = left.unroll(length, steps, shares[0], layout, merge)
        back, back_states = right.unroll(length, steps[::-1], shares[1], layout, merge)
        if merge is None:
            merge = isinstance(there, Symbol) and isinstance(back, Symbol)
            if not merge:
                there, back = separated(length, there, layout), separated(length, back, layout)
        outputs: Any
        if merge:
            back = sym.reverse(back, axis=time_axis(layout))
            outputs = sym.Concat(there, back, dim=2, name=f"{self._output_prefix}out")
        else:
            pairs = zip(there, list(back)[::-1], strict=True)
            outputs = [sym.Concat(a, b, dim=1, name=f"{self._output_prefix}t{i}") for i, (a, b) in enumerate(pairs)]
        return outputs, [there_states, back_states]  # type: ignore[list-item]


class DropoutCell(BaseRNNCell):
    """Drops a part of its input in training; it has no state."""

    def __init__(self, dropout: float, prefix: str = "dropout_", params: RNNParams | None = None):
        super().__init__(prefix, params)
        self.dropout = dropout

    @property
    def state_info(self) -> list[dict[str, Any]]:
        return []

    def __call__(self, inputs: Symbol, states: Sequence[Symbol]) -> tuple[Symbol, list[Symbol]]:
        if self.dropout > 0:
            inputs = sym.Dropout(data=inputs, p=self.dropout)
        return inputs, list(states)

    def _unroll(self, length: int, inputs: Any, begin: Begin, layout: str, merge: bool | None) -> Unrolled:
        inputs = arranged(length, inputs, layout, merge)
        if isinstance(inputs, Symbol):  # all steps at once
            return self(inputs, [])
        return super()._unroll(length, inputs, begin, layout, merge)


class ModifierCell(BaseRNNCell):
    """Base of cells that change what another cell gives. The parameters are that one's."""

    def __init__(self, base_cell: BaseRNNCell):
        base_cell._modified = True
        self.base_cell = base_cell
        super().__init__()

    @property
    def params(self) -> RNNParams:
        self._own_params = False
        return self.base_cell.params

    @property
    def state_info(self) -> list[dict[str, Any]]:
        return self.base_cell.state_info

    def begin_state(self, init_sym: Callable[..., Symbol] | None = None, **kwargs: Any) -> list[Symbol]:  # type: ignore[override]
        self._refuse_modified("begin_state")
        init_sym = kwargs.pop("func", init_sym)
        return self._as_itself(lambda: self.base_cell.begin_state(func=init_sym, **kwargs))

    def _as_itself(self, call: Callable[[], Any]) -> Any:
        """The result of a call of the base cell that it refuses to others."""
        self.base_cell._modified = False
        try:
            return call()
        finally:
            self.base_cell._modified = True

    def reset(self) -> None:
        super().reset()
        self.base_cell.reset()

    def unpack_weights(self, args: Mapping[str, Any]) -> Arrays:
        return self.base_cell.unpack_weights(args)

    def pack_weights(self, args: Mapping[str, Any]) -> Arrays:
        return self.base_cell.pack_weights(args)


class ZoneoutCell(ModifierCell):
    """Keeps a random part of the outputs and states of the step before, in training."""

    def __init__(self, base_cell: BaseRNNCell, zoneout_outputs: float = 0.0, zoneout_states: float = 0.0):
        from .fused import FusedRNNCell

        if isinstance(base_cell, FusedRNNCell):
            raise GraphError("ZoneoutCell: a FusedRNNCell has no steps; unfuse() it first")
        if isinstance(base_cell, BidirectionalCell):
            raise GraphError("ZoneoutCell: a BidirectionalCell has no steps; zone its two cells out instead")
        self.prev_output: Symbol | None = None
        super().__init__(base_cell)
        self.zoneout_outputs = zoneout_outputs
        self.zoneout_states = zoneout_states

    def reset(self) -> None:
        super().reset()
        self.prev_output = None

    def __call__(self, inputs: Symbol, states: Sequence[Symbol]) -> tuple[Symbol, list[Symbol]]:
        output, after = self.base_cell(inputs, states)

        def zoned(rate: float, new: Symbol, old: Symbol) -> Symbol:
            return sym.where(sym.Dropout(sym.ones_like(new), p=rate), new, old)

        before = sym.zeros((0, 0)) if self.prev_output is None else self.prev_output
        if self.zoneout_outputs != 0.0:
            output = zoned(self.zoneout_outputs, output, before)
        if self.zoneout_states != 0.0:
            after = [zoned(self.zoneout_states, new, old) for new, old in zip(after, states, strict=True)]
        self.prev_output = output
        return output, after


class ResidualCell(ModifierCell):
    """Adds the input of a cell to its output."""

    def __call__(self, inputs: Symbol, states: Sequence[Symbol]) -> tuple[Symbol, list[Symbol]]:
        output, after = self.base_cell(inputs, states)
        return sym.elemwise_add(output, inputs, name=f"{output.name}_plus_residual"), after

    def _unroll(self, length: int, inputs: Any, begin: Begin, layout: str, merge: bool | None) -> Unrolled:
        outputs, states = self._as_itself(lambda: self.base_cell.unroll(length, inputs, begin, layout, merge))
        merge = isinstance(outputs, Symbol) if merge is None else merge
        added = arranged(length, inputs, layout, merge)
        if merge:
            return sym.elemwise_add(outputs, added, name=f"{outputs.name}_plus_residual"), states
        pairs = zip(outputs, added, strict=True)
        return [sym.elemwise_add(o, i, name=f"{o.name}_plus_residual") for o, i in pairs], states
