"""fuse: elementwise neighbours become one node, so that their intermediate values never leave the first-level cache.

A group is a set of elementwise nodes with one iteration space, one compute type and one side of the forward/backward mark.
A node joins the group of a producer unless another of its inputs depends on that group, which would make a cycle.
"""

from __future__ import annotations

from ..base import FLOATS
from ..elementwise import FUSED, Elementwise, group_type, outside_inputs
from ..graph import Graph, Node, Value

MAX_NODES = 48
MAX_INPUTS = 16
MAX_DISTANCE = 2000  # nodes between a group and a node that joins it: keeps the search for cycles short


class _Unit:
    """A group of nodes that will run as one call, or a single node that takes part in nothing."""

    __slots__ = ("nodes", "key", "inputs", "readers", "latest")

    def __init__(self, key):
        self.nodes: list[Node] = []  # in topological order
        self.key = key  # what nodes of one group share; None for a node that cannot be grouped
        self.inputs: set[Value] = set()  # those of other units
        self.readers: list[Node] = []  # those of other units
        self.latest = -1  # the last of the places of all nodes it depends on, its own included


def fuse(graph: Graph) -> Graph:
    order, forward = graph.nodes(), set(graph.forward_nodes)
    units = _Units(order)
    for node in order:
        key = _key(node, forward)
        fitting = []
        if key is not None:
            sources = dict.fromkeys([units.of[v.node] for v in node.inputs])
            fitting = [u for u in sources if u.key == key and units.fits(u, node)]
        unit = fitting.pop() if fitting else _Unit(key)
        for other in fitting:
            if units.mergeable(unit, other):
                units.merge(unit, other)
        units.join(unit, node)
    groups = dict.fromkeys([u for u in units.of.values() if len(u.nodes) > 1])
    return _collapse(graph, list(groups), order)


class _Units:
    """The units of a graph while they grow, and what depends on what."""

    def __init__(self, order: list[Node]):
        self.place = {node: i for i, node in enumerate(order)}
        self.of: dict[Node, _Unit] = {}

    def join(self, unit: _Unit, node: Node) -> None:
        latest = self.place[node]
        for value in node.inputs:
            source = self.of[value.node]
            if source is not unit:
                unit.inputs.add(value)
                source.readers.append(node)
                latest = max(latest, source.latest)
        unit.nodes.append(node)
        self.of[node] = unit
        if unit.readers:
            self._depends_on(unit, latest)
        else:
            unit.latest = latest

    def _depends_on(self, unit: _Unit, latest: int) -> None:
        """Notes it for the unit, and for whoever depends on the unit."""
        stack = [unit]
        while stack:
            one = stack.pop()
            if one.latest < latest:
                one.latest = latest
                stack += [self.of[reader] for reader in one.readers]

    def needs(self, unit: _Unit, other: _Unit) -> bool:
        """Whether a unit depends on another one."""
        stack, seen = [unit], {unit}
        while stack:
            one = stack.pop()
            if one is other:
                return True
            if one.latest >= other.latest:
                new = {self.of[v.node] for v in one.inputs} - seen
                seen |= new
                stack += new
        return False

    def fits(self, unit: _Unit, node: Node) -> bool:
        if len(unit.nodes) >= MAX_NODES or self.place[node] - self.place[unit.nodes[-1]] > MAX_DISTANCE:
            return False
        others = [v for v in node.inputs if self.of[v.node] is not unit]
        if len(unit.inputs.union(others)) > MAX_INPUTS:
            return False
        return not any(self.needs(self.of[v.node], unit) for v in others)

    def mergeable(self, a: _Unit, b: _Unit) -> bool:
        """Whether two units can become one: nothing outside stands between them, and together they stay small."""
        if len(a.nodes) + len(b.nodes) >= MAX_NODES:
            return False
        sources = [u for v in a.inputs | b.inputs if (u := self.of[v.node]) is not a and u is not b]
        if len(sources) >= MAX_INPUTS:
            return False
        return not any(self.needs(u, a) or self.needs(u, b) for u in sources)

    def merge(self, unit: _Unit, other: _Unit) -> None:
        for node in other.nodes:
            self.of[node] = unit
        unit.nodes = sorted(unit.nodes + other.nodes, key=self.place.__getitem__)
        unit.inputs = {v for v in unit.inputs | other.inputs if self.of[v.node] is not unit}
        unit.readers += other.readers
        latest = max(unit.latest, other.latest)
        unit.latest = -1  # readers of either hear of it
        self._depends_on(unit, latest)


def _key(node: Node, forward: set[Node]) -> tuple | None:
    """What the nodes of one group share; None for a node that cannot be grouped."""
    if not isinstance(node.op, Elementwise) or type(node.op).lower is not Elementwise.lower:
        return None
    # A tile holds values as they are computed; what storing would cut off (fractions, high bits) has to be stored.
    out, kind = node.outputs[0], group_type(node)
    if out.dtype not in FLOATS and out.dtype != kind:
        return None
    return out.shape, kind, node in forward, node.device


def _collapse(graph: Graph, groups: list[_Unit], order: list[Node]) -> Graph:
    if not groups:
        return graph
    group_of = {node: group for group in groups for node in group.nodes}
    read_outside: dict[_Unit, dict[Value, None]] = {group: {} for group in groups}
    readers: dict[Node, None] = {}
    roots = set(graph.roots())
    for node in order:
        own = group_of.get(node)
        for value in node.inputs:
            group = group_of.get(value.node)
            if group is not None and group is not own:
                read_outside[group][value] = None
                if own is None:
                    readers[node] = None
        for value in node.outputs:
            if own is not None and value in roots:
                read_outside[own][value] = None
    fused = [_fused_node(group, list(read_outside[group])) for group in groups]
    new = {old: value for node in fused for old, value in zip(node.params.results, node.outputs, strict=True)}
    # `fits` made sure that no group waits for what waits for it: readers can simply read the fused nodes instead.
    for node in (*fused, *readers):
        node.inputs = tuple([new.get(v, v) for v in node.inputs])
    return graph.replaced(new)


def _fused_node(group: _Unit, results: list[Value]) -> Node:
    last = group.nodes[-1]
    nodes = tuple(group.nodes)
    fused = Node(
        FUSED,
        FUSED.Params(nodes, tuple(results)),
        outside_inputs(nodes),
        [(v.shape, v.dtype) for v in results],
        "+".join(dict.fromkeys(n.name for n in nodes)),
        last.device,
        last.attrs,
    )
    fused.origin = last.origin
    return fused
