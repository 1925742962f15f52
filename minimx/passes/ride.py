"""ride: activations and sums go along with the matrix product or convolution that makes their input.

Kernels that take riders (csrc/args/epilogue.h) compute activation(sum + bias + residual) while the sum is still in registers.
An elementwise node rides when it is the only reader of such a kernel's output and does nothing else than apply one of the
known activations, or add up values of one shape. In a sum of several products each adds to what the one before has left.
"""

from __future__ import annotations

from collections import Counter, namedtuple
from collections.abc import Sequence
from functools import cache
from typing import Any

from ..elementwise import Elementwise, Operand, Tape, opcodes
from ..graph import Graph, Node, Value, apply, made_for, rewrite, with_inputs
from ..op import Op
from .lower import multiplies

# As in csrc/args/epilogue.h, by the names of the elementwise functions.
ACTIVATIONS = {"relu": 1, "sigmoid": 2, "tanh": 3, "softrelu": 4, "softsign": 5}
RESIDUAL = 3  # where a call with riders takes the residual: a, b, bias, residual

RidingParams = namedtuple("RidingParams", "host residual activation")


class Riding(Op, abstract=True):
    """A product or convolution with riders; made by this pass, never by a user."""

    name = "_riding"
    Params = RidingParams

    def input_names(self, p: Any) -> tuple[str, ...]:
        return (*p.host.op.input_names(p.host.params), *(("residual",) if p.residual else ()))

    def title(self, p: Any) -> str:
        return p.host.op.title(p.host.params) + "+elemwise_add" * bool(p.residual) + "+Activation" * (p.activation != 0)

    def lower(self, p: Any, node: Node, emit: Any) -> None:
        count = len(p.host.inputs)
        host = with_inputs(p.host, node.inputs[:count])
        emit.buffers[host.outputs[0]] = emit.buffer(node.outputs[0])
        host.op.lower(host.params, host, emit)
        call = emit.calls[-1]
        call.args["activation"] = p.activation
        if p.residual:
            call.reads[RESIDUAL] = emit.buffer(node.inputs[count])
            call.inplace = (RESIDUAL,)


RIDING = Riding()


def ride(graph: Graph) -> Graph:
    uses: Counter[Value] = Counter(graph.roots())
    uses.update(v for node in graph.nodes() for v in node.inputs)
    # Values that a rewritten node stands for are used as often as those they replace.
    alone = {v for v, count in uses.items() if count == 1}
    forward = set(graph.forward_nodes)

    def change(node: Node, inputs: Sequence[Value]) -> Sequence[Value] | None:
        if not isinstance(node.op, Elementwise) or not multiplies(node.outputs[0].dtype, node.device):
            return None
        is_forward = node in forward
        carriers = [
            new
            for old, new in zip(node.inputs, inputs, strict=True)
            if old in alone
            and _carries(new.node)
            and (old.node in forward) == is_forward
            and new.node.device == node.device
        ]
        if not carriers:
            return None
        if activation := _activation(node):
            host = carriers[0].node
            free = host.op is not RIDING or host.params.activation == 0
            return [_with_riders(carriers[0], None, activation, node)] if free else None
        empty = [c for c in carriers if c.node.op is not RIDING]
        return [_chain(node, inputs, empty)] if empty and _is_sum(node) else None

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
    types = [(value.shape, value.dtype)]
    riding = Node(RIDING, params, inputs, types, f"{value.node.name}+{node.name}", node.device, node.attrs)
    riding.origin = value.node.origin
    return riding.outputs[0]


def _chain(node: Node, inputs: Sequence[Value], carriers: list[Value]) -> Value:
    """A sum: what cannot carry is added up first, then every carrier adds itself to it."""
    rest = list(inputs)
    for carrier in carriers:
        rest.remove(carrier)
    if rest:
        with made_for(node):
            total = rest[0] if len(rest) == 1 else apply("add_n", rest)
    else:
        total, carriers = carriers[0], carriers[1:]
    for carrier in carriers:
        total = _with_riders(carrier, total, 0, node)
    return total


def _written(node: Node) -> tuple[Tape, Operand]:
    tape = Tape(len(node.inputs))
    where = [Operand("input", i) for i in range(len(node.inputs))]
    return tape, node.op.write(node.params, tape, *where)


def _activation(node: Node) -> int:
    """The number of the activation that the node applies to its only input; 0 when it does something else."""
    if len(node.inputs) != 1:
        return 0
    tape, _ = _written(node)
    if len(tape.instructions) != 1 or tape.constants:
        return 0
    return _activation_opcodes().get(tape.instructions[0][0], 0)


@cache
def _activation_opcodes() -> dict[int, int]:
    return {opcodes()[name][0]: number for name, number in ACTIVATIONS.items()}


def _is_sum(node: Node) -> bool:
    """Whether the node adds up all its inputs, each once, and all of one shape."""
    if len(node.inputs) < 2 or any(v.shape != node.outputs[0].shape for v in node.inputs):
        return False
    if len(set(node.inputs)) != len(node.inputs) or any(v.dtype != node.outputs[0].dtype for v in node.inputs):
        return False
    tape, _ = _written(node)
    add = opcodes()["add"][0]
    return len(tape.instructions) == len(node.inputs) - 1 and all(code == add for code, _ in tape.instructions)
