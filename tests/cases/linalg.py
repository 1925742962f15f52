"""Cases of linear algebra: see tests/cases/__init__.py."""

import numpy as np

from . import Case, real

GENERATOR = np.random.default_rng(3)


def flip(a):
    return np.swapaxes(a, -1, -2)


def well_conditioned(*shape):
    """Matrices far from singular, and their triangles, too."""
    return GENERATOR.uniform(-0.5, 0.5, shape) + 2 * np.eye(shape[-1])


def positive_definite(*shape):
    a = GENERATOR.uniform(-1, 1, shape)
    return a @ flip(a) + np.eye(shape[-1])


def symmetric(*shape):
    """With eigenvalues that lie apart."""
    a = GENERATOR.uniform(-0.3, 0.3, shape)
    return a + flip(a) + np.diag(np.arange(shape[-1]) * 2.0)


# Symmetric matrices have fewer free elements than numbers: gradients of functions of them are symmetric as well, which
# finite differences of single elements cannot show.


def cholesky_gradient(a, g):
    l = np.linalg.cholesky(a)
    inner = np.tril(flip(l) @ g) * (1 - np.eye(a.shape[-1]) / 2)
    outer = np.linalg.inv(flip(l)) @ inner @ np.linalg.inv(l)
    return [(outer + flip(outer)) / 2]


def eigen_gradient(a, grad_u, grad_values):
    u, values = eigen(a)
    n = a.shape[-1]
    gaps = values[..., None, :] - values[..., :, None] + np.eye(n)
    turned = (1 - np.eye(n)) / gaps * (u @ flip(grad_u))
    inner = (turned + flip(turned)) / 2 + grad_values[..., None] * np.eye(n)
    return [flip(u) @ inner @ u]


def eigen(a):
    values, vectors = np.linalg.eigh(a)
    u = flip(vectors)
    largest = np.take_along_axis(u, np.abs(u).argmax(-1)[..., None], -1)
    return u * np.sign(largest), values


def lq(a):
    q, r = np.linalg.qr(flip(a))
    signs = np.sign(np.diagonal(r, axis1=-2, axis2=-1))[..., None]
    return flip(q) * signs, flip(r * signs)


def gemm2(a, b, alpha=1.0, ta=False, tb=False):
    return alpha * np.matmul(flip(a) if ta else a, flip(b) if tb else b)


def triangular(a, transpose, lower):
    a = np.tril(a) if lower else np.triu(a)
    return flip(a) if transpose else a


def trmm(transpose=False, rightside=False, lower=True, alpha=1.0):
    def twin(a, b):
        a = triangular(a, transpose, lower)
        return alpha * (b @ a if rightside else a @ b)

    return twin


def trsm(transpose=False, rightside=False, lower=True, alpha=1.0):
    def twin(a, b):
        inverse = np.linalg.inv(triangular(a, transpose, lower))
        return alpha * (b @ inverse if rightside else inverse @ b)

    return twin


def triangular_cases(op, twin):
    cases = []
    for transpose in (False, True):
        for rightside in (False, True):
            for lower in (False, True):
                params = {"transpose": transpose, "rightside": rightside, "lower": lower, "alpha": 1.5}
                b = real(2, 3, 4) if rightside else real(2, 4, 3)
                cases.append(Case(op, [well_conditioned(2, 4, 4), b], params, twin(**params), length=64))
    return [*cases, Case(op, [well_conditioned(5, 5), real(5, 2)], {}, twin(), length=64)]


def pack(a, offset=0, lower=True):
    n = a.shape[-1]
    below = offset < 0 or (offset == 0 and lower)
    rows, columns = np.tril_indices(n, offset) if below else np.triu_indices(n, offset)
    return a[..., rows, columns]


def unpack(v, offset=0, lower=True):
    side = int(np.sqrt(2 * v.shape[-1]))
    n = side + abs(offset)
    below = offset < 0 or (offset == 0 and lower)
    rows, columns = np.tril_indices(n, offset) if below else np.triu_indices(n, offset)
    out = np.zeros((*v.shape[:-1], n, n))
    out[..., rows, columns] = v
    return out


def diagonal(v, offset=0):
    n = v.shape[-1] + abs(offset)
    out = np.zeros((*v.shape[:-1], n, n))
    rows = np.arange(v.shape[-1]) + max(0, -offset)
    out[..., rows, rows + offset] = v
    return out


def khatri_rao(first, *others):
    for other in others:
        first = np.einsum("ik,jk->ijk", first, other).reshape(-1, first.shape[1])
    return first


def one_slogdet(a):
    return tuple(np.reshape(v, 1) for v in np.linalg.slogdet(a))


