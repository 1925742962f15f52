"""Matrix products: FullyConnected, dot, batch_dot. All of them, and their gradients, are calls of one kernel."""

from ..base import ITEM_SIZES, ShapeError
from ..graph import apply
from ..op import Op, known, product, require, unify
from ..params import Bool, Enum, Int, Shape

# Dtypes whose products are their own, on every device.
EXACT = ("float32", "float64")
FORWARD_STYPE = Enum(("default", "csr", "row_sparse"), None, doc="accepted for MXNet's sake; everything is dense")


def gemm(lhs, rhs, m, n, k, transpose_a=False, transpose_b=False, batch=1, shape=None):
    """A node that multiplies operands seen as (batches of) matrices; the result is seen as `shape`."""
    return apply(
        "_gemm",
        [lhs, rhs],
        m=m,
        n=n,
        k=k,
        batch=batch,
        transpose_a=transpose_a,
        transpose_b=transpose_b,
        shape=shape,
    )


def gemm_gradients(lhs, rhs, grad, m, n, k, transpose_a=False, transpose_b=False, batch=1):
    """What the operands of such a product get. Transposing is a flag of the kernel, never a copy."""
    if transpose_a:
        left = gemm(rhs, grad, k, m, n, transpose_b, True, batch, lhs.shape)
    else:
        left = gemm(grad, rhs, m, k, n, False, not transpose_b, batch, lhs.shape)
    if transpose_b:
        right = gemm(grad, lhs, n, k, m, True, transpose_a, batch, rhs.shape)
    else:
        right = gemm(lhs, grad, k, n, m, not transpose_a, False, batch, rhs.shape)
    return [left, right]


def emit_gemm(
    emit,
    lhs,
    rhs,
    out,
    m,
    n,
    k,
    transpose_a=False,
    transpose_b=False,
    batch=1,
    bias=None,
    residual=None,
    activation=0,
    inplace=(),
):
    """The kernel call for packed row-major operands; the bias has one entry per column."""
    if bias is not None and out.dtype == "bfloat16":
        bias = emit.cast(bias, "float32")
    args = {
        "batch": batch,
        "m": m,
        "n": n,
        "k": k,
        "lda": m if transpose_a else k,
        "ldb": k if transpose_b else n,
        "ldc": n,
        "batch_a": m * k,
        "batch_b": k * n,
        "batch_c": m * n,
        "trans_a": int(transpose_a),
        "trans_b": int(transpose_b),
        "bias_axis": int(bias is not None),
        "activation": activation,
    }
    scratch = gemm_scratch(m, n, k, out.dtype, emit.threads)
    emit("gemm", out.dtype, args, [lhs, rhs, bias, residual], [out], scratch=scratch, inplace=inplace)


