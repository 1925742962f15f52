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

    __slots__ = ("nodes", "key", "inputs", "uses", "latest")

    def __init__(self, key):
        self.nodes: list[Node] = []  # in topological order
        self.key = key  # what nodes of one group share; None for a node that cannot be grouped
        self.inputs: set[Value] = set()  # those of other units
        self.uses: list[tuple[Value, Node]] = []  # values of the unit that nodes of other units read
        self.latest = -1  # the last of the places of all nodes it depends on, its own included


def fuse(graph: Graph) -> Graph:
    order, mark = graph.nodes(), len(graph.forward_nodes)
    units = _Units(order)
    for at, node in enumerate(order):
        key = _key(node, at < mark)
        units.join(_Unit(None) if key is None else units.fitting(key, node), node)
    groups = dict.fromkeys([u for u in units.of.values() if len(u.nodes) > 1])
    return _collapse(graph, list(groups), units.of)


class _Units:
    """The units of a graph while they grow, and what depends on what."""

    def __init__(self, order: list[Node]):
        self.place = {node: i for i, node in enumerate(order)}
        self.of: dict[Node, _Unit] = {}

    def fitting(self, key: tuple, node: Node) -> _Unit:
        """The unit that a node should join: those of its producers that it fits, as one where that can be, or a new one."""
        sources = dict.fromkeys([self.of[v.node] for v in node.inputs])
        found = [u for u in sources if u.key == key and self.fits(u, node)]
        unit = found.pop() if found else _Unit(key)
        for other in found:
            if self.mergeable(unit, other):
                self.merge(unit, other)
        return unit

    def join(self, unit: _Unit, node: Node) -> None:
        """Adds the next node of the order to a unit."""
        for value in node.inputs:
            source = self.of[value.node]
            if source is not unit:
                unit.inputs.add(value)
                source.uses.append((value, node))
        unit.nodes.append(node)
        self.of[node] = unit
        unit.latest = self.place[node]  # whatever is in units so far has its place before
        if unit.uses:
            self._tell_readers(unit)

    def _tell_readers(self, unit: _Unit) -> None:
        """Whoever depends on the unit depends on the latest that it depends on."""
        stack = [unit]
        while stack:
            for _, reader in stack.pop().uses:
                one = self.of[reader]
                if one.latest < unit.latest:
                    one.latest = unit.latest
                    stack.append(one)

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
        unit.uses += other.uses
        unit.latest = max(unit.latest, other.latest)
        self._tell_readers(unit)


def _key(node: Node, forward: bool) -> tuple | None:
    """What the nodes of one group share; None for a node that cannot be grouped."""
    if not isinstance(node.op, Elementwise) or type(node.op).lower is not Elementwise.lower:
        return None
    # A tile holds values as they are computed; what storing would cut off (fractions, high bits) has to be stored.
    out, kind = node.outputs[0], group_type(node)
    if out.dtype not in FLOATS and out.dtype != kind:
        return None
    return out.shape, kind, forward, node.device


def _collapse(graph: Graph, groups: list[_Unit], unit_of: dict[Node, _Unit]) -> Graph:
    roots = set(graph.roots())
    fused: list[Node] = []
    readers: dict[Node, None] = {}
    for group in groups:
        # Those that were of other units when they read a value may have been merged with its unit since.
        outside = [(value, node) for value, node in group.uses if unit_of[node] is not group]
        read = {value for value, _ in outside}
        fused.append(_fused_node(group, [v for n in group.nodes for v in n.outputs if v in read or v in roots]))
        readers.update([(node, None) for _, node in outside if len(unit_of[node].nodes) == 1])
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
        [v.type for v in results],
        "+".join(dict.fromkeys(n.name for n in nodes)),
        last.device,
        last.attrs,
    )
    fused.origin = last.origin
    return fused
