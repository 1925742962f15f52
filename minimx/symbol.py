"""Symbols: immutable descriptions of computations, as the user writes and files store them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from .op import Op


class SymbolNode:
    """One operator application or variable (op is None) of a symbol; never changed once a symbol holds it.

    `attrs` are strings, as in a symbol file: the parameters the user gave and the __dunder__ attributes. `params` are the
    operator's typed and complete parameters. `inputs` are (node, output index) pairs.
    """

    __slots__ = ("op", "name", "attrs", "params", "inputs")

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

    @property
    def output_count(self) -> int:
        return 1 if self.op is None else len(self.op.output_names(self.params))


Head = tuple[SymbolNode, int]


def depth_first(heads: Iterable[Head]) -> list[SymbolNode]:
    """Every node the heads need, inputs before consumers, left to right, each once."""
    order: list[SymbolNode] = []
    seen: set[int] = set()
    for head, _ in heads:
        if id(head) in seen:
            continue
        seen.add(id(head))
        stack = [(head, iter(head.inputs))]
        while stack:
            node, rest = stack[-1]
            for child, _ in rest:
                if id(child) not in seen:
                    seen.add(id(child))
                    stack.append((child, iter(child.inputs)))
                    break
            else:
                order.append(node)
                stack.pop()
    return order


def auxiliary_nodes(nodes: Iterable[SymbolNode]) -> set[SymbolNode]:
    """The variables that some operator uses as auxiliary state."""
    found = set()
    for node in nodes:
        if node.op is not None and node.op.aux:
            names = node.op.input_names(node.params)
            for name, (child, _) in zip(names, node.inputs, strict=False):
                if name in node.op.aux and child.op is None:
                    found.add(child)
    return found


class Symbol:
    """One or several outputs of a graph of operators."""

    __slots__ = ("_heads",)

    def __init__(self, heads: Iterable[Head]):
        self._heads = tuple(heads)
