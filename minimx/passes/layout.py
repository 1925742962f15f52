"""layout: images get their channels last where convolutions want it, once for whole chains of operators.

The CPU's convolution kernels are fastest when the numbers of one pixel lie side by side. A convolution that gains by it takes
its data in that form and leaves its result in it; operators that can work on both (`Op.channels_last`) follow when an input
has it already. Transposes appear only where the two worlds meet.
"""

from __future__ import annotations

from ..graph import Graph, Node, Value, apply, made_for
from ..op import Op, product

TO_LAST, TO_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)


def layout(graph: Graph) -> Graph:
    if not any(map(_begins, graph.operators)):
        return graph
    forms = _Forms()
    for node in graph.nodes():
        if node.op is None:
            continue
        if node.op.name == "transpose" and forms.meets(node):
            continue
        made = None
        if node.device[0] == "cpu" and (node.op.wants_channels_last(node) or forms.follows_gladly(node)):
            with made_for(node):
                made = node.op.channels_last(node.params, node, forms.last, forms.plain)
        if made is not None:
            forms.follow(node, made)
        else:
            forms.keep(node)
    return graph.replaced({v: forms.plain(v) for v in graph.roots()}) if forms.differ() else graph


def _begins(op: Op | None) -> bool:
    """Whether there may be images with their channels last from here on."""
    return op is not None and (type(op).wants_channels_last is not Op.wants_channels_last or op.name == "transpose")


class _Forms:
    """The values of the new graph that stand for those of the old one, in either form."""

    def __init__(self) -> None:
        self._plain: dict[Value, Value] = {}
        self._last: dict[Value, Value] = {}
        self._follows: set[Value] = set()  # those that were computed with the channels last

    def plain(self, value: Value) -> Value:
        found = self._plain.get(value)
        if found is None:
            if value not in self._follows:
                return value
            found = self._plain[value] = _turned(value, self._last[value], TO_FIRST)
        return found

    def last(self, value: Value) -> Value:
        found = self._last.get(value)
        if found is None:
            found = self._last[value] = _turned(value, self.plain(value), TO_LAST)
        return found

    def differ(self) -> bool:
        """Whether the new graph is another one."""
        return bool(self._plain or self._last)

    def follows_gladly(self, node: Node) -> bool:
        """Whether some of what a node reads has its channels last, and turning the rest is no more work than turning that
        back: the gradient of a pool whose data have no other form should not turn them."""
        ready = sum(product(v.shape) for v in node.inputs if v in self._follows)
        rest = sum(product(v.shape) for v in node.inputs if v.ndim == 4 and v not in self._last)
        return ready > 0 and rest <= ready

    def follow(self, node: Node, made: list[Value]) -> None:
        for old, new in zip(node.outputs, made, strict=True):
            new.node.late = node.late
            if old.ndim == 4 and new.shape == tuple(old.shape[i] for i in TO_LAST) and node.op.moves_output(node):
                self._last[old] = new
                self._follows.add(old)
            else:
                self._plain[old] = new

    def keep(self, node: Node) -> None:
        if not self._plain and not self._follows:
            return
        node.inputs = tuple([self.plain(v) for v in node.inputs])

    def meets(self, node: Node) -> bool:
        """A transpose of the user's between the two forms: one of them is there already."""
        (source,), (out,) = node.inputs, node.outputs
        if node.params.axes == TO_LAST and source in self._follows:
            self._plain[out] = self._last[source]
            return True
        if node.params.axes == TO_FIRST and node.device[0] == "cpu" and source not in self._follows:
            self._last[out] = self.plain(source)
            self._follows.add(out)
            return True
        return False


def _turned(old: Value, value: Value, axes: tuple[int, ...]) -> Value:
    with made_for(old.node, "_layout"):
        turned = apply("transpose", [value], axes=axes)
    if old.node.op is not None:
        turned.node.late = old.node.late
    return turned
