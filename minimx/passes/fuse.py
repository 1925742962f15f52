"""fuse: elementwise neighbours become one node, so that their intermediate values never leave the first-level cache.

A group is a set of elementwise nodes with one iteration space, one compute type and one side of the forward/backward mark.
A node joins the group of a producer unless another of its inputs depends on that group, which would make a cycle.
"""

from __future__ import annotations

from ..base import FLOATS
from ..elementwise import FUSED, Elementwise, group_type, outside_inputs
from ..graph import Graph, Node, Value, topological, with_inputs

MAX_NODES = 48
MAX_INPUTS = 16


class _Unit:
    """A group of nodes that will run as one call, or a single node that takes part in nothing."""

    __slots__ = ("nodes", "bits", "needs", "key", "inputs", "is_read")

    def __init__(self, key):
        self.nodes: list[Node] = []  # in topological order
        self.bits = 0  # its nodes, as a bit set
        self.needs = 0  # all nodes it depends on, its own included
        self.key = key  # what nodes of one group share; None for a node that cannot be grouped
        self.inputs: set[Value] = set()
        self.is_read = False  # whether another unit depends on it


def fuse(graph: Graph) -> Graph:
    forward = set(topological(graph.forward_roots()))
    order = graph.nodes()
    position = {node: i for i, node in enumerate(order)}
    unit_of: dict[Node, _Unit] = {}
    units: list[_Unit] = []
    for i, node in enumerate(order):
        key = None
        if _can_join(node):
            key = (node.outputs[0].shape, group_type(node), node in forward, node.device)
        sources = {unit_of[v.node]: None for v in node.inputs}
        fitting = [u for u in sources if key is not None and u.key == key and _fits(u, node, unit_of)]
        if fitting:
            unit = fitting[-1]
            for other in fitting[:-1]:
                if _mergeable(unit, other, unit_of):
                    _merge(unit, other, unit_of, units, position)
                    sources.pop(other)
        else:
            unit = _Unit(key)
            units.append(unit)
        _join(unit, node, 1 << i, [u for u in sources if u is not unit], units)
        unit_of[node] = unit
    return _collapse(graph, [u for u in units if len(u.nodes) > 1], order)


def _join(unit: _Unit, node: Node, bit: int, sources: list[_Unit], units: list[_Unit]) -> None:
    new = 0
    for source in sources:
        source.is_read = True
        new |= source.needs
    if unit.is_read and new & ~unit.needs:
        # Whoever depends on the unit depends on what the node brings with it, too.
        for other in units:
            if other.needs & unit.bits:
                other.needs |= new
    unit.needs |= new | bit
    unit.bits |= bit
    unit.nodes.append(node)
    unit.inputs.update(node.inputs)


def _mergeable(a: _Unit, b: _Unit, unit_of: dict[Node, _Unit]) -> bool:
    """Whether two units can become one: nothing outside stands between them, and together they stay small."""
    if len(a.nodes) + len(b.nodes) >= MAX_NODES:
        return False
    if sum(unit_of[v.node] not in (a, b) for v in a.inputs | b.inputs) >= MAX_INPUTS:
        return False
    for one, other in ((a, b), (b, a)):
        for value in one.inputs:
            between = unit_of[value.node]
            if between is not one and between is not other and between.needs & other.bits:
                return False
    return True


def _merge(unit: _Unit, other: _Unit, unit_of: dict[Node, _Unit], units: list[_Unit], position) -> None:
    units.remove(other)
    for node in other.nodes:
        unit_of[node] = unit
    unit.nodes = sorted(unit.nodes + other.nodes, key=position.__getitem__)
    unit.bits |= other.bits
    unit.needs |= other.needs
    unit.inputs |= other.inputs
    unit.is_read |= other.is_read
    if unit.is_read:
        for third in units:
            if third.needs & unit.bits:
                third.needs |= unit.needs


def _can_join(node: Node) -> bool:
    if not isinstance(node.op, Elementwise) or type(node.op).lower is not Elementwise.lower:
        return False
    # A tile holds values as they are computed; what storing would cut off (fractions, high bits) has to be stored.
    dtype = node.outputs[0].dtype
    return dtype in FLOATS or dtype == group_type(node)


def _fits(unit: _Unit, node: Node, unit_of: dict[Node, _Unit]) -> bool:
    if len(unit.nodes) >= MAX_NODES:
        return False
    if sum(unit_of[v.node] is not unit for v in unit.inputs | set(node.inputs)) > MAX_INPUTS:
        return False
    return all((u := unit_of[v.node]) is unit or not u.needs & unit.bits for v in node.inputs)


def _collapse(graph: Graph, groups: list[_Unit], order: list[Node]) -> Graph:
    if not groups:
        return graph
    group_of = {node: group for group in groups for node in group.nodes}
    read_outside: dict[_Unit, dict[Value, None]] = {group: {} for group in groups}
    roots = set(graph.roots())
    for node in order:
        for value in node.inputs:
            group = group_of.get(value.node)
            if group is not None and group_of.get(node) is not group:
                read_outside[group][value] = None
        for value in node.outputs:
            if value in roots and node in group_of:
                read_outside[group_of[node]][value] = None
    new: dict[Value, Value] = {}
    # A group stands where its last node stood: everything it reads is ready there, and `_fits` made sure that nothing
    # that reads it is needed for it. Readers that came before that place are visited again after it.
    made: set[object] = set()

    def build(item) -> None:
        stack = [item]
        while stack:
            top = stack[-1]
            if top in made:
                stack.pop()
                continue
            inputs = outside_inputs(top.nodes) if isinstance(top, _Unit) else top.inputs
            waiting = [u for v in inputs if (u := group_of.get(v.node, v.node)) not in made]
            if waiting:
                stack.extend(waiting)
                continue
            stack.pop()
            made.add(top)
            if isinstance(top, _Unit):
                _fused_node(top, list(read_outside[top]), new)
            elif any(v in new for v in top.inputs):
                rebuilt = with_inputs(top, [new.get(v, v) for v in top.inputs])
                new.update(zip(top.outputs, rebuilt.outputs, strict=True))

    for node in order:
        build(group_of.get(node, node))
    return graph.replaced(new)


def _fused_node(group: _Unit, results: list[Value], new: dict[Value, Value]) -> None:
    last = group.nodes[-1]
    nodes = tuple(group.nodes)
    inputs = [new.get(v, v) for v in outside_inputs(nodes)]
    fused = Node(
        FUSED,
        FUSED.Params(nodes, tuple(results)),
        inputs,
        [(v.shape, v.dtype) for v in results],
        "+".join(dict.fromkeys(n.name for n in nodes)),
        last.device,
        last.attrs,
    )
    fused.origin = last.origin
    new.update(zip(results, fused.outputs, strict=True))
