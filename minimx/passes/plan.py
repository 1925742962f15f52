"""plan: gives every temporary buffer a place in its device's arena.

A buffer lives from the call that writes it first to the call that reads it last. Calls that may work in place hand the
memory of an input that dies there to their output. The rest is packed largest first, each at the lowest offset where it
overlaps nothing that is alive at the same time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import attrgetter

from .. import _core
from ..graph import Device
from .lower import Buffer, Call, Lowered

ALIGNMENT = 64


@dataclass
class Plan:
    """Offsets of temporary root buffers, and how large each device's arena must be."""

    offsets: dict[Buffer, int] = field(default_factory=dict)
    arenas: dict[Device, int] = field(default_factory=dict)
    unshared_bytes: int = 0  # what the same buffers would take without sharing memory


@dataclass(slots=True, eq=False)
class _Block:
    """Buffers that hand one piece of memory on to each other."""

    nbytes: int
    first: int
    last: int
    device: Device
    members: list[Buffer]


def plan(lowered: Lowered) -> Plan:
    blocks = _lifetimes(lowered.calls)
    result = Plan(unshared_bytes=sum([_aligned(b.nbytes) for b in blocks.values()]))
    _join_in_place(lowered.calls, blocks)
    unique = list(dict.fromkeys(blocks.values()))  # in the order in which their lives begin
    for device in {b.device for b in unique}:
        result.arenas[device] = _pack([b for b in unique if b.device == device], result.offsets)
    return result


def _aligned(nbytes: int) -> int:
    return (nbytes + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT or ALIGNMENT


def _lifetimes(calls: list[Call]) -> dict[Buffer, _Block]:
    blocks: dict[Buffer, _Block] = {}
    for i, call in enumerate(calls):
        for buffer in call.operands():
            if buffer is None:
                continue
            root = buffer if buffer.parent is None else buffer.root()[0]
            if (block := blocks.get(root)) is not None:
                block.last = i
            elif root.bound is None:
                blocks[root] = _Block(root.nbytes, i, i, root.device, [root])
    return blocks


def _join_in_place(calls: list[Call], blocks: dict[Buffer, _Block]) -> None:
    for i, call in enumerate(calls):
        if not call.inplace or not call.writes:
            continue
        out = call.writes[0].root()[0]
        if out.bound is not None or blocks[out].first != i or call.writes[0].nbytes != out.nbytes:
            continue
        others = [b.root()[0] for j, b in enumerate(call.reads) if j not in call.inplace and b is not None]
        for j in call.inplace:
            source = call.reads[j]
            assert source is not None  # operators name inputs they have
            root, offset = source.root()
            if root.bound is not None or root in others or offset or source.dtype != call.writes[0].dtype:
                continue
            block = blocks[root]
            if (
                block.last == i
                and block.nbytes == out.nbytes
                and block.device == out.device
                and block is not blocks[out]
            ):
                mine = blocks[out]
                block.last = mine.last
                block.members += mine.members
                for member in mine.members:
                    blocks[member] = block
                break


def _pack(blocks: list[_Block], offsets: dict[Buffer, int]) -> int:
    ordered = sorted(blocks, key=attrgetter("nbytes"), reverse=True)  # of one size, those first that begin first
    places, size = _core.pack([(_aligned(b.nbytes), b.first, b.last) for b in ordered])
    for block, at in zip(ordered, places, strict=True):
        for member in block.members:
            offsets[member] = at
    return size
