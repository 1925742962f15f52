"""mx.sym.random: random arrays in a graph. Parameters are numbers, or symbols with one distribution per element."""

from __future__ import annotations

from typing import Any

from .api import symbol_function
from .base import GraphError
from .symbol import Symbol


def uniform(low: Any = 0, high: Any = 1, shape: Any = None, dtype: Any = None, **kwargs: Any) -> Symbol:
    """Uniform numbers from `low` up to, but not including, `high`."""
    return _draw("uniform", {"low": low, "high": high}, shape, dtype, kwargs)


def normal(loc: Any = 0, scale: Any = 1, shape: Any = None, dtype: Any = None, **kwargs: Any) -> Symbol:
    """Normal numbers of mean `loc` and standard deviation `scale`."""
    return _draw("normal", {"loc": loc, "scale": scale}, shape, dtype, kwargs)


def randn(*shape: int, loc: Any = 0, scale: Any = 1, dtype: Any = None, **kwargs: Any) -> Symbol:
    """Normal numbers in the shape given by the arguments."""
    return normal(loc, scale, shape or None, dtype, **kwargs)


def exponential(scale: Any = 1, shape: Any = None, dtype: Any = None, **kwargs: Any) -> Symbol:
    """Exponential numbers of mean `scale`."""
    return _draw("exponential", {"lam": 1.0 / scale}, shape, dtype, kwargs)


def gamma(alpha: Any = 1, beta: Any = 1, shape: Any = None, dtype: Any = None, **kwargs: Any) -> Symbol:
    """Gamma numbers of shape `alpha` and scale `beta`."""
    return _draw("gamma", {"alpha": alpha, "beta": beta}, shape, dtype, kwargs)


def poisson(lam: Any = 1, shape: Any = None, dtype: Any = None, **kwargs: Any) -> Symbol:
    """Poisson numbers of mean `lam`."""
    return _draw("poisson", {"lam": lam}, shape, dtype, kwargs)


def negative_binomial(k: Any = 1, p: Any = 1, shape: Any = None, dtype: Any = None, **kwargs: Any) -> Symbol:
    """Failures before `k` successes of probability `p`."""
    return _draw("negative_binomial", {"k": k, "p": p}, shape, dtype, kwargs)


def generalized_negative_binomial(
    mu: Any = 1, alpha: Any = 1, shape: Any = None, dtype: Any = None, **kwargs: Any
) -> Symbol:
    """Negative binomial numbers of mean `mu` and dispersion `alpha`."""
    return _draw("generalized_negative_binomial", {"mu": mu, "alpha": alpha}, shape, dtype, kwargs)


def randint(low: int, high: int, shape: Any = None, dtype: Any = None, **kwargs: Any) -> Symbol:
    """Integers from `low` up to, but not including, `high`."""
    return _draw("randint", {"low": low, "high": high}, shape, dtype, kwargs)


def multinomial(data: Symbol, shape: Any = None, get_prob: bool = True, dtype: Any = "int32", **kwargs: Any) -> Symbol:
    """Categories drawn with the probabilities in the last axis of `data`."""
    options = _given(shape=shape, get_prob=get_prob, dtype=dtype)
    return symbol_function("_sample_multinomial")(data, **options, **kwargs)


def shuffle(data: Symbol, **kwargs: Any) -> Symbol:
    """The rows of `data` in a random order."""
    return symbol_function("_shuffle")(data, **kwargs)


def _draw(name: str, parameters: dict[str, Any], shape: Any, dtype: Any, kwargs: dict[str, Any]) -> Symbol:
    """`_random_<name>` of numbers, or `_sample_<name>` of symbols."""
    options = {**_given(shape=shape, dtype=dtype), **kwargs}
    symbols = [isinstance(value, Symbol) for value in parameters.values()]
    if all(symbols):
        return symbol_function(f"_sample_{name}")(*parameters.values(), **options)
    if any(symbols):
        raise GraphError(f"{name}: the parameters must be all numbers or all Symbols, got {parameters}")
    return symbol_function(f"_random_{name}")(**parameters, **options)


def _given(**options: Any) -> dict[str, Any]:
    return {key: value for key, value in options.items() if value is not None}


FUNCTIONS = {
    f.__name__: f
    for f in (
        exponential,
        gamma,
        generalized_negative_binomial,
        multinomial,
        negative_binomial,
        normal,
        poisson,
        randint,
        randn,
        shuffle,
        uniform,
    )
}
