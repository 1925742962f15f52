"""Processes whose events excite further events."""

from __future__ import annotations

from ..base import ShapeError
from ..graph import apply_all
from ..op import Op, share_dtype
from .elemwise import F

INPUTS = ("lda", "alpha", "beta", "state", "lags", "marks", "valid_length", "max_time")


class _Process(Op, abstract=True):
    inputs = INPUTS

    def check(self, ins):
        rate, alpha, beta, state, lags, marks, valid, most = ins
        if len(rate) != 2 or len(lags) != 2 or lags[0] != rate[0]:
            raise ShapeError("lda must have shape (batch, kinds) and lags (batch, events)")
        wanted = {"alpha": rate[1:], "beta": rate[1:], "state": rate, "marks": lags}
        wanted |= {"valid_length": rate[:1], "max_time": rate[:1]}
        for name, shape in zip(self.inputs, ins, strict=True):
            if name in wanted and shape != wanted[name]:
                raise ShapeError(f"{name} must have shape {wanted[name]}")

    def infer_types(self, p, ins, outs):
        share_dtype(ins, outs, of=[0, 1, 2, 3, 4])
        ins[5] = ins[5] or "int32"
        ins[6] = ins[6] or ins[0]
        ins[7] = ins[7] or ins[0]


class HawkesParts(_Process):
    """The parts of a process that its kinds of events have, and their derivatives."""

    name = "_hawkes"
    outputs = (
        *("likelihood", "end_state", "by_mu", "by_alpha", "by_beta", "by_state", "state_by_beta", "state_by_state"),
    )

    def visible(self, p):
        return 2

    def output_shapes(self, p, ins):
        self.check(ins)
        return [ins[0]] * 8

    def gradient(self, p, node, grads):
        _, _, by_rate, by_pull, by_decay, by_start, state_by_decay, state_by_start = node.outputs
        slopes = [[], [], [], []]
        if grads[0] is not None:
            for found, slope in zip(slopes, (by_rate, by_pull, by_decay, by_start), strict=True):
                found.append(grads[0] * slope)
        if grads[1] is not None:
            slopes[2].append(grads[1] * state_by_decay)
            slopes[3].append(grads[1] * state_by_start)
        rate, pull, decay, start = (F.add_n(*s) if s else None for s in slopes)
        over = [v if v is None else F.sum(v, axis=0) for v in (pull, decay)]
        return [rate, *over, start]

    def lower(self, p, node, emit):
        rate, alpha, beta, state, lags, marks, valid, most = node.inputs
        args = {"rows": rate.shape[0], "kinds": rate.shape[1], "events": lags.shape[1]}
        whole = [emit.cast(v, "int64") for v in (marks, valid)]
        ins = [rate, alpha, beta, state, lags, *whole, emit.cast(most, rate.dtype)]
        emit("hawkes", rate.dtype, args, ins, node.outputs)


class HawkesLikelihood(_Process):
    """The logarithm of the likelihood of events of several kinds, each of which makes more of its kind likely for a while,
    and the excitement that is left at max_time.

    Events of kind k come at the rate lda[k] + alpha[k] beta[k] sum(exp(-beta[k] age)), summed over earlier events of the
    kind and begun with `state`. lags are the times between events, marks their kinds; the first valid_length count.
    There is no gradient for the times.
    """

    name = "_contrib_hawkesll"
    outputs = ("output", "out_state")

    def output_shapes(self, p, ins):
        self.check(ins)
        return [ins[0][:1], ins[0]]

    def expand(self, p, node, train):
        parts = apply_all("_hawkes", node.inputs)
        return [F.sum(parts[0], axis=1), parts[1]]
