"""Modules written in Python: PythonModule does nothing with parameters, PythonLossModule is a loss at the end of others."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from .. import metric as metrics
from ..checkpoint import Params
from ..io import DataDesc
from ..ndarray import NDArray, array
from .base import BaseModule, Given
from .inputs import described


class PythonModule(BaseModule):
    """A module without parameters. One of your own defines `forward`, `backward`, the outputs and `_compute_output_shapes`."""

    def __init__(
        self,
        data_names: Sequence[str],
        label_names: Sequence[str] | None,
        output_names: Sequence[str],
        logger: Any = logging,
    ):
        super().__init__(logger)
        self._data_names = list(data_names)
        self._label_names = None if label_names is None else list(label_names)
        self._output_names = list(output_names)
        self._data_shapes: list[DataDesc] = []
        self._label_shapes: list[DataDesc] | None = None
        self._output_shapes: list[tuple[str, tuple[int, ...]]] = []

    @property
    def data_names(self) -> list[str]:
        return self._data_names

    @property
    def label_names(self) -> list[str] | None:
        return self._label_names

    @property
    def output_names(self) -> list[str]:
        return self._output_names

    @property
    def data_shapes(self) -> list[DataDesc]:
        return self._data_shapes

    @property
    def label_shapes(self) -> list[DataDesc] | None:
        return self._label_shapes

    @property
    def output_shapes(self) -> list[tuple[str, tuple[int, ...]]]:
        return self._output_shapes

    def _bind(self, data_shapes: Any, label_shapes: Any, force: bool, shared_module: Any, grad_req: Any) -> None:
        if grad_req != "write":
            raise ValueError(f"{type(self).__name__}: grad_req must be write, got {grad_req!r}")
        self._data_shapes = described(data_shapes)
        self._label_shapes = described(label_shapes) or None
        if [d.name for d in self._data_shapes] != self._data_names:
            given = ", ".join(d.name for d in self._data_shapes)
            raise ValueError(f"{type(self).__name__} takes {', '.join(self._data_names)}, but got {given}")
        self._output_shapes = self._compute_output_shapes()

    def _compute_output_shapes(self) -> list[tuple[str, tuple[int, ...]]]:
        """Names and shapes of the outputs, from the bound shapes."""
        raise NotImplementedError(f"{type(self).__name__} must define _compute_output_shapes()")

    def get_params(self) -> tuple[Params, Params]:
        return {}, {}

    def _init_params(
        self, initializer: Any, args: Given, aux: Given, allow_missing: bool, force: bool, allow_extra: bool
    ) -> None:
        """There are no parameters."""

    def _init_optimizer(self, kvstore: Any, optimizer: Any, optimizer_params: Any, force: bool) -> None:
        """There is nothing to update."""

    def update(self) -> None:
        """There is nothing to update."""

    def update_metric(self, eval_metric: metrics.EvalMetric, labels: Any, pre_sliced: bool = False) -> None:
        if self._label_shapes is None:
            return  # a module in the middle of others
        if pre_sliced:
            raise ValueError(f"{type(self).__name__} takes whole batches, not parts for devices")
        eval_metric.update_dict(
            self._named_labels(labels), dict(zip(self.output_names, self.get_outputs(), strict=True))
        )

    def install_monitor(self, mon: Any) -> None:
        """There are no operators to be watched."""


class PythonLossModule(PythonModule):
    """A loss: its outputs are its inputs, and `grad_func(scores, labels)` is the gradient that goes back."""

    def __init__(
        self,
        name: str = "pyloss",
        data_names: Sequence[str] = ("data",),
        label_names: Sequence[str] = ("softmax_label",),
        logger: Any = logging,
        grad_func: Callable[[NDArray, NDArray], Any] | None = None,
    ):
        if len(data_names) != 1 or len(label_names) != 1:
            raise ValueError("PythonLossModule takes one data and one label")
        if grad_func is not None and not callable(grad_func):
            raise TypeError(f"PythonLossModule: grad_func must be a function, got {type(grad_func).__name__}")
        super().__init__(data_names, label_names, [f"{name}_output"], logger)
        self._name = name
        self._grad_func = grad_func
        self._scores: Any = None
        self._labels: Any = None
        self._scores_grad: Any = None

    def _compute_output_shapes(self) -> list[tuple[str, tuple[int, ...]]]:
        return [(f"{self._name}_output", self._data_shapes[0].shape)]

    def forward(self, data_batch: Any, is_train: bool | None = None) -> None:
        self._scores = data_batch.data[0]
        if self.for_training if is_train is None else is_train:
            self._labels = data_batch.label[0]

    def get_outputs(self, merge_multi_context: bool = True) -> list[Any]:
        if not merge_multi_context:
            return [[self._scores]]
        return [self._scores]

    def backward(self, out_grads: Any = None) -> None:
        if out_grads is not None:
            raise ValueError("PythonLossModule is a loss: it takes no gradients")
        self._need("binded")
        self._backward_impl()

    def _backward_impl(self) -> None:
        """Computes the gradient; one of your own may override it and set `_scores_grad`."""
        if self._grad_func is None:
            raise NotImplementedError("PythonLossModule: give it a grad_func, or define _backward_impl()")
        grad = self._grad_func(self._scores, self._labels)
        self._scores_grad = grad if isinstance(grad, NDArray) else array(grad)

    def get_input_grads(self, merge_multi_context: bool = True) -> list[Any]:
        if not merge_multi_context:
            return [[self._scores_grad]]
        return [self._scores_grad]
