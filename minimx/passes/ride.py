"""ride: activations and sums go along with the matrix product or convolution that makes their input.

Kernels that take riders (csrc/args/epilogue.h) compute activation(sum + bias + residual) while the sum is still in registers.
An elementwise node rides when it is the only reader of such a kernel's output and does nothing else than apply one of the
known activations, or add up values of one shape, or let through what arrives where another value is above zero: a gate, the
gradient of relu. In a sum of several products each adds to what the one before has left.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Sequence
from functools import cache
from typing import Any

from ..elementwise import Elementwise, Operand, Tape, opcodes
from ..graph import Graph, Node, Value, apply, made_for, rewrite, with_inputs
from ..op import Memo, Op
from .lower import multiplies

# As in csrc/args/epilogue.h, by the names of the elementwise functions.
ACTIVATIONS = {"relu": 1, "sigmoid": 2, "tanh": 3, "softrelu": 4, "softsign": 5}
GATE = -1
RESIDUAL = 3  # where a call with riders takes the residual: a, b, bias, residual

RidingParams = namedtuple("RidingParams", "host residual activation")


class Riding(Op, abstract=True):
    """A product or convolution with riders; made by this pass, never by a user."""

    name = "_riding"
    Params = RidingParams

    def input_names(self, p: Any) -> tuple[str, ...]:
        return (*p.host.op.input_names(p.host.params), *(("residual",) if p.residual else ()))

    def key(self, p: Any) -> Any:
        return p.host.op, p.host.op.key(p.host.params), p.residual, p.activation

    def title(self, p: Any) -> str:
        return (
            p.host.op.title(p.host.params)
            + "+elemwise_add" * bool(p.residual)
            + "+Activation" * (p.activation > 0)
            + "+gate" * (p.activation == GATE)
        )

    def writes_rows_apart(self, p: Any, node: Node) -> bool:
        return not p.residual and p.host.op.writes_rows_apart(p.host.params, p.host)

    def lower(self, p: Any, node: Node, emit: Any) -> None:
        count = len(p.host.inputs)
        host = with_inputs(p.host, node.inputs[:count])
        host.outputs = node.outputs
        host.op.lower(host.params, host, emit)
        call = emit.calls[-1]
        call.args["activation"] = p.activation
        if p.residual:
            residual = node.inputs[count]
            call.reads[RESIDUAL] = emit.buffers.get(residual) or emit.buffer(residual)
            call.inplace = () if p.activation == GATE else (RESIDUAL,)


RIDING = Riding()


def ride(graph: Graph) -> Graph:
    # Values that a rewritten node stands for are used as often as those they replace.
    alone = {v for v, count in graph.uses().items() if count == 1}
    forward = set(graph.forward_nodes)

    def change(node: Node, inputs: Sequence[Value]) -> Sequence[Value] | None:
        if not isinstance(node.op, Elementwise) or not multiplies(node.outputs[0].dtype, node.device):
            return None
        functions = _functions_of(node)
        activation, gate = _activation(node, functions), _gate(node, functions)
        if not activation and gate is None and not _is_sum(node, functions):
            return None
        carriers = [
            new
            for i, (old, new) in enumerate(zip(node.inputs, inputs, strict=True))
            if i != gate
            and _carries(new.node)
            and old in alone
            and (old.node in forward) == (node in forward)
            and new.node.device == node.device
        ]
        if not carriers:
            return None
        if activation:
            host = carriers[0].node
            free = host.op is not RIDING or host.params.activation == 0
            return [_with_riders(carriers[0], None, activation, node)] if free else None
        empty = [c for c in carriers if c.node.op is not RIDING]
        if gate is not None:
            takes = bool(empty) and empty[0].dtype in empty[0].node.op.takes_gate
            return [_with_riders(empty[0], inputs[gate].node.inputs[0], GATE, node)] if takes else None
        return [_chain(node, inputs, empty)] if empty else None

    return rewrite(graph, change)


def _carries(node: Node) -> bool:
    return node.op is RIDING or (node.op is not None and node.outputs[0].dtype in node.op.takes_riders)


def _with_riders(value: Value, residual: Value | None, activation: int, node: Node) -> Value:
    host, inputs = value.node, list(value.node.inputs)
    had_residual = False
    if host.op is RIDING:
        had_residual = host.params.residual
        host = host.params.host
    if residual is not None:
        inputs.append(residual)
    params = RidingParams(host, had_residual or residual is not None, activation)
    types = [value.type]
    riding = Node(RIDING, params, inputs, types, f"{value.node.name}+{node.name}", node.device, node.attrs)
    riding.origin = value.node.origin
    return riding.outputs[0]


def _chain(node: Node, inputs: Sequence[Value], carriers: list[Value]) -> Value:
    """A sum: what cannot carry is added up first, then every carrier adds itself to it."""
    riding = set(carriers)
    rest = [v for v in inputs if v not in riding]
    if rest:
        with made_for(node):
            total = rest[0] if len(rest) == 1 else apply("add_n", rest)
    else:
        total, carriers = carriers[0], carriers[1:]
    for carrier in carriers:
        total = _with_riders(carrier, total, 0, node)
    return total


# What elementwise operators do, told by the functions on their tapes: it follows from operator and parameters.
_functions = Memo()


def _functions_of(node: Node) -> list[int]:
    """The opcodes of the functions that make the node's output of its inputs alone; none if it has constants, too."""
    key = (node.op, node.op.key(node.params), len(node.inputs))
    found = _functions.get(key)
    if found is None:
        tape = Tape(len(node.inputs))
        node.op.write(node.params, tape, *[Operand("input", i) for i in range(len(node.inputs))])
        found = _functions.keep(key, [] if tape.constants else [code for code, _ in tape.instructions])
    return found


def _activation(node: Node, functions: list[int]) -> int:
    """The number of the activation that the node applies to its only input; 0 when it does something else."""
    alone = len(node.inputs) == 1 and len(functions) == 1
    return _activation_opcodes().get(functions[0], 0) if alone else 0


@cache
def _activation_opcodes() -> dict[int, int]:
    return {opcodes()[name][0]: number for name, number in ACTIVATIONS.items()}


def _gate(node: Node, functions: list[int]) -> int | None:
    """Which of the node's two inputs says where a value is above zero, if all that the node does is to multiply by it."""
    if len(node.inputs) != 2 or functions != [opcodes()["mul"][0]]:
        return None
    out = node.outputs[0]
    for i, value in enumerate(node.inputs):
        asked = value.node
        if asked.op is not None and asked.op.name == "_greater_scalar" and asked.params.scalar == 0:
            of = asked.inputs[0]
            if all(v.type == out.type for v in (of, *node.inputs)):
                return i
    return None


def _is_sum(node: Node, functions: list[int]) -> bool:
    """Whether the node adds up all its inputs, each once, and all of one shape."""
    count, out = len(node.inputs), node.outputs[0]
    if count < 2 or functions != [opcodes()["add"][0]] * (count - 1) or len(set(node.inputs)) < count:
        return False
    return all([v.type == out.type for v in node.inputs])
