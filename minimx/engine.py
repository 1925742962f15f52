"""mx.engine: how MXNet groups operators into bulks. Programs here are one group already, so the size changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

_size = 15  # what MXNet begins with


def set_bulk_size(size: int) -> int:
    """Sets the size and returns the former one."""
    global _size
    former, _size = _size, int(size)
    return former


@contextmanager
def bulk(size: int) -> Iterator[None]:
    """`with mx.engine.bulk(20):`"""
    former = set_bulk_size(size)
    try:
        yield
    finally:
        set_bulk_size(former)
