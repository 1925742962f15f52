"""The training loop, the only one there is: Module.fit and FeedForward.fit differ in what they log and when.

A `Fit` is the loop with everything that it knows. Callbacks reach it as `param.locals["fit"]`; one that returns False
(the value False, not nothing) ends the training after the step or epoch it was called for.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ..checkpoint import BatchEndParam
from ..io import DataBatch
from ..metric import EvalMetric

Callbacks = list[Callable[..., Any]]


def listed(callbacks: Any) -> Callbacks:
    """None, one callback or several, as a list."""
    if callbacks is None:
        return []
    return list(callbacks) if isinstance(callbacks, (list, tuple)) else [callbacks]


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

    first_batch: ClassVar[int] = 0

    @property
    def optimizer(self) -> Any:
        """The optimizer of the module."""
        return getattr(self.module, "_optimizer", None)

    def run(self) -> None:
        """Trains until `num_epoch` epochs are done or something has set `stop`."""
        self.stop = False
        for epoch in range(self.begin_epoch, self.num_epoch):
            self.epoch = epoch
            start = time.time()
            self.eval_metric.reset()
            complete = self.train_epoch()
            self.seconds = time.time() - start
            self.log_epoch()
            self.module.synchronize()
            if complete:
                self.end_epoch()
                self.validate()
            self.rewind()
            if self.stop:
                break

    def train_epoch(self) -> bool:
        """The steps of an epoch; False if they ended before it did."""
        module, monitor = self.module, self.monitor
        self.nbatch = self.first_batch - 1
        for batch in self.batches():
            self.batch = batch
            self.nbatch += 1
            if monitor is not None:
                monitor.tic()
            module.forward_backward(batch)
            module.update()
            self.measure()
            if monitor is not None:
                monitor.toc_print()
            if self.batch_end:
                self.call(self.batch_end, self.param(self.eval_metric))
                if self.stop:
                    return False
        if self.nbatch < self.first_batch:
            raise ValueError(f"fit: the training data gave no batch in epoch {self.epoch}; was it used up before?")
        return True

    def batches(self) -> Iterator[Any]:
        """The batches of an epoch."""
        return iter(self.train_data)

    def measure(self) -> None:
        """Tells the metric what the step has predicted."""
        batch = self.batch
        if isinstance(batch, list):
            self.module.update_metric(self.eval_metric, [b.label for b in batch], pre_sliced=True)
        else:
            self.module.update_metric(self.eval_metric, batch.label)

    def log_epoch(self) -> None:
        for name, value in self.eval_metric.get_global_name_value():
            self.logger.info("Epoch[%d] Train-%s=%f", self.epoch, name, value)
        self.logger.info("Epoch[%d] Time cost=%.3f", self.epoch, self.seconds)

    def end_epoch(self) -> None:
        """The epoch's callbacks, with the parameters as they are now."""
        if self.epoch_end:
            arg_params, aux_params = self.module.get_params()
            self.call(self.epoch_end, self.epoch, self.module.symbol, arg_params, aux_params)

    def validate(self) -> None:
        if self.eval_data is None or self.validation_metric is None:
            return
        self.evaluate(self.validation_metric)
        for name, value in self.validation_metric.get_global_name_value():
            self.logger.info("Epoch[%d] Validation-%s=%f", self.epoch, name, value)

    def evaluate(self, metric: EvalMetric) -> None:
        """Scores the validation data. Its callbacks can end the training, too."""
        self.module.score(
            self.eval_data,
            metric,
            epoch=self.epoch,
            batch_end_callback=self._stopping(self.eval_batch_end),
            score_end_callback=self._stopping(self.eval_end),
        )

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

    def run(self) -> None:
        self.train_data.reset()
        super().run()

    def batches(self) -> Iterator[DataBatch]:
        done, empty = 0, 0
        while empty < 2:  # the first time round there may be nothing left from the epoch before
            began = done
            for batch in self.train_data:
                yield batch
                done += 1
                if self.epoch_size is not None and done >= self.epoch_size:
                    return
            self.logger.info("Epoch[%d] Resetting Data Iterator", self.epoch)
            self.train_data.reset()
            if self.epoch_size is None:
                return
            empty = empty + 1 if done == began else 0

    def log_epoch(self) -> None:
        self.logger.info("Epoch[%d] Time cost=%.3f", self.epoch, self.seconds)

    def validate(self) -> None:
        if self.eval_data is not None:
            self.evaluate(self.eval_metric)
            self.eval_data.reset()

    def rewind(self) -> None:
        if self.stop:  # otherwise `batches` has seen to it
            self.train_data.reset()
