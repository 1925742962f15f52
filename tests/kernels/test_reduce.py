"""The reduce kernels alone, against NumPy."""

import math

import numpy as np
import pytest

from minimx import _core

REAL = ["float32", "float64"]
INTEGER = ["int32", "int64"]

# Shapes with their reduced axes: rows, columns, both; short and long, odd, empty.
FOLDS = [
    ((), ()),
    ((7,), (1,)),
    ((7,), (0,)),
    ((1000,), (1,)),
    ((70001,), (1,)),
    ((5, 3), (0, 1)),
    ((5, 37), (0, 1)),
    ((3, 515), (0, 1)),
    ((3, 20011), (0, 1)),
    ((4000, 33), (0, 1)),
    ((5, 3), (1, 0)),
    ((1, 9), (1, 0)),
    ((129, 10), (1, 0)),
    ((5001, 3), (1, 0)),
    ((37, 1031), (1, 0)),
    ((4099, 65), (1, 0)),
    ((4, 6, 49), (1, 0, 1)),
    ((3, 5, 301), (1, 0, 1)),
    ((40, 6, 3), (1, 0, 1)),
    ((3, 50, 7), (0, 1, 0)),
    ((2, 128, 700), (0, 1, 0)),
    ((3, 4, 5, 6), (0, 1, 0, 1)),
    ((3, 4, 5, 6), (1, 0, 1, 0)),
    ((2, 3, 2, 3, 2), (1, 0, 1, 0, 1)),
    ((0, 5), (1, 0)),
    ((5, 0), (0, 1)),
    ((0, 5), (0, 1)),
    ((2, 3, 0), (1, 0, 1)),
    ((2, 0, 3), (1, 0, 1)),
]
TWINS = {
    "sum": np.sum,
    "prod": np.prod,
    "max": np.max,
    "min": np.min,
    "nansum": np.nansum,
    "nanprod": np.nanprod,
    "sum_squares": lambda x, axis: np.sum(x * x, axis=axis),
    "sum_abs": lambda x, axis: np.sum(np.abs(x), axis=axis),
}
EXTREMES = {"max": -math.inf, "min": math.inf}


def fold(name, x, reduced, scale=1.0, parts=1):
    shape = [n for n, r in zip(x.shape, reduced, strict=True) if not r]
    out = np.full(shape, 77, x.dtype)
    scratch = np.full(parts * out.size, 99, x.dtype)
    args = {"shape": list(x.shape), "reduced": list(reduced), "scale": scale, "parts": parts}
    _core.run_kernel(f"{name}.{x.dtype.name}", args, [x, out, scratch if parts > 1 else None])
    return out


def values(name, shape, dtype, seed=0):
    generator = np.random.default_rng(seed)
    if dtype in INTEGER:
        return generator.integers(-9, 10, shape).astype(dtype)
    if "prod" in name:
        x = generator.choice([-1.0, 1.0], shape) * generator.uniform(0.99, 1.01, shape)
    else:
        x = generator.normal(size=shape)
    x = np.asarray(x, dtype)
    if name.startswith("nan"):
        x[generator.random(shape) < 0.2] = np.nan
    return x


@pytest.mark.parametrize("parts", [1, 5])
@pytest.mark.parametrize("shape, reduced", FOLDS)
@pytest.mark.parametrize("name", TWINS)
def test_fold(name, shape, reduced, parts):
    axis = tuple(i for i, r in enumerate(reduced) if r)
    for dtype in REAL + (INTEGER if name in ("sum", "prod", "max", "min") else []):
        x = values(name, shape, dtype)
        got = fold(name, x, reduced, parts=parts)
        if name in EXTREMES and x.size == 0 and got.size:
            bounds = np.iinfo(dtype) if dtype in INTEGER else None
            empty = EXTREMES[name] if bounds is None else (bounds.min if name == "max" else bounds.max)
            np.testing.assert_array_equal(got, np.full(got.shape, empty, dtype))
        elif dtype in INTEGER:
            np.testing.assert_array_equal(got, TWINS[name](x, axis=axis).astype(dtype))
        else:
            exact = TWINS[name](x.astype(np.longdouble), axis=axis)
            # A sum's error follows the sum of the sizes; a product's the number of factors.
            sizes = np.sum(np.abs(np.nan_to_num(x), dtype=np.longdouble), axis=axis)
            size = sizes if "sum" in name else np.abs(exact) * x.size**0.5
            eps = np.finfo(dtype).eps
            np.testing.assert_array_less(np.abs(got - exact), 8 * eps * np.maximum(np.abs(exact), size) + eps)


