"""Custom: operators whose computation is Python, called by the program while it runs."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..base import GraphError, ParameterError, ShapeError, did_you_mean, dtype_name
from ..context import Context
from ..graph import Node, Value, apply, apply_op
from ..op import Op, Shape, find, known, unify
from ..params import Text, text_of

# What mx.operator.register has put here: op_type -> CustomOpProp class.
PROPS: dict[str, type] = {}


class CustomParams:
    """The parameters of one use of a Custom operator: its type, the options as text, and the prop made from them."""

    __slots__ = ("op_type", "options", "prop")

    def __init__(self, op_type: str, options: tuple[tuple[str, str], ...], prop: Any):
        self.op_type = op_type
        self.options = options
        self.prop = prop


BackwardParams = namedtuple("BackwardParams", "forward types layout")


def make_prop(op_type: str, options: dict[str, str]) -> Any:
    if op_type not in PROPS:
        raise GraphError(f"Custom: no operator is registered as {op_type!r}{did_you_mean(op_type, PROPS)}")
    return PROPS[op_type](**options)


class Custom(Op):
    """An operator written in Python: `op_type` names what mx.operator.register has registered. Other keyword arguments go
    to its prop, as text."""

    inputs = ()
    op_type = Text(doc="the registered name")

    def parse(self, given, where="", count=None):
        op_type = given.get("op_type")
        if op_type is None:
            raise ParameterError(f"Custom{f' ({where})' if where else ''}: the parameter op_type (a string) is missing")
        options = {k: text_of(v) for k, v in given.items() if k != "op_type" and not k.startswith("__")}
        return CustomParams(op_type, tuple(options.items()), make_prop(op_type, options))

    def input_names(self, p):
        return (*p.prop.list_arguments(), *p.prop.list_auxiliary_states())

    def output_names(self, p):
        return tuple(p.prop.list_outputs())

    def aux_names(self, p):
        return tuple(p.prop.list_auxiliary_states())

    def complete_shapes(self, p, ins, outs):
        count = len(p.prop.list_arguments())
        try:
            args, results, states = inferred_shapes(p, ins[:count])
        except Exception:
            if all(map(known, ins[:count])):
                raise
            return  # the prop needs a shape that is not known yet
        for target, found in ((ins, [*args, *states]), (outs, results)):
            for i, shape in enumerate(found):
                target[i] = unify(target[i], shape)

    def output_shapes(self, p, ins):
        return inferred_shapes(p, ins[: len(p.prop.list_arguments())])[1]

    def infer_types(self, p, ins, outs):
        count = len(p.prop.list_arguments())
        first = next((t for t in ins if t), None)
        if first is None:
            return
        given = [np.dtype(t or first).type for t in ins[:count]]
        found = p.prop.infer_type(given)
        args, results, states = found if len(found) == 3 else (*found, [])
        ins[:] = [t or dtype_name(f) for t, f in zip(ins, [*args, *states], strict=True)]
        outs[:] = [dtype_name(f) for f in results]

    def gradient(self, p, node, grads):
        layout = _layout(p.prop)
        arriving = [g if g is not None else apply("zeros_like", [v]) for g, v in zip(grads, node.outputs, strict=True)]
        values = [*arriving, *node.inputs[: layout.arguments], *node.outputs, *node.inputs[layout.arguments :]]
        kept = [v for v, needed in zip(values, layout.needed, strict=True) if needed]
        types = tuple((v.shape, v.dtype) for v in node.inputs[: layout.arguments])
        return apply_op(find("_backward_Custom"), kept, BackwardParams(p, types, layout)).outputs

    def lower(self, p, node, emit):
        operator = _operator_of(p, node, emit)
        count, train = len(p.prop.list_arguments()), emit.train

        def run(reads: list[Any], writes: list[Any]) -> None:
            with _paused():
                operator().forward(train, ["write"] * len(writes), reads[:count], writes, reads[count:])

        emit.host(p.op_type, run, node.inputs, node.outputs)


class CustomBackward(Op):
    """Calls the backward method of a Custom operator."""

    name = "_backward_Custom"
    inputs = ()

    def input_names(self, p):
        layout = p.layout
        kinds = (
            ("out_grad", layout.outputs),
            ("in_data", layout.arguments),
            ("out_data", layout.outputs),
            ("aux", layout.states),
        )
        names = [f"{kind}{i}" for kind, n in kinds for i in range(n)]
        return tuple(n for n, needed in zip(names, layout.needed, strict=True) if needed)

    def output_names(self, p):
        return tuple(f"in_grad{i}" for i in range(len(p.types)))

    def output_shapes(self, p, ins):
        return [shape for shape, _ in p.types]

    def infer_types(self, p, ins, outs):
        outs[:] = [dtype for _, dtype in p.types]

    def lower(self, p, node, emit):
        operator = _operator_of(p.forward, node, emit)

        def run(reads: list[Any], writes: list[Any]) -> None:
            out_grad, in_data, out_data, aux = p.layout.split(reads)
            with _paused():
                operator().backward(["write"] * len(writes), out_grad, in_data, out_data, writes, aux)

        emit.host(f"backward of {p.forward.op_type}", run, node.inputs, node.outputs)


class Layout(namedtuple("Layout", "outputs arguments states needed")):
    """How many arrays of each kind the backward method is given, and which of them it says it needs."""

    def split(self, given: Sequence[Any]) -> tuple[list[Any], list[Any], list[Any], list[Any]]:
        """Lists of output gradients, inputs, outputs and states, with None for what is not needed."""
        rest = iter(given)
        arrays = [next(rest) if needed else None for needed in self.needed]
        a, b, c = self.outputs, self.outputs + self.arguments, 2 * self.outputs + self.arguments
        return arrays[:a], arrays[a:b], arrays[b:c], arrays[c:]


def _layout(prop: Any) -> Layout:
    outputs, arguments = len(prop.list_outputs()), len(prop.list_arguments())
    states = len(prop.list_auxiliary_states())
    numbers = list(range(2 * outputs + arguments))
    grads, data, results = numbers[:outputs], numbers[outputs : outputs + arguments], numbers[outputs + arguments :]
    wanted = set(prop.declare_backward_dependency(grads, data, results))
    return Layout(outputs, arguments, states, tuple(n in wanted for n in numbers) + (True,) * states)


def inferred_shapes(p: Any, given: Sequence[Shape]) -> tuple[list[Shape], list[Shape], list[Shape]]:
    """What the prop says: unknown shapes are [] for it, unknown dimensions 0, as in MXNet."""
    told = [[] if s is None else [max(d, 0) for d in s] for s in given]
    found = p.prop.infer_shape(told)
    if len(found) not in (2, 3):
        raise ShapeError(f"{p.op_type}: infer_shape must return the shapes of arguments, outputs and auxiliary states")
    args, results, states = (list(f) for f in (found if len(found) == 3 else (*found, [])))
    expected = len(p.prop.list_arguments()), len(p.prop.list_outputs()), len(p.prop.list_auxiliary_states())
    for what, shapes, n in zip(("arguments", "outputs", "states"), (args, results, states), expected, strict=True):
        if len(shapes) != n:
            raise ShapeError(f"{p.op_type}: infer_shape must return {n} shapes of {what}, got {len(shapes)}")
    return _shapes(args), _shapes(results), _shapes(states)


def _shapes(shapes: Sequence[Any]) -> list[Shape]:
    return [tuple(int(d) for d in s) for s in shapes]


def _operator_of(p: Any, node: Node, emit: Any) -> Callable[[], Any]:
    """The CustomOp that one node's forward and backward calls share; made when the program first needs it."""

    def make() -> Callable[[], Any]:
        made: list[Any] = []
        values: Sequence[Value] = node.inputs[: len(p.prop.list_arguments())]
        context = Context(*emit.device)

        def get() -> Any:
            if not made:
                shapes, dtypes = [v.shape for v in values], [np.dtype(v.dtype).type for v in values]
                made.append(p.prop.create_operator(context, shapes, dtypes))
            return made[0]

        return get

    return emit.shared(node.origin, make)


def _paused() -> Any:
    from ..autograd import pause

    return pause()
