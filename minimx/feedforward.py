"""FeedForward: a network with its parameters that learns from arrays, and `mlp`, which makes the network, too."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from . import metric as metrics
from . import symbol as sym
from .base import GraphError, ShapeError
from .callback import LogValidationMetricsCallback
from .checkpoint import Params, load_checkpoint, save_checkpoint
from .context import Context, current_context
from .history import History
from .initializer import InitDesc, Uniform
from .io import DataIter, NDArrayIter
from .module.base import fillers, without
from .module.fit import FeedForwardFit, extras, listed
from .module.inputs import label_arguments
from .module.module import Module
from .ndarray import NDArray
from .optimizer import Optimizer
from .random import shuffler
from .symbol import Symbol

__all__ = ["FeedForward", "mlp"]

# Other names of arguments: those of MXNet's tutorials and of its R package.
_SPELLINGS = {
    "num_round": "num_epoch",
    "array_batch_size": "numpy_batch_size",
    "fixed_param": "fixed_param_names",
    "fixed_params": "fixed_param_names",
    "input_names": "data_names",
    "output_names": "label_names",
}


# What `fit` takes besides MXNet's arguments.
EXTRAS = ("callbacks", "verbose", "checkpoint", "resume", "precision", "loss_scale")


class FeedForward:
    """A network and its parameters. Further arguments of the constructor are the optimizer's.

    Arrays are shuffled anew in every epoch, and rows that do not fill a batch come first in the next one; with
    `shuffle="once"`, as in R, their order stays the same, and the last batch is filled from the start.

    Also known are the names of the R package: `num_round`, `array_batch_size`, `begin_round` (which counts from 1),
    `array_layout` (`rowmajor`: examples are rows; `colmajor`: they are the last axis; `auto`: as the labels tell),
    `input_names`, `output_names`, `fixed_param`.
    """

    def __init__(
        self,
        symbol: Symbol,
        ctx: Any = None,
        num_epoch: int | None = None,
        epoch_size: int | None = None,
        optimizer: Any = "sgd",
        initializer: Any = Uniform(0.01),  # noqa: B008
        numpy_batch_size: int = 128,
        arg_params: Mapping[str, NDArray] | None = None,
        aux_params: Mapping[str, NDArray] | None = None,
        allow_extra_params: bool = False,
        begin_epoch: int = 0,
        **kwargs: Any,
    ):
        ctx = current_context() if ctx is None else ctx
        self.ctx = [ctx] if isinstance(ctx, Context) else list(ctx)
        self.symbol = symbol
        self.optimizer = optimizer
        self.initializer = initializer
        self.epoch_size = epoch_size
        self.allow_extra_params = allow_extra_params
        self.arg_params: Params | None = None if arg_params is None else dict(arg_params)
        self.aux_params: Params | None = None if aux_params is None else dict(aux_params)
        given = modern(kwargs)
        self.num_epoch = given.pop("num_epoch", num_epoch)
        self.begin_epoch = given.pop("begin_epoch", begin_epoch)
        self.numpy_batch_size = given.pop("numpy_batch_size", numpy_batch_size)
        self.array_layout = given.pop("array_layout", "rowmajor")
        if self.array_layout not in ("rowmajor", "colmajor", "auto"):
            raise ValueError(f"array_layout must be rowmajor, colmajor or auto, got {self.array_layout!r}")
        self.shuffle = given.pop("shuffle", "epoch")
        if self.shuffle not in ("epoch", "once"):
            raise ValueError(f"shuffle must be epoch or once, got {self.shuffle!r}")
        self.data_names = given.pop("data_names", None)
        self.label_names = given.pop("label_names", None)
        self.fixed_param_names = given.pop("fixed_param_names", None)
        given.pop("metric_cpu", None)  # where R's metrics are computed; here it is always the host
        self.kwargs = given
        self._predictor: Module | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_predictor": None}

    # ---- training ---------------------------------------------------------------------------------------------------

    def fit(
        self,
        X: Any,
        y: Any = None,
        eval_data: Any = None,
        eval_metric: Any = "acc",
        epoch_end_callback: Any = None,
        batch_end_callback: Any = None,
        kvstore: Any = "local",
        logger: Any = None,
        work_load_list: Sequence[float] | None = None,
        monitor: Any = None,
        eval_end_callback: Any = LogValidationMetricsCallback(),  # noqa: B008
        eval_batch_end_callback: Any = None,
        *,
        callbacks: Any = None,
        verbose: int = 1,
        checkpoint: Any = None,
        resume: Any = None,
        precision: str | None = None,
        loss_scale: float | str | None = None,
    ) -> History:
        """Trains on arrays of examples and labels, or on an iterator. `eval_data` is an iterator or (examples, labels).

        A callback that returns False ends the training. `callbacks`, `verbose`, `checkpoint`, `resume`, `precision` and
        `loss_scale` are those of Module.fit. Returns the values of every epoch.
        """
        if self.num_epoch is None:
            raise ValueError("FeedForward: num_epoch, the number of epochs, is missing")
        logger = logger or logging
        data = self._iterator(X, y, training=True)
        validation = self._validation(eval_data)
        module = self._module(data, logger, work_load_list)
        if precision is not None:
            module.set_precision(precision, loss_scale)
        module.bind(data.provide_data, data.provide_label, for_training=True)
        if monitor is not None:
            module.install_monitor(monitor)
        module.init_params(
            self._by_name,
            self.arg_params or {},
            self.aux_params or {},
            allow_missing=True,
            allow_extra=self.allow_extra_params,
        )
        by_name = not isinstance(self.optimizer, Optimizer)
        module.init_optimizer(kvstore, self.optimizer, self.kwargs if by_name else {})
        if verbose:
            logger.info("Start training with %s", self.ctx)
        fit = FeedForwardFit(
            module=module,
            train_data=data,
            eval_data=validation,
            eval_metric=metrics.create(eval_metric),
            begin_epoch=self.begin_epoch,
            num_epoch=self.num_epoch,
            batch_end=listed(batch_end_callback),
            epoch_end=listed(epoch_end_callback),
            eval_end=listed(eval_end_callback),
            eval_batch_end=listed(eval_batch_end_callback),
            monitor=monitor,
            logger=logger,
            epoch_size=self.epoch_size,
            **extras(callbacks, verbose, resume, checkpoint),
        )
        self._predictor = None
        try:
            return fit.run()
        finally:  # what was learned until an interruption is kept
            self.arg_params, self.aux_params = module.get_params()

    def _by_name(self, name: InitDesc, array: NDArray) -> None:
        """The initializer, which knows some layers by the beginning of their names."""
        self.initializer(name if name.attrs.get("__init__") else str(name), array)

    def _module(
        self, data: Any, logger: Any = logging, loads: Sequence[float] | None = None, train: bool = True
    ) -> Module:
        return Module(
            self.symbol,
            data_names=self.data_names or [d[0] for d in data.provide_data],
            label_names=self.label_names or [d[0] for d in data.provide_label or ()],
            context=self.ctx if train else self.ctx[0],
            work_load_list=loads,
            logger=logger,
            fixed_param_names=self.fixed_param_names if train else None,
        )

    # ---- data -------------------------------------------------------------------------------------------------------

    def _iterator(self, X: Any, y: Any = None, training: bool = False) -> Any:
        """An iterator over arrays; an iterator is kept."""
        if not isinstance(X, (np.ndarray, NDArray, list, tuple, dict)):
            if y is not None:
                raise ValueError("y must not be given when X is an iterator, which has labels of its own")
            return X
        if y is None and training:
            raise ValueError("y must be specified when X is an array")
        examples = {self._data_name(): X} if not isinstance(X, dict) else X
        examples = {name: _array(a) for name, a in examples.items()}
        labels = None if y is None else _array(y)
        examples = {name: self._rows(name, a, labels) for name, a in examples.items()}
        count = len(next(iter(examples.values())))
        if labels is not None and labels.ndim == 2 and labels.shape[1] == 1:
            labels = labels.reshape(-1)
        if labels is not None and any(len(a) != len(labels) for a in examples.values()):
            raise ValueError(f"there are {count} examples, but {len(labels)} labels")
        if training and labels is not None and self.shuffle == "once":
            order = shuffler().permutation(count)
            examples, labels = {name: a[order] for name, a in examples.items()}, labels[order]
            training = False
        return NDArrayIter(
            examples,
            labels,
            min(count, self.numpy_batch_size),
            shuffle=training,
            last_batch_handle="roll_over" if training else "pad",
        )

    def _data_name(self) -> str:
        """The argument that takes the examples of an array: `data`, or the only one that is neither label nor parameter."""
        arguments = self.symbol.list_arguments()
        if self.data_names:
            return self.data_names[0]
        if "data" in arguments:
            return "data"
        labels = label_arguments(self.symbol)
        known = ("_weight", "_bias", "_gamma", "_beta")
        free = [n for n in arguments if n not in labels and not n.endswith(known)]
        if len(free) != 1:
            raise GraphError(
                f"your array is the input data, but the graph has no such argument: it wants {', '.join(free) or 'none'}; "
                "pass a dict of arrays"
            )
        return free[0]

    def _rows(self, name: str, array: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
        """The array with examples along the first axis."""
        layout = self.array_layout
        if layout == "auto" and array.ndim == 2:
            if labels is not None:
                fits = [len(labels) == n for n in array.shape]
            else:
                fits = [self._takes(name, shape) for shape in (array.shape, array.shape[::-1])]
            if fits[0] == fits[1]:
                raise ValueError("Cannot auto select array_layout, please specify this parameter: rowmajor or colmajor")
            layout = "rowmajor" if fits[0] else "colmajor"
        return array.T if layout == "colmajor" else array

    def _takes(self, name: str, shape: tuple[int, ...]) -> bool:
        """Whether an input of a shape goes with the parameters that there are."""
        try:
            shapes = self.symbol.infer_shape_partial(**{name: shape})[0]
        except ShapeError:
            return False
        wanted = dict(zip(self.symbol.list_arguments(), shapes, strict=True))
        return all(wanted.get(n, a.shape) == a.shape for n, a in (self.arg_params or {}).items())

    def _validation(self, given: Any) -> Any:
        if isinstance(given, dict) and "data" in given and "label" in given:
            given = (given["data"], given["label"])
        if not isinstance(given, (tuple, list)):
            return given
        if len(given) != 2:
            raise ValueError(f"eval_data must be an iterator or (examples, labels), got {len(given)} parts")
        if isinstance(given[0], DataIter):
            return given[0]
        return self._iterator(given[0], given[1])

    # ---- using it ---------------------------------------------------------------------------------------------------

    def _bound(self, data: Any) -> Module:
        """A module with the present parameters for the iterator's batches."""
        if self.arg_params is None:
            raise GraphError("FeedForward: there are no parameters yet; call fit() or load() first")
        shapes = [tuple(tuple(d) for d in descs or ()) for descs in (data.provide_data, data.provide_label)]
        module = self._predictor
        if module is None or shapes != self._predictor_shapes:
            module = self._predictor = self._module(data, train=False)
            self._predictor_shapes = shapes
            module.bind(data.provide_data, data.provide_label, for_training=False)
        module.set_params(self.arg_params, self.aux_params or {}, allow_extra=self.allow_extra_params)
        return module

    def predict(self, X: Any, num_batch: int | None = None, return_data: bool = False, reset: bool = True) -> Any:
        """The outputs for arrays or an iterator, as NumPy arrays; with `return_data` also what they were computed from."""
        data = self._iterator(X)
        module = self._bound(data)
        outputs, examples, labels = [], [], []
        for found, _, batch in module.iter_predict(data, num_batch, reset):
            outputs.append([a.asnumpy() for a in found])
            if return_data:
                size, axis = module._batch_size()
                pad = fillers(data, batch)
                for kept, arrays in ((examples, batch.data), (labels, batch.label)):
                    kept.append([_array(without(a, pad, size, axis)) for a in arrays or ()])
        if not return_data:
            return _joined(outputs)
        return _joined(outputs), _joined(examples), _joined(labels)

    def score(
        self,
        X: Any,
        eval_metric: Any = "acc",
        num_batch: int | None = None,
        batch_end_callback: Any = None,
        reset: bool = True,
        y: Any = None,
    ) -> Any:
        """What a metric says of an iterator, or of arrays with labels: score(iterator, "acc"), score(X, y)."""
        if isinstance(eval_metric, (np.ndarray, NDArray)) and y is None:
            eval_metric, y = "acc", eval_metric
        data = self._iterator(X, y, training=y is None and not isinstance(X, DataIter))
        metric = metrics.create(eval_metric)
        self._bound(data).score(data, metric, num_batch, batch_end_callback, reset=reset)
        return metric.get()[1]

    # ---- files ------------------------------------------------------------------------------------------------------

    def save(self, prefix: str, epoch: int | None = None, remove_amp_cast: bool = True) -> None:
        """Writes `prefix-symbol.json` and `prefix-<epoch>.params`; the epoch is by default the last one."""
        epoch = self.num_epoch if epoch is None else epoch
        if epoch is None:
            raise ValueError("FeedForward.save: the number of the epoch is missing")
        save_checkpoint(prefix, epoch, self.symbol, self.arg_params or {}, self.aux_params or {}, remove_amp_cast)

    @staticmethod
    def load(prefix: str, epoch: int, ctx: Any = None, **kwargs: Any) -> FeedForward:
        """A model from a checkpoint, which training would take up after that epoch."""
        symbol, arg_params, aux_params = load_checkpoint(prefix, epoch)
        kwargs = {"begin_epoch": epoch, **kwargs}
        return FeedForward(symbol, ctx=ctx, arg_params=arg_params, aux_params=aux_params, **kwargs)

    @staticmethod
    def create(
        symbol: Symbol,
        X: Any,
        y: Any = None,
        ctx: Any = None,
        num_epoch: int | None = None,
        epoch_size: int | None = None,
        optimizer: Any = "sgd",
        initializer: Any = Uniform(0.01),  # noqa: B008
        eval_data: Any = None,
        eval_metric: Any = "acc",
        epoch_end_callback: Any = None,
        batch_end_callback: Any = None,
        kvstore: Any = "local",
        logger: Any = None,
        work_load_list: Sequence[float] | None = None,
        eval_end_callback: Any = LogValidationMetricsCallback(),  # noqa: B008
        eval_batch_end_callback: Any = None,
        **kwargs: Any,
    ) -> FeedForward:
        """Makes a model and trains it. Arguments that are not of `fit` are those of the constructor."""
        given = modern(kwargs)
        fit = {
            "eval_data": eval_data,
            "eval_metric": eval_metric,
            "epoch_end_callback": epoch_end_callback,
            "batch_end_callback": batch_end_callback,
            "kvstore": kvstore,
            "logger": logger,
            "work_load_list": work_load_list,
            "eval_end_callback": eval_end_callback,
            "eval_batch_end_callback": eval_batch_end_callback,
        }
        fit |= {name: given.pop(name) for name in (*fit, "monitor", *EXTRAS) if name in given}
        made = {"num_epoch": num_epoch, "optimizer": optimizer, "initializer": initializer, **given}
        if fit["eval_metric"] is None:
            fit["eval_metric"] = "acc"
        model = FeedForward(symbol, ctx=ctx, epoch_size=epoch_size, **made)
        model.fit(X, y, **fit)
        return model


