"""Comparing arrays, within tolerances that follow from their dtypes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..ndarray import NDArray

# ---- tolerances ------------------------------------------------------------------------------------------------------


def default_dtype() -> type:
    return np.float32


def default_rtols() -> dict[np.dtype, float]:
    """How far results may be off by their size, per dtype."""
    return {
        np.dtype(np.float16): 1e-2,
        np.dtype(np.float32): 1e-4,
        np.dtype(np.float64): 1e-5,
        **dict.fromkeys(map(np.dtype, (np.bool_, np.int8, np.uint8, np.int32, np.int64)), 0.0),
    }


def default_atols() -> dict[np.dtype, float]:
    """How far results may be off whatever their size, per dtype."""
    return {
        np.dtype(np.float16): 1e-1,
        np.dtype(np.float32): 1e-3,
        np.dtype(np.float64): 1e-20,
        **dict.fromkeys(map(np.dtype, (np.bool_, np.int8, np.uint8, np.int32, np.int64)), 0.0),
    }


def default_numeric_eps() -> dict[np.dtype, float]:
    """Steps of finite differences, per dtype."""
    return {np.dtype(np.float16): 1e-1, np.dtype(np.float32): 1e-3, np.dtype(np.float64): 1e-4}


def effective_dtype(dat: Any) -> np.dtype:
    """The dtype whose accuracy an array has."""
    dtype = np.dtype(getattr(dat, "dtype", np.float64))
    return dtype if dtype in default_rtols() else np.dtype(np.float64)


def get_tolerance(dat: Any, tol: float | Mapping[Any, float] | None, default_tol: Mapping[np.dtype, float]) -> float:
    """`tol` as a number: itself, its entry for the array's dtype, or the default one."""
    if isinstance(tol, (int, float)):
        return float(tol)
    dtype = effective_dtype(dat)
    table = {np.dtype(k): v for k, v in tol.items()} if tol else default_tol
    return table.get(dtype, default_tol[dtype])


def get_tols(x: Any, y: Any, rtol: Any, atol: Any) -> tuple[float, float]:
    """The tolerances for comparing two arrays: those of the less accurate one."""
    numbers = [v for v in (x, y) if hasattr(v, "dtype")] or [x]
    return (
        max(get_tolerance(v, rtol, default_rtols()) for v in numbers),
        max(get_tolerance(v, atol, default_atols()) for v in numbers),
    )


def get_rtol(rtol: float | None = None, dtype: Any = np.float64) -> float:
    return default_rtols()[np.dtype(dtype)] if rtol is None else rtol


def get_atol(atol: float | None = None, dtype: Any = np.float64) -> float:
    return default_atols()[np.dtype(dtype)] if atol is None else atol


def get_etol(etol: float | None = None) -> float:
    """Which part of the elements may be wrong: none, by default."""
    return 0.0 if etol is None else etol


# ---- comparing -------------------------------------------------------------------------------------------------------


def as_numpy(x: Any) -> np.ndarray:
    return x.asnumpy() if isinstance(x, NDArray) else np.asarray(x)


def same(a: Any, b: Any) -> bool:
    """Whether two arrays are equal, element by element."""
    return np.array_equal(as_numpy(a), as_numpy(b))


def same_array(array1: NDArray, array2: NDArray) -> bool:
    """Whether two arrays share their memory: what is written to one is read from the other."""
    array1[:] += 1
    if not same(array1, array2):
        array1[:] -= 1
        return False
    array1[:] -= 1
    return same(array1, array2)


def almost_equal(
    a: Any, b: Any, rtol: Any = None, atol: Any = None, equal_nan: bool = False, use_broadcast: bool = True
) -> bool:
    """Whether two arrays are equal within |a - b| <= atol + rtol |b|."""
    rtol, atol = get_tols(a, b, rtol, atol)
    x, y = as_numpy(a), as_numpy(b)
    if not use_broadcast and x.shape != y.shape:
        return False
    return bool(np.allclose(x, y, rtol, atol, equal_nan))


def almost_equal_ignore_nan(a: Any, b: Any, rtol: Any = None, atol: Any = None) -> bool:
    """Like almost_equal; elements that are NaN in either array are left out."""
    return almost_equal(*_without_nan(a, b), rtol, atol)


def _without_nan(a: Any, b: Any) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.copy(as_numpy(a)), np.copy(as_numpy(b))
    hole = np.isnan(x) | np.isnan(y)
    x[hole] = y[hole] = 0
    return x, y


def _violations(x: np.ndarray, y: np.ndarray, rtol: float, atol: float, equal_nan: bool) -> np.ndarray:
    """By what factor each element exceeds its tolerance: up to 1 is right, infinity is a NaN against a number."""
    x, y = np.broadcast_arrays(x.astype(np.float64), y.astype(np.float64))
    with np.errstate(all="ignore"):
        excess = np.where(x == y, 0.0, np.abs(x - y) / (atol + rtol * np.abs(y) + 1e-300))
    excess[np.isnan(excess)] = np.inf
    if equal_nan:
        excess[np.isnan(x) & np.isnan(y)] = 0
    return excess


