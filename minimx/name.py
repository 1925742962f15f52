"""Automatic names of operators: `fullyconnected0`, `_plus1`; one counter per hint."""

from __future__ import annotations

import threading
from typing import ClassVar


class _Current(type):
    """Gives the class an attribute `current`: the innermost scope entered by this thread."""

    @property
    def current(cls) -> NameManager:
        return _scopes.stack[-1]


class NameManager(metaclass=_Current):
    """Counts automatic names. `with NameManager():` begins again at 0 and restores the outer counters at the end."""

    current: ClassVar[NameManager]

    def __init__(self) -> None:
        self._counter: dict[str, int] = {}

    def get(self, name: str | None, hint: str) -> str:
        """The given name, or the next automatic one for the hint."""
        if name:
            return name
        number = self._counter.get(hint, 0)
        self._counter[hint] = number + 1
        return f"{hint}{number}"

    def __enter__(self) -> NameManager:
        _scopes.stack.append(self)
        return self

    def __exit__(self, *exception: object) -> None:
        _scopes.stack.pop()


class Prefix(NameManager):
    """Puts a prefix before every operator name, automatic or given. Names of variables stay as they are."""

    def __init__(self, prefix: str) -> None:
        super().__init__()
        self._prefix = prefix

    def get(self, name: str | None, hint: str) -> str:
        return self._prefix + super().get(name, hint)


class _Scopes(threading.local):
    def __init__(self) -> None:
        self.stack: list[NameManager] = [NameManager()]


_scopes = _Scopes()
