"""The tape: what autograd remembers of operators while recording.

Every recorded array knows the graph.Value it is (`array.entry`); the nodes behind these values are ordinary graph nodes
that also hold the arrays, so that a backward pass is the gradient pass over them, run at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import _core
from .graph import Node, Value
from .op import Op


class Recorded(Node):
    """A node with the arrays its outputs were computed into (without entries: they hold memory, not history)."""

    __slots__ = ("arrays", "train")

    def __init__(
        self, op: Op | None, params: Any, inputs: Sequence[Value], arrays: Sequence[Any], name: str, train: bool
    ):
        types = [(a.shape, a.dtype_name) for a in arrays]
        super().__init__(op, params, inputs, types, name, arrays[0].context.key)
        self.arrays = tuple(_core.part(a, 0, a.shape) for a in arrays)
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


def record(op: Op, params: Any, inputs: Sequence[Any], outputs: Sequence[Any]) -> Recorded:
    """Called after an operator ran while recording and one of its inputs has history."""
    if type(params) in (float, int, bool):
        params = op.parse({"scalar": params})
    elif params == ():
        params = op.Params()
    node = Recorded(op, params, [value_of(a) for a in inputs], outputs, op.name.lower(), _core.is_training())
    for array, value in zip(outputs, node.outputs, strict=True):
        array.entry = value
    return node
