"""The functions of mx.sym and mx.nd, derived from the operators: signatures, documentation and namespaces.

Functions are made when they are first asked for, so that importing stays fast.
"""

from __future__ import annotations

import builtins
import inspect
import sys
from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Any

from . import ops  # noqa: F401  (registers every operator)
from .base import GraphError, ParameterError, did_you_mean
from .op import REGISTRY, Op, find
from .params import REQUIRED, Param

# Namespace of mx.sym and mx.nd -> how the names of its operators begin in the registry. Theirs are the names without it.
Written = Callable[[str], dict[str, Any]]
NAMESPACES = {
    "contrib": "_contrib_",
    "image": "_image_",
    "linalg": "_linalg_",
    "random": "_random_",
    "sparse": "_sparse_",
}


# ---- namespaces ---------------------------------------------------------------------------------------------------------


def operator_names(namespace: str = "op") -> dict[str, str]:
    """Public name -> registered name of every operator in a namespace; "op" is the one that mx.sym itself shows."""
    if namespace == "_internal":
        return {n: n for n in REGISTRY if n.startswith("_")}
    if namespace == "op":
        return {n: n for n in REGISTRY if not n.startswith("_")}
    prefix = NAMESPACES[namespace]
    return {n.removeprefix(prefix): n for n in REGISTRY if n.startswith(prefix)}


class Namespace(ModuleType):
    """A module of functions that appear when they are asked for: those written by hand, which `written(namespace)` lists
    by name, before the operators."""

    def __init__(self, package: str, namespace: str, make: Callable[[str, str], Callable], written: Written):
        super().__init__(f"{package}.{namespace}", f"Functions of {package}.{namespace}.")
        self._namespace = namespace
        self._make = make
        self._written = written

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        value = self._written(self._namespace).get(name)
        if value is None:
            names = operator_names(self._namespace)
            if name not in names:
                package = self.__name__.removesuffix(".op")
                raise AttributeError(f"{package} has no operator {name!r}{did_you_mean(name, dir(self))}")
            value = self._make(name, names[name])
        setattr(self, name, value)
        return value

    def __dir__(self) -> list[str]:
        return sorted({*operator_names(self._namespace), *self._written(self._namespace)})


def open_namespace(module: str, written: Written) -> tuple[Callable, Callable]:
    """`__getattr__` and `__dir__` for the module mx.sym or mx.nd, which give it its operators and namespaces."""
    make = symbol_function if module.endswith("symbol") else array_function
    spaces = {n: Namespace(module, n, make, written) for n in ("op", "_internal", *NAMESPACES)}

    def attribute(name: str) -> Any:
        value = spaces[name] if name in spaces else getattr(spaces["op"], name)
        # Found in the module itself next time, unless its code means the builtin by the name (sum, slice).
        if not hasattr(builtins, name):
            setattr(sys.modules[module], name, value)
        return value

    def listing() -> list[str]:
        return sorted({*sys.modules[module].__dict__, *dir(spaces["op"]), *spaces})

    return attribute, listing


# ---- functions ----------------------------------------------------------------------------------------------------------


@cache
def symbol_function(name: str, registered: str | None = None) -> Callable:
    """The function that makes a symbol of the operator; automatic names begin with `name` in lower case."""
    from .symbol import create

    op = find(registered or name)
    hint = name.lower()

    def function(*args: Any, name: str | None = None, attr: Any = None, out: Any = None, **kwargs: Any) -> Any:
        positional, named, given = split_arguments(op, args, kwargs)
        return create(op.name, hint, positional, named, given, name, attr)

    return _dressed(function, name, op, "Symbol", "minimx.symbol")


@cache
def array_function(name: str, registered: str | None = None) -> Callable:
    """The function that applies the operator to arrays at once."""
    from ._core import invoke
    from .eager import call

    op = find(registered or name)
    inputs, defaults = _plain_call(op)

    def function(*args: Any, **kwargs: Any) -> Any:
        if not kwargs and len(args) == inputs:
            return invoke(op, defaults, None, None, *args)
        return call(op, args, kwargs)

    return _dressed(function, name, op, "NDArray", "minimx.ndarray")


