"""Callbacks that are told everything about a training: what they may do and when."""

from __future__ import annotations

import math
from typing import Any

from ..base import MXNetError

# Metrics of which less is better, by parts of their names.
_SMALLER = ("loss", "error", "mae", "mse", "rmse", "perplexity", "entropy", "nll", "likelihood")
MODES = ("auto", "min", "max")


class Callback:
    """Something that is done during a training. `fit(callbacks=[...])` takes them, and so do MXNet's
    `batch_end_callback` and `epoch_end_callback`.

    Each method gets the training: `fit.module`, `fit.optimizer`, `fit.epoch`, `fit.nbatch`, `fit.eval_metric`,
    `fit.history`. One that returns False (not None) stops it. Attributes of numbers and texts are stored in
    checkpoints and come back when the training is resumed.
    """

    def on_train_begin(self, fit: Any) -> Any:
        """Before the first epoch."""

    def on_epoch_begin(self, fit: Any) -> Any:
        """Before an epoch."""

    def on_batch_end(self, fit: Any) -> Any:
        """After a step: `fit.batch` was learnt, `fit.eval_metric` has seen it."""

    def on_epoch_end(self, fit: Any) -> Any:
        """After an epoch and its validation: `fit.history` has their values."""

    def on_train_end(self, fit: Any) -> Any:
        """After the last epoch, also when an error ends the training."""


class Watcher(Callback):
    """What callbacks that follow one value of the history share: which it is, and whether it got better."""

    def __init__(self, monitor: str | None, mode: str, min_delta: float):
        if mode not in MODES:
            raise ValueError(f"{type(self).__name__}: mode must be one of {', '.join(MODES)}, got {mode!r}")
        self.monitor = monitor
        self.mode = mode
        self.min_delta = abs(min_delta)
        self.best: float | None = None
        self.best_epoch: int | None = None
        self.wait = 0  # epochs since the best one

    def look(self, fit: Any) -> bool:
        """Whether this epoch is the best so far. Counts those that are not."""
        name = fit.history.find(self.monitor)
        value = fit.history.latest(name)
        if value is None:
            raise MXNetError(f"{type(self).__name__}: epoch {fit.epoch} has no value of {name}")
        if self._better(value, name):
            self.best, self.best_epoch, self.wait = value, fit.epoch, 0
            return True
        self.wait += 1
        return False

    def _better(self, value: float, name: str) -> bool:
        if math.isnan(value):
            return False
        if self.best is None:
            return True
        smaller = self.mode == "min" or (self.mode == "auto" and any(part in name.lower() for part in _SMALLER))
        gain = self.best - value if smaller else value - self.best
        return gain > self.min_delta
