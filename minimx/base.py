"""What every room needs: the error family, dtype names and MXNet's type numbers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np


class MXNetError(RuntimeError):
    """Base of every error minimx raises itself; the name is MXNet's."""


class ParameterError(MXNetError, ValueError):
    """A parameter of an operator is unknown, missing, of the wrong type or out of range."""


class ShapeError(MXNetError, ValueError):
    """Shapes of an operator's operands do not go together, or are still unknown."""


class TypeInferenceError(MXNetError, TypeError):
    """Dtypes of an operator's operands do not go together."""


class GraphError(MXNetError, ValueError):
    """A symbol cannot be composed, read or bound as asked."""


class DeviceError(MXNetError, ValueError):
    """A device does not exist or lacks what is asked of it."""


class FileFormatError(MXNetError, ValueError):
    """A file is damaged or not of the expected format; the message names file and offset."""


class NotImplementedForSymbol(MXNetError, NotImplementedError):
    """A method that needs values was called on a Symbol, which has none before it is bound."""


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """An addition to an error message about an unknown name: the known names that are like it."""
    import difflib

    near = difflib.get_close_matches(name, names, 3)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def _bfloat16() -> np.dtype:
    return np.dtype([("bfloat16", np.uint16)])


bfloat16 = _bfloat16()

# MXNet's type flags, as they stand in .params files and in __dtype__ attributes.
TYPE_FLAGS = {
    "float32": 0,
    "float64": 1,
    "float16": 2,
    "uint8": 3,
    "int32": 4,
    "int8": 5,
    "int64": 6,
    "bool": 7,
    "bfloat16": 12,
}
FLAG_TYPES = {flag: name for name, flag in TYPE_FLAGS.items()}
ITEM_SIZES = {
    "float32": 4,
    "float64": 8,
    "float16": 2,
    "uint8": 1,
    "int32": 4,
    "int8": 1,
    "int64": 8,
    "bool": 1,
    "bfloat16": 2,
}
FLOATS = frozenset({"float16", "bfloat16", "float32", "float64"})

_NAMES: dict[Any, str] = {}


def dtype_name(dtype: Any) -> str:
    """The plain name ('float32') of a dtype given as name, NumPy dtype, scalar type or Python type."""
    try:
        return _NAMES[dtype]
    except (KeyError, TypeError):
        pass
    if isinstance(dtype, str) and dtype in TYPE_FLAGS:
        name = dtype
    elif dtype == bfloat16:
        name = "bfloat16"
    else:
        try:
            name = np.dtype(dtype).name
        except TypeError:
            raise MXNetError(f"{dtype!r} is not a dtype; known are {', '.join(TYPE_FLAGS)}") from None
        if name not in TYPE_FLAGS:
            raise MXNetError(f"dtype {name} is not supported; known are {', '.join(TYPE_FLAGS)}")
    try:
        _NAMES[dtype] = name
    except TypeError:
        pass
    return name


def numpy_dtype(name: str) -> np.dtype:
    """The NumPy dtype that stores a minimx dtype."""
    return bfloat16 if name == "bfloat16" else np.dtype(name)


def bits(value: float, dtype: str) -> int:
    """A number as it lies in memory under a dtype, read as a signed integer. Integers wrap."""
    if dtype == "bfloat16":
        wide = int(np.float32(value).view(np.uint32))
        return ((wide + 0x7FFF + (wide >> 16 & 1)) >> 16) & 0xFFFF  # to nearest, ties to even
    size = ITEM_SIZES[dtype]
    if dtype in FLOATS:
        with np.errstate(over="ignore"):
            return int(np.array(value, dtype).view(f"i{size}"))
    whole = bool(value) if dtype == "bool" else int(value)
    return int.from_bytes((whole % 2 ** (8 * size)).to_bytes(size, "little"), "little", signed=True)
