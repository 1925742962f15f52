"""Pieces of work done by NumPy; each function returns something that runs so many steps."""

from __future__ import annotations

import numpy as np
from numbers_for import matrices, operands, repeated


def gemm(m, n, k, trans_a, trans_b, dtype):
    a, b = matrices(m, n, k, trans_a, trans_b, dtype)
    x, y = a.T if trans_a else a, b.T if trans_b else b
    out = np.empty((m, n), dtype)
    return repeated(lambda: np.matmul(x, y, out=out))


def array(op, shape, held):
    x, b = operands(shape)
    y = np.empty(shape[::-1] if op == "transpose" else shape, np.float32)

    def linear(out):
        out = np.multiply(x, np.float32(2.5), out=out)
        return np.add(out, np.float32(1.5), out=out)

    def softmax(out):
        out = np.subtract(x, x.max(1, keepdims=True), out=out)
        np.exp(out, out=out)
        return np.divide(out, out.sum(1, keepdims=True), out=out)

    def transpose(out):
        if out is None:
            return np.ascontiguousarray(x.T)
        np.copyto(out, x.T)
        return out

    todo = {
        "a*x+b": linear,
        "broadcast add": lambda out: np.add(x, b, out=out),
        "sum": lambda out: x.sum(),
        "softmax": softmax,
        "transpose": transpose,
    }[op]
    return repeated(lambda: todo(y if held else None))


def eager_add():
    a = np.ones((2, 2), np.float32)
    return repeated(lambda: a + 1)
