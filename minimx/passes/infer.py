"""infer: finds every shape and dtype of a symbol from those that are given, and makes the typed graph.

Knowledge flows both ways: forward from data to outputs, and back from outputs to inputs (a weight's shape follows from its
data; `zeros((0, 200))` takes its batch from what it is added to). The walk is repeated until nothing new is learnt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..base import FLAG_TYPES, ShapeError, TypeInferenceError
from ..graph import Graph, Node, Value
from ..op import Shape, describe, known, unify
from ..params import Shape as ShapeParam
from ..symbol import Head, SymbolNode, auxiliary_nodes, depth_first

_read_shape = ShapeParam().convert
_MAX_ROUNDS = 64


@dataclass
class Inference:
    """What is known about each node's outputs; incomplete entries are None (or hold -1)."""

    nodes: list[SymbolNode]
    shapes: dict[SymbolNode, list[Shape]]
    dtypes: dict[SymbolNode, list[str | None]]
    # What an operator made of the shapes it was asked about: it holds for every node with these parameters and shapes.
    answers: dict[Any, tuple[list[Shape], list[Shape], bool]] = field(default_factory=dict)
    open: list[SymbolNode] = field(default_factory=list)  # operators around which not every shape is known


def infer_types(
    heads: Iterable[Head], shapes: Mapping[str, Shape], dtypes: Mapping[str, str], default_dtype: str | None = "float32"
) -> Inference:
    """Everything that can be deduced. Shapes use -1 for unknown dimensions. Contradictions raise, gaps do not."""
    nodes = depth_first(heads)
    found = Inference(nodes, {}, {})
    for node in nodes:
        count = node.output_count
        found.shapes[node] = [None] * count
        found.dtypes[node] = [None] * count
        if node.op is None:
            found.shapes[node][0] = _variable_shape(node, shapes)
            found.dtypes[node][0] = dtypes.get(node.name) or _variable_dtype(node)
    found.open = _until_stable(found, _infer_shapes_of)
    _until_stable(found, _infer_dtypes_of)
    if default_dtype:
        for node in nodes:
            if node.op is None and found.dtypes[node][0] is None:
                found.dtypes[node][0] = default_dtype
                _until_stable(found, _infer_dtypes_of)
    return found


def infer(
    heads: Iterable[Head],
    shapes: Mapping[str, Shape],
    dtypes: Mapping[str, str],
    output_names: list[str],
    train: bool = False,
) -> Graph:
    """The typed graph of a symbol; raises a ShapeError that says what is still unknown and why."""
    heads = list(heads)
    found = infer_types(heads, shapes, dtypes)
    _require_complete(found, shapes)
    made: dict[SymbolNode, Node] = {}
    arguments: dict[str, Value] = {}
    auxiliary: dict[str, Value] = {}
    states = auxiliary_nodes(found.nodes)
    for node in found.nodes:
        inputs = [made[child].outputs[index] for child, index in node.inputs]
        types = list(zip(found.shapes[node], found.dtypes[node], strict=True))
        made[node] = Node(node.op, node.params, inputs, types, node.name, attrs=node.attrs)  # type: ignore[arg-type]
        if node.op is None:
            (auxiliary if node in states else arguments)[node.name] = made[node].outputs[0]
    outputs = [made[node].outputs[index] for node, index in heads]
    return Graph(arguments, auxiliary, outputs, output_names, train)


def _variable_shape(node: SymbolNode, given: Mapping[str, Shape]) -> Shape:
    shape = given.get(node.name)
    stored = node.attrs.get("__shape__")
    if stored is None:
        return shape
    # In stored shapes 0 is MXNet's "unknown"; an empty tuple says nothing at all.
    hint = tuple(d or -1 for d in _read_shape(stored)) or None
    if shape is None:
        return hint
    try:
        return unify(shape, hint)
    except ShapeError:
        return shape  # what the caller says at bind time wins over what the variable was declared with


def _variable_dtype(node: SymbolNode) -> str | None:
    flag = node.attrs.get("__dtype__")
    return FLAG_TYPES.get(int(flag)) if flag is not None and flag.lstrip("-").isdigit() else None


def _until_stable(found: Inference, step: Callable[[Inference, SymbolNode], tuple[bool, bool]]) -> list[SymbolNode]:
    """Walks to and fro until nothing new is learnt; returns the nodes around which something is unknown still. A step says
    whether it has learnt something about a node, and whether everything around the node is known now. Then it is not asked
    again: a complete fact never changes, it can only be contradicted, and then a step raises."""
    open_ = [node for node in found.nodes if node.op is not None]
    for _ in range(_MAX_ROUNDS):
        changed = False
        left = []
        for node in open_:
            learnt, complete = step(found, node)
            changed |= learnt
            if not complete:
                left.append(node)
        open_ = left[::-1]
        if not changed:
            break
    return open_


