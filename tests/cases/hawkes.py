"""Self-exciting point processes: see tests/cases/__init__.py."""

import numpy as np

from . import Case, real, whole

INPUTS = [
    real(3, 2, low=0.5, high=1.5),
    real(2, low=0.2, high=0.6),
    real(2, low=0.5, high=2.0),
    real(3, 2, low=0.0, high=1.0),
    real(3, 6, low=0.1, high=0.5),
    whole(3, 6, high=2, dtype="int32"),
    np.array([6, 4, 0]),
    np.array([4.0, 5.0, 2.0]),
]


def process(lda, alpha, beta, state, lags, marks, lengths, end):
    """By the definition: the intensity of a mark at t is lda + alpha beta Σ exp(-beta (t - t_i)), the state counting as
    events at 0."""
    likelihood, after = np.zeros(len(lda)), np.zeros_like(lda)
    for q in range(len(lda)):
        n = int(lengths[q])
        times, kinds = np.cumsum(lags[q, :n]), marks[q, :n].astype(int)
        for m in range(len(alpha)):
            own = times[kinds == m]
            for j, t in enumerate(own):
                weight = state[q, m] * np.exp(-beta[m] * t) + np.exp(-beta[m] * (t - own[:j])).sum()
                likelihood[q] += np.log(lda[q, m] + alpha[m] * beta[m] * weight)
            passed = state[q, m] * (1 - np.exp(-beta[m] * end[q])) + (1 - np.exp(-beta[m] * (end[q] - own))).sum()
            likelihood[q] -= lda[q, m] * end[q] + alpha[m] * passed
            after[q, m] = state[q, m] * np.exp(-beta[m] * end[q]) + np.exp(-beta[m] * (end[q] - own)).sum()
    return likelihood, after


CASES = [
    Case(
        "_contrib_hawkesll",
        INPUTS,
        {},
        process,
        length=12,
        ulps=32.0,
        half=False,
        grads=(),
    ),
    Case("_hawkes", INPUTS, {}, None, half=False, grads=()),
]
