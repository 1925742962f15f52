"""Operators that draw random numbers. What they draw depends on the seed, the run and the node, never on threads or devices."""

from __future__ import annotations

import math
from typing import Any

from ..base import ParameterError, ShapeError
from ..graph import Value
from ..op import Op, product
from ..params import Bool, DType, Float, Int, Shape, Text
from .elemwise import F


class _Drawn(Op, abstract=True):
    """Numbers of one distribution in a given shape."""

    random = True
    inputs = ()
    shape = Shape((), min=0, doc="the shape; 0 is found out from where the array is used")
    ctx = Text("", doc="the device the array is made on when the operator is called by itself")
    dtype = DType(None, doc="the dtype of the numbers, float32 by default")
    default_dtype = "float32"

    def output_shapes(self, p, ins):
        return [tuple(d or -1 for d in p.shape) or (1,)]

    def infer_types(self, p, ins, outs):
        outs[0] = p.dtype or self.default_dtype

    def gradient(self, p, node, grads):
        return []


class _Filled(_Drawn, abstract=True):
    """Drawn by a kernel with two numbers, whose name is `kernel`."""

    kernel = ""

    def numbers(self, p: Any) -> tuple[float, float]:
        raise NotImplementedError(f"{self.name}: numbers")

    def lower(self, p, node, emit):
        a, b = self.numbers(p)
        out = node.outputs[0]
        args = {"size": out.size, "stream": emit.stream(), "a": a, "b": b}
        emit(self.kernel, out.dtype, args, [emit.random_state()], [out])


class RandomUniform(_Filled):
    """Uniform numbers from low up to, but not including, high."""

    name = "_random_uniform"
    aliases = ("random_uniform", "uniform")
    kernel = "random_uniform"
    low = Float(0.0, doc="the lower end")
    high = Float(1.0, doc="the upper end")

    def numbers(self, p):
        return p.low, p.high


class RandomNormal(_Filled):
    """Normal numbers with mean loc and standard deviation scale."""

    name = "_random_normal"
    aliases = ("random_normal", "normal")
    kernel = "random_normal"
    loc = Float(0.0, doc="the mean")
    scale = Float(1.0, doc="the standard deviation")

    def numbers(self, p):
        return p.loc, p.scale


class RandomExponential(_Filled):
    """Exponential numbers with rate lam, so with mean 1 / lam."""

    name = "_random_exponential"
    aliases = ("random_exponential",)
    kernel = "random_exponential"
    lam = Float(1.0, min=0, doc="the rate")

    def numbers(self, p):
        return (1 / p.lam if p.lam else math.inf), 0.0


class DropoutMask(_Filled):
    """0 with probability p, else 1 / (1 - p)."""

    name = "_dropout_mask"
    kernel = "random_mask"
    p = Float(0.5, min=0, max=1, doc="the probability of 0")

    def numbers(self, p):
        return 1 - p.p, 0.0


class RandomRandint(_Drawn):
    """Integers from low up to, but not including, high."""

    name = "_random_randint"
    aliases = ("random_randint",)
    default_dtype = "int32"
    low = Int(doc="the lowest integer")
    high = Int(doc="the end")

    def output_shapes(self, p, ins):
        if p.high <= p.low:
            raise ParameterError(f"{self.name}: high, {p.high}, must be larger than low, {p.low}")
        return super().output_shapes(p, ins)

    def lower(self, p, node, emit):
        out = node.outputs[0]
        args = {"size": out.size, "stream": emit.stream(), "low": p.low, "high": p.high}
        emit("random_integer", out.dtype, args, [emit.random_state()], [out])


# ---- numbers that take parameters as numbers or as arrays ----------------------------------------------------------------


def _draw_variates(kernel: str, node: Any, emit: Any, numbers: tuple[float, float], arrays: list[Value | None]) -> None:
    out = node.outputs[0]
    kind = "float64" if out.dtype == "float64" else "float32"
    given = [a for a in arrays if a is not None]
    repeat = out.size // given[0].size if given and given[0].size else 1
    args = {"size": out.size, "stream": emit.stream(), "a": numbers[0], "b": numbers[1], "repeat": max(repeat, 1)}
    parameters = [None if a is None else emit.cast(a, kind) for a in arrays]
    emit(kernel, out.dtype, args, [emit.random_state(), *parameters], [out])


class _Variates(_Filled, abstract=True):
    def lower(self, p, node, emit):
        _draw_variates(self.kernel, node, emit, self.numbers(p), [None, None])


class RandomGamma(_Variates):
    """Gamma numbers with shape alpha and scale beta, so with mean alpha beta."""

    name = "_random_gamma"
    aliases = ("random_gamma",)
    kernel = "random_gamma"
    alpha = Float(1.0, min=0, doc="the shape")
    beta = Float(1.0, min=0, doc="the scale")

    def numbers(self, p):
        return p.alpha, p.beta