def modern(given: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments under the names that they have here."""
    found: dict[str, Any] = {}
    for key, value in given.items():
        name = key.replace(".", "_")
        name = _SPELLINGS.get(name, name)
        if name == "begin_round":
            name, value = "begin_epoch", value - 1
        if name in found:
            raise TypeError(f"{name} is given twice, once as {key}")
        found[name] = value
    return found


def _array(given: Any) -> np.ndarray:
    return given.asnumpy() if isinstance(given, NDArray) else np.asarray(given)


def _joined(batches: list[list[np.ndarray]]) -> Any:
    """The arrays of all batches put together: one, or a list."""
    arrays = [np.concatenate(parts) for parts in zip(*batches, strict=True)]
    return arrays[0] if len(arrays) == 1 else arrays


_LOSSES = {
    "rmse": sym.LinearRegressionOutput,
    "softmax": sym.SoftmaxOutput,
    "logistic": sym.LogisticRegressionOutput,
}


def mlp(
    data: Any,
    label: Any = None,
    hidden_node: Any = 1,
    out_node: int | None = None,
    dropout: float | None = None,
    activation: Any = "tanh",
    out_activation: str = "softmax",
    ctx: Any = None,
    **kwargs: Any,
) -> FeedForward:
    """Makes and trains a network of fully connected layers, as the R package does.

    `hidden_node` has the sizes of the hidden layers, `activation` their activations (one for all, or one each);
    `dropout` comes behind the last of them; the examples are shuffled once; `out_activation` is softmax, logistic, or rmse
    for a linear output. The other arguments are those of `FeedForward.create`.
    """
    given = modern(kwargs)
    sizes, out_node = given.pop("hidden_node", hidden_node), given.pop("out_node", out_node)
    kind = given.pop("out_activation", out_activation)
    sizes = [sizes] if isinstance(sizes, (int, np.integer)) else list(sizes)
    if out_node is None:
        raise ValueError("mlp: out_node, the number of outputs, is missing")
    if kind not in _LOSSES:
        raise ValueError(f"mlp: out_activation must be one of {', '.join(_LOSSES)}, got {kind!r}")
    activations = [activation] if isinstance(activation, str) else list(activation)
    if len(activations) == 1:
        activations *= len(sizes)
    if len(activations) != len(sizes):
        raise ValueError(f"mlp: {len(sizes)} hidden layers need one activation or {len(sizes)}, got {len(activations)}")
    net = sym.Variable("data")
    for size, kind_of in zip(sizes, activations, strict=True):
        net = sym.Activation(sym.FullyConnected(net, num_hidden=int(size)), act_type=kind_of)
    if dropout is not None:
        net = sym.Dropout(net, p=min(max(float(dropout), 0.0), 1 - 1e-7))
    net = _LOSSES[kind](sym.FullyConnected(net, num_hidden=int(out_node)))
    return FeedForward.create(net, data, label, ctx=ctx, **{"shuffle": "once", **given})