def find_max_violation(a: Any, b: Any, rtol: Any = None, atol: Any = None) -> tuple[tuple[int, ...], float]:
    """Where two arrays differ most, measured by the tolerance, and by what factor."""
    excess = _violations(as_numpy(a), as_numpy(b), *get_tols(a, b, rtol, atol), False)
    where = np.unravel_index(np.argmax(excess), excess.shape)
    return tuple(map(int, where)), float(excess[where])


def assert_almost_equal(
    a: Any,
    b: Any,
    rtol: Any = None,
    atol: Any = None,
    names: tuple[str, str] = ("a", "b"),
    equal_nan: bool = False,
    use_broadcast: bool = True,
    mismatches: tuple[int, int] = (10, 10),
) -> None:
    """Raises an AssertionError that shows the worst elements unless |a - b| <= atol + rtol |b| everywhere.

    `mismatches` are how many wrong elements are listed and how many are looked for; None in it stands for all.
    """
    assert_almost_equal_with_err(a, b, rtol, atol, 0, names, equal_nan, use_broadcast, mismatches)


assert_allclose = assert_almost_equal


def assert_almost_equal_with_err(
    a: Any,
    b: Any,
    rtol: Any = None,
    atol: Any = None,
    etol: float | None = None,
    names: tuple[str, str] = ("a", "b"),
    equal_nan: bool = False,
    use_broadcast: bool = True,
    mismatches: tuple[int, int] = (10, 10),
) -> None:
    """Like assert_almost_equal; a part `etol` of the elements may be wrong."""
    rtol, atol = get_tols(a, b, rtol, atol)
    x, y = as_numpy(a), as_numpy(b)
    if not use_broadcast and x.shape != y.shape:
        raise AssertionError(f"{names[0]} has shape {x.shape} and {names[1]} has shape {y.shape}")
    excess = _violations(x, y, rtol, atol, equal_nan)
    wrong = int(np.sum(excess > 1))
    if wrong <= get_etol(etol) * excess.size:
        return
    x, y = np.broadcast_arrays(x, y)
    worst = np.argsort(-excess, axis=None)[: wrong if mismatches[0] is None else min(wrong, mismatches[0])]
    lines = [f"{wrong} of {excess.size} elements differ by more than rtol={rtol}, atol={atol}; the worst:"]
    for flat in worst:
        at = tuple(map(int, np.unravel_index(flat, excess.shape)))
        lines.append(f"  {at}: {names[0]} {x[at]!s}, {names[1]} {y[at]!s} ({excess[at]:.3g} times the tolerance)")
    raise AssertionError("\n".join(lines))


def assert_almost_equal_ignore_nan(
    a: Any, b: Any, rtol: Any = None, atol: Any = None, names: tuple[str, str] = ("a", "b")
) -> None:
    """Like assert_almost_equal; elements that are NaN in either array are left out."""
    rtol, atol = get_tols(a, b, rtol, atol)
    assert_almost_equal(*_without_nan(a, b), rtol, atol, names)


def compare_ndarray_tuple(t1: Any, t2: Any, rtol: Any = None, atol: Any = None) -> None:
    """assert_almost_equal for arrays that stand in nested tuples or lists (states of optimizers)."""
    if t1 is None or t2 is None:
        if t1 is not t2:
            raise AssertionError("one of two states is None")
    elif isinstance(t1, (tuple, list)):
        for one, other in zip(t1, t2, strict=True):
            compare_ndarray_tuple(one, other, rtol, atol)
    else:
        assert_almost_equal(t1, t2, rtol, atol)


def assert_exception(f: Callable[..., Any], exception_type: type[BaseException], *args: Any, **kwargs: Any) -> None:
    """Calls `f` and raises an AssertionError unless it raises `exception_type`."""
    try:
        f(*args, **kwargs)
    except exception_type:
        return
    raise AssertionError(f"{getattr(f, '__name__', f)} did not raise {exception_type.__name__}")


def np_reduce(dat: np.ndarray, axis: Any, keepdims: bool, numpy_reduce_func: Callable[..., np.ndarray]) -> np.ndarray:
    """A NumPy reduction over one axis, several axes or (None) all of them."""
    axes = range(dat.ndim) if axis is None else [axis] if isinstance(axis, int) else axis
    result = dat
    for a in sorted((a % dat.ndim for a in axes), reverse=True):
        result = np.expand_dims(numpy_reduce_func(result, axis=a), a)
    return (
        result
        if keepdims
        else result.reshape([n for a, n in enumerate(result.shape) if a not in {x % dat.ndim for x in axes}])
    )
