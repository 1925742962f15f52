"""BaseModule: what every module can do, made of the few things that each does in its own way."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from .. import metric as metrics
from .. import ndarray as nd
from ..base import MXNetError
from ..checkpoint import BatchEndParam, Params, split_params
from ..history import History
from ..initializer import Uniform
from ..io import DataBatch, DataDesc, NDArrayIter
from ..ndarray import NDArray
from ..optimizer import Updater
from ..symbol import Symbol
from .fit import Fit, extras, listed

DEFAULT_OPTIMIZER_PARAMS = (("learning_rate", 0.01),)
Given = Mapping[str, NDArray] | None


class BaseModule:
    """Base of all modules.

    The life of a module: `bind` makes its memory for given shapes, `init_params` fills the parameters, `init_optimizer`
    prepares training; `forward`, `backward`, `update` are one step. `fit`, `score` and `predict` do all of that for whole
    iterators.
    """

    def __init__(self, logger: Any = logging):
        self.logger = logger
        self.binded = False
        self.for_training = False
        self.inputs_need_grad = False
        self.params_initialized = False
        self.optimizer_initialized = False
        self._symbol: Symbol | None = None

    # ---- what it is: each module says so ----------------------------------------------------------------------------

    @property
    def symbol(self) -> Any:
        """The network."""
        return self._symbol

    @property
    def data_names(self) -> list[str]:
        raise NotImplementedError(f"{type(self).__name__} must define data_names")

    @property
    def output_names(self) -> list[str]:
        raise NotImplementedError(f"{type(self).__name__} must define output_names")

    @property
    def data_shapes(self) -> list[DataDesc]:
        raise NotImplementedError(f"{type(self).__name__} must define data_shapes")

    @property
    def label_shapes(self) -> list[DataDesc] | None:
        raise NotImplementedError(f"{type(self).__name__} must define label_shapes")

    @property
    def output_shapes(self) -> list[tuple[str, tuple[int, ...]]]:
        raise NotImplementedError(f"{type(self).__name__} must define output_shapes")

    def _bind(self, data_shapes: Any, label_shapes: Any, force: bool, shared_module: Any, grad_req: Any) -> None:
        """`bind` for shapes that are not bound yet, or bound anew; `for_training` and `inputs_need_grad` are set."""
        raise NotImplementedError(f"{type(self).__name__} must define bind() or _bind()")

    def _init_params(
        self, initializer: Any, args: Given, aux: Given, allow_missing: bool, force: bool, allow_extra: bool
    ) -> None:
        """`init_params` of a bound module."""
        raise NotImplementedError(f"{type(self).__name__} must define init_params() or _init_params()")

    def _init_optimizer(self, kvstore: Any, optimizer: Any, optimizer_params: Any, force: bool) -> None:
        """`init_optimizer` of a module that has parameters."""
        raise NotImplementedError(f"{type(self).__name__} must define init_optimizer() or _init_optimizer()")

    def get_params(self) -> tuple[Params, Params]:
        """Copies of the parameters and auxiliary states on the host."""
        raise NotImplementedError(f"{type(self).__name__} must define get_params()")

    def forward(self, data_batch: Any, is_train: bool | None = None) -> None:
        """Computes the outputs for a batch."""
        raise NotImplementedError(f"{type(self).__name__} must define forward()")

    def backward(self, out_grads: Any = None) -> None:
        """Computes the gradients of the batch that went forward last."""
        raise NotImplementedError(f"{type(self).__name__} must define backward()")

    def update(self) -> None:
        """Changes the parameters by the optimizer and the gradients."""
        raise NotImplementedError(f"{type(self).__name__} must define update()")

    def get_outputs(self, merge_multi_context: bool = True) -> list[Any]:
        raise NotImplementedError(f"{type(self).__name__} must define get_outputs()")

    def get_input_grads(self, merge_multi_context: bool = True) -> list[Any]:
        raise NotImplementedError(f"{type(self).__name__} must define get_input_grads()")

    def update_metric(self, eval_metric: metrics.EvalMetric, labels: Any, pre_sliced: bool = False) -> None:
        raise NotImplementedError(f"{type(self).__name__} must define update_metric()")

    def install_monitor(self, mon: Any) -> None:
        raise NotImplementedError(f"{type(self).__name__} must define install_monitor()")

    def get_states(self, merge_multi_context: bool = True) -> list[Any]:
        """The states of a module that has some."""
        self._need("binded", "params_initialized")
        return []

    def set_states(self, states: Any = None, value: Any = None) -> None:
        self._need("binded", "params_initialized")
        if states or value:
            raise ValueError(f"{type(self).__name__} has no states")

    # ---- what follows from that -------------------------------------------------------------------------------------

    def _need(self, *done: str) -> None:
        """Raises unless the steps that come first were taken."""
        first = {"binded": "bind", "params_initialized": "init_params", "optimizer_initialized": "init_optimizer"}
        for flag in done:
            if not getattr(self, flag):
                raise MXNetError(f"{type(self).__name__}: call {first[flag]}() first")

    def bind(
        self,
        data_shapes: Any,
        label_shapes: Any = None,
        for_training: bool = True,
        inputs_need_grad: bool = False,
        force_rebind: bool = False,
        shared_module: Any = None,
        grad_req: Any = "write",
    ) -> None:
        """Makes the memory for batches of the given shapes."""
        if self.binded and not force_rebind:
            self.logger.warning("Already bound, ignoring bind()")
            return
        if inputs_need_grad and not for_training:
            raise ValueError("bind: inputs_need_grad needs for_training")
        self.for_training, self.inputs_need_grad = for_training, inputs_need_grad
        self._bind(data_shapes, label_shapes, force_rebind, shared_module, grad_req)
        self.binded = True

    def init_params(
        self,
        initializer: Any = Uniform(0.01),  # noqa: B008  it holds nothing that changes
        arg_params: Mapping[str, NDArray] | None = None,
        aux_params: Mapping[str, NDArray] | None = None,
        allow_missing: bool = False,
        force_init: bool = False,
        allow_extra: bool = False,
    ) -> None:
        """Fills the parameters with given values, or by an initializer."""
        if self.params_initialized and not force_init:
            warnings.warn(
                "Parameters already initialized and force_init=False. init_params call ignored.", stacklevel=2
            )
            return
        self._need("binded")
        self._init_params(initializer, arg_params, aux_params, allow_missing, force_init, allow_extra)
        self.params_initialized = True

    def init_optimizer(
        self,
        kvstore: Any = "local",
        optimizer: Any = "sgd",
        optimizer_params: Any = DEFAULT_OPTIMIZER_PARAMS,
        force_init: bool = False,
    ) -> None:
        """Prepares updates."""
        self._need("binded", "params_initialized")
        if self.optimizer_initialized and not force_init:
            self.logger.warning("optimizer already initialized, ignoring...")
            return
        self._init_optimizer(kvstore, optimizer, optimizer_params, force_init)
        self.optimizer_initialized = True

    def forward_backward(self, data_batch: Any) -> None:
        """Outputs and gradients for a batch."""
        self.forward(data_batch, is_train=True)
        self.backward()

    def prepare(self, data_batch: Any, sparse_row_id_fn: Any = None) -> None:
        """Tells which batch comes next; here there is nothing to prepare."""

    def synchronize(self) -> None:
        """Makes what several devices keep for themselves (moving statistics) the same on all."""

    def set_params(
        self,
        arg_params: Mapping[str, NDArray] | None,
        aux_params: Mapping[str, NDArray] | None,
        allow_missing: bool = False,
        force_init: bool = True,
        allow_extra: bool = False,
    ) -> None:
        """Gives the parameters values; those that are missing, if that is allowed, stay as they are."""
        self.init_params(None, arg_params, aux_params, allow_missing, force_init, allow_extra)

    def save_params(self, fname: str) -> None:
        """Writes the parameters to a file."""
        arg_params, aux_params = self.get_params()
        named = {f"arg:{n}": a for n, a in arg_params.items()} | {f"aux:{n}": a for n, a in aux_params.items()}
        nd.save(fname, named)

    def load_params(self, fname: str) -> None:
        """Takes the parameters from a file of `save_params`, or from a checkpoint."""
        self.set_params(*split_params(fname))

    def score(
        self,
        eval_data: Any,
        eval_metric: Any,
        num_batch: int | None = None,
        batch_end_callback: Any = None,
        score_end_callback: Any = None,
        reset: bool = True,
        epoch: int = 0,
        sparse_row_id_fn: Any = None,
    ) -> list[tuple[str, float]]:
        """What a metric says of an iterator's batches, as (name, value) pairs. Rows that only fill a batch do not count."""
        self._need("binded", "params_initialized")
        if reset:
            eval_data.reset()
        eval_metric = metrics.create(eval_metric)
        eval_metric.reset()
        nbatch = -1
        for nbatch, batch in enumerate(eval_data):
            if nbatch == num_batch:
                nbatch -= 1
                break
            self.forward(batch, is_train=False)
            if isinstance(batch, list):
                self.update_metric(eval_metric, [b.label for b in batch], pre_sliced=True)
            else:
                self._measure(eval_metric, batch, fillers(eval_data, batch))
            param = BatchEndParam(epoch, nbatch, eval_metric, {"self": self, "eval_batch": batch})
            for callback in listed(batch_end_callback):
                callback(param)
        param = BatchEndParam(epoch, nbatch + 1, eval_metric, {"self": self, "eval_data": eval_data})
        for callback in listed(score_end_callback):
            callback(param)
        return eval_metric.get_global_name_value()

    def _measure(self, eval_metric: metrics.EvalMetric, batch: DataBatch, pad: int) -> None:
        """Updates a metric without the last `pad` examples."""
        if not pad:
            self.update_metric(eval_metric, batch.label)
            return
        size, axis = self._batch_size()
        labels = [without(a, pad, size, axis if len(np.shape(a)) > axis else 0) for a in batch.label or ()]
        outputs = [without(a, pad, size, axis) for a in self.get_outputs()]
        eval_metric.update_dict(self._named_labels(labels), dict(zip(self.output_names, outputs, strict=True)))

    def _named_labels(self, labels: Any) -> dict[str, Any]:
        """Labels by name; those of a module that was bound without labels have names, too."""
        names = [d.name for d in self.label_shapes or ()] or list(getattr(self, "label_names", None) or ())
        names += [f"label{i}" for i in range(len(names), len(labels or ()))]
        return dict(zip(names, labels or (), strict=False))

    def _batch_size(self) -> tuple[int, int]:
        """How many examples a batch has, and along which axis."""
        desc = self.data_shapes[0]
        axis = max(DataDesc.get_batch_axis(getattr(desc, "layout", None)), 0)
        return desc.shape[axis], axis

    def iter_predict(
        self, eval_data: Any, num_batch: int | None = None, reset: bool = True, sparse_row_id_fn: Any = None
    ) -> Iterator[tuple[list[NDArray], int, Any]]:
        """The outputs of batch after batch, without fillers: (outputs, number, batch)."""
        self._need("binded", "params_initialized")
        if reset:
            eval_data.reset()
        for nbatch, batch in enumerate(eval_data):
            if nbatch == num_batch:
                break
            self.forward(batch, is_train=False)
            pad = 0 if isinstance(batch, list) else fillers(eval_data, batch)
            size, axis = self._batch_size()
            yield [without(a, pad, size, axis) for a in self.get_outputs()], nbatch, batch

    def predict(
        self,
        eval_data: Any,
        num_batch: int | None = None,
        merge_batches: bool = True,
        reset: bool = True,
        always_output_list: bool = False,
        sparse_row_id_fn: Any = None,
    ) -> Any:
        """The outputs for an iterator's batches, or for the rows of an array, put together unless told not to."""
        if isinstance(eval_data, (NDArray, np.ndarray)):
            self._need("binded", "params_initialized")
            size, axis = self._batch_size()
            if axis or len(eval_data) <= size:
                self.forward(DataBatch([eval_data if isinstance(eval_data, NDArray) else nd.array(eval_data)]), False)
                outputs = [a.copy() for a in self.get_outputs()]
                return outputs if always_output_list or len(outputs) > 1 else outputs[0]
            eval_data = NDArrayIter(eval_data, batch_size=size)
        batches = [[a.copy() for a in outputs] for outputs, _, _ in self.iter_predict(eval_data, num_batch, reset)]
        if not batches or not merge_batches:
            return batches
        if any(len(outputs) != len(batches[0]) for outputs in batches):
            raise ValueError("predict: batches differ in the number of outputs; pass merge_batches=False")
        merged = [a[0] if len(a) == 1 else nd.concatenate(list(a)) for a in zip(*batches, strict=True)]
        return merged if always_output_list or len(merged) > 1 else merged[0]

    # ---- what checkpoints of trainings and reduced precision need -----------------------------------------------------

    def updaters(self) -> list[Updater]:
        """The optimizers with their states."""
        return []

    def set_precision(self, precision: str, loss_scale: float | str | None = None) -> None:
        """Chooses what products and convolutions are computed with, before the module is bound."""
        raise MXNetError(f"{type(self).__name__} computes with float32 only; precision is for Module")

    def precision_state(self) -> Any:
        """What is known about the scale of the loss, as plain values."""
        return None

    def load_precision_state(self, state: Any) -> None:
        """Takes over what `precision_state` gave."""

    def fit(
        self,
        train_data: Any,
        eval_data: Any = None,
        eval_metric: Any = "acc",
        epoch_end_callback: Any = None,
        batch_end_callback: Any = None,
        kvstore: Any = "local",
        optimizer: Any = "sgd",
        optimizer_params: Any = DEFAULT_OPTIMIZER_PARAMS,
        eval_end_callback: Any = None,
        eval_batch_end_callback: Any = None,
        initializer: Any = Uniform(0.01),  # noqa: B008
        arg_params: Mapping[str, NDArray] | None = None,
        aux_params: Mapping[str, NDArray] | None = None,
        allow_missing: bool = False,
        force_rebind: bool = False,
        force_init: bool = False,
        begin_epoch: int = 0,
        num_epoch: int | None = None,
        validation_metric: Any = None,
        monitor: Any = None,
        sparse_row_id_fn: Any = None,
        *,
        callbacks: Any = None,
        verbose: int = 1,
        checkpoint: Any = None,
        resume: Any = None,
        precision: str | None = None,
        loss_scale: float | str | None = None,
    ) -> History:
        """Trains on an iterator from epoch `begin_epoch` up to `num_epoch`. A callback that returns False ends it.

        `callbacks` are mx.callback.Callback objects. `verbose` 0 is silent. `checkpoint` names a file to which the whole
        training is saved after every epoch; `resume` is such a file to go on from, or True for that of `checkpoint` if it
        is there. `precision` (float16 or bfloat16) is that of products and convolutions; `loss_scale` (a number or
        "dynamic", which is float16's) keeps small gradients. Returns the values of every epoch.
        """
        if num_epoch is None:
            raise ValueError("fit: num_epoch, the number of epochs, is missing")
        if precision is not None:
            self.set_precision(precision, loss_scale)
        self.bind(
            train_data.provide_data,
            train_data.provide_label,
            for_training=True,
            force_rebind=force_rebind,
        )
        if monitor is not None:
            self.install_monitor(monitor)
        if arg_params is not None or force_init or not self.params_initialized:
            self.init_params(initializer, arg_params, aux_params, allow_missing, force_init)
        self.init_optimizer(kvstore, optimizer, optimizer_params)
        metric = metrics.create(eval_metric)
        return Fit(
            module=self,
            train_data=train_data,
            eval_data=eval_data,
            eval_metric=metric,
            validation_metric=metric if validation_metric is None else metrics.create(validation_metric),
            begin_epoch=begin_epoch,
            num_epoch=num_epoch,
            batch_end=listed(batch_end_callback),
            epoch_end=listed(epoch_end_callback),
            eval_end=listed(eval_end_callback),
            eval_batch_end=listed(eval_batch_end_callback),
            monitor=monitor,
            logger=self.logger,
            **extras(callbacks, verbose, resume, checkpoint),
        ).run()


def fillers(data: Any, batch: Any) -> int:
    """How many of a batch's last examples are there only to fill it."""
    # What NDArrayIter calls the pad of rows that it rolled over are rows that no batch had before.
    return 0 if getattr(data, "last_batch_handle", None) == "roll_over" else getattr(batch, "pad", 0) or 0


def without(array: Any, pad: int, size: int, axis: int) -> Any:
    """An output or a label without the last `pad` of `size` examples. Time steps may have been flattened into the rows."""
    shape = array.shape
    if not pad or not shape:
        return array
    if len(shape) > axis and shape[axis] == size:
        return array[(slice(None),) * axis + (slice(0, size - pad),)]
    if shape[0] % size == 0 and axis == 0:
        return array[: shape[0] // size * (size - pad)]
    if shape[0] % size == 0 and axis == 1:
        apart = array.reshape((shape[0] // size, size, *shape[1:]))
        return apart[:, : size - pad].reshape((-1, *shape[1:]))
    return array
