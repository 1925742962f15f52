"""compile: the recipe that turns a symbol into a program, one pass after the other."""

from __future__ import annotations

import dataclasses
import functools
import gc
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, TypeVar

from . import _core
from .context import Context
from .graph import Device, Graph, Node, variable
from .op import Op, Shape
from .passes.expand import expand
from .passes.fold import fold
from .passes.fuse import fuse
from .passes.gradient import gradient, state_updates
from .passes.infer import infer
from .passes.layout import layout
from .passes.lower import Buffer, Call, Key, Lowered, lower
from .passes.place import place
from .passes.plan import Plan, plan
from .passes.ride import ride
from .passes.share import share
from .passes.winograd import winograd
from .symbol import Head

Function = TypeVar("Function", bound=Callable[..., Any])


def uncollected(function: Function) -> Function:
    """Switches the cycle collector off meanwhile: it would walk over the growing graph again and again and find nothing."""

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        if not gc.isenabled():
            return function(*args, **kwargs)
        gc.disable()
        try:
            return function(*args, **kwargs)
        finally:
            gc.enable()

    return run  # type: ignore[return-value]


@dataclass
class Options:
    """Choices of a compilation; the environment sets the defaults."""

    fuse: bool = True
    mirror: bool = False
    winograd: int = 4

    @staticmethod
    def from_environment() -> Options:
        return Options(
            fuse=os.environ.get("MINIMX_FUSE", "1") != "0",
            mirror=os.environ.get("MXNET_BACKWARD_DO_MIRROR", "0") not in ("", "0"),
            winograd=int(os.environ.get("MINIMX_WINOGRAD", "4")),
        )


@dataclass
class Compiled:
    """A linked program, the slots of its bound arrays, and where its forward part ends."""

    program: _core.Program
    slots: dict[Key, int]
    mark: int
    end: int
    lowered: Lowered
    plan: Plan
    graph: Graph


@uncollected
def compile_symbol(
    heads: Sequence[Head],
    shapes: Mapping[str, Shape],
    dtypes: Mapping[str, str],
    output_names: list[str],
    device: Device,
    train: bool = False,
    grad_req: Mapping[str, str] | None = None,
    groups: Mapping[str, Device] | None = None,
    share_with: _core.Program | None = None,
    options: Options | None = None,
    heads_used: int | None = None,
    graph: Graph | None = None,
) -> Compiled:
    """The whole recipe. Gradients start from the first `heads_used` heads (all of them by default). `graph` is what `infer`
    makes of the heads, where it is there already; it is used up."""
    if train:
        graph = differentiate(heads, shapes, dtypes, output_names, grad_req or {}, options, heads_used, graph)
    else:
        graph = show("infer", graph or infer(heads, shapes, dtypes, output_names))
        graph = dataclasses.replace(graph, early_updates=state_updates(graph)[0])
    return link_graph(compile_graph(graph, device, groups, options, keeps=not train), share_with)


@uncollected
def differentiate(
    heads: Sequence[Head],
    shapes: Mapping[str, Shape],
    dtypes: Mapping[str, str],
    output_names: list[str],
    grad_req: Mapping[str, str],
    options: Options | None = None,
    heads_used: int | None = None,
    graph: Graph | None = None,
) -> Graph:
    """The training graph: outputs, gradients, and state updates."""
    options = options or Options.from_environment()
    graph = show("infer", dataclasses.replace(graph or infer(heads, shapes, dtypes, output_names), train=True))
    graph = show("expand", expand(graph, before_gradient=True))
    return show("gradient", gradient(graph, grad_req, options.mirror, heads_used))


@uncollected
def compile_graph(
    graph: Graph,
    device: Device,
    groups: Mapping[str, Device] | None = None,
    options: Options | None = None,
    keeps: bool = False,
) -> Graph:
    """The passes that need not know where a graph came from. `keeps`: packed weights last from run to run."""
    options = options or Options.from_environment()
    if options.fuse:
        graph = show("fold", fold(graph))
    graph = show("expand", expand(graph))
    graph = show("place", place(graph, device, groups))
    graph = show("share", share(graph))
    if options.fuse:
        graph = show("layout", layout(graph))
        graph = show("winograd", winograd(graph, options.winograd, keeps))
        graph = show("ride", ride(graph))
        graph = show("fuse", fuse(graph))
    return graph


