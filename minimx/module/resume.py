"""Checkpoints that a training can go on from: parameters, optimizer, random numbers, data, metrics, and where it was.

One safetensors file: `arg:` and `aux:` arrays are the parameters (so that it also serves as a file of parameters), `state:`
arrays belong to the text in its metadata, which has everything else. Nothing in it is code. The file is written under
another name first: it is the old one or the new one at every moment, whatever happens.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .. import random as rnd
from ..base import FileFormatError, GraphError, MXNetError
from ..ndarray import NDArray
from ..ndarray.utils import from_record
from ..serial import ArrayRecord, record_of
from ..serial_safetensors import read_tensors, write_tensors
from ..symbol import Symbol
from .state import Stored, pack, restore, unpack

FORMAT = "minimx.training"
VERSION = 1
_OPTIMIZER_OWN = ("sym_info", "idx2name", "param_dict", "rescale_grad", "_index_update_count")  # the new one's stay


def save_training(fit: Any, path: str) -> None:
    """Writes where a training is. `fit.done` says how many batches of `fit.epoch` it has learnt."""
    stored = Stored()
    args, aux = fit.module.get_params()
    complete = fit.between_epochs
    told = {
        "version": VERSION,
        "epoch": fit.epoch + 1 if complete else fit.epoch,
        "done": 0 if complete else fit.nbatch - fit.first_batch + 1,
        "steps": fit.steps,
        "seconds": fit.elapsed(),
        "random": pack(rnd.get_state(), stored),
        "data": pack(_data_state(fit.train_data), stored),
        "eval_data": pack(_data_state(fit.eval_data), stored),
        "updaters": [pack(updater.states, stored) for updater in fit.module.updaters()],
        "optimizers": [pack(updater.optimizer, stored, _OPTIMIZER_OWN) for updater in fit.module.updaters()],
        "precision": pack(fit.module.precision_state(), stored),
        "metric": pack(fit.eval_metric, stored),
        "history": pack(fit.history, stored),
        "callbacks": [[type(c).__name__, pack(c, stored)] for c in fit.callbacks],
    }
    symbol = fit.module.symbol
    metadata = {FORMAT: json.dumps(told)}
    if isinstance(symbol, Symbol):
        metadata["symbol"] = symbol.tojson()
    names = [*(f"arg:{n}" for n in args), *(f"aux:{n}" for n in aux), *stored.arrays]
    values = [*args.values(), *aux.values(), *stored.arrays.values()]
    write_tensors(path, [_record(v) for v in values], names, metadata, durable=True)


def load_training(fit: Any, path: str) -> None:
    """Makes a training continue where the one that wrote the file was."""
    told, arrays = read_training(path)
    try:
        _go_on(fit, told, arrays, path)
    except (KeyError, IndexError) as error:
        raise FileFormatError(f"{path}: the description of the training in its header lacks {error}") from error


def _go_on(fit: Any, told: dict[str, Any], arrays: dict[str, NDArray], path: str) -> None:
    module = fit.module
    parts: dict[str, dict[str, NDArray]] = {"arg": {}, "aux": {}, "state": {}}
    for name, value in arrays.items():
        kind, _, rest = name.partition(":")
        parts[kind][rest] = value
    for own, saved in zip(module.get_params(), (parts["arg"], parts["aux"]), strict=True):
        shapes = [{n: a.shape for n, a in values.items()} for values in (own, saved)]
        different = [n for n in {**shapes[0], **shapes[1]} if shapes[0].get(n) != shapes[1].get(n)]
        if different:
            name = different[0]
            this, that = (str(s[name]) if name in s else "nothing" for s in shapes)
            raise GraphError(f"{path}: is of another network: {name} is {that} there and {this} in this one")
    module.set_params(parts["arg"], parts["aux"], force_init=True)
    stored = Stored({n: v for n, v in arrays.items() if n.startswith("state:")})
    updaters = module.updaters()
    if len(updaters) != len(told["updaters"]):
        raise MXNetError(f"{path}: the training had {len(told['updaters'])} optimizers, this one has {len(updaters)}")
    for updater, states, own in zip(updaters, told["updaters"], told["optimizers"], strict=True):
        if own["$class"] != type(updater.optimizer).__name__:
            raise MXNetError(
                f"{path}: the training used the optimizer {own['$class']}, this one {type(updater.optimizer).__name__}"
            )
        updater.states = unpack(states, stored)
        updater.states_synced = dict.fromkeys(updater.states, False)
        restore(updater.optimizer, own, stored)
        updater.optimizer._set_current_context(0)
    module.load_precision_state(unpack(told["precision"], stored))
    restore(fit.eval_metric, told["metric"], stored)
    restore(fit.history, told["history"], stored)
    waiting = list(told["callbacks"])
    for callback in fit.callbacks:
        found = next((entry for entry in waiting if entry[0] == type(callback).__name__), None)
        if found is not None:
            waiting.remove(found)
            restore(callback, found[1], stored)
    fit.begin_epoch, fit.done, fit.steps = told["epoch"], told["done"], told["steps"]
    fit.spent = told["seconds"] if fit.done else 0.0
    rnd.set_state(unpack(told["random"], stored))
    _set_data_state(fit, unpack(told["data"], stored))
    validation = unpack(told["eval_data"], stored)
    if validation is not None and hasattr(fit.eval_data, "set_state"):
        fit.eval_data.set_state(validation)
    # Again: an iterator without a state was reset, which may have used random numbers.
    rnd.set_state(unpack(told["random"], stored))


def read_training(path: str) -> tuple[dict[str, Any], dict[str, NDArray]]:
    """What a file says, and its arrays."""
    records, names, metadata = read_tensors(path)
    if FORMAT not in metadata:
        raise FileFormatError(
            f"{path}: holds arrays, but no training to resume; a TrainingCheckpoint writes such files"
        )
    try:
        told = json.loads(metadata[FORMAT])
        version = told["version"]
    except (ValueError, KeyError, TypeError):
        raise FileFormatError(f"{path}: the description of the training in its header is damaged") from None
    if version != VERSION:
        raise FileFormatError(
            f"{path}: was written by another version of minimx (format {version}, known is {VERSION})"
        )
    return told, {name: from_record(r) for name, r in zip(names, records, strict=True)}


def _record(value: Any) -> ArrayRecord:
    return ArrayRecord(value.asnumpy(), value.dtype_name) if isinstance(value, NDArray) else record_of(value)


def _data_state(data: Any) -> Mapping[str, Any] | None:
    """Where an iterator is, as far as it says so."""
    try:
        return data.get_state()
    except (AttributeError, NotImplementedError):
        return None


def _set_data_state(fit: Any, state: Any) -> None:
    """Brings the training data to where they were. An iterator that cannot say where it is begins an epoch, and the batches
    that were learnt are left out: that is the same as long as its order does not change."""
    if state is not None:
        fit.train_data.set_state(state)
        return
    fit.train_data.reset()
    for _ in range(fit.done):
        next(fit.train_data)
