"""autograd: gradients of what was computed with arrays while recording.

x.attach_grad()
with mx.autograd.record():
    y = (x * x).sum()
y.backward()            # x.grad is 2x
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import _core
from .backward import Changes, backward_pass, free
from .base import MXNetError, ShapeError
from .context import Context
from .graph import Node, Value, apply, topological
from .ndarray import NDArray, ones, zeros
from .params import text_of
from .symbol import Symbol, SymbolNode
from .tape import Recorded, Variable, value_of

GRAD_REQS = ("write", "add", "null")


def set_recording(is_recording: bool) -> bool:
    """Turns recording on or off for this thread; returns what it was."""
    return _core.set_recording(is_recording)


def set_training(train_mode: bool) -> bool:
    """Makes operators of this thread behave as in training or as in inference; returns what it was."""
    return _core.set_training(train_mode)


def is_recording() -> bool:
    return _core.is_recording()


def is_training() -> bool:
    return _core.is_training()


class _Scope:
    """Sets recording and training (None leaves one as it is) and restores both."""

    def __init__(self, recording: bool | None, training: bool | None):
        self._wanted = recording, training
        self._before: list[tuple[bool, bool]] = []

    def __enter__(self) -> None:
        recording, training = self._wanted
        self._before.append((_core.is_recording(), _core.is_training()))
        if recording is not None:
            _core.set_recording(recording)
        if training is not None:
            _core.set_training(training)

    def __exit__(self, *exception: object) -> None:
        recording, training = self._before.pop()
        _core.set_recording(recording)
        _core.set_training(training)


def record(train_mode: bool = True) -> _Scope:
    """`with record():` what is computed inside can be differentiated."""
    return _Scope(True, train_mode)


def pause(train_mode: bool = False) -> _Scope:
    """`with pause():` inside a recording, what is computed is not recorded."""
    return _Scope(False, train_mode)


def train_mode() -> _Scope:
    return _Scope(None, True)


def predict_mode() -> _Scope:
    return _Scope(None, False)


def mark_variables(variables: Any, gradients: Any, grad_reqs: str | Sequence[str] = "write") -> None:
    """Makes arrays variables whose gradients go to the given arrays, written or added ('null': nowhere)."""
    variables, gradients = _arrays(variables), _arrays(gradients)
    reqs = [grad_reqs] * len(variables) if isinstance(grad_reqs, str) else list(grad_reqs)
    if not len(variables) == len(gradients) == len(reqs):
        raise MXNetError(
            f"mark_variables: {len(variables)} variables need as many gradients and grad_reqs, got {len(gradients)} and "
            f"{len(reqs)}"
        )
    for array, grad, req in zip(variables, gradients, reqs, strict=True):
        if req not in GRAD_REQS:
            raise MXNetError(f"grad_req must be one of {', '.join(GRAD_REQS)}, got {req!r}")
        if grad.shape != array.shape:
            raise ShapeError(f"mark_variables: a variable of shape {array.shape} got a gradient of shape {grad.shape}")
        array.entry = Variable(array, grad, req).outputs[0]


def backward(heads: Any, head_grads: Any = None, retain_graph: bool = False, train_mode: bool = True) -> None:
    """Computes the gradients of `heads` for every variable they were computed from, into the variables' gradient arrays."""
    heads = _arrays(heads)
    order = _history(heads)
    variables = [n for n in order if isinstance(n, Variable) and n.grad_req != "null"]
    homes = [n.grad if n.grad_req == "write" else None for n in variables]
    seeds = _seeds(heads, head_grads)
    with _Scope(False, train_mode):
        changes = backward_pass(order, [h.entry for h in heads], seeds, [n.outputs[0] for n in variables], homes)
        for node, value in zip(variables, changes.gradients, strict=True):
            if node.grad_req == "add":
                if value is not None:
                    node.grad += value
            elif value is not node.grad:
                node.grad[...] = 0 if value is None else value
        _write_states(changes)
    if not retain_graph:
        free(order)
        free([s.node for s in seeds if s.node.op is None])  # or they would keep memory until cycles are collected


def grad(
    heads: Any,
    variables: Any,
    head_grads: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    train_mode: bool = True,
) -> Any:
    """The gradients of `heads` with respect to `variables`; with `create_graph` they can be differentiated in turn."""
    heads = _arrays(heads)
    order = _history(heads)
    wanted = [_entry(v) for v in _arrays(variables)]
    with _Scope(create_graph, train_mode):
        seeds = _seeds(heads, head_grads)
        changes = backward_pass(order, [h.entry for h in heads], seeds, wanted, [None] * len(wanted))
        with _Scope(False, train_mode):
            found = [_own(g, v, create_graph) for g, v in zip(changes.gradients, wanted, strict=True)]
            _write_states(changes)
    if not (create_graph if retain_graph is None else retain_graph):
        free(order)
    return found[0] if isinstance(variables, NDArray) else found


def _own(grad: NDArray | None, value: Value, create_graph: bool) -> NDArray:
    """A gradient as the caller's own array: never one that the tape holds, nor the same one twice."""
    if grad is None:
        return zeros(value.shape, Context(*value.node.device), value.dtype)
    return grad if create_graph else grad.copy()


