"""mx.operator: operators written in Python.

class Square(mx.operator.CustomOp):
    def forward(self, is_train, req, in_data, out_data, aux):
        self.assign(out_data[0], req[0], in_data[0] * in_data[0])
    def backward(self, req, out_grad, in_data, out_data, in_grad, aux):
        self.assign(in_grad[0], req[0], 2 * in_data[0] * out_grad[0])

@mx.operator.register("square_in_python")
class SquareProp(mx.operator.CustomOpProp):
    def create_operator(self, ctx, in_shapes, in_dtypes):
        return Square()

mx.nd.Custom(x, op_type="square_in_python")        # or mx.sym.Custom
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any, NamedTuple

from . import autograd
from .base import GraphError, MXNetError
from .ndarray import NDArray, empty, zeros
from .op import OPERATORS, find
from .ops.custom import PROPS, CustomParams, inferred_shapes
from .params import text_of
from .util import is_np_array

__all__ = [
    "Custom",
    "CustomOp",
    "CustomOpProp",
    "NDArrayOp",
    "NumpyOp",
    "OperatorArguments",
    "PythonOp",
    "get_all_registered_operators",
    "get_operator_arguments",
    "is_np_array",
    "register",
]


class CustomOp:
    """What an operator computes."""

    def forward(self, is_train: bool, req: list[str], in_data: list, out_data: list, aux: list) -> None:
        """Fills `out_data` from `in_data`; `req` says for each whether to write or add (see `assign`)."""

    def backward(self, req: list[str], out_grad: list, in_data: list, out_data: list, in_grad: list, aux: list) -> None:
        """Fills `in_grad` from what the output gradients are."""

    def assign(self, dst: NDArray, req: str, src: Any) -> None:
        """Puts `src` into `dst` as `req` asks."""
        if req in ("write", "inplace"):
            dst[...] = src
        elif req == "add":
            dst[...] = dst + src
        elif req != "null":
            raise MXNetError(f"assign: req must be 'null', 'write', 'inplace' or 'add', got {req!r}")


class CustomOpProp:
    """What an operator is: its inputs, outputs, states, shapes and dtypes, and how to make its CustomOp."""

    def __init__(self, need_top_grad: bool = True):
        self.need_top_grad_ = need_top_grad

    def list_arguments(self) -> list[str]:
        return ["data"]

    def list_outputs(self) -> list[str]:
        return ["output"]

    def list_auxiliary_states(self) -> list[str]:
        return []

    def infer_shape(self, in_shape: list) -> tuple:
        """(shapes of arguments, of outputs, of auxiliary states) from what is known of the arguments' shapes."""
        return in_shape, [in_shape[0]] * len(self.list_outputs()), []

    def infer_type(self, in_type: list) -> tuple:
        """(dtypes of arguments, of outputs, of auxiliary states) from those of the arguments."""
        outputs, states = len(self.list_outputs()), len(self.list_auxiliary_states())
        return in_type, [in_type[0]] * outputs, [in_type[0]] * states

    def infer_storage_type(self, in_stype: list) -> tuple:
        """Arrays are dense here."""
        outputs, states = len(self.list_outputs()), len(self.list_auxiliary_states())
        return in_stype, ["default"] * outputs, ["default"] * states

    def infer_storage_type_backward(
        self, ograd_stype: list, in_stype: list, out_stype: list, igrad_stype: list, aux_stype: list
    ) -> tuple:
        """Arrays are dense here."""
        return tuple(["default"] * len(s) for s in (ograd_stype, in_stype, out_stype, igrad_stype, aux_stype))

    def declare_backward_dependency(self, out_grad: list[int], in_data: list[int], out_data: list[int]) -> list[int]:
        """Which of the numbered arrays `backward` looks at; it gets None for the others."""
        return [*(out_grad if self.need_top_grad_ else []), *in_data, *out_data]

    def create_operator(self, ctx: Any, in_shapes: list, in_dtypes: list) -> CustomOp:
        """The CustomOp for one use of the operator."""
        return CustomOp()


def register(reg_name: str) -> Callable[[type], type]:
    """Class decorator: makes a CustomOpProp known as `op_type=reg_name`."""

    def add(prop: type) -> type:
        if not (isinstance(prop, type) and issubclass(prop, CustomOpProp)):
            raise TypeError(f"register({reg_name!r}): a subclass of CustomOpProp is needed, got {prop!r}")
        PROPS[reg_name] = prop
        return prop

    return add


# ---- at once ----------------------------------------------------------------------------------------------------------


class _Call(autograd.Function):
    """One call of a Custom operator on arrays."""

    def __init__(self, p: CustomParams, states: list[NDArray]):
        super().__init__()
        self.p = p
        self.states = states

    def forward(self, *inputs: NDArray) -> list[NDArray]:
        prop, ctx = self.p.prop, inputs[0].context
        _, shapes, _ = inferred_shapes(self.p, [a.shape for a in inputs])
        found = prop.infer_type([a.dtype for a in inputs])
        outputs = [empty(s, ctx, t) for s, t in zip(shapes, found[1], strict=True)]
        self.operator = prop.create_operator(ctx, [a.shape for a in inputs], [a.dtype for a in inputs])
        self.operator.forward(
            autograd.is_training(), ["write"] * len(outputs), [a.detach() for a in inputs], outputs, self.states
        )
        self.save_for_backward(*(a.detach() for a in inputs), *(a.detach() for a in outputs))
        return outputs

    def backward(self, *output_grads: NDArray) -> list[NDArray]:
        count = len(self.p.prop.list_arguments())
        inputs, outputs = list(self.saved_tensors[:count]), list(self.saved_tensors[count:])
        grads = [zeros(a.shape, a.context, a.dtype) for a in inputs]
        req = ["write"] * len(grads)
        with autograd.pause():
            self.operator.backward(req, list(output_grads), inputs, outputs, grads, self.states)
        return grads