def _plain_call(op: Op) -> tuple[int, Any]:
    """How many inputs a call with nothing but inputs has, and its parameters; -1 where that alone does not make a call."""
    if not op.inputs or op.count or op.steered or any(p.required for p in op.params.values()):
        return -1, None
    defaults = op.parse({})
    names = tuple(op.input_names(defaults))
    return (len(names), defaults) if names == op.inputs[: len(names)] else (-1, None)


def split_arguments(
    op: Op, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[list[Any], dict[str, Any], dict[str, Any]]:
    """What was written in a call, as inputs by position (of operators with any number of them), inputs by name, and
    parameters. Inputs come first and may be left out; parameters follow in the order of the signature."""
    from .symbol import Symbol

    if op.count or not op.inputs:
        # any number of inputs: all leading symbols
        inputs = 0
        while inputs < len(args) and isinstance(args[inputs], Symbol):
            inputs += 1
        positional, args = list(args[:inputs]), args[inputs:]
        places: tuple[str, ...] = tuple(op.params) if not op.count else ()
    else:
        positional, places = [], (*op.inputs, *op.params)
    if len(args) > len(places):
        extra = f"an input must be a Symbol, got {args[0]!r}" if op.count else f"takes at most {len(places)} arguments"
        raise ParameterError(f"{op.name}: {extra}")
    given = dict(zip(places, args, strict=False))
    for key, value in kwargs.items():
        if key in given:
            raise ParameterError(f"{op.name}: {key} was given twice, by position and by name")
        given[key] = value
    named = {}
    for key, value in list(given.items()):
        if isinstance(value, Symbol) or (key in op.inputs and key not in op.params):
            if value is not None and not isinstance(value, Symbol):
                raise GraphError(f"{op.name}: the input {key} must be a Symbol, got {value!r}")
            if value is not None:
                named[key] = value
            del given[key]
    return positional, named, given


def _dressed(function: Callable, name: str, op: Op, operand: str, module: str) -> Callable:
    function.__name__ = function.__qualname__ = name
    function.__module__ = module
    function.__doc__ = documentation(op)
    function.__signature__ = signature(op, operand)  # type: ignore[attr-defined]
    return function


def signature(op: Op, operand: str) -> inspect.Signature:
    """Inputs, then parameters with their defaults, then what every function of mx.sym or mx.nd takes."""
    kind = inspect.Parameter
    parameters = []
    by_position: Any = kind.POSITIONAL_OR_KEYWORD
    if op.count:
        parameters.append(kind("data", kind.VAR_POSITIONAL, annotation=operand))
        by_position = kind.KEYWORD_ONLY
    else:
        parameters += [kind(n, by_position, default=None, annotation=operand) for n in op.inputs]
    for n, param in op.params.items():
        if n not in op.inputs:
            parameters.append(kind(n, by_position, default=param.default, annotation=_annotation(param)))
    taken = {p.name for p in parameters}
    more = {"name": None, "attr": None} if operand == "Symbol" else {"out": None, "ctx": None, "name": None}
    parameters += [kind(n, kind.KEYWORD_ONLY, default=d) for n, d in more.items() if n not in taken]
    return inspect.Signature(parameters, return_annotation=operand)


def _annotation(param: Param) -> Any:
    text = annotation_text(param)
    return eval(text, {"Any": Any})


def annotation_text(param: Param) -> str:
    return f"{param.annotation} | None" if param.nullable else param.annotation


def documentation(op: Op) -> str:
    """What the class says about the operator, its inputs, outputs and parameters."""
    text = inspect.cleandoc(op.__doc__ or op.name)
    if op.count:
        text += f"\n\nInputs: any number of them ({op.count})."
    elif op.inputs:
        inputs = [f"{n} (auxiliary state)" if n in op.aux else n for n in op.inputs]
        text += f"\n\nInputs: {', '.join(inputs)}."
    if op.params:
        text += "\n\nParameters:"
    for name, param in op.params.items():
        text += f"\n    {name}: {param.allowed()}, {default_text(param)}"
        text += f"\n        {param.doc}" if param.doc else ""
    return text + "\n"


def default_text(param: Param) -> str:
    return "required" if param.default is REQUIRED else f"default {param.default!r}"
