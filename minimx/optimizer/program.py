"""Runs an optimizer's rule on arrays: one program per rule and shape, with the numbers of an update as operands."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..base import ShapeError
from ..compile import compile_graph, link_graph
from ..executor import bind_array, host_view
from ..graph import Graph, variable
from ..ndarray import NDArray, zeros
from ..passes.update import Recipe

if TYPE_CHECKING:
    from .optimizer import Optimizer


def writable(number: NDArray) -> Any:
    """What to assign to when a number changes: NumPy's view of it where there is one, which is the fastest."""
    return host_view(number) if number.context.device_type != "gpu" else number


class _Program:
    """A rule for one shape, compiled. Arrays are bound anew in every run, so that parameters of one shape share it."""

    def __init__(self, optimizer: Optimizer, weight: NDArray, grad: NDArray):
        device = weight.context.key
        home = variable("weight", weight.shape, weight.dtype_name, device)
        slope = variable("grad", weight.shape, grad.dtype_name, device)
        graph = Graph({"weight": home, "grad": slope}, {}, [], [])
        recipe = Recipe(graph)
        recipe.changes.append((home, optimizer.write_rule(recipe, "", home, slope)))
        self._compiled = link_graph(compile_graph(dataclasses.replace(graph, updates=recipe.changes), device))
        self._states = [(("aux", name), value.shape) for name, value in recipe.states.items()]
        self._numbers: dict[str, list[Any]] = {}
        for name, value in recipe.scalars.items():
            number = zeros(value.shape, weight.context, value.dtype)
            bind_array(self._compiled, ("aux", name), number)
            self._numbers[name.removeprefix(".")] = [writable(number), 0.0]
        self._lock = threading.Lock()

    def run(self, weight: NDArray, grad: NDArray, states: Sequence[NDArray], numbers: Mapping[str, float]) -> None:
        if grad.shape != weight.shape:
            raise ShapeError(f"a weight of shape {weight.shape} cannot be updated by a gradient of {grad.shape}")
        with self._lock:
            for name, place in self._numbers.items():
                if numbers[name] != place[1]:
                    place[0][:] = place[1] = numbers[name]
            bind_array(self._compiled, ("arg", "weight"), weight)
            bind_array(self._compiled, ("arg", "grad"), grad)
            for (key, shape), state in zip(self._states, states, strict=True):
                if state.shape != shape:
                    raise ShapeError(f"an optimizer state has shape {state.shape}, the weight's needs {shape}")
                bind_array(self._compiled, key, state)
            self._compiled.program.run(0, self._compiled.end)

    def kernels(self) -> list[str]:
        """Names of the kernels that run, in order."""
        return [self._compiled.program.kernel_name(i) for i in range(self._compiled.end)]


_LIMIT = 4096
_programs: dict[tuple, _Program] = {}


def program_of(optimizer: Optimizer, weight: NDArray, grad: NDArray, mixed: bool) -> _Program:
    """The program for parameters like this one."""
    key = (optimizer.key(), mixed, weight.shape, weight.dtype_name, grad.dtype_name, weight.context.key)
    program = _programs.get(key)
    if program is None:
        if len(_programs) >= _LIMIT:
            _programs.clear()
        program = _programs[key] = _Program(optimizer, weight, grad)
    return program


def run_rule(
    optimizer: Optimizer,
    weight: NDArray,
    grad: NDArray,
    states: Sequence[NDArray],
    numbers: Mapping[str, float],
    mixed: bool,
) -> None:
    """Updates a weight and its states in place."""
    program_of(optimizer, weight, grad, mixed).run(weight, grad, states, numbers)
