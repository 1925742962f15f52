"""Metrics of classes: predictions are class numbers, or scores of all classes along an axis."""

from __future__ import annotations

import math
from typing import Any

import numpy

from .metric import EvalMetric, alias, check_label_shapes, listed, register, values

__all__ = ["F1", "MCC", "PCC", "Accuracy", "CrossEntropy", "NegativeLogLikelihood", "Perplexity", "TopKAccuracy"]


@register
@alias("acc")
class Accuracy(EvalMetric):
    """The fraction of labels that are predicted right."""

    def __init__(self, axis: int = 1, name="accuracy", output_names=None, label_names=None):
        self.axis = axis
        super().__init__(name, output_names, label_names, axis=axis, has_global_stats=True)

    def measure(self, label, pred):
        if pred.shape != label.shape:
            pred = pred.argmax(axis=self.axis)
        label, pred = label.ravel().astype("int32"), pred.ravel().astype("int32")
        check_label_shapes(label, pred)
        return int((pred == label).sum()), len(label)


@register
@alias("top_k_accuracy", "top_k_acc")
class TopKAccuracy(EvalMetric):
    """The fraction of labels among the `top_k` classes of the highest scores."""

    def __init__(self, top_k: int = 1, name="top_k_accuracy", output_names=None, label_names=None):
        if top_k <= 1:
            raise ValueError("TopKAccuracy needs top_k > 1; for the best class alone use Accuracy")
        self.top_k = top_k
        super().__init__(name, output_names, label_names, top_k=top_k, has_global_stats=True)
        self.name += f"_{top_k}"

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "name": self.name.removesuffix(f"_{self.top_k}")}

    def measure(self, label, pred):
        if pred.ndim > 2:
            raise ValueError(f"TopKAccuracy needs predictions of at most two dimensions, got shape {pred.shape}")
        label = label.ravel().astype("int32")
        if pred.ndim == 1:
            check_label_shapes(label, pred)
            return int((pred.astype("int32") == label).sum()), len(label)
        check_label_shapes(label, pred)
        best = numpy.argsort(pred, axis=1, kind="stable")[:, -self.top_k :]
        return int((best == label[:, None]).sum()), len(label)


class _Counts:
    """How often binary predictions and labels agree and differ."""

    def __init__(self) -> None:
        self.true_positives = self.false_positives = self.false_negatives = self.true_negatives = 0

    @property
    def total(self) -> int:
        return self.true_positives + self.false_positives + self.false_negatives + self.true_negatives

    def add(self, label: numpy.ndarray, pred: numpy.ndarray) -> None:
        positive, predicted = label == 1, pred == 1
        self.true_positives += int((predicted & positive).sum())
        self.false_positives += int((predicted & ~positive).sum())
        self.false_negatives += int((~predicted & positive).sum())
        self.true_negatives += int((~predicted & ~positive).sum())

    def f1(self) -> float:
        precision = _ratio(self.true_positives, self.true_positives + self.false_positives)
        recall = _ratio(self.true_positives, self.true_positives + self.false_negatives)
        return _ratio(2 * precision * recall, precision + recall)

    def mcc(self) -> float:
        """Matthews correlation; empty rows and columns of the table do not count."""
        tp, fp, fn, tn = self.true_positives, self.false_positives, self.false_negatives, self.true_negatives
        sizes = [n for n in (tp + fp, tp + fn, tn + fp, tn + fn) if n]
        return (tp * tn - fp * fn) / math.sqrt(math.prod(sizes)) if self.total else 0.0


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


class _Binary(EvalMetric):
    """A score of the table of binary counts: of each batch (`macro`), or of everything pooled (`micro`)."""

    def __init__(self, name, output_names, label_names, average):
        if average not in ("macro", "micro"):
            raise ValueError(f"average must be macro or micro, got {average!r}")
        self.average = average
        super().__init__(name, output_names, label_names, average=average, has_global_stats=True)

    def score(self, counts: _Counts) -> float:
        raise NotImplementedError

    def update(self, labels: Any, preds: Any) -> None:
        labels, preds = listed(labels), listed(preds)
        check_label_shapes(labels, preds)
        batch = _Counts()
        for label, pred in zip(labels, preds, strict=True):
            label, pred = values(label).astype("int32"), values(pred).argmax(axis=1)
            check_label_shapes(label, pred)
            if len(numpy.unique(label)) > 2:
                raise ValueError(f"{type(self).__name__} currently only supports binary classification.")
            for counts in (batch, self._counts, self._global_counts):
                counts.add(label, pred)
        if self.average == "macro":
            self._add(self.score(batch), 1)
        else:
            self.num_inst, self.global_num_inst = self._counts.total, self._global_counts.total
            self.sum_metric = self.score(self._counts) * self.num_inst
            self.global_sum_metric = self.score(self._global_counts) * self.global_num_inst

    def reset(self) -> None:
        super().reset()
        self._counts, self._global_counts = _Counts(), _Counts()

    def reset_local(self) -> None:
        super().reset_local()
        self._counts = _Counts()


