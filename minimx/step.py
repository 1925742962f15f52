"""TrainStep: forward, backward and update of a bound symbol as one program and one crossing from Python."""

from __future__ import annotations

from typing import Any

import numpy as np

from .base import GraphError, ShapeError, dtype_name
from .compile import Options, compile_graph, differentiate, link_graph
from .executor import Executor, bind_array, host_view
from .ndarray import NDArray, ones, zeros
from .passes.update import Rule, update


class TrainStep:
    """`step(data=batch, label=labels)` trains the executor's arguments by `rule`; `step.scalars["lr"][:] = 0.1` steers it."""

    def __init__(self, executor: Executor, rule: Rule, options: Options | None = None):
        every = executor.arg_dict | executor.aux_dict
        graph = differentiate(
            executor._symbol._heads,
            {n: a.shape for n, a in every.items()},
            {n: dtype_name(a.dtype) for n, a in every.items()},
            executor._symbol.list_outputs(),
            {n: "null" if req == "null" else "write" for n, req in executor._grad_req.items()},
            options,
        )
        graph, recipe = update(graph, rule)
        groups = {name: c.key for name, c in executor._groups.items()}
        compiled = link_graph(compile_graph(graph, executor._ctx.key, groups, options))
        self._compiled = compiled
        self._run = compiled.program.run
        self._end = compiled.end
        self.outputs = executor.outputs
        self.arguments = executor.arg_dict
        self.scalars: dict[str, NDArray] = {}
        self.states: dict[str, NDArray] = {}
        for kind, values in (("scalars", recipe.scalars), ("states", recipe.states)):
            for name, value in values.items():
                made = getattr(self, kind)[name] = zeros(value.shape, executor._ctx, value.dtype)
                bind_array(compiled, ("aux", name), made)
        executor.bind_arrays(compiled)
        for i, output in enumerate(self.outputs):  # of outputs that are no losses
            bind_array(compiled, ("head_grad", i), ones(output.shape, output.context, output.dtype))
        # Host arrays are fed through NumPy views: the cheapest copy there is.
        inputs = {n: a for n, a in self.arguments.items() if executor._grad_req[n] == "null"}
        self._views = {n: (host_view(a), a.shape) for n, a in inputs.items() if a.context.device_type != "gpu"}

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

    def bind_state(self, name: str, state: NDArray) -> None:
        """Makes an array of the caller's the state of that name."""
        if state.shape != self.states[name].shape:
            raise ShapeError(f"step: the state {name} has shape {self.states[name].shape}, got {state.shape}")
        self.states[name] = state
        bind_array(self._compiled, ("aux", name), state)

    def _feed(self, name: str, value: Any) -> None:
        target = self.arguments.get(name)
        if target is None:
            raise GraphError(f"step: there is no argument {name!r}; arguments are {', '.join(self.arguments)}")
        if tuple(np.shape(value)) != target.shape:
            raise ShapeError(f"step: {name} is bound with shape {target.shape}, got {tuple(np.shape(value))}")
        target[:] = value
