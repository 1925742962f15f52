"""mx.util: the environment, the devices, and which of MXNet's array semantics holds (the classic one, always)."""

from __future__ import annotations

import os

from .context import gpu_memory_info, num_gpus


def getenv(name: str) -> str | None:
    """An environment variable, or None."""
    return os.environ.get(name)


def setenv(name: str, value: str | None) -> None:
    """Sets an environment variable; None removes it."""
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = str(value)


def get_gpu_count() -> int:
    """How many gpus this process can use."""
    return num_gpus()


def get_gpu_memory(gpu_dev_id: int) -> tuple[int, int]:
    """Free and total bytes of a gpu."""
    return gpu_memory_info(gpu_dev_id)


def is_np_shape() -> bool:
    """Whether a dimension of 0 means an empty array where shapes are inferred. It means "unknown", as in MXNet 1.x."""
    return False


def is_np_array() -> bool:
    """Whether arrays are those of mx.np, which does not exist here."""
    return False
