"""What iterators over batches are, and iterators made of other iterators."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from ..ndarray import NDArray


class DataDesc(namedtuple("DataDesc", ["name", "shape"])):
    """Name and shape of a part of a batch, with its dtype and layout."""

    dtype: Any
    layout: str | None

    def __new__(cls, name: str, shape: Sequence[int], dtype: Any = np.float32, layout: str | None = "NCHW"):
        self = super().__new__(cls, name, tuple(shape))
        self.dtype = dtype
        self.layout = layout
        return self

    def __getnewargs__(self):
        return self.name, self.shape, self.dtype, self.layout

    def __repr__(self) -> str:
        return f"DataDesc[{self.name},{self.shape},{self.dtype},{self.layout}]"

    @staticmethod
    def get_batch_axis(layout: str | None) -> int:
        """Which axis counts the examples; -1 if none does."""
        return 0 if layout is None else layout.find("N")

    @staticmethod
    def get_list(
        shapes: Sequence[tuple[str, Sequence[int]]], types: Sequence[tuple[str, Any]] | None
    ) -> list[DataDesc]:
        """Descriptions from lists of (name, shape) and of (name, dtype)."""
        if types is None:
            return [DataDesc(name, shape) for name, shape in shapes]
        dtypes = dict(types)
        return [DataDesc(name, shape, dtypes[name]) for name, shape in shapes]


class DataBatch:
    """The arrays of one step. The last `pad` examples are fillers, which predictions leave out."""

    def __init__(
        self,
        data: Sequence[NDArray],
        label: Sequence[NDArray] | None = None,
        pad: int | None = None,
        index: Any = None,
        bucket_key: Any = None,
        provide_data: Sequence[Any] | None = None,
        provide_label: Sequence[Any] | None = None,
    ):
        for what, arrays in (("data", data), ("label", label)):
            if arrays is not None and not isinstance(arrays, (list, tuple)):
                raise TypeError(f"DataBatch: {what} must be a list of arrays, got {type(arrays).__name__}")
        self.data = data
        self.label = label
        self.pad = pad
        self.index = index
        self.bucket_key = bucket_key
        self.provide_data = provide_data
        self.provide_label = provide_label

    def __str__(self) -> str:
        shapes = [[a.shape for a in arrays or ()] for arrays in (self.data, self.label)]
        return f"{type(self).__name__}: data shapes: {shapes[0]} label shapes: {shapes[1]}"


class DataIter:
    """Base of iterators: one of your own defines `iter_next`, `getdata`, `getlabel` and `getpad`, or `next`."""

    def __init__(self, batch_size: int = 0):
        self.batch_size = batch_size

    def __iter__(self) -> DataIter:
        return self

    def __next__(self) -> DataBatch:
        return self.next()

    def reset(self) -> None:
        """Begins an epoch."""

    def next(self) -> DataBatch:
        """The next batch; StopIteration at the end of the epoch."""
        if not self.iter_next():
            raise StopIteration
        return DataBatch(self.getdata(), self.getlabel(), self.getpad(), self.getindex())

    def iter_next(self) -> bool:
        """Goes to the next batch; False when there is none."""
        raise NotImplementedError(f"{type(self).__name__} must define iter_next() or next()")

    def getdata(self) -> list[NDArray]:
        raise NotImplementedError(f"{type(self).__name__} must define getdata() or next()")

    def getlabel(self) -> list[NDArray]:
        raise NotImplementedError(f"{type(self).__name__} must define getlabel() or next()")

    def getindex(self) -> Any:
        """Numbers of the batch's examples, where they are known."""
        return None

    def state_dict(self) -> dict[str, Any] | None:
        """Where the iterator is, as numbers and arrays, so that a training can be resumed; None if it cannot tell."""
        return None

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes to where the iterator was that gave this state."""
        raise NotImplementedError(f"{type(self).__name__} must define load_state_dict(), since it has a state_dict()")

    def getpad(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} must define getpad() or next()")


class _OfBatches(DataIter):
    """An iterator that takes whole batches from elsewhere and shows the present one."""

    current_batch: DataBatch | None = None

    def next(self) -> DataBatch:
        if not self.iter_next():
            raise StopIteration
        return self._batch

    @property
    def _batch(self) -> DataBatch:
        if self.current_batch is None:
            raise ValueError("there is no batch before iter_next()")
        return self.current_batch

    def getdata(self):
        return self._batch.data

    def getlabel(self):
        return self._batch.label

    def getindex(self):
        return self._batch.index

    def getpad(self):
        return self._batch.pad


class ResizeIter(_OfBatches):
    """Epochs of `size` batches, whatever length those of `data_iter` have: it starts again when it ends within one."""

    def __init__(self, data_iter: Any, size: int, reset_internal: bool = True):
        super().__init__(data_iter.batch_size)
        self.data_iter = data_iter
        self.size = size
        self.reset_internal = reset_internal
        self.cur = 0
        self.provide_data = data_iter.provide_data
        self.provide_label = data_iter.provide_label
        if hasattr(data_iter, "default_bucket_key"):
            self.default_bucket_key = data_iter.default_bucket_key

    def state_dict(self):
        inner = self.data_iter.state_dict() if hasattr(self.data_iter, "state_dict") else None
        return None if inner is None else {"cur": self.cur, "data_iter": inner}

    def load_state_dict(self, state):
        self.cur = state["cur"]
        self.data_iter.load_state_dict(state["data_iter"])

    def reset(self):
        self.cur = 0
        if self.reset_internal:
            self.data_iter.reset()

    def iter_next(self):
        if self.cur == self.size:
            return False
        try:
            self.current_batch = self.data_iter.next()
        except StopIteration:
            self.data_iter.reset()
            self.current_batch = self.data_iter.next()
        self.cur += 1
        return True


class PrefetchingIter(_OfBatches):
    """Fetches the next batch of one or several iterators in threads of their own while the present one is worked on.

    Batches of several iterators are put together; `rename_data` and `rename_label` (a dict per iterator) give their parts
    other names. An error in an iterator is raised where its batch is asked for.
    """

    def __init__(
        self,
        iters: Any,
        rename_data: Sequence[Mapping[str, str]] | None = None,
        rename_label: Sequence[Mapping[str, str]] | None = None,
    ):
        self.iters = list(iters) if isinstance(iters, (list, tuple)) else [iters]
        if not self.iters:
            raise ValueError("PrefetchingIter needs at least one iterator")
        self.rename_data = rename_data
        self.rename_label = rename_label
        super().__init__(self.provide_data[0].shape[0])
        self._threads = ThreadPoolExecutor(len(self.iters), "prefetch")
        self._coming: list[Future] = []
        self._fetch()

    @property
    def provide_data(self) -> list[DataDesc]:
        return _renamed([i.provide_data for i in self.iters], self.rename_data)

    @property
    def provide_label(self) -> list[DataDesc]:
        return _renamed([i.provide_label for i in self.iters], self.rename_label)

    def state_dict(self):
        return None if any(s is None for s in self._states) else {"iters": self._states}

    def load_state_dict(self, state):
        for future in self._coming:
            future.exception()
        for i, own in zip(self.iters, state["iters"], strict=True):
            i.load_state_dict(own)
        self._fetch()

    def _fetch(self) -> None:
        # Where the iterators are before they get ahead of whoever asks.
        self._states = [i.state_dict() if hasattr(i, "state_dict") else None for i in self.iters]
        self._coming = [self._threads.submit(next, i, None) for i in self.iters]

    def reset(self):
        for future in self._coming:
            future.exception()
        for i in self.iters:
            i.reset()
        self._fetch()

    def iter_next(self):
        batches = [future.result() for future in self._coming]
        ended = [batch is None for batch in batches]
        if any(ended):
            if not all(ended):
                raise ValueError("PrefetchingIter: one iterator has fewer batches than another")
            return False
        if any(batch.pad != batches[0].pad for batch in batches):
            raise ValueError("PrefetchingIter: the iterators' batches differ in padding")
        self.current_batch = DataBatch(
            [a for batch in batches for a in batch.data],
            [a for batch in batches for a in batch.label or ()],
            batches[0].pad,
            batches[0].index,
            provide_data=self.provide_data,
            provide_label=self.provide_label,
        )
        self._fetch()
        return True


def _renamed(parts: list[Any], renames: Sequence[Mapping[str, str]] | None) -> list[DataDesc]:
    """The descriptions of several iterators as one list, under new names."""
    found = []
    for descs, names in zip(parts, renames or [{}] * len(parts), strict=True):
        for desc in descs:
            desc = desc if isinstance(desc, DataDesc) else DataDesc(*desc)
            found.append(DataDesc(names.get(desc.name, desc.name), desc.shape, desc.dtype, desc.layout))
    return found
