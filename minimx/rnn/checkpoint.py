"""Checkpoints that hold the weights of every gate by themselves, so that cells and fused cells can exchange them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .. import symbol as sym
from ..model import load_checkpoint, save_checkpoint
from ..symbol import Symbol
from .cell import BaseRNNCell

Cells = BaseRNNCell | Sequence[BaseRNNCell]


def _all(cells: Cells) -> list[BaseRNNCell]:
    return [cells] if isinstance(cells, BaseRNNCell) else list(cells)


def rnn_unroll(
    cell: BaseRNNCell,
    length: int,
    inputs: Any = None,
    begin_state: Any = None,
    input_prefix: str = "",
    layout: str = "NTC",
) -> tuple[Any, list[Symbol]]:
    """`cell.unroll`; without inputs there is a variable `<input_prefix>t<i>_data` for every step."""
    if inputs is None:
        inputs = [sym.Variable(f"{input_prefix}t{i}_data") for i in range(length)]
    return cell.unroll(length, inputs, begin_state=begin_state, layout=layout)


def save_rnn_checkpoint(
    cells: Cells,
    prefix: str,
    epoch: int,
    symbol: Symbol,
    arg_params: Mapping[str, Any],
    aux_params: Mapping[str, Any],
) -> None:
    """mx.model.save_checkpoint, with the parameters of the cells unpacked."""
    for cell in _all(cells):
        arg_params = cell.unpack_weights(arg_params)
    save_checkpoint(prefix, epoch, symbol, arg_params, aux_params)


def load_rnn_checkpoint(cells: Cells, prefix: str, epoch: int) -> tuple[Symbol, dict[str, Any], dict[str, Any]]:
    """Symbol, parameters and auxiliary states of such a checkpoint, with the parameters packed for the cells."""
    symbol, arg_params, aux_params = load_checkpoint(prefix, epoch)
    for cell in _all(cells):
        arg_params = cell.pack_weights(arg_params)
    return symbol, arg_params, aux_params


def do_rnn_checkpoint(cells: Cells, prefix: str, period: int = 1) -> Callable[..., None]:
    """An epoch_end_callback that saves such a checkpoint every `period` epochs."""
    period = max(1, int(period))

    def save(epoch: int, symbol: Any = None, arg_params: Any = None, aux_params: Any = None) -> None:
        if (epoch + 1) % period == 0:
            save_rnn_checkpoint(cells, prefix, epoch + 1, symbol, arg_params, aux_params)

    return save
