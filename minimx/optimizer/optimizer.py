"""What all optimizers share: rates and decays of single parameters, counts of updates, states, and how a rule is run."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, ClassVar

from .. import _core
from ..graph import Value, variable
from ..ndarray import NDArray, zeros
from ..ops.elemwise import F
from ..passes.update import Recipe
from ..registry import get_create_func, get_register_func
from .program import run_rule

HALF = ("float16", "bfloat16")


class Optimizer:
    """Base of all optimizers.

    An optimizer states its formula once, in `rule`: operators on the values of a graph. `update` runs it for one
    parameter as one cached program, and a training step takes it into its own program (optimizer/step.py). What differs
    between updates (the learning rate and its kin) are numbers that a program reads; `numbers` names and computes them.
    An optimizer of your own may override `update` and work on arrays instead; training steps then cannot take it in.
    """

    opt_registry: ClassVar[dict[str, type[Optimizer]]] = {}
    state_names: tuple[str, ...] = ()
    constants: tuple[str, ...] = ()  # attributes that the rule reads, besides clip_gradient
    extra_numbers: tuple[str, ...] = ()  # what `numbers` gives besides lr, wd and rescale_grad

    def __init__(
        self,
        rescale_grad: float = 1.0,
        param_idx2name: Mapping[int, str] | None = None,
        wd: float = 0.0,
        clip_gradient: float | None = None,
        learning_rate: float | None = None,
        lr_scheduler: Any = None,
        sym: Any = None,
        begin_num_update: int = 0,
        multi_precision: bool = False,
        param_dict: Mapping[int, Any] | None = None,
    ):
        self.rescale_grad = rescale_grad
        self.lr_scheduler = lr_scheduler
        if lr_scheduler is not None and learning_rate is not None:
            lr_scheduler.base_lr = learning_rate
        elif lr_scheduler is not None:
            learning_rate = lr_scheduler.base_lr
        self.lr = 0.01 if learning_rate is None else learning_rate
        self.wd = wd
        self.clip_gradient = clip_gradient
        self.multi_precision = multi_precision
        self.begin_num_update = self.num_update = begin_num_update
        self._all_index_update_counts: dict[int, dict[Any, int]] = {0: {}}
        self._index_update_count = self._all_index_update_counts[0]
        if not isinstance(param_idx2name or {}, Mapping):
            raise TypeError(f"param_idx2name must be a dict of names by index, got {type(param_idx2name).__name__}")
        self.idx2name = dict(param_idx2name or {})
        self.sym_info = (sym.attr_dict(), sym.list_arguments()) if sym is not None else ()
        self.param_dict = dict(param_dict or {})
        self.set_lr_mult({})
        self.set_wd_mult({})

    # ---- the registry -----------------------------------------------------------------------------------------------

    @staticmethod
    def register(klass: type) -> type:
        """Makes a class known by its name to `create`."""
        Optimizer.opt_registry[klass.__name__.lower()] = klass
        return _register(klass)

    @staticmethod
    def create_optimizer(name: str, **kwargs: Any) -> Optimizer:
        """An optimizer by name."""
        return create(name, **kwargs)

    # ---- what an optimizer says about itself ------------------------------------------------------------------------

    def rule(self, n: SimpleNamespace, weight: Value, grad: Value, *states: Value) -> tuple[Value, ...]:
        """The new weight and the new states. `n` has what `numbers` computes, as values of the graph."""
        raise NotImplementedError(f"{type(self).__name__} must define rule() or update()")

    def numbers(self, index: Any) -> dict[str, float]:
        """The numbers of this update of a parameter."""
        return {"lr": self._get_lr(index), "wd": self._get_wd(index), "rescale_grad": self.rescale_grad}

    def used_states(self) -> tuple[str, ...]:
        """Names of the states that the rule needs; each is an array of the weight's shape."""
        return self.state_names

    def state_shape(self, name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        return shape

    def initial_state(self, name: str, weight: NDArray) -> NDArray:
        """A state before the first update."""
        return zeros(self.state_shape(name, weight.shape), weight.context, weight.dtype)

    @property
    def has_rule(self) -> bool:
        """Whether training steps can take the optimizer into their program."""
        kind = type(self)
        return kind.rule is not Optimizer.rule and kind.update is Optimizer.update

    # ---- states and updates -----------------------------------------------------------------------------------------

    def create_state(self, index: Any, weight: NDArray) -> Any:
        """The states of a parameter: None, an array, or several."""
        states = tuple(self.initial_state(name, weight) for name in self.used_states())
        return None if not states else states[0] if len(states) == 1 else states

    def create_state_multi_precision(self, index: Any, weight: NDArray) -> Any:
        """The states of a parameter; for a half precision one with `multi_precision` (its float32 copy, the states)."""
        if self.is_mixed(weight):
            copy = weight.astype("float32")
            return copy, self.create_state(index, copy)
        if weight.dtype_name in HALF and not self.multi_precision:
            warnings.warn(
                f"half precision weights may stop learning in {type(self).__name__}; consider multi_precision=True",
                stacklevel=2,
            )
        return self.create_state(index, weight)

    def is_mixed(self, weight: NDArray | Value) -> bool:
        """Whether the updates of a parameter happen in a float32 copy."""
        dtype = weight.dtype_name if isinstance(weight, NDArray) else weight.dtype
        return self.multi_precision and dtype in HALF

    def update(self, index: Any, weight: Any, grad: Any, state: Any) -> None:
        """Updates a parameter (or lists of them) and its states in place."""
        if isinstance(index, (list, tuple)):
            for one in zip(index, weight, grad, state, strict=True):
                self.update(*one)
            return
        self._update_count(index)
        run_rule(self, weight, grad, flat(state), self.numbers(index), mixed=False)

    def update_multi_precision(self, index: Any, weight: Any, grad: Any, state: Any) -> None:
        """Like `update`, with the states of `create_state_multi_precision`."""
        if isinstance(index, (list, tuple)):
            for one in zip(index, weight, grad, state, strict=True):
                self.update_multi_precision(*one)
        elif not self.is_mixed(weight):
            self.update(index, weight, grad, state)
        elif self.has_rule:
            self._update_count(index)
            run_rule(self, weight, grad, flat(state), self.numbers(index), mixed=True)
        else:
            copy, inner = state
            self.update(index, copy, grad.astype("float32"), inner)
            weight[:] = copy

    def write_rule(self, recipe: Recipe, name: str, weight: Value, grad: Value) -> Value:
        """The rule in a graph, for the parameter of that name: a Rule of passes/update.py.

        Half precision is calculated with in float32.
        """
        dtype = weight.dtype
        half = dtype in HALF
        wide = "float32" if half else dtype

        def made(key: str, shape: tuple[int, ...], kind: str) -> Value:
            return recipe.state(f"{name}.{key}", variable(key, shape, kind, weight.node.device))

        numbers = ("lr", "wd", "rescale_grad", *self.extra_numbers)
        n = SimpleNamespace(**{key: recipe.scalar(f"{name}.{key}", wide) for key in numbers})
        copy = made("weight32", weight.shape, wide) if self.is_mixed(weight) else None
        kept = wide if copy is not None else dtype
        states = [made(key, self.state_shape(key, weight.shape), kept) for key in self.used_states()]
        operands = [copy if copy is not None else weight, grad, *states]
        if half:
            operands = [v if v.dtype == wide else F.Cast(v, dtype=wide) for v in operands]
        new, *after = self.rule(n, *operands)
        for state, value in zip(states, after, strict=True):
            recipe.change(state, value if value.dtype == state.dtype else F.Cast(value, dtype=state.dtype))
        if copy is not None:
            recipe.change(copy, new)
        return F.Cast(new, dtype=dtype) if half else new

    def key(self) -> tuple:
        """What decides how the rule reads: programs are shared between optimizers of one key."""
        return (type(self), self.limit, *(getattr(self, name) for name in self.constants))

    @property
    def limit(self) -> float:
        """The gradient's limit as operators know it: -1 for none."""
        return self.clip_gradient or -1.0

    # ---- rates, decays, counts --------------------------------------------------------------------------------------

    @property
    def learning_rate(self) -> float:
        """The present learning rate."""
        return self.lr if self.lr_scheduler is None else self.lr_scheduler(self.num_update)

    def set_learning_rate(self, lr: float) -> None:
        """Changes the rate of an optimizer that has no scheduler."""
        if self.lr_scheduler is not None:
            raise UserWarning("LRScheduler of the optimizer has already been defined: it decides the learning rate")
        self.lr = lr

    def set_lr_scale(self, args_lrscale: Mapping[Any, float]) -> None:
        raise DeprecationWarning("set_lr_scale is gone; use set_lr_mult")

    def set_lr_mult(self, args_lr_mult: Mapping[Any, float]) -> None:
        """Factors of the learning rate by name or index; others come from the symbol's `__lr_mult__`, or are 1."""
        self.lr_mult: dict[Any, float] = self._from_symbol("__lr_mult__")
        self.lr_mult.update(args_lr_mult)

    def set_wd_mult(self, args_wd_mult: Mapping[Any, float]) -> None:
        """Factors of the weight decay by name or index; others come from the symbol's `__wd_mult__`.

        Without one, named parameters that are neither a weight nor a gamma do not decay.
        """
        decaying = tuple(f"_{kind}" for kind in self.decaying)
        self.wd_mult: dict[Any, float] = {n: 0.0 for n in self.idx2name.values() if not n.endswith(decaying)}
        self.wd_mult.update(self._from_symbol("__wd_mult__"))
        self.wd_mult.update(args_wd_mult)

    decaying: ClassVar[tuple[str, ...]] = ("weight", "gamma")

    def _from_symbol(self, key: str) -> dict[Any, float]:
        if not self.sym_info:
            return {}
        attrs, names = self.sym_info
        return {name: float(attrs[name][key]) for name in names if key in attrs.get(name, ())}

    def _set_current_context(self, device_id: int) -> None:
        """Counts of updates are kept per device, since every device updates every parameter."""
        self._index_update_count = self._all_index_update_counts.setdefault(device_id, {})

    def _update_count(self, index: Any) -> None:
        keys = index if isinstance(index, (list, tuple)) else (index,)
        self.num_update = _core.count_up(self._index_update_count, keys, self.begin_num_update, self.num_update)

    def _factor(self, index: Any, factors: Mapping[Any, float], attribute: str) -> float:
        if index in self.param_dict:
            return getattr(self.param_dict[index], attribute)
        if index in factors:
            return factors[index]
        return factors.get(self.idx2name.get(index), 1.0)

    def _get_lr(self, index: Any) -> float:
        return self.learning_rate * self._factor(index, self.lr_mult, "lr_mult")

    def _get_wd(self, index: Any) -> float:
        return self.wd * self._factor(index, self.wd_mult, "wd_mult")

    def _get_lrs(self, indices: Sequence[Any]) -> list[float]:
        return [self._get_lr(i) for i in indices]

    def _get_wds(self, indices: Sequence[Any]) -> list[float]:
        return [self._get_wd(i) for i in indices]

    def __getstate__(self) -> dict[str, Any]:
        # Its parameters are the caller's, with all their arrays.
        return {**self.__dict__, "param_dict": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        # Both names must mean the same counts again.
        self._index_update_count = self._all_index_update_counts.setdefault(0, {})


def flat(state: Any) -> list[NDArray]:
    """The arrays in a state: None, an array, or nested tuples of both."""
    if state is None:
        return []
    if isinstance(state, (list, tuple)):
        return [array for part in state for array in flat(part)]
    return [state]


_register = get_register_func(Optimizer, "optimizer")
_create = get_create_func(Optimizer, "optimizer")


def register(klass: type) -> type:
    """Makes an optimizer class known by its name to `create`."""
    return Optimizer.register(klass)


def create(name: Any, **kwargs: Any) -> Optimizer:
    """An optimizer from its name and arguments."""
    return _create(name, **kwargs)
