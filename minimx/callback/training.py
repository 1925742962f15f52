"""Callbacks that steer a training and write down what it does."""

from __future__ import annotations

import csv
import logging
import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from ..base import MXNetError
from ..checkpoint import save_checkpoint
from ..serial import remove_unfinished
from .base import Callback, Watcher


class EarlyStopping(Watcher):
    """Stops when `monitor` has not become better for `patience` epochs; the parameters of the best epoch come back at the
    end, unless `restore_best` is False. `monitor` is a name of the history, by default the first validation metric."""

    def __init__(
        self,
        monitor: str | None = None,
        patience: int = 3,
        mode: str = "auto",
        restore_best: bool = True,
        min_delta: float = 0.0,
    ):
        super().__init__(monitor, mode, min_delta)
        self.patience = patience
        self.restore_best = restore_best
        self.stopped_epoch: int | None = None
        self.best_params: Any = None

    def on_epoch_end(self, fit: Any) -> Any:
        if self.look(fit):
            if self.restore_best:
                self.best_params = fit.module.get_params()
        elif self.wait >= self.patience:
            self.stopped_epoch = fit.epoch
            name = fit.history.find(self.monitor)
            fit.say(
                "Epoch[%d] Stopped early: %s was best in epoch %s with %f", fit.epoch, name, self.best_epoch, self.best
            )
            return False
        return None

    def on_train_end(self, fit: Any) -> None:
        if self.restore_best and self.best_params is not None and self.wait > 0:
            fit.module.set_params(*self.best_params)


class ReduceLROnPlateau(Watcher):
    """Multiplies the learning rate by `factor` when `monitor` has not become better for `patience` epochs."""

    def __init__(
        self,
        monitor: str | None = None,
        factor: float = 0.1,
        patience: int = 10,
        mode: str = "auto",
        min_lr: float = 0.0,
        cooldown: int = 0,
        min_delta: float = 1e-4,
    ):
        super().__init__(monitor, mode, min_delta)
        if not 0 < factor < 1:
            raise ValueError(f"ReduceLROnPlateau: factor must lie between 0 and 1, got {factor}")
        self.factor = factor
        self.patience = patience
        self.min_lr = min_lr
        self.cooldown = cooldown
        self.resting = 0  # epochs that do not count after a reduction

    def on_train_begin(self, fit: Any) -> None:
        if fit.optimizer is None or fit.optimizer.lr_scheduler is not None:
            raise MXNetError(
                "ReduceLROnPlateau needs an optimizer without lr_scheduler, which would decide the rate itself"
            )

    def on_epoch_end(self, fit: Any) -> None:
        better = self.look(fit)
        if self.resting > 0:
            self.resting -= 1
            self.wait = 0
        elif not better and self.wait >= self.patience:
            before = fit.optimizer.lr
            if before > self.min_lr:
                fit.optimizer.lr = max(before * self.factor, self.min_lr)
                fit.say("Epoch[%d] Learning rate reduced to %g", fit.epoch, fit.optimizer.lr)
            self.resting, self.wait = self.cooldown, 0


class TerminateOnNaN(Callback):
    """Stops when an output or a metric is no finite number any more. Looks at every `period`-th batch."""

    def __init__(self, period: int = 1):
        self.period = max(1, int(period))

    def on_batch_end(self, fit: Any) -> Any:
        if fit.nbatch % self.period:
            return None
        bad = [name for name, value in fit.eval_metric.get_name_value() if math.isinf(value)]
        for name, output in zip(fit.module.output_names, fit.module.get_outputs(), strict=False):
            if not np.isfinite(output.astype("float32", copy=False).asnumpy()).all():
                bad.append(name)
        if bad:
            logging.warning(
                "Epoch[%d] Batch[%d] %s is not finite: training stops", fit.epoch, fit.nbatch, ", ".join(bad)
            )
            return False
        return None


class CSVLogger(Callback):
    """Writes the history to a CSV file, a row for every epoch. A training that is resumed goes on in its file."""

    def __init__(self, filename: Any, separator: str = ",", append: bool = False):
        self.filename = os.fspath(filename)
        self.separator = separator
        self.append = append

    def on_train_begin(self, fit: Any) -> None:
        if not self.append and not len(fit.history):
            Path(self.filename).unlink(missing_ok=True)

    def on_epoch_end(self, fit: Any) -> None:
        columns = ["epoch", *fit.history]
        there = os.path.exists(self.filename) and os.path.getsize(self.filename) > 0
        if there:
            with open(self.filename, newline="") as file:
                columns = next(csv.reader(file, delimiter=self.separator))
        row = {"epoch": fit.epoch, **{name: fit.history.latest(name) for name in fit.history}}
        with open(self.filename, "a", newline="") as file:
            writer = csv.DictWriter(file, columns, delimiter=self.separator, extrasaction="ignore")
            if not there:
                writer.writeheader()
            writer.writerow({name: row.get(name) for name in columns})


class ModelCheckpoint(Watcher):
    """Saves `prefix-symbol.json` and `prefix-<epochs done>.params` every `period` epochs, or only when `monitor` was never
    better (`save_best_only`). `keep` is how many parameter files stay: the latest, or the best ones."""

    def __init__(
        self,
        prefix: Any,
        monitor: str | None = None,
        mode: str = "auto",
        save_best_only: bool = False,
        period: int = 1,
        save_optimizer_states: bool = False,
        keep: int | None = None,
    ):
        super().__init__(monitor, mode, 0.0)
        if keep is not None and keep < 1:
            raise ValueError(f"ModelCheckpoint: keep must be at least 1, got {keep}")
        self.prefix = os.fspath(prefix)
        self.save_best_only = save_best_only
        self.period = max(1, int(period))
        self.save_optimizer_states = save_optimizer_states
        self.keep = keep
        self.saved: list[int] = []  # numbers of the files

    def on_epoch_end(self, fit: Any) -> None:
        if self.save_best_only and not self.look(fit):
            return
        if not self.save_best_only and (fit.epoch + 1) % self.period:
            return
        number = fit.epoch + 1
        save_checkpoint(self.prefix, number, fit.module.symbol, *fit.module.get_params())
        if self.save_optimizer_states:
            fit.module.save_optimizer_states(f"{self.prefix}-{number:04d}.states")
        self.saved = [n for n in self.saved if n != number] + [number]
        while self.keep is not None and len(self.saved) > self.keep:
            old = self.saved.pop(0)
            for ending in ("params", "states"):
                Path(f"{self.prefix}-{old:04d}.{ending}").unlink(missing_ok=True)


class TrainingCheckpoint(Callback):
    """Saves everything that a training needs to go on, to one file, after every `period` epochs and, if `batches` is given,
    after so many steps. `fit(resume=filename)` continues as if nothing had happened."""

    def __init__(self, filename: Any, period: int = 1, batches: int | None = None):
        self.filename = os.fspath(filename)
        self.period = max(1, int(period))
        self.batches = batches

    def on_train_begin(self, fit: Any) -> None:
        remove_unfinished(self.filename)

    def on_batch_end(self, fit: Any) -> None:
        if self.batches and fit.steps % self.batches == 0:
            self._save(fit)

    def on_epoch_end(self, fit: Any) -> None:
        if (fit.epoch + 1) % self.period == 0:
            self._save(fit)

    def _save(self, fit: Any) -> None:
        from ..module.resume import save_training

        save_training(fit, self.filename)
