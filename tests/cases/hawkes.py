"""Processes whose events excite further events."""

import numpy as np

from . import Case, real, whole


def parts(rate, alpha, beta, state, lags, marks, valid, most):
    """By the definition: every event against all earlier ones of its kind."""
    times = lags.cumsum(1)
    likelihood, left = np.zeros_like(rate), np.zeros_like(rate)
    for i, k in np.ndindex(*rate.shape):
        mine = [t for t, m in zip(times[i, : valid[i]], marks[i], strict=False) if m == k]
        a, b = alpha[k], beta[k]
        excited = lambda t: state[i, k] * np.exp(-b * t) + sum(np.exp(-b * (t - s)) for s in mine if s < t)  # noqa: E731, B023
        whole_sum = state[i, k] * (1 - np.exp(-b * most[i])) + sum(1 - np.exp(-b * (most[i] - s)) for s in mine)
        likelihood[i, k] = sum(np.log(rate[i, k] + a * b * excited(t)) for t in mine)
        likelihood[i, k] -= rate[i, k] * most[i] + a * whole_sum
        left[i, k] = excited(most[i])
    return likelihood, left


def total(*inputs):
    likelihood, left = parts(*inputs)
    return likelihood.sum(1), left


INPUTS = [
    real(3, 2, low=0.2, high=1.0),
    real(2, low=0.1, high=0.5),
    real(2, low=0.5, high=1.5),
    real(3, 2, low=0.1, high=1.0),
    real(3, 6, low=0.1, high=1.0),
    whole(3, 6, high=2, dtype="int32"),
    np.array([6, 3, 0]),
    np.array([7.0, 5.0, 2.0]),
]
WRT = ("lda", "alpha", "beta", "state")

CASES = [
    Case("_hawkes", INPUTS, {}, parts, WRT, length=20, ulps=32, half=False),
    Case("_contrib_hawkesll", INPUTS, {}, total, WRT, length=20, ulps=32, half=False),
]
