"""Backward passes as programs: a recording that has the structure of an earlier one is not taken apart again.

The first backward pass over a structure runs operator by operator. When the structure comes again, its gradients are
compiled into one program, fused and planned like that of a symbol.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from . import _core
from .compile import compile_graph, link_graph
from .context import Context
from .graph import Device, Graph, Node, Value, made_for, rewrite, variable
from .op import Op
from .passes.gradient import backpropagate
from .tape import Recorded, Variable, array_of, evaluate

_LIMIT = 256
_plans: dict[tuple, Plan | None] = {}  # None: seen once


@dataclass
class Changes:
    """What a backward pass computes: gradients of the wanted values (None: nothing arrives), and new values of states."""

    gradients: list[Any]
    states: list[tuple[Any, Any]]


@dataclass
class Plan:
    """A compiled backward pass. `sources` say where its inputs come from: (node, output), or (-1, number of the seed)."""

    program: _core.Program
    sources: list[tuple[int, int]]
    types: list[tuple[tuple[int, ...], str]]
    present: list[bool]  # which of the wanted gradients there are
    states: list[tuple[int, int]]  # (node, input) of the states, whose new values follow the gradients
    context: Context

    def run(self, order: Sequence[Node], seeds: Sequence[Any], homes: Sequence[Any]) -> Changes:
        inputs = [seeds[j] if i < 0 else array_of(order[i].outputs[j]) for i, j in self.sources]
        device = self.context.device
        free = iter(home for home, there in zip(homes, self.present, strict=True) if there)
        outputs = []
        for shape, dtype in self.types:
            home = next(free, None)
            if home is None or home.dtype_name != dtype or _core.overlaps(home, *inputs):
                home = _core.empty(shape, dtype, self.context, device)
            outputs.append(home)
        _core.run(self.program, *inputs, *outputs)
        results = iter(outputs)
        gradients = [next(results) if there else None for there in self.present]
        return Changes(gradients, [(array_of(order[i].inputs[k]), next(results)) for i, k in self.states])


def backward_pass(
    order: Sequence[Node], heads: Sequence[Value], seeds: Sequence[Value], wanted: Sequence[Value], homes: Sequence[Any]
) -> Changes:
    """The gradients of `heads`, which `seeds` arrive at. Gradients may be computed into the arrays in `homes`."""
    key = None if _core.is_recording() else _structure(order, heads, seeds, wanted)
    if key is None:
        return _step_by_step(order, heads, seeds, wanted)
    if key not in _plans:
        if len(_plans) >= _LIMIT:
            _plans.pop(next(iter(_plans)))  # the oldest
        _plans[key] = None
        return _step_by_step(order, heads, seeds, wanted)
    plan = _plans[key]
    if plan is None:
        plan = _plans[key] = _compile(order, heads, seeds, wanted)
    return plan.run(order, [array_of(s) for s in seeds], homes)


def _structure(
    order: Sequence[Node], heads: Sequence[Value], seeds: Sequence[Value], wanted: Sequence[Value]
) -> tuple | None:
    """All that a program depends on; None when Python runs in between or several devices take part."""
    place: dict[Node, int] = {}
    parts: list[Any] = [_core.is_training()]
    device = heads[0].node.device
    for node in order:
        if node.device != device or not (node.op is None or isinstance(node.op, Op)):
            return None
        if node.op is None:
            parts.append((node.outputs[0].shape, node.outputs[0].dtype))
        else:
            parts.append((node.op, node.params, node.train, *[(place[v.node], v.index) for v in node.inputs]))
        place[node] = len(place)
    if any(s.node in place for s in seeds):
        return None
    parts.append(
        (device, *((place[v.node], v.index) for v in heads), None, *((place.get(v.node, -1), v.index) for v in wanted))
    )
    return tuple(parts)


def _step_by_step(
    order: Sequence[Node], heads: Sequence[Value], seeds: Sequence[Value], wanted: Sequence[Value]
) -> Changes:
    found = _differentiate(heads, seeds, wanted)
    gradients = iter(evaluate([v for v in found if v is not None]))
    states = [(array_of(node.inputs[k]), evaluate([value])[0]) for node, k, value in _new_states(order)]
    return Changes([None if v is None else next(gradients) for v in found], states)


def _compile(order: Sequence[Node], heads: Sequence[Value], seeds: Sequence[Value], wanted: Sequence[Value]) -> Plan:
    found = _differentiate(heads, seeds, wanted)
    place = {node: i for i, node in enumerate(order)}
    states = list(_new_states(order))
    results = [*(v for v in found if v is not None), *(value for *_, value in states)]
    device: Device = heads[0].node.device  # type: ignore[assignment]
    sources: dict[str, tuple[int, int]] = {}
    number = {s.node: i for i, s in enumerate(seeds)}

    def change(node: Node, inputs: tuple[Value, ...]) -> list[Value] | None:
        if not isinstance(node, Recorded):
            return None
        made = []
        for value in node.outputs:
            name = f"in{len(sources)}"
            sources[name] = (-1, number[node]) if node in number else (place[node], value.index)
            made.append(variable(name, value.shape, value.dtype, device))
        return made

    graph = rewrite(Graph({}, {}, results, [str(i) for i in range(len(results))], _core.is_training()), change)
    used = {n.name: n.outputs[0] for n in graph.nodes() if n.op is None}
    graph = dataclasses.replace(graph, arguments=used)
    slots = [*(("arg", name) for name in used), *(("out", i) for i in range(len(results)))]
    program = link_graph(compile_graph(graph, device), slot_order=slots).program
    return Plan(
        program,
        [sources[name] for name in used],
        [(v.shape, v.dtype) for v in results],
        [v is not None for v in found],
        [(place[node], k) for node, k, _ in states],
        Context(*device),
    )


def _differentiate(heads: Sequence[Value], seeds: Sequence[Value], wanted: Sequence[Value]) -> list[Value | None]:
    arriving: dict[Value, list[Value]] = {}
    for head, seed in zip(heads, seeds, strict=True):
        arriving.setdefault(head, []).append(seed)
    found = backpropagate(heads, arriving, list(wanted))
    return [found.get(v) for v in wanted]


def _new_states(order: Sequence[Node]) -> Iterator[tuple[Node, int, Value]]:
    """(node, input, new value) of what operators change with the backward pass: moving statistics."""
    for node in order:
        op = node.op
        if not isinstance(op, Op) or not node.train or op.early_updates or type(op).updates is Op.updates:
            continue
        with made_for(node, "_update"):
            changes = op.updates(node.params, node)
        for k, value in changes.items():
            yield node, k, value


def free(order: Sequence[Node]) -> None:
    """Lets go of the arrays of a recording."""
    for node in order:
        if not isinstance(node, Variable):
            node.arrays = None
