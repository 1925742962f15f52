"""Module: one symbol with its parameters and its optimizer, on one or several devices.

`forward_backward` followed by `update` is one program and one crossing from Python: the first only feeds the batch, and the
second runs forward, backward and update together. Whoever looks in between (outputs, gradients, parameters) makes forward
and backward run at once; the numbers are the same.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from .. import metric as metrics
from ..base import GraphError, MXNetError
from ..checkpoint import Params, load_checkpoint, write_whole
from ..context import Context, cpu
from ..executor import read_grad_req
from ..initializer import InitDesc
from ..io import DataDesc
from ..kvstore import create as create_kvstore
from ..ndarray import NDArray
from ..optimizer import Optimizer, Updater
from ..precision import Precision
from ..symbol import Symbol
from .base import BaseModule, Given
from .inputs import check_inputs, find_labels, match_patterns
from .replicas import Replicas, groups_of, joined
from .shapes import Shapes
from .updates import Updates, make_optimizer


class Module(BaseModule):
    """A symbol that is trained and used. Parameters are what is neither data nor label nor state.

    `fixed_param_names` (names, glob patterns or regular expressions for whole names) are not trained.
    """

    def __init__(
        self,
        symbol: Symbol,
        data_names: Sequence[str] | None = ("data",),
        label_names: Sequence[str] | None = ("softmax_label",),
        logger: Any = logging,
        context: Any = None,
        work_load_list: Sequence[float] | None = None,
        fixed_param_names: Sequence[str] | None = None,
        state_names: Sequence[str] | None = None,
        group2ctxs: Any = None,
        compression_params: Any = None,
    ):
        super().__init__(logger)
        context = cpu() if context is None else context
        self._context = [context] if isinstance(context, Context) else list(context)
        self._loads = list(work_load_list or [1] * len(self._context))
        if len(self._loads) != len(self._context):
            raise ValueError(f"work_load_list has {len(self._loads)} entries for {len(self._context)} devices")
        self._symbol: Symbol = symbol
        self._data_names = list(data_names or ())
        self._state_names = list(state_names or ())
        check_inputs(symbol, self._data_names, "data_names")
        check_inputs(symbol, self._state_names, "state_names")
        inputs = {*self._data_names, *self._state_names}
        self._label_names = find_labels(symbol, list(label_names or ()), inputs)
        inputs.update(self._label_names)
        self._param_names = [n for n in symbol.list_arguments() if n not in inputs]
        self._aux_names = symbol.list_auxiliary_states()
        self._output_names = symbol.list_outputs()
        self._fixed_param_names = match_patterns(fixed_param_names or (), self._param_names, "fixed_param_names")
        self._group2ctxs = groups_of(group2ctxs, len(self._context))
        self._compression_params = compression_params
        self._given: tuple[Params, Params] | None = None  # parameters that wait for bind
        self._updates: Updates | None = None
        self._preloaded_states: str | None = None
        self._monitors: list[Any] = []
        self._precision = Precision()
        self._unbind()

    def _unbind(self) -> None:
        self.binded = False
        self._shapes: Shapes | None = None
        self._pending = False  # whether a batch was fed whose forward and backward pass are still to come
        self._spent = False  # whether gradients went into the last update without being kept
        self._one_program = False  # whether steps may be single programs

    @staticmethod
    def load(prefix: str, epoch: int, load_optimizer_states: bool = False, **kwargs: Any) -> Module:
        """A module from a checkpoint; keywords are those of the constructor."""
        symbol, arg_params, aux_params = load_checkpoint(prefix, epoch)
        module = Module(symbol=symbol, **kwargs)
        module._given = arg_params, aux_params
        module.params_initialized = True
        if load_optimizer_states:
            module._preloaded_states = f"{prefix}-{epoch:04d}.states"
        return module

    def save_checkpoint(
        self, prefix: str, epoch: int, save_optimizer_states: bool = False, remove_amp_cast: bool = True
    ) -> None:
        """Writes `prefix-symbol.json`, `prefix-<epoch>.params` and, if asked, `prefix-<epoch>.states`."""
        symbol = self._symbol
        write_whole(f"{prefix}-symbol.json", lambda path: symbol.save(path, remove_amp_cast=remove_amp_cast))
        name = f"{prefix}-{epoch:04d}.params"
        self.save_params(name)
        logging.info('Saved checkpoint to "%s"', name)
        if save_optimizer_states:
            name = f"{prefix}-{epoch:04d}.states"
            self.save_optimizer_states(name)
            logging.info('Saved optimizer state to "%s"', name)

    # ---- what it is -------------------------------------------------------------------------------------------------

    @property
    def data_names(self) -> list[str]:
        return self._data_names

    @property
    def label_names(self) -> list[str]:
        return self._label_names

    @property
    def output_names(self) -> list[str]:
        return self._output_names

    @property
    def data_shapes(self) -> list[DataDesc]:
        return self._bound.data

    @property
    def label_shapes(self) -> list[DataDesc] | None:
        return self._bound.labels or None

    @property
    def output_shapes(self) -> list[tuple[str, tuple[int, ...]]]:
        return self._bound.output_shapes(self._output_names)

    @property
    def _optimizer(self) -> Optimizer | None:
        return None if self._updates is None else self._updates.optimizer

    @property
    def _updater(self) -> Updater | None:
        return None if self._updates is None else self._updates.updater

    @property
    def _all(self) -> Shapes:
        if self._shapes is None:
            raise MXNetError(f"{type(self).__name__}: call bind() first")
        return self._shapes

    @property
    def _bound(self) -> Replicas:
        """The executors for the present batch."""
        return self._all.now

    @property
    def _first(self) -> Replicas:
        """The executors that own the parameters."""
        return self._all.first

    @property
    def _exec_group(self) -> Replicas:
        """The executors, for programs for MXNet that look at gradients. From then on all steps keep them."""
        self._flush()
        if self._one_program and self._spent:
            self.logger.warning("The gradients of the last step were not kept, since nobody looked; now they will be")
        self._one_program = False
        return self._bound

    def _computed(self) -> Replicas:
        """The executors, with nothing left to be computed."""
        self._flush()
        return self._bound

    # ---- binding ----------------------------------------------------------------------------------------------------

    def _bind(self, data_shapes: Any, label_shapes: Any, force: bool, shared_module: Any, grad_req: Any) -> None:
        if self.binded and self.params_initialized:
            self._given = self.get_params()
        self._unbind()
        self._reqs = self._requirements(grad_req)
        self._one_program = (  # as far as binding decides it
            len(self._context) == 1
            and not self.inputs_need_grad
            and self._group2ctxs[0] is None
            and set(self._reqs.values()) in ({"write"}, {"write", "null"})
        )
        shared = None
        if shared_module is not None:
            shared = shared_module._exec_group_of(self)
        shapes = Shapes(self._replicas, self._data_names, self._label_names, self.for_training)
        shapes.begin(data_shapes, label_shapes, shared)
        self._shapes = shapes
        if shared is not None:
            self.params_initialized = shared_module.params_initialized
        elif self._given is not None:
            for given, auxiliary in zip(self._given, (False, True), strict=True):
                for name in self._aux_names if auxiliary else self._param_names:
                    if name not in given:
                        raise GraphError(f"bind: the network wants {name}, which is not among its loaded parameters")
                    self._first.set(name, given[name], auxiliary)
            self._given = None
        if shared_module is not None and shared_module.optimizer_initialized:
            self.borrow_optimizer(shared_module)

    def set_precision(self, precision: Any, loss_scale: float | str | None = None) -> None:
        chosen = precision if isinstance(precision, Precision) else Precision(precision, loss_scale)
        if self.binded:
            if chosen.choice == self._precision.choice:
                return
            raise MXNetError("set_precision: the module is bound already; choose the precision before bind()")
        self._precision = chosen

    def precision_state(self) -> Any:
        return self._precision.state()

    def load_precision_state(self, state: Any) -> None:
        self._precision.load_state(state)

    def _exec_group_of(self, borrower: Module) -> Replicas:
        """The executors whose parameters another module shares."""
        self._need("binded")
        if len(borrower._context) != len(self._context):
            raise ValueError("modules that share parameters must be on the same devices")
        return self._first

    def _requirements(self, grad_req: Any) -> dict[str, str]:
        """The grad_req of every argument."""
        arguments = self._symbol.list_arguments()
        if isinstance(grad_req, Mapping):
            grad_req = {n: grad_req.get(n, "write") for n in arguments}
        asked = read_grad_req(grad_req, arguments)
        trained = {*self._param_names} - {*self._fixed_param_names}
        if self.inputs_need_grad:
            trained |= {*self._data_names}
        return {n: req if self.for_training and n in trained else "null" for n, req in asked.items()}

    def _replicas(self, data: list[DataDesc], labels: list[DataDesc], shared: Replicas | None) -> Replicas:
        made = Replicas(
            self._precision.symbol(self._symbol),
            self._context,
            self._loads,
            data,
            labels,
            self._param_names,
            self._reqs,
            self._group2ctxs,
            shared,
        )
        self._precision.tell(made.execs)
        for monitor in self._monitors:
            self._watch(made, monitor)
        return made

    def reshape(self, data_shapes: Any, label_shapes: Any = None) -> None:
        """Prepares for batches of other shapes, on the same parameters."""
        self._need("binded")
        self._flush()
        self._all.switch(data_shapes, label_shapes)

    # ---- parameters -------------------------------------------------------------------------------------------------

    def _init_params(
        self, initializer: Any, args: Given, aux: Given, allow_missing: bool, force: bool, allow_extra: bool
    ) -> None:
        self._flush()
        first = self._first
        attributes = self._symbol.attr_dict()
        for given, names, auxiliary in (
            (args, self._param_names, False),
            (aux, self._aux_names, True),
        ):
            what = "auxiliary state" if auxiliary else "parameter"
            extra = [n for n in given or () if n not in names]
            if extra and not allow_extra:
                raise ValueError(
                    f"the network has no {what} {', '.join(extra)}; pass allow_extra=True if that is meant"
                )
            for name in sorted(names):
                if given is not None and name in given:
                    first.set(name, given[name], auxiliary)
                elif given is not None and not allow_missing:
                    raise RuntimeError(f"{name} is not presented: the given values lack this {what}")
                elif initializer is not None:
                    first.initialize(InitDesc(name, attributes.get(name)), initializer, auxiliary)
        if self._updates is not None:
            self._updates.copy_to_masters(first)

    def get_params(self) -> tuple[Params, Params]:
        if self._given is not None:
            return dict(self._given[0]), dict(self._given[1])
        self._need("binded", "params_initialized")
        self._flush()
        first = self._first
        return {n: first.get(n) for n in self._param_names}, {n: first.get(n, True) for n in self._aux_names}

    def synchronize(self) -> None:
        first = self._first
        if len(first.execs) > 1:
            self._flush()
            for name in self._aux_names:
                first.set(name, first.get(name, True), True)

    # ---- steps ------------------------------------------------------------------------------------------------------

    def forward(self, data_batch: Any, is_train: bool | None = None) -> None:
        self._need("binded", "params_initialized")
        self._flush()
        train = self.for_training if is_train is None else is_train
        self._feed(data_batch, train)
        self._precision.tell(self._bound.execs)
        for executor in self._bound.execs:
            executor.forward(is_train=train)

    def _feed(self, batch: Any, train: bool) -> None:
        if isinstance(batch, list):
            batch = joined(batch)
        label = getattr(batch, "label", None)  # a batch may be anything that has data
        if not self._bound.labels and not (train and self._label_names):
            label = None  # bound without labels, and without use for them
        elif train and not label and self._bound.labels:
            wanted = ", ".join(d.name for d in self._bound.labels)
            raise GraphError(f"a batch for training must have labels: the graph wants {wanted}")
        self._all.suit(batch, label)
        self._bound.feed(batch.data, label)

    def backward(self, out_grads: Any = None) -> None:
        self._need("binded", "params_initialized")
        self._flush()
        bound = self._bound
        self._spent = False
        if isinstance(out_grads, NDArray):
            out_grads = [out_grads]
        for executor, rows in zip(bound.execs, bound.slices, strict=True):
            if out_grads is None or len(bound.execs) == 1:
                executor.backward(out_grads)
            else:
                executor.backward([grad[rows] for grad in out_grads])

    def forward_backward(self, data_batch: Any) -> None:
        self._need("binded", "params_initialized")
        self._flush()
        if not self._fuses():
            super().forward_backward(data_batch)
            return
        self._feed(data_batch, True)
        self._pending = True

    def update(self) -> None:
        self._need("binded", "params_initialized", "optimizer_initialized")
        if self._pending and self._fuses():
            self._pending, self._spent = False, True
            self._precision.tell(self._bound.execs)
            assert self._updates is not None
            step = self._updates.step(self._bound, self._precision.guarded)
            with self._precision.updating(self._optimizer):
                step()
            if self._precision.guarded:
                self._precision.learn(step.finite)
            return
        self._flush()
        if self._spent:
            raise MXNetError("update: there was no batch since the last update, which has not kept its gradients")
        assert self._updates is not None
        bound = self._bound
        trained = [n for n in self._param_names if self._reqs[n] != "null"]
        with self._precision.updating(self._optimizer):
            if self._precision.guarded and not self._precision.learn(bound.gradients_are_finite(trained)):
                return
            self._updates.apply(bound, trained)

    def _fuses(self) -> bool:
        """Whether a step can be one program, with nobody looking in between."""
        optimizer = self._optimizer
        return self._one_program and optimizer is not None and optimizer.has_rule and not self._bound.watched

    def _flush(self) -> None:
        """Runs forward and backward of a batch that was only fed."""
        if self._pending:
            self._pending = self._spent = False
            self._precision.tell(self._bound.execs)
            executor = self._bound.execs[0]
            executor.forward(is_train=True)
            executor.backward()

    # ---- results ----------------------------------------------------------------------------------------------------

    def get_outputs(self, merge_multi_context: bool = True) -> list[Any]:
        self._need("binded", "params_initialized")
        return self._computed().outputs(merge_multi_context)

    def get_input_grads(self, merge_multi_context: bool = True) -> list[Any]:
        self._need("binded", "params_initialized")
        if not self.inputs_need_grad:
            raise MXNetError("get_input_grads: bind with inputs_need_grad=True first")
        return self._computed().input_grads(merge_multi_context)

    def get_states(self, merge_multi_context: bool = True) -> list[Any]:
        self._need("binded", "params_initialized")
        return self._computed().values(self._state_names, merge_multi_context)

    def set_states(self, states: Any = None, value: Any = None) -> None:
        """Gives the states arrays (as `get_states` gives them, merged or not), or all of them one number."""
        self._need("binded", "params_initialized")
        self._flush()
        if (states is None) == (value is None):
            raise ValueError("set_states needs either states or value")
        bound = self._bound
        for i, name in enumerate(self._state_names):
            for k, (executor, rows) in enumerate(zip(bound.execs, bound.slices, strict=True)):
                target = executor.arg_dict[name]
                if states is None:
                    target[:] = value
                elif isinstance(states[i], (list, tuple)):
                    target[:] = states[i][k]
                else:
                    target[:] = states[i] if len(bound.execs) == 1 else states[i][rows]

    def update_metric(self, eval_metric: metrics.EvalMetric, labels: Any, pre_sliced: bool = False) -> None:
        outputs = self.get_outputs(merge_multi_context=not pre_sliced)
        if not pre_sliced:
            eval_metric.update_dict(self._named_labels(labels), dict(zip(self._output_names, outputs, strict=True)))
            return
        for k, own in enumerate(labels):
            found = {name: output[k] for name, output in zip(self._output_names, outputs, strict=True)}
            eval_metric.update_dict(self._named_labels(own), found)

    def install_monitor(self, mon: Any) -> None:
        """Lets a monitor watch all executors; steps are then no single programs any more."""
        self._need("binded")
        self._flush()
        self._monitors.append(mon)
        for replicas in self._all:
            self._watch(replicas, mon)

    @staticmethod
    def _watch(replicas: Replicas, monitor: Any) -> None:
        replicas.watched, replicas.step = True, None
        for executor in replicas.execs:
            monitor.install(executor)

    # ---- the optimizer ----------------------------------------------------------------------------------------------

    def _init_optimizer(self, kvstore: Any, optimizer: Any, optimizer_params: Any, force: bool) -> None:
        self._flush()
        store = create_kvstore(kvstore or "local")
        if self._compression_params:
            store.set_gradient_compression(self._compression_params)
        size = self._first.batch_size
        self._updates = Updates(
            make_optimizer(optimizer, optimizer_params, self._symbol, self._param_names, size), store
        )
        if self._preloaded_states is not None:
            self._updates.load(self._preloaded_states)
            self._preloaded_states = None

    def updaters(self) -> list[Updater]:
        return [] if self._updates is None else [self._updates.updater]

    def borrow_optimizer(self, shared_module: Any) -> None:
        """Uses another module's optimizer, with its states."""
        if not shared_module.optimizer_initialized:
            raise MXNetError("borrow_optimizer: the other module has no optimizer")
        self._updates = shared_module._updates
        self.optimizer_initialized = True

    def save_optimizer_states(self, fname: str) -> None:
        """Writes the optimizer's states (momenta and the like) to a file."""
        self._need("optimizer_initialized")
        assert self._updates is not None
        self._updates.save(fname)

    def load_optimizer_states(self, fname: str) -> None:
        """Takes the optimizer's states from a file. Only for files from a source you trust: they are pickles."""
        self._need("optimizer_initialized")
        assert self._updates is not None
        self._updates.load(fname)
