"""Matrix products."""

import numpy as np

from . import Case, real


def linear(x, w, b=0.0):
    return x @ w.T + b


def flat(x, w, b=0.0):
    return linear(x.reshape(len(x), -1), w, b)


def dot(a, b, transpose_a=False, transpose_b=False):
    a = np.moveaxis(a, 0, -1) if transpose_a else a
    b = np.moveaxis(b, -1, 0) if transpose_b else b
    return np.tensordot(a, b, 1).reshape((*a.shape[:-1], *b.shape[1:]) or (1,))


def dot_case(a, b, length, **params):
    flags = {k: v for k, v in params.items() if k.startswith("transpose")}
    return Case("dot", [real(*a), real(*b)], params, lambda x, y: dot(x, y, **flags), length=length)


def batch_dot_case(a, b, length, **params):
    def twin(x, y):
        x = x.swapaxes(-1, -2) if params.get("transpose_a") else x
        y = y.swapaxes(-1, -2) if params.get("transpose_b") else y
        return x @ y

    return Case("batch_dot", [real(*a), real(*b)], params, twin, length=length)


def gemm_case(a, b, twin, **params):
    return Case("_gemm", [real(*a), real(*b)], params, twin, length=params["k"])


CASES = [
    Case("FullyConnected", [real(5, 7), real(3, 7), real(3)], {"num_hidden": 3}, linear, length=7),
    Case("FullyConnected", [real(5, 7), real(4, 7)], {"num_hidden": 4, "no_bias": True}, linear, length=7),
    Case("FullyConnected", [real(5, 2, 3, 2), real(3, 12), real(3)], {"num_hidden": 3}, flat, length=12),
    Case("FullyConnected", [real(2, 5, 4), real(3, 4), real(3)], {"num_hidden": 3, "flatten": False}, linear, length=5),
    Case("FullyConnected", [real(5), real(2, 1), real(2)], {"num_hidden": 2}, flat, length=5),
    Case("FullyConnected", [real(70, 130), real(90, 130), real(90)], {"num_hidden": 90}, linear, length=130),
    dot_case((4, 5), (5, 3), 5),
    dot_case((5, 4), (5, 3), 5, transpose_a=True),
    dot_case((4, 5), (3, 5), 5, transpose_b=True),
    dot_case((5, 4), (3, 5), 5, transpose_a=True, transpose_b=True),
    dot_case((6,), (6,), 6),
    dot_case((4, 6), (6,), 6),
    dot_case((6,), (6, 4), 6),
    dot_case((2, 3, 4), (4, 5), 4),
    dot_case((2, 3, 4), (4, 2, 3), 6),
    dot_case((4, 2, 3), (2, 3, 4), 6, transpose_a=True, transpose_b=True),
    *(dot_case((4, 5), (5, 3), 5, forward_stype=kind) for kind in ("default", "csr", "row_sparse")),
    batch_dot_case((3, 4, 5), (3, 5, 2), 5),
    batch_dot_case((3, 5, 4), (3, 5, 2), 5, transpose_a=True),
    batch_dot_case((2, 3, 4, 5), (2, 3, 2, 5), 5, transpose_b=True),
    batch_dot_case((3, 5, 4), (3, 2, 5), 5, transpose_a=True, transpose_b=True),
    *(batch_dot_case((3, 4, 5), (3, 5, 2), 5, forward_stype=kind) for kind in ("default", "csr", "row_sparse")),
    gemm_case((4, 5), (5, 3), np.matmul, m=4, n=3, k=5),
    gemm_case((5, 4), (3, 5), lambda a, b: a.T @ b.T, m=4, n=3, k=5, transpose_a=True, transpose_b=True),
    gemm_case((2, 4, 5), (2, 5, 3), np.matmul, m=4, n=3, k=5, batch=2),
    gemm_case((6, 2), (2, 4), lambda a, b: (a @ b).reshape(2, 3, 4), m=6, n=4, k=2, shape=(2, 3, 4)),
]
