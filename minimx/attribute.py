"""AttrScope: attributes that every variable and operator made inside a `with` block receives."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, ClassVar

# Attributes with a meaning of their own; they may be written without underscores and are stored with them.
HIDDEN = ("ctx_group", "lr_mult", "wd_mult", "force_mirroring", "mirror_stage")


def stored_key(key: str) -> str:
    """The spelling under which an attribute is kept: `lr_mult` becomes `__lr_mult__`."""
    return f"__{key}__" if key in HIDDEN else key


class _Current(type):
    """Gives the class an attribute `current`: the innermost scope entered by this thread."""

    @property
    def current(cls) -> AttrScope:
        return _scopes.stack[-1]


class AttrScope(metaclass=_Current):
    """`with AttrScope(ctx_group="stage1", __tag__="x"):`; inner scopes add to outer ones and win over them."""

    current: ClassVar[AttrScope]

    def __init__(self, **attrs: str) -> None:
        for key, value in attrs.items():
            if not isinstance(value, str):
                raise ValueError(f"attribute {key} must be a string, got {value!r}")
        self._own = attrs
        self._attr = attrs

    def get(self, attr: Mapping[str, Any] | None) -> dict[str, str]:
        """The scope's attributes overlaid with `attr`."""
        for key, value in (attr or {}).items():
            if not isinstance(value, str):
                raise ValueError(f"attribute {key} must be a string, got {value!r}")
        return {**self._attr, **(attr or {})}

    def __enter__(self) -> AttrScope:
        self._attr = {**_scopes.stack[-1]._attr, **self._own}
        _scopes.stack.append(self)
        return self

    def __exit__(self, *exception: object) -> None:
        _scopes.stack.pop()
        self._attr = self._own


class _Scopes(threading.local):
    def __init__(self) -> None:
        self.stack: list[AttrScope] = [AttrScope()]


_scopes = _Scopes()
