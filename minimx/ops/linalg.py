"""Linear algebra on the matrices in the last two axes: products, triangles, factorisations, systems of equations."""

from __future__ import annotations

import math

from ..base import ITEM_SIZES, ShapeError
from ..graph import apply, apply_all
from ..op import Op, normalize_axis, product
from ..params import Bool, Float, Int
from ..strided import Walk, contiguous, copy
from .init import _Made
from .linear import gemm, matrix_shape

ALPHA = "what the result is multiplied by"


# ---- parts that the operators below are made of -------------------------------------------------------------------------


def multiply(a, b, transpose_a=False, transpose_b=False):
    """The products of the matrices of a and b."""
    m, n, k = matrix_shape(a.shape, b.shape, transpose_a, transpose_b)
    lead = a.shape[:-2]
    return gemm(a, b, m, n, k, transpose_a, transpose_b, product(lead), (*lead, m, n))


def transposed(a):
    return apply("SwapAxis", [a], dim1=a.ndim - 2, dim2=a.ndim - 1)


def triangle(a, lower=True, diagonal=1.0):
    """The lower (or upper) triangles, zero elsewhere; what is on the diagonal is multiplied by `diagonal`."""
    n, m = a.shape[-2:]

    def mask(k):
        return apply("_linalg_mask", [], rows=n, columns=m, k=k, below=lower, dtype=a.dtype)

    inside = mask(0)
    if diagonal != 1.0:
        inside = inside * diagonal + mask(-1 if lower else 1) * (1.0 - diagonal)
    return apply("broadcast_mul", [a, apply("Reshape", [inside], shape=(1,) * (a.ndim - 2) + (n, m))])


def solve(a, b, transpose=False, rightside=False, lower=True, alpha=1.0):
    """X of op(a) X = alpha b (or X op(a) = alpha b) for triangular a."""
    return apply("_linalg_trsm", [a, b], transpose=transpose, rightside=rightside, lower=lower, alpha=alpha)


def spread(a, like):
    """One number per matrix, for arithmetic with the matrices."""
    return apply("Reshape", [a], shape=(*like.shape[:-2], 1, 1))


def square(shape, what="A"):
    """Checks that an array holds square matrices; (how many, their size)."""
    if len(shape) < 2 or shape[-1] != shape[-2]:
        raise ShapeError(f"{what} must have square matrices in its last two axes")
    return product(shape[:-2]), shape[-1]


class Mask(_Made):
    """Ones on the k-th diagonal and below (or above) it, zeros elsewhere."""

    name = "_linalg_mask"
    rows = Int(min=1, doc="rows of the matrix")
    columns = Int(min=1, doc="columns of the matrix")
    k = Int(0, doc="which diagonal: 0 the main one, above it positive, below it negative")
    below = Bool(True, doc="whether the ones are below the diagonal")

    def output_shapes(self, p, ins):
        return [(p.rows, p.columns)]

    def compute_type(self, p, ins, out):
        return "int64"

    def write(self, p, t):
        columns = t.constant(p.columns)
        row = t("div", t("iota"), columns)
        beyond = t("sub", t("sub", t("iota"), t("mul", row, columns)), row)
        return t("lesser_equal" if p.below else "greater_equal", beyond, t.constant(p.k))


# ---- products -----------------------------------------------------------------------------------------------------------


class _Product(Op, abstract=True):
    transpose_a = Bool(False, doc="transposes A before")
    transpose_b = Bool(False, doc="transposes B before")
    alpha = Float(1.0, doc="what the product is multiplied by")
    axis = Int(-2, doc="the axis of the rows; the columns are in the last one")

    def rows_last(self, p, a):
        """The input with the rows of its matrices in the last axis but one."""
        axis = normalize_axis(p.axis, a.ndim)
        return a if axis == a.ndim - 2 else apply("SwapAxis", [a], dim1=axis, dim2=a.ndim - 2)

    def output_shapes(self, p, ins):
        a, b = (list(s) for s in ins[:2])
        if len(a) < 2 or len(a) != len(b):
            raise ShapeError("A and B must have the same number of dimensions, two or more")
        axis = normalize_axis(p.axis, len(a))
        if axis == len(a) - 1:
            raise ShapeError(f"axis {p.axis} must not be the last one")
        for s in (a, b):
            s[axis], s[-2] = s[-2], s[axis]
        if a[:-2] != b[:-2]:
            raise ShapeError(f"the leading axes {tuple(a[:-2])} and {tuple(b[:-2])} differ")
        m, n, _ = matrix_shape(a, b, p.transpose_a, p.transpose_b)
        out = [*a[:-2], m, n]
        out[axis], out[-2] = out[-2], out[axis]
        if len(ins) == 3 and ins[2] != tuple(out):
            raise ShapeError(f"C must have shape {tuple(out)}")
        return [tuple(out)]

    def product(self, p, a, b):
        result = multiply(self.rows_last(p, a), self.rows_last(p, b), p.transpose_a, p.transpose_b)
        result = self.rows_last(p, result)
        return result if p.alpha == 1.0 else result * p.alpha


