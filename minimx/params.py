"""Typed parameters of operators: parsing (Python values and MXNet's strings), ranges, defaults, documentation."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from .base import ParameterError, did_you_mean, dtype_name

REQUIRED: Any = type("Required", (), {"__repr__": lambda self: "required"})()


class Param:
    """One parameter. A default of None makes it optional: None is then a legal value."""

    kind = "value"
    annotation = "Any"
    optional = False  # None is a legal value although it is not the default

    def __init__(self, default: Any = REQUIRED, doc: str = ""):
        self.default = default
        self.doc = doc

    @property
    def nullable(self) -> bool:
        return self.optional or self.default is None

    @property
    def required(self) -> bool:
        return self.default is REQUIRED

    def parse(self, value: Any) -> Any:
        """The typed value; raises ValueError with what is allowed when it cannot be one."""
        if value is None or (isinstance(value, str) and value == "None"):
            if self.nullable:
                return None
            raise ValueError(self.allowed())
        return self.convert(value)

    def convert(self, value: Any) -> Any:
        raise NotImplementedError(type(self).__name__)

    def allowed(self) -> str:
        return self.kind + (" or None" if self.nullable else "")


class _Number(Param):
    def __init__(
        self,
        default: Any = REQUIRED,
        doc: str = "",
        *,
        min: float | None = None,
        max: float | None = None,
        optional: bool = False,
    ):
        super().__init__(default, doc)
        self.min, self.max, self.optional = min, max, optional

    def check(self, value: Any) -> Any:
        if (self.min is not None and value < self.min) or (self.max is not None and value > self.max):
            raise ValueError(self.allowed())
        return value

    def allowed(self) -> str:
        text = super().allowed()
        if self.min is not None and self.max is not None:
            return f"{text} between {self.min} and {self.max}"
        if self.min is not None:
            return f"{text} of at least {self.min}"
        if self.max is not None:
            return f"{text} of at most {self.max}"
        return text


class Int(_Number):
    kind = "an integer"
    annotation = "int"

    def convert(self, value: Any) -> int:
        if type(value) is int:
            return self.check(value)
        if isinstance(value, str):
            if not re.fullmatch(r"\s*[+-]?\d+\s*", value):
                raise ValueError(self.allowed())
            return self.check(int(value))
        if isinstance(value, (float, np.floating)) and float(value).is_integer():
            return self.check(int(value))
        if isinstance(value, (bool, int, np.integer)):
            return self.check(int(value))
        raise ValueError(self.allowed())


class Float(_Number):
    kind = "a number"
    annotation = "float"

    def convert(self, value: Any) -> float:
        if isinstance(value, str):
            text = value.strip()
            try:
                return self.check(float(text[:-1] if text[-1:] in "fF" and text[-2:-1] in "0123456789." else text))
            except ValueError:
                raise ValueError(self.allowed()) from None
        if isinstance(value, (bool, int, float, np.number, np.bool_)):
            return self.check(float(value))
        raise ValueError(self.allowed())


class Bool(Param):
    kind = "True or False"
    annotation = "bool"

    def convert(self, value: Any) -> bool:
        if isinstance(value, str):
            text = value.strip().lower()
            if text in ("true", "1"):
                return True
            if text in ("false", "0"):
                return False
            raise ValueError(self.allowed())
        if isinstance(value, (bool, int, np.bool_, np.integer)) and int(value) in (0, 1):
            return bool(value)
        raise ValueError(self.allowed())


class Enum(Param):
    annotation = "str"

    def __init__(self, choices: Iterable[str], default: Any = REQUIRED, doc: str = ""):
        super().__init__(default, doc)
        self.choices = tuple(choices)

    def convert(self, value: Any) -> str:
        if isinstance(value, str) and value in self.choices:
            return value
        raise ValueError(self.allowed())

    def allowed(self) -> str:
        return "one of " + ", ".join(repr(c) for c in self.choices) + (", None" if self.default is None else "")


class Text(Param):
    kind = "a string"
    annotation = "str"

    def parse(self, value: Any) -> Any:
        return None if value is None and self.default is None else str(value)


class DType(Param):
    kind = "a dtype"
    annotation = "str"

    def convert(self, value: Any) -> str:
        try:
            return dtype_name(value)
        except Exception:
            raise ValueError(self.allowed()) from None


class Shape(Param):
    """A tuple of integers; a bare integer is a tuple of one. `length` limits it, `none` allows None elements."""

    annotation = "tuple[int, ...]"

    def __init__(self, default: Any = REQUIRED, doc: str = "", *, none: bool = False, min: int | None = None):
        super().__init__(default, doc)
        self.none = none
        self.min = min

    @property
    def kind(self) -> str:  # type: ignore[override]
        element = "integers" if self.min is None else f"integers of at least {self.min}"
        return f"a tuple of {element}" + (" or None elements" if self.none else "")

    def convert(self, value: Any) -> tuple:
        if isinstance(value, str):
            value = self._read(value)
        if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
            value = (int(value),)
        if isinstance(value, np.ndarray):
            value = value.tolist()
        if not isinstance(value, (tuple, list)):
            raise ValueError(self.allowed())
        return tuple(self._element(v) for v in value)

    def _element(self, v: Any) -> int | None:
        if v is None and self.none:
            return None
        if isinstance(v, (bool, np.bool_)) or not isinstance(v, (int, np.integer)):
            raise ValueError(self.allowed())
        if self.min is not None and v < self.min:
            raise ValueError(self.allowed())
        return int(v)

    def _read(self, text: str) -> Any:
        text = re.sub(r"(?<=\d)L\b", "", text.strip())
        if not re.fullmatch(r"[+-]?\d+|[(\[][-+\d\s,None]*[)\]]", text):
            raise ValueError(self.allowed())
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError):
            raise ValueError(self.allowed()) from None


class Floats(Param):
    """A tuple of numbers; a bare number is a tuple of one."""

    kind = "a tuple of numbers"
    annotation = "tuple[float, ...]"

    def convert(self, value: Any) -> tuple[float, ...]:
        if isinstance(value, str):
            try:
                value = ast.literal_eval(value.strip())
            except (ValueError, SyntaxError):
                raise ValueError(self.allowed()) from None
        if isinstance(value, (int, float, np.number)):
            value = (value,)
        if not isinstance(value, (tuple, list, np.ndarray)):
            raise ValueError(self.allowed())
        try:
            return tuple(float(v) for v in value)
        except (TypeError, ValueError):
            raise ValueError(self.allowed()) from None


def text_of(value: Any) -> str:
    """How MXNet's Python front end writes a parameter into a symbol file."""
    if isinstance(value, (np.dtype, type)):
        return dtype_name(value)
    return str(_plain(value))


