"""OptimizerStep: a training step whose update is an optimizer's, as one program."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..context import Context
from ..executor import Executor
from ..graph import Value
from ..ndarray import NDArray
from ..passes.update import FINITE
from ..step import TrainStep, check_state
from .optimizer import Optimizer, flat
from .program import writable


class OptimizerStep(TrainStep):
    """`step(data=batch, softmax_label=labels)` computes outputs and gradients and updates the executor's parameters.

    Parameter indices are those of `optimizer.idx2name`; the states are `step.optimizer_states[index]`, in the form that
    an Updater has them. An Updater's dict may be given: the step works on its states and adds those that are missing.
    """

    def __init__(
        self, executor: Executor, optimizer: Optimizer, options: Any = None, states: Any = None, guarded: bool = False
    ):
        if not optimizer.has_rule:
            raise ValueError(f"{type(optimizer).__name__} updates arrays itself; use an Updater")
        if executor._groups:
            raise ValueError("a network on several devices is updated by an Updater, not within a step")
        self.optimizer = optimizer
        names = [name for name, req in executor._grad_req.items() if req != "null"]
        index_of = {name: index for index, name in optimizer.idx2name.items()}
        self._indices = {name: index_of.get(name, i) for i, name in enumerate(names)}
        self._weights = executor.arg_dict
        self.optimizer_states = self._completed({} if states is None else states)
        super().__init__(executor, optimizer.write_rule, options, guarded)
        self._numbers = {place: writable(number) for place, number in self.scalars.items()}
        self._written: dict[str, float] = {}
        self._order = list(self._indices.values())
        self._seen: tuple | None = None  # what the numbers were written for

    def _completed(self, states: dict[Any, Any]) -> dict[Any, Any]:
        """The same dict, with states for all parameters."""
        for name, index in self._indices.items():
            if index not in states:
                states[index] = self.optimizer.create_state_multi_precision(index, self._weights[name])
        return states

    def _first_states(self, values: Mapping[str, Value], ctx: Context) -> dict[str, NDArray]:
        found = dict(self._named(values))
        found |= super()._first_states({n: v for n, v in values.items() if n == FINITE}, ctx)
        for key, state in found.items():
            check_state(key, state, values[key].shape, values[key].dtype)
        return found

    def _named(self, keys: Iterable[str]) -> Iterator[tuple[str, NDArray]]:
        """The states under the names that the rules of the step gave them."""
        own: dict[str, list[str]] = {}
        for key in keys:
            own.setdefault(key.rpartition(".")[0], []).append(key)
        for name, index in self._indices.items():
            yield from zip(own.get(name, ()), flat(self.optimizer_states[index]), strict=True)

    def share_states(self, states: dict[Any, Any]) -> None:
        """Works on these states from now on (an Updater's, or loaded ones)."""
        self.optimizer_states = self._completed(states)
        for key, state in list(self._named(self.states)):
            self.bind_state(key, state)

    def run(self, feeds: dict[str, Any]) -> list[NDArray]:
        optimizer = self.optimizer
        if self._seen is not None and self._seen == self._steering():
            optimizer._update_count(self._order)
            return super().run(feeds)
        for name, index in self._indices.items():
            optimizer._update_count(index)
            for key, number in optimizer.numbers(index).items():
                place = f"{name}.{key}"
                if self._written.get(place) != number:
                    self._numbers[place][:] = self._written[place] = number
        if self._is_steady:
            self._seen = copy.deepcopy(self._steering())
        return super().run(feeds)

    @property
    def _is_steady(self) -> bool:
        """Whether the numbers of an update follow from `_steering` alone."""
        optimizer, kind = self.optimizer, type(self.optimizer)
        own = ("numbers", "learning_rate", "_get_lr", "_get_wd", "_factor", "_update_count")
        inherited = all(getattr(kind, name) is getattr(Optimizer, name) for name in own)
        return inherited and optimizer.lr_scheduler is None and not optimizer.param_dict

    def _steering(self) -> tuple:
        """What a user may change between steps."""
        o = self.optimizer
        return (o.lr, o.wd, o.rescale_grad, o.lr_scheduler, o.lr_mult, o.wd_mult, o.idx2name, o.param_dict)
