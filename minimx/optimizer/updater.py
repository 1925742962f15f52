"""Updater: an optimizer with the states of all parameters, as KVStores and modules use it."""

from __future__ import annotations

import io
import pickle
from typing import Any

from ..ndarray import NDArray
from .optimizer import Optimizer


class Updater:
    """`updater(index, grad, weight)` updates a weight; states are made when a parameter is first seen."""

    def __init__(self, optimizer: Optimizer):
        self.optimizer = optimizer
        self.states: dict[Any, Any] = {}
        self.states_synced: dict[Any, bool] = {}
        self.aggregate_updates = False

    def __call__(self, index: Any, grad: Any, weight: Any) -> None:
        if isinstance(index, (list, tuple)):
            for one in zip(index, grad, weight, strict=True):
                self(*one)
            return
        if index not in self.states:
            self.states[index] = self.optimizer.create_state_multi_precision(index, weight)
            self.states_synced[index] = True
        elif not self.states_synced[index]:
            self.states[index] = self.sync_state_context(self.states[index], weight.context)
            self.states_synced[index] = True
        self.optimizer.update_multi_precision(index, weight, grad, self.states[index])

    def sync_state_context(self, state: Any, context: Any) -> Any:
        """The state on a device."""
        if isinstance(state, NDArray):
            return state.as_in_context(context)
        if isinstance(state, (tuple, list)):
            return type(state)(self.sync_state_context(part, context) for part in state)
        return state

    def get_states(self, dump_optimizer: bool = False) -> bytes:
        """The states as bytes, with the optimizer (its counts of updates, its scheduler) if asked."""
        return pickle.dumps((self.states, self.optimizer) if dump_optimizer else self.states)

    def set_states(self, states: bytes) -> None:
        """Takes over what `get_states` gave. Only for bytes from a source you trust: they are a pickle."""
        loaded = _Unpickler(io.BytesIO(states)).load()
        if isinstance(loaded, tuple):
            self.states, self.optimizer = loaded
        else:
            self.states = loaded
        self.states_synced = dict.fromkeys(self.states, False)


class _Unpickler(pickle.Unpickler):
    """Reads the states that MXNet wrote, too."""

    def find_class(self, module: str, name: str) -> Any:
        return NDArray if module.split(".")[0] == "mxnet" and name == "NDArray" else super().find_class(module, name)


def get_updater(optimizer: Optimizer) -> Updater:
    """An updater for an optimizer."""
    return Updater(optimizer)
