"""NDArrayIter: batches of rows of arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ..eager import invoke
from ..ndarray import NDArray, array
from ..random import shuffler
from .iterator import DataBatch, DataDesc, DataIter

Named = list[tuple[str, NDArray]]


def named_arrays(source: Any, name: str) -> Named:
    """Arrays with names: one is called `name`, those of a list `_0_<name>` and so on, those of a dict by its keys."""
    if source is None:
        return []
    if isinstance(source, Mapping):
        named = sorted(source.items())
    elif isinstance(source, (list, tuple)):
        several = [(f"_{i}_{name}", a) for i, a in enumerate(source)]
        named = several if len(source) != 1 else [(name, source[0])]
    elif isinstance(source, NDArray) or hasattr(source, "shape"):
        named = [(name, source)]
    else:
        raise TypeError(f"{name} must be an array, a list or a dict of arrays, got {type(source).__name__}")
    return [(key, a if isinstance(a, NDArray) else array(a)) for key, a in named]


class RowsIter(DataIter):
    """What iterators over the rows of arrays share."""

    def __init__(self, data: Named, label: Named, batch_size: int, layout: str | None = "NCHW"):
        super().__init__(batch_size)
        self.data = data
        self.label = label
        self.layout = layout
        self.num_data = data[0][1].shape[0]
        for name, value in (*data, *label):
            if value.shape[0] != self.num_data:
                raise ValueError(f"{data[0][0]} has {self.num_data} rows, but {name} has {value.shape[0]}")
        self.rows = np.arange(self.batch_size)  # those of the present batch

    place: ClassVar[tuple[str, ...]] = ("rows",)  # attributes that say where the iterator is

    def state_dict(self):
        return {name: getattr(self, name) for name in self.place}

    def load_state_dict(self, state):
        for name in self.place:
            setattr(self, name, state[name])

    @property
    def provide_data(self) -> list[DataDesc]:
        return self._described(self.data)

    @property
    def provide_label(self) -> list[DataDesc]:
        return self._described(self.label)

    def _described(self, arrays: Named) -> list[DataDesc]:
        return [DataDesc(n, (self.batch_size, *a.shape[1:]), a.dtype, self.layout) for n, a in arrays]

    def getdata(self):
        return [self._taken(a) for _, a in self.data]

    def getlabel(self):
        return [self._taken(a) for _, a in self.label]

    def _taken(self, source: NDArray) -> NDArray:
        first = int(self.rows[0])
        if np.array_equal(self.rows, np.arange(first, first + len(self.rows))):
            return source[first : first + len(self.rows)]  # the same memory
        return invoke("take", [source, array(self.rows, source.context, "int64")], {"axis": 0})


class NDArrayIter(RowsIter):
    """Batches of rows of arrays in memory.

    What happens when the rows do not fill the last batch (`last_batch_handle`): `pad` fills it with rows from the start and
    says how many in `pad`; `discard` leaves it out; `roll_over` puts the rest before the next epoch's rows, where `pad`
    is, as in MXNet, the number of those rows. `shuffle` orders the rows anew in each epoch, by a generator of its own if a
    `seed` is given; otherwise the last call of `mx.random.seed` or `np.random.seed` makes the order repeat.
    """

    def __init__(
        self,
        data: Any,
        label: Any = None,
        batch_size: int = 1,
        shuffle: bool = False,
        last_batch_handle: str = "pad",
        data_name: str = "data",
        label_name: str = "softmax_label",
        layout: str | None = "NCHW",
        *,
        seed: int | None = None,
    ):
        if last_batch_handle not in ("pad", "discard", "roll_over"):
            raise ValueError(f"last_batch_handle must be pad, discard or roll_over, got {last_batch_handle!r}")
        named = named_arrays(data, data_name)
        if not named:
            raise ValueError("NDArrayIter needs at least one data array")
        super().__init__(named, named_arrays(label, label_name), batch_size, layout)
        if batch_size < 1 or (last_batch_handle != "pad" and batch_size > self.num_data):
            raise ValueError(f"batch_size must be between 1 and the {self.num_data} rows, got {batch_size}")
        self.last_batch_handle = last_batch_handle
        self.shuffle = shuffle
        self.idx = np.arange(self.num_data)
        self._permutation = self.idx.copy()
        self._generator = None if seed is None else np.random.RandomState(seed)
        self._carried = self.idx[:0]  # rows left over from the epoch before
        self.hard_reset()

    place = ("rows", "idx", "_permutation", "_carried", "cursor")

    def state_dict(self):
        own = None if self._generator is None else self._generator.get_state(legacy=False)
        # The permutation changes in place.
        return {**super().state_dict(), "_permutation": self._permutation.copy(), "generator": own}

    def load_state_dict(self, state):
        if len(state["idx"]) != self.num_data:
            raise ValueError(f"NDArrayIter: the state is that of {len(state['idx'])} rows, there are {self.num_data}")
        super().load_state_dict(state)
        if self._generator is not None and state["generator"] is not None:
            self._generator.set_state(state["generator"])

    def hard_reset(self) -> None:
        """Begins an epoch and forgets rows that were rolled over."""
        if self.shuffle:
            self._shuffle()
        self._carried = self.idx[:0]
        self.cursor = -self.batch_size

    def reset(self):
        left = self.num_data - self.cursor
        rolls = self.last_batch_handle == "roll_over" and 0 < left < self.batch_size
        self._carried = self.idx[self.cursor :].copy() if rolls else self.idx[:0]
        if self.shuffle:
            self._shuffle()
        # A batch starts at the cursor; the first begins with the rows that were carried over.
        self.cursor = -self.batch_size - len(self._carried)

    def _shuffle(self) -> None:
        # MXNet shuffles the numbers of rows that are in the order of the epoch before; so seeds give the orders of MXNet.
        (self._generator or shuffler()).shuffle(self._permutation)
        self.idx = self.idx[self._permutation]

    def iter_next(self):
        self.cursor += self.batch_size
        if self.cursor >= self.num_data:
            return False
        if self.cursor < 0:
            self.rows = np.concatenate([self._carried, self.idx[: self.cursor + self.batch_size]])
            return True
        self.rows = self.idx[self.cursor : self.cursor + self.batch_size]
        if len(self.rows) < self.batch_size:
            if self.last_batch_handle != "pad":
                return False
            self.rows = self.idx[np.arange(self.cursor, self.cursor + self.batch_size) % self.num_data]
        return True

    def next(self):
        if not self.iter_next():
            raise StopIteration
        return DataBatch(self.getdata(), self.getlabel(), self.getpad())

    def getpad(self):
        if self.cursor < 0:
            return len(self._carried)
        over = self.cursor + self.batch_size - self.num_data
        return max(over, 0) if self.last_batch_handle == "pad" else 0