class RandomPoisson(_Variates):
    """Poisson numbers with mean lam."""

    name = "_random_poisson"
    aliases = ("random_poisson",)
    kernel = "random_poisson"
    lam = Float(1.0, min=0, doc="the mean")

    def numbers(self, p):
        return p.lam, 0.0


class RandomNegativeBinomial(_Variates):
    """How often something that succeeds with probability p fails before it has succeeded k times."""

    name = "_random_negative_binomial"
    aliases = ("random_negative_binomial",)
    kernel = "random_negative_binomial"
    k = Int(1, min=0, doc="the number of successes")
    p = Float(1.0, min=0, max=1, doc="the probability of a success")

    def numbers(self, p):
        return p.k, p.p


class RandomGeneralizedNegativeBinomial(_Variates):
    """Poisson numbers whose mean varies: mean mu, variance mu + alpha mu²."""

    name = "_random_generalized_negative_binomial"
    aliases = ("random_generalized_negative_binomial",)
    kernel = "random_generalized_negative_binomial"
    mu = Float(1.0, min=0, doc="the mean")
    alpha = Float(1.0, min=0, doc="the dispersion")

    def numbers(self, p):
        return p.mu, p.alpha


# ---- in the shape of another array ---------------------------------------------------------------------------------------


def _like(base: type[_Filled]) -> None:
    """Registers `<base>_like`, which takes shape and dtype from its input."""

    def expand(self, p, node, train):
        out = node.outputs[0]
        return [getattr(F, base.name)(shape=out.shape, dtype=out.dtype, **p._asdict())]

    def output_shapes(self, p, ins):
        return [ins[0]]

    def gradient(self, p, node, grads):
        return [None]

    own = {name: param for name, param in base.params.items() if name not in _Drawn.params}
    name = f"{base.name}_like"
    doc = f"{base.__doc__} In the shape of `data`."
    members = {"expand": expand, "output_shapes": output_shapes, "gradient": gradient, "random": True}
    type(name, (Op,), {"name": name, "__doc__": doc, "partial_shapes": True, **members, **own})


for _base in (
    RandomUniform,
    RandomNormal,
    RandomExponential,
    RandomGamma,
    RandomPoisson,
    RandomNegativeBinomial,
    RandomGeneralizedNegativeBinomial,
):
    _like(_base)


# ---- parameters as arrays ------------------------------------------------------------------------------------------------


class _Sampled(Op, abstract=True):
    """For every element of the parameters, numbers in the shape `shape`."""

    random = True
    shape = Shape((), min=1, doc="the shape of what is drawn for each element of the parameters")
    dtype = DType(None, doc="the dtype of the numbers, that of the parameters by default")

    def output_shapes(self, p, ins):
        for other in ins[1:]:
            if other != ins[0]:
                raise ShapeError("the parameters must have one shape")
        return [(*ins[0], *p.shape)]

    def infer_types(self, p, ins, outs):
        known = next((t for t in ins if t), None)
        ins[:] = [t or known for t in ins]
        outs[0] = p.dtype or known

    def gradient(self, p, node, grads):
        return [None] * len(node.inputs)


class _Scaled(_Sampled, abstract=True):
    """Standard numbers, moved and stretched by the parameters."""

    def moved(self, standard: Any, *parameters: Value) -> Value:
        raise NotImplementedError(f"{self.name}: moved")

    def expand(self, p, node, train):
        out = node.outputs[0]
        parameters = []
        for value in node.inputs:
            value = value if value.dtype == out.dtype else F.Cast(value, dtype=out.dtype)
            parameters.append(F.Reshape(value, shape=value.shape + (1,) * len(p.shape)) if p.shape else value)
        return [self.moved({"shape": out.shape, "dtype": out.dtype}, *parameters)]


class SampleUniform(_Scaled):
    """Uniform numbers between each low and high."""

    name = "_sample_uniform"
    aliases = ("sample_uniform",)
    inputs = ("low", "high")

    def moved(self, standard, low, high):
        return low + (high - low) * F._random_uniform(**standard)


class SampleNormal(_Scaled):
    """Normal numbers with each mean mu and standard deviation sigma."""

    name = "_sample_normal"
    aliases = ("sample_normal",)
    inputs = ("mu", "sigma")

    def moved(self, standard, mu, sigma):
        return mu + sigma * F._random_normal(**standard)


class SampleExponential(_Scaled):
    """Exponential numbers with each rate lam."""

    name = "_sample_exponential"
    aliases = ("sample_exponential",)
    inputs = ("lam",)

    def moved(self, standard, lam):
        return F._random_exponential(**standard) / lam