@uncollected
def link_graph(
    graph: Graph,
    share_with: _core.Program | None = None,
    slot_order: Sequence[Key] | None = None,
) -> Compiled:
    lowered = show("lower", lower(graph, keeps=not graph.train and slot_order is None))
    planned = show("plan", plan(lowered))
    return link(lowered, planned, graph, share_with, slot_order)


@dataclass
class Eager:
    """One operator as a program: bound slots are the inputs, the steered numbers, and all outputs."""

    program: _core.Program
    out_types: list[tuple[tuple[int, ...], str]]
    visible: int
    in_place: int  # bit i: the first output may be written over input i when they have the same extent


def compile_eager(
    op: Op,
    params: Any,
    in_types: Sequence[tuple[tuple[int, ...], str]],
    device: Device,
    train: bool,
    steered: Sequence[str] = (),
) -> Eager:
    """`steered` parameters are operands of the program, in the dtype of the first input, instead of constants in it."""
    names = op.input_names(params)
    types = op.infer_outputs(params, in_types, op.name.lower())
    inputs = [variable(f"{n}#{i}", s, t, device) for i, (n, (s, t)) in enumerate(zip(names, in_types, strict=True))]
    numbers = {name: variable(f"{name}#", (), in_types[0][1], device) for name in steered}
    if numbers:
        params = params._replace(**numbers)
    node = Node(op, params, inputs, types, op.name.lower(), device)
    arguments = {v.node.name: v for v in (*inputs, *numbers.values())}
    graph = Graph(arguments, {}, list(node.outputs), list(op.output_names(params)), train)
    graph = dataclasses.replace(graph, early_updates=state_updates(graph)[0])  # others are due after a backward pass
    slots: list[Key] = [("arg", name) for name in arguments] + [("out", i) for i in range(len(types))]
    compiled = link_graph(compile_graph(graph, device), slot_order=slots)
    in_place = _in_place(compiled.lowered.calls, [v.node.name for v in inputs])
    return Eager(compiled.program, types, op.visible(params), in_place)


def _in_place(calls: Sequence[Call], names: Sequence[str]) -> int:
    """Which inputs the first output may be written over: those that a single call reads before it writes there."""
    if len(calls) != 1:
        return 0
    (call,) = calls
    # What `inplace` promises of the first write, the elementwise kernel keeps for all of them.
    writes = call.writes if call.kernel.startswith("ewise.") else call.writes[:1]
    if not any(buffer.bound == ("out", 0) for buffer in writes):
        return 0
    mask = 0
    for i, name in enumerate(names):
        places = [j for j, read in enumerate(call.reads) if read is not None and read.root()[0].bound == ("arg", name)]
        if all(j in call.inplace for j in places):
            mask |= 1 << i
    return mask if mask < 1 << 63 else 0


