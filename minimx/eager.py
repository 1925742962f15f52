"""Eager: operators applied to arrays at once, through cached one-node programs.

The cache and the run are in csrc/eager.cpp; this module compiles what is not cached yet and turns what a caller wrote into
an operator, its inputs and its parameters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from . import _core, tape
from . import ops as _ops  # noqa: F401  registers the operators
from .base import MXNetError, ParameterError
from .compile import compile_eager
from .context import Context, current_context
from .op import Op, find

# Scalar operators as operators of two arrays, and where the scalar stands: so one program serves every scalar.
_SCALAR_FORMS = {
    "_plus_scalar": ("broadcast_add", 1),
    "_minus_scalar": ("broadcast_sub", 1),
    "_rminus_scalar": ("broadcast_sub", 0),
    "_mul_scalar": ("broadcast_mul", 1),
    "_div_scalar": ("broadcast_div", 1),
    "_rdiv_scalar": ("broadcast_div", 0),
    "_mod_scalar": ("broadcast_mod", 1),
    "_rmod_scalar": ("broadcast_mod", 0),
    "_power_scalar": ("broadcast_power", 1),
    "_rpower_scalar": ("broadcast_power", 0),
    "_maximum_scalar": ("broadcast_maximum", 1),
    "_minimum_scalar": ("broadcast_minimum", 1),
    "_equal_scalar": ("broadcast_equal", 1),
    "_not_equal_scalar": ("broadcast_not_equal", 1),
    "_greater_scalar": ("broadcast_greater", 1),
    "_greater_equal_scalar": ("broadcast_greater_equal", 1),
    "_lesser_scalar": ("broadcast_lesser", 1),
    "_lesser_equal_scalar": ("broadcast_lesser_equal", 1),
    "_logical_and_scalar": ("broadcast_logical_and", 1),
    "_logical_or_scalar": ("broadcast_logical_or", 1),
    "_logical_xor_scalar": ("broadcast_logical_xor", 1),
}

_PARSED_LIMIT = 4096
_parsed: dict[tuple, Any] = {}


def parse(op: Op, given: Mapping[str, Any], count: int) -> Any:
    """The operator's parameters, remembered by what was written."""
    try:
        key = (op, count, *given, *given.values(), *map(type, given.values()))
        return _parsed[key]
    except KeyError:
        pass
    except TypeError:  # a list or an array among the values
        return op.parse(dict(given), count=count)
    if len(_parsed) >= _PARSED_LIMIT:
        _parsed.clear()
    params = _parsed[key] = op.parse(dict(given), count=count)
    return params


def invoke(
    op: Op | str, inputs: Sequence[Any], given: Mapping[str, Any] | None = None, out: Any = None, ctx: Any = None
) -> Any:
    """Applies an operator: an array, or a list of arrays when the operator has several outputs."""
    if isinstance(op, str):
        op = find(op)
    return _core.invoke(op, parse(op, given or {}, len(inputs)), ctx, out, *inputs)


def call(op: Op, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """`mx.nd.<operator>(*args, **kwargs)`: inputs first, then parameters, each by position or by name."""
    out = ctx = None
    if kwargs:
        out = kwargs.pop("out", None)
        kwargs.pop("name", None)
        ctx = kwargs.pop("ctx", None)
        if isinstance(ctx, str):
            ctx = _read_context(ctx)
    inputs, given = _operands(op, args, kwargs)
    if out is not None and not inputs and isinstance(out, _core.Array):
        for key, value in (("shape", out.shape), ("dtype", out.dtype_name)):
            if key in op.params and given.get(key) is None:
                given[key] = value
    params = parse(op, given, len(inputs))
    if op.steered and _steerable(inputs):
        numbers = tuple(getattr(params, n) for n in op.steered)
        return _core.invoke_steered(op, params._replace(**dict.fromkeys(op.steered, 0.0)), numbers, out, *inputs)
    return _core.invoke(op, params, ctx, out, *inputs)


def _operands(op: Op, args: Sequence[Any], kwargs: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """The inputs and the parameters of a call."""
    if op.count:
        return list(args[0] if len(args) == 1 and isinstance(args[0], (list, tuple)) else args), kwargs
    if len(args) <= len(op.inputs) and kwargs.keys().isdisjoint(op.inputs):
        return [a for a in args if a is not None], kwargs
    places = (*op.inputs, *op.params)
    if len(args) > len(places):
        raise ParameterError(f"{op.name} takes at most {len(places)} arguments, got {len(args)}")
    by_name = dict(zip(places, args, strict=False))
    for name, value in kwargs.items():
        if name in by_name:
            raise ParameterError(f"{op.name}: {name} was given twice")
        by_name[name] = value
    inputs = [by_name.pop(n) for n in op.inputs if by_name.get(n) is not None]
    return inputs, {n: v for n, v in by_name.items() if n not in op.inputs}


def _steerable(inputs: Sequence[Any]) -> bool:
    """Steered numbers lie on the host's stack, in the inputs' dtype, and not in what autograd records."""
    first = inputs[0] if inputs and isinstance(inputs[0], _core.Array) else None
    return (
        first is not None
        and first.context.key[0] == "cpu"
        and first.dtype_name in ("float32", "float64")
        and not _core.is_recording()
    )


def _read_context(text: str) -> Context:
    """The context that prints as `text`."""
    kind, _, number = text.rstrip(")").partition("(")
    return Context(kind, int(number or 0))


def _compile(op: Op, params: Any, in_types: tuple, context: Context, train: bool) -> tuple:
    eager = compile_eager(op, params if params != () else op.Params(), in_types, context.key, train)
    return eager.program, tuple(eager.out_types), eager.visible, eager.in_place, 0


def _compile_steered(op: Op, params: Any, in_types: tuple, context: Context, train: bool) -> tuple:
    eager = compile_eager(op, params, in_types, context.key, train, op.steered)
    return eager.program, tuple(eager.out_types), eager.visible, eager.in_place, len(in_types)


def _compile_scalar(op: Op, in_types: tuple, context: Context) -> tuple | None:
    name, position = _SCALAR_FORMS.get(op.name, ("", 0))
    if not name or context.key[0] != "cpu":  # the scalar lies on the host's stack
        return None
    ((shape, dtype),) = in_types
    types = [(shape, dtype)]
    types.insert(position, ((), dtype))
    form = find(name)
    eager = compile_eager(form, form.Params(), types, context.key, False)
    array = 1 - position
    return eager.program, tuple(eager.out_types), eager.visible, eager.in_place >> array & 1, position


def _parse_scalar(op: Op, scalar: Any) -> Any:
    return op.parse({"scalar": float(scalar)})


_core.connect(_compile, _compile_steered, _compile_scalar, _parse_scalar, tape.record, current_context, MXNetError)
