"""The training loop, the only one there is: Module.fit and FeedForward.fit differ in what they log and when.

A `Fit` is the loop with everything that it knows. Callbacks reach it as `param.locals["fit"]`; one that returns False
(the value False, not nothing) ends the training after the step or epoch it was called for.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ..callback.base import Callback
from ..callback.classic import LogValidationMetricsCallback
from ..callback.progress import ProgressLine
from ..callback.training import TrainingCheckpoint
from ..checkpoint import BatchEndParam
from ..history import History
from ..io import DataBatch, check_first_batch
from ..metric import EvalMetric
from ..symbol import Symbol

Callbacks = list[Callable[..., Any]]


def listed(callbacks: Any) -> Callbacks:
    """None, one callback or several, as a list."""
    if callbacks is None:
        return []
    return list(callbacks) if isinstance(callbacks, (list, tuple)) else [callbacks]


def extras(callbacks: Any, verbose: int, resume: Any, checkpoint: Any) -> dict[str, Any]:
    """What `fit` takes besides MXNet's arguments, as arguments of a Fit."""
    found: list[Any] = listed(callbacks)
    strange = [type(c).__name__ for c in found if not isinstance(c, Callback)]
    if strange:
        raise TypeError(f"fit: callbacks must be mx.callback.Callback objects, got {', '.join(strange)}")
    if checkpoint is not None:
        found = [*found, TrainingCheckpoint(checkpoint)]
    if resume is True:
        if checkpoint is None:
            raise ValueError("fit: resume=True goes with checkpoint, the file to go on from; or give resume a file")
        resume = checkpoint if os.path.exists(checkpoint) else None
    return {"callbacks": found, "verbose": int(verbose), "resume": resume or None}


