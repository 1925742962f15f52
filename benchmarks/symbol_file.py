"""Reads a symbol file for the translations to other libraries: plain data, with attributes as Python values."""

from __future__ import annotations

import ast
import json
from dataclasses import dataclass
from typing import Any


@dataclass
class Layer:
    """One operator of the file: its inputs are (number of a layer, number of its output)."""

    op: str
    name: str
    attrs: dict[str, Any]
    inputs: list[tuple[int, int]]


def read(path: str) -> tuple[list[Layer], list[int]]:
    """All layers, in an order in which each comes after its inputs, and the numbers of the outputs."""
    with open(path) as file:
        graph = json.load(file)
    layers = [
        Layer(n["op"], n["name"], _values(n.get("attrs") or n.get("param") or {}), [(i[0], i[1]) for i in n["inputs"]])
        for n in graph["nodes"]
    ]
    return layers, [head[0] for head in graph["heads"]]


def _values(attrs: dict[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, text in attrs.items():
        try:
            found[key] = ast.literal_eval(text)
        except (SyntaxError, ValueError):
            found[key] = text
    return found
