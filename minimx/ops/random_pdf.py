"""Densities of distributions at given samples, for every element of their parameters."""

from __future__ import annotations

import math
from typing import ClassVar

from ..base import ShapeError
from ..graph import Value
from ..op import Op
from ..params import Bool
from .elemwise import F


class _Density(Op, abstract=True):
    """Parameters have one shape, which the shape of `sample` begins with; each belongs to all samples behind it."""

    partial_shapes = False
    counts: ClassVar[bool] = False  # samples are whole numbers: no gradient reaches them
    is_log = Bool(False, doc="whether the result is the logarithm of the density")

    def log(self, x: Value, *parameters: Value) -> Value:
        """The logarithm of the density."""
        raise NotImplementedError(f"{self.name}: log")

    def output_shapes(self, p, ins):
        sample, *parameters = ins
        for shape in parameters:
            if shape != parameters[0] or sample[: len(shape)] != shape:
                raise ShapeError("the parameters must have one shape, which the shape of sample begins with")
        return [sample]

    def expand(self, p, node, train):
        sample, *parameters = node.inputs
        extra = (1,) * (sample.ndim - parameters[0].ndim)
        wide = [F.Reshape(v, shape=v.shape + extra) if extra else v for v in parameters]
        result = self.log(F.BlockGrad(sample) if self.counts else sample, *wide)
        if result.shape != sample.shape:
            result = F.broadcast_to(result, shape=sample.shape)
        return [result if p.is_log else F.exp(result)]


class PdfUniform(_Density):
    """The density of uniform numbers between low and high, which is not asked for outside."""

    name = "_random_pdf_uniform"
    aliases = ("random_pdf_uniform",)
    inputs = ("sample", "low", "high")

    def log(self, x, low, high):
        return -F.log(high - low)


class PdfNormal(_Density):
    """The density of normal numbers with mean mu and standard deviation sigma."""

    name = "_random_pdf_normal"
    aliases = ("random_pdf_normal",)
    inputs = ("sample", "mu", "sigma")

    def log(self, x, mu, sigma):
        return F.square((x - mu) / sigma) * -0.5 - F.log(sigma) - math.log(2 * math.pi) / 2


class PdfGamma(_Density):
    """The density of gamma numbers with shape alpha and rate beta."""

    name = "_random_pdf_gamma"
    aliases = ("random_pdf_gamma",)
    inputs = ("sample", "alpha", "beta")

    def log(self, x, alpha, beta):
        return (alpha - 1.0) * F.log(x) - beta * x + (alpha * F.log(beta) - F.gammaln(alpha))


class PdfExponential(_Density):
    """The density of exponential numbers with rate lam."""

    name = "_random_pdf_exponential"
    aliases = ("random_pdf_exponential",)
    inputs = ("sample", "lam")

    def log(self, x, lam):
        return F.log(lam) - lam * x


class PdfPoisson(_Density):
    """The probability of Poisson numbers with mean lam."""

    name = "_random_pdf_poisson"
    aliases = ("random_pdf_poisson",)
    inputs = ("sample", "lam")
    counts = True

    def log(self, x, lam):
        return x * F.log(lam) - F.gammaln(x + 1.0) - lam


def failures(x: Value, k: Value, p: Value) -> Value:
    """The logarithm of the probability of x failures before the k-th success of probability p."""
    return F.gammaln(x + k) - F.gammaln(x + 1.0) - F.gammaln(k) + k * F.log(p) + x * F.log(1.0 - p)


class PdfNegativeBinomial(_Density):
    """The probability of so many failures before k successes of probability p."""

    name = "_random_pdf_negative_binomial"
    aliases = ("random_pdf_negative_binomial",)
    inputs = ("sample", "k", "p")
    counts = True

    def log(self, x, k, p):
        return failures(x, k, p)


class PdfGeneralizedNegativeBinomial(_Density):
    """The probability of Poisson numbers whose mean varies: mean mu, variance mu + alpha mu²."""

    name = "_random_pdf_generalized_negative_binomial"
    aliases = ("random_pdf_generalized_negative_binomial",)
    inputs = ("sample", "mu", "alpha")
    counts = True

    def log(self, x, mu, alpha):
        return failures(x, 1.0 / alpha, 1.0 / (mu * alpha + 1.0))


class PdfDirichlet(_Density):
    """The density of Dirichlet vectors, which lie along the last axis, with concentrations alpha."""

    name = "_random_pdf_dirichlet"
    aliases = ("random_pdf_dirichlet",)
    inputs = ("sample", "alpha")

    def output_shapes(self, p, ins):
        sample, alpha = ins
        lead = alpha[:-1]
        if not alpha or len(sample) < len(alpha) or sample[-1] != alpha[-1] or sample[: len(lead)] != lead:
            raise ShapeError("sample must begin with all axes of alpha but the last, and end with the last one")
        return [sample[:-1] or (1,)]

    def expand(self, p, node, train):
        sample, alpha = node.inputs
        between = (1,) * (sample.ndim - alpha.ndim)
        alpha = F.Reshape(alpha, shape=(*alpha.shape[:-1], *between, alpha.shape[-1]))
        size = {"axis": -1, "keepdims": True}
        constant = F.gammaln(F.sum(alpha, **size)) - F.sum(F.gammaln(alpha), **size)
        log = F.sum((alpha - 1.0) * F.log(sample), **size) + constant
        log = F.Reshape(log, shape=node.outputs[0].shape)
        return [log if p.is_log else F.exp(log)]
