"""Executor: a symbol bound to arrays, with a program for inference and one for training, each made when first needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from . import _core
from .base import GraphError, ShapeError, dtype_name, numpy_dtype
from .compile import Compiled, Options, compile_symbol, describe, uncollected
from .context import Context
from .graph import Graph
from .ndarray import NDArray, array, empty, ones, zeros
from .op import known
from .passes.infer import infer, infer_types
from .symbol import Symbol

GRAD_REQS = ("write", "add", "null")


class Arena:
    """Temporary memory that the programs of executors take turns in: what has to outlive a run is bound."""

    def __init__(self) -> None:
        self.largest: _core.Program | None = None  # whose memory others take if it is enough for them
        self.ready: object = (
            None  # the executor (its token) whose forward pass has left here what its backward pass needs
        )

    def lend(self, program: _core.Program) -> None:
        """Lets later programs use a program's memory if there is none larger."""
        if self.largest is None or program.arena_bytes() > self.largest.arena_bytes():
            self.largest = program


class Executor:
    """Made by `Symbol.bind` and `Symbol.simple_bind`."""

    def __init__(
        self,
        symbol: Symbol,
        ctx: Context,
        args: dict[str, NDArray],
        grads: dict[str, NDArray] | Callable[[], dict[str, NDArray]],
        grad_req: dict[str, str],
        aux: dict[str, NDArray],
        group2ctx: Mapping[str, Context] | None = None,
        shared_exec: Executor | None = None,
        options: Options | None = None,
        graph: Graph | None = None,
    ):
        self._symbol = symbol
        self._ctx = ctx
        self._groups = {name: Context(c) for name, c in (group2ctx or {}).items()}
        self._options = options
        # A function makes the gradients' arrays when they are first needed: never, if a TrainStep does the training.
        self._grads = grads
        self._grad_req = {n: req if callable(grads) or n in grads else "null" for n, req in grad_req.items()}
        self.arg_dict = args
        self.aux_dict = aux
        self._programs: dict[bool, Compiled] = {}
        self.arena = shared_exec.arena if shared_exec else Arena()
        self._token = object()
        self._monitor: Callable[[str, NDArray], Any] | None = None
        self._monitor_all = False
        self._head_grads: list[NDArray] = []  # kept alive for the program, which reads them in place
        self._head_grads_are_ones = False
        self._graph = graph
        self._make_outputs(graph and [(v.shape, v.dtype) for v in graph.outputs])

    # ---- arrays -----------------------------------------------------------------------------------------------------

    @property
    def arg_arrays(self) -> list[NDArray]:
        return list(self.arg_dict.values())

    @property
    def grad_dict(self) -> dict[str, NDArray | None]:
        if callable(self._grads):
            self._grads = self._grads()
        return {name: self._grads.get(name) for name in self.arg_dict}

    @property
    def grad_arrays(self) -> list[NDArray | None]:
        return list(self.grad_dict.values())

    @property
    def aux_arrays(self) -> list[NDArray]:
        return list(self.aux_dict.values())

    @property
    def output_dict(self) -> dict[str, NDArray]:
        return dict(zip(self._symbol.list_outputs(), self.outputs, strict=True))

    def _make_outputs(self, types: Sequence[tuple[Any, Any]] | None = None) -> None:
        heads = self._heads()
        if types is None:
            shapes = {n: a.shape for n, a in (self.arg_dict | self.aux_dict).items()}
            dtypes = {n: dtype_name(a.dtype) for n, a in (self.arg_dict | self.aux_dict).items()}
            found = infer_types(heads, shapes, dtypes)
            types = [(found.shapes[node][index], found.dtypes[node][index]) for node, index in heads]
        self._all_outputs = []
        for (node, index), (shape, dtype) in zip(heads, types, strict=True):
            if not known(shape):
                raise ShapeError(f"the shape of output {node.name}[{index}] cannot be inferred from the bound arrays")
            ctx = self._groups.get(node.attrs.get("__ctx_group__"), self._ctx)
            self._all_outputs.append(empty(shape, ctx, dtype))
        self.outputs = self._all_outputs[: len(self._symbol._heads)]

    def _heads(self) -> list:
        """What the programs compute: the symbol's outputs and, while a monitor watches, every internal value."""
        heads = list(self._symbol._heads)
        if self._monitor is not None:
            heads += self._symbol.get_internals()._heads
        return heads

    # ---- running ----------------------------------------------------------------------------------------------------

    def forward(self, is_train: bool = False, **kwargs: Any) -> list[NDArray]:
        """Computes the outputs; keyword arguments are copied into the arguments of those names first."""
        compiled = self._programs.get(is_train) or self._compile(is_train)
        run_fed(compiled.program, compiled.mark, self.arg_dict, kwargs)
        self.arena.ready = self._token if is_train else None
        if self._monitor is not None:
            self._report()
        return self.outputs

    def backward(self, out_grads: Any = None, is_train: bool = True) -> None:
        """Computes the gradients. Loss layers need no `out_grads`; other outputs get ones when none are given."""
        if self.arena.ready is not self._token:
            raise GraphError("backward() needs forward(is_train=True) before it, and no other pass on the same memory")
        compiled = self._programs[True]
        if out_grads is not None or not self._head_grads_are_ones:
            self._set_head_grads(out_grads, compiled)
        compiled.program.run(compiled.mark, compiled.end)

    def feed(self, name: str, value: Any) -> None:
        """Copies a value into an argument."""
        feed(self.arg_dict, name, value)

    def _set_head_grads(self, out_grads: Any, compiled: Compiled) -> None:
        if out_grads is None:
            out_grads = []
        elif isinstance(out_grads, Mapping):
            out_grads = [out_grads[name] for name in self._symbol.list_outputs()]
        elif isinstance(out_grads, (NDArray, np.ndarray)):
            out_grads = [out_grads]
        if len(out_grads) not in (0, len(self.outputs)):
            raise GraphError(f"backward(): {len(self.outputs)} head gradients are needed, got {len(out_grads)}")
        given = list(out_grads) or [None] * len(self.outputs)
        self._head_grads = []
        self._head_grads_are_ones = not out_grads
        for i, (output, grad) in enumerate(zip(self.outputs, given, strict=True)):
            if grad is None:
                grad = ones(output.shape, output.context, output.dtype)
            elif not isinstance(grad, NDArray) or grad.dtype != output.dtype or grad.context != output.context:
                grad = array(grad, output.context, output.dtype)
            if grad.shape != output.shape:
                raise ShapeError(
                    f"backward(): head gradient {i} must have the output's shape {output.shape}, got {grad.shape}"
                )
            self._head_grads.append(grad)
            bind_array(compiled, ("head_grad", i), grad)

    def take_graph(self) -> Graph | None:
        """The typed graph that binding has made, for the first program: compiling uses it up."""
        graph, self._graph = self._graph, None
        return graph

    def _compile(self, train: bool) -> Compiled:
        every = self.arg_dict | self.aux_dict
        compiled = compile_symbol(
            self._heads(),
            {n: a.shape for n, a in every.items()},
            {n: dtype_name(a.dtype) for n, a in every.items()},
            self._symbol.list_outputs(),
            self._ctx.key,
            train,
            self._grad_req if train else None,
            {name: c.key for name, c in self._groups.items()},
            self.arena.largest,
            self._options,
            len(self._symbol._heads),
            self.take_graph(),
        )
        self.bind_arrays(compiled)
        self.arena.lend(compiled.program)
        self._programs[train] = compiled
        if train:
            self._set_head_grads(None, compiled)
        return compiled

    def bind_arrays(self, compiled: Compiled) -> None:
        """Gives a program of this symbol the executor's arrays."""
        for name, value in self.arg_dict.items():
            bind_array(compiled, ("arg", name), value)
        for name, value in self.aux_dict.items():
            bind_array(compiled, ("aux", name), value)
        if any(kind == "grad" for kind, _ in compiled.slots):
            for name, grad in self.grad_dict.items():
                if grad is not None:
                    bind_array(compiled, ("grad", name), grad)
        for i, value in enumerate(self._all_outputs):
            bind_array(compiled, ("out", i), value)

    # ---- around it --------------------------------------------------------------------------------------------------

    def copy_params_from(
        self,
        arg_params: Mapping[str, NDArray],
        aux_params: Mapping[str, NDArray] | None = None,
        allow_extra_params: bool = False,
    ) -> None:
        for given, own, what in ((arg_params, self.arg_dict, "argument"), (aux_params or {}, self.aux_dict, "state")):
            for name, value in given.items():
                if name in own:
                    if tuple(value.shape) != own[name].shape:
                        raise ShapeError(
                            f"copy_params_from(): {name} is bound with shape {own[name].shape}, got {tuple(value.shape)}"
                        )
                    own[name][:] = value
                elif not allow_extra_params:
                    raise GraphError(f"copy_params_from(): the symbol has no {what} {name!r}")

    def reshape(self, partial_shaping: bool = False, allow_up_sizing: bool = False, **kwargs: Any) -> Executor:
        """An executor for other input shapes that shares this one's parameters and memory."""
        arg_shapes, _, aux_shapes = self._symbol.infer_shape(**kwargs)
        if arg_shapes is None:
            raise ShapeError("reshape(): the given shapes do not determine all others")
        args: dict[str, NDArray] = {}
        for (name, old), shape in zip(self.arg_dict.items(), arg_shapes, strict=True):
            if shape == old.shape:
                args[name] = old
            elif partial_shaping or name in kwargs:
                args[name] = _resized(old, shape, allow_up_sizing, name)
            else:
                raise ShapeError(
                    f"reshape(): {name} would change from {old.shape} to {shape} though it was not named; "
                    "pass partial_shaping=True if that is meant"
                )
        aux = {}
        for (name, old), shape in zip(self.aux_dict.items(), aux_shapes, strict=True):
            aux[name] = old if shape == old.shape else _resized(old, shape, allow_up_sizing, name)

        def grads() -> dict[str, NDArray]:
            own = {n: g for n, g in self.grad_dict.items() if g is not None}
            return {n: g if g.shape == args[n].shape else _resized(g, args[n].shape, True, n) for n, g in own.items()}

        return Executor(
            self._symbol,
            self._ctx,
            args,
            grads,
            self._grad_req,
            aux,
            self._groups,
            shared_exec=self,
            options=self._options,
        )

    def set_monitor_callback(self, callback: Callable[[str, NDArray], Any] | None, monitor_all: bool = False) -> None:
        """`callback(name, array)` sees every operator's outputs after each forward pass (and variables, if asked)."""
        self._monitor = callback
        self._monitor_all = monitor_all
        self._graph = None
        self._programs.clear()
        self.arena.ready = None
        self._make_outputs()

    def _report(self) -> None:
        internals = self._symbol.get_internals()
        extra = self._all_outputs[len(self._symbol._heads) :]
        for name, (node, _), value in zip(internals.list_outputs(), internals._heads, extra, strict=True):
            if node.op is not None or self._monitor_all:
                self._monitor(name, value)

    def memory(self, is_train: bool = True) -> dict[str, int]:
        """Bytes of temporary memory that a program takes, and what it would take without sharing."""
        compiled = self._programs.get(is_train) or self._compile(is_train)
        return {"arena": sum(compiled.plan.arenas.values()), "unshared": compiled.plan.unshared_bytes}

    def debug_str(self) -> str:
        """The calls of the program that ran last (the training one when there is one)."""
        train = True in self._programs or not self._programs
        compiled = self._programs.get(train) or self._compile(bool(self._grad_req) and train)
        return "\n".join(
            [
                f"Symbol outputs: {', '.join(self._symbol.list_outputs())}",
                describe(compiled.lowered),
                describe(compiled.plan),
                f"Total {compiled.program.arena_bytes() / 2**20:.4g} MB allocated",
            ]
        )

    def get_optimized_symbol(self) -> Symbol:
        return self._symbol

    # ---- making one -------------------------------------------------------------------------------------------------

    @classmethod
    @uncollected
    def simple_bind(
        cls,
        symbol: Symbol,
        ctx: Context,
        grad_req: Any = "write",
        type_dict: Mapping[str, Any] | None = None,
        group2ctx: Mapping[str, Context] | None = None,
        shared_exec: Executor | None = None,
        shared_buffer: dict[str, NDArray] | None = None,
        shared_arg_names: Sequence[str] | None = None,
        options: Options | None = None,
        **shapes: Any,
    ) -> Executor:
        """Infers every shape from those given, makes the arrays (zeros) and binds them."""
        variables = set(symbol.list_inputs())
        for name in shapes:
            if name not in variables:
                arguments = ", ".join(symbol.list_arguments())
                raise GraphError(f"simple_bind: there is no argument {name!r}; arguments are {arguments}")
        # MXNet's convention for shapes that a person gives: dimension 0 is to be inferred.
        given = {n: tuple(d or -1 for d in ((s,) if isinstance(s, int) else s)) or None for n, s in shapes.items()}
        types = {n: dtype_name(t) for n, t in (type_dict or {}).items()}
        graph = infer(symbol._heads, given, types, symbol.list_outputs())
        groups = {name: Context(c) for name, c in (group2ctx or {}).items()}
        names, states = list(graph.arguments), list(graph.auxiliary)
        reqs = read_grad_req(grad_req, names)
        every = {**graph.arguments, **graph.auxiliary}
        home = {name: groups.get(v.node.attrs.get("__ctx_group__"), ctx) for name, v in every.items()}

        def make(name: str, value, old: NDArray | None = None) -> NDArray:
            if old is not None and old.shape == value.shape and dtype_name(old.dtype) == value.dtype:
                return old
            return zeros(value.shape, home[name], value.dtype)

        pool = shared_buffer if shared_buffer is not None else {}
        share = set(shared_arg_names or ())
        args, aux = {}, {}
        for name in names:
            value = graph.arguments[name]
            old = shared_exec.arg_dict.get(name) if shared_exec and name in share else pool.get(name)
            args[name] = make(name, value, old)
            if shared_buffer is not None:
                shared_buffer[name] = args[name]
        for name in states:
            old = shared_exec.aux_dict.get(name) if shared_exec else None
            aux[name] = make(name, graph.auxiliary[name], old)

        trained = {n: (args[n].shape, dtype_name(args[n].dtype), home[n]) for n in names if reqs[n] != "null"}

        def grads() -> dict[str, NDArray]:
            found = {}
            for name, (shape, dtype, where) in trained.items():
                old = shared_exec.grad_dict.get(name) if shared_exec and name in share else None
                fits = old is not None and old.shape == shape and old.dtype_name == dtype
                found[name] = old if fits else zeros(shape, where, dtype)
            return found

        return cls(symbol, ctx, args, grads, reqs, aux, groups, shared_exec, options, graph)

    @classmethod
    def bind(
        cls,
        symbol: Symbol,
        ctx: Context,
        args: Any,
        args_grad: Any = None,
        grad_req: Any = "write",
        aux_states: Any = None,
        group2ctx: Mapping[str, Context] | None = None,
        shared_exec: Executor | None = None,
        options: Options | None = None,
    ) -> Executor:
        """Binds arrays that the caller owns."""
        names, states = symbol.list_arguments(), symbol.list_auxiliary_states()
        arrays = _by_name(args, names, "args", required=True)
        grads = _by_name(args_grad, names, "args_grad", required=False)
        aux = _by_name(aux_states, states, "aux_states", required=True)
        return cls(symbol, ctx, arrays, grads, read_grad_req(grad_req, names), aux, group2ctx, shared_exec, options)


