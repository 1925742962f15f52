"""expand: replaces operators that are made of other operators by what they are made of.

It runs twice. Before differentiation only what has no gradient of its own (or asks for it) is expanded; afterwards
everything, until each node either names a kernel or is elementwise.
"""

from __future__ import annotations

from ..graph import Graph, Node, made_for, rewrite

_MAX_DEPTH = 16


def expand(graph: Graph, before_gradient: bool = False) -> Graph:
    for _ in range(_MAX_DEPTH):
        changed = False

        def change(node, inputs):
            nonlocal changed
            if node.op is None:
                return None
            if before_gradient and not differentiates_by_expansion(node, graph.train):
                return None
            outputs = expansion(node, inputs, graph.train)
            if outputs is not None:
                changed = True
            return outputs

        graph = rewrite(graph, change)
        if not changed:
            return graph
    raise RecursionError("operators expand into each other without end")


def differentiates_by_expansion(node: Node, train: bool) -> bool:
    op = node.op
    return op is not None and (op.differentiable_by_expansion or op.expand_before_gradient(node.params, train))


def expansion(node: Node, inputs, train: bool):
    """The values that a node is made of, on the given inputs; None when it stands for itself."""
    if type(node.op).expand is _plain_expand():
        return None
    from ..graph import with_inputs

    rebuilt = node if tuple(inputs) == node.inputs else with_inputs(node, inputs)
    with made_for(node):
        return node.op.expand(node.params, rebuilt, train)


def _plain_expand():
    from ..op import Op

    return Op.expand
