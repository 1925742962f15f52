"""What all metrics share: sums and counts since the last reset, local ones beside those of the whole epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy

from ..ndarray import NDArray
from ..registry import get_alias_func, get_create_func, get_register_func

__all__ = [
    "CompositeEvalMetric",
    "CustomMetric",
    "EvalMetric",
    "alias",
    "check_label_shapes",
    "create",
    "np",
    "register",
]


def check_label_shapes(labels: Any, preds: Any, wrap: bool = False, shape: bool = False) -> tuple[Any, Any]:
    """Raises ValueError unless there are as many labels as predictions (or, with `shape`, of the same shapes).

    With `wrap` single arrays become lists of one.
    """
    have, want = (labels.shape, preds.shape) if shape else (len(labels), len(preds))
    if have != want:
        raise ValueError(f"Shape of labels {have} does not match shape of predictions {want}")
    if wrap:
        labels = [labels] if isinstance(labels, NDArray) else labels
        preds = [preds] if isinstance(preds, NDArray) else preds
    return labels, preds


def values(array: Any) -> numpy.ndarray:
    """An NDArray or array-like as NumPy sees it."""
    return array.asnumpy() if isinstance(array, NDArray) else numpy.asarray(array)


def listed(arrays: Any) -> list[Any]:
    """One array or several as a list."""
    return list(arrays) if isinstance(arrays, (list, tuple)) else [arrays]


class EvalMetric:
    """A number that tells how good predictions are: a sum over what was seen, divided by a count.

    A metric says in `measure` what one label and one prediction add to both; one that needs more overrides `update`.
    `reset_local` (Speedometer's) begins again while `get_global` goes on over the whole epoch.
    """

    def __init__(
        self,
        name: str,
        output_names: list[str] | None = None,
        label_names: list[str] | None = None,
        **kwargs: Any,
    ):
        self.name = str(name)
        self.output_names = output_names
        self.label_names = label_names
        self._has_global_stats = kwargs.pop("has_global_stats", False)
        self._kwargs = kwargs
        self.reset()

    def __str__(self) -> str:
        return f"EvalMetric: {dict(self.get_name_value())}"

    def get_config(self) -> dict[str, Any]:
        """What `create` needs to make this metric again."""
        return {
            **self._kwargs,
            "metric": type(self).__name__,
            "name": self.name,
            "output_names": self.output_names,
            "label_names": self.label_names,
        }

    def update_dict(self, label: Mapping[str, Any], pred: Mapping[str, Any]) -> None:
        """Updates from arrays by name: those of `label_names` and `output_names`, or all in order."""
        labels = [label[n] for n in self.label_names] if self.label_names is not None else list(label.values())
        preds = [pred[n] for n in self.output_names] if self.output_names is not None else list(pred.values())
        self.update(labels, preds)

    def update(self, labels: Any, preds: Any) -> None:
        """Adds what a batch of labels and predictions measures."""
        labels, preds = listed(labels), listed(preds)
        check_label_shapes(labels, preds)
        for label, pred in zip(labels, preds, strict=True):
            self._add(*self.measure(values(label), values(pred)))

    def measure(self, label: numpy.ndarray, pred: numpy.ndarray) -> tuple[float, float]:
        """The sum and the count that one label and its prediction add."""
        raise NotImplementedError(f"{type(self).__name__} must define measure() or update()")

    def _add(self, total: float, count: float) -> None:
        self.sum_metric += total
        self.num_inst += count
        self.global_sum_metric += total
        self.global_num_inst += count

    def reset(self) -> None:
        """Forgets everything."""
        self.num_inst: float = 0
        self.sum_metric: float = 0.0
        self.global_num_inst: float = 0
        self.global_sum_metric: float = 0.0

    def reset_local(self) -> None:
        """Begins again, but for the global result."""
        self.num_inst = 0
        self.sum_metric = 0.0

    def finish(self, total: float, count: float) -> float:
        """The result from the sum and the count."""
        return total / count if count else float("nan")

    def get(self) -> tuple[Any, Any]:
        """The name and the result since the last reset of any kind."""
        return self.name, self.finish(self.sum_metric, self.num_inst)

    def get_global(self) -> tuple[Any, Any]:
        """The name and the result since the last `reset`."""
        if self._has_global_stats:
            return self.name, self.finish(self.global_sum_metric, self.global_num_inst)
        return self.get()

    def get_name_value(self) -> list[tuple[str, float]]:
        return list(zip(*map(listed, self.get()), strict=True))

    def get_global_name_value(self) -> list[tuple[str, float]]:
        return list(zip(*map(listed, self.get_global()), strict=True))


register = get_register_func(EvalMetric, "metric")
alias = get_alias_func(EvalMetric, "metric")
_create = get_create_func(EvalMetric, "metric")


def create(metric: Any, *args: Any, **kwargs: Any) -> EvalMetric:
    """A metric from a name, a function of (label, prediction), a metric, or a list of those."""
    if isinstance(metric, (list, tuple)):
        composite = CompositeEvalMetric()
        for one in metric:
            composite.add(create(one, *args, **kwargs))
        return composite
    if callable(metric) and not isinstance(metric, EvalMetric):
        return CustomMetric(metric, *args, **kwargs)
    return _create(metric, *args, **kwargs)


@register
@alias("composite")
class CompositeEvalMetric(EvalMetric):
    """Several metrics as one; names and results are lists."""

    def __init__(self, metrics: Iterable[Any] | None = None, name="composite", output_names=None, label_names=None):
        self.metrics = [create(m) for m in metrics or ()]
        super().__init__(name, output_names, label_names, has_global_stats=True)

    def add(self, metric: Any) -> None:
        self.metrics.append(create(metric))

    def get_metric(self, index: int) -> EvalMetric:
        if not 0 <= index < len(self.metrics):
            raise ValueError(f"Metric index {index} is out of range 0 and {len(self.metrics)}")
        return self.metrics[index]

    def update_dict(self, labels: Mapping[str, Any], preds: Mapping[str, Any]) -> None:
        if self.label_names is not None:
            labels = {n: a for n, a in labels.items() if n in self.label_names}
        if self.output_names is not None:
            preds = {n: a for n, a in preds.items() if n in self.output_names}
        for metric in self.metrics:
            metric.update_dict(labels, preds)

    def update(self, labels: Any, preds: Any) -> None:
        for metric in self.metrics:
            metric.update(labels, preds)

    def reset(self) -> None:
        for metric in self.metrics:
            metric.reset()

    def reset_local(self) -> None:
        for metric in self.metrics:
            metric.reset_local()

    def get(self) -> tuple[list[str], list[float]]:
        found = [pair for m in self.metrics for pair in m.get_name_value()]
        return [name for name, _ in found], [value for _, value in found]

    def get_global(self) -> tuple[list[str], list[float]]:
        found = [pair for m in self.metrics for pair in m.get_global_name_value()]
        return [name for name, _ in found], [value for _, value in found]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "metrics": [m.get_config() for m in self.metrics]}


@register
class CustomMetric(EvalMetric):
    """A metric from a function of a label and a prediction (NumPy arrays) that returns a number, or (sum, count)."""

    def __init__(
        self,
        feval: Callable[[numpy.ndarray, numpy.ndarray], Any],
        name: str | None = None,
        allow_extra_outputs: bool = False,
        output_names=None,
        label_names=None,
    ):
        if name is None:
            name = getattr(feval, "__name__", type(feval).__name__)
            name = f"custom({name})" if "<" in name else name
        self._feval = feval
        self._allow_extra_outputs = allow_extra_outputs
        super().__init__(name, output_names, label_names, has_global_stats=True)

    def update(self, labels: Any, preds: Any) -> None:
        labels, preds = listed(labels), listed(preds)
        if self._allow_extra_outputs:
            preds = preds[: len(labels)]
        super().update(labels, preds)

    def measure(self, label, pred):
        result = self._feval(label, pred)
        return result if isinstance(result, tuple) else (result, 1)

    def get_config(self) -> dict[str, Any]:
        raise NotImplementedError("a CustomMetric cannot be written down: it holds a function")


def np(numpy_feval: Callable, name: str | None = None, allow_extra_outputs: bool = False) -> CustomMetric:
    """A metric from a function of NumPy arrays (label, prediction), named after the function."""
    return CustomMetric(numpy_feval, name, allow_extra_outputs)