def Custom(*data: NDArray, op_type: str, name: str | None = None, **kwargs: Any) -> Any:
    """Applies the operator registered as `op_type` to arrays; keyword arguments are inputs by name, or options."""
    named = {k: v for k, v in kwargs.items() if isinstance(v, NDArray)}
    options = {k: text_of(v) for k, v in kwargs.items() if k not in named}
    p = find("Custom").parse({"op_type": op_type, **options}, name or op_type)
    names = [*p.prop.list_arguments(), *p.prop.list_auxiliary_states()]
    arrays = {**dict(zip(names, data, strict=False)), **named}
    missing = [n for n in names if n not in arrays]
    if missing or len(data) + len(named) != len(names) or set(named) - set(names):
        raise GraphError(
            f"Custom ({op_type}) takes the arrays {', '.join(names)}; missing are {', '.join(missing) or 'none'}"
        )
    count = len(p.prop.list_arguments())
    outputs = _Call(p, [arrays[n] for n in names[count:]])(*(arrays[n] for n in names[:count]))
    return outputs[0] if len(outputs) == 1 else list(outputs)


# ---- the older way ----------------------------------------------------------------------------------------------------


class PythonOp:
    """Base of NumpyOp and NDArrayOp: an object that is both the operator and its description."""

    _number = count()

    def __init__(self, need_top_grad: bool = True):
        self.need_top_grad_ = need_top_grad

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.get_symbol(*args, **kwargs)

    def get_symbol(self, *args: Any, **kwargs: Any) -> Any:
        """The operator on symbols."""
        from . import symbol

        op_type = f"{type(self).__name__.lower()}_{next(self._number)}"
        PROPS[op_type] = lambda **options: _PythonOpProp(self)  # type: ignore[assignment]
        return symbol.Custom(*args, op_type=op_type, **kwargs)

    def forward(self, in_data: list, out_data: list) -> None:
        """By default the first output is a copy of the first input."""
        out_data[0][:] = in_data[0]

    def backward(self, out_grad: list, in_data: list, out_data: list, in_grad: list) -> None:
        """By default the gradient is 1."""
        in_grad[0][:] = 1.0

    def infer_shape(self, in_shape: list) -> tuple:
        return in_shape, [in_shape[0]]

    def list_outputs(self) -> list[str]:
        return ["output"]

    def list_arguments(self) -> list[str]:
        return ["data"]

    def need_top_grad(self) -> bool:
        return self.need_top_grad_

    def declare_backward_dependency(self, out_grad: list[int], in_data: list[int], out_data: list[int]) -> list[int]:
        return [*(out_grad if self.need_top_grad() else []), *in_data, *out_data]

    def _enter(self, arrays: list) -> list:
        """What the methods get for arrays."""
        return arrays

    def _leave(self, arrays: list, given: list) -> None:
        """Brings what the methods wrote back into the arrays."""


class NDArrayOp(PythonOp):
    """An operator on NDArrays."""


class NumpyOp(PythonOp):
    """An operator on NumPy arrays."""

    def _enter(self, arrays: list) -> list:
        return [None if a is None else a.asnumpy() for a in arrays]

    def _leave(self, arrays: list, given: list) -> None:
        for array, values in zip(arrays, given, strict=True):
            array[...] = values


class _PythonOpProp(CustomOpProp):
    """A PythonOp as the description of a Custom operator."""

    def __init__(self, op: PythonOp):
        super().__init__(op.need_top_grad())
        self.op = op
        self.list_arguments = op.list_arguments  # type: ignore[method-assign]
        self.list_outputs = op.list_outputs  # type: ignore[method-assign]
        self.declare_backward_dependency = op.declare_backward_dependency  # type: ignore[method-assign]

    def infer_shape(self, in_shape: list) -> tuple:
        args, outputs = self.op.infer_shape(in_shape)
        return args, outputs, []

    def create_operator(self, ctx: Any, in_shapes: list, in_dtypes: list) -> CustomOp:
        return _PythonOpCall(self.op)


class _PythonOpCall(CustomOp):
    def __init__(self, op: PythonOp):
        self.op = op

    def forward(self, is_train: bool, req: list[str], in_data: list, out_data: list, aux: list) -> None:
        results = self.op._enter(out_data)
        self.op.forward(in_data=self.op._enter(in_data), out_data=results)
        self.op._leave(out_data, results)

    def backward(self, req: list[str], out_grad: list, in_data: list, out_data: list, in_grad: list, aux: list) -> None:
        op = self.op
        results = op._enter(in_grad)
        op.backward(
            out_grad=op._enter(out_grad), in_data=op._enter(in_data), out_data=op._enter(out_data), in_grad=results
        )
        op._leave(in_grad, results)


# ---- what there is ----------------------------------------------------------------------------------------------------


class OperatorArguments(NamedTuple):
    narg: int
    names: list[str]
    types: list[str]


def get_all_registered_operators() -> list[str]:
    """Names of all operators."""
    return sorted(OPERATORS)


def get_operator_arguments(op_name: str) -> OperatorArguments:
    """Inputs and parameters of an operator, in the order of its signature."""
    op = find(op_name)
    inputs = ["NDArray-or-Symbol"] * len(op.inputs)
    types = [*inputs, *(param.allowed() for param in op.params.values())]
    return OperatorArguments(len(types), [*op.inputs, *op.params], types)
