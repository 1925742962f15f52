"""What operators are tested with: one list of cases per family, `CASES` in each file of this folder.

A case is one application of an operator: its parameters, its inputs, and a NumPy twin that says what comes out.

    CASES = [
        Case("sum", [real(3, 4, 5)], {"axis": 1}, lambda x: x.sum(axis=1), length=4),
        Case("take", [real(7, 3), whole(2, 4, low=-2, high=9)], {}, lambda a, i: a[np.clip(i, 0, 6)]),
        Case("abs", [real(3, 4, away_from=(0,))], {}, np.abs),
    ]

From that, test_ops.py checks in every dtype that the forward result equals the twin, that gradients equal finite
differences in float64, that inferred shapes and dtypes are the real ones, that adding to a gradient is adding, that a
JSON round trip and switching the fuse pass off change nothing. test_registry.py checks that every operator has a case
and every parameter at least two values. Benchmarks use the same list. So: small odd shapes, every parameter, every
branch.

The twin gets the inputs as arrays (real ones in float64, whole ones in int64, auxiliary states after the others as the
operator lists them) and returns the visible outputs, one array or a tuple. `None` is for operators whose numbers have no
twin (random ones): then only shapes and dtypes are compared.

Gradients are checked by finite differences for the inputs named in `grads` (default: every `real` input). Keep values
away from kinks and ties with `away_from` and `distinct`. An operator whose gradient is not the derivative of its output
(loss layers, straight-through estimators) gives `gradient` instead: a function of (*inputs, *head gradients) that
returns one array per input named in `grads`.

Tolerance follows from dtype, `ulps` (accuracy of one element, in units in the last place) and `length` (how many
elements are summed into one): (ulps + 4 sqrt(length)) eps, relative to the largest element of the result. It is never
widened to make a test pass.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Real:
    """Real numbers, uniform between `low` and `high`; at least 0.05 away from each point of `away_from`.

    `distinct` makes all elements differ by more than a finite difference can bridge (for max, sort and their kin).
    """

    shape: tuple[int, ...]
    low: float = -2.0
    high: float = 2.0
    away_from: tuple[float, ...] = ()
    distinct: bool = False
    dtype: str | None = None  # None: the dtype the case runs in

    def make(self, generator: np.random.Generator) -> np.ndarray:
        if self.distinct:
            size = int(np.prod(self.shape))
            step = (self.high - self.low) / max(size, 1)
            x = self.low + step * (generator.permutation(size) + generator.uniform(0.3, 0.7, size))
            return x.reshape(self.shape)
        x = generator.uniform(self.low, self.high, self.shape)
        for point in self.away_from:
            x = np.where(np.abs(x - point) < 0.05, point + np.where(x < point, -0.05, 0.05), x)
        return x


@dataclass(frozen=True)
class Whole:
    """Whole numbers from `low` up to, but not including, `high`: indices, labels, lengths. MXNet keeps them in any dtype."""

    shape: tuple[int, ...]
    low: int = 0
    high: int = 10
    dtype: str | None = None

    def make(self, generator: np.random.Generator) -> np.ndarray:
        return generator.integers(self.low, self.high, self.shape)


def real(*shape: int, **options: Any) -> Real:
    return Real(shape, **options)


def whole(*shape: int, **options: Any) -> Whole:
    return Whole(shape, **options)


# An array stands for itself: float64 and int64 ones follow the dtype of the case, others keep theirs.
Input = Real | Whole | np.ndarray


@dataclass(frozen=True, eq=False)
class Case:
    op: str
    inputs: Sequence[Input]
    params: Mapping[str, Any] = field(default_factory=dict)
    twin: Callable[..., Any] | None = None
    grads: Sequence[str] | None = None  # names of inputs; None: every Real input and float64 array
    gradient: Callable[..., Sequence[np.ndarray]] | None = None
    train: bool = False  # run as in training; gradients always are
    states: Callable[..., Sequence[np.ndarray]] | None = None  # auxiliary states after a training step, from the inputs
    dtypes: Sequence[str] = ("float32", "float64")  # that the inputs without a dtype of their own run in
    half: bool = True  # also runs in float16 (compared loosely)
    ulps: float = 8.0
    length: int = 1

    @property
    def id(self) -> str:
        shapes = "x".join("_".join(map(str, i.shape)) or "scalar" for i in self.inputs)
        params = ",".join(f"{k}={v}" for k, v in self.params.items())
        return f"{self.op}({params})[{shapes}]".replace(" ", "")

    def arrays(self) -> list[np.ndarray]:
        """The inputs: float64 and int64, always the same."""
        generator = np.random.default_rng(zlib.crc32(self.id.encode()))
        return [i if isinstance(i, np.ndarray) else i.make(generator) for i in self.inputs]

    def typed(self, dtype: str) -> list[np.ndarray]:
        """The inputs in the dtypes they are fed in when the case runs in `dtype`."""
        return [a.astype(_own_dtype(i) or dtype) for a, i in zip(self.arrays(), self.inputs, strict=True)]


def _own_dtype(given: Input) -> Any:
    if isinstance(given, np.ndarray):
        return None if given.dtype in (np.float64, np.int64) else given.dtype
    return given.dtype


def all_cases() -> list[Case]:
    found = []
    for file in sorted(Path(__file__).parent.glob("[a-z]*.py")):
        found += import_module(f"{__name__}.{file.stem}").CASES
    return found