def read_grad_req(grad_req: Any, names: Sequence[str]) -> dict[str, str]:
    """'write', a list along the arguments, or a dict by name (others: 'null')."""
    if isinstance(grad_req, str):
        reqs = dict.fromkeys(names, grad_req)
    elif isinstance(grad_req, (list, tuple)):
        if len(grad_req) != len(names):
            raise GraphError(f"grad_req: {len(names)} entries are needed, got {len(grad_req)}")
        reqs = dict(zip(names, grad_req, strict=True))
    elif isinstance(grad_req, Mapping):
        reqs = {name: grad_req.get(name, "null") for name in names}
    else:
        raise GraphError(f"grad_req must be a string, a list or a dict, got {type(grad_req).__name__}")
    for name, req in reqs.items():
        if req not in GRAD_REQS:
            raise GraphError(f"grad_req of {name} must be one of {', '.join(GRAD_REQS)}, got {req!r}")
    return reqs


def _by_name(given: Any, names: Sequence[str], what: str, required: bool) -> dict[str, NDArray]:
    if given is None:
        given = {}
    if isinstance(given, Mapping):
        missing = [n for n in names if n not in given]
        if required and missing:
            raise GraphError(f"bind: {what} lacks {', '.join(missing)}")
        return {n: given[n] for n in names if given.get(n) is not None}
    if len(given) != len(names):
        raise GraphError(f"bind: {what} must have {len(names)} entries ({', '.join(names)}), got {len(given)}")
    return {n: a for n, a in zip(names, given, strict=True) if a is not None}