def gemm_scratch(m, n, k, dtype, threads):
    """Bytes of scratch, by the formulas in csrc/args/gemm.h; half precision may be multiplied in float32."""
    elements = min(k, 512) * (min(m, 256) + min(n, 2048) + 64)
    if dtype == "bfloat16":
        deep = min((k + 1) // 2, 512)
        elements = max(elements, min(m, 240) * (deep + 16 + min(n + 15, 1024)) + 32 * deep)
    return max(64, (elements + 63) // 64 * 64) * threads * max(4, ITEM_SIZES[dtype])


class Gemm(Op):
    """Multiplies two operands seen as m x k and k x n matrices (stored the other way around when transposed), whatever
    their shapes are. What matrix products and their gradients are made of."""

    name = "_gemm"
    takes_riders = (*EXACT, "bfloat16")
    takes_gate = EXACT
    inputs = ("lhs", "rhs")
    m = Int(min=0, doc="rows of the product")
    n = Int(min=0, doc="columns of the product")
    k = Int(min=0, doc="terms of each sum")
    batch = Int(1, min=0, doc="how many products lie one after the other")
    transpose_a = Bool(False, doc="whether lhs is stored k x m")
    transpose_b = Bool(False, doc="whether rhs is stored n x k")
    shape = Shape(None, doc="the shape of the result, (m, n) or (batch, m, n) by default")

    def output_shapes(self, p, ins):
        for name, shape, size in (("lhs", ins[0], p.m * p.k), ("rhs", ins[1], p.k * p.n)):
            if product(shape) != p.batch * size:
                raise ShapeError(f"{name} must have {p.batch} x {size} elements")
        if p.shape is None:
            return [(p.m, p.n) if p.batch == 1 else (p.batch, p.m, p.n)]
        if product(p.shape) != p.batch * p.m * p.n:
            raise ShapeError(f"shape {p.shape} does not hold {p.batch} x {p.m} x {p.n} elements")
        return [p.shape]

    def gradient(self, p, node, grads):
        return gemm_gradients(*node.inputs, grads[0], p.m, p.n, p.k, p.transpose_a, p.transpose_b, p.batch)

    def lower(self, p, node, emit):
        emit_gemm(emit, *node.inputs, node.outputs[0], p.m, p.n, p.k, p.transpose_a, p.transpose_b, p.batch)


class FullyConnected(Op):
    """A linear layer: data times the transposed weight, plus the bias. The weight is (num_hidden, inputs)."""

    name = "FullyConnected"
    takes_riders = (*EXACT, "bfloat16")
    takes_gate = EXACT
    inputs = ("data", "weight", "bias")
    num_hidden = Int(min=1, doc="number of outputs per sample")
    no_bias = Bool(False, doc="leaves the bias out")
    flatten = Bool(True, doc="takes all axes but the first as inputs of a sample; otherwise only the last one")

    def input_names(self, p):
        return ("data", "weight") if p.no_bias else ("data", "weight", "bias")

    def complete_shapes(self, p, ins, outs):
        data = ins[0]
        inputs = -1
        if data is not None:
            features = data[1:] if p.flatten else data[-1:]
            inputs = product(features) if known(features) else -1
            if outs[0] is not None and len(outs[0]) == (2 if p.flatten else len(data)):
                rows = 1 if p.flatten else len(data) - 1
                ins[0] = unify(data[:rows], outs[0][:rows], "leading axes of data and output") + data[rows:]
        require(ins, 1, "weight", (p.num_hidden, inputs))
        if not p.no_bias:
            require(ins, 2, "bias", (p.num_hidden,))

    def output_shapes(self, p, ins):
        if not ins[0]:
            raise ShapeError("data must have at least one dimension")
        return [(ins[0][0], p.num_hidden) if p.flatten else (*ins[0][:-1], p.num_hidden)]

    def gradient(self, p, node, grads):
        data, weight = node.inputs[:2]
        result = gemm_gradients(data, weight, grads[0], *self._sizes(node), transpose_b=True)
        if not p.no_bias:
            result.append(apply("sum", [grads[0]], axis=tuple(range(grads[0].ndim - 1))))
        return result

    def lower(self, p, node, emit):
        bias = None if p.no_bias else node.inputs[2]
        emit_gemm(emit, *node.inputs[:2], node.outputs[0], *self._sizes(node), transpose_b=True, bias=bias)

    @staticmethod
    def _sizes(node):
        hidden, inputs = node.inputs[1].shape
        return node.outputs[0].size // hidden, hidden, inputs


class Dot(Op):
    """Sums over the last axis of lhs and the first axis of rhs; two vectors give their inner product."""

    name = "dot"
    inputs = ("lhs", "rhs")
    transpose_a = Bool(False, doc="moves the first axis of lhs to its end before")
    transpose_b = Bool(False, doc="moves the last axis of rhs to its front before")
    forward_stype = FORWARD_STYPE

    def output_shapes(self, p, ins):
        lhs, rhs = ins
        if not lhs or not rhs:
            raise ShapeError("lhs and rhs must have at least one dimension")
        left, right = self._summed(p, lhs, rhs)
        if left != right:
            raise ShapeError(f"the axes to sum over have {left} and {right} elements")
        rows = lhs[1:] if p.transpose_a else lhs[:-1]
        columns = rhs[:-1] if p.transpose_b else rhs[1:]
        return [(*rows, *columns) or (1,)]

    def gradient(self, p, node, grads):
        return gemm_gradients(*node.inputs, grads[0], *self._sizes(p, node), p.transpose_a, p.transpose_b)

    def lower(self, p, node, emit):
        emit_gemm(emit, *node.inputs, node.outputs[0], *self._sizes(p, node), p.transpose_a, p.transpose_b)

    @staticmethod
    def _summed(p, lhs, rhs):
        return lhs[0 if p.transpose_a else -1], rhs[-1 if p.transpose_b else 0]

    def _sizes(self, p, node):
        lhs, rhs = (v.shape for v in node.inputs)
        rows = lhs[1:] if p.transpose_a else lhs[:-1]
        columns = rhs[:-1] if p.transpose_b else rhs[1:]
        return product(rows), product(columns), self._summed(p, lhs, rhs)[0]


class BatchDot(Op):
    """Matrix products of the matrices in the last two axes, one for each place in the leading axes."""

    name = "batch_dot"
    inputs = ("lhs", "rhs")
    transpose_a = Bool(False, doc="transposes the matrices of lhs before")
    transpose_b = Bool(False, doc="transposes the matrices of rhs before")
    forward_stype = FORWARD_STYPE

    def output_shapes(self, p, ins):
        lhs, rhs = ins
        if len(lhs) < 3 or len(lhs) != len(rhs):
            raise ShapeError("lhs and rhs must have the same number of dimensions, three or more")
        if lhs[:-2] != rhs[:-2]:
            raise ShapeError(f"the leading axes {lhs[:-2]} and {rhs[:-2]} differ")
        return [(*lhs[:-2], *matrix_shape(lhs, rhs, p.transpose_a, p.transpose_b)[:2])]

    def gradient(self, p, node, grads):
        return gemm_gradients(*node.inputs, grads[0], **self._sizes(p, node))

    def lower(self, p, node, emit):
        emit_gemm(emit, *node.inputs, node.outputs[0], **self._sizes(p, node))

    @staticmethod
    def _sizes(p, node):
        lhs, rhs = (v.shape for v in node.inputs)
        m, n, k = matrix_shape(lhs, rhs, p.transpose_a, p.transpose_b)
        return dict(m=m, n=n, k=k, transpose_a=p.transpose_a, transpose_b=p.transpose_b, batch=product(lhs[:-2]))


def matrix_shape(lhs, rhs, transpose_a, transpose_b):
    """(m, n, k) of the product of the matrices in the last two axes."""
    m, k = lhs[:-3:-1] if transpose_a else lhs[-2:]
    terms, n = rhs[:-3:-1] if transpose_b else rhs[-2:]
    if k != terms:
        raise ShapeError(f"the axes to sum over have {k} and {terms} elements")
    return m, n, k