def link(
    lowered: Lowered,
    planned: Plan,
    graph: Graph,
    share_with: _core.Program | None = None,
    slot_order: Sequence[Key] | None = None,
) -> Compiled:
    """The C++ program of planned calls. Kernel names and argument structs are checked here, once."""
    program = _core.Program()
    devices = {key: _core.device(*key) for key in {b.device for b in lowered.bound.values()} | set(planned.arenas)}
    slots: dict[Key, int] = {}
    for key in slot_order or lowered.bound:
        buffer = lowered.bound[key]
        device = devices[buffer.device]
        slots[key] = program.add_kept(device, buffer.nbytes) if key[0] == "kept" else program.add_bound(device)
    numbers: dict[Buffer | None, int] = {None: -1}
    for key, device in devices.items():
        roots = [buffer for buffer in planned.offsets if buffer.device == key]
        numbers.update(zip(roots, count(program.add_arena(device, [planned.offsets[b] for b in roots]))))
    parts: dict[tuple[Key, int], int] = {(key, 0): number for key, number in slots.items()}

    def slot(buffer: Buffer | None) -> int:
        assert buffer is not None
        root, offset = buffer.root()
        if root.bound is None:
            number = program.add_arena(devices[root.device], [planned.offsets[root] + offset])
        elif (number := parts.get((root.bound, offset))) is None:
            number = parts[root.bound, offset] = program.add_part(slots[root.bound], offset)
        numbers[buffer] = number
        return number

    places: dict[Call, int] = {}
    for at, call in enumerate(lowered.calls):
        operands = [number if (number := numbers.get(b)) is not None else slot(b) for b in call.operands()]
        if call.like is not None:
            program.add_call_like(places[call.like], operands, call.node)
            continue
        places[call] = at
        if call.kind == "kernel":
            program.add_call(devices[call.device], call.kernel, call.args, operands)
        elif call.kind == "copy":
            program.add_copy(operands[0], operands[1], call.args["bytes"])
        elif call.kind == "random_step":
            program.add_random_step(operands[0])
        else:
            program.add_host_call(_host_body(call), operands)
        program.describe(at, call.op or call.kernel, call.node, *_traffic(call))
        if call.kept:
            program.keep(at, operands[0])
    for key in {r.bound: None for c in lowered.calls for w in c.writes if (r := w.root()[0]).bound is not None}:
        if key[0] != "kept":
            program.writes(slots[key])
    program.seal([(devices[d], size) for d, size in planned.arenas.items()], share_with)
    return Compiled(program, slots, lowered.mark, len(lowered.calls), lowered, planned, graph)


def _traffic(call: Call) -> tuple[str, int]:
    """What a call reads and writes, for the profiler: as text, and in bytes."""
    reads = [b for b in call.reads if b is not None]
    sides = [", ".join([f"{b.dtype}{list(b.shape)}" for b in side]) for side in (reads, call.writes)]
    return " -> ".join(sides), sum([b.nbytes for b in reads + call.writes])


def _host_body(call: Call) -> Callable[[list[int]], None]:
    """Python code of a call, given the addresses of the call's operands."""
    buffers, count = call.operands(), len(call.reads)

    def run(addresses: list[int]) -> None:
        arrays = [None if b is None else _at(a, b) for a, b in zip(addresses, buffers, strict=True)]
        call.body(arrays[:count], arrays[count:])  # type: ignore[misc]

    return run


def _at(address: int, buffer: Buffer) -> _core.Array:
    """A buffer of a running program as an array."""
    context = Context(*buffer.device)
    storage = _core.wrap(context.device, address, buffer.nbytes, None)
    return _core.make(storage, 0, tuple(buffer.shape), buffer.dtype, context)


def show(stage: str, result: Any) -> Any:
    """Prints what a pass returned when MINIMX_DEBUG asks for it (1: everything, or names of passes)."""
    wanted = os.environ.get("MINIMX_DEBUG", "")
    if wanted and (wanted == "1" or stage in wanted.split(",")):
        print(f"---- {stage}", describe(result), sep="\n", file=sys.stderr)
    return result


def describe(result: Any) -> str:
    """What a pass returned, as text for a person."""
    if isinstance(result, Graph):
        lines = []
        forward = len(result.forward_nodes)
        for i, node in enumerate(result.nodes()):
            if i == forward and result.backward_roots():
                lines.append("  -- backward --")
            types = ", ".join(f"{v.dtype}{list(v.shape)}" for v in node.outputs)
            sources = ", ".join(f"{v.node.name}[{v.index}]" for v in node.inputs)
            lines.append(f"  {node.name} = {node.op.name if node.op else 'variable'}({sources}) -> {types}")
        return "\n".join(lines)
    if isinstance(result, Lowered):
        lines = [f"  {call!r}" for call in result.calls]
        lines.insert(result.mark, "  -- backward --")
        return "\n".join(lines)
    if isinstance(result, Plan):
        sizes = ", ".join(f"{d[0]}({d[1]}) {size}" for d, size in result.arenas.items()) or "nothing"
        return f"  arena bytes: {sizes}; without sharing: {result.unshared_bytes}"
    return repr(result)
