"""Control flow on symbols: mx.sym.contrib.foreach, while_loop and cond.

A body is called once, with variables. What it makes carries an attribute with the name of the sub-graph; whatever else it
uses comes from outside and becomes an input.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .api import symbol_function
from .attribute import AttrScope
from .base import GraphError
from .name import NameManager
from .nested import flatten, rebuild_like
from .op import find
from .params import text_of
from .symbol import Symbol, Variable, single_head
from .symbol_graph import Head, SymbolNode, depth_first

INSIDE = "__subgraph_name__"
_counters: dict[str, int] = {}


# ---- sub-graphs ----------------------------------------------------------------------------------------------------------


class _Body:
    """A function as a sub-graph: its heads, whose variables are inputs, and what each of these is outside."""

    def __init__(self, name: str, function: Callable[..., Any], arguments: Sequence[Head] = (), shape: Any = ()):
        """`function` is called with variables for the arguments, in the form of `shape`; it returns the outputs."""
        self.name = _unique(name)
        names = _distinct([f"{node.name}-{index}" for node, index in arguments])
        with AttrScope(**{INSIDE: self.name}):
            variables = [Variable(n) for n in names]
            outputs = function(*rebuild_like(shape, variables))
            symbols = self._made_inside([_checked(o, name) for o in outputs])
        self.sources: dict[str, Head] = dict(zip(names, arguments, strict=True))
        self.arguments = names
        self.heads = self._cut([s._heads[0] for s in symbols])
        self.inputs = [node.name for node in depth_first(self.heads) if node.op is None]

    def _made_inside(self, outputs: Sequence[Symbol]) -> list[Symbol]:
        """Outputs that are inputs or come from outside are copied."""
        if not outputs:
            return []
        inputs = {n.name for n in depth_first([o._heads[0] for o in outputs]) if n.op is None}

        def foreign(o: Symbol) -> bool:
            return o.name in inputs or o._heads[0][0].attrs.get(INSIDE) != self.name

        return [copied(o) if foreign(o) else o for o in outputs]

    def _cut(self, heads: Sequence[Head]) -> list[Head]:
        """The sub-graph on its own: what comes from outside is replaced by variables."""
        new: dict[SymbolNode, SymbolNode] = {}
        borders: dict[Head, SymbolNode] = {}

        def inside(node: SymbolNode) -> bool:
            return node.op is not None and node.attrs.get(INSIDE) == self.name

        def border(head: Head) -> Head:
            node, index = head
            name = node.output_name(index)
            self.sources.setdefault(name, head)
            if node.op is None and node.attrs.get(INSIDE) == self.name:
                return head
            if head not in borders:
                borders[head] = SymbolNode(None, name, {})
            return borders[head], 0

        def take(head: Head) -> Head:
            return (new[head[0]], head[1]) if inside(head[0]) else border(head)

        stack = [node for node, _ in reversed(heads)]
        while stack:
            node = stack[-1]
            waiting = [c for c, _ in node.inputs if inside(c) and c not in new]
            if node not in new and waiting:
                stack += reversed(waiting)
                continue
            stack.pop()
            if node not in new:
                new[node] = SymbolNode(node.op, node.name, node.attrs, node.params, [take(h) for h in node.inputs])
        return [take(head) for head in heads]

    def place(self, argument: str, what: str) -> int:
        """Which input of the sub-graph an argument is."""
        if argument not in self.inputs:
            raise GraphError(f"{self.name}: {what} must be used in the body, but {argument.rsplit('-', 1)[0]!r} is not")
        return self.inputs.index(argument)


def copied(symbol: Symbol) -> Symbol:
    return symbol_function("identity")(symbol)


def _unique(name: str) -> str:
    around = AttrScope.current.get(None).get(INSIDE, "")
    name = f"{around}${name}" if around else name
    number = _counters[name] = _counters.get(name, -1) + 1
    return f"{name}{number}"


def _distinct(names: Sequence[str]) -> list[str]:
    taken: dict[str, int] = {}
    result = []
    for name in names:
        taken[name] = taken.get(name, 0) + 1
        result.append(name if taken[name] == 1 else f"{name}-{taken[name]}")
    return result


def _checked(value: Any, name: str) -> Symbol:
    single_head(value, f"{name}: an output of the body")
    return value


def _heads(value: Any, what: str) -> list[Head]:
    return [single_head(v, what) for v in flatten(value)]


def _node(op_name: str, inputs: Sequence[Head], bodies: Sequence[_Body], given: Mapping[str, Any]) -> list[Symbol]:
    """The outputs of a new operator with sub-graphs."""
    op: Any = find(op_name)
    given = {**given, "num_args": len(inputs) + len(bodies)}
    attrs = AttrScope.current.get(None)
    name = NameManager.current.get(None, op_name)
    params = op.with_subgraphs(op.parse(given, name), [b.heads for b in bodies])
    text = {**attrs, **{key: text_of(value) for key, value in given.items()}}
    node = SymbolNode(op, name, text, params, inputs)
    return [Symbol([head]) for head in node.visible_heads()]


def _union(bodies: Sequence[_Body]) -> tuple[list[Head], list[list[int]]]:
    """The inputs of all bodies, each once, and which of them each body has."""
    inputs: list[Head] = []
    locations = []
    for body in bodies:
        places = []
        for name in body.inputs:
            source = body.sources[name]
            if source not in inputs:
                inputs.append(source)
            places.append(inputs.index(source))
        locations.append(places)
    return inputs, locations


# ---- the three forms -----------------------------------------------------------------------------------------------------


def foreach(body: Callable[..., Any], data: Any, init_states: Any, name: str = "foreach") -> tuple[Any, Any]:
    """Calls `body(entry, states)`, which returns (outputs, new states), for every entry along the first axis of `data`.

    The outputs of all steps, joined along a new first axis, and the states after the last one. Data, states and outputs may
    be symbols or lists of them.
    """
    flat_data, flat_states = _heads(data, "foreach: data"), _heads(init_states, "foreach: a state")
    if not flat_data:
        raise GraphError("foreach: there must be data to walk along")
    form: dict[str, Any] = {}

    def call(entry: Any, states: Any) -> list[Any]:
        outputs, after = body(entry, states)
        form["outputs"], form["states"] = outputs, after
        if len(flatten(after)) != len(flat_states):
            raise GraphError(f"foreach: the body got {len(flat_states)} states and returned {len(flatten(after))}")
        form["count"] = len(flatten(outputs))
        known = {o.name for o in flatten(outputs) if isinstance(o, Symbol)}
        after = [copied(s) if isinstance(s, Symbol) and s.name in known else s for s in flatten(after)]
        return [*flatten(outputs), *after]

    part = _Body(name, call, [*flat_data, *flat_states], [data, init_states])
    names = part.arguments
    data_places = [part.place(n, "all data") for n in names[: len(flat_data)]]
    state_places = [part.place(n, "all states") for n in names[len(flat_data) :]]
    rest = [i for i, n in enumerate(part.inputs) if n not in names]
    inputs = [*flat_data, *flat_states, *(part.sources[part.inputs[i]] for i in rest)]
    results = _node(
        "_foreach",
        inputs,
        [part],
        {
            "num_outputs": len(part.heads),
            "num_out_data": form["count"],
            "in_state_locs": state_places,
            "in_data_locs": data_places,
            "remain_locs": rest,
        },
    )
    return rebuild_like(form["outputs"], results[: form["count"]]), rebuild_like(
        form["states"], results[form["count"] :]
    )


def while_loop(
    cond: Callable[..., Any], func: Callable[..., Any], loop_vars: Any, max_iterations: int, name: str = "while_loop"
) -> tuple[Any, Any]:
    """Calls `func(*loop_vars)`, which returns (outputs, new loop variables), while `cond(*loop_vars)` is not 0, at most
    `max_iterations` times.

    The outputs of all steps, joined along a first axis of max_iterations entries (0 where a step did not happen), and the
    loop variables after the last one.
    """
    loop_vars = [loop_vars] if isinstance(loop_vars, Symbol) else list(loop_vars)
    heads = _heads(loop_vars, "while_loop: a loop variable")
    if not heads:
        raise GraphError("while_loop: there must be a loop variable")
    if max_iterations is None:
        raise GraphError("while_loop: max_iterations must be given")
    form: dict[str, Any] = {}

    def call(*variables: Any) -> list[Any]:
        outputs, after = func(*variables)
        outputs = [] if outputs is None else outputs
        form["outputs"], form["vars"], form["count"] = outputs, after, len(flatten(outputs))
        if len(flatten(after)) != len(heads):
            raise GraphError(f"while_loop: func got {len(heads)} loop variables and returned {len(flatten(after))}")
        return [*flatten(outputs), *flatten(after)]

    bodies = [
        _Body(f"{name}_cond", lambda *variables: [cond(*variables)], heads, loop_vars),
        _Body(f"{name}_func", call, heads, loop_vars),
    ]
    inputs, locations = _union(bodies)
    results = _node(
        "_while_loop",
        inputs,
        bodies,
        {
            "max_iterations": max_iterations,
            "cond_input_locs": locations[0],
            "func_input_locs": locations[1],
            "func_var_locs": [bodies[1].place(n, "all loop variables") for n in bodies[1].arguments],
            "num_out_data": form["count"],
            "num_outputs": len(bodies[1].heads),
        },
    )
    return rebuild_like(form["outputs"], results[: form["count"]]), rebuild_like(form["vars"], results[form["count"] :])


def cond(pred: Symbol, then_func: Callable[[], Any], else_func: Callable[[], Any], name: str = "cond") -> Any:
    """The outputs of `then_func()` where the number `pred` is not 0, else those of `else_func()`."""
    single_head(pred, "cond: pred")
    forms: list[Any] = []

    def branch(function: Callable[[], Any]) -> Callable[[], list[Any]]:
        def call() -> list[Any]:
            forms.append(function())
            return flatten(forms[-1])

        return call

    bodies = [
        _Body(f"{name}_pred", lambda: [pred]),
        _Body(f"{name}_then", branch(then_func)),
        _Body(f"{name}_else", branch(else_func)),
    ]
    if len(bodies[1].heads) != len(bodies[2].heads):
        raise GraphError(
            f"cond: both branches must have the same number of outputs, got {len(bodies[1].heads)} and "
            f"{len(bodies[2].heads)}"
        )
    inputs, locations = _union(bodies)
    results = _node(
        "_cond",
        inputs,
        bodies,
        {
            "cond_input_locs": locations[0],
            "then_input_locs": locations[1],
            "else_input_locs": locations[2],
            "num_outputs": len(bodies[1].heads),
        },
    )
    return rebuild_like(forms[0], results)


FUNCTIONS = {f.__name__: f for f in (cond, foreach, while_loop)}
