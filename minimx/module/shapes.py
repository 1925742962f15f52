"""Shapes: the replicas of a module for all the shapes that its batches have had lately. The first own the parameters."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..base import GraphError
from ..io import DataDesc
from .inputs import described, match
from .replicas import Replicas

KEPT = 8  # sets of shapes that stay bound beside the first

Make = Callable[[list[DataDesc], list[DataDesc], Replicas | None], Replicas]


class Shapes:
    """`make(data, labels, shared)` binds replicas; `now` are those that have the shapes of the present batch."""

    def __init__(self, make: Make, data_names: Sequence[str], label_names: Sequence[str], training: bool):
        self._make = make
        self._data_names = data_names
        self._label_names = label_names
        self._training = training
        self._others: OrderedDict[Any, Replicas] = OrderedDict()
        self.first: Replicas
        self.now: Replicas

    def __iter__(self) -> Iterator[Replicas]:
        yield self.first
        yield from self._others.values()

    def _matched(self, data: Any, labels: Any) -> tuple[list[DataDesc], list[DataDesc]]:
        found = match(described(data), self._data_names, "data")
        if not found:
            raise GraphError("bind: a module needs at least one data shape")
        return found, match(described(labels), self._label_names, "label", self._training)

    def begin(self, data: Any, labels: Any, shared: Replicas | None) -> None:
        """Binds the first replicas."""
        self.first = self.now = self._make(*self._matched(data, labels), shared)

    def switch(self, data: Any, labels: Any) -> None:
        """Goes to other shapes. What was bound before is kept for a while, in case it comes back."""
        data, labels = self._matched(data, labels)
        key = _key(data, labels)
        if key == _key(self.first.data, self.first.labels):
            self.now = self.first
            return
        found = self._others.pop(key, None) or self._make(data, labels, self.first)
        self._others[key] = self.now = found
        if len(self._others) > KEPT:
            self._others.popitem(last=False)

    def suit(self, batch: Any, label: Any) -> None:
        """Goes to the shapes of a batch. `label` are those of its labels that are wanted."""
        data = batch.data
        if self.now.fits(data, label):
            return
        if self.first.fits(data, label):
            self.now = self.first
            return
        shapes = []
        for what, arrays, names, descs in (
            ("data", data, self._data_names, self.now.data),
            ("label", label or (), self._label_names, self.now.labels),
        ):
            own = getattr(batch, f"provide_{what}", None)
            descs = described(own) if own else descs or [DataDesc(name, ()) for name in names]
            if len(arrays) > len(descs) or (what == "data" and len(arrays) < len(descs)):
                wanted = ", ".join(d.name for d in descs) or "none"
                raise GraphError(f"the batch has {len(arrays)} {what} arrays; the module takes {wanted}")
            shapes.append([DataDesc(d.name, a.shape, d.dtype, d.layout) for d, a in zip(descs, arrays, strict=False)])
        self.switch(*shapes)


def _key(data: list[DataDesc], labels: list[DataDesc]) -> tuple:
    return tuple((d.name, d.shape, d.layout) for d in (*data, *labels))
