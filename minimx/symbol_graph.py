"""The graph that a symbol holds: nodes as the user writes them and files store them, and what can be done with them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from .base import GraphError
from .op import Op
from .params import text_of


class SymbolNode:
    """One operator application or variable (op is None) of a symbol; never changed once a symbol holds it.

    `attrs` are strings, as in a symbol file: the parameters the user gave and the __dunder__ attributes. `params` are the
    operator's typed and complete parameters. `inputs` are (node, output index) pairs. `line` is where the user made it.
    """

    __slots__ = ("op", "name", "attrs", "params", "inputs", "line")

    def __init__(
        self,
        op: Op | None,
        name: str,
        attrs: dict[str, str],
        params: Any = None,
        inputs: Sequence[tuple[SymbolNode, int]] = (),
    ):
        self.op: Any = op
        self.name = name
        self.attrs = attrs
        self.params = params
        self.inputs = tuple(inputs)
        self.line = _users_line()

    @property
    def output_count(self) -> int:
        return 1 if self.op is None else len(self.op.output_names(self.params))

    @property
    def visible_count(self) -> int:
        return 1 if self.op is None else self.op.visible(self.params)

    def visible_heads(self) -> list[Head]:
        return [(self, i) for i in range(self.visible_count)]

    def output_name(self, index: int) -> str:
        """What list_outputs() calls an output: variables by their name, others as `<node>_<output>`."""
        if self.op is None:
            return self.name
        output = self.op.output_names(self.params)[index]
        return f"{self.name}_{output}" if self.name else output

    def title(self) -> str:
        return f"{self.op.name}({self.name})" if self.op else self.name

    def place(self) -> str:
        """The file and line that an error about this node points to."""
        return f"{os.path.basename(self.line[0])}:{self.line[1]}" if self.line else "a place unknown"


def _users_line() -> tuple[str, int] | None:
    """The nearest line on the stack that is not minimx's own."""
    frame = sys._getframe(2)
    while frame is not None:
        if not frame.f_globals.get("__name__", "").startswith(_PACKAGE):
            return frame.f_code.co_filename, frame.f_lineno
        frame = frame.f_back  # type: ignore[assignment]
    return None


_PACKAGE = __name__.rpartition(".")[0] + "."


Head = tuple[SymbolNode, int]


def depth_first(heads: Iterable[Head]) -> list[SymbolNode]:
    """Every node the heads need, inputs before consumers, left to right, each once."""
    order: list[SymbolNode] = []
    begun: set[SymbolNode] = set()
    for head, _ in heads:
        stack: list[SymbolNode | None] = [head]
        while stack:
            node = stack.pop()
            if node is None:  # stands over a node whose inputs are done
                order.append(stack.pop())  # type: ignore[arg-type]
            elif node not in begun:
                begun.add(node)
                waiting = [child for child, _ in reversed(node.inputs) if child not in begun]
                if waiting:
                    stack += (node, None, *waiting)
                else:
                    order.append(node)
    return order


def auxiliary_nodes(nodes: Iterable[SymbolNode]) -> set[SymbolNode]:
    """The variables that some operator uses as auxiliary state."""
    found = set()
    for node in nodes:
        states = node.op.aux_names(node.params) if node.op is not None else ()
        if states:
            names = node.op.input_names(node.params)
            for name, (child, _) in zip(names, node.inputs, strict=False):
                if name in states and child.op is None:
                    found.add(child)
    return found


def apply_operator(
    op: Op,
    positional: Sequence[Head],
    named: Mapping[str, Head],
    given: Mapping[str, Any],
    name: str,
    attrs: Mapping[str, str],
) -> SymbolNode:
    """The operator on the given inputs; inputs that were not given become variables named `<node>_<input>`.

    `positional` inputs are those of an operator with a variable number of them. `given` are parameters as the user wrote
    them, `attrs` the other attributes.
    """
    given = dict(given)
    if op.count and op.count not in given:
        given[op.count] = op.counted(len(positional) + len(named))
    params = op.parse({**attrs, **given}, name)
    text = {**attrs, **{key: text_of(value) for key, value in given.items()}}
    names = op.input_names(params)
    if len(positional) > len(names):
        raise GraphError(f"{op.name} ({name}) takes {len(names)} inputs under these parameters, got {len(positional)}")
    sources = {**dict(zip(names, positional, strict=False)), **named}
    for key in sources:
        if key not in names:
            raise GraphError(
                f"{op.name} ({name}) has no input {key!r} under these parameters; its inputs are {', '.join(names)}"
            )
    inputs = [sources.get(n) or (missing_input(op, params, name, n, text), 0) for n in names]
    return SymbolNode(op, name, text, params, inputs)


def missing_input(op: Op, params: Any, node_name: str, input_name: str, attrs: Mapping[str, str]) -> SymbolNode:
    """The variable that stands for an input nobody gave. It inherits the operator's attributes, as in MXNet: so a
    learning-rate multiplier or a device group of a layer reaches its weights."""
    name = f"{node_name}_{input_name}" if node_name else input_name
    return SymbolNode(None, name, {**attrs, **op.key_variable_attrs(params, input_name)})


def rebuild(
    heads: Iterable[Head], change: Callable[[SymbolNode, tuple[Head, ...]], Sequence[Head] | None]
) -> list[Head]:
    """The heads of a copy in which `change(node, inputs)` has put other outputs in the place of a node's.

    `change` sees each node after its inputs were changed; it returns None to keep the node.
    """
    heads = list(heads)
    new: dict[Head, Head] = {}
    for node in depth_first(heads):
        inputs = tuple(new.get(head, head) for head in node.inputs)
        outputs = change(node, inputs)
        if outputs is None and inputs != node.inputs:
            copy = SymbolNode(node.op, node.name, node.attrs, node.params, inputs)
            outputs = [(copy, i) for i in range(node.output_count)]
        for i, output in enumerate(outputs or ()):
            new[node, i] = output
    return [new.get(head, head) for head in heads]


def substitute(heads: Iterable[Head], sources: Mapping[str, Head], name: str | None = None) -> list[Head]:
    """The graph with variables replaced by the sources of their names; its last node renamed when a name is given."""
    heads = list(heads)
    top = heads[0][0]
    used = set()

    def change(node: SymbolNode, inputs: tuple[Head, ...]) -> Sequence[Head] | None:
        if node.op is None and node.name in sources:
            used.add(node.name)
            return [sources[node.name]]
        if node is top and name and node.op is not None:
            renamed = SymbolNode(node.op, name, node.attrs, node.params, inputs)
            return [(renamed, i) for i in range(node.output_count)]
        return None

    composed = rebuild(heads, change)
    for key in sources:
        if key not in used:
            names = ", ".join(node.name for node in depth_first(heads) if node.op is None)
            raise GraphError(f"composing: there is no variable {key!r}; variables are {names}")
    return composed