def _seeds(heads: list[NDArray], head_grads: Any) -> list[Value]:
    """The gradients that arrive at the heads: ones where none are given."""
    given = [None] * len(heads) if head_grads is None else _arrays(head_grads)
    if len(given) != len(heads):
        raise MXNetError(f"backward: {len(heads)} heads need as many head gradients, got {len(given)}")
    seeds = []
    for head, seed in zip(heads, given, strict=True):
        if seed is None:
            seed = ones(head.shape, head.context, head.dtype)
        if seed.shape != head.shape:
            raise ShapeError(f"backward: a head of shape {head.shape} got a gradient of shape {seed.shape}")
        seeds.append(value_of(seed.astype(head.dtype, copy=False)))
    return seeds


def _write_states(changes: Changes) -> None:
    for state, value in changes.states:
        state[...] = value


def _history(heads: list[NDArray]) -> list[Node]:
    """The recorded nodes behind the heads, inputs first."""
    order = topological([_entry(h) for h in heads])
    for node in order:
        if node.arrays is None:
            raise MXNetError(
                f"backward: {node.name} was freed by an earlier backward pass; pass retain_graph=True to that one"
            )
    return order


def _entry(array: NDArray) -> Value:
    if not isinstance(array, NDArray):
        raise TypeError(f"autograd works on NDArrays, got {type(array).__name__}")
    if array.entry is None:
        raise MXNetError(
            "backward: the array was not computed from a variable while recording; call attach_grad() on the variables and "
            "compute inside `with autograd.record():`"
        )
    return array.entry


def _arrays(arrays: Any) -> list:
    return [arrays] if isinstance(arrays, NDArray) else list(arrays)


def get_symbol(x: NDArray) -> Symbol:
    """The recorded computation of an array as a symbol; its variables are called var0, var1, ..."""
    entry = _entry(x)
    made: dict[Node, SymbolNode] = {}
    counts: dict[str, int] = {}
    for node in topological([entry]):
        hint = "var" if node.op is None else node.op.name.lower()
        name = f"{hint}{counts.get(hint, 0)}"
        counts[hint] = counts.get(hint, 0) + 1
        attrs = {}
        if node.op is not None:
            for key, param in getattr(node.op, "params", {}).items():
                value = getattr(node.params, key)
                if value != param.default:
                    attrs[key] = text_of(value)
        inputs = [(made[v.node], v.index) for v in node.inputs]
        made[node] = SymbolNode(node.op, name, attrs, node.params, inputs)
    return Symbol([(made[entry.node], entry.index)])


class Function:
    """A differentiable function written in Python: define `forward` and `backward` on NDArrays.

    class Sigmoid(mx.autograd.Function):
        def forward(self, x):
            y = 1 / (1 + mx.nd.exp(-x))
            self.save_for_backward(y)
            return y
        def backward(self, dy):
            (y,) = self.saved_tensors
            return dy * y * (1 - y)
    """

    def __init__(self) -> None:
        self._called = False
        self.saved_tensors: tuple[NDArray, ...] = ()

    def save_for_backward(self, *args: NDArray) -> None:
        self.saved_tensors = args

    def __call__(self, *inputs: NDArray) -> Any:
        if self._called:
            raise MXNetError(f"{type(self).__name__}: each call needs a Function object of its own")
        self._called = True
        with pause(train_mode=is_training()):
            result = self.forward(*inputs)
        outputs = [result] if isinstance(result, NDArray) else list(result)
        if is_recording() and any(a.entry is not None for a in inputs):
            # An output may be an input passed through; history belongs to an array of its own.
            outputs = [_core.part(a, 0, a.shape) for a in outputs]
            name = type(self).__name__
            node = Recorded(_CALL, self, [value_of(a) for a in inputs], outputs, name, is_training())
            for array, value in zip(outputs, node.outputs, strict=True):
                array.entry = value
        return outputs[0] if isinstance(result, NDArray) else tuple(outputs)

    def forward(self, *inputs: NDArray) -> Any:
        """The outputs: an array or several."""
        raise NotImplementedError(f"{type(self).__name__} must define forward(*inputs)")

    def backward(self, *output_grads: NDArray) -> Any:
        """The gradients of the inputs (None for those without one) from the gradients of the outputs."""
        raise NotImplementedError(f"{type(self).__name__} must define backward(*output_grads)")


class _FunctionCall:
    """Stands for the operator of a recorded Function; the Function itself is the node's parameters."""

    name = "Function"
    early_updates = False
    differentiable_by_expansion = False

    def gradient(self, function: Function, node: Node, grads: list[Value | None]) -> Sequence[Value]:
        given = [g if g is not None else apply("zeros_like", [v]) for g, v in zip(grads, node.outputs, strict=True)]
        types = [(v.shape, v.dtype) for v in node.inputs]
        return Node(_BACKWARD_CALL, function, given, types, f"{node.name}_backward", node.device).outputs


class _FunctionBackward:
    """Runs a Function's backward method."""

    name = "FunctionBackward"

    def run(self, function: Function, grads: Sequence[NDArray]) -> list[NDArray]:
        result = function.backward(*grads)
        return [result] if isinstance(result, NDArray) else list(result)


_CALL: Any = _FunctionCall()
_BACKWARD_CALL: Any = _FunctionBackward()
