"""Loops and choices as they run: host calls that run sub-graphs as programs of their own (procedure.py)."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..base import FLOATS, ShapeError
from ..context import Context
from ..graph import Value, apply_op
from ..op import Op, find
from ..symbol_graph import depth_first

# body: heads; places: which input each variable of the body is; cond, cond_places: the same (or None: all steps happen).
# The inputs are `data` arrays that are cut, `states` that go on, and the rest. `keep` asks for the states before each step
# as further outputs, for a backward pass; and for a trace: the number of steps, and where the random numbers of each begin.
Loop = namedtuple("Loop", "body places cond cond_places data states limit keep")
Choice = namedtuple("Choice", "graphs places types keep")
Slopes = namedtuple("Slopes", "forward types given")


def variables(heads: Sequence[Any]) -> list[str]:
    return [node.name for node in depth_first(heads) if node.op is None]


def run_loop(loop: Loop, inputs: Sequence[Value]) -> tuple[Value, ...]:
    return apply_op(find("_loop"), inputs, loop).outputs


def step_types(loop, types):
    """Types of the body's variables."""
    inner = [(s[1:], t) if i < loop.data else (s, t) for i, (s, t) in enumerate(types)]
    return [inner[i] for i in loop.places]


def types_of(values):
    return [(v.shape, v.dtype) for v in values]


def is_float(value):
    return value.dtype in FLOATS


class _Inside(Op, abstract=True):
    inputs = ()
    count = None

    def infer_outputs(self, p, ins, where):
        return self.output_types(p, list(ins))


class LoopOp(_Inside):
    """A loop over a sub-graph, which runs as a program of its own."""

    name = "_loop"
    random = True  # perhaps

    def output_types(self, p, ins):
        from ..passes.infer import infer_types

        names = variables(p.body)
        inner = dict(zip(names, step_types(p, ins), strict=True))
        found = infer_types(p.body, {n: s for n, (s, _) in inner.items()}, {n: t for n, (_, t) in inner.items()})
        heads = [(found.shapes[n][i], found.dtypes[n][i]) for n, i in p.body]
        states = ins[p.data : p.data + p.states]
        result = [((p.limit, *s), t) for s, t in heads[: len(heads) - p.states]] + states
        if p.keep:
            result += [((p.limit, *s), t) for s, t in states]
            result += [((2 + p.limit,), "int64")]
        return result

    def output_names(self, p):
        made = len(p.body) + (p.states + 1 if p.keep else 0)
        return tuple(f"output{i}" for i in range(made))

    def input_names(self, p):
        return tuple(f"arg{i}" for i in range(1 + max((*p.places, *p.cond_places), default=-1)))

    def gradient(self, p, node, grads):
        made = len(p.body)
        kept = node.outputs[made:]
        arriving = list(grads[:made])
        types = tuple(types_of(node.inputs))
        given = tuple(g is not None for g in arriving)
        rest = node.inputs[p.data + p.states :]
        values = [*node.inputs[: p.data], *kept, *rest, *(g for g in arriving if g is not None)]
        found = iter(apply_op(find("_loop_grad"), values, Slopes(p, types, given)).outputs)
        return [next(found) if is_float(v) else None for v in node.inputs]

    def lower(self, p, node, emit):
        from ..procedure import forward

        device = emit.device
        types = types_of(node.inputs)
        body = forward(p.body, variables(p.body), step_types(p, types), device, emit.train)
        cond = None
        if p.cond is not None:
            cond = forward(p.cond, variables(p.cond), [types[i] for i in p.cond_places], device, emit.train)
        emit.host("loop", lambda reads, writes: _loop(p, body, cond, device, reads, writes), node.inputs, node.outputs)


def _loop(p, body, cond, device, reads, writes):
    data, states, rest = reads[: p.data], reads[p.data : p.data + p.states], reads[p.data + p.states :]
    made = len(p.body) - p.states
    outputs, last, kept = writes[:made], writes[made : made + p.states], writes[made + p.states :]
    history = kept[: p.states]
    trace = np.zeros(2 + p.limit, np.uint64)
    # Without a history, states alternate between two arrays.
    spare = [] if p.keep else [[empty_like(s, device) for s in states] for _ in range(2)]
    step = 0
    while step < p.limit:
        if cond is not None and not _holds(cond, [*states, *rest], p.cond_places, device):
            break
        if p.keep:
            now = [entry(h, step) for h in history]
            for a, b in zip(now, states, strict=True):
                if step == 0 or cond is not None:
                    copy(a, b)
            states = now
            after = [entry(h, step + 1) for h in history] if cond is None and step + 1 < p.limit else None
            after = after or (last if cond is None else [empty_like(s, device) for s in states])
        else:
            after = spare[step % 2]
        values = [*(entry(d, step) for d in data), *states, *rest]
        trace[1], trace[2 + step] = random_state()
        body(*(values[i] for i in p.places), *(entry(o, step) for o in outputs), *after)
        states = after
        step += 1
    for a, b in zip(last, states, strict=True):
        if a is not b:
            copy(a, b)
    for output in outputs:
        if step < p.limit:
            part(output, step, p.limit)[:] = 0
    if p.keep:
        trace[0] = step
        kept[-1][:] = trace.view(np.int64)