def _resized(old: NDArray, shape: tuple[int, ...], may_grow: bool, name: str) -> NDArray:
    """An array of another shape; on the old one's memory when it is large enough."""
    size = int(np.prod(shape))
    if size <= old.size:
        return old.reshape((-1,))[:size].reshape(shape) if size else empty(shape, old.context, old.dtype)
    if not may_grow:
        raise ShapeError(
            f"reshape(): {name} would grow from {old.shape} to {shape}; pass allow_up_sizing=True if that is meant"
        )
    return zeros(shape, old.context, old.dtype)


def run_fed(program: _core.Program, last: int, arrays: Mapping[str, NDArray], feeds: dict[str, Any]) -> None:
    """Copies the feeds into the arrays of those names, then runs the first calls of a program."""
    rest = _core.step(program, 0, last, arrays, feeds)
    if rest:  # not of the same shape, type and place: converted, or refused, here
        for name in rest:
            feed(arrays, name, feeds[name])
        program.run(0, last)


def feed(arrays: Mapping[str, NDArray], name: str, value: Any) -> None:
    """Copies a value into the array of that name."""
    target = arrays.get(name)
    if target is None:
        raise GraphError(f"feed: there is no argument {name!r}; arguments are {', '.join(arrays)}")
    shape = value.shape if isinstance(value, NDArray) else np.shape(value)
    if tuple(shape) != target.shape:
        raise ShapeError(f"feed: {name} is bound with shape {target.shape}, got {tuple(shape)}")
    if isinstance(value, NDArray):
        value.copyto(target)
    elif target.context.device_type != "gpu" and isinstance(value, np.ndarray) and target.dtype_name != "bfloat16":
        np.copyto(host_view(target), value, casting="unsafe")
    else:
        target[:] = value


def host_view(value: NDArray) -> np.ndarray:
    """The memory of an array on the CPU, as NumPy sees it."""
    return _core.view(value._storage, value._offset, value.shape, numpy_dtype(value.dtype_name))


def bind_array(compiled: Compiled, key: tuple[str, Any], value: NDArray) -> None:
    """Gives a program the memory for one of its bound arrays; ignored when the program has no use for it."""
    slot = compiled.slots.get(key)
    if slot is not None:
        compiled.program.bind(slot, value._storage, value._offset)
