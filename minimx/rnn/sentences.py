"""Sentences of different lengths: numbers for their words, and batches of similar lengths."""

from __future__ import annotations

import bisect
import logging
import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..io import DataBatch, DataDesc, DataIter
from ..ndarray import array


def encode_sentences(
    sentences: Sequence[Sequence[Any]],
    vocab: Mapping[Any, int] | None = None,
    invalid_label: int = -1,
    invalid_key: Any = "\n",
    start_label: int = 0,
    unknown_token: Any = None,
) -> tuple[list[list[int]], dict[Any, int]]:
    """Sentences with numbers instead of words, and what number each word has.

    Without `vocab` the words get numbers from `start_label` on as they come, except for `invalid_label`, which
    `invalid_key` has. With it, other words become `unknown_token`, or are an error.
    """
    growing = vocab is None
    numbers: dict[Any, int] = {invalid_key: invalid_label} if vocab is None else dict(vocab)
    following = start_label
    encoded = []
    for sentence in sentences:
        coded = []
        for word in sentence:
            if word not in numbers:
                if not growing and unknown_token is None:
                    raise KeyError(
                        f"encode_sentences: the word {word!r} is not in vocab, and there is no unknown_token"
                    )
                if unknown_token is not None:
                    word = unknown_token
                if word not in numbers:
                    if following == invalid_label:
                        following += 1
                    numbers[word] = following
                    following += 1
            coded.append(numbers[word])
        encoded.append(coded)
    return encoded, numbers


class BucketSentenceIter(DataIter):
    """Batches of sentences of similar lengths; the label of a word is the word after it.

    A sentence goes to the smallest bucket it fits in and is filled up with `invalid_label`; those longer than all buckets
    are left out. By default there is a bucket for every length that at least batch_size sentences have.
    """

    def __init__(
        self,
        sentences: Sequence[Sequence[int]],
        batch_size: int,
        buckets: Sequence[int] | None = None,
        invalid_label: int = -1,
        data_name: str = "data",
        label_name: str = "softmax_label",
        dtype: Any = "float32",
        layout: str = "NT",
    ):
        super().__init__(batch_size)
        if layout not in ("NT", "TN"):
            raise ValueError(f"BucketSentenceIter: layout must be 'NT' or 'TN', got {layout!r}")
        if not buckets:
            counts = np.bincount([len(s) for s in sentences]) if len(sentences) else []
            buckets = [length for length, count in enumerate(counts) if count >= batch_size]
        if not buckets:
            raise ValueError(
                f"BucketSentenceIter: no length occurs {batch_size} times among {len(sentences)} sentences; give buckets"
            )
        self.buckets = sorted(buckets)
        self.data_name, self.label_name = data_name, label_name
        self.dtype, self.layout, self.invalid_label = dtype, layout, invalid_label
        self.major_axis = layout.find("N")
        self.data = self._sorted(sentences)
        self.default_bucket_key = max(self.buckets)
        shape = self._shape(self.default_bucket_key)
        self.provide_data = [DataDesc(data_name, shape, layout=layout)]
        self.provide_label = [DataDesc(label_name, shape, layout=layout)]
        self.idx = [
            (i, start) for i, rows in enumerate(self.data) for start in range(0, len(rows) - batch_size + 1, batch_size)
        ]
        self.curr_idx = 0
        self.reset()

    def _sorted(self, sentences: Sequence[Sequence[int]]) -> list[np.ndarray]:
        """The filled-up sentences of each bucket."""
        rows: list[list[np.ndarray]] = [[] for _ in self.buckets]
        discarded = 0
        for sentence in sentences:
            place = bisect.bisect_left(self.buckets, len(sentence))
            if place == len(self.buckets):
                discarded += 1
                continue
            row = np.full(self.buckets[place], self.invalid_label, dtype=self.dtype)
            row[: len(sentence)] = sentence
            rows[place].append(row)
        if discarded:
            logging.warning("discarded %d sentences longer than the largest bucket.", discarded)
        return [np.array(r, dtype=self.dtype).reshape(-1, length) for r, length in zip(rows, self.buckets, strict=True)]

    def _shape(self, length: int) -> tuple[int, int]:
        return (self.batch_size, length) if self.major_axis == 0 else (length, self.batch_size)

    def reset(self) -> None:
        """Another epoch: batches, and the sentences of each bucket, come in a new random order."""
        self.curr_idx = 0
        random.shuffle(self.idx)
        self.nddata, self.ndlabel = [], []
        for rows in self.data:
            np.random.shuffle(rows)
            label = np.full_like(rows, self.invalid_label)
            label[:, :-1] = rows[:, 1:]
            self.nddata.append(array(rows, dtype=self.dtype))
            self.ndlabel.append(array(label, dtype=self.dtype))

    def next(self) -> DataBatch:
        if self.curr_idx == len(self.idx):
            raise StopIteration
        bucket, start = self.idx[self.curr_idx]
        self.curr_idx += 1
        data = self.nddata[bucket][start : start + self.batch_size]
        label = self.ndlabel[bucket][start : start + self.batch_size]
        if self.major_axis == 1:
            data, label = data.T, label.T
        return DataBatch(
            [data],
            [label],
            pad=0,
            bucket_key=self.buckets[bucket],
            provide_data=[DataDesc(self.data_name, data.shape, layout=self.layout)],
            provide_label=[DataDesc(self.label_name, label.shape, layout=self.layout)],
        )