def _holds(cond, values, places, device):
    from ..ndarray import empty

    (shape, dtype) = cond.types[0]
    result = empty(shape, Context(*device), dtype)
    cond(*(values[i] for i in places), result)
    if result.size != 1:
        raise ShapeError(f"a condition must be one number, got shape {shape}")
    return bool(result.asnumpy().reshape(()))


class LoopGrad(_Inside):
    """The gradient of a loop: its steps once more, from the last to the first."""

    name = "_loop_grad"
    random = True

    def input_names(self, p):
        loop = p.forward
        rest = len(p.types) - loop.data - loop.states
        return tuple(f"arg{i}" for i in range(loop.data + loop.states + 1 + rest + sum(p.given)))

    def output_types(self, p, ins):
        return [(s, t) for s, t in p.types if t in FLOATS]

    def output_names(self, p):
        return tuple(f"grad{i}" for i, (_, t) in enumerate(p.types) if t in FLOATS)

    def lower(self, p, node, emit):
        from ..procedure import backward

        loop, device = p.forward, emit.device
        names = variables(loop.body)
        of_input = {place: names[i] for i, place in enumerate(loop.places)}
        differentiable = [i for i, (_, t) in enumerate(p.types) if t in FLOATS and i in of_input]
        wanted = [i for i in differentiable if i < loop.data + loop.states]
        summed = differentiable[len(wanted) :]
        inner = [[of_input[i] for i in numbers] for numbers in (wanted, summed)]
        procedure = backward(loop.body, names, step_types(loop, p.types), device, *inner)
        emit.host(
            "backward of loop",
            lambda reads, writes: _loop_backward(p, procedure, wanted, summed, device, reads, writes),
            node.inputs,
            node.outputs,
        )


def _loop_backward(p, procedure, wanted, summed, device, reads, writes):
    loop = p.forward
    edge = loop.data + loop.states
    data, history, kept = reads[: loop.data], reads[loop.data : edge], reads[edge]
    rest = reads[edge + 1 : len(p.types) + 1]
    arriving = iter(reads[len(p.types) + 1 :])
    heads = [next(arriving) if given else None for given in p.given]
    steps, seed, *begins = (int(n) for n in kept.asnumpy().view(np.uint64))
    generator = random_state()
    targets = dict(zip([i for i, (_, t) in enumerate(p.types) if t in FLOATS], writes, strict=True))
    made = len(loop.body) - loop.states
    nothing = {}

    def zeros_of(shape, dtype):
        if (shape, dtype) not in nothing:
            nothing[shape, dtype] = new_zeros(shape, dtype, device)
        return nothing[shape, dtype]

    types = step_head_types(loop, p.types)
    d_states = [g if g is not None else zeros_of(*t) for g, t in zip(heads[made:], types[made:], strict=True)]
    for i in set(targets) - set(wanted):
        targets[i][:] = 0
    for step in reversed(range(steps)):
        seeds = [
            entry(g, step) if g is not None else zeros_of(*t) for g, t in zip(heads[:made], types[:made], strict=True)
        ]
        values = [*(entry(d, step) for d in data), *(entry(h, step) for h in history), *rest]
        results = {}
        for i in wanted:
            if i < loop.data:
                results[i] = entry(targets[i], step)
            else:
                results[i] = targets[i] if step == 0 else new_empty(*p.types[i], device)
        set_random_state(seed, begins[step], procedure.random)
        ins = [values[i] for i in loop.places]
        procedure(*ins, *seeds, *d_states, *(targets[i] for i in summed), *(results[i] for i in wanted))
        d_states = [results.get(loop.data + j, zeros_of(*types[made + j])) for j in range(loop.states)]
    set_random_state(*generator, procedure.random)
    for i in wanted if steps == 0 else ():
        copy(targets[i], d_states[i - loop.data])  # nothing happened to the states; data had no entries


def step_head_types(loop, types):
    """Types of what the body gives in one step."""
    from ..passes.infer import infer_types

    inner = dict(zip(variables(loop.body), step_types(loop, types), strict=True))
    found = infer_types(loop.body, {n: s for n, (s, _) in inner.items()}, {n: t for n, (_, t) in inner.items()})
    return [(found.shapes[n][i], found.dtypes[n][i]) for n, i in loop.body]