CASES = [
    Case(
        "_linalg_gemm",
        [real(2, 3, 4), real(2, 4, 5), real(2, 3, 5)],
        {},
        lambda a, b, c: a @ b + c,
        length=5,
    ),
    Case(
        "_linalg_gemm",
        [real(4, 3), real(5, 4), real(3, 5)],
        {"transpose_a": True, "transpose_b": True, "alpha": 0.5, "beta": -2.0},
        lambda a, b, c: 0.5 * a.T @ b.T - 2 * c,
        length=5,
    ),
    Case(
        "_linalg_gemm",
        [real(3, 2, 4), real(4, 2, 5), real(3, 2, 5)],
        {"axis": 0},
        lambda a, b, c: np.einsum("ibk,kbj->ibj", a, b) + c,
        length=5,
    ),
    Case("_linalg_gemm2", [real(2, 3, 4), real(2, 4, 5)], {}, gemm2, length=5),
    Case(
        "_linalg_gemm2",
        [real(2, 3, 4, 3), real(2, 3, 5, 4)],
        {"transpose_a": True, "transpose_b": True, "alpha": 0.5},
        lambda a, b: gemm2(a, b, 0.5, True, True),
        length=5,
    ),
    Case(
        "_linalg_gemm2",
        [real(3, 2, 4), real(4, 2, 5)],
        {"axis": -3},
        lambda a, b: np.einsum("ibk,kbj->ibj", a, b),
        length=5,
    ),
    Case("_linalg_syrk", [real(2, 3, 4)], {}, lambda a: a @ flip(a), length=6),
    Case("_linalg_syrk", [real(3, 4)], {"transpose": True, "alpha": 0.5}, lambda a: 0.5 * flip(a) @ a, length=6),
    *triangular_cases("_linalg_trmm", trmm),
    *triangular_cases("_linalg_trsm", trsm),
    Case(
        "_linalg_potrf",
        [positive_definite(2, 4, 4)],
        {},
        np.linalg.cholesky,
        gradient=cholesky_gradient,
        length=64,
    ),
    Case(
        "_linalg_potri",
        [well_conditioned(2, 3, 3)],
        {},
        lambda a: np.linalg.inv(np.tril(a) @ flip(np.tril(a))),
        length=64,
    ),
    Case("_linalg_inverse", [well_conditioned(2, 3, 3)], {}, np.linalg.inv, length=64),
    Case("_linalg_inverse", [well_conditioned(5, 5)[::-1].copy()], {}, np.linalg.inv, length=64),
    Case(
        "_linalg_invert",
        [well_conditioned(2, 3, 3)],
        {},
        lambda a: (np.linalg.inv(a), *np.linalg.slogdet(a)),
        length=64,
    ),
    Case("_linalg_det", [well_conditioned(2, 3, 3)[:, ::-1].copy()], {}, np.linalg.det, length=64),
    Case("_linalg_det", [well_conditioned(4, 4)], {}, lambda a: np.linalg.det(a).reshape(1), length=64),
    Case("_linalg_det", [np.ones((3, 3))], {}, lambda a: np.zeros(1), grads=()),
    Case(
        "_linalg_slogdet",
        [well_conditioned(2, 3, 3)[:, ::-1].copy()],
        {},
        lambda a: tuple(np.linalg.slogdet(a)),
        length=64,
    ),
    Case("_linalg_logdet", [well_conditioned(2, 3, 3)], {}, lambda a: tuple(np.linalg.slogdet(a)), length=64),
    Case("_linalg_slogdet", [well_conditioned(20, 20)[::-1].copy()], {}, one_slogdet, length=400),
    Case("_linalg_slogdet", [np.ones((3, 3))], {}, lambda a: (np.zeros(1), np.full(1, -np.inf)), grads=()),
    Case("_linalg_gelqf", [real(2, 3, 5)], {}, lq, length=256),
    Case("_linalg_gelqf", [real(4, 4)], {}, lq, length=256),
    *[Case("_linalg_syevd", [symmetric(2, n, n)], {}, eigen, grads=(), length=n**3, half=False) for n in (1, 2, 3, 33)],
    Case(
        "_linalg_syevd",
        [np.diag([3.0, 1, 2, 1])],
        {},
        lambda a: (np.eye(4)[[1, 3, 2, 0]], np.array([1.0, 1, 2, 3])),
        grads=(),
    ),
    Case(
        "_linalg_syevd",
        [symmetric(2, 4, 4)],
        {},
        eigen,
        gradient=eigen_gradient,
        length=64,
    ),
    Case(
        "_linalg_sumlogdiag",
        [well_conditioned(2, 3, 3)],
        {},
        lambda a: np.log(np.diagonal(a, 0, 1, 2)).sum(-1),
        length=3,
    ),
    Case("_linalg_sumlogdiag", [well_conditioned(3, 3)], {}, lambda a: np.log(np.diag(a)).sum(keepdims=True), length=3),
    *(
        Case("_linalg_extractdiag", [real(2, 4, 4)], {"offset": k}, lambda a, k=k: np.diagonal(a, k, 1, 2))
        for k in (-2, 0, 1)
    ),
    *(Case("_linalg_makediag", [real(2, 3)], {"offset": k}, lambda v, k=k: diagonal(v, k)) for k in (-1, 0, 2)),
    *(
        Case(
            "_linalg_extracttrian",
            [real(2, 4, 4)],
            {"offset": k, "lower": low},
            lambda a, k=k, low=low: pack(a, k, low),
        )
        for k, low in ((0, True), (0, False), (-1, True), (2, True))
    ),
    *(
        Case("_linalg_maketrian", [real(2, 6)], {"offset": k, "lower": low}, lambda v, k=k, low=low: unpack(v, k, low))
        for k, low in ((0, True), (0, False), (-1, False), (2, True))
    ),
    Case("_linalg_mask", [], {"rows": 3, "columns": 4}, lambda: np.tri(3, 4)),
    Case(
        "_linalg_mask",
        [],
        {"rows": 4, "columns": 3, "k": -1, "below": False, "dtype": "float64", "ctx": "cpu(0)"},
        lambda: np.triu(np.ones((4, 3)), -1),
    ),
    Case("khatri_rao", [real(2, 3), real(4, 3)], {}, khatri_rao),
    Case("khatri_rao", [real(2, 3), real(4, 3), real(3, 3)], {}, khatri_rao),
]