@pytest.mark.parametrize("shape, reduced", [((1 << 22,), (1,)), ((1 << 20, 5), (1, 0)), ((1 << 14, 300), (1, 0))])
def test_error_does_not_grow_with_length(shape, reduced):
    x = np.full(shape, 0.1, np.float32)
    length = math.prod(n for n, r in zip(shape, reduced, strict=True) if r)
    for parts in (1, 32):
        np.testing.assert_allclose(fold("sum", x, reduced, parts=parts), length * float(np.float32(0.1)), rtol=1e-6)


def test_scale():
    x = values("sum", (30, 41), "float64")
    np.testing.assert_allclose(fold("sum", x, (0, 1), scale=1 / 41), x.mean(axis=1), rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(fold("sum", x, (1, 0), scale=1 / 30, parts=3), x.mean(axis=0), rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("shape, reduced", [((300,), (1,)), ((9, 40), (0, 1)), ((9, 40), (1, 0)), ((3, 5), (1, 1))])
@pytest.mark.parametrize("name", ["max", "min"])
def test_extremes_pass_nan_and_infinity(name, shape, reduced):
    axis = tuple(i for i, r in enumerate(reduced) if r)
    for dtype in REAL:
        for seed in range(5):
            x = values(name, shape, dtype, seed)
            x[np.random.default_rng(seed).random(shape) < 0.02] = np.nan
            x[np.random.default_rng(seed + 9).random(shape) < 0.02] = np.inf
            np.testing.assert_array_equal(fold(name, x, reduced), TWINS[name](x, axis=axis))


@pytest.mark.parametrize("shape, reduced", [((200001,), (1,)), ((3001, 70), (1, 0)), ((6, 11, 1003), (1, 0, 1))])
def test_threads_do_not_change_the_sum(shape, reduced):
    x = values("sum", shape, "float32")
    threads = _core.thread_count()
    results = []
    for count in (1, 2, 3):
        _core.set_thread_count(count)
        results.append([fold("sum", x, reduced, parts=parts) for parts in (1, 7)])
    _core.set_thread_count(threads)
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


def position(name, x, axis):
    out = np.full(x.shape[:axis] + x.shape[axis + 1 :], 77, np.float32)
    args = {"outer": math.prod(x.shape[:axis]), "n": x.shape[axis], "inner": math.prod(x.shape[axis + 1 :])}
    _core.run_kernel(f"{name}.{x.dtype.name}", args, [x, out])
    return out


@pytest.mark.parametrize("name", ["argmax", "argmin"])
@pytest.mark.parametrize(
    "shape, axis",
    [((1,), 0), ((7,), 0), ((5000,), 0), ((40, 300), 1), ((40, 3), 1), ((9, 5), 0), ((300, 40), 0), ((4, 30, 1031), 1)],
)
def test_position(name, shape, axis):
    for dtype in REAL + INTEGER:
        x = values(name, shape, dtype)
        got = position(name, x, axis)
        np.testing.assert_array_equal(got, getattr(np, name)(x, axis=axis).astype(np.float32))
        # Many equals: the first one counts.
        few = (x > 0).astype(dtype)
        np.testing.assert_array_equal(position(name, few, axis), getattr(np, name)(few, axis=axis))
        if dtype in REAL:
            x[np.random.default_rng(1).random(shape) < 0.02] = np.nan
            np.testing.assert_array_equal(position(name, x, axis), getattr(np, name)(x, axis=axis))
            x[np.random.default_rng(2).random(shape) < 0.5] = -np.inf
            np.testing.assert_array_equal(position(name, x, axis), getattr(np, name)(x, axis=axis))