@dataclass(eq=False, kw_only=True)
class Fit:
    """A training. `module` is bound and initialized; `epoch` and `nbatch` say where the training is."""

    module: Any
    train_data: Any
    eval_metric: EvalMetric
    num_epoch: int
    begin_epoch: int = 0
    eval_data: Any = None
    validation_metric: EvalMetric | None = None
    batch_end: Callbacks = field(default_factory=list)
    epoch_end: Callbacks = field(default_factory=list)
    eval_end: Callbacks = field(default_factory=list)
    eval_batch_end: Callbacks = field(default_factory=list)
    monitor: Any = None
    logger: Any = logging
    epoch: int = 0
    nbatch: int = 0
    batch: Any = None
    stop: bool = False
    seconds: float = 0.0  # that the present epoch has taken
    callbacks: list[Callback] = field(default_factory=list)
    history: History = field(default_factory=History)
    verbose: int = 1  # 0: says nothing; 1: a line on a terminal, log lines elsewhere; 2: log lines
    resume: Any = None  # a file to go on from
    done: int = 0  # batches of the first epoch that were learnt before
    steps: int = 0  # in all epochs
    spent: float = 0.0  # seconds that the first epoch had taken before
    between_epochs: bool = False

    first_batch: ClassVar[int] = 0

    def __post_init__(self) -> None:
        given = [*self.callbacks, *self.batch_end, *self.epoch_end]
        self.callbacks = [c for c in dict.fromkeys(given) if isinstance(c, Callback)]
        self.batch_end = [c for c in self.batch_end if not isinstance(c, Callback)]
        self.epoch_end = [c for c in self.epoch_end if not isinstance(c, Callback)]
        self._line = ProgressLine() if self.verbose == 1 and sys.stderr.isatty() else None
        self._told: dict[str, list[Callable[[Fit], Any]]] = {}

    @property
    def optimizer(self) -> Any:
        """The optimizer of the module."""
        return getattr(self.module, "_optimizer", None)

    def run(self) -> History:
        """Trains until `num_epoch` epochs are done or something has set `stop`."""
        self.stop = False
        if self.resume is None:
            self.prepare()
        else:
            self.go_on(self.resume)
        try:
            self.tell("on_train_begin")
            for epoch in range(self.begin_epoch, self.num_epoch):
                if self.stop:
                    break
                self.run_epoch(epoch)
        finally:
            self.tell("on_train_end")
        return self.history

    def run_epoch(self, epoch: int) -> None:
        """An epoch, or what is left of one that was interrupted."""
        self.epoch = epoch
        self.between_epochs = False
        self._start = time.time() - self.spent
        if not self.done:
            self.eval_metric.reset()
        self.tell("on_epoch_begin")
        if self.stop:
            return
        complete = self.train_epoch()
        self.seconds = self.elapsed()
        self.done, self.spent = 0, 0.0
        self.history.begin(epoch)
        self.note("train", self.eval_metric)
        self.log_epoch()
        self.module.synchronize()
        if complete:
            self.end_epoch()
            self.validate()
        self.rewind()
        self.history.note("time", self.seconds)
        if self.optimizer is not None:
            self.history.note("lr", self.optimizer.learning_rate)
        if complete:
            self.between_epochs = True
            self.tell("on_epoch_end")

    def prepare(self) -> None:
        """What comes before the first epoch, unless a training goes on."""

    def go_on(self, path: Any) -> None:
        """Goes on where the training was that wrote a checkpoint."""
        from .resume import load_training

        load_training(self, os.fspath(path))
        self.say("Resumed from %s in epoch %d", os.fspath(path), self.begin_epoch)

    def elapsed(self) -> float:
        """Seconds since the present epoch began."""
        return time.time() - self._start

    def tell(self, what: str) -> None:
        """Calls a method of all callbacks that define it; one that returns False stops the training."""
        if what not in self._told:
            everyone = [*self.callbacks, *([self._line] if self._line else [])]
            mine = [c for c in everyone if getattr(type(c), what) is not getattr(Callback, what)]
            self._told[what] = [getattr(c, what) for c in mine]
        for method in self._told[what]:
            if method(self) is False:
                self.stop = True

    def note(self, part: str, metric: EvalMetric) -> None:
        """Writes a metric's values into the history."""
        for name, value in metric.get_global_name_value():
            self.history.note(f"{part}-{name}", value)

    def say(self, text: str, *values: Any) -> None:
        """Logs a line; where logging is off, it goes to the error stream, unless the line on the terminal tells it."""
        if not self.verbose:
            return
        logger = logging.getLogger() if self.logger is logging else self.logger
        if not hasattr(logger, "isEnabledFor") or logger.isEnabledFor(logging.INFO):
            self.logger.info(text, *values)
        elif self._line is None:
            print(text % values, file=sys.stderr)

    def train_epoch(self) -> bool:
        """The steps of an epoch; False if they ended before it did."""
        module, monitor = self.module, self.monitor
        self.nbatch = self.first_batch - 1 + self.done
        for batch in self.batches():
            self.batch = batch
            self.nbatch += 1
            if self.steps == 0:
                self.check(batch)
            self.steps += 1
            if monitor is not None:
                monitor.tic()
            module.forward_backward(batch)
            module.update()
            self.measure()
            if monitor is not None:
                monitor.toc_print()
            if self.batch_end:
                self.call(self.batch_end, self.param(self.eval_metric))
            self.tell("on_batch_end")
            if self.stop:
                return False
        if self.nbatch < self.first_batch:
            raise ValueError(f"fit: the training data gave no batch in epoch {self.epoch}")
        return True

    def check(self, batch: Any) -> None:
        """Warns of what the first batch shows: labels of one class only, labels that the network has no output for."""
        symbol = getattr(self.module, "symbol", None)
        if isinstance(batch, DataBatch) and isinstance(symbol, Symbol):
            check_first_batch(self.train_data, batch, symbol)

    def batches(self) -> Iterator[Any]:
        """The batches of an epoch; of an iterator that was used up before, from its start."""
        yield from self.train_data
        if self.nbatch < self.first_batch:
            self.train_data.reset()
            yield from self.train_data

    def measure(self) -> None:
        """Tells the metric what the step has predicted."""
        batch = self.batch
        if isinstance(batch, list):
            self.module.update_metric(self.eval_metric, [b.label for b in batch], pre_sliced=True)
        else:
            self.module.update_metric(self.eval_metric, batch.label)

    def log_epoch(self) -> None:
        for name, value in self.eval_metric.get_global_name_value():
            self.say("Epoch[%d] Train-%s=%f", self.epoch, name, value)
        self.say("Epoch[%d] Time cost=%.3f", self.epoch, self.seconds)

    def end_epoch(self) -> None:
        """The epoch's callbacks, with the parameters as they are now."""
        if self.epoch_end:
            arg_params, aux_params = self.module.get_params()
            self.call(self.epoch_end, self.epoch, self.module.symbol, arg_params, aux_params)

    def validate(self) -> None:
        if self.eval_data is None or self.validation_metric is None:
            return
        self.evaluate(self.validation_metric)
        self.say_validation(self.validation_metric)

    def evaluate(self, metric: EvalMetric) -> None:
        """Scores the validation data. Its callbacks can end the training, too."""
        self.module.score(
            self.eval_data,
            metric,
            epoch=self.epoch,
            batch_end_callback=self._stopping(self.eval_batch_end),
            score_end_callback=self._stopping([self._logged(c) for c in self.eval_end]),
        )
        self.note("validation", metric)

    def _logged(self, callback: Callable[..., Any]) -> Callable[..., Any]:
        """A callback, or, if it is the one that only logs, the loop's own way to do that."""
        if type(callback) is not LogValidationMetricsCallback:
            return callback
        return lambda param: self.say_validation(param.eval_metric)

    def say_validation(self, metric: EvalMetric) -> None:
        for name, value in metric.get_global_name_value():
            self.say("Epoch[%d] Validation-%s=%f", self.epoch, name, value)

    def _stopping(self, callbacks: Callbacks) -> Callbacks:
        return [lambda param: self.call(callbacks, param)] if callbacks else []

    def rewind(self) -> None:
        """Makes the training data ready for another epoch."""
        self.train_data.reset()

    def call(self, callbacks: Callbacks, *given: Any) -> None:
        """Calls all of them; False from one of them stops the training."""
        for callback in callbacks:
            if callback(*given) is False:
                self.stop = True

    def param(self, metric: EvalMetric | None) -> BatchEndParam:
        """What a batch callback is told."""
        known = {
            "fit": self,
            "self": self.module,
            "epoch": self.epoch,
            "nbatch": self.nbatch,
            "eval_metric": metric,
            "data_batch": self.batch,
            "train_data": self.train_data,
            "eval_data": self.eval_data,
        }
        return BatchEndParam(self.epoch, self.nbatch, metric, known)


