"""place: says for every node on which device it runs, and puts copies where values cross from one to another."""

from __future__ import annotations

from collections.abc import Mapping

from ..graph import Device, Graph, Node, Value, apply_op, made_for, rewrite


def place(graph: Graph, default: Device, groups: Mapping[str, Device] | None = None) -> Graph:
    """Nodes follow their `ctx_group`; nodes that passes made follow the node they were made for."""
    if not groups:
        for node in graph.nodes():
            node.device = default
        return graph

    def wanted(node: Node) -> Device:
        group = node.attrs.get("__ctx_group__") or node.attrs.get("ctx_group")
        return groups.get(group, default) if group else default

    seeds = {v: head for v, head in zip(graph.head_grads, graph.outputs, strict=False)}
    for node in graph.nodes():
        seed = seeds.get(node.outputs[0]) if node.outputs else None
        node.device = wanted(seed.node.origin if seed is not None else node.origin)

    copies: dict[tuple[Value, Device], Value] = {}

    def here(value: Value, node: Node) -> Value:
        if value.node.device == node.device:
            return value
        key = (value, node.device)
        if key not in copies:
            from ..op import find

            with made_for(node, "_copy"):
                op = find("_CrossDeviceCopy")
                copy = apply_op(op, [value], op.parse({}))
            copy.device = node.device
            copies[key] = copy.outputs[0]
        return copies[key]

    def change(node: Node, inputs):
        if node.op is None or node.op.name == "_CrossDeviceCopy":
            return None
        local = tuple(here(v, node) for v in inputs)
        if local == tuple(inputs):
            return None
        moved = Node(node.op, node.params, local, [v.type for v in node.outputs], node.name, node.device, node.attrs)
        moved.origin = node.origin
        return moved.outputs

    return rewrite(graph, change)
