"""Graphs of many nodes, for libraries with MXNet's functions, and what binding them takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def dense(mx: Any, nodes: int) -> Any:
    """Layers of eight units, one after the other, that share their weights."""
    x = mx.sym.Variable("data")
    weight, bias = mx.sym.Variable("w"), mx.sym.Variable("b")
    for i in range(nodes // 2):
        x = mx.sym.FullyConnected(x, weight, bias, num_hidden=8, name=f"fc{i}")
        x = mx.sym.Activation(x, act_type="tanh", name=f"act{i}")
    return x


def elementwise(mx: Any, nodes: int) -> Any:
    x = y = mx.sym.Variable("data")
    for i in range(nodes // 2):
        x = mx.sym.broadcast_add(mx.sym.tanh(x, name=f"t{i}"), y, name=f"a{i}")
    return x


GRAPHS: dict[str, Callable[[Any, int], Any]] = {"dense layers": dense, "elementwise": elementwise}


def binding(mx: Any, graph: str, nodes: int, train: bool) -> Callable[[int], None]:
    """From a symbol to its first results, so many times."""
    net = GRAPHS[graph](mx, nodes)

    def run(count: int) -> None:
        for _ in range(count):
            executor = net.simple_bind(mx.cpu(), grad_req="write" if train else "null", data=(4, 8))
            executor.forward(is_train=train)[0].wait_to_read()

    return run
