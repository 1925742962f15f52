"""What a training was like: the values of every epoch by name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .base import MXNetError, did_you_mean

_PARTS = {"train": "train", "training": "train", "val": "validation", "validation": "validation", "eval": "validation"}


class History:
    """Values by name, one for every epoch: `train-accuracy`, `validation-accuracy`, `lr`, `time` (in seconds).

    `epoch` has the numbers of the epochs. An epoch without a value (no validation in it) has None.
    """

    def __init__(self) -> None:
        self.epoch: list[int] = []
        self.history: dict[str, list[float | None]] = {}

    def begin(self, epoch: int) -> None:
        """Makes room for an epoch's values."""
        self.epoch.append(epoch)
        for values in self.history.values():
            values.append(None)

    def note(self, name: str, value: float) -> None:
        """A value of the present epoch."""
        self.history.setdefault(name, [None] * len(self.epoch))[-1] = float(value)

    def __getitem__(self, name: str) -> list[float | None]:
        return self.history[self.find(name)]

    def __contains__(self, name: str) -> bool:
        return name in self.history

    def __iter__(self) -> Iterator[str]:
        return iter(self.history)

    def __len__(self) -> int:
        return len(self.epoch)

    def __repr__(self) -> str:
        return f"<History of {len(self.epoch)} epochs: {', '.join(self.history) or 'nothing'}>"

    def latest(self, name: str) -> float | None:
        """The present epoch's value."""
        values = self[name]
        return values[-1] if values else None

    def find(self, name: str | None) -> str:
        """The full name of a value: `val_accuracy` is `validation-accuracy`, `accuracy` is that of the validation if there
        is one, and None is the first metric."""
        metrics = [n for n in self.history if n.startswith(("validation-", "train-"))]
        if name is None:
            for part in ("validation-", "train-"):
                for known in metrics:
                    if known.startswith(part):
                        return known
            raise MXNetError("there is no metric to go by")
        if name in self.history:
            return name
        for mark in "-_":
            part, _, rest = name.partition(mark)
            if part in _PARTS and f"{_PARTS[part]}-{rest}" in self.history:
                return f"{_PARTS[part]}-{rest}"
        for part in ("validation", "train"):
            if f"{part}-{name}" in self.history:
                return f"{part}-{name}"
        hint = did_you_mean(name, self.history)
        raise MXNetError(f"no value of an epoch is named {name!r}; there are {', '.join(self.history) or 'none'}{hint}")

    def plot(self, *names: str, ax: Any = None) -> Any:
        """Draws values over the epochs (all metrics, if none are named) with matplotlib; returns the axes."""
        try:
            from matplotlib import pyplot
        except ImportError as error:
            raise ImportError("History.plot() needs matplotlib: pip install matplotlib") from error
        chosen = [self.find(n) for n in names] or [n for n in self.history if n not in ("time", "lr")]
        if ax is None:
            _, ax = pyplot.subplots()
        for name in chosen:
            points = [(e, v) for e, v in zip(self.epoch, self.history[name], strict=True) if v is not None]
            ax.plot([e for e, _ in points], [v for _, v in points], marker="o", markersize=3, label=name)
        ax.set_xlabel("epoch")
        ax.legend()
        return ax
