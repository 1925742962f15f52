"""TrainStep: forward, backward and update of a bound symbol as one program and one crossing from Python."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .base import GraphError, ShapeError, dtype_name
from .compile import Options, compile_graph, differentiate, link_graph
from .context import Context
from .executor import Executor, bind_array, host_view
from .graph import Value
from .ndarray import NDArray, zeros
from .passes.update import FINITE, Rule, update


class TrainStep:
    """`step(data=batch, label=labels)` trains the executor's arguments by `rule`; `step.scalars["lr"][:] = 0.1` steers it."""

    def __init__(self, executor: Executor, rule: Rule, options: Options | None = None, guarded: bool = False):
        every = executor.arg_dict | executor.aux_dict
        graph = differentiate(
            executor._symbol._heads,
            {n: a.shape for n, a in every.items()},
            {n: dtype_name(a.dtype) for n, a in every.items()},
            executor._symbol.list_outputs(),
            {n: "null" if req == "null" else "write" for n, req in executor._grad_req.items()},
            options,
        )
        graph, recipe = update(graph, rule, guarded)
        groups = {name: c.key for name, c in executor._groups.items()}
        compiled = link_graph(compile_graph(graph, executor._ctx.key, groups, options), executor.arena_owner())
        executor.lend_arena(compiled.program)
        self._compiled = compiled
        self._run = compiled.program.run
        self._end = compiled.end
        self.outputs = executor.outputs
        self.arguments = executor.arg_dict
        self.scalars = {name: zeros(v.shape, executor._ctx, v.dtype) for name, v in recipe.scalars.items()}
        self.states = self._first_states(recipe.states, executor._ctx)
        for name, made in (self.scalars | self.states).items():
            bind_array(compiled, ("aux", name), made)
        executor.bind_arrays(compiled)
        # Host arrays are fed through NumPy views: the cheapest copy there is.
        self._views = {n: (host_view(a), a.shape) for n, a in self.arguments.items() if a.context.device_type != "gpu"}

    def _first_states(self, values: Mapping[str, Value], ctx: Context) -> dict[str, NDArray]:
        return {name: zeros(v.shape, ctx, v.dtype) for name, v in values.items()}

    def __call__(self, **feeds: Any) -> list[NDArray]:
        views = self._views
        for name, value in feeds.items():
            if name in views and type(value) is np.ndarray:
                view, shape = views[name]
                if value.shape == shape:
                    view[...] = value
                    continue
            self._feed(name, value)
        self._run(0, self._end)
        return self.outputs

    @property
    def finite(self) -> bool:
        """Whether the last step of a guarded program has updated anything: all its gradients were finite."""
        return FINITE not in self.states or bool(self.states[FINITE].asscalar())

    def bind_state(self, name: str, state: NDArray) -> None:
        """Makes an array of the caller's the state of that name."""
        check_state(name, state, self.states[name].shape, self.states[name].dtype_name)
        self.states[name] = state
        bind_array(self._compiled, ("aux", name), state)

    def _feed(self, name: str, value: Any) -> None:
        target = self.arguments.get(name)
        if target is None:
            raise GraphError(f"step: there is no argument {name!r}; arguments are {', '.join(self.arguments)}")
        if tuple(np.shape(value)) != target.shape:
            raise ShapeError(f"step: {name} is bound with shape {target.shape}, got {tuple(np.shape(value))}")
        target[:] = value


def check_state(name: str, state: NDArray, shape: tuple[int, ...], dtype: str) -> None:
    """Raises unless an array can be the state of that name."""
    if state.shape != shape or state.dtype_name != dtype:
        raise ShapeError(f"step: the state {name} is {dtype}{shape}, got {state.dtype_name}{state.shape}")
