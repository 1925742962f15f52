"""Updates: an optimizer at work on replicas, in one program or parameter by parameter. Modules that share parameters
share it, too."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from ..checkpoint import write_whole
from ..context import Context
from ..kvstore import KVStoreBase
from ..optimizer import Optimizer, OptimizerStep, get_updater
from ..optimizer import create as create_optimizer
from ..symbol import Symbol
from .replicas import Replicas


class Updates:
    """An optimizer with its states, and the store that sums what several devices have."""

    def __init__(self, optimizer: Optimizer, kvstore: KVStoreBase):
        self.updater = get_updater(optimizer)
        self.kvstore = kvstore

    @property
    def optimizer(self) -> Optimizer:
        return self.updater.optimizer

    def _index_of(self, names: Sequence[str]) -> dict[str, Any]:
        """The numbers of parameters: the optimizer's, or those of their order."""
        return {n: i for i, n in enumerate(names)} | {n: i for i, n in self.optimizer.idx2name.items()}

    def step(self, replicas: Replicas, guarded: bool = False) -> OptimizerStep:
        """Forward, backward and update as one program, on the updater's states."""
        optimizer, updater = self.optimizer, self.updater
        key = (id(optimizer), optimizer.key())
        if replicas.step is None or replicas.step_key != key:
            replicas.step = None
            self._place_states(replicas.contexts[0])
            replicas.step = OptimizerStep(replicas.execs[0], optimizer, states=updater.states, guarded=guarded)
            replicas.step_key = key
            updater.states_synced.update(dict.fromkeys(updater.states, True))
        elif replicas.step.optimizer_states is not updater.states:
            self._place_states(replicas.contexts[0])
            replicas.step.share_states(updater.states)
        return replicas.step

    def _place_states(self, context: Context) -> None:
        """Brings loaded states to the device."""
        updater = self.updater
        for index, synced in updater.states_synced.items():
            if not synced:
                updater.states[index] = updater.sync_state_context(updater.states[index], context)
                updater.states_synced[index] = True

    def apply(self, replicas: Replicas, trained: Sequence[str]) -> None:
        """Updates parameters one after the other by the gradients that were computed."""
        index_of = self._index_of(replicas.parameters)
        grads = [e.grad_dict for e in replicas.execs]
        for name in trained:
            weights = [e.arg_dict[name] for e in replicas.execs]
            if len(weights) == 1:
                self.updater(index_of[name], grads[0][name], weights[0])
                continue
            # Weights are the same everywhere: the first device's is updated by the sum, the others get copies of it.
            total = self.kvstore.sum([g[name] for g in grads])
            self.updater(index_of[name], total.as_in_context(weights[0].context), weights[0])
            for other in weights[1:]:
                weights[0].copyto(other)

    def copy_to_masters(self, replicas: Replicas) -> None:
        """Gives the float32 copies that an optimizer keeps of half precision parameters their present values."""
        if not self.optimizer.multi_precision:
            return
        index_of = self._index_of(replicas.parameters)
        for name in replicas.parameters:
            weight, state = replicas.execs[0].arg_dict[name], self.updater.states.get(index_of[name])
            if state is not None and self.optimizer.is_mixed(weight):
                state[0][:] = weight

    def save(self, fname: str) -> None:
        """Writes the states to a file."""
        content = self.updater.get_states()

        def write(path: str) -> None:
            with open(path, "wb") as file:
                file.write(content)

        write_whole(fname, write)

    def load(self, fname: str) -> None:
        """Takes the states from a file. Only for files from a source you trust: they are pickles."""
        updater = self.updater
        with open(fname, "rb") as file:
            updater.set_states(file.read())
        # MXNet's modules on several devices number states by names.
        index_of = self._index_of([])
        updater.states = {index_of.get(key, key): state for key, state in updater.states.items()}
        updater.states_synced = dict.fromkeys(updater.states, False)


def make_optimizer(given: Any, params: Any, symbol: Symbol, names: Sequence[str], batch_size: int) -> Optimizer:
    """The optimizer that a module is asked for by a name and parameters, or its user's own."""
    rescale = 1.0 / batch_size
    by_index = dict(enumerate(names))
    if not isinstance(given, Optimizer):
        options = {"rescale_grad": rescale, **dict(params)}
        return create_optimizer(given, sym=symbol, param_idx2name=by_index, **options)
    if given.rescale_grad != rescale:
        warnings.warn(
            "Optimizer created manually outside Module but rescale_grad is not normalized to "
            f"1.0/batch_size/num_workers ({given.rescale_grad} vs. {rescale}). Is this intended?",
            stacklevel=3,
        )
    if not given.idx2name:
        given.idx2name = by_index
    return given
