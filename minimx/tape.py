"""The tape: what autograd remembers of operators while recording.

Every recorded array knows the graph.Value it is (`array.entry`); the nodes behind these values are ordinary graph nodes
that also hold the arrays, so that a backward pass is the gradient pass over them, run at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from . import _core
from .context import Context
from .graph import Node, Value
from .op import Op
from .passes.expand import differentiates_by_expansion, expansion


class Recorded(Node):
    """A node with the arrays its outputs were computed into (without entries: they hold memory, not history)."""

    __slots__ = ("arrays", "train")

    def __init__(
        self, op: Op | None, params: Any, inputs: Sequence[Value], arrays: Sequence[Any], name: str, train: bool
    ):
        types = [(a.shape, a.dtype_name) for a in arrays]
        super().__init__(op, params, inputs, types, name, arrays[0].context.key)
        self.arrays: tuple[Any, ...] | None = tuple(_core.part(a, 0, a.shape) for a in arrays)
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
    return value.node.arrays[value.index]


def record(op: Op, params: Any, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
    """Called after an operator ran while recording and one of its inputs has history."""
    if type(params) in (float, int, bool):
        params = op.parse({"scalar": params})
    elif params == ():
        params = op.Params()
    values = [value_of(a) for a in inputs]
    train = _core.is_training()
    node = Recorded(op, params, values, outputs, op.name.lower(), train)
    entries: Sequence[Value] = node.outputs
    if differentiates_by_expansion(node, train):
        # Its parts are recorded instead. They run again, so that what is random in them is what gradients will see.
        parts = expansion(node, values, train)
        if parts is not None:
            results = evaluate(parts)
            for array, result in zip(outputs, results, strict=True):
                _core.copy(array._storage, array._offset, result._storage, result._offset, array.nbytes)
            entries = [value_of(r) for r in results]
    for array, value in zip(outputs, entries, strict=True):
        array.entry = value


def evaluate(values: Sequence[Value]) -> list[Any]:
    """Computes values from the arrays of recorded nodes. While recording, what is computed is recorded in turn."""
    order = _pending(values)
    uses: dict[Value, int] = {}
    for value in (*values, *(v for node in order for v in node.inputs)):
        uses[value] = uses.get(value, 0) + 1
    arrays: dict[Value, Any] = {}
    linked = _core.is_recording()

    def take(value: Value) -> Any:
        found = arrays.get(value)
        if found is None:
            found = array_of(value)
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
        run = getattr(node.op, "run", None)
        if run is not None:
            outputs = run(node.params, inputs)
        else:
            outputs = _core.invoke_all(node.op, node.params, Context(*(node.device or ("cpu", 0))), *inputs)
        for value, array in zip(node.outputs, outputs, strict=True):
            if value in uses:
                arrays[value] = array
    return [take(v) for v in values]


def _pending(values: Iterable[Value]) -> list[Node]:
    """The nodes that must run to know `values`, each after its inputs."""
    order: list[Node] = []
    seen: set[Node] = set()
    for root in values:
        if root.node in seen or isinstance(root.node, Recorded):
            continue
        stack = [(root.node, iter(root.node.inputs))]
        seen.add(root.node)
        while stack:
            node, rest = stack[-1]
            for value in rest:
                if value.node not in seen and not isinstance(value.node, Recorded):
                    seen.add(value.node)
                    stack.append((value.node, iter(value.node.inputs)))
                    break
            else:
                order.append(node)
                stack.pop()
    return order
