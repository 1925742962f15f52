"""expand: replaces operators that are made of other operators by what they are made of.

It runs twice. Before differentiation only what has no gradient of its own (or asks for it) is expanded; afterwards
everything, until each node either names a kernel or is elementwise.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..graph import Graph, Node, Value, made_for, rewrite, with_inputs
from ..op import Op

_MAX_DEPTH = 16


def expand(graph: Graph, before_gradient: bool = False) -> Graph:
    train = graph.train
    for _ in range(_MAX_DEPTH):
        expanded: list[Node] = []

        composed = {op for op in graph.operators if op is not None and type(op).expand is not Op.expand}
        if not composed:
            return graph

        def change(node, inputs, expanded=expanded, composed=composed):
            if node.op not in composed or (before_gradient and not differentiates_by_expansion(node, train)):
                return None
            outputs = expansion(node, inputs, train)
            if outputs is not None:
                expanded.append(node)
            return outputs

        graph = rewrite(graph, change)
        if not expanded:
            return graph
    raise RecursionError(f"operators expand into each other without end: {expanded}")


def differentiates_by_expansion(node: Node, train: bool) -> bool:
    op = node.op
    return op is not None and (op.differentiable_by_expansion or op.expand_before_gradient(node.params, train))


def expansion(node: Node, inputs: Sequence[Value], train: bool) -> Sequence[Value] | None:
    """The values that a node is made of, on the given inputs; None when it stands for itself."""
    if type(node.op).expand is Op.expand:
        return None
    rebuilt = node if tuple(inputs) == node.inputs else with_inputs(node, inputs)
    with made_for(node):
        return node.op.expand(node.params, rebuilt, train)