class LinalgGemm(_Product):
    """alpha A B + beta C."""

    name = "_linalg_gemm"
    aliases = ("linalg_gemm",)
    inputs = ("A", "B", "C")
    beta = Float(1.0, doc="what C is multiplied by")
    param_order = ("transpose_a", "transpose_b", "alpha", "beta", "axis")

    def expand(self, p, node, train):
        a, b, c = node.inputs
        return [self.product(p, a, b) + (c if p.beta == 1.0 else c * p.beta)]


class LinalgGemm2(_Product):
    """alpha A B."""

    name = "_linalg_gemm2"
    aliases = ("linalg_gemm2",)
    inputs = ("A", "B")

    def expand(self, p, node, train):
        return [self.product(p, *node.inputs)]


class LinalgSyrk(Op):
    """alpha A A^T, or alpha A^T A when transposed."""

    name = "_linalg_syrk"
    aliases = ("linalg_syrk",)
    inputs = ("A",)
    transpose = Bool(False, doc="multiplies the transposed matrices by the matrices instead")
    alpha = Float(1.0, doc=ALPHA)

    def output_shapes(self, p, ins):
        if len(ins[0]) < 2:
            raise ShapeError("A must have at least two dimensions")
        n = ins[0][-1 if p.transpose else -2]
        return [(*ins[0][:-2], n, n)]

    def expand(self, p, node, train):
        a = node.inputs[0]
        result = multiply(a, a, p.transpose, not p.transpose)
        return [result if p.alpha == 1.0 else result * p.alpha]


class _Triangular(Op, abstract=True):
    inputs = ("A", "B")
    transpose = Bool(False, doc="uses the transposed A")
    rightside = Bool(False, doc="A stands on the right")
    lower_ = Bool(True, doc="whether A is a lower triangle; what lies in its other one is not used")
    alpha = Float(1.0, doc=ALPHA)

    def output_shapes(self, p, ins):
        a, b = ins
        _, n = square(a)
        if len(a) != len(b) or a[:-2] != b[:-2] or b[-1 if p.rightside else -2] != n:
            raise ShapeError(f"B must have {n} {'columns' if p.rightside else 'rows'} and the leading axes of A")
        return [b]


class LinalgTrmm(_Triangular):
    """alpha A B (or alpha B A) for triangular A."""

    name = "_linalg_trmm"
    aliases = ("linalg_trmm",)

    def expand(self, p, node, train):
        a, b = node.inputs
        a = triangle(a, p.lower)
        result = multiply(b, a, False, p.transpose) if p.rightside else multiply(a, b, p.transpose, False)
        return [result if p.alpha == 1.0 else result * p.alpha]


class LinalgTrsm(_Triangular):
    """The X of A X = alpha B (or X A = alpha B) for triangular A."""

    name = "_linalg_trsm"
    aliases = ("linalg_trsm",)

    def gradient(self, p, node, grads):
        a, _ = node.inputs
        w = solve(a, grads[0], not p.transpose, p.rightside, p.lower)
        x = node.outputs[0]
        if p.rightside:
            along = multiply(w, x, True, False) if p.transpose else multiply(x, w, True, False)
        else:
            along = multiply(x, w, False, True) if p.transpose else multiply(w, x, False, True)
        return [triangle(-along, p.lower), w if p.alpha == 1.0 else w * p.alpha]

    def lower(self, p, node, emit):
        b = node.inputs[1]
        args = {
            "batch": product(b.shape[:-2]),
            "rows": b.shape[-2],
            "columns": b.shape[-1],
            "transpose": int(p.transpose),
            "rightside": int(p.rightside),
            "lower": int(p.lower),
            "alpha": p.alpha,
        }
        scratch = emit.threads * node.inputs[0].shape[-1] * 128
        emit("trsm", b.dtype, args, node.inputs, node.outputs, scratch=scratch)


