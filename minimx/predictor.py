"""mx.Predictor: answers of a trained network, from as many threads at once as one likes.

    predictor = mx.Predictor("model/resnet", epoch=90)
    probabilities = predictor.predict(images)          # a NumPy array, for any number of images

Weights are there once. A program is made for each set of input shapes and kept; temporary memory comes from the pool for the
time of a call, so that threads meet only there. Python's lock is open while a program runs.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from . import _core
from . import ndarray as nd
from . import symbol as sym
from .base import GraphError, MXNetError, dtype_name
from .checkpoint import load_checkpoint
from .compile import Compiled, compile_symbol
from .context import Context, current_context
from .executor import bind_array
from .module.inputs import label_arguments
from .ndarray import NDArray, array, empty, zeros
from .passes.infer import infer
from .serial_safetensors import is_safetensors, read_tensors
from .symbol import Symbol

__all__ = ["Predictor"]

Shapes = tuple[tuple[str, tuple[int, ...]], ...]
PROGRAMS_KEPT = 64  # sets of input shapes whose programs are kept


class _Bound:
    """The program for one set of input shapes, and what its slots take."""

    def __init__(self, compiled: Compiled, types: Mapping[str, str], constants: Mapping[str, NDArray]):
        self.program = compiled.program
        self.types = types
        self.order = sorted((k for k in compiled.slots if k[0] != "kept"), key=compiled.slots.__getitem__)
        self.outputs = [(v.shape, v.dtype, v.node.device) for v in compiled.graph.outputs]
        self.constants = {("arg", n): a for n, a in constants.items()} | {("aux", n): a for n, a in constants.items()}
        for key, value in self.constants.items():
            bind_array(compiled, key, value)  # for what the program keeps of them
        self._packing = threading.Lock()

    def refresh(self) -> None:
        """Packs anew what is kept of parameters that have changed."""
        with self._packing:  # asking, too: what is being packed counts as fresh already
            if self.program.is_stale():
                self.program.refresh()


class Predictor:
    """A network with its parameters, ready to answer.

    `symbol` is a Symbol, its JSON text, a file of it, the checkpoint of a training or, with `epoch`, a prefix of files.
    `params` is a dict of arrays (with or without `arg:` and `aux:`), a file, or a file's bytes. `outputs` names layers whose
    values are wanted instead of the network's outputs. Inputs are the arguments that have no parameter; `input_shapes`
    compiles for those shapes at once, others are compiled when they come.
    """

    def __init__(
        self,
        symbol: Any,
        params: Any = None,
        input_shapes: Mapping[str, Sequence[int]] | Sequence[tuple[str, Sequence[int]]] | None = None,
        dev_type: Any = None,
        dev_id: int = 0,
        type_dict: Mapping[str, Any] | None = None,
        *,
        epoch: int | None = None,
        ctx: Context | None = None,
        outputs: Sequence[str] | None = None,
    ):
        self._ctx = ctx or (current_context() if dev_type is None else _context(dev_type, dev_id))
        if epoch is not None:
            if params is not None:
                raise ValueError("Predictor: epoch goes with the prefix of a checkpoint, not with params")
            network, args, aux = load_checkpoint(os.fspath(symbol), epoch)
            given = {**args, **aux}
        else:
            if params is None and _is_checkpoint(symbol):
                params = symbol
            network, given = _read_symbol(symbol), _read_params(params)
        if outputs is not None:
            inside = network.get_internals()
            network = sym.Group([inside[name] for name in outputs])
        self._symbol = network
        arguments, states = network.list_arguments(), network.list_auxiliary_states()
        self._params = {n: given[n].as_in_context(self._ctx) for n in (*arguments, *states) if n in given}
        missing = [n for n in states if n not in given]
        if missing:
            raise MXNetError(f"Predictor: the parameters lack the auxiliary states {', '.join(missing)}")
        self._types = {n: dtype_name(t) for n, t in (type_dict or {}).items()}
        self._types |= {n: a.dtype_name for n, a in self._params.items()}
        self._free = [n for n in arguments if n not in self._params]
        labels = label_arguments(network)  # are not asked for: predictions do not depend on them
        self.input_names = [n for n in self._free if n not in labels]
        self.output_names = network.list_outputs()
        self._programs: OrderedDict[Shapes, _Bound] = OrderedDict()
        self._compiling = threading.Lock()
        self._latest = threading.local()
        self._shapes: dict[str, tuple[int, ...]] = {}
        if input_shapes is not None:
            self.reshape(input_shapes)

    @property
    def symbol(self) -> Symbol:
        return self._symbol

    # ---- asking -----------------------------------------------------------------------------------------------------

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        """The output as a NumPy array (a list of them if there are several); inputs by position or by name."""
        found = [output.asnumpy() for output in self._run(self._named(args, kwargs))]
        return found[0] if len(found) == 1 else found

    __call__ = predict

    def forward(self, *args: Any, **kwargs: Any) -> list[NDArray]:
        """Computes the outputs; `get_output` then gives them to the thread that called."""
        self._latest.outputs = outputs = self._run(self._named(args, kwargs))
        return outputs

    def get_output(self, index: int = 0) -> np.ndarray:
        """An output of this thread's last `forward`."""
        outputs = getattr(self._latest, "outputs", None)
        if outputs is None:
            raise MXNetError("Predictor.get_output: call forward() first (in the same thread)")
        if not -len(outputs) <= index < len(outputs):
            raise IndexError(f"Predictor.get_output: there are {len(outputs)} outputs, got {index}")
        return outputs[index].asnumpy()

    def reshape(self, input_shapes: Mapping[str, Sequence[int]] | Sequence[tuple[str, Sequence[int]]]) -> Predictor:
        """Compiles for input shapes ahead of the first call with them. Programs for other shapes stay."""
        shapes = {name: tuple(shape) for name, shape in dict(input_shapes).items()}
        unknown = [n for n in shapes if n not in self._free]
        if unknown:
            raise self._unknown(unknown[0])
        self._shapes = {**self._shapes, **shapes}
        self._bound(tuple((n, self._shapes[n]) for n in self._free if n in self._shapes))
        return self

    # ---- inside -----------------------------------------------------------------------------------------------------

    def _named(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        if len(args) > len(self.input_names):
            names = ", ".join(self.input_names) or "none"
            raise TypeError(f"Predictor: the inputs are {names}, but {len(args)} were given")
        given = dict(zip(self.input_names, args, strict=False))
        for name, value in kwargs.items():
            if name in given:
                raise TypeError(f"Predictor: the input {name} was given twice")
            if name not in self._free:
                raise self._unknown(name)
            given[name] = value
        return given

    def _unknown(self, name: str) -> GraphError:
        return GraphError(f"Predictor: there is no input {name!r}; inputs are {', '.join(self.input_names) or 'none'}")

    def _run(self, given: Mapping[str, Any]) -> list[NDArray]:
        values = {n: v if hasattr(v, "shape") else np.asarray(v) for n, v in given.items()}
        bound = self._bound(tuple((n, tuple(values[n].shape)) for n in self._free if n in values))
        arrays: dict[Any, NDArray] = dict(bound.constants)
        for name, value in values.items():
            arrays["arg", name] = self._input(value, bound.types[name])
        outputs = [empty(shape, Context(*device), dtype) for shape, dtype, device in bound.outputs]
        arrays.update({("out", i): output for i, output in enumerate(outputs)})
        bound.refresh()
        _core.run(bound.program, *[arrays[key] for key in bound.order])
        return outputs

    def _input(self, value: Any, dtype: str) -> NDArray:
        if isinstance(value, NDArray):
            value = value if value.dtype_name == dtype else value.astype(dtype)
            return value.as_in_context(self._ctx)
        return array(value, self._ctx, dtype)

    def _bound(self, shapes: Shapes) -> _Bound:
        found = self._programs.get(shapes)
        if found is None:
            with self._compiling:
                found = self._programs.get(shapes) or self._compile(shapes)
        return found

    def _compile(self, shapes: Shapes) -> _Bound:
        known = dict(shapes)
        missing = [n for n in self.input_names if n not in known]
        if missing:
            raise GraphError(f"Predictor: {', '.join(missing)} is neither an input that was given nor a parameter")
        heads, names = self._symbol._heads, self.output_names
        all_shapes = known | {n: a.shape for n, a in self._params.items()}
        graph = infer(heads, all_shapes, self._types, names)
        labels = {n: graph.arguments[n] for n in self._free if n not in known}
        filled = {n: zeros(v.shape, self._ctx, v.dtype) for n, v in labels.items()}
        types = {n: v.dtype for n, v in (graph.arguments | graph.auxiliary).items()}
        every = {n: v.shape for n, v in (graph.arguments | graph.auxiliary).items()}
        compiled = compile_symbol(heads, every, types, names, self._ctx.key)
        made = _Bound(compiled, types, self._params | filled)
        self._programs[shapes] = made
        if len(self._programs) > PROGRAMS_KEPT:
            self._programs.popitem(last=False)
        return made


def _context(kind: Any, number: int) -> Context:
    return kind if isinstance(kind, Context) else Context(kind, number)


def _read_symbol(source: Any) -> Symbol:
    if isinstance(source, Symbol):
        return source
    if isinstance(source, str) and source.lstrip().startswith("{"):
        return sym.load_json(source)
    path = os.fspath(source)
    if _is_checkpoint(path):
        text = read_tensors(path)[2].get("symbol")
        if text is None:
            raise MXNetError(f"Predictor: {path} holds arrays, but no network")
        return sym.load_json(text)
    return sym.load(path if os.path.exists(path) else f"{path}-symbol.json")


def _is_checkpoint(source: Any) -> bool:
    """Whether it is a file with network and parameters, as a TrainingCheckpoint writes."""
    if isinstance(source, Symbol) or not os.path.isfile(source):
        return False
    with open(source, "rb") as file:
        return is_safetensors(file.read(16))


def _read_params(source: Any) -> dict[str, NDArray]:
    """Arrays by name, without what a file puts before the names."""
    if isinstance(source, Mapping):
        found: Any = source
    elif isinstance(source, (bytes, bytearray, memoryview)):
        found = nd.load_frombuffer(bytes(source))
    elif source is None:
        found = {}
    else:
        found = nd.load(source)
    if not isinstance(found, Mapping):
        raise MXNetError("Predictor: the parameters need names, but the file holds arrays without")
    return {name.removeprefix("arg:").removeprefix("aux:"): value for name, value in found.items()}
