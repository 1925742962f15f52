"""mx.kv: values that several devices share. What they push is summed; an optimizer may then update the stored value.

There is one machine: stores are `local` or `device`, which differ in where sums are made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

from .base import MXNetError, ShapeError
from .checkpoint import write_whole
from .context import cpu
from .ndarray import NDArray
from .optimizer import Optimizer, Updater, get_updater

__all__ = ["KVStore", "KVStoreBase", "KVStoreServer", "create"]

_TYPES = {
    "local": "local",
    "local_update_cpu": "local",
    "local_allreduce_cpu": "local",
    "device": "device",
    "local_update_device": "device",
    "local_allreduce_device": "device",
    "nccl": "device",
}


class KVStoreBase:
    """What a store of one's own has to define; `KVStoreBase.register` makes it known to `create`."""

    OPTIMIZER: ClassVar[str] = "optimizer"
    kv_registry: ClassVar[dict[str, type]] = {}

    @staticmethod
    def register(klass: type) -> type:
        """Makes a class known by its name."""
        KVStoreBase.kv_registry[klass.__name__.lower()] = klass
        return klass

    def broadcast(self, key: Any, value: Any, out: Any, priority: int = 0) -> None:
        """Stores a first value and copies it into `out`."""
        raise NotImplementedError(f"{type(self).__name__} must define broadcast()")

    def pushpull(self, key: Any, value: Any, out: Any = None, priority: int = 0) -> None:
        """Sums what devices have for a key and gives the result to all of them."""
        raise NotImplementedError(f"{type(self).__name__} must define pushpull()")

    def set_optimizer(self, optimizer: Optimizer) -> None:
        raise NotImplementedError(f"{type(self).__name__} must define set_optimizer()")

    @staticmethod
    def is_capable(capability: str) -> bool:
        """Whether the store can do something besides sums: `KVStoreBase.OPTIMIZER` means updates."""
        raise NotImplementedError("a store must define is_capable()")

    def save_optimizer_states(self, fname: str, dump_optimizer: bool = False) -> None:
        raise NotImplementedError(f"{type(self).__name__} must define save_optimizer_states()")

    def load_optimizer_states(self, fname: str) -> None:
        raise NotImplementedError(f"{type(self).__name__} must define load_optimizer_states()")

    def set_gradient_compression(self, compression_params: Any) -> None:
        """Gradients are not compressed: they never leave the machine."""
        raise MXNetError("gradient compression is for stores across machines, which minimx does not have")

    @property
    def type(self) -> str:
        raise NotImplementedError(f"{type(self).__name__} must define type")

    @property
    def rank(self) -> int:
        """The number of this process among the workers."""
        return 0

    @property
    def num_workers(self) -> int:
        return 1

    def sum(self, values: Sequence[NDArray]) -> NDArray:
        """The sum of what several devices have, as a new array on the first one."""
        copies = [value.copy() for value in values]
        self.pushpull("sum", copies, copies)
        return copies[0]


