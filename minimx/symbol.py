"""Symbols: immutable descriptions of computations. `mx.sym` is this module; its operators come from api.py."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from numbers import Number
from typing import Any

from .api import open_namespace
from .attribute import HIDDEN, AttrScope, stored_key
from .base import TYPE_FLAGS, GraphError, NotImplementedForSymbol, did_you_mean, dtype_name, numpy_dtype
from .context import Context, current_context
from .name import NameManager
from .op import REGISTRY, find
from .params import text_of
from .symbol_graph import (
    Head,
    SymbolNode,
    apply_operator,
    auxiliary_nodes,
    depth_first,
    substitute,
)

__all__ = [
    *("Group", "Symbol", "SymbolNode", "Variable"),
    *("auxiliary_nodes", "depth_first", "is_np_shape", "load", "load_json", "var"),
]

_STORAGE_TYPES = {"undefined": -1, "default": 0, "row_sparse": 1, "csr": 2}
# MXNet up to 1.4 called these outputs of RNN by the second name.
_OLD_OUTPUT_NAMES = {"_state_output": "_state", "_statecell_output": "_state_cell"}


class Symbol:
    """One or several outputs of a graph of operators.

    Operators are methods too: `x.exp()` is `mx.sym.exp(x)`.
    """

    __slots__ = ("_heads",)

    def __init__(self, heads: Iterable[Head]):
        self._heads = tuple(heads)

    # ---- what it is -------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str | None:
        """The name of the node, or None when the outputs belong to several nodes."""
        node = self._single_node()
        return node.name if node else None

    def _single_node(self) -> SymbolNode | None:
        node = self._heads[0][0]
        return node if all(other is node for other, _ in self._heads) else None

    def __repr__(self) -> str:
        if self._single_node():
            return f"<Symbol {self.name}>"
        return f"<Symbol group [{', '.join(node.name for node, _ in self._heads)}]>"

    def __len__(self) -> int:
        return len(self._heads)

    def __iter__(self) -> Iterator[Symbol]:
        return (Symbol([head]) for head in self._heads)

    def __getitem__(self, index: int | str | slice) -> Symbol:
        """An output by number or by its name in list_outputs(), or several by a slice."""
        if isinstance(index, slice):
            return Group([Symbol([head]) for head in self._heads[index]])
        if isinstance(index, str):
            return Symbol([self._heads[self._output_number(index)]])
        if not isinstance(index, int):
            raise TypeError(f"a symbol is indexed by an integer, a name or a slice, got {index!r}")
        if not -len(self._heads) <= index < len(self._heads):
            raise IndexError(f"output {index} of a symbol with {len(self._heads)} outputs")
        return Symbol([self._heads[index]])

    def _output_number(self, name: str) -> int:
        names = self.list_outputs()
        matches = [i for i, n in enumerate(names) if n == name]
        if not matches:
            matches = [
                i
                for i, n in enumerate(names)
                for new, old in _OLD_OUTPUT_NAMES.items()
                if n.endswith(new) and n.removesuffix(new) + old == name
            ]
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise GraphError(f"there are {len(matches)} outputs called {name!r}")
        raise GraphError(f"there is no output {name!r}" + (did_you_mean(name, names) or f" in {', '.join(names[:20])}"))

    def __hash__(self) -> int:
        return id(self)

    def __bool__(self) -> bool:
        raise NotImplementedForSymbol("a Symbol has no truth value before it is bound")

    def __reduce__(self) -> tuple:
        return load_json, (self.tojson(remove_amp_cast=False),)

    def __copy__(self) -> Symbol:
        return Symbol(self._heads)

    def __deepcopy__(self, memo: Any) -> Symbol:
        return Symbol(self._heads)  # nodes never change, so copies may share them

    def copy(self) -> Symbol:
        return Symbol(self._heads)

    # ---- names and structure ----------------------------------------------------------------------------------------

    def list_arguments(self) -> list[str]:
        """Names of the variables that are not auxiliary states."""
        nodes = depth_first(self._heads)
        states = auxiliary_nodes(nodes)
        return [n.name for n in nodes if n.op is None and n not in states]

    def list_auxiliary_states(self) -> list[str]:
        """Names of the variables that operators change by themselves, such as moving averages."""
        nodes = depth_first(self._heads)
        states = auxiliary_nodes(nodes)
        return [n.name for n in nodes if n in states]

    def list_inputs(self) -> list[str]:
        """Names of all variables."""
        return [n.name for n in depth_first(self._heads) if n.op is None]

    def list_outputs(self) -> list[str]:
        return [node.output_name(i) for node, i in self._heads]

    def get_internals(self) -> Symbol:
        """Every visible output of every node."""
        return Symbol(head for node in depth_first(self._heads) for head in node.visible_heads())

    def get_children(self) -> Symbol | None:
        """The inputs of the nodes that this symbol is an output of; None for variables."""
        nodes = dict.fromkeys(node for node, _ in self._heads)
        heads = [head for node in nodes for head in node.inputs]
        return Symbol(heads) if heads else None

    # ---- attributes -------------------------------------------------------------------------------------------------

    def attr(self, key: str) -> str | None:
        """One attribute of the node, or None."""
        node = self._single_node()
        if node is None:
            return None
        return node.attrs.get(key, node.attrs.get(stored_key(key)))

    def list_attr(self, recursive: bool = False) -> dict[str, str]:
        """The attributes of the node."""
        if recursive:
            raise DeprecationWarning("list_attr(recursive=True) is gone; attr_dict() has the attributes of every node")
        return _listed_attrs(self._heads[0][0])

    def attr_dict(self) -> dict[str, dict[str, str]]:
        """The attributes of every node that has some, by name."""
        return {n.name: _listed_attrs(n) for n in depth_first(self._heads) if n.attrs}

    def _set_attr(self, **attrs: str) -> None:
        """Gives this symbol's node more attributes. Symbols already made from this one do not see them."""
        for key, value in attrs.items():
            if not isinstance(value, str):
                raise ValueError(f"attribute {key} must be a string, got {value!r}")
        node = self._heads[0][0]
        more = {stored_key(key): value for key, value in attrs.items()}
        changed = SymbolNode(node.op, node.name, {**node.attrs, **more}, node.params, node.inputs)
        self._heads = tuple((changed if n is node else n, i) for n, i in self._heads)

    # ---- composing --------------------------------------------------------------------------------------------------

    def __call__(self, *args: Symbol, name: str | None = None, **kwargs: Symbol) -> Symbol:
        """This symbol with variables replaced: positionally in the order of list_inputs(), or by name."""
        if args and kwargs:
            raise TypeError("composing takes symbols either by position or by name, not both")
        names = self.list_inputs()
        if len(args) > len(names):
            raise GraphError(f"composing: there are {len(names)} variables to replace, got {len(args)} symbols")
        sources = dict(zip(names, args, strict=False)) or kwargs
        return Symbol(substitute(self._heads, {k: single_head(v, k) for k, v in sources.items()}, name))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in REGISTRY:
            raise AttributeError(f"a Symbol has no attribute and no operator {name!r}")
        from functools import partial

        from .api import symbol_function

        return partial(symbol_function(name), self)

    def __dir__(self) -> list[str]:
        return sorted({*dir(type(self)), *(n for n in REGISTRY if not n.startswith("_"))})

    def reshape(self, *shape: Any, **kwargs: Any) -> Symbol:
        """mx.sym.reshape; the shape may be given as one tuple or as several integers."""
        if shape:
            kwargs["shape"] = shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape
        return _operator("Reshape", [self], hint="reshape", **kwargs)

    def astype(self, dtype: Any, **kwargs: Any) -> Symbol:
        return _operator("Cast", [self], hint="cast", dtype=dtype, **kwargs)

    def expand_dims(self, axis: int, inplace: bool = False, **kwargs: Any) -> Symbol:
        return _operator("expand_dims", [self], axis=axis, **kwargs)

    def flatten(self, inplace: bool = False, **kwargs: Any) -> Symbol:
        return _operator("Flatten", [self], **kwargs)

    def squeeze(self, axis: Any = None, inplace: bool = False, **kwargs: Any) -> Symbol:
        return _operator("squeeze", [self], **({} if axis is None else {"axis": axis}), **kwargs)

    def split_v2(self, *args: Any, **kwargs: Any) -> Symbol:
        from .symbol_functions import split_v2

        return split_v2(self, *args, **kwargs)

    def as_nd_ndarray(self) -> Symbol:
        return self

    def as_np_ndarray(self) -> Symbol:
        raise GraphError("the mx.np namespace is not part of minimx")

    # ---- arithmetic -------------------------------------------------------------------------------------------------

    def __add__(self, other: Any) -> Symbol:
        return binary("elemwise_add", "_plus", "_plus_scalar", self, other)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Symbol:
        return binary("elemwise_sub", "_minus", "_minus_scalar", self, other)

    def __rsub__(self, other: Any) -> Symbol:
        return binary("", "", "_rminus_scalar", self, other)

    def __mul__(self, other: Any) -> Symbol:
        return binary("elemwise_mul", "_mul", "_mul_scalar", self, other)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Symbol:
        return binary("elemwise_div", "_div", "_div_scalar", self, other)

    __div__ = __truediv__

    def __rtruediv__(self, other: Any) -> Symbol:
        return binary("", "", "_rdiv_scalar", self, other)

    __rdiv__ = __rtruediv__

    def __mod__(self, other: Any) -> Symbol:
        return binary("_mod", "_mod", "_mod_scalar", self, other)

    def __rmod__(self, other: Any) -> Symbol:
        return binary("", "", "_rmod_scalar", self, other)

    def __pow__(self, other: Any) -> Symbol:
        return binary("_power", "_power", "_power_scalar", self, other)

    def __rpow__(self, other: Any) -> Symbol:
        return binary("", "", "_rpower_scalar", self, other)

    def __neg__(self) -> Symbol:
        return self * -1.0

    def __abs__(self) -> Symbol:
        return _operator("abs", [self])

    def __eq__(self, other: Any) -> Symbol:  # type: ignore[override]
        return binary("_equal", "_equal", "_equal_scalar", self, other)

    def __ne__(self, other: Any) -> Symbol:  # type: ignore[override]
        return binary("_not_equal", "_not_equal", "_not_equal_scalar", self, other)

    def __gt__(self, other: Any) -> Symbol:
        return binary("_greater", "_greater", "_greater_scalar", self, other)

    def __ge__(self, other: Any) -> Symbol:
        return binary("_greater_equal", "_greater_equal", "_greater_equal_scalar", self, other)

    def __lt__(self, other: Any) -> Symbol:
        return binary("_lesser", "_lesser", "_lesser_scalar", self, other)

    def __le__(self, other: Any) -> Symbol:
        return binary("_lesser_equal", "_lesser_equal", "_lesser_equal_scalar", self, other)

    # ---- shapes and dtypes ------------------------------------------------------------------------------------------

    def infer_shape(self, *args: Any, **kwargs: Any) -> tuple[list | None, list | None, list | None]:
        """Shapes of arguments, outputs and auxiliary states from those given, by position in list_arguments() or by
        name; dimension 0 means unknown. Three times None, and a warning, when they do not determine all others."""
        shapes = self.infer_shape_partial(*args, **kwargs)
        if all(shape and 0 not in shape for part in shapes for shape in part):
            return shapes
        unknown = [f"{n}: {s}" for n, s in zip(self.list_arguments(), shapes[0], strict=True) if not s or 0 in s]
        warnings.warn(
            "Cannot decide shape for the following arguments (0s in shape means unknown dimensions). "
            "Consider providing them as input:\n\t" + "\n\t".join(unknown[:10] + ["..."] * (len(unknown) > 10)),
            stacklevel=2,
        )
        return None, None, None

    def infer_shape_partial(self, *args: Any, **kwargs: Any) -> tuple[list, list, list]:
        """As infer_shape, with 0 for unknown dimensions and () for unknown shapes."""
        given = {}
        for name, shape in self._by_name(args, kwargs, "infer_shape").items():
            if isinstance(shape, int):
                shape = (shape,)
            if not isinstance(shape, (tuple, list)):
                raise TypeError(f"infer_shape: the shape of {name} must be a tuple, got {shape!r}")
            given[name] = tuple(d or -1 for d in shape) or None
        found = self._infer(given, {}).shapes

        def classic(head: Head) -> tuple[int, ...]:
            shape = found[head[0]][head[1]]
            return () if shape is None else tuple(d if d >= 0 else 0 for d in shape)

        return self._in_three_parts(classic)

    def infer_type(self, *args: Any, **kwargs: Any) -> tuple[list | None, list | None, list | None]:
        """NumPy types of arguments, outputs and auxiliary states from those given; three times None if some stay
        unknown."""
        types = self.infer_type_partial(*args, **kwargs)
        return types if all(t is not None for part in types for t in part) else (None, None, None)

    def infer_type_partial(self, *args: Any, **kwargs: Any) -> tuple[list, list, list]:
        """As infer_type, with None for unknown types."""
        given = {name: dtype_name(t) for name, t in self._by_name(args, kwargs, "infer_type").items()}
        found = self._infer({}, given).dtypes

        def numpy_type(head: Head) -> Any:
            dtype = found[head[0]][head[1]]
            if dtype is None:
                return None
            return numpy_dtype(dtype) if dtype == "bfloat16" else numpy_dtype(dtype).type

        return self._in_three_parts(numpy_type)

    def _by_name(self, args: Sequence[Any], kwargs: Mapping[str, Any], what: str) -> dict[str, Any]:
        """What was given for which variable, None left out."""
        if args and kwargs:
            raise TypeError(f"{what} takes values either by position or by name, not both")
        names = self.list_arguments() if args else self.list_inputs()
        if len(args) > len(names):
            raise GraphError(f"{what}: there are {len(names)} arguments, got {len(args)} values")
        for name in kwargs:
            if name not in names:
                raise GraphError(f"{what}: there is no argument {name!r}; arguments are {', '.join(names)}")
        return {k: v for k, v in (dict(zip(names, args, strict=False)) or kwargs).items() if v is not None}

    def _infer(self, shapes: Mapping[str, Any], dtypes: Mapping[str, str]) -> Any:
        from .passes.infer import infer_types

        return infer_types(self._heads, shapes, dtypes, default_dtype=None)

    def _in_three_parts(self, value: Any) -> tuple[list, list, list]:
        nodes = depth_first(self._heads)
        states = auxiliary_nodes(nodes)
        variables = [n for n in nodes if n.op is None]
        return (
            [value((n, 0)) for n in variables if n not in states],
            [value(head) for head in self._heads],
            [value((n, 0)) for n in variables if n in states],
        )

    # ---- files ------------------------------------------------------------------------------------------------------

    def tojson(self, remove_amp_cast: bool = True) -> str:
        """The text of a symbol file."""
        from .serial_json import write_symbol

        return write_symbol(self._heads, remove_amp_cast)

    def save(self, fname: Any, remove_amp_cast: bool = True) -> None:
        from .serial import write_file

        write_file(fname, self.tojson(remove_amp_cast).encode())

    def debug_str(self) -> str:
        """A listing of all nodes, one paragraph each."""
        lines = ["Symbol Outputs:"]
        lines += [f"\toutput[{k}]={node.name}({i})" for k, (node, i) in enumerate(self._heads)]
        for node in depth_first(self._heads):
            if node.op is None:
                lines.append(f"Variable:{node.name}")
                continue
            lines += ["--------------------", f"Op:{node.op.name}, Name={node.name}", "Inputs:"]
            lines += [f"\targ[{k}]={child.name}({i})" for k, (child, i) in enumerate(node.inputs)]
            lines += ["Attrs:"] * bool(node.attrs) + [f"\t{k}={v}" for k, v in sorted(node.attrs.items())]
        return "\n".join(lines) + "\n"

    # ---- running ----------------------------------------------------------------------------------------------------

    def simple_bind(
        self,
        ctx: Context,
        grad_req: Any = "write",
        type_dict: Mapping[str, Any] | None = None,
        stype_dict: Mapping[str, str] | None = None,
        group2ctx: Mapping[str, Context] | None = None,
        shared_arg_names: Sequence[str] | None = None,
        shared_exec: Any = None,
        shared_buffer: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> Any:
        """An executor with arrays made for it; keyword arguments are the shapes of inputs."""
        from .executor import Executor

        return Executor.simple_bind(
            self,
            ctx,
            grad_req,
            type_dict=type_dict,
            group2ctx=group2ctx,
            shared_exec=shared_exec,
            shared_buffer=shared_buffer,
            shared_arg_names=shared_arg_names,
            **kwargs,
        )

    def bind(
        self,
        ctx: Context,
        args: Any,
        args_grad: Any = None,
        grad_req: Any = "write",
        aux_states: Any = None,
        group2ctx: Mapping[str, Context] | None = None,
        shared_exec: Any = None,
    ) -> Any:
        """An executor on arrays of the caller: lists in the order of list_arguments(), or dicts by name."""
        from .executor import Executor

        return Executor.bind(self, ctx, args, args_grad, grad_req, aux_states, group2ctx, shared_exec)

    def eval(self, ctx: Context | None = None, **kwargs: Any) -> list:
        """The outputs for the given arguments."""
        return self.bind(ctx or current_context(), kwargs, grad_req="null").forward()

    def gradient(self, wrt: Sequence[str]) -> Symbol:
        raise NotImplementedForSymbol("gradient() is not implemented, as in MXNet; bind the symbol and call backward()")

    def get_backend_symbol(self, backend: str) -> Symbol:
        """This symbol: there are no partitioning backends, fusing happens by itself at bind."""
        return self

    def optimize_for(self, backend: str, *args: Any, **kwargs: Any) -> Symbol:
        """This symbol: there are no partitioning backends, fusing happens by itself at bind."""
        return self

    def _needs_values(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedForSymbol("a Symbol has no values before it is bound; use simple_bind(), bind() or eval()")

    wait_to_read = asnumpy = asscalar = as_in_context = detach = backward = _needs_values


def _listed_attrs(node: SymbolNode) -> dict[str, str]:
    """Attributes as lists show them: __lr_mult__ and its kin also without underscores."""
    plain = {word: node.attrs[f"__{word}__"] for word in HIDDEN if f"__{word}__" in node.attrs}
    return {**node.attrs, **plain}


def single_head(symbol: Any, what: str) -> Head:
    """The only output of a symbol that is to be an input."""
    if not isinstance(symbol, Symbol):
        raise GraphError(f"{what} must be a Symbol, got {type(symbol).__name__} {symbol!r}")
    if len(symbol) != 1:
        raise GraphError(f"{what} must have one output, but {symbol!r} has {len(symbol)}; choose one by its index")
    return symbol._heads[0]


def create(
    op_name: str,
    hint: str,
    positional: Sequence[Any],
    named: Mapping[str, Any],
    given: Mapping[str, Any],
    name: str | None = None,
    attr: Mapping[str, str] | None = None,
) -> Symbol:
    """A symbol of the visible outputs of one new operator. `hint` is what its automatic name begins with."""
    op = find(op_name)
    attrs = {stored_key(k): v for k, v in AttrScope.current.get(attr).items()}
    params = {}
    for key, value in given.items():
        if (key in HIDDEN and key not in op.params) or (key.startswith("__") and key.endswith("__")):
            attrs[stored_key(key)] = text_of(value)
        else:
            params[key] = value
    name = NameManager.current.get(name, hint)
    node = apply_operator(
        op,
        [single_head(s, f"{op.name} ({name}): input {i}") for i, s in enumerate(positional)],
        {k: single_head(s, f"{op.name} ({name}): {k}") for k, s in named.items()},
        params,
        name,
        attrs,
    )
    return Symbol(node.visible_heads())


def _operator(op_name: str, inputs: Sequence[Symbol], hint: str | None = None, **kwargs: Any) -> Symbol:
    name, attr = kwargs.pop("name", None), kwargs.pop("attr", None)
    named = dict(zip(find(op_name).inputs, inputs, strict=False))
    return create(op_name, hint or op_name.lower(), (), named, kwargs, name, attr)


def binary(op_name: str, hint: str, scalar_op: str, left: Symbol, right: Any) -> Symbol:
    """`left op right` with MXNet's automatic names; a number on the right takes the scalar form."""
    if isinstance(right, Symbol) and op_name:
        return _operator(op_name, [left, right], hint)
    if isinstance(right, Number):
        # MXNet's hints come from names like _PlusScalar and _greater_scalar: arithmetic loses the underscore.
        arithmetic = scalar_op.split("_")[1] not in ("equal", "not", "greater", "lesser")
        return _operator(scalar_op, [left], "_" + scalar_op.replace("_", "") if arithmetic else scalar_op, scalar=right)
    raise TypeError(f"a Symbol and {type(right).__name__} {right!r} do not go together; a Symbol or a number does")


def Variable(
    name: str,
    attr: Mapping[str, str] | None = None,
    shape: Any = None,
    lr_mult: float | None = None,
    wd_mult: float | None = None,
    dtype: Any = None,
    init: Any = None,
    stype: str | None = None,
    **kwargs: Any,
) -> Symbol:
    """A named input of a computation. In `shape` 0 means unknown; `init` is an initializer or its description; other
    keywords must be attributes written __like_this__."""
    if not isinstance(name, str):
        raise TypeError(f"the name of a variable must be a string, got {name!r}")
    attrs = {stored_key(k): v for k, v in AttrScope.current.get(attr).items()}
    if shape is not None:
        attrs["__shape__"] = text_of((shape,) if isinstance(shape, int) else tuple(shape))
    if lr_mult is not None:
        attrs["__lr_mult__"] = text_of(lr_mult)
    if wd_mult is not None:
        attrs["__wd_mult__"] = text_of(wd_mult)
    if dtype is not None:
        attrs["__dtype__"] = str(TYPE_FLAGS[dtype_name(dtype)])
    if init is not None:
        attrs["__init__"] = init if isinstance(init, str) else init.dumps()
    if stype is not None:
        if stype not in _STORAGE_TYPES:
            raise ValueError(f"stype must be one of {', '.join(_STORAGE_TYPES)}, got {stype!r}")
        attrs["__storage_type__"] = str(_STORAGE_TYPES[stype])
    for key, value in kwargs.items():
        if not (key.startswith("__") and key.endswith("__")):
            raise ValueError(
                f"Variable has no argument {key!r}; other attributes are written with underscores, __{key}__"
            )
        attrs[key] = text_of(value)
    return Symbol([(SymbolNode(None, name, attrs), 0)])


var = Variable


def Group(symbols: Iterable[Symbol]) -> Symbol:
    """One symbol with the outputs of several."""
    symbols = list(symbols)
    if not symbols or not all(isinstance(s, Symbol) for s in symbols):
        raise TypeError(f"Group needs a list of at least one Symbol, got {symbols!r}")
    return Symbol(head for s in symbols for head in s._heads)


def load(fname: Any) -> Symbol:
    """The symbol of a file of MXNet 0.5 to 1.9 or of minimx."""
    from .serial import read_file
    from .serial_json import read_symbol

    return Symbol(read_symbol(read_file(fname), str(fname)))


def load_json(json_str: str) -> Symbol:
    """The symbol of a text that tojson() wrote."""
    from .serial_json import read_symbol

    if not isinstance(json_str, str):
        raise TypeError(f"load_json needs a string, got {type(json_str).__name__}")
    return Symbol(read_symbol(json_str.encode(), "the given text"))


def _written(namespace: str) -> dict[str, Any]:
    """The functions of mx.sym and its namespaces that are not derived from one operator."""
    from . import contrib_functions, symbol_control, symbol_functions, symbol_random

    if namespace == "contrib":
        return {**contrib_functions.FUNCTIONS, **symbol_control.FUNCTIONS}
    modules = {"op": symbol_functions, "random": symbol_random}
    return modules[namespace].FUNCTIONS if namespace in modules else {}


__getattr__, __dir__ = open_namespace(__name__, _written)
