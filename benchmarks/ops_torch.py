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
        **network(x),
        **around_networks(x),
    }
    if op == "embedding gradient":
        return gradient(x, places(n, n))
    return repeated(calls[op]())


def network(x: torch.Tensor) -> dict[str, Callable[[], Callable[[], Any]]]:
    """Layers with weights, activations, pooling, normalisation."""
    f = torch.nn.functional
    last = x.shape[-1]
    axis = x.shape[1] if x.ndim == 4 else last

    def weight(*shape: int) -> torch.Tensor:
        return torch.from_numpy(np.random.default_rng(2).standard_normal(shape, np.float32))

    def per_channel(count: int) -> list[torch.Tensor]:
        return [torch.ones(axis) for _ in range(count)]

    def scores() -> torch.Tensor:
        length, batch, width = x.shape
        parts = x.reshape(length, batch * 8, 3, width // 24)
        q, k = (parts[:, :, i].transpose(0, 1) for i in (0, 1))
        return torch.bmm(q * (width // 24) ** -0.5, k.transpose(1, 2))

    return {
        "fully connected": lambda: given(weight(2048, last), lambda w: f.linear(x, w)),
        "convolution": lambda: given(weight(64, axis, 3, 3), lambda w: f.conv2d(x, w, padding=1)),
        "deconvolution": lambda: given(weight(axis, 64, 4, 4), lambda w: f.conv_transpose2d(x, w, stride=2, padding=1)),
        "lstm": lambda: given(torch.nn.LSTM(last, last), lambda net: net(x)),
        "attention scores": lambda: scores,
        "relu": lambda: lambda: torch.relu(x),
        "leaky relu": lambda: lambda: f.leaky_relu(x, 0.1),
        "gelu": lambda: lambda: f.gelu(x),
        "softsign": lambda: lambda: f.softsign(x),
        "dropout": lambda: lambda: f.dropout(x, 0.5),
        "max pool": lambda: lambda: f.max_pool2d(x, 2),
        "average pool": lambda: lambda: f.avg_pool2d(x, 2),
        "global average pool": lambda: lambda: x.mean((2, 3)),
        "batch norm": lambda: given(per_channel(4), lambda p: f.batch_norm(x, *p)),
        "layer norm": lambda: given(per_channel(2), lambda p: f.layer_norm(x, (last,), *p)),
        "instance norm": lambda: given(per_channel(2), lambda p: f.instance_norm(x, weight=p[0], bias=p[1])),
        "local response": lambda: lambda: f.local_response_norm(x, 5),
        "l2 normalisation": lambda: lambda: f.normalize(x),
    }


def around_networks(x: torch.Tensor) -> dict[str, Callable[[], Callable[[], Any]]]:
    """Losses, images, densities, arrays out of nothing."""
    f = torch.nn.functional
    shape = x.shape
    random = np.random.default_rng(1)

    def ctc() -> Callable[[], Any]:
        length, batch, classes = shape
        labels = torch.from_numpy(random.integers(1, classes, (batch, 20)))
        every = torch.full((batch,), length), torch.full((batch,), 20)
        return lambda: f.ctc_loss(x.log_softmax(2), labels, *every)

    def grid() -> torch.Tensor:
        return torch.from_numpy(random.random((shape[0], *shape[2:], 2), np.float32) * 2 - 1)

    density = torch.distributions.Normal(0.0, 1.0)
    return {
        "softmax output": lambda: lambda: x.softmax(1),
        "smooth l1": lambda: lambda: f.smooth_l1_loss(x, torch.zeros(()).expand_as(x), reduction="none"),
        "ctc loss": ctc,
        "resize": lambda: lambda: f.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True),
        "upsample": lambda: lambda: f.interpolate(x, scale_factor=2),
        "sample on a grid": lambda: given(grid(), lambda g: f.grid_sample(x, g, align_corners=True)),
        "normal density": lambda: lambda: density.log_prob(x).exp(),
        "zeros": lambda: lambda: torch.zeros(*shape),
        "arange": lambda: lambda: torch.arange(shape[0], dtype=torch.float32),
    }


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
