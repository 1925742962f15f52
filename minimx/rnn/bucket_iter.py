"""The bucket iterator of the R front end: sequences that lie in buckets already, with their lengths."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..io import DataBatch, DataDesc, DataIter
from ..ndarray import array


class BucketIter(DataIter):
    """Batches of sequences from buckets: `{length: {"data": (n, length[, features]), "label": (n,) or (n, length)}}`.

    A batch has the data, the number of elements of each sequence that are not `data_mask_element` (seq.mask), and the label.
    A short last batch is completed with the first examples of its bucket, which `pad` counts. With `shuffle` every epoch has
    the same random order, which `seed` decides.
    """

    def __init__(
        self,
        buckets: Mapping[Any, Mapping[str, Any]],
        batch_size: int,
        data_mask_element: float = 0,
        shuffle: bool = False,
        seed: int = 123,
    ):
        super().__init__(batch_size)
        if not buckets:
            raise ValueError("BucketIter: there must be at least one bucket")
        self.buckets: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        for length, bucket in buckets.items():
            data, label = np.asarray(bucket["data"]), np.asarray(bucket["label"])
            if data.ndim < 2 or data.shape[1] != int(length) or len(label) != len(data) or not len(data):
                raise ValueError(
                    f"BucketIter: bucket {length} must have data (n, {length}) and n labels, got {data.shape} and "
                    f"{label.shape}"
                )
            self.buckets[int(length)] = data, label
        self.data_mask_element, self.shuffle, self.seed = data_mask_element, shuffle, seed
        self.default_bucket_key = max(self.buckets)
        data, label = self.buckets[self.default_bucket_key]
        self.provide_data = self._described(data)
        self.provide_label = [DataDesc("label", (batch_size, *label.shape[1:]))]
        self.reset()

    def _described(self, data: np.ndarray) -> list[DataDesc]:
        return [DataDesc("data", (self.batch_size, *data.shape[1:])), DataDesc("seq.mask", (self.batch_size,))]

    def reset(self) -> None:
        """The plan of an epoch: which examples of which bucket each batch has."""
        random = np.random.RandomState(self.seed)
        plan = []
        for length, (data, _) in self.buckets.items():
            order = random.permutation(len(data)) if self.shuffle else np.arange(len(data))
            for start in range(0, len(order), self.batch_size):
                rows = order[start : start + self.batch_size]
                pad = self.batch_size - len(rows)
                plan.append((length, np.concatenate([rows, np.resize(order, pad)]), pad))
        self._plan = iter([plan[i] for i in random.permutation(len(plan))] if self.shuffle else plan)

    def next(self) -> DataBatch:
        length, rows, pad = next(self._plan)
        data, label = (part[rows] for part in self.buckets[length])
        masked = (data == self.data_mask_element).reshape(len(data), length, -1).all(axis=2)
        return DataBatch(
            [array(data), array(length - masked.sum(axis=1))],
            [array(label)],
            pad=pad,
            bucket_key=length,
            provide_data=self._described(data),
            provide_label=[DataDesc("label", label.shape)],
        )