@register
class F1(_Binary):
    """The harmonic mean of precision and recall of class 1 against class 0."""

    def __init__(self, name="f1", output_names=None, label_names=None, average="macro"):
        super().__init__(name, output_names, label_names, average)

    def score(self, counts):
        return counts.f1()


@register
class MCC(_Binary):
    """Matthews correlation coefficient of two classes."""

    def __init__(self, name="mcc", output_names=None, label_names=None, average="macro"):
        super().__init__(name, output_names, label_names, average)

    def score(self, counts):
        return counts.mcc()


@register
class PCC(EvalMetric):
    """Matthews correlation for any number of classes: the correlation that the confusion matrix shows."""

    def __init__(self, name="pcc", output_names=None, label_names=None, has_global_stats=True):
        super().__init__(name, output_names, label_names, has_global_stats=has_global_stats)

    _local: numpy.ndarray
    _global: numpy.ndarray

    def update(self, labels: Any, preds: Any) -> None:
        labels, preds = listed(labels), listed(preds)
        check_label_shapes(labels, preds)
        for label, pred in zip(labels, preds, strict=True):
            label, pred = values(label), values(pred)
            if label.shape != pred.shape:
                pred = pred.argmax(axis=1)
            label, pred = label.ravel().astype("int64"), pred.ravel().astype("int64")
            check_label_shapes(label, pred)
            self._local = _tallied(self._local, label, pred)
            self._global = _tallied(self._global, label, pred)
        self.num_inst += 1
        self.global_num_inst += 1

    @property
    def sum_metric(self) -> float:  # type: ignore[override]
        return _correlation(self._local) * self.num_inst

    @property
    def global_sum_metric(self) -> float:  # type: ignore[override]
        return _correlation(self._global) * self.global_num_inst

    def reset(self) -> None:
        self.num_inst = self.global_num_inst = 0
        self._local = self._global = numpy.zeros((2, 2))

    def reset_local(self) -> None:
        self.num_inst = 0
        self._local = numpy.zeros((2, 2))


def _tallied(table: numpy.ndarray, label: numpy.ndarray, pred: numpy.ndarray) -> numpy.ndarray:
    """The confusion matrix (rows are predictions) with more observations, grown to hold their classes."""
    classes = max(len(table), int(max(label.max(), pred.max())) + 1)
    grown = numpy.zeros((classes, classes))
    grown[: len(table), : len(table)] = table
    numpy.add.at(grown, (pred, label), 1)
    return grown


def _correlation(table: numpy.ndarray) -> float:
    count, predicted, true = table.sum(), table.sum(axis=1), table.sum(axis=0)
    spread = (predicted * (count - predicted)).sum() * (true * (count - true)).sum()
    if spread == 0:
        return float("nan")
    return float((numpy.diag(table) * count - predicted * true).sum() / math.sqrt(spread))


@register
@alias("ce")
class CrossEntropy(EvalMetric):
    """The mean of -log of the probability that is given to the label."""

    def __init__(self, eps: float = 1e-12, name="cross-entropy", output_names=None, label_names=None):
        self.eps = eps
        super().__init__(name, output_names, label_names, eps=eps, has_global_stats=True)

    def measure(self, label, pred):
        label = label.ravel().astype("int64")
        if len(label) != len(pred):
            raise ValueError(f"{self.name} needs a row of probabilities per label: {len(label)} and {len(pred)}")
        probability = pred[numpy.arange(len(label)), label].astype("float64")
        return float(-numpy.log(probability + self.eps).sum()), len(label)


@register
@alias("nll_loss")
class NegativeLogLikelihood(CrossEntropy):
    """The mean of -log of the probability that is given to the label."""

    def __init__(self, eps: float = 1e-12, name="nll-loss", output_names=None, label_names=None):
        super().__init__(eps, name, output_names, label_names)


@register
class Perplexity(EvalMetric):
    """exp of the cross-entropy; labels equal to `ignore_label` do not count."""

    def __init__(
        self, ignore_label: int | None, axis: int = -1, name="perplexity", output_names=None, label_names=None
    ):
        self.ignore_label = ignore_label
        self.axis = axis
        super().__init__(name, output_names, label_names, ignore_label=ignore_label, axis=axis, has_global_stats=True)

    def measure(self, label, pred):
        scores = numpy.moveaxis(pred, self.axis, -1)
        scores = scores.reshape(-1, scores.shape[-1])
        label = label.ravel().astype("int64")
        if len(label) != len(scores):
            raise ValueError(f"shape mismatch: {len(label)} labels against predictions of shape {pred.shape}")
        counted = label != self.ignore_label if self.ignore_label is not None else numpy.ones(len(label), bool)
        probability = scores[counted, label[counted]].astype("float64")
        return float(-numpy.log(numpy.maximum(1e-10, probability)).sum()), int(counted.sum())

    def finish(self, total, count):
        return math.exp(total / count) if count else float("nan")
