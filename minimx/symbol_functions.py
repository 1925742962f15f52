"""Functions of mx.sym that are more than one operator: creation, choices between an operator and its scalar form."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Number
from typing import Any

from .api import symbol_function
from .symbol import Symbol, binary


def _internal(op_name: str, *args: Any, **kwargs: Any) -> Symbol:
    return symbol_function(op_name)(*args, **kwargs)


def zeros(shape: Any, dtype: Any = None, **kwargs: Any) -> Symbol:
    """An array of zeros. Dimensions of 0 are inferred from what the array is used with."""
    return _internal("_zeros", shape=shape, dtype=dtype or "float32", **kwargs)


def ones(shape: Any, dtype: Any = None, **kwargs: Any) -> Symbol:
    """An array of ones."""
    return _internal("_ones", shape=shape, dtype=dtype or "float32", **kwargs)


def full(shape: Any, val: float, dtype: Any = None, **kwargs: Any) -> Symbol:
    """An array of one value."""
    return _internal("_full", shape=shape, dtype=dtype or "float32", value=float(val), **kwargs)


def arange(
    start: float,
    stop: float | None = None,
    step: float = 1.0,
    repeat: int = 1,
    infer_range: bool = False,
    name: str | None = None,
    dtype: Any = None,
) -> Symbol:
    """Numbers from start to stop (from 0 to start when there is no stop), each `repeat` times."""
    return _internal(
        "_arange",
        start=start,
        stop=stop,
        step=step,
        repeat=repeat,
        infer_range=infer_range,
        name=name,
        dtype=dtype or "float32",
    )


def linspace(
    start: float, stop: float, num: int, endpoint: bool = True, name: str | None = None, dtype: Any = None
) -> Symbol:
    """`num` evenly spaced numbers."""
    dtype = dtype or "float32"
    return _internal("_linspace", start=start, stop=stop, num=num, endpoint=endpoint, name=name, dtype=dtype)


def eye(N: int, M: int = 0, k: int = 0, dtype: Any = None, **kwargs: Any) -> Symbol:
    """A matrix with ones on its k-th diagonal; M = 0 makes it square."""
    return _internal("_eye", N, M, k, dtype=dtype or "float32", **kwargs)


def histogram(a: Symbol, bins: int | Symbol = 10, range: tuple[float, float] | None = None, **kwargs: Any) -> Symbol:
    """Counts and bin edges; `bins` is a number (then `range` is needed) or the edges."""
    if isinstance(bins, Symbol):
        return _internal("_histogram", data=a, bins=bins, **kwargs)
    if range is None:
        raise ValueError("histogram of a Symbol needs a range when bins is a number")
    return _internal("_histogram", data=a, bin_cnt=bins, range=range, **kwargs)


def split_v2(
    ary: Symbol, indices_or_sections: int | Sequence[int], axis: int = 0, squeeze_axis: bool = False
) -> Symbol:
    """Equal parts (a number of them), or parts that begin at the given indices."""
    if isinstance(indices_or_sections, int):
        indices, sections = [], indices_or_sections
    elif isinstance(indices_or_sections, (tuple, list)):
        indices, sections = [0, *indices_or_sections], 0
    else:
        raise ValueError(f"indices_or_sections must be an integer or a tuple of integers, got {indices_or_sections!r}")
    return _internal("_split_v2", ary, indices, axis, squeeze_axis, sections)


def maximum(left: Any, right: Any) -> Any:
    """The larger one, element by element. Symbols or numbers."""
    return _symmetric("_maximum", max, left, right)


def minimum(left: Any, right: Any) -> Any:
    """The smaller one, element by element. Symbols or numbers."""
    return _symmetric("_minimum", min, left, right)


def hypot(left: Any, right: Any) -> Any:
    """The hypotenuse of legs left and right. Symbols or numbers."""
    return _symmetric("_hypot", math.hypot, left, right)


def power(base: Any, exp: Any) -> Any:
    """base to the power of exp. Symbols or numbers."""
    return base**exp


pow = power


def _symmetric(op_name: str, of_numbers: Any, left: Any, right: Any) -> Any:
    if isinstance(left, Number) and isinstance(right, Number):
        return of_numbers(left, right)
    if isinstance(left, Symbol):
        return binary(op_name, op_name, f"{op_name}_scalar", left, right)
    return binary("", "", f"{op_name}_scalar", right, left)


FUNCTIONS = {
    f.__name__: f
    for f in (arange, eye, full, histogram, hypot, linspace, maximum, minimum, ones, power, split_v2, zeros)
} | {"pow": power}
