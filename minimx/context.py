"""Contexts: where arrays live and programs run."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, ClassVar

from .base import DeviceError

if TYPE_CHECKING:
    from . import _core

_TYPES = {1: "cpu", 2: "gpu", 3: "cpu_pinned", 5: "cpu_shared"}
_NUMBERS = {name: number for number, name in _TYPES.items()}


class Context:
    """A device: `cpu(0)`, `gpu(1)`. As a context manager it is where arrays are made by default."""

    devtype2str: ClassVar = _TYPES
    devstr2type: ClassVar = _NUMBERS
    _local: ClassVar = threading.local()

    __slots__ = ("device_typeid", "device_id", "_device", "_entered")

    def __init__(self, device_type: str | Context, device_id: int = 0):
        if isinstance(device_type, Context):
            device_type, device_id = device_type.device_type, device_type.device_id
        if device_type not in _NUMBERS:
            raise DeviceError(f"there is no device type {device_type!r}; known are {', '.join(_NUMBERS)}")
        self.device_typeid = _NUMBERS[device_type]
        self.device_id = int(device_id)
        self._device = None
        self._entered: list[Context | None] = []

    @property
    def device_type(self) -> str:
        return _TYPES[self.device_typeid]

    @property
    def key(self) -> tuple[str, int]:
        """The device behind the context: pinned and shared host memory are ordinary host memory here."""
        return ("gpu", self.device_id) if self.device_typeid == 2 else ("cpu", self.device_id)

    @property
    def device(self) -> _core.Device:
        if self._device is None:
            from . import _core  # not before it is needed: files can be read without it

            kind, number = self.key
            try:
                self._device = _core.device(kind, number)
            except ValueError as error:
                raise DeviceError(str(error)) from None
        return self._device

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Context)
            and self.device_typeid == other.device_typeid
            and self.device_id == other.device_id
        )

    def __hash__(self) -> int:
        return hash((self.device_typeid, self.device_id))

    def __repr__(self) -> str:
        return f"{self.device_type}({self.device_id})"

    def __enter__(self) -> Context:
        self._entered.append(getattr(Context._local, "current", None))
        Context._local.current = self
        return self

    def __exit__(self, *exception: object) -> None:
        Context._local.current = self._entered.pop()

    def __reduce__(self):
        return (Context, (self.device_type, self.device_id))

    def empty_cache(self) -> None:
        """Gives the memory that the device's pool holds but does not use back to the system."""
        self.device.empty_cache()


Context.default_ctx = Context("cpu", 0)


def cpu(device_id: int = 0) -> Context:
    return Context("cpu", device_id)


def cpu_pinned(device_id: int = 0) -> Context:
    return Context("cpu_pinned", device_id)


def gpu(device_id: int = 0) -> Context:
    return Context("gpu", device_id)


def num_gpus() -> int:
    """How many gpu devices this process can use."""
    from . import _core

    return _core.device_count("gpu")


def gpu_memory_info(device_id: int = 0) -> tuple[int, int]:
    """Free and total bytes of a gpu."""
    return gpu(device_id).device.memory()


def current_context() -> Context:
    return getattr(Context._local, "current", None) or Context.default_ctx


def memory_stats(ctx: Context | None = None) -> dict[str, int]:
    """What the context's memory pool holds, uses, used at most, and how often it had to ask the system."""
    return (ctx or current_context()).device.memory_stats()
