"""Operators that only rearrange: their output is a walk with strides over their input (or the other way round).

A walk is what NumPy's strided views are: a shape, a step for each of its dimensions and a start, all in elements. When a walk
steps through memory in order the output is an alias and costs nothing; otherwise it is one call of `strided_copy`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NamedTuple

from .base import ITEM_SIZES
from .op import Op, product


class Walk(NamedTuple):
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0

    @property
    def in_order(self) -> bool:
        """Whether it visits consecutive elements."""
        if 0 in self.shape:
            return True
        steps = ((n, step) for n, step in zip(self.shape, self.strides, strict=True) if n != 1)
        expected = 1
        for n, step in reversed(list(steps)):
            if step != expected:
                return False
            expected *= n
        return True


def contiguous(shape: Sequence[int]) -> tuple[int, ...]:
    """The strides of an array that lies in memory in row-major order."""
    return tuple(accumulate(reversed(shape[1:]), int.__mul__, initial=1))[::-1] if shape else ()


class Strided(Op, abstract=True):
    """Base of operators whose output is one walk over the first input."""

    def walk(self, p: Any, shape: tuple[int, ...]) -> Walk:
        """The walk over an input of that shape. Its elements in row-major order are the output."""
        raise NotImplementedError(f"{self.name}: walk")

    def lower(self, p, node, emit):
        source, out = node.inputs[0], node.outputs[0]
        take(emit, source, out, self.walk(p, source.shape))


def take(emit: Any, source: Any, out: Any, walk: Walk) -> None:
    """`out` is what the walk meets in `source`."""
    if walk.in_order:
        emit.alias(out, source, walk.offset * ITEM_SIZES[source.dtype])
    else:
        copy(emit, source, walk, out, Walk(walk.shape, contiguous(walk.shape)))


def put(emit: Any, source: Any, target: Any, walk: Walk) -> None:
    """Writes `source` to the places of `target` that the walk meets; the others stay what they are."""
    copy(emit, source, Walk(walk.shape, contiguous(walk.shape)), target, walk)


def copy(emit: Any, source: Any, read: Walk, target: Any, write: Walk) -> None:
    """Copies along two walks of one shape."""
    if 0 in read.shape:
        return
    args = {
        "shape": list(read.shape),
        "in_strides": list(read.strides),
        "out_strides": list(write.strides),
        "in_offset": read.offset,
        "out_offset": write.offset,
    }
    emit("strided_copy", str(ITEM_SIZES[source.dtype]), args, [source], [target])


def around(shape: Sequence[int], axis: int) -> tuple[int, int, int]:
    """A shape seen from one axis: elements before it, along it and after it."""
    return product(shape[:axis]), shape[axis], product(shape[axis + 1 :])