# ---- diagonals and triangles --------------------------------------------------------------------------------------------


def diagonal_walk(lead, n, offset):
    """Over a diagonal of each n x n matrix."""
    length = n - abs(offset)
    start = offset if offset > 0 else -offset * n
    return Walk((product(lead), length), (n * n, n + 1), start)


def triangle_rows(n, offset, lower):
    """(row, first column, how many) for each row of the triangle that starts at the diagonal `offset`."""
    below = offset < 0 or (offset == 0 and lower)
    if below:
        return [(i, 0, i + offset + 1) for i in range(-offset, n)]
    return [(i, i + offset, n - i - offset) for i in range(n - offset)]


def copy_triangles(emit, packed, matrices, n, offset, lower, pack):
    """Between matrices and the elements of their triangles, row by row."""
    rows = triangle_rows(n, offset, lower)
    batch, size = product(matrices.shape[:-2]), sum(count for _, _, count in rows)
    at = 0
    for row, column, count in rows:
        inside = Walk((batch, count), (n * n, 1), row * n + column)
        outside = Walk((batch, count), (size, 1), at)
        if pack:
            copy(emit, matrices, inside, packed, outside)
        else:
            copy(emit, packed, outside, matrices, inside)
        at += count


class LinalgExtractDiag(Op):
    """A diagonal of each matrix."""

    name = "_linalg_extractdiag"
    aliases = ("linalg_extractdiag",)
    inputs = ("A",)
    offset = Int(0, doc="which diagonal: 0 the main one, above it positive, below it negative")

    def output_shapes(self, p, ins):
        _, n = square(ins[0])
        if abs(p.offset) >= n:
            raise ShapeError(f"a matrix of {n} rows has no diagonal {p.offset}")
        return [(*ins[0][:-2], n - abs(p.offset))]

    def gradient(self, p, node, grads):
        return [apply("_linalg_makediag", grads, offset=p.offset)]

    def lower(self, p, node, emit):
        a, out = node.inputs[0], node.outputs[0]
        walk = diagonal_walk(a.shape[:-2], a.shape[-1], p.offset)
        copy(emit, a, walk, out, Walk(walk.shape, contiguous(walk.shape)))


class LinalgMakeDiag(Op):
    """Matrices with the input on a diagonal and zeros elsewhere."""

    name = "_linalg_makediag"
    aliases = ("linalg_makediag",)
    inputs = ("A",)
    offset = Int(0, doc="which diagonal: 0 the main one, above it positive, below it negative")

    def output_shapes(self, p, ins):
        if not ins[0]:
            raise ShapeError("A must have at least one dimension")
        n = ins[0][-1] + abs(p.offset)
        return [(*ins[0][:-1], n, n)]

    def gradient(self, p, node, grads):
        return [apply("_linalg_extractdiag", grads, offset=p.offset)]

    def lower(self, p, node, emit):
        a, out = node.inputs[0], node.outputs[0]
        walk = diagonal_walk(out.shape[:-2], out.shape[-1], p.offset)
        emit.fill(out, 0)
        copy(emit, a, Walk(walk.shape, contiguous(walk.shape)), out, walk)


