"""SequentialModule: modules one after the other, each fed by the outputs of the one before."""

from __future__ import annotations

import logging
from typing import Any, ClassVar

from ..base import MXNetError
from ..checkpoint import Params
from ..io import DataBatch, DataDesc
from ..optimizer import Updater
from .base import BaseModule, Given
from .inputs import described


class SequentialModule(BaseModule):
    """A chain of modules. `add(module, take_labels=True)` gives one the batch's labels; `auto_wiring=True` renames what
    the module before gives to the names of the module's data."""

    META_TAKE_LABELS: ClassVar[str] = "take_labels"
    META_AUTO_WIRING: ClassVar[str] = "auto_wiring"

    def __init__(self, logger: Any = logging):
        super().__init__(logger)
        self._modules: list[BaseModule] = []
        self._metas: list[dict[str, Any]] = []
        self._label_shapes: list[DataDesc] | None = None

    def add(self, module: BaseModule, **kwargs: Any) -> SequentialModule:
        """Adds a module at the end; returns the chain, so that calls can be chained, too."""
        for key in kwargs:
            if key not in (self.META_TAKE_LABELS, self.META_AUTO_WIRING):
                raise ValueError(f"SequentialModule: unknown meta {key!r}; known are take_labels, auto_wiring")
        self._modules.append(module)
        self._metas.append(kwargs)
        self.binded = self.params_initialized = self.optimizer_initialized = False
        return self

    def _ends(self) -> tuple[BaseModule, BaseModule]:
        if not self._modules:
            raise MXNetError("SequentialModule: add() a module first")
        return self._modules[0], self._modules[-1]

    @property
    def data_names(self) -> list[str]:
        return self._modules[0].data_names if self._modules else []

    @property
    def output_names(self) -> list[str]:
        return self._modules[-1].output_names if self._modules else []

    @property
    def data_shapes(self) -> list[DataDesc]:
        return self._ends()[0].data_shapes

    @property
    def label_shapes(self) -> list[DataDesc] | None:
        return self._label_shapes

    @property
    def output_shapes(self) -> list[tuple[str, tuple[int, ...]]]:
        return self._ends()[1].output_shapes

    def _bind(self, data_shapes: Any, label_shapes: Any, force: bool, shared_module: Any, grad_req: Any) -> None:
        if shared_module is not None:
            raise ValueError("SequentialModule: shared_module is not supported")
        self._ends()
        labels = described(label_shapes)
        coming = described(data_shapes)
        taken = False
        for i, (module, meta) in enumerate(zip(self._modules, self._metas, strict=True)):
            takes = bool(meta.get(self.META_TAKE_LABELS))
            taken |= takes
            if meta.get(self.META_AUTO_WIRING):
                names = module.data_names
                if len(names) != len(coming):
                    raise ValueError(f"module {i} takes {len(names)} inputs, {len(coming)} come")
                coming = [DataDesc(n, d.shape, d.dtype, d.layout) for n, d in zip(names, coming, strict=True)]
            module.bind(
                coming,
                labels if takes else None,
                self.for_training,
                self.inputs_need_grad or (self.for_training and i > 0),
                force,
                grad_req=grad_req,
            )
            coming = [DataDesc(name, shape) for name, shape in module.output_shapes]
        self._label_shapes = labels if taken and labels else None

    # ---- parameters and the optimizer -------------------------------------------------------------------------------

    def _init_params(
        self, initializer: Any, args: Given, aux: Given, allow_missing: bool, force: bool, allow_extra: bool
    ) -> None:
        for module in self._modules:
            # Each takes its own from what is there for the whole chain.
            module.init_params(initializer, args, aux, allow_missing, force, allow_extra=True)
        owners: dict[str, int] = {}
        for i, module in enumerate(self._modules):
            for names in module.get_params():
                for name in names:
                    if name in owners:
                        raise ValueError(f"modules {owners[name]} and {i} both have a parameter {name!r}")
                    owners[name] = i
        extra = [n for given in (args, aux) for n in given or () if n not in owners]
        if extra and not allow_extra:
            raise ValueError(f"no module has {', '.join(extra)}; pass allow_extra=True if that is meant")

    def get_params(self) -> tuple[Params, Params]:
        self._need("binded", "params_initialized")
        args: Params = {}
        aux: Params = {}
        for module in self._modules:
            own_args, own_aux = module.get_params()
            args.update(own_args)
            aux.update(own_aux)
        return args, aux

    def synchronize(self) -> None:
        for module in self._modules:
            module.synchronize()

    def _init_optimizer(self, kvstore: Any, optimizer: Any, optimizer_params: Any, force: bool) -> None:
        for module in self._modules:
            module.init_optimizer(kvstore, optimizer, optimizer_params, force)

    def updaters(self) -> list[Updater]:
        return [updater for module in self._modules for updater in module.updaters()]

    # ---- steps ------------------------------------------------------------------------------------------------------

    def forward(self, data_batch: Any, is_train: bool | None = None) -> None:
        self._need("binded", "params_initialized")
        label = getattr(data_batch, "label", None)
        batch = DataBatch(data_batch.data, label)
        for module in self._modules:
            module.forward(batch, is_train)
            batch = DataBatch(module.get_outputs(), label)

    def backward(self, out_grads: Any = None) -> None:
        self._need("binded", "params_initialized")
        for i, module in reversed(list(enumerate(self._modules))):
            module.backward(out_grads)
            if i:
                out_grads = module.get_input_grads()

    def update(self) -> None:
        self._need("binded", "params_initialized", "optimizer_initialized")
        for module in self._modules:
            module.update()

    def get_outputs(self, merge_multi_context: bool = True) -> list[Any]:
        self._need("binded", "params_initialized")
        return self._ends()[1].get_outputs(merge_multi_context)

    def get_input_grads(self, merge_multi_context: bool = True) -> list[Any]:
        self._need("binded", "params_initialized")
        return self._ends()[0].get_input_grads(merge_multi_context)

    def update_metric(self, eval_metric: Any, labels: Any, pre_sliced: bool = False) -> None:
        self._need("binded", "params_initialized")
        for module, meta in zip(self._modules, self._metas, strict=True):
            if meta.get(self.META_TAKE_LABELS):
                module.update_metric(eval_metric, labels, pre_sliced)

    def _measure(self, eval_metric: Any, batch: Any, pad: int) -> None:
        for module, meta in zip(self._modules, self._metas, strict=True):
            if meta.get(self.META_TAKE_LABELS):
                module._measure(eval_metric, batch, pad)

    def install_monitor(self, mon: Any) -> None:
        self._need("binded")
        for module in self._modules:
            module.install_monitor(mon)
