"""Elementwise operators: what they say about themselves, and how a group of them becomes one call of the `ewise` kernel.

An elementwise operator writes its formula with a `Tape`: `t("add", a, t.constant(p.scalar))`. Names are those of
csrc/ewise.def. Any number of such formulas can be written on one tape, which is what fusing is.
"""

from __future__ import annotations

from collections import Counter, namedtuple
from collections.abc import Sequence
from functools import cache
from typing import Any, ClassVar

from . import _core
from .base import FLOATS, TYPE_FLAGS, ShapeError
from .graph import Value, apply_op
from .op import Op, Shape, product, same_shape


@cache
def opcodes() -> dict[str, tuple[int, int, bool]]:
    """Opcode and arity of every elementwise function the kernels know, and whether integer kernels know it."""
    return _core.ewise_opcodes()


class Elementwise(Op, abstract=True):
    """Base of operators whose every output element depends on one element of each input."""

    partial_shapes = True
    cheap = True
    broadcast: ClassVar[bool] = False  # whether inputs of size 1 along an axis are repeated
    float_only: ClassVar[bool] = False  # integers are computed in float64 and converted back

    def write(self, p: Any, t: Tape, *args: Operand) -> Operand:
        """Writes the formula on the tape and returns where the result stands."""
        raise NotImplementedError(f"operator {self.name} must define write(p, t, *inputs), its formula")

    def complete_shapes(self, p: Any, ins: list[Shape], outs: list[Shape]) -> None:
        if not self.broadcast:
            same_shape(ins, outs)

    def output_shapes(self, p: Any, ins: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
        return [broadcast_shapes(ins) if self.broadcast else ins[0]]

    def compute_type(self, p: Any, ins: Sequence[str], out: str) -> str:
        """The dtype to compute in."""
        return compute_type([*ins, out], self.float_only)

    def channels_last(self, p: Any, node: Any, last: Any, plain: Any) -> list[Value] | None:
        if node.outputs[0].ndim != 4 or any(v.ndim not in (0, 4) for v in node.inputs):
            return None
        return list(apply_op(self, [last(v) if v.ndim else plain(v) for v in node.inputs], p).outputs)

    def lower(self, p: Any, node: Any, emit: Any) -> None:
        lower_group([node], outside_inputs([node]), node.outputs, node.outputs, emit)


def compute_type(dtypes: Sequence[str], float_only: bool = False) -> str:
    if "float64" in dtypes:
        return "float64"
    if FLOATS.issuperset(dtypes):
        return "float32"
    if any(d in FLOATS for d in dtypes):
        # an integer meets a float: float32 holds 8-bit integers exactly, wider ones need float64
        return "float32" if all(d in FLOATS or d in ("uint8", "int8", "bool") for d in dtypes) else "float64"
    if float_only:
        return "float64"
    return "int64" if "int64" in dtypes else "int32"


def broadcast_shapes(shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    if shapes.count(shapes[0]) == len(shapes):
        return shapes[0]
    ndim = max(map(len, shapes))
    result = []
    for d in range(ndim):
        size = 1
        for shape in shapes:
            i = d - (ndim - len(shape))
            n = shape[i] if i >= 0 else 1
            if n == 1 or n == size:
                continue
            if size != 1 and n >= 0 and size >= 0:
                raise ShapeError(f"shapes {', '.join(map(str, shapes))} cannot be broadcast together (axis {d})")
            size = n if size == 1 or size < 0 else size
        result.append(size)
    return tuple(result)


class Operand(namedtuple("Operand", "kind index")):
    """Where a value of the tape stands: an input, a constant, or the result of an instruction."""

    __slots__ = ()


class Tape:
    """Instructions in single-assignment form over inputs and constants."""

    def __init__(self, inputs: int):
        self.inputs = inputs
        self.constants: list[float] = []
        self.instructions: list[tuple[int, tuple[Operand, ...]]] = []
        self._known: dict[Any, Operand] = {}

    def constant(self, value: float) -> Operand:
        value = float(value)
        key = value.hex()  # tells -0.0 from 0.0 and makes NaN equal to itself
        if key not in self._known:
            self.constants.append(value)
            self._known[key] = Operand("constant", len(self.constants) - 1)
        return self._known[key]

    def __call__(self, name: str, *args: Operand) -> Operand:
        opcode, arity, _ = opcodes()[name]
        if len(args) != arity:
            raise TypeError(f"elementwise function {name} takes {arity} operands, got {len(args)}")
        key = (opcode, args)
        if key not in self._known:
            self.instructions.append((opcode, args))
            self._known[key] = Operand("result", len(self.instructions) - 1)
        return self._known[key]

    def assemble(self, outputs: Sequence[Operand]) -> dict[str, Any]:
        """Code with registers assigned: a register is free again after the last use of what it holds."""
        instructions, outputs = contracted(self.instructions, outputs)
        last_use = {}
        for i, (_, args) in enumerate(instructions):
            for arg in args:
                last_use[arg] = i
        for out in outputs:
            last_use[out] = len(instructions)
        free: list[int] = []
        used = 0
        register: dict[Operand, int] = {}
        code: list[int] = []

        def number(operand: Operand) -> int:
            if operand.kind == "input":
                return operand.index
            if operand.kind == "constant":
                return self.inputs + operand.index
            return self.inputs + len(self.constants) + register[operand]

        for i, (opcode, args) in enumerate(instructions):
            operands = [number(a) for a in args] + [0] * (MOST_OPERANDS - len(args))
            for arg in dict.fromkeys(args):
                if arg.kind == "result" and last_use[arg] == i:
                    free.append(register[arg])
            result = Operand("result", i)
            if free:
                register[result] = free.pop()
            else:
                register[result] = used
                used += 1
            if result not in last_use:
                free.append(register[result])
            code += [opcode, register[result], *operands]
        return {
            "constants": self.constants,
            "code": code,
            "registers": used,
            "out_operands": [number(o) for o in outputs],
        }


MOST_OPERANDS = 4  # of a function; with its number and its register, the width of an instruction in csrc/args/ewise.h

# Functions whose result only one other reads, as one function with the very same result. Its operands are the inner
# function's and what else the outer one reads; a third operand of the outer one makes room for the inner function's.
CONTRACTIONS = {
    ("add", 0, "mul"): "mul_add",
    ("add", 1, "mul"): "mul_add",
    ("sub", 0, "mul"): "mul_sub",
    ("sub", 1, "mul"): "sub_mul",
    ("mul", 0, "square"): "square_mul",
    ("mul", 1, "square"): "square_mul",
    ("add", 0, "sqrt"): "root_add",
    ("add", 1, "sqrt"): "root_add",
    ("div", 1, "root_add"): "div_root",
    ("mul", 0, "greater"): "if_greater",
    ("mul", 1, "greater"): "if_greater",
    ("mul_add", 2, "mul"): "mul_add_mul",
    ("mul_sub", 2, "mul"): "mul_sub_mul",
}

Instruction = tuple[int, tuple[Operand, ...]]
Instructions = list[Instruction]


def _contraction(
    kept: dict[int, Instruction], i: int, uses: Counter[Operand], code: dict[int, str]
) -> tuple[Instruction, int] | None:
    """An instruction that does what the i-th does and one that it alone reads, and the place of the latter."""
    opcode, args = kept[i]
    for place, arg in enumerate(args):
        inner = kept.get(arg.index) if arg.kind == "result" and uses[arg] == 1 else None
        name = CONTRACTIONS.get((code.get(opcode, ""), place, code.get(inner[0], ""))) if inner else None
        if inner and name:
            operands = (*args[:2], *inner[1]) if place == 2 else (*inner[1], args[1 - place])
            return (opcodes()[name][0], operands), arg.index
    return None


def contracted(instructions: Instructions, outputs: Sequence[Operand]) -> tuple[Instructions, list[Operand]]:
    """The same with fewer instructions: each is a walk over a tile."""
    code = {opcodes()[name][0]: name for pair in CONTRACTIONS for name in (pair[0], pair[2])}
    uses = Counter(outputs)
    for _, args in instructions:
        uses.update(args)
    kept: dict[int, Instruction] = {}
    for i, one in enumerate(instructions):
        kept[i] = one
        while (found := _contraction(kept, i, uses, code)) is not None:
            kept[i], gone = found
            del kept[gone]
    place_of = {old: new for new, old in enumerate(kept)}

    def moved(operand: Operand) -> Operand:
        return Operand("result", place_of[operand.index]) if operand.kind == "result" else operand

    return [(opcode, tuple(map(moved, args))) for opcode, args in kept.values()], [moved(o) for o in outputs]


def lower_group(
    nodes: Sequence[Any], inputs: Sequence[Any], results: Sequence[Value], outputs: Sequence[Any], emit: Any
):
    """One `ewise` call for elementwise nodes (in order) that store `results` to `outputs`.

    `inputs` stand for what the group reads from outside, in the order of `outside_inputs`.
    """
    tape = Tape(len(inputs))
    where = {v: Operand("input", i) for i, v in enumerate(outside_inputs(nodes))}
    for node in nodes:
        where[node.outputs[0]] = node.op.write(node.params, tape, *[where[v] for v in node.inputs])
    emit_tape(tape, group_type(nodes[0]), inputs, outputs, [where[v] for v in results], emit)


def emit_tape(
    tape: Tape, kind: str, inputs: Sequence[Any], outputs: Sequence[Any], results: Sequence[Operand], emit: Any
):
    """The `ewise` call of a tape. Inputs and outputs are values or buffers (anything with shape and dtype)."""
    shape = outputs[0].shape
    dims, strides = collapse(shape, [v.shape for v in inputs])
    args = {
        "shape": dims,
        "inputs": len(inputs),
        "in_strides": [s for one in strides for s in one],
        "in_types": [TYPE_FLAGS[v.dtype] for v in inputs],
        "out_types": [TYPE_FLAGS[v.dtype] for v in outputs],
        **tape.assemble(results),
    }
    whole = [i for i, v in enumerate(inputs) if v.shape == shape]
    emit("ewise", kind, args, list(inputs), list(outputs), inplace=whole)


def collapse(shape: tuple[int, ...], operands: Sequence[tuple[int, ...]]) -> tuple[list[int], list[list[int]]]:
    """The iteration space with as few dimensions as possible, and each (broadcast) operand's strides in it."""
    if operands.count(shape) == len(operands):
        return [product(shape)], [[1] for _ in operands]
    strides = [broadcast_strides(s, shape) for s in operands]
    dims: list[int] = []
    kept: list[list[int]] = [[] for _ in operands]
    for d, n in enumerate(shape):
        if n == 1:
            continue
        if dims and all(k[-1] == s[d] * n for k, s in zip(kept, strides, strict=True)):
            dims[-1] *= n
            for k, s in zip(kept, strides, strict=True):
                k[-1] = s[d]
        else:
            dims.append(n)
            for k, s in zip(kept, strides, strict=True):
                k.append(s[d])
    if not dims:
        return [1], [[1] for _ in operands]
    return dims, kept


def broadcast_strides(operand: tuple[int, ...], shape: tuple[int, ...]) -> list[int]:
    """Strides (in elements) with which a contiguous operand is read while walking over `shape`."""
    strides = [0] * len(shape)
    step = 1
    for d in range(1, len(operand) + 1):
        n = operand[-d]
        strides[-d] = 0 if n == 1 and shape[-d] != 1 else step
        step *= n
    return strides


FusedParams = namedtuple("FusedParams", "nodes results")


class Fused(Op, abstract=True):
    """A group of elementwise nodes that runs as one call; made by the fuse pass, never by a user."""

    name = "_fused"
    Params = FusedParams

    def output_names(self, p: Any) -> tuple[str, ...]:
        return tuple(f"output{i}" for i in range(len(p.results)))

    def input_names(self, p: Any) -> tuple[str, ...]:
        return tuple(f"arg{i}" for i in range(len(outside_inputs(p.nodes))))

    def key(self, p: Any) -> Any:
        """The formulas, with numbers for the values in the order in which they come up."""
        place: dict[Value, int] = {}
        formulas = []
        for node in p.nodes:
            sources = tuple([place.setdefault(v, len(place)) for v in node.inputs])
            out = node.outputs[0]
            formulas.append((node.op, node.op.key(node.params), sources, out.dtype))
            place[out] = len(place)
        return tuple(formulas), tuple([place[v] for v in p.results])

    def title(self, p: Any) -> str:
        return "+".join(node.op.title(node.params) for node in p.nodes)

    def lower(self, p: Any, node: Any, emit: Any) -> None:
        lower_group(p.nodes, node.inputs, p.results, node.outputs, emit)


FUSED = Fused()


def group_type(node: Any) -> str:
    """The dtype an elementwise node computes in; all nodes of a group share it."""
    return node.op.compute_type(node.params, [v.dtype for v in node.inputs], node.outputs[0].dtype)


def outside_inputs(nodes: Sequence[Any]) -> list[Value]:
    """Values a group reads from outside, in order of first use."""
    made = {v for node in nodes for v in node.outputs}
    found: dict[Value, None] = {}
    for node in nodes:
        for value in node.inputs:
            if value not in made:
                found[value] = None
    return list(found)
