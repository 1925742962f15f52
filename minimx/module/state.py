"""What objects know, as JSON and arrays: numbers, texts, arrays, and tuples, lists, dicts and objects of them.

Files made of it hold no code; reading one changes attributes of objects that are there already.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..ndarray import NDArray

_PLAIN = (bool, int, float, str, type(None))
_MISSING = object()


class Stored:
    """Arrays that belong to a text, by name."""

    def __init__(self, arrays: dict[str, Any] | None = None):
        self.arrays: dict[str, Any] = {} if arrays is None else arrays

    def keep(self, value: Any) -> str:
        name = f"state:{len(self.arrays)}"
        self.arrays[name] = value
        return name


def pack(value: Any, stored: Stored, leave: Sequence[str] = ()) -> Any:
    """A value in terms of JSON. Attributes named in `leave`, and what is not understood, are left out."""
    found = _pack(value, stored, set(leave), [])
    return None if found is _MISSING else found


def _pack(value: Any, stored: Stored, leave: set[str], inside: list[int]) -> Any:
    if type(value) in _PLAIN:
        return value
    if isinstance(value, NDArray):
        return {"$ndarray": stored.keep(value)}
    if isinstance(value, (np.ndarray, np.generic)):
        if value.dtype.kind not in "biuf":
            return _MISSING
        # Types that files do not have become wider ones and come back.
        wide = {"uint16": "int32", "uint32": "int64", "uint64": "int64", "int16": "int32"}.get(value.dtype.name)
        raw = np.asarray(value)
        kept = raw if wide is None else raw.view(np.int64) if value.dtype == np.uint64 else raw.astype(wide)
        return {"$array": stored.keep(kept), "dtype": value.dtype.name, "number": isinstance(value, np.generic)}
    if id(value) in inside:  # a ring
        return _MISSING
    inside = [*inside, id(value)]
    if isinstance(value, (list, tuple)):
        parts = [_pack(v, stored, leave, inside) for v in value]
        if any(p is _MISSING for p in parts):
            return _MISSING
        return parts if type(value) is list else {"$tuple": parts}
    if isinstance(value, dict):
        pairs = [[_pack(k, stored, leave, inside), _pack(v, stored, leave, inside)] for k, v in value.items()]
        if any(p is _MISSING for pair in pairs for p in pair):
            return _MISSING
        return {"$dict": pairs}
    if (
        not hasattr(value, "__dict__")
        or isinstance(value, type)
        or type(value).__module__ in ("builtins", "types", "logging", "_io")
    ):
        return _MISSING
    found = {}
    for name, attribute in vars(value).items():
        if name not in leave:
            packed = _pack(attribute, stored, leave, inside)
            if packed is not _MISSING:
                found[name] = packed
    return {"$class": type(value).__name__, "$object": found}


def unpack(value: Any, stored: Stored) -> Any:
    """The value that `pack` was given. Objects do not come out of it: see `restore`."""
    if isinstance(value, list):
        return [unpack(v, stored) for v in value]
    if not isinstance(value, dict):
        return value
    if "$ndarray" in value:
        return stored.arrays[value["$ndarray"]]
    if "$array" in value:
        raw = stored.arrays[value["$array"]].asnumpy()
        dtype = np.dtype(value["dtype"])
        raw = raw.view(np.uint64) if dtype == np.uint64 else raw.astype(dtype, copy=False)
        return raw[()] if value["number"] else raw
    if "$tuple" in value:
        return tuple(unpack(v, stored) for v in value["$tuple"])
    return {unpack(k, stored): unpack(v, stored) for k, v in value["$dict"]}


def restore(target: Any, value: Any, stored: Stored) -> None:
    """Gives an object the attributes that another of its kind had."""
    for name, packed in value["$object"].items():
        if _has_objects(packed):
            _restore_inside(getattr(target, name, None), packed, stored)
        else:
            setattr(target, name, unpack(packed, stored))


def _restore_inside(target: Any, packed: Any, stored: Stored) -> None:
    """Objects in attributes, lists and dicts are there already, and get their attributes."""
    if isinstance(packed, dict) and "$object" in packed:
        if target is not None:
            restore(target, packed, stored)
    elif isinstance(packed, list) or "$tuple" in packed:
        parts = packed if isinstance(packed, list) else packed["$tuple"]
        for part, own in zip(parts, target or (), strict=False):
            if _has_objects(part):
                _restore_inside(own, part, stored)
    elif "$dict" in packed:
        for key, part in packed["$dict"]:
            if _has_objects(part) and target is not None:
                _restore_inside(target.get(unpack(key, stored)), part, stored)


def _has_objects(packed: Any) -> bool:
    if isinstance(packed, list):
        return any(map(_has_objects, packed))
    if not isinstance(packed, dict):
        return False
    if "$tuple" in packed:
        return any(map(_has_objects, packed["$tuple"]))
    if "$dict" in packed:
        return any(_has_objects(v) for _, v in packed["$dict"])
    return "$object" in packed
