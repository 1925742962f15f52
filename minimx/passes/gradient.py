"""gradient: adds to a graph the nodes that compute the gradients of its outputs with respect to chosen arguments.

Gradients are graphs of ordinary operators: every operator says what its gradient is made of (`Op.gradient`), this pass only
walks backwards and sums what arrives at a value from several consumers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from ..base import GraphError
from ..graph import Graph, Node, Value, apply, made_for, topological, variable, with_inputs
from ..op import Op

HEAD_GRAD = "_head_grad{}"


def gradient(graph: Graph, grad_req: Mapping[str, str], mirror: bool = False, heads_used: int | None = None) -> Graph:
    """The graph with gradients as `grad_req` asks for them (write, add or null), and with its operators' state updates.

    Only the first `heads_used` outputs are differentiated (all of them by default).
    """
    wanted = {name: graph.arguments[name] for name, req in grad_req.items() if req != "null"}
    heads: list[Value] = []
    seeds: dict[Value, list[Value]] = {}
    for i, value in enumerate(graph.outputs[:heads_used]):
        seed = variable(HEAD_GRAD.format(i), value.shape, value.dtype, value.node.device)
        heads.append(seed)
        seeds.setdefault(value, []).append(seed)
    every = len(heads) == len(graph.outputs) and not graph.early_updates
    order = graph.forward_nodes if every else None
    found = backpropagate(graph.outputs[:heads_used], seeds, list(wanted.values()), order)
    early, late = state_updates(graph)
    gradients, accumulators = {}, {}
    for name, value in wanted.items():
        grad = found.get(value)
        if grad_req[name] == "add":
            if grad is not None:
                accumulators[name] = variable(f"{name}_grad", value.shape, value.dtype, value.node.device)
                accumulators[name].node.origin = value.node
                with made_for(value.node, "_add"):
                    late.append((accumulators[name], accumulators[name] + grad))
        else:
            gradients[name] = grad if grad is not None else _zeros_like(value)
    result = graph.extended(
        head_grads=heads,
        gradients=gradients,
        accumulators=accumulators,
        updates=late,
        early_updates=[*graph.early_updates, *early],
    )
    return recompute(result) if mirror else result


def backpropagate(
    heads: Iterable[Value],
    seeds: Mapping[Value, list[Value]],
    wrt: list[Value],
    order: list[Node] | None = None,
) -> dict[Value, Value | None]:
    """Gradients of `wrt` given the gradients that arrive at the heads; values nothing flows to are absent. `order` is that of
    the heads' nodes, where it is known."""
    order = topological(heads) if order is None else order
    needed = _leading_to(order, {v.node for v in wrt})
    interior = set(wrt)
    arriving: dict[Value, list[Value]] = {v: list(grads) for v, grads in seeds.items()}
    total: dict[Value, Value | None] = {}
    for node in reversed(order):
        if node not in needed:
            continue
        with made_for(node, "_backward"):
            grads = [_sum(arriving.pop(v, [])) for v in node.outputs]
            if node.op is None:
                if grads[0] is not None:
                    total[node.outputs[0]] = grads[0]
                continue
            if all(g is None for g in grads):
                continue
            for value in node.outputs:
                if value in interior and grads[value.index] is not None:
                    total[value] = grads[value.index]
            for value, grad in zip(node.inputs, gradients_of(node, grads), strict=True):
                if grad is not None and value.node in needed:
                    if grad.shape != value.shape:
                        raise GraphError(
                            f"{node.op.name}({node.name}): its gradient for an input of shape {value.shape} has "
                            f"shape {grad.shape}"
                        )
                    arriving.setdefault(value, []).append(grad)
    return total


def gradients_of(node: Node, grads: list[Value | None]) -> list[Value | None]:
    """What one node passes on to its inputs, from what arrived at its outputs."""
    try:
        result = list(node.op.gradient(node.params, node, grads))
    except NotImplementedError:
        raise GraphError(f"{node.op.name}({node.name}) has no gradient") from None
    return result + [None] * (len(node.inputs) - len(result))


def state_updates(graph: Graph) -> tuple[list[tuple[Value, Value]], list[tuple[Value, Value]]]:
    """The (variable, new value) pairs of all operators that change their inputs: with the forward pass, and after it."""
    early: list[tuple[Value, Value]] = []
    late: list[tuple[Value, Value]] = []
    writing = {
        op
        for op in graph.operators
        if op is not None and type(op).updates is not Op.updates and (graph.train or op.early_updates)
    }
    for node in graph.forward_nodes if writing else ():
        if node.op not in writing:
            continue
        with made_for(node, "_update"):
            for index, value in node.op.updates(node.params, node).items():
                target = node.inputs[index]
                if target.node.op is not None:
                    names = node.op.input_names(node.params)
                    raise GraphError(f"{node.op.name}({node.name}): {names[index]} is written and must be a variable")
                (early if node.op.early_updates else late).append((target, value))
    return early, late


def _leading_to(order: list[Node], targets: set[Node]) -> set[Node]:
    """The nodes of `order` through which something flows to the heads from `targets`."""
    reached = set()
    for node in order:
        if node in targets or any(v.node in reached for v in node.inputs):
            reached.add(node)
    return reached


def _sum(grads: list[Value]) -> Value | None:
    if not grads:
        return None
    if len(grads) == 1:
        return grads[0]
    return apply("add_n", grads)


def _zeros_like(value: Value) -> Value:
    with made_for(value.node, "_backward"):
        return apply("zeros_like", [value])


def recompute(graph: Graph) -> Graph:
    """Makes the backward part compute cheap forward values again instead of keeping them.

    A forward value that only cheap operators stand between it and something kept anyway (an argument, the output of a
    convolution or matrix product, a random mask) is worth less than its memory. An activation that rides on such a product
    is what is kept anyway: without it the product's own output would be.
    """
    forward = set(graph.forward_nodes)
    kept = set(graph.outputs)
    uses = Counter(v for node in graph.nodes() for v in node.inputs)

    def rides(node: Node) -> bool:
        if len(node.inputs) != 1 or uses[node.inputs[0]] > 1:
            return False
        host = node.inputs[0].node.op
        return host is not None and bool(host.takes_riders)

    copies: dict[Node, Node] = {}

    def again(value: Value) -> Value:
        node = value.node
        if (
            value in kept
            or node.op is None
            or not node.op.cheap
            or node.op.random
            or node not in forward
            or rides(node)
        ):
            return value
        if node not in copies:
            copies[node] = with_inputs(node, [again(v) for v in node.inputs])
            copies[node].late = True
        return copies[node].outputs[value.index]

    backward: dict[Value, Value] = {}

    def redo(value: Value) -> Value:
        return backward.get(value, value)

    for node in graph.backward_nodes:
        if node.op is None:
            continue
        inputs = [again(v) if v.node in forward else redo(v) for v in node.inputs]
        if tuple(inputs) != node.inputs:
            for old, new in zip(node.outputs, with_inputs(node, inputs).outputs, strict=True):
                backward[old] = new
    return graph.replaced(backward)