class ChoiceOp(_Inside):
    """One of two sub-graphs."""

    name = "_choice"
    random = True

    def input_names(self, p):
        return tuple(f"arg{i}" for i in range(1 + max((i for places in p.places for i in places), default=-1)))

    def output_types(self, p, ins):
        return [*p.types, *([((3,), "int64")] if p.keep else [])]

    def output_names(self, p):
        return tuple(f"output{i}" for i in range(len(p.types) + p.keep))

    def gradient(self, p, node, grads):
        made = len(p.types)
        arriving = grads[:made]
        given = tuple(g is not None for g in arriving)
        values = [*node.inputs, node.outputs[made], *(g for g in arriving if g is not None)]
        slopes = Slopes(p, tuple(types_of(node.inputs)), given)
        found = iter(apply_op(find("_choice_grad"), values, slopes).outputs)
        return [next(found) if is_float(v) else None for v in node.inputs]

    def lower(self, p, node, emit):
        from ..procedure import forward

        device, types = emit.device, types_of(node.inputs)
        cond, *branches = (
            forward(heads, variables(heads), [types[i] for i in places], device, emit.train)
            for heads, places in zip(p.graphs, p.places, strict=True)
        )

        def run(reads, writes):
            which = 0 if _holds(cond, reads, p.places[0], device) else 1
            seed, begin = random_state()
            branches[which](*(reads[i] for i in p.places[1 + which]), *writes[: len(p.types)])
            if p.keep:
                writes[-1][:] = np.array([which, seed, begin], dtype=np.uint64).view(np.int64)

        emit.host("choice", run, node.inputs, node.outputs)


class ChoiceGrad(_Inside):
    """The gradient of the branch that was taken."""

    name = "_choice_grad"
    random = True

    def input_names(self, p):
        return tuple(f"arg{i}" for i in range(len(p.types) + 1 + sum(p.given)))

    def output_types(self, p, ins):
        return [(s, t) for s, t in p.types if t in FLOATS]

    def output_names(self, p):
        return tuple(f"grad{i}" for i, (_, t) in enumerate(p.types) if t in FLOATS)

    def lower(self, p, node, emit):
        from ..procedure import backward

        choice, device = p.forward, emit.device
        branches = []
        for heads, places in zip(choice.graphs[1:], choice.places[1:], strict=True):
            names = variables(heads)
            wanted = [i for i in places if p.types[i][1] in FLOATS]
            of_input = dict(zip(places, names, strict=True))
            types = [p.types[i] for i in places]
            branches.append((wanted, backward(heads, names, types, device, [of_input[i] for i in wanted])))

        def run(reads, writes):
            which, seed, begin = (int(n) for n in reads[len(p.types)].asnumpy().view(np.uint64))
            arriving = iter(reads[len(p.types) + 1 :])
            seeds = [
                next(arriving) if given else new_zeros(*t, device)
                for given, t in zip(p.given, choice.types, strict=True)
            ]
            targets = dict(zip([i for i, (_, t) in enumerate(p.types) if t in FLOATS], writes, strict=True))
            wanted, procedure = branches[which]
            after = random_state()
            set_random_state(seed, begin, procedure.random)
            procedure(*(reads[i] for i in choice.places[1 + which]), *seeds, *(targets[i] for i in wanted))
            set_random_state(*after, procedure.random)
            for i, target in targets.items():
                if i not in wanted:
                    target[:] = 0

        emit.host("backward of choice", run, node.inputs, node.outputs)


# ---- arrays --------------------------------------------------------------------------------------------------------------


def entry(array, i):
    """The i-th entry along the first axis, on the same memory."""
    from .. import _core

    shape = array.shape[1:]
    size = array.size // max(array.shape[0], 1)
    return _core.part(array, i * size, shape)


def part(array, begin, end):
    from .. import _core

    size = array.size // max(array.shape[0], 1)
    return _core.part(array, begin * size, (end - begin, *array.shape[1:]))


def copy(to, source):
    from .. import _core

    _core.copy(to._storage, to._offset, source._storage, source._offset, to.nbytes)


def new_empty(shape, dtype, device):
    from ..ndarray import empty

    return empty(shape, Context(*device), dtype)


def new_zeros(shape, dtype, device):
    from ..ndarray import zeros

    return zeros(shape, Context(*device), dtype)


def empty_like(array, device):
    return new_empty(array.shape, array.dtype_name, device)


def random_state():
    from .. import _core

    return _core.random_state()


def set_random_state(seed, step, used):
    from .. import _core

    if used:
        _core.set_random_state(seed, step)
