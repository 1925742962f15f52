"""What an operator is: one class that says everything about it. The rest of the house is derived from it.

    class Square(Op):
        \"\"\"Element-wise square.\"\"\"
        def gradient(self, p, node, grads): ...
        def lower(self, p, node, emit): ...

Parameters are class attributes (`num_hidden = Int(min=1, doc="...")`). An operator either names a kernel (`lower`) or is made
of other operators (`expand`); its gradient is a graph of operators (`gradient`), or follows from its expansion.

Shapes are tuples; -1 is an unknown dimension and None an unknown shape.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from .base import GraphError, ShapeError, TypeInferenceError, did_you_mean
from .params import Float, Floats, Param, parse_params

if TYPE_CHECKING:
    from .graph import Node, Value
    from .passes.lower import Emit

Shape = tuple[int, ...] | None
REGISTRY: dict[str, Op] = {}  # every name an operator answers to
OPERATORS: dict[str, Op] = {}  # registered names only


@cache
def params_type(names: tuple[str, ...]) -> type:
    """The named tuple of parameters of these names. Operators share it: making one takes a quarter of a millisecond."""
    return namedtuple("Params", names)  # type: ignore[misc]


class _ParamsOnDemand:
    """`Params` of an operator's class until somebody asks for it: making all of them takes 30 ms of an import."""

    def __get__(self, op: Op | None, cls: type[Op]) -> type:
        cls.Params = made = params_type(tuple(cls.params))
        return made


@cache
def own_params(cls: type) -> dict[str, Param]:
    """The parameters that a class itself names."""
    # `lower_` is the parameter lower, for `lower` is taken.
    return {name.rstrip("_"): value for name, value in vars(cls).items() if isinstance(value, Param)}