class KVStore(KVStoreBase):
    """Values by key (integers or strings), in this process."""

    def __init__(self, handle: str = "local"):
        self._type = handle
        self._values: dict[Any, NDArray] = {}
        self._updater: Callable[[Any, NDArray, NDArray], Any] | None = None

    @property
    def type(self) -> str:
        return self._type

    @staticmethod
    def is_capable(capability: str) -> bool:
        if capability.lower() != KVStoreBase.OPTIMIZER:
            raise MXNetError(f"there is no capability {capability!r} that a store could have; known: optimizer")
        return True

    def init(self, key: Any, value: Any) -> None:
        """Stores first values, once for every key."""
        for one, values in _pairs(key, value):
            if one in self._values:
                raise MXNetError(f"kvstore: the key {one!r} has a value already; init() comes once")
            if self._values and type(one) is not type(next(iter(self._values))):
                raise MXNetError(f"kvstore: keys are all integers or all strings, got {one!r}")
            self._values[one] = values[0].copyto(self._home(values))

    def push(self, key: Any, value: Any, priority: int = 0) -> None:
        """Sums the given arrays of each key; the updater, if there is one, changes the stored value by it, else the sum
        takes its place."""
        for one, values in _pairs(key, value):
            stored = self._stored(one)
            for given in values:
                if given.shape != stored.shape:
                    raise ShapeError(f"kvstore: {one!r} has shape {stored.shape}, but {given.shape} was pushed")
            total = self.sum(values).as_in_context(stored.context)
            if self._updater is not None:
                self._updater(one, total, stored)
            else:
                stored[:] = total

    def pull(self, key: Any, out: Any = None, priority: int = 0, ignore_sparse: bool = True) -> None:
        """Copies stored values into the given arrays."""
        if out is None:
            raise ValueError("kvstore: pull() needs out, the arrays to copy into")
        for one, targets in _pairs(key, out):
            stored = self._stored(one)
            for target in targets:
                if target.shape != stored.shape:
                    raise ShapeError(f"kvstore: {one!r} has shape {stored.shape}, out has {target.shape}")
                target[:] = stored

    def pushpull(self, key: Any, value: Any, out: Any = None, priority: int = 0) -> None:
        """`push` and then `pull` into `out`, or into what was pushed."""
        self.push(key, value, priority)
        self.pull(key, value if out is None else out, priority)

    def broadcast(self, key: Any, value: Any, out: Any, priority: int = 0) -> None:
        self.init(key, value)
        self.pull(key, out, priority)

    def row_sparse_pull(self, key: Any, out: Any = None, priority: int = 0, row_ids: Any = None) -> None:
        """Not here: all arrays are dense."""
        raise MXNetError("row_sparse_pull: arrays are dense in minimx, there are no row_sparse ones; use pull()")

    def sum(self, values: Sequence[NDArray]) -> NDArray:
        total = values[0].copyto(self._home(values))
        for value in values[1:]:
            total += value.as_in_context(total.context)
        return total

    def _home(self, values: Sequence[NDArray]) -> Any:
        """Where sums are made: on the host, or on the first of the devices."""
        return cpu() if self._type == "local" else values[0].context

    def _stored(self, key: Any) -> NDArray:
        if key not in self._values:
            raise MXNetError(f"kvstore: the key {key!r} has no value; call init() first")
        return self._values[key]

    # ---- optimizers -------------------------------------------------------------------------------------------------

    def set_optimizer(self, optimizer: Optimizer) -> None:
        """From now on what is pushed are gradients, and the stored values are parameters."""
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"kvstore: an Optimizer is needed, got {type(optimizer).__name__}")
        self._updater = get_updater(optimizer)

    def set_updater(self, updater: Callable[[Any, NDArray, NDArray], Any]) -> None:
        """`updater(key, pushed, stored)` changes a stored value in place."""
        self._updater = updater

    _set_updater = set_updater

    def save_optimizer_states(self, fname: str, dump_optimizer: bool = False) -> None:
        """Writes the optimizer's states to a file, with the optimizer itself if asked."""
        content = self._own_updater().get_states(dump_optimizer)

        def write(path: str) -> None:
            with open(path, "wb") as file:
                file.write(content)

        write_whole(fname, write)

    def load_optimizer_states(self, fname: str) -> None:
        """Takes states from a file. Only for files from a source you trust: they are pickles."""
        with open(fname, "rb") as file:
            self._own_updater().set_states(file.read())

    def _own_updater(self) -> Updater:
        if not isinstance(self._updater, Updater):
            raise MXNetError("kvstore: there are no optimizer states before set_optimizer()")
        return self._updater


class KVStoreServer:
    """The server of a store across machines, which minimx does not have."""

    def __init__(self, kvstore: Any):
        self.kvstore = kvstore

    def run(self) -> None:
        raise MXNetError("there are no stores across machines in minimx, so no server can run")


def _pairs(key: Any, value: Any) -> Iterator[tuple[Any, list[NDArray]]]:
    """Keys with their arrays: one key has an array or one per device, several keys a list of either."""
    if not isinstance(key, (list, tuple)):
        key, value = [key], [value]
    if not isinstance(value, (list, tuple)):
        raise TypeError(f"kvstore: {len(key)} keys need a list of values, got {type(value).__name__}")
    if len(key) != len(value):
        if len(key) and len(value) % len(key) == 0 and all(isinstance(v, NDArray) for v in value):
            each = len(value) // len(key)  # the devices' arrays of all keys, one after the other
            value = [value[i * each : (i + 1) * each] for i in range(len(key))]
        else:
            raise ValueError(f"kvstore: {len(key)} keys need as many values, got {len(value)}")
    for one, values in zip(key, value, strict=True):
        values = list(values) if isinstance(values, (list, tuple)) else [values]
        for v in values:
            if not isinstance(v, NDArray):
                raise TypeError(f"kvstore: values are NDArrays, got {type(v).__name__} for the key {one!r}")
        if isinstance(one, bool) or not isinstance(one, (int, str)):
            raise TypeError(f"kvstore: keys are integers or strings, got {one!r}")
        yield one, values


def create(name: Any = "local") -> KVStoreBase:
    """A store by name: `local` (sums on the host) or `device` (sums on the first device); a store is kept."""
    if isinstance(name, KVStoreBase):
        return name
    if not isinstance(name, str):
        raise TypeError(f"kvstore: a name is needed, got {type(name).__name__}")
    wanted = name.lower()
    if wanted in KVStoreBase.kv_registry:
        return KVStoreBase.kv_registry[wanted]()
    if wanted in _TYPES:
        return KVStore(_TYPES[wanted])
    if wanted.startswith("dist") or wanted in ("p3", "horovod", "byteps"):
        raise MXNetError(f"kvstore {name!r} needs several machines; minimx has stores in one: local, device")
    raise MXNetError(f"there is no kvstore {name!r}; known are {', '.join((*_TYPES, *KVStoreBase.kv_registry))}")
