"""Runs one operator as a bound symbol: what the sweeps over operators share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from cases import Case, Input, Real

import minimx as mx
from minimx.compile import Options
from minimx.executor import Executor
from minimx.op import find
from minimx.symbol import create


def symbol_of(op: str, params: Mapping[str, Any], names: Sequence[str]) -> Any:
    """The operator as a node called `op` on variables of these names."""
    variables = [mx.sym.Variable(name) for name in names]
    if find(op).count:
        return create(op, "op", variables, {}, params, "op")
    return create(op, "op", (), dict(zip(names, variables, strict=True)), params, "op")


def input_names(op: str, params: Mapping[str, Any], count: int) -> list[str]:
    operator = find(op)
    return list(operator.input_names(operator.parse(dict(params), count=count)))


def inputs_of(case: Case, dtype: str) -> dict[str, np.ndarray]:
    """The inputs by name, as they are fed in."""
    arrays = case.typed(dtype)
    return dict(zip(input_names(case.op, case.params, len(arrays)), arrays, strict=True))


def stands_for_reals(given: Input) -> bool:
    return isinstance(given, Real) or (isinstance(given, np.ndarray) and given.dtype.kind == "f")


def differentiable(case: Case, inputs: Mapping[str, np.ndarray]) -> list[str]:
    """Names of the inputs whose gradients are checked."""
    if case.grads is not None:
        return list(case.grads)
    states = find(case.op).aux
    return [
        name
        for (name, a), given in zip(inputs.items(), case.inputs, strict=True)
        if name not in states and a.dtype.kind == "f" and stands_for_reals(given)
    ]


class Running:
    """One operator, bound. `forward` and `backward` return NumPy arrays."""

    def __init__(
        self,
        op: str,
        params: Mapping[str, Any],
        inputs: Mapping[str, np.ndarray],
        grads: Sequence[str] = (),
        grad_req: str = "write",
        ctx: Any = None,
        **options: Any,
    ):
        self.symbol = symbol_of(op, params, list(inputs))
        self.ctx = ctx or mx.cpu()
        self.states = self.symbol.list_auxiliary_states()
        self.grads = list(grads)
        args = {n: self.array(inputs[n]) for n in self.symbol.list_arguments()}
        aux = {n: self.array(inputs[n]) for n in self.states}
        slopes = {n: self.array(np.zeros_like(inputs[n])) for n in grads}
        reqs = {n: grad_req if n in slopes else "null" for n in args}
        self.executor = Executor.bind(self.symbol, self.ctx, args, slopes, reqs, aux, options=Options(**options))

    def array(self, value: np.ndarray) -> Any:
        return mx.nd.array(value, ctx=self.ctx, dtype=value.dtype)

    def feed(self, name: str, value: np.ndarray) -> None:
        self.executor.arg_dict[name][:] = value

    def forward(self, train: bool = False) -> list[np.ndarray]:
        return [o.asnumpy() for o in self.executor.forward(is_train=train)]

    def backward(self, heads: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The gradients of `grads`, after a training pass."""
        self.executor.backward([self.array(h) for h in heads])
        return [self.executor.grad_dict[n].asnumpy() for n in self.grads]

    def auxiliary(self) -> list[np.ndarray]:
        return [self.executor.aux_dict[n].asnumpy() for n in self.states]

    def inferred(self, train: bool = False) -> list[tuple[tuple[int, ...], str]]:
        """Shapes and dtypes of the outputs that the program computes."""
        return [(v.shape, v.dtype) for v in self.executor._programs[train].graph.outputs]
