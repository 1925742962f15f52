"""Control flow: operators with sub-graphs. foreach and while_loop become one operator that runs a loop, cond another one.

What a user writes and a file holds (`_foreach`, `_while_loop`, `_cond`) names its inputs by numbers; what runs has them in
one order: data that are cut along their first axis, states that go from step to step, and the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..base import GraphError, ShapeError
from ..graph import apply, apply_all, apply_op, topological, with_inputs
from ..op import Op, find, known, params_type, unify
from ..params import Int, Shape
from ..symbol_graph import auxiliary_nodes, depth_first
from .loop import Choice, Loop, run_loop, types_of, variables

Locations = Shape


class _Control(Op, abstract=True):
    """An operator with sub-graphs. They are part of its parameters: lists of heads, whose variables are inputs."""

    inputs = ()
    count = "num_args"
    param_order = ("num_args", "num_outputs")
    graphs: tuple[str, ...] = ()
    num_args = Int(min=1, doc="how many inputs and sub-graphs there are")
    num_outputs = Int(min=1, doc="how many outputs there are")

    def parse(self, given, where="", count=None):
        p = super().parse({k: v for k, v in given.items() if k != "subgraphs"}, where, count)
        return params_type((*p._fields, "subgraphs"))(*p, subgraphs=given.get("subgraphs", ()))

    def counted(self, inputs):
        return inputs + len(self.graphs)

    def with_subgraphs(self, p: Any, subgraphs: Sequence[Any]) -> Any:
        """The parameters with the sub-graphs that a file has for them."""
        if len(subgraphs) != len(self.graphs):
            raise GraphError(
                f"{self.name} needs {len(self.graphs)} sub-graphs ({', '.join(self.graphs)}), got {len(subgraphs)}"
            )
        p = p._replace(subgraphs=tuple(tuple(heads) for heads in subgraphs))
        self.check(p)
        return p

    def check(self, p: Any) -> None:
        """Raises a GraphError when the numbers do not fit the sub-graphs."""
        for name, heads, locations in zip(self.graphs, p.subgraphs, self.locations(p), strict=True):
            names = variables(heads)
            bad = [i for i in locations if not 0 <= i < len(self.input_names(p))]
            if len(locations) != len(names) or bad:
                raise GraphError(
                    f"{self.name}: the sub-graph {name} has the inputs {', '.join(names)}; {list(locations)} does not say "
                    f"which of {len(self.input_names(p))} inputs they are"
                )

    def locations(self, p: Any) -> list[Sequence[int]]:
        """For each sub-graph, which input each of its variables is."""
        raise NotImplementedError

    def input_names(self, p):
        return tuple(f"data{i}" for i in range(p.num_args - len(self.graphs)))

    def output_names(self, p):
        return ("output",) if p.num_outputs == 1 else tuple(f"output{i}" for i in range(p.num_outputs))

    def expand_before_gradient(self, p, train):
        return True

    def complete_shapes(self, p, ins, outs):
        self._need_graphs(p)
        self.infer(p, ins, outs, False)

    def infer_types(self, p, ins, outs):
        self._need_graphs(p)
        self.infer(p, ins, outs, True)

    def _need_graphs(self, p):
        if not p.subgraphs:
            raise GraphError(f"{self.name} needs sub-graphs; mx.sym.contrib.{self.name[1:]} makes them")

    def output_shapes(self, p, ins):
        outs = [None] * p.num_outputs
        self.infer(p, list(ins), outs, False)
        if not all(map(known, outs)):
            raise ShapeError("the shapes of the outputs do not follow from those of the inputs")
        return outs

    def infer(self, p: Any, ins: list, outs: list, dtypes: bool) -> None:
        """Fills in shapes, or dtypes, from what the sub-graphs say."""
        raise NotImplementedError

    def learn(self, heads, locations, ins, dtypes):
        """What inference finds out about a sub-graph from what is known about the operator's inputs (of one step): shapes
        or dtypes of its variables are put into `ins`, those of its heads returned."""
        from ..passes.infer import infer_types

        names = variables(heads)
        given = {n: ins[i] for n, i in zip(names, locations, strict=True) if ins[i] is not None}
        found = infer_types(heads, {}, given, None) if dtypes else infer_types(heads, given, {}, None)
        table = found.dtypes if dtypes else found.shapes
        for node in found.nodes:
            if node.op is None:
                place = locations[names.index(node.name)]
                value = table[node][0]
                ins[place] = (ins[place] or value) if dtypes else unify(ins[place], value)
        return [table[node][index] for node, index in heads]


# foreach is unrolled up to so many operators in all steps: that takes longer to compile and runs faster.
UNROLLED = 1000


def typed(heads, types, train):
    """A sub-graph with the types of its variables."""
    from ..passes.infer import infer

    names = variables(heads)
    shapes = {n: s for n, (s, _) in zip(names, types, strict=True)}
    dtypes = {n: t for n, (_, t) in zip(names, types, strict=True)}
    return infer(heads, shapes, dtypes, [str(i) for i in range(len(heads))], train)


def inlined(graph, values):
    """What the outputs of a graph are for these values of its variables."""
    new = {}
    for node in topological(graph.outputs):
        if node.op is None:
            new[node.outputs[0]] = values[node.name]
            continue
        copy = with_inputs(node, [new[v] for v in node.inputs])
        copy.origin = copy  # each step has its own Custom operators
        new.update(zip(node.outputs, copy.outputs, strict=True))
    return [new[v] for v in graph.outputs]


def _with_axis(n, shape):
    return None if shape is None else (n, *shape)


class Foreach(_Control):
    """Runs a sub-graph for every entry along the first axis of its data, handing states on from step to step."""

    name = "_foreach"
    graphs = ("fn",)
    num_out_data = Int(min=0, doc="how many of the outputs are joined from all steps; the others are the last states")
    in_state_locs = Locations(doc="which variables of the sub-graph are states")
    in_data_locs = Locations(doc="which variables of the sub-graph are entries of data")
    remain_locs = Locations(doc="which variables of the sub-graph are other inputs")

    def locations(self, p):
        order = (*p.in_data_locs, *p.in_state_locs, *p.remain_locs)
        return [[order.index(i) if i in order else -1 for i in range(len(order))]]

    def check(self, p):
        super().check(p)
        if len(p.in_state_locs) != p.num_outputs - p.num_out_data or len(p.subgraphs[0]) != p.num_outputs:
            raise GraphError(f"{self.name}: there must be as many states as outputs that are not data")
        if not p.in_data_locs:
            raise GraphError(f"{self.name}: there must be data to walk along")

    def infer(self, p, ins, outs, dtypes):
        data, states = len(p.in_data_locs), len(p.in_state_locs)
        steps = -1
        inner = list(ins)
        if not dtypes:
            for shape in ins[:data]:
                if shape is not None:
                    if not shape:
                        raise ShapeError("data must have an axis to walk along")
                    steps = unify((steps,), shape[:1], "the first axes of data")[0]
            inner[:data] = [None if s is None else s[1:] for s in ins[:data]]
        for i in range(states):
            out = outs[p.num_out_data + i]
            inner[data + i] = (inner[data + i] or out) if dtypes else unify(inner[data + i], out, "states")
        heads = self.learn(p.subgraphs[0], self.locations(p)[0], inner, dtypes)
        for i in range(states):
            new = heads[p.num_out_data + i]
            if dtypes:
                inner[data + i] = inner[data + i] or new
            else:
                inner[data + i] = unify(inner[data + i], new, f"state {i} before and after a step:")
            outs[p.num_out_data + i] = inner[data + i]
        for i in range(p.num_out_data):
            if dtypes:
                outs[i] = outs[i] or heads[i]
            else:
                outs[i] = unify(outs[i], _with_axis(steps, heads[i]))
        if not dtypes:
            inner[:data] = [_with_axis(steps, s) for s in inner[:data]]
        ins[:] = inner

    def expand(self, p, node, train):
        data, states = len(p.in_data_locs), len(p.in_state_locs)
        steps = node.inputs[0].shape[0]
        if 0 < steps * len(depth_first(p.subgraphs[0])) <= UNROLLED:
            return self._unrolled(p, node, train)
        loop = Loop(
            p.subgraphs[0],
            tuple(self.locations(p)[0]),
            None,
            (),
            data,
            states,
            steps,
            train and _recorded(node, p.subgraphs),
        )
        return run_loop(loop, node.inputs)[: p.num_outputs]

    def _unrolled(self, p, node, train):
        """The steps as parts of the whole program."""
        if train:
            _recorded(node, p.subgraphs)
        data, states = len(p.in_data_locs), len(p.in_state_locs)
        steps, places = node.inputs[0].shape[0], self.locations(p)[0]
        cut = {"num_outputs": steps, "axis": 0, "squeeze_axis": True}
        entries = [
            [apply("squeeze", [v], axis=(0,))] if steps == 1 else apply_all("SliceChannel", [v], **cut)
            for v in node.inputs[:data]
        ]
        now, rest = list(node.inputs[data : data + states]), node.inputs[data + states :]
        outputs = []
        body = None
        for step in range(steps):
            values = [*(e[step] for e in entries), *now, *rest]
            inner = [values[i] for i in places]
            if body is None:
                body = typed(p.subgraphs[0], types_of(inner), train)
            made = inlined(body, dict(zip(variables(p.subgraphs[0]), inner, strict=True)))
            outputs.append(made[: p.num_out_data])
            now = made[p.num_out_data :]
        return [*(apply("stack", list(same), axis=0) for same in zip(*outputs, strict=True)), *now]


class WhileLoop(_Control):
    """Runs a sub-graph as long as another one gives something else than 0, at most max_iterations times. Outputs of steps
    that did not happen are 0."""

    name = "_while_loop"
    graphs = ("cond", "func")
    num_out_data = Int(min=0, doc="how many of the outputs are joined from all steps; the others are the last states")
    max_iterations = Int(min=1, doc="the largest number of steps, and the size of the first axis of joined outputs")
    cond_input_locs = Locations(doc="which inputs the variables of cond are")
    func_input_locs = Locations(doc="which inputs the variables of func are")
    func_var_locs = Locations(doc="which variables of func are states")

    def locations(self, p):
        return [p.cond_input_locs, p.func_input_locs]

    def check(self, p):
        super().check(p)
        if len(p.func_var_locs) != p.num_outputs - p.num_out_data or len(p.subgraphs[1]) != p.num_outputs:
            raise GraphError(f"{self.name}: there must be as many states as outputs that are not data")
        if any(not 0 <= i < len(p.func_input_locs) for i in p.func_var_locs):
            raise GraphError(f"{self.name}: func_var_locs {p.func_var_locs} names inputs that func does not have")

    def _states(self, p):
        """Which inputs are states."""
        return [p.func_input_locs[i] for i in p.func_var_locs]

    def infer(self, p, ins, outs, dtypes):
        states = self._states(p)
        merge = (lambda a, b, what="": a or b) if dtypes else unify
        for i, place in enumerate(states):
            ins[place] = merge(ins[place], outs[p.num_out_data + i], "states")
        self.learn(p.subgraphs[0], p.cond_input_locs, ins, dtypes)
        heads = self.learn(p.subgraphs[1], p.func_input_locs, ins, dtypes)
        for i, place in enumerate(states):
            ins[place] = merge(ins[place], heads[p.num_out_data + i], f"loop variable {i} before and after a step:")
            outs[p.num_out_data + i] = ins[place]
        for i in range(p.num_out_data):
            found = heads[i] if dtypes else _with_axis(p.max_iterations, heads[i])
            outs[i] = merge(outs[i], found, "outputs")

    def expand(self, p, node, train):
        states = self._states(p)
        order = [*states, *(i for i in range(len(node.inputs)) if i not in states)]
        place = {old: new for new, old in enumerate(order)}
        loop = Loop(
            p.subgraphs[1],
            tuple(place[i] for i in p.func_input_locs),
            p.subgraphs[0],
            tuple(place[i] for i in p.cond_input_locs),
            0,
            len(states),
            p.max_iterations,
            train and _recorded(node, p.subgraphs),
        )
        return run_loop(loop, [node.inputs[i] for i in order])[: p.num_outputs]


class Cond(_Control):
    """Runs one of two sub-graphs: `then_branch` where `cond` gives something else than 0."""

    name = "_cond"
    graphs = ("cond", "then_branch", "else_branch")
    cond_input_locs = Locations(doc="which inputs the variables of cond are")
    then_input_locs = Locations(doc="which inputs the variables of then_branch are")
    else_input_locs = Locations(doc="which inputs the variables of else_branch are")

    def locations(self, p):
        return [p.cond_input_locs, p.then_input_locs, p.else_input_locs]

    def check(self, p):
        super().check(p)
        if not len(p.subgraphs[1]) == len(p.subgraphs[2]) == p.num_outputs:
            raise GraphError(f"{self.name}: both branches must have {p.num_outputs} outputs")

    def infer(self, p, ins, outs, dtypes):
        merge = (lambda a, b, what="": a or b) if dtypes else unify
        for i, (heads, locations) in enumerate(zip(p.subgraphs, self.locations(p), strict=True)):
            found = self.learn(heads, locations, ins, dtypes)
            if i:
                outs[:] = [merge(a, b, "the outputs of both branches:") for a, b in zip(outs, found, strict=True)]

    def expand(self, p, node, train):
        types = tuple((v.shape, v.dtype) for v in node.outputs)
        choice = Choice(
            p.subgraphs, tuple(map(tuple, self.locations(p))), types, train and _recorded(node, p.subgraphs)
        )
        return apply_op(find("_choice"), node.inputs, choice).outputs[: p.num_outputs]


def _recorded(node, subgraphs):
    """True; but states that operators of a sub-graph change in training have no place to live."""
    for heads in subgraphs:
        states = sorted(n.name for n in auxiliary_nodes(depth_first(heads)))
        if states:
            raise GraphError(
                f"{node.op.name}({node.name}): {', '.join(states)} would change in every step; operators with auxiliary "
                "states cannot be trained inside of control flow"
            )
    return True
