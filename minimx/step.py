"""TrainStep: forward, backward and update of a bound symbol as one program and one crossing from Python."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .base import ShapeError, dtype_name
from .compile import Options, compile_graph, differentiate, link_graph
from .context import Context
from .executor import Executor, bind_array, run_fed
from .graph import Value
from .ndarray import NDArray, ones, zeros
from .passes.update import FINITE, Rule, update


class TrainStep:
    """`step(data=batch, label=labels)` trains the executor's arguments by `rule`; `step.scalars["lr"][:] = 0.1` steers it.

    `step.run({"data": batch, "label": labels})` does the same for a dict at hand, a microsecond faster.
    """

    def __init__(self, executor: Executor, rule: Rule, options: Options | None = None, guarded: bool = False):
        every = executor.arg_dict | executor.aux_dict
        graph = differentiate(
            executor._symbol._heads,
            {n: a.shape for n, a in every.items()},
            {n: dtype_name(a.dtype) for n, a in every.items()},
            executor._symbol.list_outputs(),
            {n: "null" if req == "null" else "write" for n, req in executor._grad_req.items()},
            options,
            graph=executor.take_graph(),
        )
        graph, recipe = update(graph, rule, guarded)
        groups = {name: c.key for name, c in executor._groups.items()}
        compiled = link_graph(compile_graph(graph, executor._ctx.key, groups, options), executor.arena.largest)
        self._arena = executor.arena
        self._arena.lend(compiled.program)
        self._compiled = compiled
        self.outputs = executor.outputs
        self.arguments = executor.arg_dict
        self.scalars = {name: zeros(v.shape, executor._ctx, v.dtype) for name, v in recipe.scalars.items()}
        self.states = self._first_states(recipe.states, executor._ctx)
        for name, made in (self.scalars | self.states).items():
            bind_array(compiled, ("aux", name), made)
        executor.bind_arrays(compiled)
        for i, output in enumerate(self.outputs):  # of outputs that are no losses
            bind_array(compiled, ("head_grad", i), ones(output.shape, output.context, output.dtype))

    def _first_states(self, values: Mapping[str, Value], ctx: Context) -> dict[str, NDArray]:
        return {name: zeros(v.shape, ctx, v.dtype) for name, v in values.items()}

    def __call__(self, **feeds: Any) -> list[NDArray]:
        return self.run(feeds)

    def run(self, feeds: dict[str, Any]) -> list[NDArray]:
        """Trains on these arrays, by name, and returns the outputs."""
        self._arena.ready = None
        run_fed(self._compiled.program, self._compiled.end, self.arguments, feeds)
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


def check_state(name: str, state: NDArray, shape: tuple[int, ...], dtype: str) -> None:
    """Raises unless an array can be the state of that name."""
    if state.shape != shape or state.dtype_name != dtype:
        raise ShapeError(f"step: the state {name} is {dtype}{shape}, got {state.dtype_name}{state.shape}")
