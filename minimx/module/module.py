"""Module: one symbol with its parameters and its optimizer, on one or several devices.

`forward_backward` followed by `update` is one program and one crossing from Python: the first only feeds the batch, and the
second runs forward, backward and update together. Whoever looks in between (outputs, gradients, parameters) makes forward
and backward run at once; the numbers are the same.
"""

from __future__ import annotations

import logging
import warnings
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from .. import metric as metrics
from ..base import GraphError, MXNetError
from ..checkpoint import Params, load_checkpoint, write_whole
from ..context import Context, cpu
from ..eager import invoke
from ..executor import read_grad_req
from ..initializer import InitDesc, Uniform
from ..io import DataDesc
from ..kvstore import KVStoreBase
from ..kvstore import create as create_kvstore
from ..ndarray import NDArray
from ..optimizer import Optimizer, OptimizerStep, Updater, get_updater
from ..optimizer import create as create_optimizer
from ..precision import Precision
from ..symbol import Symbol
from .base import DEFAULT_OPTIMIZER_PARAMS, BaseModule
from .inputs import check_inputs, described, find_labels, match, match_patterns
from .replicas import Replicas

SHAPES_KEPT = 8  # sets of shapes that stay bound beside the first


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
        self._group2ctxs = _groups_of(group2ctxs, len(self._context))
        self._compression_params = compression_params
        self._given: tuple[Params, Params] | None = None  # parameters that wait for bind
        self._optimizer: Optimizer | None = None
        self._kvstore: KVStoreBase | None = None
        self._updater: Updater | None = None
        self._preloaded_states: str | None = None
        self._monitors: list[Any] = []
        self._precision = Precision()
        self._unbind()

    def _unbind(self) -> None:
        self.binded = False
        self._first: Replicas | None = None  # owns the parameters
        self._now: Replicas | None = None  # has the shapes of the present batch
        self._others: OrderedDict[Any, Replicas] = OrderedDict()
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
    def _bound(self) -> Replicas:
        if self._now is None:
            raise MXNetError(f"{type(self).__name__}: call bind() first")
        return self._now

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
        if self.binded and not force_rebind:
            self.logger.warning("Already bound, ignoring bind()")
            return
        if inputs_need_grad and not for_training:
            raise ValueError("bind: inputs_need_grad needs for_training")
        if self.binded and self.params_initialized:
            self._given = self.get_params()
        self._unbind()
        self.for_training = for_training
        self.inputs_need_grad = inputs_need_grad
        self._reqs = self._requirements(grad_req)
        data, labels = self._matched(data_shapes, label_shapes)
        self._one_program = (  # as far as binding decides it
            len(self._context) == 1
            and not inputs_need_grad
            and self._group2ctxs[0] is None
            and set(self._reqs.values()) in ({"write"}, {"write", "null"})
        )
        shared = None
        if shared_module is not None:
            shared = shared_module._exec_group_of(self)
        self._first = self._now = self._replicas(data, labels, shared)
        self.binded = True
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
        self._precision = precision if isinstance(precision, Precision) else Precision(precision, loss_scale)
        if self.binded:
            raise MXNetError("set_precision: the module is bound already; choose the precision before bind()")

    def precision_state(self) -> Any:
        return self._precision.state()

    def load_precision_state(self, state: Any) -> None:
        self._precision.load_state(state)

    def _exec_group_of(self, borrower: Module) -> Replicas:
        """The executors whose parameters another module shares."""
        self._need("binded")
        if len(borrower._context) != len(self._context):
            raise ValueError("modules that share parameters must be on the same devices")
        assert self._first is not None
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

    def _matched(self, data_shapes: Any, label_shapes: Any) -> tuple[list[DataDesc], list[DataDesc]]:
        data = match(described(data_shapes), self._data_names, "data")
        if not data:
            raise GraphError("bind: a module needs at least one data shape")
        return data, match(described(label_shapes), self._label_names, "label", self.for_training)

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
        """Prepares for batches of other shapes. What was bound before is kept for a while, in case it comes back."""
        self._need("binded")
        self._flush()
        assert self._first is not None
        data, labels = self._matched(data_shapes, label_shapes)
        key = tuple((d.name, d.shape, d.layout) for d in (*data, *labels))
        if key == tuple((d.name, d.shape, d.layout) for d in (*self._first.data, *self._first.labels)):
            self._now = self._first
            return
        found = self._others.pop(key, None) or self._replicas(data, labels, self._first)
        self._others[key] = self._now = found
        if len(self._others) > SHAPES_KEPT:
            self._others.popitem(last=False)

    def _fit_shapes(self, data: Any, label: Any, batch: Any) -> None:
        """Reshapes if a batch is of other shapes than those that are bound."""
        bound, first = self._bound, self._first
        assert first is not None
        if bound.fits(data, label):
            return
        if first.fits(data, label):
            self._now = first
            return
        shapes = []
        for what, arrays, names, descs in (
            ("data", data, self._data_names, bound.data),
            ("label", label or (), self._label_names, bound.labels),
        ):
            own = getattr(batch, f"provide_{what}", None)
            descs = described(own) if own else descs or [DataDesc(name, ()) for name in names]
            if len(arrays) > len(descs) or (what == "data" and len(arrays) < len(descs)):
                wanted = ", ".join(d.name for d in descs) or "none"
                raise GraphError(f"the batch has {len(arrays)} {what} arrays; the module takes {wanted}")
            shapes.append([DataDesc(d.name, a.shape, d.dtype, d.layout) for d, a in zip(descs, arrays, strict=False)])
        self.reshape(*shapes)

    # ---- parameters -------------------------------------------------------------------------------------------------

    def init_params(
        self,
        initializer: Any = Uniform(0.01),  # noqa: B008
        arg_params: Mapping[str, NDArray] | None = None,
        aux_params: Mapping[str, NDArray] | None = None,
        allow_missing: bool = False,
        force_init: bool = False,
        allow_extra: bool = False,
    ) -> None:
        if self.params_initialized and not force_init:
            warnings.warn(
                "Parameters already initialized and force_init=False. init_params call ignored.", stacklevel=2
            )
            return
        self._need("binded")
        self._flush()
        first = self._first
        assert first is not None
        attributes = self._symbol.attr_dict()
        for given, names, auxiliary in (
            (arg_params, self._param_names, False),
            (aux_params, self._aux_names, True),
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
                    value = (first.execs[0].aux_dict if auxiliary else first.execs[0].arg_dict)[name]
                    initializer(InitDesc(name, attributes.get(name)), value)
                    first.set(name, value, auxiliary)
        self._copy_to_masters()
        self.params_initialized = True

    def _copy_to_masters(self) -> None:
        """Gives the float32 copies that an optimizer keeps of half precision parameters their values."""
        if self._optimizer is None or self._updater is None or not self._optimizer.multi_precision:
            return
        assert self._first is not None
        for index, name in self._optimizer.idx2name.items():
            weight = self._first.execs[0].arg_dict.get(name)
            if weight is not None and index in self._updater.states and self._optimizer.is_mixed(weight):
                self._updater.states[index][0][:] = weight

    def get_params(self) -> tuple[Params, Params]:
        if self._given is not None:
            return dict(self._given[0]), dict(self._given[1])
        self._need("binded", "params_initialized")
        self._flush()
        first = self._first
        assert first is not None
        return {n: first.get(n) for n in self._param_names}, {n: first.get(n, True) for n in self._aux_names}

    def synchronize(self) -> None:
        first = self._first
        if first is not None and len(first.execs) > 1:
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
            batch = _joined(batch)
        label = getattr(batch, "label", None)  # a batch may be anything that has data
        if not self._bound.labels and not (train and self._label_names):
            label = None  # bound without labels, and without use for them
        elif train and not label and self._bound.labels:
            wanted = ", ".join(d.name for d in self._bound.labels)
            raise GraphError(f"a batch for training must have labels: the graph wants {wanted}")
        self._fit_shapes(batch.data, label, batch)
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
            step = self._step()
            with self._precision.updating(self._optimizer):
                step()
            if self._precision.guarded:
                self._precision.learn(step.finite)
            return
        self._flush()
        if self._spent:
            raise MXNetError("update: there was no batch since the last update, which has not kept its gradients")
        assert self._first is not None and self._updater is not None
        bound = self._bound
        trained = [(i, n) for i, n in enumerate(self._param_names) if self._reqs[n] != "null"]
        grads = [e.grad_dict for e in bound.execs]
        with self._precision.updating(self._optimizer):
            if self._precision.guarded:
                finite = all(_finite([g[name] for _, name in trained]) for g in grads)
                if not self._precision.learn(finite):
                    return
            self._update_by(self._updater, trained, grads)

    def _update_by(self, updater: Updater, trained: list[tuple[int, str]], grads: Sequence[Mapping[str, Any]]) -> None:
        """Updates parameters one after the other."""
        bound = self._bound
        index_of = {name: index for index, name in updater.optimizer.idx2name.items()}
        for i, name in trained:
            index = index_of.get(name, i)
            weights = [e.arg_dict[name] for e in bound.execs]
            if len(weights) == 1:
                updater(index, grads[0][name], weights[0])
                continue
            # Weights are the same everywhere: the first device's is updated by the sum, the others get copies of it.
            assert self._kvstore is not None
            total = self._kvstore.sum([g[name] for g in grads])
            updater(index, total.as_in_context(weights[0].context), weights[0])
            for other in weights[1:]:
                weights[0].copyto(other)

    def _fuses(self) -> bool:
        """Whether a step can be one program, with nobody looking in between."""
        optimizer = self._optimizer
        return self._one_program and optimizer is not None and optimizer.has_rule and not self._bound.watched

    def _step(self) -> OptimizerStep:
        """The present shapes' training step, on the updater's states."""
        bound, optimizer, updater = self._bound, self._optimizer, self._updater
        assert optimizer is not None and updater is not None
        key = (id(optimizer), optimizer.key())
        if bound.step is None or bound.step_key != key:
            bound.step = None
            self._place_states()
            bound.step = OptimizerStep(
                bound.execs[0], optimizer, states=updater.states, guarded=self._precision.guarded
            )
            bound.step_key = key
            updater.states_synced.update(dict.fromkeys(updater.states, True))
        elif bound.step.optimizer_states is not updater.states:
            self._place_states()
            bound.step.share_states(updater.states)
        return bound.step

    def _place_states(self) -> None:
        """Brings loaded states to the device."""
        updater = self._updater
        assert updater is not None
        for index, synced in updater.states_synced.items():
            if not synced:
                updater.states[index] = updater.sync_state_context(updater.states[index], self._context[0])
                updater.states_synced[index] = True

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
        for replicas in {id(r): r for r in (self._first, self._now, *self._others.values()) if r}.values():
            self._watch(replicas, mon)

    @staticmethod
    def _watch(replicas: Replicas, monitor: Any) -> None:
        replicas.watched, replicas.step = True, None
        for executor in replicas.execs:
            monitor.install(executor)

    # ---- the optimizer ----------------------------------------------------------------------------------------------

    def init_optimizer(
        self,
        kvstore: Any = "local",
        optimizer: Any = "sgd",
        optimizer_params: Any = DEFAULT_OPTIMIZER_PARAMS,
        force_init: bool = False,
    ) -> None:
        self._need("binded", "params_initialized")
        if self.optimizer_initialized and not force_init:
            self.logger.warning("optimizer already initialized, ignoring...")
            return
        self._flush()
        self._kvstore = create_kvstore(kvstore or "local")
        if self._compression_params:
            self._kvstore.set_gradient_compression(self._compression_params)
        assert self._first is not None
        rescale = 1.0 / self._first.batch_size
        names = dict(enumerate(self._param_names))
        if isinstance(optimizer, Optimizer):
            if optimizer.rescale_grad != rescale:
                warnings.warn(
                    "Optimizer created manually outside Module but rescale_grad is not normalized to "
                    f"1.0/batch_size/num_workers ({optimizer.rescale_grad} vs. {rescale}). Is this intended?",
                    stacklevel=2,
                )
            if not optimizer.idx2name:
                optimizer.idx2name = names
        else:
            options = {"rescale_grad": rescale, **dict(optimizer_params)}
            optimizer = create_optimizer(optimizer, sym=self._symbol, param_idx2name=names, **options)
        self._optimizer = optimizer
        self._updater = get_updater(optimizer)
        self.optimizer_initialized = True
        if self._preloaded_states is not None:
            self.load_optimizer_states(self._preloaded_states)
            self._preloaded_states = None

    def updaters(self) -> list[Updater]:
        return [] if self._updater is None else [self._updater]

    def borrow_optimizer(self, shared_module: Any) -> None:
        """Uses another module's optimizer, with its states."""
        if not shared_module.optimizer_initialized:
            raise MXNetError("borrow_optimizer: the other module has no optimizer")
        self._optimizer = shared_module._optimizer
        self._kvstore = shared_module._kvstore
        self._updater = shared_module._updater
        self.optimizer_initialized = True

    def save_optimizer_states(self, fname: str) -> None:
        """Writes the optimizer's states (momenta and the like) to a file."""
        self._need("optimizer_initialized")
        assert self._updater is not None
        content = self._updater.get_states()

        def write(path: str) -> None:
            with open(path, "wb") as file:
                file.write(content)

        write_whole(fname, write)

    def load_optimizer_states(self, fname: str) -> None:
        """Takes the optimizer's states from a file. Only for files from a source you trust: they are pickles."""
        self._need("optimizer_initialized")
        assert self._updater is not None
        with open(fname, "rb") as file:
            self._updater.set_states(file.read())
        self._optimizer = self._updater.optimizer
        # MXNet's modules on several devices number states by names.
        index_of = {name: index for index, name in self._optimizer.idx2name.items()}
        self._updater.states = {index_of.get(key, key): state for key, state in self._updater.states.items()}
        self._updater.states_synced = dict.fromkeys(self._updater.states, False)


def _finite(arrays: list[Any]) -> bool:
    """Whether all numbers of all arrays are finite."""
    return bool(invoke("multi_all_finite", arrays, {"num_arrays": len(arrays)}).asscalar())


def _groups_of(groups: Any, devices: int) -> list[Mapping[str, Context] | None]:
    """A dict from group names to contexts for every device."""
    if not groups:
        return [None] * devices
    if isinstance(groups, Mapping):
        spread = {n: c if isinstance(c, (list, tuple)) else [c] * devices for n, c in groups.items()}
        groups = [{n: c[i % len(c)] for n, c in spread.items()} for i in range(devices)]
    if len(groups) != devices:
        raise ValueError(f"group2ctxs has {len(groups)} entries for {devices} devices")
    return list(groups)


def _joined(batches: list[Any]) -> Any:
    """Batches that were made for several devices as one."""
    from ..io import DataBatch
    from ..ndarray import concatenate

    data = [concatenate(list(parts)) for parts in zip(*(b.data for b in batches), strict=True)]
    label = [concatenate(list(parts)) for parts in zip(*(b.label or () for b in batches), strict=True)]
    return DataBatch(data, label, batches[-1].pad)
