"""Checkpoints: a symbol and its parameters in files."""

from __future__ import annotations

import logging
import os
from collections import namedtuple
from collections.abc import Callable, Mapping

from . import ndarray as nd
from . import symbol as sym
from .base import FileFormatError
from .context import cpu
from .ndarray import NDArray
from .symbol import Symbol

__all__ = ["BatchEndParam", "load_checkpoint", "load_params", "save_checkpoint"]

# What a batch callback is told.
BatchEndParam = namedtuple("BatchEndParam", ["epoch", "nbatch", "eval_metric", "locals"])

Params = dict[str, NDArray]


def save_checkpoint(
    prefix: str,
    epoch: int,
    symbol: Symbol | None,
    arg_params: Mapping[str, NDArray],
    aux_params: Mapping[str, NDArray],
    remove_amp_cast: bool = True,
) -> None:
    """Writes `prefix-symbol.json` and `prefix-<epoch>.params`. A file appears whole or not at all."""
    if symbol is not None:
        write_whole(f"{prefix}-symbol.json", lambda path: symbol.save(path, remove_amp_cast=remove_amp_cast))
    host = cpu()
    arrays = {f"arg:{name}": a.as_in_context(host) for name, a in arg_params.items()}
    arrays |= {f"aux:{name}": a.as_in_context(host) for name, a in aux_params.items()}
    path = f"{prefix}-{epoch:04d}.params"
    write_whole(path, lambda temporary: nd.save(temporary, arrays))
    logging.info('Saved checkpoint to "%s"', path)


def write_whole(path: str, save: Callable[[str], object]) -> None:
    """Writes a file under another name first, so that what was there stays until the new one is complete."""
    temporary = f"{path}.{os.getpid()}.new"
    try:
        save(temporary)
        os.replace(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.remove(temporary)
        raise


def load_params(prefix: str, epoch: int) -> tuple[Params, Params]:
    """The parameters and the auxiliary states of a checkpoint, from `.params` or, if there is none, `.safetensors`."""
    path = f"{prefix}-{epoch:04d}.params"
    other = f"{prefix}-{epoch:04d}.safetensors"
    return split_params(other if not os.path.exists(path) and os.path.exists(other) else path)


def split_params(path: str) -> tuple[Params, Params]:
    """The parameters and the auxiliary states in a file."""
    found: dict[str, Params] = {"arg": {}, "aux": {}}
    saved = nd.load(path)
    if not isinstance(saved, dict):
        raise FileFormatError(f"{path}: a checkpoint has names, this file holds arrays without")
    for key, value in saved.items():
        kind, _, name = key.partition(":")
        if kind not in found or not name:
            raise FileFormatError(f"{path}: names in a checkpoint begin with arg: or aux:, not {key!r}")
        found[kind][name] = value
    return found["arg"], found["aux"]


def load_checkpoint(prefix: str, epoch: int) -> tuple[Symbol, Params, Params]:
    """The symbol, the parameters and the auxiliary states of a checkpoint."""
    return sym.load(f"{prefix}-symbol.json"), *load_params(prefix, epoch)
