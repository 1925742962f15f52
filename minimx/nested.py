"""Lists inside of lists: what control flow accepts as data, states and outputs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any


def flatten(value: Any) -> list[Any]:
    """All elements, from left to right."""
    if isinstance(value, (list, tuple)):
        return [item for part in value for item in flatten(part)]
    return [value]


def rebuild_like(pattern: Any, items: Iterable[Any]) -> Any:
    """The items in the form of `pattern`."""
    rest: Iterator[Any] = iter(items)

    def build(part: Any) -> Any:
        return [build(p) for p in part] if isinstance(part, (list, tuple)) else next(rest)

    return build(pattern)
