"""Weights, batches and first results that are the same for every contender: made from names, with NumPy alone."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np

BATCHES = 2


def value_of(name: str, shape: Sequence[int]) -> np.ndarray:
    """What the array of that name starts with: normal numbers for weights, as wide as what a unit reads, else 0 or 1."""
    if name.endswith(("_gamma", "_var")):
        return np.ones(shape, np.float32)
    if not name.endswith("_weight"):
        return np.zeros(shape, np.float32)
    random = np.random.default_rng(zlib.crc32(name.encode()))
    reads = int(np.prod(shape[1:])) or 1
    return random.standard_normal(tuple(shape), np.float32) * np.float32((2 / reads) ** 0.5)


INPUTS = ("data", "softmax_label", "label", "rand")


def parameters(shapes: Mapping[str, Sequence[int]]) -> dict[str, np.ndarray]:
    """Everything that is no input."""
    return {name: value_of(name, shape) for name, shape in shapes.items() if name not in INPUTS}


def batches(shapes: Mapping[str, Sequence[int]], count: int = BATCHES) -> list[dict[str, np.ndarray]]:
    """So many batches of the inputs: images between 0 and 1, labels 0 and 1 (numbers when they have several columns)."""
    random = np.random.default_rng(0)
    made = []
    for _ in range(count):
        batch = {}
        for name, shape in shapes.items():
            if name not in INPUTS:
                continue
            if name.endswith("label") and len(shape) == 1:
                batch[name] = random.integers(0, 2, shape).astype(np.float32)
            else:
                batch[name] = random.random(tuple(shape), np.float32)
        made.append(batch)
    return made


def first_results(output: np.ndarray) -> list[float]:
    return [float(v) for v in np.asarray(output).reshape(-1)[:8]]


def matrices(m: int, n: int, k: int, trans_a: bool, trans_b: bool, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """The operands of a product, as they lie in memory."""
    random = np.random.default_rng(0)
    a = random.standard_normal((k, m) if trans_a else (m, k)).astype(dtype)
    return a, random.standard_normal((n, k) if trans_b else (k, n)).astype(dtype)


def operands(shape: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """An array, and one row to add to all of its rows."""
    random = np.random.default_rng(0)
    return random.random(tuple(shape), np.float32), random.random(shape[-1], np.float32)


def repeated(call: Callable[[], object], wait: Callable[[object], object] | None = None) -> Callable[[int], None]:
    """Runs a call so many times; `wait` gets the last result."""

    def run(count: int) -> None:
        found = None
        for _ in range(count):
            found = call()
        if wait and count:
            wait(found)

    return run


def definite(shape: Sequence[int]) -> np.ndarray:
    """Symmetric matrices with positive eigenvalues, none of them small."""
    a = np.random.default_rng(0).standard_normal(tuple(shape), np.float32)
    return a @ a.swapaxes(-1, -2) / np.float32(shape[-1]) + np.eye(shape[-1], dtype=np.float32)