class LinalgExtractTrian(Op):
    """The elements of a triangle of each matrix, row by row."""

    name = "_linalg_extracttrian"
    aliases = ("linalg_extracttrian",)
    inputs = ("A",)
    offset = Int(0, doc="the diagonal the triangle begins at; below the main one when negative, above when positive")
    lower_ = Bool(True, doc="which triangle when offset is 0")

    def output_shapes(self, p, ins):
        _, n = square(ins[0])
        if abs(p.offset) >= n:
            raise ShapeError(f"a matrix of {n} rows has no diagonal {p.offset}")
        side = n - abs(p.offset)
        return [(*ins[0][:-2], side * (side + 1) // 2)]

    def gradient(self, p, node, grads):
        return [apply("_linalg_maketrian", grads, offset=p.offset, lower=p.lower)]

    def lower(self, p, node, emit):
        a = node.inputs[0]
        copy_triangles(emit, node.outputs[0], a, a.shape[-1], p.offset, p.lower, pack=True)


class LinalgMakeTrian(Op):
    """Matrices with the input as a triangle, row by row, and zeros elsewhere."""

    name = "_linalg_maketrian"
    aliases = ("linalg_maketrian",)
    inputs = ("A",)
    offset = Int(0, doc="the diagonal the triangle begins at; below the main one when negative, above when positive")
    lower_ = Bool(True, doc="which triangle when offset is 0")

    def output_shapes(self, p, ins):
        if not ins[0]:
            raise ShapeError("A must have at least one dimension")
        side = math.isqrt(2 * ins[0][-1])
        if side * (side + 1) // 2 != ins[0][-1]:
            raise ShapeError(f"{ins[0][-1]} elements are no triangle")
        n = side + abs(p.offset)
        return [(*ins[0][:-1], n, n)]

    def gradient(self, p, node, grads):
        return [apply("_linalg_extracttrian", grads, offset=p.offset, lower=p.lower)]

    def lower(self, p, node, emit):
        out = node.outputs[0]
        emit.fill(out, 0)
        copy_triangles(emit, node.inputs[0], out, out.shape[-1], p.offset, p.lower, pack=False)


class LinalgSumLogDiag(Op):
    """The sum of the logarithms of the diagonal of each matrix."""

    name = "_linalg_sumlogdiag"
    aliases = ("linalg_sumlogdiag",)
    inputs = ("A",)

    def output_shapes(self, p, ins):
        square(ins[0])
        return [ins[0][:-2] or (1,)]

    def expand(self, p, node, train):
        logs = apply("log", [apply("_linalg_extractdiag", node.inputs)])
        return [apply("Reshape", [apply("sum", [logs], axis=(-1,))], shape=node.outputs[0].shape)]


# ---- factorisations -----------------------------------------------------------------------------------------------------


class _Factorisation(Op, abstract=True):
    inputs = ("A",)
    scratch = False  # whether the kernel wants a copy of the matrices to work in

    def output_shapes(self, p, ins):
        square(ins[0])
        return [ins[0]]

    def lower(self, p, node, emit):
        a = node.inputs[0]
        args = {"batch": product(a.shape[:-2]), "rows": a.shape[-2], "columns": a.shape[-1]}
        space = a.size * max(4, ITEM_SIZES[a.dtype]) if self.scratch else 0
        emit(self.kernel, a.dtype, args, node.inputs, node.outputs, scratch=space)


class LinalgPotrf(_Factorisation):
    """The Cholesky factor L of A = L L^T: a lower triangle. A must be symmetric and positive definite."""

    name = "_linalg_potrf"
    aliases = ("linalg_potrf",)
    kernel = "potrf"

    def gradient(self, p, node, grads):
        l = node.outputs[0]
        inner = triangle(multiply(l, grads[0], True, False), diagonal=0.5)
        outer = solve(l, solve(l, inner, transpose=True), rightside=True)
        return [(outer + transposed(outer)) * 0.5]


class LinalgPotri(Op):
    """The inverse of L L^T for a lower triangle L."""

    name = "_linalg_potri"
    aliases = ("linalg_potri",)
    inputs = ("A",)

    def output_shapes(self, p, ins):
        square(ins[0])
        return [ins[0]]

    def expand(self, p, node, train):
        a = node.inputs[0]
        ones = apply("ones_like", [apply("_linalg_extractdiag", [a])])
        inverse = solve(a, apply("_linalg_makediag", [ones]))
        return [multiply(inverse, inverse, True, False)]


class LinalgInvert(_Factorisation):
    """The inverse, the sign of the determinant and the logarithm of its magnitude."""

    name = "_linalg_invert"
    outputs = ("inverse", "sign", "logdet")
    kernel = "invert"
    scratch = True

    def output_shapes(self, p, ins):
        square(ins[0])
        lead = ins[0][:-2] or (1,)
        return [ins[0], lead, lead]

    def gradient(self, p, node, grads):
        inverse = node.outputs[0]
        parts = []
        if grads[0] is not None:
            parts.append(-multiply(multiply(inverse, grads[0], True, False), inverse, False, True))
        if grads[2] is not None:
            parts.append(apply("broadcast_mul", [transposed(inverse), spread(grads[2], inverse)]))
        return [parts[0] + parts[1] if len(parts) == 2 else parts[0] if parts else None]


class LinalgLogdet(_Factorisation):
    """The sign of the determinant and the logarithm of its magnitude."""

    name = "_linalg_logdet"
    outputs = ("sign", "logdet")
    kernel = "slogdet"
    scratch = True

    def output_shapes(self, p, ins):
        square(ins[0])
        return [ins[0][:-2] or (1,)] * 2

    def gradient(self, p, node, grads):
        if grads[1] is None:
            return [None]
        inverse = apply("_linalg_inverse", node.inputs)
        return [apply("broadcast_mul", [transposed(inverse), spread(grads[1], inverse)])]


class LinalgInverse(Op):
    """The inverse of each matrix."""

    name = "_linalg_inverse"
    aliases = ("linalg_inverse",)
    inputs = ("A",)

    def output_shapes(self, p, ins):
        square(ins[0])
        return [ins[0]]

    def expand(self, p, node, train):
        return [apply("_linalg_invert", node.inputs)]


class LinalgDet(Op):
    """The determinant of each matrix."""

    name = "_linalg_det"
    aliases = ("linalg_det",)
    inputs = ("A",)

    def output_shapes(self, p, ins):
        square(ins[0])
        return [ins[0][:-2] or (1,)]

    def expand(self, p, node, train):
        sign, logdet = apply_all("_linalg_logdet", node.inputs)
        return [sign * apply("exp", [logdet])]


class LinalgSlogdet(Op):
    """The sign of the determinant of each matrix, and the logarithm of its magnitude."""

    name = "_linalg_slogdet"
    aliases = ("linalg_slogdet",)
    inputs = ("A",)
    outputs = ("sign", "logabsdet")

    def output_shapes(self, p, ins):
        square(ins[0])
        lead = ins[0][:-2] or (1,)
        return [lead, lead]

    def expand(self, p, node, train):
        return apply_all("_linalg_logdet", node.inputs)


class LinalgGelqf(_Factorisation):
    """A = L Q for matrices with no more rows than columns: L is a lower triangle, the rows of Q are orthonormal."""

    name = "_linalg_gelqf"
    aliases = ("linalg_gelqf",)
    outputs = ("Q", "L")
    kernel = "gelqf"

    def output_shapes(self, p, ins):
        if len(ins[0]) < 2 or ins[0][-2] > ins[0][-1]:
            raise ShapeError("A must have matrices with no more rows than columns in its last two axes")
        return [ins[0], (*ins[0][:-1], ins[0][-2])]

    def gradient(self, p, node, grads):
        q, l = node.outputs
        grad_q = grads[0] if grads[0] is not None else apply("zeros_like", [q])
        inner = -multiply(grad_q, q, False, True)
        if grads[1] is not None:
            inner = inner + multiply(l, grads[1], True, False)
        half = triangle(inner, diagonal=0.5)
        both = half + transposed(half)
        return [solve(l, grad_q + multiply(both, q), transpose=True)]


class LinalgSyevd(_Factorisation):
    """A = U^T diag(L) U for symmetric A: the rows of U are eigenvectors, L their eigenvalues from small to large."""

    name = "_linalg_syevd"
    aliases = ("linalg_syevd",)
    outputs = ("U", "L")
    kernel = "syevd"
    scratch = True

    def output_shapes(self, p, ins):
        square(ins[0])
        return [ins[0], ins[0][:-1]]

    def gradient(self, p, node, grads):
        u, values = node.outputs
        n = values.shape[-1]
        inner = apply("_linalg_makediag", [grads[1]]) if grads[1] is not None else None
        if grads[0] is not None:
            down = apply("Reshape", [values], shape=(*values.shape, 1))
            along = apply("Reshape", [values], shape=(*values.shape[:-1], 1, n))
            unit = apply("_linalg_makediag", [apply("ones_like", [values])])
            gaps = (1.0 - unit) / (apply("broadcast_sub", [along, down]) + unit)
            turned = gaps * multiply(u, grads[0], False, True)
            turned = (turned + transposed(turned)) * 0.5
            inner = turned if inner is None else inner + turned
        return [multiply(multiply(u, inner, True, False), u)]


class KhatriRao(Op):
    """The Kronecker products of the columns of matrices, column by column."""

    name = "khatri_rao"
    aliases = ("_contrib_khatri_rao",)
    count = "num_args"
    num_args = Int(min=1, doc="how many matrices")

    def output_shapes(self, p, ins):
        if any(len(s) != 2 or s[1] != ins[0][1] for s in ins):
            raise ShapeError("all arguments must be matrices with the same number of columns")
        return [(product([s[0] for s in ins]), ins[0][1])]

    def expand(self, p, node, train):
        result = node.inputs[0]
        for other in node.inputs[1:]:
            (n, columns), m = result.shape, other.shape[0]
            pairs = [
                apply("Reshape", [result], shape=(n, 1, columns)),
                apply("Reshape", [other], shape=(1, m, columns)),
            ]
            result = apply("Reshape", [apply("broadcast_mul", pairs)], shape=(n * m, columns))
        return [result]
