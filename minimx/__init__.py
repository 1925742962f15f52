"""minimx: MXNet 1.x made again. `import minimx as mx`, and programs written for MXNet 1.x run."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from .base import MXNetError
from .context import Context, cpu, cpu_pinned, current_context, gpu, memory_stats, num_gpus

__version__ = "0.1.0"

# Public name -> module that is loaded when the name is first used; keeps `import minimx` fast.
_MODULES = {
    "attribute": "attribute",
    "autograd": "autograd",
    "base": "base",
    "callback": "callback",
    "context": "context",
    "digits": "digits",
    "engine": "engine",
    "executor": "executor",
    "init": "initializer",
    "initializer": "initializer",
    "io": "io",
    "lr_scheduler": "lr_scheduler",
    "metric": "metric",
    "model": "model",
    "models": "models",
    "mon": "monitor",
    "monitor": "monitor",
    "name": "name",
    "nd": "ndarray",
    "ndarray": "ndarray",
    "operator": "operator",
    "opt": "optimizer",
    "optimizer": "optimizer",
    "random": "random",
    "registry": "registry",
    "rnd": "random",
    "runtime": "runtime",
    "step": "step",
    "sym": "symbol",
    "symbol": "symbol",
    "test_utils": "test_utils",
    "util": "util",
    "visualization": "visualization",
    "viz": "visualization",
}
_NAMES = {
    "AttrScope": "attribute",
    "Executor": "executor",
    "NDArray": "ndarray",
    "Symbol": "symbol",
    "TrainStep": "step",
}

__all__ = [
    "Context",
    "MXNetError",
    "cpu",
    "cpu_pinned",
    "current_context",
    "gpu",
    "memory_stats",
    "num_gpus",
    *_MODULES,
    *_NAMES,
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        value: Any = import_module(f".{_MODULES[name]}", __name__)
    elif name in _NAMES:
        value = getattr(import_module(f".{_NAMES[name]}", __name__), name)
    else:
        raise AttributeError(f"module 'minimx' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
