"""The typed graph that the compile passes work on: nodes with known shapes and dtypes, built by applying operators.

A Symbol is what the user writes; a Graph is what the passes read and return. Passes build new nodes with `apply` (or the
arithmetic of `Value`); both infer the shapes of what they make at once, so a node of a graph is never untyped.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from operator import attrgetter
from typing import Any

from .base import ITEM_SIZES
from .op import Memo, Op, find

Device = tuple[str, int]
Type = tuple[tuple[int, ...], str]  # shape and dtype


class Value:
    """One output of a node."""

    __slots__ = ("node", "index", "type", "shape", "dtype")

    def __init__(self, node: Node, index: int, type: Type):
        self.node = node
        self.index = index
        self.type = type
        self.shape, self.dtype = type

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        size = 1
        for d in self.shape:
            size *= d
        return size

    @property
    def nbytes(self) -> int:
        return self.size * ITEM_SIZES[self.dtype]

    def __repr__(self) -> str:
        return f"{self.node.name}[{self.index}]:{self.dtype}{list(self.shape)}"

    # Arithmetic on values makes elementwise nodes; shapes that differ are broadcast.
    def __add__(self, other):
        return _binary("add", "_plus_scalar", self, other)

    __radd__ = __add__

    def __sub__(self, other):
        return _binary("sub", "_minus_scalar", self, other)

    def __rsub__(self, other):
        return apply("_rminus_scalar", [self], scalar=other)

    def __mul__(self, other):
        return _binary("mul", "_mul_scalar", self, other)

    __rmul__ = __mul__

    def __truediv__(self, other):
        return _binary("div", "_div_scalar", self, other)

    def __rtruediv__(self, other):
        return apply("_rdiv_scalar", [self], scalar=other)

    def __pow__(self, other):
        return _binary("power", "_power_scalar", self, other)

    def __neg__(self):
        return apply("negative", [self])

    def __gt__(self, other):
        return _binary("greater", "_greater_scalar", self, other)

    def __ge__(self, other):
        return _binary("greater_equal", "_greater_equal_scalar", self, other)

    def __lt__(self, other):
        return _binary("lesser", "_lesser_scalar", self, other)

    def __le__(self, other):
        return _binary("lesser_equal", "_lesser_equal_scalar", self, other)


def _binary(name: str, scalar_name: str, a: Value, b: Any) -> Value:
    if isinstance(b, Value):
        return apply(f"broadcast_{name}", [a, b])
    return apply(scalar_name, [a], scalar=b)


class Node:
    """One application of an operator, or a variable (op is None)."""

    __slots__ = ("op", "params", "inputs", "outputs", "name", "device", "origin", "attrs", "late")

    def __init__(
        self,
        op: Op | None,
        params: Any,
        inputs: Sequence[Value],
        types: Sequence[Type],
        name: str,
        device: Device | None = None,
        attrs: dict[str, str] | None = None,
    ):
        self.op: Any = op  # an Op, or None for a variable
        self.params = params
        self.inputs = tuple(inputs)
        if len(types) == 1:  # as most have
            self.outputs: tuple[Value, ...] = (Value(self, 0, types[0]),)
        else:
            self.outputs = tuple([Value(self, i, type) for i, type in enumerate(types)])
        self.name = name
        self.device: Any = device  # set by the place pass at the latest
        self.attrs = {} if attrs is None else attrs
        self.late = False  # wanted only just before its reader: a value computed again to spare memory
        self.origin = self  # the node of the user's symbol this one was made for

    def __repr__(self) -> str:
        op = self.op.name if self.op else "variable"
        return f"{op}({self.name})"


def variable(name: str, shape: tuple[int, ...], dtype: str, device: Device | None = None) -> Value:
    return Node(None, None, (), [(tuple(shape), dtype)], name, device).outputs[0]


_creation: list[tuple[Node, str]] = []  # whom nodes are made for, and how they are called


class made_for:
    """Nodes made inside carry the name, device and origin of `origin`, so that errors and placement know them."""

    __slots__ = ("entry",)

    def __init__(self, origin: Node, suffix: str = ""):
        self.entry = (origin, origin.name + suffix)

    def __enter__(self) -> None:
        _creation.append(self.entry)

    def __exit__(self, *error: object) -> None:
        _creation.pop()


def apply_op(op: Op, inputs: Sequence[Value], params: Any, name: str | None = None) -> Node:
    """A new node; shapes and dtypes of its outputs are inferred from its inputs."""
    types = op.infer_outputs(params, [v.type for v in inputs], name or _name_for(op))
    return _new_node(op, inputs, params, types, name)


def _name_for(op: Op) -> str:
    return _creation[-1][1] if _creation else op.name.lower()


def _new_node(op: Op, inputs: Sequence[Value], params: Any, types: Sequence[Any], name: str | None = None) -> Node:
    if not _creation:
        return Node(op, params, inputs, types, name or op.name.lower())
    origin, given = _creation[-1]
    node = Node(op, params, inputs, types, name or given, origin.device, origin.attrs)
    node.origin = origin.origin
    return node


def apply(name: str, inputs: Sequence[Value], **params: Any) -> Value:
    """The first output of the operator `name` on `inputs`."""
    return _applied(find(name), inputs, params).outputs[0]


def apply_all(name: str, inputs: Sequence[Value], **params: Any) -> tuple[Value, ...]:
    """All outputs of the operator `name` on `inputs`."""
    return _applied(find(name), inputs, params).outputs


def _applied(op: Op, inputs: Sequence[Value], params: dict[str, Any]) -> Node:
    types = tuple([v.type for v in inputs])
    key: tuple = (op, types)
    if params:
        given = tuple(params.values())
        kinds = tuple(map(type, given))
        if not _PLAIN.issuperset(kinds):
            return apply_op(op, inputs, op.parse(params, count=len(inputs)))
        key = (op, types, tuple(params), given, kinds, op.has_reals and repr(given))
    found = _applications.get(key)
    if found is None:
        parsed = op.parse(params, count=len(inputs))
        found = _applications.keep(key, (parsed, op.infer_outputs(parsed, types, _name_for(op))))
    return _new_node(op, inputs, *found)


# Parsed parameters and types of the outputs. They follow from the operator, from the parameters as they were given and from
# the inputs' types; the gradients of a deep network ask for the same few again and again. The key tells numbers apart that
# are equal (1 and True, 0.0 and -0.0), and parameters that hold objects, which it would keep alive, go another way.
_applications = Memo()
_PLAIN = frozenset({int, float, bool, str, tuple, type(None)})


@dataclass(frozen=True)
class Graph:
    """What one compilation works on. Passes return a new Graph (or the same, if they changed nothing) and use the given one
    up: nodes that they keep are in both, and read what the pass has put in the place of their inputs."""

    arguments: dict[str, Value]
    auxiliary: dict[str, Value]
    outputs: list[Value]
    output_names: list[str]
    train: bool = False
    head_grads: list[Value] = field(default_factory=list)
    # Gradients that are added to what their arrays hold: the arrays, as variables; `updates` writes the sums to them.
    accumulators: dict[str, Value] = field(default_factory=dict)
    gradients: dict[str, Value] = field(default_factory=dict)
    # (variable, its new value): moving statistics, optimizer states. Early ones run in the forward part.
    updates: list[tuple[Value, Value]] = field(default_factory=list)
    early_updates: list[tuple[Value, Value]] = field(default_factory=list)

    def forward_roots(self) -> list[Value]:
        return [*self.outputs, *(v for _, v in self.early_updates)]

    def backward_roots(self) -> list[Value]:
        # Last argument first: its gradient is ready first, and what it is made of need not wait for the others.
        return [*reversed(self.gradients.values()), *(v for _, v in reversed(self.updates))]

    def roots(self) -> list[Value]:
        return [*self.forward_roots(), *self.backward_roots()]

    @cached_property
    def forward_nodes(self) -> list[Node]:
        return topological(self.forward_roots())

    @cached_property
    def backward_nodes(self) -> list[Node]:
        """Those that only the backward part needs."""
        return topological(self.backward_roots(), self.forward_nodes)

    def nodes(self) -> list[Node]:
        return self.forward_nodes + self.backward_nodes

    @cached_property
    def operators(self) -> set[Op | None]:
        """Those that its nodes apply: a pass that is about others has nothing to do."""
        return {node.op for node in self.nodes()}

    def uses(self) -> Counter[Value]:
        """How often every value is read, by nodes or as a root."""
        return Counter(chain(self.roots(), *[node.inputs for node in self.nodes()]))

    def extended(self, **parts: Any) -> Graph:
        """The graph with other parts. While its forward roots stay the same, so does the order of what they need."""
        result = dataclasses.replace(self, **parts)
        if result.forward_roots() == self.forward_roots():
            result.__dict__["forward_nodes"] = self.forward_nodes
        return result

    def replaced(self, new: Mapping[Value, Value]) -> Graph:
        """The graph whose roots are replaced by what `new` has for them; this one when nothing was replaced anywhere."""
        if not new:
            return self
        return dataclasses.replace(
            self,
            outputs=[new.get(v, v) for v in self.outputs],
            gradients={name: new.get(v, v) for name, v in self.gradients.items()},
            updates=[(var, new.get(v, v)) for var, v in self.updates],
            early_updates=[(var, new.get(v, v)) for var, v in self.early_updates],
        )


def topological(roots: Iterable[Value], before: Iterable[Node] = ()) -> list[Node]:
    """Every node the roots need, each after its inputs, in depth-first order from the first root; but none of `before`,
    which is known with all that it needs."""
    order: list[Node] = []
    begun: set[Node] = set(before)
    for root in roots:
        stack: list[Node | None] = [root.node] if root.node not in begun else []
        while stack:
            node = stack.pop()
            if node is None:  # stands over a node whose inputs are done
                order.append(stack.pop())  # type: ignore[arg-type]
            elif node not in begun:
                begun.add(node)
                waiting = []
                for value in node.inputs:
                    if value.node not in begun:
                        waiting.append(value.node)
                if not waiting:
                    order.append(node)
                    continue
                if len(waiting) > 1:
                    waiting.reverse()
                    waiting.sort(key=_late, reverse=True)
                stack.append(node)
                stack.append(None)
                stack += waiting
    return order


_late = attrgetter("late")


def rewrite(graph: Graph, change) -> Graph:
    """The graph where `change(node, inputs)` has replaced nodes. It uses the given graph up.

    `change` sees each node after its inputs were rewritten and returns the values that stand for its outputs, or None to
    keep the node, which then reads the new inputs: a change does not copy everything behind it.
    """
    new: dict[Value, Value] = {}
    untouched = new.keys().isdisjoint
    for node in graph.nodes():
        inputs = node.inputs if untouched(node.inputs) else tuple([new.get(v, v) for v in node.inputs])
        outputs = change(node, inputs)
        if outputs is None:
            node.inputs = inputs
            continue
        for old, value in zip(node.outputs, outputs, strict=False):
            if value is not old:
                new[old] = value

    return graph.replaced(new)


def with_inputs(node: Node, inputs: Sequence[Value]) -> Node:
    """The same application on other inputs of the same types."""
    copy = Node(node.op, node.params, inputs, (), node.name, node.device, node.attrs)
    copy.outputs = tuple([Value(copy, v.index, v.type) for v in node.outputs])
    copy.origin = node.origin
    copy.late = node.late
    return copy
