"""summary: what a network is made of, and what it costs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .base import ShapeError, dtype_name
from .compile import compile_graph, differentiate
from .context import cpu
from .graph import Graph, Node, Value
from .module.inputs import label_arguments
from .op import product
from .passes.infer import infer
from .passes.lower import lower
from .passes.plan import plan
from .symbol import Symbol

GATES = {"lstm": 4, "gru": 3}


@dataclass
class Layer:
    """A layer of a summary. Parameters that an earlier layer has, too, do not count again."""

    name: str
    op: str
    shapes: list[tuple[int, ...]]
    parameters: int = 0
    trainable: int = 0
    multiply_adds: int = 0


@dataclass
class Summary:
    """The layers and what they add up to; `print` shows a table. Memory is in bytes."""

    layers: list[Layer] = field(default_factory=list)
    parameters: int = 0
    trainable: int = 0
    states: int = 0  # numbers that are kept but not learnt: moving statistics
    multiply_adds: int = 0
    parameter_bytes: int = 0
    input_bytes: int = 0
    predicting_bytes: int = 0  # temporary memory of a prediction
    training_bytes: int = 0  # temporary memory of a training step, without gradients and optimizer states
    gradient_bytes: int = 0

    def __str__(self) -> str:
        head = ("Layer", "Operator", "Output", "Parameters", "Multiply-adds")
        rows = [
            (
                layer.name,
                layer.op,
                " ".join("x".join(map(str, s)) or "1" for s in layer.shapes),
                f"{layer.parameters:,}" + (" fixed" if layer.parameters and not layer.trainable else ""),
                f"{layer.multiply_adds:,}" if layer.multiply_adds else "",
            )
            for layer in self.layers
        ]
        widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
        rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
        lines = [_line(head, widths), rule, *(_line(row, widths) for row in rows), rule]
        lines += [
            f"Parameters: {self.parameters:,} ({self.trainable:,} trainable, {self.parameters - self.trainable:,} fixed), "
            f"states: {self.states:,}",
            f"Multiply-adds of a forward pass: {_short(self.multiply_adds, 1000, 'KMGT')}",
            f"Memory: parameters and states {_bytes(self.parameter_bytes)}, inputs {_bytes(self.input_bytes)}, "
            f"temporary {_bytes(self.predicting_bytes)} to predict, {_bytes(self.training_bytes)} to train "
            f"(and gradients {_bytes(self.gradient_bytes)})",
        ]
        return "\n".join(lines)

    __repr__ = __str__


def summary(
    network: Any,
    shapes: Mapping[str, Sequence[int]] | Sequence[int] | None = None,
    fixed_param_names: Iterable[str] = (),
    type_dict: Mapping[str, Any] | None = None,
    **more: Sequence[int],
) -> Summary:
    """Layers, parameters, multiply-adds and memory of a symbol or a module for inputs of these shapes.

        print(mx.summary(net, data=(32, 3, 224, 224)))

    A module that is bound knows its shapes and which parameters are fixed.
    """
    symbol = network if isinstance(network, Symbol) else network.symbol
    given = _given(network, shapes, more)
    fixed = {*fixed_param_names, *getattr(network, "_fixed_param_names", ())}
    types = {n: dtype_name(t) for n, t in (type_dict or {}).items()}
    heads, outputs = symbol._heads, symbol.list_outputs()
    graph = infer(heads, given, types, outputs)
    inputs = {*given, *label_arguments(symbol)}
    found = Summary()
    _layers(graph, inputs, fixed, found)
    trained = {n: "null" if n in inputs or n in fixed else "write" for n in graph.arguments}
    every = {n: v for n, v in (graph.arguments | graph.auxiliary).items()}
    for name, value in every.items():
        if name in inputs:
            found.input_bytes += value.nbytes
        else:
            found.parameter_bytes += value.nbytes
        if trained.get(name) == "write":
            found.gradient_bytes += value.nbytes
    found.predicting_bytes = _temporary(infer(heads, given, types, outputs))
    if any(req == "write" for req in trained.values()):
        found.training_bytes = _temporary(differentiate(heads, given, types, outputs, trained))
    return found


def _given(network: Any, shapes: Any, more: Mapping[str, Sequence[int]]) -> dict[str, tuple[int, ...]]:
    if shapes is not None and not isinstance(shapes, Mapping):
        shapes = {"data": shapes}
    given = {n: tuple(s) for n, s in {**(shapes or {}), **more}.items()}
    if not given and getattr(network, "binded", False):
        given = {d[0]: tuple(d[1]) for d in (*network.data_shapes, *(network.label_shapes or ()))}
        arguments = network.symbol.list_arguments()
        given = {n: s for n, s in given.items() if n in arguments}
    if not given:
        raise ShapeError("summary: shapes of the inputs are needed, such as data=(32, 3, 224, 224)")
    return given


def _layers(graph: Graph, inputs: set[str], fixed: set[str], found: Summary) -> None:
    names = {value: name for name, value in graph.arguments.items() if name not in inputs}
    counted: set[Value] = set()
    for node in graph.nodes():
        if node.op is None:
            continue
        shown = list(node.outputs)[: node.op.visible(node.params)]
        layer = Layer(node.name, node.op.name, [v.shape for v in shown], multiply_adds=multiply_adds(node))
        for value in node.inputs:
            if value in names and value not in counted:
                counted.add(value)
                layer.parameters += value.size
                layer.trainable += 0 if names[value] in fixed else value.size
        found.layers.append(layer)
        found.parameters += layer.parameters
        found.trainable += layer.trainable
        found.multiply_adds += layer.multiply_adds
    found.states = sum(v.size for v in graph.auxiliary.values())


def multiply_adds(node: Node) -> int:
    """The multiplications (each with an addition) in a layer's products and convolutions; other work does not count."""
    name, p = node.op.name, node.params
    ins, out = [v.shape for v in node.inputs], node.outputs[0]
    if name in ("Convolution", "Deconvolution"):
        # Every number of the output (of a deconvolution: of the input) meets its part of the kernel.
        spots = out.size if name == "Convolution" else product(ins[0])
        filters = ins[1][0]
        return spots * (product(ins[1]) // filters)
    if name == "FullyConnected":
        return out.size * (product(ins[1]) // ins[1][0])
    if name == "dot":
        length = ins[0][0] if p.transpose_a else ins[0][-1]
        return out.size * length
    if name in ("batch_dot", "_linalg_gemm", "_linalg_gemm2"):
        return out.size * (ins[0][-2] if p.transpose_a else ins[0][-1])
    if name == "RNN":
        steps, batch, width = ins[0]
        directions = 2 if p.bidirectional else 1
        size, gates = p.state_size, GATES.get(p.mode, 1)
        total = 0
        for layer in range(p.num_layers):
            total += directions * gates * size * ((width if layer == 0 else directions * size) + size)
        return steps * batch * total
    return 0


def _temporary(graph: Graph) -> int:
    """Bytes of temporary memory of a graph's program."""
    return sum(plan(lower(compile_graph(graph, cpu().key))).arenas.values())


def _line(fields: Sequence[str], widths: Sequence[int]) -> str:
    parts = [f.ljust(w) if i < 3 else f.rjust(w) for i, (f, w) in enumerate(zip(fields, widths, strict=True))]
    return "  ".join(parts).rstrip()


def _short(number: float, base: int, units: str) -> str:
    unit = ""
    for following in units:
        if number < base:
            break
        number, unit = number / base, following
    return f"{number:.4g}{unit}"


def _bytes(number: int) -> str:
    return f"{_short(number, 1024, 'KMGT')}B"


__all__ = ["Layer", "Summary", "multiply_adds", "summary"]
