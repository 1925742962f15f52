"""The calls of benchmarks/ops.py for PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numbers_for import definite, operands, repeated


def operator(op: str, shape: Sequence[int]) -> Callable[[int], None]:
    """Runs the operator so many times; its arrays are made here."""
    numbers, _ = operands(shape)
    x, y = torch.from_numpy(numbers), torch.from_numpy(numbers[::-1].copy())
    n, last = shape[0], shape[-1]
    random = np.random.default_rng(1)
    square = len(shape) == 3 and shape[-1] == shape[-2]
    m = torch.from_numpy(definite(shape)) if square else x

    def places(high: int, count: int) -> torch.Tensor:
        return torch.from_numpy(random.integers(0, high, count))

    calls: dict[str, Callable[[], Callable[[], Any]]] = {
        **{
            name: lambda f=name: lambda: getattr(torch, f)(x)
            for name in ("exp", "log", "tanh", "sigmoid", "erf", "sqrt")
        },
        "gammaln": lambda: lambda: torch.lgamma(x),
        "clip": lambda: lambda: torch.clip(x, 0.2, 0.8),
        "x**1.5": lambda: lambda: x**1.5,
        "x*2": lambda: lambda: x * 2,
        "add": lambda: lambda: x + y,
        "maximum": lambda: lambda: torch.maximum(x, y),
        "x > y": lambda: lambda: x > y,
        "where": lambda: given(x > 0.5, lambda c: torch.where(c, x, y)),
        "to float16": lambda: lambda: x.half(),
        "to float64": lambda: lambda: x.double(),
        "sum rows": lambda: lambda: x.sum(1),
        "sum columns": lambda: lambda: x.sum(0),
        "max rows": lambda: lambda: x.amax(1),
        "argmax rows": lambda: lambda: x.argmax(1),
        "argmax columns": lambda: lambda: x.argmax(0),
        "norm": lambda: lambda: torch.linalg.vector_norm(x),
        "cumsum rows": lambda: lambda: x.cumsum(1),
        "cumsum columns": lambda: lambda: x.cumsum(0),
        "softmax rows": lambda: lambda: x.softmax(1),
        "softmax columns": lambda: lambda: x.softmax(0),
        "log_softmax rows": lambda: lambda: x.log_softmax(1),
        "transpose": lambda: lambda: x.T.contiguous(),
        "transpose bytes": lambda: given((x * 255).to(torch.uint8), lambda b: b.T.contiguous()),
        "swap inner axes": lambda: lambda: x.transpose(1, 2).contiguous(),
        "concat": lambda: lambda: torch.cat((x, y), 1),
        "slice": lambda: lambda: x[:, 1 : last // 2 + 1].contiguous(),
        "tile": lambda: lambda: x.tile(1, 2),
        "repeat": lambda: lambda: x.repeat_interleave(2, 1),
        "flip": lambda: lambda: x.flip(1),
        "pad": lambda: lambda: torch.nn.functional.pad(x, (1, 1, 1, 1)),
        "take rows": lambda: given(places(n, n), lambda i: x.index_select(0, i)),
        "take numbers": lambda: given(places(n, n), lambda i: x.index_select(0, i)),
        "gather_nd": lambda: given(places(n, n), lambda i: x[i]),
        "pick": lambda: given(places(last, n)[:, None], lambda i: x.gather(1, i)),
        "one_hot": lambda: given(places(last, n), lambda i: torch.nn.functional.one_hot(i, last).float()),
        "sort": lambda: lambda: x.sort()[0],
        "argsort": lambda: lambda: x.argsort(),
        "sort rows": lambda: lambda: x.sort(1)[0],
        "argsort short rows": lambda: lambda: x.argsort(1),
        "topk 5 of rows": lambda: lambda: x.topk(5, 1),
        "topk 100": lambda: lambda: x.topk(100),
        "uniform": lambda: lambda: torch.rand(*shape),
        "normal": lambda: lambda: torch.randn(*shape),
        "gamma": lambda: given(torch.full(tuple(shape), 2.5), lambda a: torch._standard_gamma(a)),
        "shuffle": lambda: lambda: x[torch.randperm(n)],
        "multinomial": lambda: given(x.softmax(1), lambda p: torch.multinomial(p, 1)),
        "sgd_mom_update": lambda: optimizer(
            torch.optim.SGD, x, y, lr=1e-9, momentum=0.9, weight_decay=1e-4, fused=True
        ),
        "adam_update": lambda: optimizer(torch.optim.Adam, x, y, lr=1e-9, weight_decay=1e-4, fused=True),
        "batch_dot": lambda: lambda: torch.bmm(x, y),
        "syrk": lambda: lambda: torch.bmm(x, x.mT),
        "potrf": lambda: lambda: torch.linalg.cholesky(m),
        "trsm": lambda: given(torch.linalg.cholesky(m), lambda t: torch.linalg.solve_triangular(t, x, upper=False)),
        "inverse": lambda: lambda: torch.linalg.inv(m),
        "det": lambda: lambda: torch.linalg.det(m),
        "syevd": lambda: lambda: torch.linalg.eigh(m),
    }
    if op == "embedding gradient":
        return gradient(x, places(n, n))
    return repeated(calls[op]())


def optimizer(kind: Any, weight: torch.Tensor, grad: torch.Tensor, **options: Any) -> Callable[[], Any]:
    parameter = torch.nn.Parameter(weight.clone())
    parameter.grad = grad
    return kind([parameter], **options).step


def given(value: Any, call: Callable[[Any], Any]) -> Callable[[], Any]:
    """The call on something that is made once."""
    return lambda: call(value)


def gradient(weight: torch.Tensor, rows: torch.Tensor) -> Callable[[int], None]:
    weight = weight.clone().requires_grad_()

    def call() -> None:
        weight.grad = None
        found = torch.nn.functional.embedding(rows, weight)
        found.backward(torch.ones_like(found))

    return repeated(call)
