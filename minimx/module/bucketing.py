"""BucketingModule: one set of parameters for networks of several lengths, each bound when its first batch comes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .. import ndarray as nd
from .. import symbol as sym
from ..base import GraphError
from ..checkpoint import Params, load_params, write_whole
from ..io import DataDesc
from ..ndarray import NDArray
from ..optimizer import Updater
from ..precision import Precision
from ..symbol import Symbol
from .base import BaseModule, Given
from .module import Module

Generated = tuple[Symbol, Sequence[str], Sequence[str]]


class BucketingModule(BaseModule):
    """`sym_gen(bucket_key)` returns (symbol, data names, label names). Batches say by `bucket_key` which one they need.

    The module of the default bucket, which should be the largest, owns parameters, optimizer and memory; the others share
    them by name.
    """

    def __init__(
        self,
        sym_gen: Callable[[Any], Generated],
        default_bucket_key: Any = None,
        logger: Any = logging,
        context: Any = None,
        work_load_list: Sequence[float] | None = None,
        fixed_param_names: Sequence[str] | None = None,
        state_names: Sequence[str] | None = None,
        group2ctxs: Any = None,
        compression_params: Any = None,
    ):
        super().__init__(logger)
        if default_bucket_key is None:
            raise ValueError("BucketingModule: default_bucket_key, the key of the largest bucket, is missing")
        self._sym_gen = sym_gen
        self._default_bucket_key = default_bucket_key
        self._options = {
            "logger": logger,
            "context": context,
            "work_load_list": work_load_list,
            "state_names": state_names,
            "group2ctxs": group2ctxs,
            "compression_params": compression_params,
        }
        self._precision = Precision()
        self._default = self._module(default_bucket_key, fixed_param_names)
        self._fixed = self._default._fixed_param_names
        self._buckets: dict[Any, Module] = {}
        self._current = self._default
        self._current_key = default_bucket_key
        self._monitors: list[Any] = []

    def _module(self, key: Any, fixed: Sequence[str] | None) -> Module:
        symbol, data_names, label_names = self._sym_gen(key)
        made = Module(symbol, data_names, label_names, fixed_param_names=fixed, **self._options)
        made.set_precision(self._precision)
        return made

    def set_precision(self, precision: str, loss_scale: float | str | None = None) -> None:
        chosen = Precision(precision, loss_scale)
        if chosen.choice == self._precision.choice:
            return
        self._precision = chosen
        for module in (self._default, *self._buckets.values()):
            module.set_precision(self._precision)

    def precision_state(self) -> Any:
        return self._precision.state()

    def load_precision_state(self, state: Any) -> None:
        self._precision.load_state(state)

    @property
    def _optimizer(self) -> Any:
        return self._default._optimizer

    # ---- what it is -------------------------------------------------------------------------------------------------

    @property
    def symbol(self) -> Symbol:
        return self._current.symbol

    @property
    def data_names(self) -> list[str]:
        return self._current.data_names

    @property
    def output_names(self) -> list[str]:
        return self._current.output_names

    @property
    def data_shapes(self) -> list[DataDesc]:
        return self._current.data_shapes

    @property
    def label_shapes(self) -> list[DataDesc] | None:
        return self._current.label_shapes

    @property
    def output_shapes(self) -> list[tuple[str, tuple[int, ...]]]:
        return self._current.output_shapes

    # ---- binding ----------------------------------------------------------------------------------------------------

    def _bind(self, data_shapes: Any, label_shapes: Any, force: bool, shared_module: Any, grad_req: Any) -> None:
        """Binds the default bucket; the shapes are its."""
        if shared_module is not None:
            raise ValueError("BucketingModule: shared_module is not supported")
        self._grad_req = grad_req
        self._default.bind(
            data_shapes, label_shapes, self.for_training, self.inputs_need_grad, force, grad_req=grad_req
        )
        self._buckets = {self._default_bucket_key: self._default}
        self._current, self._current_key = self._default, self._default_bucket_key

    def switch_bucket(self, bucket_key: Any, data_shapes: Any, label_shapes: Any = None) -> None:
        """Goes to a bucket, which is bound if it is new."""
        self._need("binded")
        self._current._flush()
        module = self._buckets.get(bucket_key)
        if module is None:
            module = self._new_bucket(bucket_key, data_shapes, label_shapes)
        self._current, self._current_key = module, bucket_key

    def _new_bucket(self, key: Any, data_shapes: Any, label_shapes: Any) -> Module:
        module = self._module(key, None)
        own = self._default
        for names, others in (
            (module._param_names, own._param_names),
            (module._aux_names, own._aux_names),
        ):
            extra = [n for n in names if n not in others]
            if extra:
                raise GraphError(
                    f"bucket {key!r} has parameters that the default bucket {self._default_bucket_key!r} lacks: "
                    + ", ".join(extra)
                )
        module._fixed_param_names = [n for n in self._fixed if n in module._param_names]
        module.bind(
            data_shapes,
            label_shapes,
            self.for_training,
            self.inputs_need_grad,
            shared_module=own,
            grad_req=self._grad_req,
        )
        for monitor in self._monitors:
            module.install_monitor(monitor)
        self._buckets[key] = module
        return module

    def _switch(self, batch: Any) -> Module:
        """The module for a batch, which becomes the current one."""
        self._need("binded", "params_initialized")
        key = getattr(batch, "bucket_key", None)
        key = self._default_bucket_key if key is None else key
        if key != self._current_key:
            data, label = getattr(batch, "provide_data", None), getattr(batch, "provide_label", None)
            if key not in self._buckets and data is None:
                raise ValueError(f"a batch of the new bucket {key!r} must say its shapes in provide_data")
            self.switch_bucket(key, data, label)
        return self._current

    # ---- parameters -------------------------------------------------------------------------------------------------

    def _init_params(
        self, initializer: Any, args: Given, aux: Given, allow_missing: bool, force: bool, allow_extra: bool
    ) -> None:
        self._current._flush()
        self._default.init_params(initializer, args, aux, allow_missing, True, allow_extra)
        for module in self._buckets.values():
            module.params_initialized = True

    def get_params(self) -> tuple[Params, Params]:
        if self._current is not self._default:
            self._current._flush()
        return self._default.get_params()

    def synchronize(self) -> None:
        self._current._flush()
        self._default.synchronize()

    def get_states(self, merge_multi_context: bool = True) -> list[Any]:
        return self._current.get_states(merge_multi_context)

    def set_states(self, states: Any = None, value: Any = None) -> None:
        self._current.set_states(states, value)

    # ---- steps ------------------------------------------------------------------------------------------------------

    def forward(self, data_batch: Any, is_train: bool | None = None) -> None:
        self._switch(data_batch).forward(data_batch, is_train)

    def forward_backward(self, data_batch: Any) -> None:
        self._switch(data_batch).forward_backward(data_batch)

    def backward(self, out_grads: Any = None) -> None:
        self._need("binded", "params_initialized")
        self._current.backward(out_grads)

    def update(self) -> None:
        self._need("binded", "params_initialized", "optimizer_initialized")
        self._current.update()

    def get_outputs(self, merge_multi_context: bool = True) -> list[Any]:
        return self._current.get_outputs(merge_multi_context)

    def get_input_grads(self, merge_multi_context: bool = True) -> list[Any]:
        return self._current.get_input_grads(merge_multi_context)

    def update_metric(self, eval_metric: Any, labels: Any, pre_sliced: bool = False) -> None:
        self._current.update_metric(eval_metric, labels, pre_sliced)

    def install_monitor(self, mon: Any) -> None:
        self._need("binded")
        self._monitors.append(mon)
        for module in self._buckets.values():
            module.install_monitor(mon)

    # ---- the optimizer ----------------------------------------------------------------------------------------------

    def _init_optimizer(self, kvstore: Any, optimizer: Any, optimizer_params: Any, force: bool) -> None:
        self._current._flush()
        self._default.init_optimizer(kvstore, optimizer, optimizer_params, force_init=True)
        self._lend_optimizer()

    def _lend_optimizer(self) -> None:
        for module in self._buckets.values():
            if module is not self._default:
                module.borrow_optimizer(self._default)

    def updaters(self) -> list[Updater]:
        return self._default.updaters()

    def save_optimizer_states(self, fname: str) -> None:
        """Writes the optimizer's states to a file."""
        self._current._flush()
        self._default.save_optimizer_states(fname)

    def load_optimizer_states(self, fname: str) -> None:
        """Takes the optimizer's states from a file."""
        self._default.load_optimizer_states(fname)
        self._lend_optimizer()

    # ---- files ------------------------------------------------------------------------------------------------------

    def save_checkpoint(
        self, prefix: str, epoch: int, save_optimizer_states: bool = False, remove_amp_cast: bool = False
    ) -> None:
        """Writes `prefix-<epoch>.params`, a `prefix-<key>-symbol.json` for every bucket that was used, their keys as
        `prefix.buckets` if they are numbers, and, if asked, `prefix-<epoch>.states`."""
        self._need("binded", "params_initialized")
        for key, module in self._buckets.items():
            write_whole(f"{prefix}-{key}-symbol.json", lambda path, m=module: m.symbol.save(path, remove_amp_cast))
        if all(isinstance(key, (int, np.integer)) for key in self._buckets):
            keys = nd.array(list(self._buckets), dtype="int32")
            write_whole(f"{prefix}.buckets", lambda path: nd.save(path, keys))
        name = f"{prefix}-{epoch:04d}.params"
        self.save_params(name)
        if save_optimizer_states:
            self.save_optimizer_states(f"{prefix}-{epoch:04d}.states")

    @staticmethod
    def load(
        prefix: str, epoch: int, sym_gen: Any = None, default_bucket_key: Any = None, **kwargs: Any
    ) -> BucketingModule:
        """A module with the parameters of a checkpoint; without `sym_gen` it has the networks that were saved with them,
        whose only data is called `data`."""
        symbols = {}
        if sym_gen is None:
            (keys,) = nd.load(f"{prefix}.buckets")
            symbols = {key: sym.load(f"{prefix}-{key}-symbol.json") for key in keys.asnumpy().tolist()}
            default_bucket_key = max(symbols) if default_bucket_key is None else default_bucket_key
        return BucketingModule.load_dict(symbols, sym_gen, default_bucket_key, *load_params(prefix, epoch), **kwargs)

    @staticmethod
    def load_dict(
        sym_dict: Mapping[Any, Symbol] | None = None,
        sym_gen: Any = None,
        default_bucket_key: Any = None,
        arg_params: Mapping[str, NDArray] | None = None,
        aux_params: Mapping[str, NDArray] | None = None,
        **kwargs: Any,
    ) -> BucketingModule:
        """A module with the given parameters, and with networks from `sym_gen` or, by bucket, from `sym_dict`."""
        if sym_gen is None:
            if not sym_dict:
                raise ValueError("BucketingModule: networks are needed, from sym_gen or sym_dict")
            symbols = dict(sym_dict)

            def sym_gen(key: Any) -> Generated:
                if key not in symbols:
                    raise GraphError(
                        f"there is no network for bucket {key!r}; there are {', '.join(map(str, symbols))}"
                    )
                return symbols[key], ("data",), ("softmax_label",)

        module = BucketingModule(sym_gen, default_bucket_key, **kwargs)
        module._default._given = dict(arg_params or {}), dict(aux_params or {})
        module._default.params_initialized = module.params_initialized = True
        return module
