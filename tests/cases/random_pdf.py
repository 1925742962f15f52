"""Densities of distributions: see tests/cases/__init__.py."""

import numpy as np
from scipy import stats

from . import Case, real, whole

MEANS, RATES, SHARES = real(3), real(3, low=0.5), real(3, low=0.2, high=0.8)
SAMPLES, POSITIVE, COUNTS = real(3, 4), real(3, 4, low=0.3), whole(3, 4, high=6)

# the density, samples, parameters
DENSITIES = {
    "uniform": (lambda x, low, high: stats.uniform(low, high - low), whole(3, 4, high=1), [real(3, high=0), RATES]),
    "normal": (lambda x, mu, sigma: stats.norm(mu, sigma), SAMPLES, [MEANS, RATES]),
    "gamma": (lambda x, a, b: stats.gamma(a, scale=1 / b), POSITIVE, [RATES, RATES]),
    "exponential": (lambda x, lam: stats.expon(scale=1 / lam), POSITIVE, [RATES]),
    "poisson": (lambda x, lam: stats.poisson(lam), COUNTS, [RATES]),
    "negative_binomial": (lambda x, k, p: stats.nbinom(k, p), COUNTS, [RATES, SHARES]),
    "generalized_negative_binomial": (
        lambda x, mu, alpha: stats.nbinom(1 / alpha, 1 / (mu * alpha + 1)),
        COUNTS,
        [RATES, RATES],
    ),
}


def density(distribution, log):
    def twin(x, *parameters):
        found = distribution(x, *(a.reshape(a.shape + (1,) * (x.ndim - a.ndim)) for a in parameters))
        name = "pdf" if hasattr(found.dist, "pdf") else "pmf"
        return getattr(found, f"log{name}" if log else name)(x)

    return twin


def dirichlet(log):
    def twin(x, alpha):
        out = np.zeros(x.shape[:-1])
        for i in np.ndindex(*out.shape):
            found = stats.dirichlet(alpha[i[: alpha.ndim - 1]])
            sample = x[i] / x[i].sum()  # what scipy insists on
            scale = ((alpha[i[: alpha.ndim - 1]] - 1) * np.log(x[i].sum())).sum()
            out[i] = found.logpdf(sample) + scale
        return out if log else np.exp(out)

    return twin


def cases():
    for name, (distribution, samples, parameters) in DENSITIES.items():
        for log in (False, True):
            twin = density(distribution, log)
            yield Case(f"_random_pdf_{name}", [samples, *parameters], {"is_log": log}, twin, ulps=64.0, length=4)
    same = [POSITIVE, real(3, 4), real(3, 4, low=0.5)]
    yield Case("_random_pdf_normal", same, {}, density(DENSITIES["normal"][0], False), ulps=32.0)
    vectors = real(2, 3, 4, low=0.1, high=0.5)
    for log in (False, True):
        for alpha in (real(2, 4, low=0.5), real(4, low=0.5)):
            params = {"is_log": log}
            yield Case("_random_pdf_dirichlet", [vectors, alpha], params, dirichlet(log), ulps=64.0, length=4)


CASES = list(cases())
