"""Which inputs of a network are data and which are labels, and how they meet what iterators give."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Sequence
from typing import Any

from ..base import GraphError, did_you_mean
from ..io import DataDesc
from ..symbol import Symbol, depth_first


def described(shapes: Any) -> list[DataDesc]:
    """Descriptions from whatever `bind` is given: descriptions, (name, shape) pairs, a dict, or nothing."""
    if shapes is None:
        return []
    if isinstance(shapes, dict):
        shapes = shapes.items()
    return [d if isinstance(d, DataDesc) else DataDesc(*d) for d in shapes]


def check_inputs(symbol: Symbol, names: Sequence[str], what: str) -> None:
    """Raises unless all names are arguments of the symbol."""
    arguments = symbol.list_arguments()
    for name in names:
        if name not in arguments:
            usual = [n for n in arguments if not n.endswith(("_weight", "_bias", "_gamma", "_beta"))]
            hint = did_you_mean(name, arguments) or f"; inputs may be {', '.join(usual) or 'none'}"
            raise GraphError(f"{what} has {name!r}, which is no argument of the symbol{hint}")


def label_arguments(symbol: Symbol) -> list[str]:
    """The variables that are labels: those that an operator takes as its `label`, and those whose names end like that."""
    nodes = depth_first(symbol._heads)
    fed = {
        child.name
        for node in nodes
        if node.op is not None
        for name, (child, _) in zip(node.op.input_names(node.params), node.inputs, strict=False)
        if name == "label" and child.op is None
    }
    return [n.name for n in nodes if n.op is None and (n.name in fed or n.name.endswith("label"))]


def find_labels(symbol: Symbol, wanted: Sequence[str], others: Iterable[str]) -> list[str]:
    """The symbol's labels: those of `wanted` that it has, then whatever else looks like one."""
    arguments = symbol.list_arguments()
    taken = set(others)
    found = [n for n in wanted if n in arguments]
    return found + [n for n in label_arguments(symbol) if n not in taken and n not in found]


def match(given: list[DataDesc], wanted: Sequence[str], what: str, training: bool = True) -> list[DataDesc]:
    """What an iterator gives, under the names that the graph has.

    A single label belongs to the graph's single label whatever its name is. Labels may be missing altogether, and some of
    them unless it is for training; an iterator may have labels that the graph has no use for.
    """
    known = [d for d in given if d.name in wanted]
    missing = len(known) < len(wanted)
    if what == "label":
        if len(given) == len(wanted) == 1 and missing:
            desc = given[0]
            return [DataDesc(wanted[0], desc.shape, desc.dtype, desc.layout)]
        if not missing or not given or (known and not training):
            return given
    elif not missing and len(given) == len(wanted):
        return given
    have = ", ".join(f"{d.name} {d.shape}" for d in given) or "none"
    raise GraphError(f"{what}: your iterator gives {have}; the graph wants {', '.join(wanted) or 'none'}")


def match_patterns(patterns: Sequence[str], names: Sequence[str], what: str) -> list[str]:
    """The names that a list of names, glob patterns and regular expressions (for whole names) means."""
    if isinstance(patterns, str):
        patterns = [patterns]
    found: set[str] = set()
    for pattern in patterns:
        hits = [n for n in names if n == pattern] or fnmatch.filter(names, pattern)
        if not hits:
            try:
                hits = [n for n in names if re.fullmatch(pattern, n)]
            except re.error as error:
                raise ValueError(f"{what}: {pattern!r} is no pattern: {error}") from None
        if not hits:
            hint = did_you_mean(pattern, names) or f"; parameters are {', '.join(names) or 'none'}"
            raise ValueError(f"{what}: {pattern!r} matches no parameter{hint}")
        found.update(hits)
    return [n for n in names if n in found]
