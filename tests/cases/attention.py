"""Attention on interleaved queries, keys and values."""

import numpy as np

from . import Case, real


def heads(x, count, parts):
    """The parts of every head: (length, batch, heads, dim) each."""
    cut = x.reshape(*x.shape[:2], count, parts, -1)
    return [cut[:, :, :, i] for i in range(parts)]


def likeness(q, k):
    score = np.einsum("ibhd,jbhd->bhij", q, k) / q.shape[3] ** 0.5
    return score.reshape(-1, *score.shape[2:])


def weighted(attention, v):
    shape = v.shape[1:3]
    out = np.einsum("bhij,jbhd->ibhd", attention.reshape(*shape, *attention.shape[1:]), v)
    return out.reshape(*out.shape[:2], -1)


def self_qk(count):
    return lambda x: likeness(*heads(x, count, 3)[:2])


def self_values(count):
    return lambda x, a: weighted(a, heads(x, count, 3)[2])


def other_qk(count):
    return lambda q, kv: likeness(heads(q, count, 1)[0], heads(kv, count, 2)[0])


def other_values(count):
    return lambda kv, a: weighted(a, heads(kv, count, 2)[1])


SELF, OTHER = "_contrib_interleaved_matmul_selfatt_", "_contrib_interleaved_matmul_encdec_"

CASES = []
for n in (2, 3):
    CASES += [
        Case(SELF + "qk", [real(5, 2, n * 12)], {"heads": n}, self_qk(n), length=4),
        Case(SELF + "valatt", [real(5, 2, n * 12), real(2 * n, 5, 5)], {"heads": n}, self_values(n), length=8),
        Case(OTHER + "qk", [real(3, 2, n * 4), real(5, 2, n * 8)], {"heads": n}, other_qk(n), length=5),
        Case(OTHER + "valatt", [real(5, 2, n * 8), real(2 * n, 3, 5)], {"heads": n}, other_values(n), length=8),
    ]
