"""Procedures: sub-graphs of a symbol as programs of their own, which Python calls inside a running program.

Control flow is made of them: the body of a loop is compiled once and run for every step.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from . import _core
from .base import FLOATS
from .compile import compile_graph, link_graph
from .graph import Device, Graph, Value, apply, variable
from .passes.expand import expand
from .passes.gradient import backpropagate, state_updates
from .passes.infer import infer
from .symbol_graph import Head

Types = Sequence[tuple[tuple[int, ...], str]]


class Procedure:
    """A sub-graph as a program: called with arrays for its inputs and then for its outputs."""

    def __init__(self, graph: Graph, inputs: Mapping[str, Value], device: Device):
        names = [str(i) for i in range(len(graph.outputs))]
        graph = dataclasses.replace(graph, arguments=dict(inputs), auxiliary={}, output_names=names)
        compiled = compile_graph(graph, device)
        # Every run that is random takes one step of the generator.
        self.random = any(node.op is not None and node.op.random for node in compiled.nodes())
        slots = [*(("arg", name) for name in inputs), *(("out", i) for i in range(len(graph.outputs)))]
        self.program = link_graph(compiled, slot_order=slots).program
        self.types = [(v.shape, v.dtype) for v in graph.outputs]

    def __call__(self, *arrays: Any) -> None:
        _core.run(self.program, *arrays)


def forward(heads: Sequence[Head], names: Sequence[str], types: Types, device: Device, train: bool) -> Procedure:
    """The outputs of a sub-graph from its inputs, which are variables of these names."""
    graph = _inferred(heads, names, types, train)
    graph = dataclasses.replace(graph, early_updates=state_updates(graph)[0])
    return Procedure(graph, _in_order(graph, names), device)


def backward(
    heads: Sequence[Head],
    names: Sequence[str],
    types: Types,
    device: Device,
    wanted: Sequence[str],
    summed: Sequence[str] = (),
) -> Procedure:
    """The gradients of the `wanted` inputs, from all inputs and then what arrives at every head. Those of the `summed` ones
    are added to further inputs, which come last."""
    graph = expand(_inferred(heads, names, types, True), before_gradient=True)
    inputs = _in_order(graph, names)
    seeds: dict[Value, list[Value]] = {}
    for i, value in enumerate(graph.outputs):
        seed = inputs[f"head {i}"] = variable(f"head {i}", value.shape, value.dtype)
        if value.dtype in FLOATS:
            seeds.setdefault(value, []).append(seed)
    found = backpropagate(graph.outputs, seeds, [inputs[name] for name in (*wanted, *summed)])
    outputs = [found.get(inputs[name]) or apply("zeros_like", [inputs[name]]) for name in wanted]
    updates = []
    for name in summed:
        value = inputs[name]
        total = inputs[f"sum of {name}"] = variable(f"sum of {name}", value.shape, value.dtype)
        grad = found.get(value)
        if grad is not None:
            updates.append((total, total + grad))
    return Procedure(Graph({}, {}, outputs, [], True, early_updates=updates), inputs, device)


def _inferred(heads: Sequence[Head], names: Sequence[str], types: Types, train: bool) -> Graph:
    shapes = {name: shape for name, (shape, _) in zip(names, types, strict=True)}
    dtypes = {name: dtype for name, (_, dtype) in zip(names, types, strict=True)}
    return infer(heads, shapes, dtypes, [str(i) for i in range(len(heads))], train)


def _in_order(graph: Graph, names: Sequence[str]) -> dict[str, Value]:
    every = {**graph.arguments, **graph.auxiliary}
    return {name: every[name] for name in names}
