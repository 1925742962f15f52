"""The likelihood of self-exciting point processes: events that make events of their kind more likely for a while."""

from __future__ import annotations

from ..base import ShapeError
from ..op import Op
from .elemwise import F

INPUTS = ("lda", "alpha", "beta", "state", "lags", "marks", "valid_length", "max_time")


class _Process(Op, abstract=True):
    inputs = INPUTS

    def sizes(self, ins):
        """The number of sequences, of marks and of events."""
        if len(ins[0]) != 2 or len(ins[4]) != 2:
            raise ShapeError("lda must be a matrix (sequences, marks) and lags one (sequences, events)")
        (n, k), (_, t) = ins[0], ins[4]
        expected = ((n, k), (k,), (k,), (n, k), (n, t), (n, t), (n,), (n,))
        for name, got, shape in zip(INPUTS, ins, expected, strict=True):
            if got != shape:
                raise ShapeError(f"{name} must have shape {shape}")
        return n, k, t

    def infer_types(self, p, ins, outs):
        known = next((t for t in (ins[i] for i in (0, 1, 2, 3, 4, 7)) if t), None)
        for i, given in enumerate(ins):
            ins[i] = given or ("int32" if i == 5 else known)
        outs[:] = [t or known for t in outs]


class HawkesLikelihood(_Process):
    """The log-likelihood of sequences of marked events under a Hawkes process with exponential decay, and the state that
    they leave behind. The intensity of mark k is lda + alpha beta times the decayed number of its events.

    lda and state have a row for each sequence; lags are the times between events, marks their kinds, of which the first
    valid_length count; max_time is how long a sequence was watched. Gradients reach lda, alpha and beta.
    """

    name = "_contrib_hawkesll"
    outputs = ("output0", "output1")

    def output_shapes(self, p, ins):
        n, k, _ = self.sizes(ins)
        return [(n,), (n, k)]

    def expand(self, p, node, train):
        return F._hawkes(*node.inputs).node.outputs[:2]


class Hawkes(_Process):
    """`hawkesll` with the slopes of each sequence's likelihood by lda, alpha and beta."""

    name = "_hawkes"
    outputs = ("likelihood", "state", "by_lda", "by_alpha", "by_beta")

    def output_shapes(self, p, ins):
        n, k, _ = self.sizes(ins)
        return [(n,), *[(n, k)] * 4]

    def gradient(self, p, node, grads):
        if grads[0] is None:
            return [None] * len(INPUTS)
        column = F.Reshape(grads[0], shape=(-1, 1))
        by_lda, by_alpha, by_beta = (F.broadcast_mul(slope, column) for slope in node.outputs[2:])
        return [by_lda, F.sum(by_alpha, axis=0), F.sum(by_beta, axis=0), *[None] * 5]

    def lower(self, p, node, emit):
        values = list(node.inputs)
        n, k, t = self.sizes([v.shape for v in values])
        dtype = node.outputs[0].dtype
        kind = "float64" if dtype == "float64" else "float32"
        reads = [emit.cast(v, "int64" if i in (5, 6) else v.dtype) for i, v in enumerate(values)]
        args = {"batch": n, "marks": k, "steps": t}
        emit("hawkes", dtype, args, reads, node.outputs, scratch=2 * n * k * (8 if kind == "float64" else 4))