def _infer_shapes_of(found: Inference, node: SymbolNode) -> tuple[bool, bool]:
    before_in = [found.shapes[child][index] for child, index in node.inputs]
    before_out = found.shapes[node]
    try:
        ins, outs, complete = _deduced(found, node, before_in, before_out)
        changed = outs != before_out
        found.shapes[node] = outs[:]
        if ins != before_in:
            for (child, index), shape in zip(node.inputs, ins, strict=True):
                merged = unify(found.shapes[child][index], shape, "shapes")
                changed |= merged != found.shapes[child][index]
                found.shapes[child][index] = merged
        return changed, complete
    except ShapeError as error:
        told = _inputs(found, node, before_in)
        raise ShapeError(f"{_title(node)}: {error}; inputs are {told}; it was made at {node.place()}") from None


def _deduced(
    found: Inference, node: SymbolNode, before_in: list[Shape], before_out: list[Shape]
) -> tuple[list[Shape], list[Shape], bool]:
    """The shapes of a node's inputs and outputs as its operator completes them, and whether these are all known now."""
    op, p = node.op, node.params
    key = (op, p, *before_in, *before_out)
    answer = found.answers.get(key)
    if answer is None:
        ins, outs = before_in[:], before_out[:]
        op.complete_shapes(p, ins, outs)
        complete = all(map(known, ins))
        if complete or (None not in ins and op.partial_shapes):
            outs = [unify(a, b, "output shapes") for a, b in zip(outs, op.output_shapes(p, ins), strict=True)]  # type: ignore[arg-type]
        answer = found.answers[key] = ins, outs, complete and all(map(known, outs))
    return answer


def _infer_dtypes_of(found: Inference, node: SymbolNode) -> tuple[bool, bool]:
    before_in = [found.dtypes[child][index] for child, index in node.inputs]
    ins, outs = list(before_in), list(found.dtypes[node])
    try:
        node.op.infer_types(node.params, ins, outs)
        changed = outs != found.dtypes[node]
        found.dtypes[node] = outs
        complete = all(ins) and all(outs)
        if ins == before_in:
            return changed, complete
        for (child, index), dtype in zip(node.inputs, ins, strict=True):
            if dtype and not found.dtypes[child][index]:
                found.dtypes[child][index] = dtype
                changed = True
            elif dtype and dtype != found.dtypes[child][index]:
                raise TypeInferenceError(f"input '{child.name}' is {found.dtypes[child][index]} and must be {dtype}")
        return changed, complete
    except TypeInferenceError as error:
        shapes = [found.shapes[child][index] for child, index in node.inputs]
        told = _inputs(found, node, shapes)
        raise TypeInferenceError(f"{_title(node)}: {error}; inputs are {told}; it was made at {node.place()}") from None


def _title(node: SymbolNode) -> str:
    return f"{node.op.name}({node.name})"


def _inputs(found: Inference, node: SymbolNode, shapes: list[Any]) -> str:
    names = node.op.input_names(node.params)
    labels = [
        n if child.name == f"{node.name}_{n}" else f"{n}={child.name}"
        for n, (child, _) in zip(names, node.inputs, strict=False)
    ]
    dtypes = [found.dtypes[child][index] for child, index in node.inputs]
    return describe(labels, list(zip(shapes, dtypes, strict=True)))


def _require_complete(found: Inference, given: Mapping[str, Shape]) -> None:
    unknown = [n for n in found.nodes if n.op is None and not known(found.shapes[n][0])]
    incomplete = {n for n in found.open if not all(map(known, found.shapes[n]))}
    stuck = next((n for n in found.nodes if n in incomplete), None)
    if not unknown and stuck is None:
        return
    parts = []
    if unknown:
        names = ", ".join(n.name for n in unknown[:8]) + (" ..." if len(unknown) > 8 else "")
        parts.append(f"the shapes of {names} are still unknown")
    if stuck is not None:
        shapes = [found.shapes[child][index] for child, index in stuck.inputs]
        parts.append(f"inference stops at {_title(stuck)}, whose inputs are {_inputs(found, stuck, shapes)}")
    told = ", ".join(f"{k}={v}" for k, v in given.items() if v is not None) or "no shapes"
    raise ShapeError(f"cannot infer all shapes: {'; '.join(parts)}. Given were {told}")
