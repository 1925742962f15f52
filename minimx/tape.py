"""The tape: what autograd remembers of operators while recording.

Every recorded array knows the graph.Value it is (`array.entry`); the nodes behind these values are ordinary graph nodes
that also hold the arrays, so that a backward pass is the gradient pass over them, run at once.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any

from . import _core
from .base import GraphError
from .context import Context
from .graph import Node, Value, topological, variable
from .op import Op
from .passes.expand import expansion
from .passes.gradient import gradients_of


class Recorded(Node):
    """A node with the arrays its outputs were computed into (without entries: they hold memory, not history).

    Only what a gradient is made of is kept; `array_of` computes the rest again should it be asked for.
    """

    __slots__ = ("arrays", "train")

    def __init__(
        self,
        op: Op | None,
        params: Any,
        inputs: Sequence[Value],
        arrays: Sequence[Any],
        name: str,
        train: bool,
        kept: Container[int] | None = None,
    ):
        types = [(a.shape, a.dtype_name) for a in arrays]
        super().__init__(op, params, inputs, types, name, arrays[0].context.key)
        self.arrays: list[Any] | None = [
            _core.part(a, 0, a.shape) if kept is None or i in kept else None for i, a in enumerate(arrays)
        ]
        self.train = train


class Variable(Recorded):
    """An array whose gradient is wanted, with the array that gets it and whether it is written or added."""

    __slots__ = ("grad", "grad_req")

    def __init__(self, array: Any, grad: Any, grad_req: str):
        super().__init__(None, None, (), [array], "variable", False)
        self.grad = grad
        self.grad_req = grad_req


def value_of(array: Any) -> Value:
    """The value that stands for an array; an array without history is a constant."""
    entry = array.entry
    return entry if entry is not None else Recorded(None, None, (), [array], "constant", False).outputs[0]


def array_of(value: Value) -> Any:
    """The array a recorded value was computed into."""
    found = value.node.arrays[value.index]
    if found is None:
        before = _core.set_recording(False)
        try:
            (found,) = evaluate([value])
        finally:
            _core.set_recording(before)
        value.node.arrays[value.index] = found
    return found


_NEEDS_LIMIT = 4096
_needs: dict[tuple, tuple[frozenset[int], frozenset[int]]] = {}


def needs(op: Op, params: Any, inputs: Sequence[Value], outputs: Sequence[Any], train: bool) -> tuple:
    """The inputs and the outputs that the gradient of an operator is computed from."""
    key = (op, params, train, *((v.shape, v.dtype) for v in inputs))
    found = _needs.get(key)
    if found is None:
        if len(_needs) >= _NEEDS_LIMIT:
            _needs.clear()
        found = _needs[key] = _find_needs(op, params, inputs, outputs, train)
    return found


def _find_needs(op: Op, params: Any, inputs: Sequence[Value], outputs: Sequence[Any], train: bool) -> tuple:
    variables = [variable("in", v.shape, v.dtype, v.node.device) for v in inputs]
    types = [(a.shape, a.dtype_name) for a in outputs]
    node = Node(op, params, variables, types, op.name.lower(), outputs[0].context.key)
    every = frozenset(range(len(outputs)))
    if op.random:  # cannot be computed again
        return frozenset(range(len(inputs))), every
    grads: list[Value | None] = [variable("grad", s, t, node.device) for s, t in types]
    try:
        roots = [g for g in gradients_of(node, grads) if g is not None]
    except GraphError:  # there is none, which a backward pass will say
        return frozenset(), frozenset()
    changed = op.updates(params, node) if train and not op.early_updates else {}
    roots += changed.values()
    used = {v for n in topological(roots) for v in n.inputs} | set(roots)
    ins = {i for i, v in enumerate(variables) if v in used or i in changed}
    return frozenset(ins), frozenset(i for i, v in enumerate(node.outputs) if v in used)


def record(op: Op, params: Any, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
    """Called after an operator ran while recording and one of its inputs has history."""
    if type(params) in (float, int, bool):
        params = op.parse({"scalar": params})
    elif params == ():
        params = op.Params()
    values = [value_of(a) for a in inputs]
    train = _core.is_training()
    entries: Sequence[Value] | None = None
    if op.differentiable_by_expansion or op.expand_before_gradient(params, train):
        entries = _record_parts(op, params, values, inputs, outputs)
    if entries is None:
        ins, outs = needs(op, params, values, outputs, train)
        entries = Recorded(op, params, values, outputs, op.name.lower(), train, outs).outputs
        for i in ins:
            arrays = values[i].node.arrays
            if arrays[values[i].index] is None:
                arrays[values[i].index] = _core.part(inputs[i], 0, inputs[i].shape)
    for array, value in zip(outputs, entries, strict=True):
        array.entry = value


def _record_parts(
    op: Op, params: Any, values: Sequence[Value], inputs: Sequence[Any], outputs: Sequence[Any]
) -> Sequence[Value] | None:
    """Records what an operator is made of instead of the operator. The parts run again, so that what is random in them is
    what gradients will see."""
    types = [(a.shape, a.dtype_name) for a in outputs]
    node = Node(op, params, values, types, op.name.lower(), outputs[0].context.key)
    parts = expansion(node, values, _core.is_training())
    if parts is None:
        return None
    results = evaluate(parts, dict(zip(values, inputs, strict=True)))
    for array, result in zip(outputs, results, strict=True):
        _core.copy(array._storage, array._offset, result._storage, result._offset, array.nbytes)
    return [value_of(r) for r in results]


def evaluate(values: Sequence[Value], known: Mapping[Value, Any] | None = None) -> list[Any]:
    """Computes values from the arrays of recorded nodes, and from those in `known`. While recording, what is computed is
    recorded in turn."""
    arrays: dict[Value, Any] = dict(known or {})
    order = _pending(values, arrays)
    uses: dict[Value, int] = {}
    for value in (*values, *(v for node in order for v in node.inputs)):
        uses[value] = uses.get(value, 0) + 1
    linked = _core.is_recording()

    def take(value: Value) -> Any:
        found = arrays.get(value)
        if found is None:
            found = value.node.arrays[value.index]
            if linked:
                found = _core.part(found, 0, found.shape)
                found.entry = value
                arrays[value] = found
            return found
        uses[value] -= 1
        if uses[value] == 0 and not linked:
            del arrays[value]
        return found

    for node in order:
        inputs = [take(v) for v in node.inputs]
        outputs = _run(node, inputs)
        for value, array in zip(node.outputs, outputs, strict=True):
            if value in uses:
                arrays[value] = array
    return [take(v) for v in values]


def _run(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    """All outputs of a node, at once."""
    run = getattr(node.op, "run", None)
    if run is not None:
        return run(node.params, inputs)
    before = _core.set_training(node.train if isinstance(node, Recorded) else _core.is_training())
    try:
        return _core.invoke_all(node.op, node.params, Context(*(node.device or ("cpu", 0))), *inputs)
    finally:
        _core.set_training(before)


def _pending(values: Iterable[Value], known: Container[Value]) -> list[Node]:
    """The nodes that must run to know `values`, each after its inputs."""

    def is_known(value: Value) -> bool:
        arrays = value.node.arrays if isinstance(value.node, Recorded) else None
        return value in known or (arrays is not None and arrays[value.index] is not None)

    order: list[Node] = []
    seen: set[Node] = set()
    for root in values:
        if root.node in seen or is_known(root):
            continue
        stack = [(root.node, iter(root.node.inputs))]
        seen.add(root.node)
        while stack:
            node, rest = stack[-1]
            for value in rest:
                if value.node not in seen and not is_known(value):
                    seen.add(value.node)
                    stack.append((value.node, iter(value.node.inputs)))
                    break
            else:
                order.append(node)
                stack.pop()
    return order