@dataclass(eq=False, kw_only=True)
class FeedForwardFit(Fit):
    """The loop as FeedForward has it: batches count from 1, an epoch may have its own length, and one metric serves
    training and validation."""

    first_batch: ClassVar[int] = 1
    epoch_size: int | None = None

    def prepare(self) -> None:
        self.train_data.reset()

    def batches(self) -> Iterator[DataBatch]:
        done, empty = self.done, 0
        if self.epoch_size is not None and done >= self.epoch_size:
            return
        while empty < 2:  # the first time round there may be nothing left from the epoch before
            began = done
            for batch in self.train_data:
                yield batch
                done += 1
                if self.epoch_size is not None and done >= self.epoch_size:
                    return
            self.say("Epoch[%d] Resetting Data Iterator", self.epoch)
            self.train_data.reset()
            if self.epoch_size is None:
                return
            empty = empty + 1 if done == began else 0

    def log_epoch(self) -> None:
        self.say("Epoch[%d] Time cost=%.3f", self.epoch, self.seconds)

    def validate(self) -> None:
        if self.eval_data is not None:
            self.evaluate(self.eval_metric)
            self.eval_data.reset()

    def rewind(self) -> None:
        if self.stop:  # otherwise `batches` has seen to it
            self.train_data.reset()
