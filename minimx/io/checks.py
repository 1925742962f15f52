"""What is worth saying about the first batch of a training: traps that do not show as errors."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from .iterator import DataBatch

_FEW = 10  # labels that may be equal by chance


def check_first_batch(iterator: Any, batch: DataBatch, symbol: Any = None) -> list[str]:
    """Warns of what would silently spoil a training, and returns the sentences.

    These are: labels that are all of one class though the data has others and is not shuffled, and labels for which the
    net (`symbol`) has no output. `fit` calls this once, with the first batch it gets.
    """
    labels = _named_labels(iterator, batch)
    said = [text for name, label in labels.items() if (text := _single_class(iterator, name, label))]
    if symbol is not None:
        said += _beyond_outputs(symbol, labels, batch.provide_data or iterator.provide_data)
    for text in said:
        logging.getLogger(__name__).warning("%s", text)
    return said


def _named_labels(iterator: Any, batch: DataBatch) -> dict[str, np.ndarray]:
    descs = batch.provide_label or getattr(iterator, "provide_label", None) or []
    names = [desc[0] for desc in descs]
    return {name: label.asnumpy() for name, label in zip(names, batch.label or [], strict=False)}


def _innermost(iterator: Any) -> Any:
    """The iterator that makes the batches, below those that resize epochs or fetch in advance."""
    while True:
        inner = getattr(iterator, "data_iter", None) or next(iter(getattr(iterator, "iters", None) or []), None)
        if inner is None:
            return iterator
        iterator = inner


def _single_class(iterator: Any, name: str, label: np.ndarray) -> str | None:
    label = label.reshape(-1) if label.ndim <= 1 or label.shape[1:] == (1,) else label[:0]
    inner = _innermost(iterator)
    shuffles = getattr(inner, "shuffle", getattr(inner, "params", {}).get("shuffle"))
    if len(label) < _FEW or shuffles is not False:
        return None
    if (label != label[0]).any() or label[0] != np.floor(label[0]):
        return None
    whole = dict(getattr(inner, "label", None) or []).get(name)
    if whole is not None and (whole.asnumpy() == label[0]).all():
        return None  # there is no other class
    return (
        f"all {len(label)} labels ({name}) of the first batch are {label[0]:g}, and the iterator does not shuffle: if the "
        "data is ordered by class, training on it will fail; shuffle=True, or a shuffled list, avoids that"
    )


def _beyond_outputs(symbol: Any, labels: dict[str, np.ndarray], data: Any) -> list[str]:
    """Labels that no output of a SoftmaxOutput stands for."""
    said = []
    shapes = {desc[0]: desc[1] for desc in data}
    for head in symbol:
        node, _ = head._heads[0]
        if node.op is None or node.op.name != "SoftmaxOutput" or node.params.multi_output:
            continue
        name = node.inputs[1][0].name
        if name not in labels:
            continue
        _, outputs, _ = head.infer_shape_partial(**shapes)
        classes = outputs[0][-1] if outputs and outputs[0] else 0
        label = labels[name].reshape(-1)
        if not classes or label.size == np.prod(outputs[0]):  # unknown, or probabilities of all classes
            continue
        wrong = (label < 0) | (label >= classes)
        if node.params.use_ignore:
            wrong &= label != node.params.ignore_label
        if wrong.any():
            at = int(np.argmax(wrong))
            said.append(
                f"label {label[at]:g} ({name}) of example {at} is none of the {classes} classes, 0 to {classes - 1}, "
                f"that {head.name} has outputs for"
            )
    return said