class Op:
    name: ClassVar[str] = ""
    aliases: ClassVar[tuple[str, ...]] = ()
    inputs: ClassVar[tuple[str, ...]] = ("data",)
    aux: ClassVar[tuple[str, ...]] = ()  # inputs that are auxiliary states
    outputs: ClassVar[tuple[str, ...]] = ("output",)
    param_order: ClassVar[tuple[str, ...]] = ()  # parameters that come first in calls by position
    count: ClassVar[str | None] = None  # parameter that holds the number of inputs (num_args of Concat)
    random: ClassVar[bool] = False  # draws random numbers: two equal calls differ
    early_updates: ClassVar[bool] = False  # `updates` happen with the forward pass, not with the backward pass
    mutates: ClassVar[tuple[str, ...]] = ()  # inputs that `updates` writes, besides aux
    takes_riders: ClassVar[tuple[str, ...]] = ()  # dtypes in which its last call has bias, residual and activation
    takes_gate: ClassVar[tuple[str, ...]] = ()  # ... or a gate where the residual is
    steered: ClassVar[
        tuple[str, ...]
    ] = ()  # numbers that change from call to call (learning rates), used in arithmetic
    cheap: ClassVar[bool] = False  # worth computing again rather than keeping, when memory is short

    params: ClassVar[dict[str, Param]] = {}
    Params: ClassVar[Any] = tuple
    has_reals: ClassVar[bool] = False  # whether parameters are real numbers

    def __init_subclass__(cls, abstract: bool = False, **options: Any):
        super().__init_subclass__(**options)
        found: dict[str, Param] = {}
        for base in cls.__mro__:  # own parameters come before inherited ones
            for name, value in own_params(base).items():
                found.setdefault(name, value)
        found = {n: found[n] for n in dict.fromkeys((*(n for n in cls.param_order if n in found), *found))}
        cls.params = found
        cls.has_reals = any(isinstance(param, (Float, Floats)) for param in found.values())
        if "Params" not in vars(cls):
            cls.Params = _ParamsOnDemand()
        if not abstract:
            if "name" not in vars(cls):
                cls.name = cls.__name__
            register(cls())

    # ---- what an operator says about itself -------------------------------------------------------------------------

    def input_names(self, p: Any) -> tuple[str, ...]:
        """Names of the inputs under these parameters."""
        if self.count:
            return tuple(f"arg{i}" for i in range(getattr(p, self.count)))
        return self.inputs

    def counted(self, inputs: int) -> int:
        """What the parameter `count` is when there are so many inputs."""
        return inputs

    def output_names(self, p: Any) -> tuple[str, ...]:
        """Names of all outputs, hidden ones included."""
        return self.outputs

    def aux_names(self, p: Any) -> tuple[str, ...]:
        """The inputs that are auxiliary states."""
        return self.aux

    def visible(self, p: Any) -> int:
        """How many of the outputs a user sees."""
        return len(self.output_names(p))

    def complete_shapes(self, p: Any, ins: list[Shape], outs: list[Shape]) -> None:
        """Fills in what can be deduced about `ins` (weights from data; anything from `outs`). Works in place."""

    def output_shapes(self, p: Any, ins: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
        """Shapes of all outputs. Called with complete shapes, unless `partial_shapes` says that -1 is understood."""
        raise NotImplementedError(f"{self.name}: output_shapes")

    partial_shapes: ClassVar[bool] = False

    def infer_types(self, p: Any, ins: list[str | None], outs: list[str | None]) -> None:
        """Fills in dtypes in place, in both directions. By default all inputs and outputs share one."""
        told = [t for t in (*ins, *outs) if t]
        if told:
            common = told[0]
            if told.count(common) != len(told):
                other = next(t for t in told if t != common)
                raise TypeInferenceError(f"all operands must have one dtype, got {common} and {other}")
            ins[:] = [common] * len(ins)
            outs[:] = [common] * len(outs)

    def gradient(self, p: Any, node: Node, grads: list[Value | None]) -> Sequence[Value | None]:
        """Gradients for every input from the gradients of the outputs (None where an output has none)."""
        raise NotImplementedError(f"{self.name}: gradient")

    def expand(self, p: Any, node: Node, train: bool) -> Sequence[Value] | None:
        """The outputs as a composition of other operators, or None to keep the node (then `lower` is called)."""
        return None

    def expand_before_gradient(self, p: Any, train: bool) -> bool:
        """Whether to differentiate the expansion although the operator has a gradient of its own."""
        return False

    def updates(self, p: Any, node: Node) -> dict[int, Value]:
        """New values for inputs that the operator changes in training (moving statistics, optimizer states)."""
        return {}

    def wants_channels_last(self, node: Node) -> bool:
        """Whether the node is faster on images with the channels last, so much that moving them pays (layout pass)."""
        return False

    def channels_last(
        self, p: Any, node: Node, last: Callable[[Value], Value], plain: Callable[[Value], Value]
    ) -> list[Value] | None:
        """The outputs, images among them with their channels last, from inputs in either form; None if there is no way."""
        return None

    def moves_output(self, node: Node) -> bool:
        """Whether `channels_last` gives outputs of four dimensions as images with the channels last."""
        return True

    def joins_rows(self, p: Any, node: Node) -> bool:
        """Whether the output is the inputs side by side along the last axis. `emit.is_placed` says which are there already."""
        return False

    def writes_rows_apart(self, p: Any, node: Node) -> bool:
        """Whether the only output may lie in a wider array, its rows `emit.pitch` elements apart."""
        return False

    def lower(self, p: Any, node: Node, emit: Emit) -> None:
        """Names the kernels that compute the node and fills their arguments."""
        raise NotImplementedError(f"{self.name}: lower")

    def title(self, p: Any) -> str:
        """What the profiler calls it; nodes made of several operators name them all."""
        return self.name

    def key_variable_attrs(self, p: Any, input_name: str) -> dict[str, str]:
        """Attributes an automatically made input variable gets besides the operator's own (default initialisers)."""
        return {}

    # ---- derived ----------------------------------------------------------------------------------------------------

    @property
    def differentiable_by_expansion(self) -> bool:
        return type(self).gradient is Op.gradient and type(self).expand is not Op.expand

    def parse(self, given: dict[str, Any], where: str = "", count: int | None = None) -> Any:
        """The frozen, complete parameters."""
        if self.count and self.count not in given and count is not None:
            given = {**given, self.count: self.counted(count)}
        return self.Params._make(parse_params(self.name, self.params, given, where).values())

    def key(self, p: Any) -> Any:
        """The parameters as (a part of) a key. Tuples that hold 0.0 and -0.0 are equal, their texts are not."""
        return (p, tuple.__repr__(p)) if self.has_reals else p

    def infer_outputs(
        self, p: Any, ins: Sequence[tuple[tuple[int, ...], str]], where: str
    ) -> list[tuple[tuple[int, ...], str]]:
        """Types of the outputs when all inputs are known: the eager and in-pass case."""
        shapes: list[Shape] = [s for s, _ in ins]
        types: list[str | None] = [t for _, t in ins]
        names = self.input_names(p)
        if len(ins) != len(names):
            raise GraphError(f"{self.name}({where}): takes {len(names)} inputs ({', '.join(names)}), got {len(ins)}")
        outputs = len(self.output_names(p))
        out_shapes: list[Shape] = [None] * outputs
        out_types: list[str | None] = [None] * outputs
        try:
            self.complete_shapes(p, shapes, out_shapes)
            out_shapes = list(self.output_shapes(p, shapes))  # type: ignore[arg-type]
            self.infer_types(p, types, out_types)
        except (ShapeError, TypeInferenceError) as error:
            raise type(error)(f"{self.name}({where}): {error}; inputs are {describe(names, ins)}") from None
        return [(s, t or "float32") for s, t in zip(out_shapes, out_types, strict=True)]  # type: ignore[misc]


class Memo(dict[Any, Any]):
    """What follows from its key alone, and so holds for whoever comes with it again. Starts anew when it has grown large."""

    LIMIT = 10_000

    def keep(self, key: Any, found: Any) -> Any:
        if len(self) >= self.LIMIT:
            self.clear()
        self[key] = found
        return found


def describe(names: Sequence[str], ins: Sequence[tuple[Shape, str | None]]) -> str:
    return ", ".join(f"{n} {shown(s)} {t or ''}".rstrip() for n, (s, t) in zip(names, ins, strict=False)) or "none"


def shown(shape: Shape) -> str:
    if shape is None:
        return "unknown"
    return "(" + ", ".join("?" if d < 0 else str(d) for d in shape) + ("," if len(shape) == 1 else "") + ")"


def register(op: Op) -> Op:
    for name in (op.name, *op.aliases):
        if name in REGISTRY:
            raise GraphError(f"two operators are called {name!r}")
        REGISTRY[name] = op
    OPERATORS[op.name] = op
    return op


def find(name: str) -> Op:
    """The operator of that name or alias."""
    try:
        return REGISTRY[name]
    except KeyError:
        raise GraphError(f"there is no operator {name!r}{did_you_mean(name, REGISTRY)}") from None


# ---- shape arithmetic that operators share ------------------------------------------------------------------------------


def unify(a: Shape, b: Shape, what: str = "shapes") -> Shape:
    """The one shape that both describe."""
    if a is None or b is None:
        return b if a is None else a
    if a == b:
        return a
    if len(a) != len(b):
        raise ShapeError(f"{what} {a} and {b} have different numbers of dimensions")
    merged = []
    for x, y in zip(a, b, strict=True):
        if x >= 0 and y >= 0 and x != y:
            raise ShapeError(f"{what} {a} and {b} differ")
        merged.append(x if x >= 0 else y)
    return tuple(merged)


def require(ins: list[Shape], at: int, name: str, shape: Shape) -> None:
    """Fills in an input that must have a certain shape."""
    try:
        ins[at] = unify(ins[at], shape)
    except ShapeError:
        raise ShapeError(f"{name} must have shape {shown(shape)}") from None


def known(shape: Shape) -> bool:
    return shape is not None and (not shape or min(shape) >= 0)


def same_shape(ins: list[Shape], outs: list[Shape]) -> Shape:
    """All inputs and outputs have one shape: fills both lists."""
    common: Shape = None
    for shape in [*ins, *outs]:
        common = unify(common, shape)
    ins[:] = [common] * len(ins)
    outs[:] = [common] * len(outs)
    return common


def share_dtype(ins: list[str | None], outs: list[str | None], of: Sequence[int] = (0,)) -> None:
    """The inputs numbered in `of` and all outputs have one dtype; what the other inputs have is their own business."""
    known_types = {t for t in [*(ins[i] for i in of), *outs] if t}
    if len(known_types) > 1:
        raise TypeInferenceError(f"operands must have one dtype, got {' and '.join(sorted(known_types))}")
    for t in known_types:
        for i in of:
            ins[i] = t
        outs[:] = [t] * len(outs)


def normalize_axis(axis: int, ndim: int, what: str = "axis") -> int:
    if not -ndim <= axis < ndim:
        raise ShapeError(f"{what} {axis} is out of range for {ndim} dimensions")
    return axis % ndim


# Where the axes of an image with its channels second are when they are last.
LAST_AXES = (0, 3, 1, 2)


def product(dims: Sequence[int]) -> int:
    size = 1
    for d in dims:
        size *= d
    return size


Expression = Callable[..., Any]
