"""Calls of every kernel the gpu has, small enough for the emulated device; the tests and `make gpu-test` run them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from minimx import _core

FLAGS = {"float32": 0, "float64": 1, "float16": 2, "uint8": 3, "int32": 4, "int8": 5, "int64": 6, "bool": 7}
REALS = ("float32", "float64")


@dataclass
class Case:
    label: str
    kernel: str
    args: dict[str, Any]
    operands: list[np.ndarray | None]
    outputs: tuple[int, ...] = (-1,)  # which operands are written
    digits: float = 1.0  # times the usual tolerance

    def run(self, device: _core.Device) -> list[np.ndarray]:
        """The outputs on a device; the case stays as it is."""
        operands = [None if o is None else o.copy() for o in self.operands]
        _core.run_kernel(self.kernel, self.args, operands, device)
        return [operands[i] for i in self.outputs]

    def error(self, got: np.ndarray, want: np.ndarray) -> float:
        """The largest difference, in units of the tolerance; integers must be equal."""
        if got.dtype.kind != "f":
            return 0.0 if np.array_equal(got, want) else np.inf
        if not np.array_equal(np.isfinite(got), np.isfinite(want)):
            return np.inf
        rough = {"float16": 2e-3, "float32": 4e-6, "float64": 4e-14}[str(got.dtype)] * self.digits
        finite = np.isfinite(want)
        same = np.array_equal(np.nan_to_num(got[~finite]), np.nan_to_num(want[~finite]))
        if not same:
            return np.inf
        scale = rough * (1 + np.abs(want[finite]))
        return float(np.max(np.abs(got[finite] - want[finite]) / scale, initial=0.0))


def numbers(*shape: int, dtype: str = "float32", seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed + sum(shape))
    if np.dtype(dtype).kind == "f":
        return rng.standard_normal(shape).astype(dtype)
    return rng.integers(-9, 9, shape).astype(dtype)


def unset(*shape: int, dtype: str = "float32") -> np.ndarray:
    """An output whose old contents would be noticed."""
    return np.full(shape, np.nan if np.dtype(dtype).kind == "f" else 77, dtype)


def all_cases() -> Iterator[Case]:
    families = (ewise, copy, gemm, reduce, softmax, index, conv, pool, norm, lrn, sequence, factor, random, sort, scan)
    for family in families:
        yield from family()


# ---- ewise ------------------------------------------------------------------------------------------------------------


def chain(label, inputs, code, dtype, constants=(), outputs=None, shape=None, strides=None, registers=None, digits=4.0):
    """Instructions are (function, destination, operands...), outputs (operand, dtype) pairs."""
    opcodes = _core.ewise_opcodes()
    shape = list(shape or inputs[0].shape)
    strides = strides or [[s // a.itemsize for s in a.strides] for a in inputs]
    outputs = outputs or [(len(inputs) + len(constants) + code[-1][1], dtype)]
    results = [unset(*shape, dtype=kind) for _, kind in outputs]
    args = {
        "shape": shape,
        "inputs": len(inputs),
        "in_strides": [s for one in strides for s in one],
        "in_types": [FLAGS[str(a.dtype)] for a in inputs],
        "constants": [float(c) for c in constants],
        "code": [n for name, to, *of in code for n in (opcodes[name][0], to, *of, *[0] * (4 - len(of)))],
        "registers": registers or 1 + max((c[1] for c in code), default=0),
        "out_operands": [operand for operand, _ in outputs],
        "out_types": [FLAGS[kind] for _, kind in outputs],
    }
    written = tuple(range(len(inputs), len(inputs) + len(results)))
    return Case(label, f"ewise.{dtype}", args, [*inputs, *results], written, digits)


POSITIVE = {"sqrt", "rsqrt", "log", "log2", "log10", "arccosh", "gamma", "gammaln", "digamma", "power"}
UNIT = {"arcsin", "arccos", "arctanh", "erfinv", "log1p"}


def ewise():
    for name, (_, arity, *integers) in _core.ewise_opcodes().items():
        types = ("float32", "float64", "int32", "int64") if all(integers) and integers else REALS
        for dtype in types:
            operands = [numbers(37, dtype=dtype, seed=i) for i in range(max(arity, 1))]
            if name in POSITIVE:
                operands = [np.abs(a) + a.dtype.type(1.1) for a in operands]
            if name in UNIT:
                operands = [np.tanh(a) * a.dtype.type(0.95) for a in operands]
            yield chain(name, operands, [(name, 0, *range(arity))], dtype, digits=20)
    odd = np.array([np.nan, np.inf, -np.inf, 0, -0.0, 2.5, -2.5, 1e30, 1e-30], "float32")
    for name in (
        "exp",
        "log",
        "tanh",
        "sigmoid",
        "softrelu",
        "relu",
        "rint",
        "round",
        "sign",
        "isnan",
        "sqrt",
        "floor",
    ):
        yield chain(f"{name} of special numbers", [odd], [(name, 0, 0)], "float32")
    for name in ("maximum", "minimum", "mod", "equal", "div", "power"):
        left, right = np.repeat(odd[:7], 7), np.tile(odd[:7], 7)
        yield chain(f"{name} of special numbers", [left, right], [(name, 0, 0, 1)], "float32")
    for stored in FLAGS:
        values = numbers(300, seed=5).astype(stored) if stored != "bool" else numbers(300, seed=5) > 0
        yield chain(f"cast from {stored}", [values], [("identity", 0, 0)], "float32")
        scaled = numbers(300, seed=6) * 50
        if stored == "uint8":
            scaled = np.abs(scaled)
        yield chain(f"cast to {stored}", [scaled], [("identity", 0, 0)], "float32", outputs=[(1, stored)])
    a, row, column = numbers(5, 33, 7), numbers(33, 1, seed=1), numbers(7, seed=2)
    code = [("mul", 0, 0, 1), ("add", 1, 4, 2), ("tanh", 0, 5), ("add", 0, 4, 3), ("iota", 2), ("add", 1, 6, 4)]
    yield chain(
        "a chain with broadcast inputs and two outputs", [a, row, column], code, "float32", constants=[0.25],
        outputs=[(4, "float32"), (5, "float16")], strides=[[231, 7, 1], [0, 1, 0], [0, 0, 1]],
    )  # fmt: skip
    code = [("add", i, 0, 1 if i == 0 else 1 + i) for i in range(40)]
    yield chain("forty outputs", [numbers(40), numbers(40, seed=1)], code, "float32",
                outputs=[(2 + i, "float32") for i in range(40)])  # fmt: skip
    many = [numbers(40, seed=i) for i in range(16)]
    code = [("add", 0, 0, 1)] + [("mul_add", 0, 16, i, i - 1) for i in range(2, 16)] * 8
    yield chain("a long chain over sixteen inputs", many, code, "float64", outputs=[(16, "float64")], digits=1e6)


# ---- copy -------------------------------------------------------------------------------------------------------------


def strided(label, source, view, out_shape=None, out_strides=None, out_offset=0):
    """`view` is a NumPy view of source; the copy goes to a new array."""
    size = source.itemsize
    offset = view.__array_interface__["data"][0] - source.__array_interface__["data"][0]
    target = unset(*(out_shape or view.shape), dtype=str(source.dtype))
    args = {
        "shape": list(view.shape),
        "in_strides": [s // size for s in view.strides],
        "out_strides": [s // size for s in (out_strides or np.empty(view.shape, source.dtype).strides)],
        "in_offset": offset // size,
        "out_offset": out_offset,
    }
    target[...] = 0
    return Case(label, f"strided_copy.{size}", args, [source, target])


def copy():
    for dtype in ("uint8", "float16", "float32", "float64"):
        a = numbers(3, 40, 35).astype(dtype)
        yield strided(f"transpose of {dtype}", a, a.transpose(0, 2, 1))
        yield strided(f"reversed axes of {dtype}", a, a.transpose(2, 1, 0))
        yield strided(f"flip of {dtype}", a, a[:, ::-1, 3:20:2])
        yield Case(f"fill of {dtype}", f"fill.{a.itemsize}", {"count": 70, "bits": 5}, [np.zeros(70, dtype)])
    row = numbers(7)
    yield strided("repeated rows", row, np.broadcast_to(row, (5, 7)))
    part = numbers(4, 5)
    yield strided("a piece of a concatenation", part, part, (4, 12), (48, 4), 3)
    yield strided("one element", part, part[2:3, 1:2])


# ---- gemm -------------------------------------------------------------------------------------------------------------


def product(label, m, n, k, *, trans_a=0, trans_b=0, batch=1, shared_b=False, bias_axis=0, residual=False,
            activation=0, dtype="float32"):  # fmt: skip
    a = numbers(batch, *((k, m) if trans_a else (m, k)), dtype=dtype)
    b = numbers(1 if shared_b else batch, *((n, k) if trans_b else (k, n)), dtype=dtype, seed=1)
    bias = numbers(n if bias_axis == 1 else m, dtype=dtype) if bias_axis else None
    args = {
        "batch": batch, "m": m, "n": n, "k": k, "lda": a.shape[2], "ldb": b.shape[2], "ldc": n, "batch_a": m * k,
        "batch_b": 0 if shared_b else k * n, "batch_c": m * n, "trans_a": trans_a, "trans_b": trans_b,
        "bias_axis": bias_axis, "activation": activation,
    }  # fmt: skip
    scratch = np.empty(_core.thread_count() * (512 * (256 + 2048 + 64)), dtype)
    scratch.flags.writeable = False
    rest = [numbers(batch, m, n, dtype=dtype, seed=2) if residual else None, unset(batch, m, n, dtype=dtype), scratch]
    return Case(label, f"gemm.{dtype}", args, [a, b, bias, *rest], (4,), digits=10 + k)


def gemm():
    for dtype in REALS:
        for trans in range(4):
            name = f"{'nt'[trans & 1]}{'nt'[trans >> 1]}"
            yield product(f"{name} 70x33x41", 70, 33, 41, trans_a=trans & 1, trans_b=trans >> 1, dtype=dtype)
    for activation in range(6):
        yield product(f"bias and activation {activation}", 5, 67, 3, bias_axis=1, activation=activation)
    yield product("bias per row and residual", 65, 9, 17, bias_axis=2, residual=True)
    yield product("batch", 9, 10, 11, batch=3, trans_b=1)
    yield product("batch with a shared matrix", 9, 10, 11, batch=3, shared_b=True)
    yield product("no terms", 3, 4, 0)
    yield product("one row", 1, 130, 20)


# ---- reduce -----------------------------------------------------------------------------------------------------------


def fold(label, op, shape, reduced, dtype="float32", scale=1.0, data=None):
    a = numbers(*shape, dtype=dtype) if data is None else data
    kept = [n for n, gone in zip(shape, reduced, strict=True) if not gone]
    args = {"shape": list(shape), "reduced": list(reduced), "scale": scale, "parts": 1}
    return Case(label, f"{op}.{dtype}", args, [a, unset(*kept, dtype=dtype), None], (1,), digits=20)


def reduce():
    for op in ("sum", "prod", "max", "min", "nansum", "nanprod", "sum_squares", "sum_abs"):
        for dtype in REALS if "_" in op or "nan" in op else ("float32", "float64", "int32", "int64"):
            small = (numbers(6, 11, dtype=dtype) / 3).astype(dtype)
            yield fold(f"{op} of rows", op, (6, 11), (0, 1), dtype, data=small)
    for reduced in ((1, 0), (0, 1), (1, 1)):
        yield fold(f"sum over {reduced} of (70, 45)", "sum", (70, 45), reduced)
    yield fold("sum over outer and inner axes", "sum", (4, 5, 6, 7), (1, 0, 1, 0), scale=0.25)
    yield fold("sum of long rows", "sum", (2, 2100), (0, 1))
    yield fold("sum of two long columns", "sum", (300, 2), (1, 0))
    yield fold("max over nothing", "max", (3, 0), (0, 1))
    some = numbers(8, 70)
    some[2, 5] = some[4, 60] = np.nan
    yield fold("max with NaN", "max", (8, 70), (0, 1), data=some)
    yield fold("nansum with NaN", "nansum", (8, 70), (0, 1), data=some)
    for op in ("argmax", "argmin"):
        for dtype in ("float32", "float64", "int32", "int64"):
            for outer, n, inner in ((5, 40, 1), (3, 4, 1), (2, 9, 6)):
                a = numbers(outer, n, inner, dtype=dtype)
                a[:, n // 2 :] = a[:, : n - n // 2]
                args = {"outer": outer, "n": n, "inner": inner}
                yield Case(f"{op} of {outer}x{n}x{inner}", f"{op}.{dtype}", args, [a, unset(outer, inner)])
    yield Case("argmax with NaN", "argmax.float32", {"outer": 8, "n": 70, "inner": 1}, [some, unset(8, 1)])


# ---- softmax ----------------------------------------------------------------------------------------------------------


def softmax():
    for dtype in REALS:
        for outer, n, inner in ((5, 10, 1), (3, 4, 1), (2, 1100, 1), (2, 7, 33)):
            args = {"outer": outer, "n": n, "inner": inner, "scale": 0.5}
            x, dy = numbers(outer, n, inner, dtype=dtype) * 4, numbers(outer, n, inner, dtype=dtype, seed=3)
            for name in ("softmax", "log_softmax"):
                label = f"{outer}x{n}x{inner}"
                y = Case(label, f"{name}.{dtype}", args, [x, None, unset(*x.shape, dtype=dtype)], digits=20)
                yield y
                result = y.run(_core.device("cpu", 0))[0]
                operands = [dy, result, unset(*x.shape, dtype=dtype)]
                yield Case(label, f"{name}_grad.{dtype}", args, operands, digits=100)
    args = {"outer": 4, "n": 9, "inner": 1, "scale": -1.0}
    lengths = np.array([0, 1, 5, 9])
    for name in ("softmax", "log_softmax"):
        yield Case("lengths", f"{name}.float32", args, [numbers(4, 9), lengths, unset(4, 9)], digits=20)
    for outer, n, inner, dtype in ((300, 5, 1, "float32"), (2, 4, 6, "float32"), (4, 3, 2, "float64")):
        labels = np.random.default_rng(1).integers(-1, n + 1, (outer, inner))
        p = np.abs(numbers(outer, n, inner, dtype=dtype))
        head = numbers(outer, n, inner, dtype=dtype, seed=1)
        for use_ignore, per_valid, smooth, headed in ((0, 0, 0.0, 0), (1, 1, 0.0, 0), (1, 0, 0.1, 1), (0, 1, 0.0, 1)):
            args = {
                "outer": outer, "n": n, "inner": inner, "scale": 2.0, "smooth_alpha": smooth,
                "use_ignore": use_ignore, "ignore_label": 1, "per_valid": per_valid,
            }  # fmt: skip
            operands = [p, labels, head if headed else None, unset(*p.shape, dtype=dtype)]
            label = f"options {use_ignore} {per_valid} {smooth} {headed}"
            yield Case(label, f"softmax_output_grad.{dtype}", args, operands)


# ---- index ------------------------------------------------------------------------------------------------------------


def index():
    rng = np.random.default_rng(2)
    outer, axis, inner, count = 2, 9, 5, 70
    where = rng.integers(-3, axis + 3, count)
    for dtype, size in (("uint8", 1), ("float16", 2), ("float32", 4), ("float64", 8)):
        data = numbers(outer, axis, inner).astype(dtype)
        for mode in (0, 1):
            args = {"outer": outer, "axis": axis, "inner": inner, "count": count, "mode": mode}
            out = unset(outer, count, inner, dtype=dtype)
            yield Case(f"mode {mode}", f"gather.{size}", args, [data, where, out])
        spots = rng.integers(-2, axis + 2, (outer, inner))
        args = {"outer": outer, "axis": axis, "count": 1, "inner": inner, "mode": 0}
        yield Case("pick", f"pick.{size}", args, [data, spots, unset(outer, inner, dtype=dtype)])
        for keep in (0, 1):
            old = np.ones((outer, axis, inner), dtype)
            args = {"outer": outer, "axis": axis, "count": 1, "inner": inner, "mode": 1, "keep": keep}
            yield Case(f"keep {keep}", f"place.{size}", args, [data[:, 0].copy(), spots, old])
            wide = rng.integers(0, 4, (2, 30))
            args = {"dims": [4, 5], "count": 30, "inner": 3, "keep": keep}
            values, old = numbers(30, 3).astype(dtype), np.ones((4, 5, 3), dtype)
            yield Case(f"keep {keep}", f"scatter_nd.{size}", args, [values, wide, old])
        yield Case("one_hot", f"one_hot.{size}", {"count": count, "depth": axis, "on": 1, "off": 0},
                   [where, unset(count, axis, dtype=dtype)])  # fmt: skip
        args = {"dims": [2, 9], "count": 30, "inner": 5}
        wide = rng.integers(-2, 2, (2, 30))
        yield Case("gather_nd", f"gather_nd.{size}", args, [data, wide, unset(30, 5, dtype=dtype)])
    for dtype in ("float32", "float64", "int32", "int64", "uint8", "int8"):
        args = {"outer": outer, "axis": axis, "inner": inner, "count": count, "mode": 0}
        values = np.abs(numbers(outer, count, inner, dtype=dtype))
        yield Case("scatter", f"scatter_add.{dtype}", args, [values, where, unset(outer, axis, inner, dtype=dtype)])
        args = {"dims": [4, 5], "count": 30, "inner": 3, "keep": 1}
        values = np.abs(numbers(30, 3, dtype=dtype))
        yield Case("scatter", f"scatter_nd_add.{dtype}", args,
                   [values, rng.integers(0, 3, (2, 30)), np.ones((4, 5, 3), dtype)])  # fmt: skip


# ---- conv, pool, norm, lrn -------------------------------------------------------------------------------------------


def convolution(label, images, channels, filters, size, kernel, *, stride=(1, 1, 1), dilate=(1, 1, 1), pad=(0, 0, 0),
                groups=1, bias=True, residual=False, activation=0, dtype="float32"):  # fmt: skip
    out = [(n + 2 * p - d * (k - 1) - 1) // s + 1
           for n, p, d, k, s in zip(size, pad, dilate, kernel, stride, strict=True)]  # fmt: skip
    scratch = np.empty(1 << 20, dtype)
    args = {
        "batch": images, "channels": channels, "filters": filters, "groups": groups, "in": list(size), "out": out,
        "kernel": list(kernel), "stride": list(stride), "dilate": list(dilate), "pad": list(pad),
        "activation": activation, "scratch": scratch.size,
    }  # fmt: skip
    x = numbers(images, channels, *size, dtype=dtype)
    w = numbers(filters, channels // groups, *kernel, dtype=dtype)
    dy = numbers(images, filters, *out, dtype=dtype, seed=1)
    riders = [
        numbers(filters, dtype=dtype) if bias else None,
        numbers(*dy.shape, dtype=dtype) if residual else None,
        numbers(filters, dtype=dtype, seed=4) if residual else None,
    ]
    operands = [x, w, *riders, unset(*dy.shape, dtype=dtype), scratch]
    yield Case(label, f"conv_forward.{dtype}", args, operands, (5,), 100)
    args = {**args, "activation": 0}
    yield Case(label, f"conv_data_gradient.{dtype}", args, [dy, w, unset(*x.shape, dtype=dtype), scratch], (2,), 100)
    yield Case(label, f"conv_weight_gradient.{dtype}", args, [x, dy, unset(*w.shape, dtype=dtype), scratch], (2,), 500)


def conv():
    for dtype in REALS:
        yield from convolution("LeNet's second", 2, 3, 7, (1, 12, 12), (1, 5, 5), dtype=dtype)
    yield from convolution("riders", 1, 2, 3, (1, 6, 5), (1, 3, 3), pad=(0, 1, 1), residual=True, activation=1)
    yield from convolution("stride and dilation", 2, 4, 4, (1, 11, 13), (1, 3, 2), stride=(1, 2, 3), dilate=(1, 2, 1),
                           pad=(0, 2, 1), groups=2)  # fmt: skip
    yield from convolution("depthwise in three dimensions", 1, 3, 3, (4, 5, 6), (2, 3, 3), pad=(1, 1, 1), groups=3)
    yield from convolution("one by one without bias", 3, 5, 70, (1, 4, 4), (1, 1, 1), bias=False)


def pool():
    shapes = {
        "side by side": ((1, 7, 8), (1, 2, 2), (1, 2, 2), (0, 0, 0)),
        "overlapping": ((1, 7, 8), (1, 3, 3), (1, 2, 2), (0, 1, 1)),
        "whole image": ((1, 5, 6), (1, 5, 6), (1, 1, 1), (0, 0, 0)),
        "three dimensions": ((4, 5, 6), (2, 3, 2), (1, 2, 2), (1, 1, 0)),
    }
    for label, (size, kernel, stride, pad) in shapes.items():
        out = [(n + 2 * p - k) // s + 1 for n, p, k, s in zip(size, pad, kernel, stride, strict=True)]
        for kind in range(4):
            for count_include_pad, dtype in ((0, "float32"), (1, "float64")):
                args = {
                    "planes": 5, "in": list(size), "out": out, "kernel": list(kernel), "stride": list(stride),
                    "pad": list(pad), "type": kind, "count_include_pad": count_include_pad, "p": 2.0 + count_include_pad,
                }  # fmt: skip
                x = np.round(numbers(5, *size, dtype=dtype) * 2)  # many equals
                forward = Case(label, f"pool_forward.{dtype}", args, [x, unset(5, *out, dtype=dtype)], digits=10)
                yield forward
                y = forward.run(_core.device("cpu", 0))[0]
                operands = [numbers(5, *out, dtype=dtype, seed=2), x, y, unset(5, *size, dtype=dtype)]
                yield Case(label, f"pool_backward.{dtype}", args, operands, digits=50)


def norm():
    for dtype in REALS:
        for outer, channels, inner, fix in ((3, 4, 100, 0), (300, 5, 1, 0), (2, 3, 7, 1)):
            args = {"outer": outer, "channels": channels, "inner": inner, "eps": 1e-3, "fix_gamma": fix}
            x, dy = (
                numbers(outer, channels, inner, dtype=dtype) + 2,
                numbers(outer, channels, inner, dtype=dtype, seed=1),
            )
            gamma, beta = numbers(channels, dtype=dtype), numbers(channels, dtype=dtype, seed=1)
            results = [unset(*x.shape, dtype=dtype), unset(channels, dtype=dtype), unset(channels, dtype=dtype)]
            label = f"{outer}x{channels}x{inner}"
            forward = Case(label, f"batch_norm.{dtype}", args, [x, gamma, beta, *results], (3, 4, 5), 20)
            yield forward
            _, mean, invstd = forward.run(_core.device("cpu", 0))
            operands = [dy, x, gamma, mean, invstd, *results]
            yield Case(label, f"batch_norm_backward.{dtype}", args, operands, (5, 6, 7), 100)


def lrn():
    for dtype in REALS:
        args = {"outer": 2, "channels": 9, "inner": 5, "size": 5}
        yield Case("window", f"window_sum.{dtype}", args, [numbers(2, 9, 5, dtype=dtype), unset(2, 9, 5, dtype=dtype)])


def sequence():
    for dtype in ("uint8", "float16", "float32", "float64"):
        size, length = np.dtype(dtype).itemsize, np.array([0, 3, 5, 1])
        steps, last = numbers(5, 4, 6).astype(dtype), numbers(4, 6).astype(dtype)
        args = {"time": 5, "batch": 4, "inner": 6, "time_stride": 24, "batch_stride": 6, "bits": 0}
        for what, source, target in (
            ("mask", steps, steps),
            ("reverse", steps, steps),
            ("last", steps, last),
            ("place", last, steps),
        ):
            operands = [source, length, np.full_like(target, 77)]
            yield Case(f"sequences of {dtype}", f"sequence_{what}.{size}", args, operands)


# ---- factor -----------------------------------------------------------------------------------------------------------


def factor():
    for dtype in REALS:
        n, columns = 5, 7
        full = numbers(3, n, n, dtype=dtype)
        definite = full @ full.transpose(0, 2, 1) + n * np.eye(n, dtype=dtype)
        square, one = {"batch": 3, "rows": n, "columns": n}, unset(3, dtype=dtype)
        new = unset(3, n, n, dtype=dtype)
        yield Case("lower triangle", f"potrf.{dtype}", square, [definite, new], digits=50)
        yield Case("inverse", f"invert.{dtype}", square, [definite, new, one, one.copy(), new.copy()], (1, 2, 3), 200)
        yield Case(
            "eigenvalues", f"syevd.{dtype}", square, [definite, new, unset(3, n, dtype=dtype), new.copy()], (1, 2), 1000
        )
        wide = numbers(3, n, columns, dtype=dtype)
        args = {"batch": 3, "rows": n, "columns": columns}
        yield Case("wide", f"gelqf.{dtype}", args, [wide, unset(*wide.shape, dtype=dtype), new], (1, 2), 500)
        for transpose, rightside, lower in ((0, 0, 1), (1, 0, 0), (0, 1, 0), (1, 1, 1)):
            rows, width = (columns, n) if rightside else (n, columns)
            args = {"batch": 3, "rows": rows, "columns": width, "transpose": transpose, "rightside": rightside,
                    "lower": lower, "alpha": 0.5}  # fmt: skip
            b = numbers(3, rows, width, dtype=dtype)
            operands = [definite, b, unset(*b.shape, dtype=dtype), unset(64 * 32 * n)]
            yield Case(f"{transpose} {rightside} {lower}", f"trsm.{dtype}", args, operands, (2,), 100)


# ---- sort and scan ----------------------------------------------------------------------------------------------------


def sort():
    for dtype in ("float32", "float64", "int32", "int64", "uint8", "int8"):
        for n, k in ((5, 5), (40, 40), (300, 300), (300, 12), (300, 100)):
            for descending in (0, 1):
                data, padded = numbers(3, n, dtype=dtype), 1 << (n - 1).bit_length()
                args = {"rows": 3, "n": n, "k": k, "descending": descending, "values": 1, "indices": 1}
                args |= {"lanes": 1, "padded": padded}
                scratch = np.zeros(2 * 3 * max(padded, 1024) * 16, np.uint8)
                operands = [data, unset(3, k, dtype=dtype), unset(3, k, dtype="int64"), scratch]
                label = f"{k} of {n}, {'descending' if descending else 'ascending'}"
                yield Case(label, f"order.{dtype}", args, operands, outputs=(1, 2))


def scan():
    for dtype in ("float32", "float64", "int32", "int64"):
        for outer, n, inner in ((3, 700, 1), (1, 9000, 1), (2, 30, 40)):
            for reverse in (0, 1):
                args = {"outer": outer, "n": n, "inner": inner, "reverse": reverse}
                data, scratch = numbers(outer, n, inner, dtype=dtype), np.zeros(8 * outer * 2, np.uint8)
                operands = [data, unset(outer, n, inner, dtype=dtype), scratch]
                label = f"{outer}x{n}x{inner}{', from the end' if reverse else ''}"
                yield Case(label, f"cumsum.{dtype}", args, operands, outputs=(1,), digits=8.0)
        for uniform in (0, 1):
            args = {"size": 2000, "bins": 30, "uniform": uniform}
            scratch = np.zeros(8 * 30 * _core.thread_count(), np.uint8)
            operands = [numbers(2000, dtype=dtype), np.linspace(-2, 2, 31), unset(30, dtype="int64"), scratch]
            yield Case(f"uniform {uniform}", f"histogram.{dtype}", args, operands, outputs=(2,))


# ---- random -----------------------------------------------------------------------------------------------------------


def random():
    state = np.array([0x123456789ABCDEF, 5], "uint64")
    for dtype in REALS:
        for name, a, b in (("uniform", -1, 3), ("normal", 1, 2), ("exponential", 2, 0), ("mask", 0.7, 0)):
            for size in (1, 3000):
                args = {"size": size, "stream": 3, "a": float(a), "b": float(b)}
                yield Case(
                    f"{size} numbers", f"random_{name}.{dtype}", args, [state, unset(size, dtype=dtype)], digits=20
                )
        for name, a, b in (
            ("gamma", 0.5, 2), ("gamma", 4, 1), ("poisson", 3, 0), ("poisson", 40, 0), ("negative_binomial", 3, 0.4),
            ("generalized_negative_binomial", 5, 0.3),
        ):  # fmt: skip
            args = {"size": 60, "stream": 1, "a": float(a), "b": float(b), "repeat": 1}
            operands = [state, None, None, unset(60, dtype=dtype)]
            yield Case(f"{a}, {b}", f"random_{name}.{dtype}", args, operands, digits=50)
        args = {"size": 60, "stream": 1, "a": 0.0, "b": 0.0, "repeat": 20}
        each = np.array([1, 5, 30], dtype)
        yield Case("given means", f"random_poisson.{dtype}", args, [state, each, None, unset(60, dtype=dtype)])
        args = {"rows": 3, "categories": 7, "samples": 20, "stream": 2}
        weights = np.abs(numbers(3, 7, dtype=dtype))
        operands = [state, weights, unset(3, 20, dtype="int64"), np.empty(7 * _core.thread_count())]
        yield Case("categories", f"random_category.{dtype}", args, operands, (2,))
    for dtype in ("int32", "int64"):
        args = {"size": 300, "stream": 0, "low": -5, "high": 2_000_000_000}
        yield Case("integers", f"random_integer.{dtype}", args, [state, unset(300, dtype=dtype)])
    for size in (1, 300):
        operands = [state, unset(size, dtype="int64")]
        yield Case(f"{size} positions", "random_permutation.int64", {"size": size, "stream": 4}, operands)
