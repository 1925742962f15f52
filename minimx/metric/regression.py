"""Metrics of real numbers, and of the outputs themselves."""

from __future__ import annotations

import math
from typing import Any

import numpy

from .metric import EvalMetric, alias, check_label_shapes, listed, register, values

__all__ = ["MAE", "MSE", "RMSE", "Caffe", "Loss", "PearsonCorrelation", "Torch"]


class _Difference(EvalMetric):
    """A mean over the differences of a batch, averaged over batches."""

    def __init__(self, name, output_names, label_names):
        super().__init__(name, output_names, label_names, has_global_stats=True)

    def measure(self, label, pred):
        if label.ndim == 1:
            label = label[:, None]
        if pred.ndim == 1:
            pred = pred[:, None]
        check_label_shapes(label, pred, shape=True)
        return self.mean(label.astype("float64") - pred), 1

    def mean(self, difference: numpy.ndarray) -> float:
        raise NotImplementedError


@register
class MAE(_Difference):
    """Mean absolute error."""

    def __init__(self, name="mae", output_names=None, label_names=None):
        super().__init__(name, output_names, label_names)

    def mean(self, difference):
        return float(numpy.abs(difference).mean())


@register
class MSE(_Difference):
    """Mean squared error."""

    def __init__(self, name="mse", output_names=None, label_names=None):
        super().__init__(name, output_names, label_names)

    def mean(self, difference):
        return float((difference**2).mean())


@register
class RMSE(_Difference):
    """Root of the mean squared error; the mean of the batches' roots."""

    def __init__(self, name="rmse", output_names=None, label_names=None):
        super().__init__(name, output_names, label_names)

    def mean(self, difference):
        return math.sqrt((difference**2).mean())


class _Moments:
    """Means, spreads and the joint spread of labels and predictions, batch after batch.

    The means move by Welford's step of a whole batch at once, and the joint spread is taken between the two moves:
    MXNet's numbers come from that order.
    """

    def __init__(self) -> None:
        self.count = 0
        self.label_mean = self.pred_mean = 0.0
        self.label_spread = self.pred_spread = self.joint_spread = 0.0

    def add(self, label: numpy.ndarray, pred: numpy.ndarray) -> None:
        self.count += len(label)
        old = label - self.label_mean
        self.label_mean += old.sum() / self.count
        self.label_spread += (old * (label - self.label_mean)).sum()
        self.joint_spread += ((label - self.label_mean) * (pred - self.pred_mean)).sum()
        old = pred - self.pred_mean
        self.pred_mean += old.sum() / self.count
        self.pred_spread += (old * (pred - self.pred_mean)).sum()

    def correlation(self) -> float:
        spread = math.sqrt(self.label_spread * self.pred_spread)
        return float(self.joint_spread / spread) if spread else float("nan")


@register
@alias("pearsonr")
class PearsonCorrelation(EvalMetric):
    """The correlation of labels and predictions: averaged over batches (`macro`), or of everything pooled (`micro`)."""

    def __init__(self, name="pearsonr", output_names=None, label_names=None, average="macro"):
        if average not in ("macro", "micro"):
            raise ValueError(f"average must be macro or micro, got {average!r}")
        self.average = average
        super().__init__(name, output_names, label_names, average=average, has_global_stats=True)

    def update(self, labels: Any, preds: Any) -> None:
        labels, preds = listed(labels), listed(preds)
        check_label_shapes(labels, preds)
        for label, pred in zip(labels, preds, strict=True):
            label, pred = values(label), values(pred)
            check_label_shapes(label, pred, shape=True)
            label, pred = label.ravel().astype("float64"), pred.ravel().astype("float64")
            if self.average == "macro":
                self._add(float(numpy.corrcoef(pred, label)[0, 1]), 1)
            else:
                self._moments.add(label, pred)
                self._global_moments.add(label, pred)
                self.num_inst += 1
                self.global_num_inst += 1

    def reset(self) -> None:
        super().reset()
        self._moments, self._global_moments = _Moments(), _Moments()

    def reset_local(self) -> None:
        super().reset_local()
        self._moments = _Moments()

    def get(self):
        if self.average == "micro" and self.num_inst:
            return self.name, self._moments.correlation()
        return super().get()

    def get_global(self):
        if self.average == "micro" and self.global_num_inst:
            return self.name, self._global_moments.correlation()
        return super().get_global()


@register
class Loss(EvalMetric):
    """The mean of the outputs, for networks whose output is a loss; labels do not matter."""

    def __init__(self, name="loss", output_names=None, label_names=None):
        super().__init__(name, output_names, label_names, has_global_stats=True)

    def update(self, _: Any, preds: Any) -> None:
        for pred in listed(preds):
            pred = values(pred)
            self._add(float(pred.sum(dtype="float64")), pred.size)


@register
class Torch(Loss):
    """`Loss` under the name torch."""

    def __init__(self, name="torch", output_names=None, label_names=None):
        super().__init__(name, output_names, label_names)


@register
class Caffe(Loss):
    """`Loss` under the name caffe."""

    def __init__(self, name="caffe", output_names=None, label_names=None):
        super().__init__(name, output_names, label_names)