def _plain(value: Any) -> Any:
    """Python numbers instead of NumPy's, whose text is another one."""
    if isinstance(value, np.floating):
        return float(str(value))  # 0.1 of float32, not the decimals of the double nearest to it
    if isinstance(value, (np.generic, np.ndarray)):
        return tuple(value.tolist()) if value.ndim else value.item()
    if isinstance(value, (tuple, list)):
        return type(value)(map(_plain, value)) if type(value) in (tuple, list) else tuple(map(_plain, value))
    return value


def parse_params(op: str, params: dict[str, Param], given: dict[str, Any], where: str = "") -> dict[str, Any]:
    """All parameters typed and complete, or a ParameterError that says which one is wrong and what is allowed."""

    def wrong(what: str) -> ParameterError:
        return ParameterError(f"{op}{f' ({where})' if where else ''}{what}")

    values = {name: param.default for name, param in params.items()}
    for name, value in given.items():
        param = params.get(name)
        if param is None:
            if name.startswith("__") and name.endswith("__"):
                continue
            hint = did_you_mean(name, params) or f"; it has {', '.join(params) or 'none'}"
            raise wrong(f" has no parameter {name!r}{hint}")
        if value is param.default:
            continue
        try:
            values[name] = param.parse(value)
        except ValueError:
            raise wrong(f": {name} must be {param.allowed()}, got {value!r}") from None
    if REQUIRED in values.values():
        name = next(n for n, value in values.items() if value is REQUIRED)
        raise wrong(f": the parameter {name} ({params[name].allowed()}) is missing")
    return values