class _SampledVariates(_Sampled, abstract=True):
    kernel = ""

    def lower(self, p, node, emit):
        _draw_variates(self.kernel, node, emit, (0.0, 0.0), [*node.inputs, None][:2])


class SampleGamma(_SampledVariates):
    """Gamma numbers with each shape alpha and scale beta."""

    name = "_sample_gamma"
    aliases = ("sample_gamma",)
    inputs = ("alpha", "beta")
    kernel = "random_gamma"


class SamplePoisson(_SampledVariates):
    """Poisson numbers with each mean lam."""

    name = "_sample_poisson"
    aliases = ("sample_poisson",)
    inputs = ("lam",)
    kernel = "random_poisson"


class SampleNegativeBinomial(_SampledVariates):
    """Failures before k successes of probability p, for each k and p."""

    name = "_sample_negative_binomial"
    aliases = ("sample_negative_binomial",)
    inputs = ("k", "p")
    kernel = "random_negative_binomial"


class SampleGeneralizedNegativeBinomial(_SampledVariates):
    """Poisson numbers whose mean varies, with each mean mu and dispersion alpha."""

    name = "_sample_generalized_negative_binomial"
    aliases = ("sample_generalized_negative_binomial",)
    inputs = ("mu", "alpha")
    kernel = "random_generalized_negative_binomial"


# ---- categories and orders -----------------------------------------------------------------------------------------------


class _Categories(Op):
    """`samples` numbers of categories for each row of probabilities."""

    name = "_random_category"
    random = True
    samples = Int(min=1, doc="how many are drawn for each row")

    def output_shapes(self, p, ins):
        return [(ins[0][0], p.samples)]

    def infer_types(self, p, ins, outs):
        outs[0] = "int64"

    def gradient(self, p, node, grads):
        return [None]

    def lower(self, p, node, emit):
        (data,) = node.inputs
        rows, categories = data.shape
        kind = "float64" if data.dtype == "float64" else "float32"
        args = {"rows": rows, "categories": categories, "samples": p.samples, "stream": emit.stream()}
        reads = [emit.random_state(), emit.cast(data, kind)]
        emit("random_category", kind, args, reads, node.outputs, scratch=8 * categories * emit.threads)


class SampleMultinomial(Op):
    """Draws categories: the last axis of `data` holds their probabilities.

    With get_prob the second output is the logarithm of each drawn category's probability, which passes gradients on.
    """

    name = "_sample_multinomial"
    aliases = ("sample_multinomial",)
    random = True
    shape = Shape((), min=1, doc="the shape of what is drawn for each row of probabilities")
    get_prob = Bool(False, doc="whether the logarithms of the probabilities are an output, too")
    dtype = DType("int32", doc="the dtype of the category numbers")

    def output_names(self, p):
        return ("output0", "output1") if p.get_prob else ("output",)

    def output_shapes(self, p, ins):
        return [(*ins[0][:-1], *p.shape) or (1,)] * len(self.output_names(p))

    def infer_types(self, p, ins, outs):
        outs[0] = p.dtype
        outs[1:] = ins * (len(outs) - 1)

    def expand(self, p, node, train):
        (data,) = node.inputs
        shape = node.outputs[0].shape
        categories, samples = data.shape[-1], product(p.shape)
        rows = F.Reshape(data, shape=(product(data.shape[:-1]), categories))
        drawn = F._random_category(rows, samples=samples)
        result = [F.Reshape(F.Cast(drawn, dtype=p.dtype), shape=shape)]
        if p.get_prob:
            column = F.Reshape(rows, shape=(rows.shape[0], 1, categories))
            each = F.broadcast_to(column, shape=(rows.shape[0], samples, categories))
            result.append(F.Reshape(F.log(F.pick(each, drawn, axis=-1)), shape=shape))
        return result


class _Permutation(Op):
    """The numbers 0 ... size - 1 in random order."""

    name = "_random_permutation"
    random = True
    inputs = ()
    size = Int(min=0, doc="how many numbers")

    def output_shapes(self, p, ins):
        return [(p.size,)]

    def infer_types(self, p, ins, outs):
        outs[0] = "int64"

    def gradient(self, p, node, grads):
        return []

    def lower(self, p, node, emit):
        args = {"size": p.size, "stream": emit.stream()}
        emit("random_permutation", "int64", args, [emit.random_state()], node.outputs)


class Shuffle(Op):
    """The array with its rows (along the first axis) in random order."""

    name = "_shuffle"
    aliases = ("shuffle",)
    random = True
    partial_shapes = True

    def output_shapes(self, p, ins):
        return [ins[0]]

    def expand(self, p, node, train):
        (data,) = node.inputs
        return [F.take(data, F._random_permutation(size=data.shape[0]), axis=0)]
