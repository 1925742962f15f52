"""Replicas: a symbol bound on one or several devices, each of which works on its part of every batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..base import ShapeError
from ..context import Context, cpu
from ..eager import invoke
from ..executor import Executor
from ..io import DataDesc
from ..ndarray import NDArray, concatenate
from ..optimizer import OptimizerStep
from ..symbol import Symbol


def split(batch: int, loads: Sequence[float]) -> list[slice]:
    """The parts of a batch that devices get, in proportion to their loads; the last one takes what rounding leaves."""
    total = sum(loads)
    counts = [round(batch * load / total) for load in loads]
    counts[-1] += max(0, batch - sum(counts))
    ends = np.minimum(np.cumsum(counts), batch).tolist()
    starts = [0, *ends[:-1]]
    if any(start >= end for start, end in zip(starts, ends, strict=True)):
        raise ValueError(f"a batch of {batch} is too small for {len(loads)} devices of the loads {list(loads)}")
    return [slice(start, end) for start, end in zip(starts, ends, strict=True)]


def part(value: Any, rows: slice, axis: int) -> Any:
    """Some rows of an array."""
    if axis == 0 or not isinstance(value, NDArray):
        return value[(slice(None),) * axis + (rows,)]
    return invoke("slice_axis", [value], {"axis": axis, "begin": rows.start, "end": rows.stop})


def _axis(desc: DataDesc) -> int:
    """Which axis of an input counts the examples; -1 if none does."""
    return DataDesc.get_batch_axis(desc.layout) if desc.shape else -1


class Replicas:
    """Executors of one symbol for one set of shapes. With `shared`, parameters, gradients and memory are another's."""

    def __init__(
        self,
        symbol: Symbol,
        contexts: Sequence[Context],
        loads: Sequence[float],
        data: list[DataDesc],
        labels: list[DataDesc],
        parameters: list[str],
        grad_req: Mapping[str, str],
        groups: Sequence[Mapping[str, Context] | None],
        shared: Replicas | None = None,
    ):
        self.data = data
        self.labels = labels
        self.parameters = parameters
        arguments = set(symbol.list_arguments())
        self.fed_labels = [d.name in arguments for d in labels]
        axis = _axis(data[0])
        self.batch_size = data[0].shape[max(axis, 0)] if data[0].shape else 1
        self.slices = split(self.batch_size, loads)
        self._axes = {d.name: _axis(d) for d in (*data, *labels)}
        self.step: OptimizerStep | None = None  # the whole training step as one program, once it has been asked for
        self.step_key: Any = None
        self.watched = False
        self._output_axes = [
            0 if layout is None else DataDesc.get_batch_axis(layout)
            for layout in (o.attr("__layout__") for o in symbol)
        ]
        inputs = [*data, *(d for d in labels if d.name in arguments)]
        types = {d.name: d.dtype for d in data}
        given = dict(zip(symbol.list_arguments(), symbol.infer_type_partial(**types)[0], strict=True))
        types |= {d.name: d.dtype for d in labels if d.name in arguments and given[d.name] is None}
        self.execs = [
            Executor.simple_bind(
                symbol,
                context,
                dict(grad_req),
                type_dict=types,
                group2ctx=group,
                shared_exec=shared.execs[i] if shared else None,
                shared_arg_names=parameters,
                **{d.name: self._shape(d, rows) for d in inputs},
            )
            for i, (context, rows, group) in enumerate(zip(contexts, self.slices, groups, strict=True))
        ]
        self.contexts = list(contexts)

    def _shape(self, desc: DataDesc, rows: slice) -> tuple[int, ...]:
        axis = self._axes[desc.name]
        if axis < 0 or len(self.slices) == 1:
            return desc.shape
        if desc.shape[axis] != self.batch_size:
            raise ShapeError(f"{desc.name} has {desc.shape[axis]} examples, {self.data[0].name} {self.batch_size}")
        return (*desc.shape[:axis], rows.stop - rows.start, *desc.shape[axis + 1 :])

    # ---- what goes in and comes out ---------------------------------------------------------------------------------

    def fits(self, data: Sequence[Any], label: Sequence[Any] | None) -> bool:
        """Whether a batch has the shapes that are bound."""
        for values, descs in ((data, self.data), (label, self.labels)):
            if values and [v.shape for v in values] != [d.shape for d in descs]:
                return False
        return True

    def feed(self, data: Sequence[Any], label: Sequence[Any] | None) -> None:
        """Copies a batch into the executors."""
        for desc, value in zip(self.data, data, strict=True):
            self._feed(desc, value)
        for desc, value, used in zip(self.labels, label or (), self.fed_labels, strict=False):
            if used:
                self._feed(desc, value)

    def _feed(self, desc: DataDesc, value: Any) -> None:
        if len(self.execs) == 1:
            self.execs[0].feed(desc.name, value)
            return
        axis = self._axes[desc.name]
        for executor, rows in zip(self.execs, self.slices, strict=True):
            executor.feed(desc.name, value if axis < 0 else part(value, rows, axis))

    def outputs(self, merge: bool = True) -> list[Any]:
        """The outputs; those of several devices put together on the first one, or as lists."""
        return self._merged([e.outputs for e in self.execs], self._output_axes, merge)

    def input_grads(self, merge: bool = True) -> list[Any]:
        grads = [e.grad_dict for e in self.execs]
        found = [[g[d.name] for d in self.data] for g in grads]
        return self._merged(found, [self._axes[d.name] for d in self.data], merge)

    def values(self, names: Sequence[str], merge: bool = True) -> list[Any]:
        """The present values of arguments that are split like outputs."""
        return self._merged([[e.arg_dict[n] for n in names] for e in self.execs], [0] * len(names), merge)

    def _merged(self, found: list[list[Any]], axes: Sequence[int], merge: bool) -> list[Any]:
        if len(found) == 1:
            return list(found[0]) if merge else [[value] for value in found[0]]
        several = [list(values) for values in zip(*found, strict=True)]
        if not merge:
            return several
        home = self.contexts[0]
        return [
            values[0] if axis < 0 else concatenate([v.as_in_context(home) for v in values], axis=axis)
            for values, axis in zip(several, axes, strict=True)
        ]

    def output_shapes(self, names: Sequence[str]) -> list[tuple[str, tuple[int, ...]]]:
        shapes = []
        for i, (name, axis) in enumerate(zip(names, self._output_axes, strict=True)):
            parts = [e.outputs[i].shape for e in self.execs]
            shape = parts[0]
            if axis >= 0 and len(parts) > 1:
                shape = (*shape[:axis], sum(p[axis] for p in parts), *shape[axis + 1 :])
            shapes.append((name, shape))
        return shapes

    # What programs for MXNet look up in a module's executors: for every parameter a list with one array per device.

    @property
    def param_names(self) -> list[str]:
        return self.parameters

    @property
    def param_arrays(self) -> list[list[NDArray]]:
        return [[e.arg_dict[n] for e in self.execs] for n in self.parameters]

    @property
    def grad_arrays(self) -> list[list[NDArray | None]]:
        grads = [e.grad_dict for e in self.execs]
        return [[g[n] for g in grads] for n in self.parameters]

    @property
    def aux_arrays(self) -> list[list[NDArray]]:
        return [list(arrays) for arrays in zip(*(e.aux_arrays for e in self.execs), strict=True)]

    # ---- parameters -------------------------------------------------------------------------------------------------

    def get(self, name: str, auxiliary: bool = False) -> NDArray:
        """A copy of a parameter or state on the host: the mean over the devices."""
        found = [(e.aux_dict if auxiliary else e.arg_dict)[name] for e in self.execs]
        if len(found) == 1:
            return found[0].copyto(cpu())
        copies = [value.copyto(cpu()) for value in found]
        total = copies[0]
        for value in copies[1:]:
            total += value
        return (total / len(copies)).astype(found[0].dtype, copy=False)

    def set(self, name: str, value: Any, auxiliary: bool = False) -> None:
        for executor in self.execs:
            own = (executor.aux_dict if auxiliary else executor.arg_dict)[name]
            if tuple(value.shape) != own.shape:
                raise ShapeError(f"{name} has shape {own.shape} in the network, but {tuple(value.shape)} was given")
            if value is not own:
                own[:] = value
