"""share: the same elementwise operation on the same values is computed once.

Gradients and state updates are written formula by formula and repeat parts of each other. Forward and backward part stay
apart: what the backward part computes again was meant to spare memory.
"""

from __future__ import annotations

from typing import Any

from ..elementwise import Elementwise
from ..graph import Graph, Node, rewrite


def share(graph: Graph) -> Graph:
    forward = set(graph.forward_nodes)
    known: dict[Any, Node] = {}

    def change(node, inputs):
        if not isinstance(node.op, Elementwise) or node.op.random:
            return None
        types = tuple([v.type for v in node.outputs])
        key = (node.op, node.op.key(node.params), inputs, types, node.device, node in forward)
        first = known.setdefault(key, node)
        return None if first is node else first.outputs

    return rewrite(graph, change)
