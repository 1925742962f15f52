"""mx.random: the seed, and random arrays. Parameters may be numbers, or arrays with one distribution per element."""

from __future__ import annotations

import random as python_random
from typing import Any

import numpy as np

from . import _core
from .base import MXNetError
from .context import Context, current_context
from .eager import call
from .ndarray.ndarray import NDArray
from .op import find

__all__ = [
    "exponential",
    "gamma",
    "generalized_negative_binomial",
    "get_state",
    "multinomial",
    "negative_binomial",
    "normal",
    "poisson",
    "randint",
    "randn",
    "seed",
    "set_state",
    "shuffle",
    "uniform",
]


def seed(seed_state: int, ctx: Context | str = "all") -> None:
    """Starts the random numbers again. There is one generator for all devices, so that a model gives the same anywhere."""
    if isinstance(seed_state, bool) or not hasattr(seed_state, "__index__"):
        raise ValueError(f"seed: the seed must be an integer, got {seed_state!r}")
    if ctx != "all":
        Context(ctx)
    _core.seed(int(seed_state) & 0xFFFFFFFFFFFFFFFF)
    global _shuffler
    _shuffler = np.random.RandomState(int(seed_state) & 0xFFFFFFFF)
    # A twin of NumPy's global generator, which goes on where that was: a generator that np.random.seed has set knows no
    # seed sequence, so that `shuffler` sees whether this happens later.
    twin = np.random.MT19937()
    if isinstance(np.random.get_bit_generator(), np.random.MT19937):
        twin.state = np.random.get_bit_generator().state
        np.random.set_bit_generator(twin)


_shuffler: Any = None


def shuffler() -> Any:
    """What iterators shuffle by: NumPy's global generator, as in MXNet, unless `seed` was called later than its seed."""
    by_numpy = getattr(np.random.get_bit_generator(), "seed_seq", None) is None
    return np.random if by_numpy or _shuffler is None else _shuffler


def get_state() -> dict[str, Any]:
    """Where all random numbers are: those of programs, of NumPy, of iterators and of Python."""
    return {
        "programs": _core.random_state(),
        "numpy": np.random.get_state(legacy=False),
        "numpy_decides": shuffler() is np.random,
        "shuffler": None if _shuffler is None else _shuffler.get_state(legacy=False),
        "python": python_random.getstate(),
    }


def set_state(state: dict[str, Any]) -> None:
    """Goes on from where `get_state` was called."""
    global _shuffler
    _core.set_random_state(*state["programs"])
    if state["shuffler"] is not None:
        _shuffler = np.random.RandomState()
        _shuffler.set_state(state["shuffler"])
    if state["numpy_decides"]:
        np.random.seed(0)  # a generator that was seeded is what `shuffler` goes by
    else:
        np.random.set_bit_generator(np.random.MT19937())
    np.random.set_state(state["numpy"])
    python_random.setstate(state["python"])


def _draw(name: str, parameters: dict[str, Any], shape: Any, dtype: Any, ctx: Any, out: Any, **given: Any) -> NDArray:
    """`_random_<name>` of numbers or `_sample_<name>` of arrays; `parameters` has the latter's names in order."""
    if given:
        raise TypeError(f"{name}() has no argument {next(iter(given))!r}")
    arrays = [isinstance(v, NDArray) for v in parameters.values()]
    options = {k: v for k, v in (("shape", shape), ("dtype", dtype)) if v is not None}
    if all(arrays):
        return call(find(f"_sample_{name}"), tuple(parameters.values()), {**options, "out": out})
    if any(arrays):
        raise MXNetError(f"{name}: the parameters must be all numbers or all NDArrays")
    if out is None:
        options.setdefault("shape", (1,))
    op = find(f"_random_{name}")
    numbers = dict(zip((n for n in op.params if n not in ("shape", "ctx", "dtype")), parameters.values(), strict=True))
    return call(op, (), {**numbers, **options, "ctx": ctx or _home(out), "out": out})


def _home(out: Any) -> Context:
    """Where numbers are drawn: where they will be."""
    first = out[0] if isinstance(out, (list, tuple)) and out else out
    return first.context if isinstance(first, NDArray) else current_context()


def uniform(low=0, high=1, shape=None, dtype=None, ctx=None, out=None, **kwargs) -> NDArray:
    """Uniform numbers from `low` up to, but not including, `high`."""
    return _draw("uniform", {"low": low, "high": high}, shape, dtype, ctx, out, **kwargs)


def normal(loc=0, scale=1, shape=None, dtype=None, ctx=None, out=None, **kwargs) -> NDArray:
    """Normal numbers of mean `loc` and standard deviation `scale`."""
    return _draw("normal", {"mu": loc, "sigma": scale}, shape, dtype, ctx, out, **kwargs)


def randn(*shape: int, loc=0, scale=1, dtype=None, ctx=None, out=None) -> NDArray:
    """Normal numbers in the shape given by the arguments."""
    return normal(loc, scale, shape or None, dtype, ctx, out)


def exponential(scale=1, shape=None, dtype=None, ctx=None, out=None, **kwargs) -> NDArray:
    """Exponential numbers of mean `scale`."""
    return _draw("exponential", {"lam": 1.0 / scale}, shape, dtype, ctx, out, **kwargs)


def gamma(alpha=1, beta=1, shape=None, dtype=None, ctx=None, out=None, **kwargs) -> NDArray:
    """Gamma numbers of shape `alpha` and scale `beta`."""
    return _draw("gamma", {"alpha": alpha, "beta": beta}, shape, dtype, ctx, out, **kwargs)


def poisson(lam=1, shape=None, dtype=None, ctx=None, out=None, **kwargs) -> NDArray:
    """Poisson numbers of mean `lam`."""
    return _draw("poisson", {"lam": lam}, shape, dtype, ctx, out, **kwargs)


def negative_binomial(k=1, p=1, shape=None, dtype=None, ctx=None, out=None, **kwargs) -> NDArray:
    """Failures before `k` successes of probability `p`."""
    return _draw("negative_binomial", {"k": k, "p": p}, shape, dtype, ctx, out, **kwargs)


def generalized_negative_binomial(mu=1, alpha=1, shape=None, dtype=None, ctx=None, out=None, **kwargs) -> NDArray:
    """Negative binomial numbers of mean `mu` and dispersion `alpha`."""
    parameters = {"mu": mu, "alpha": alpha}
    return _draw("generalized_negative_binomial", parameters, shape, dtype, ctx, out, **kwargs)


def randint(low, high, shape=None, dtype=None, ctx=None, out=None, **kwargs) -> NDArray:
    """Integers from `low` up to, but not including, `high`."""
    return _draw("randint", {"low": low, "high": high}, shape, dtype, ctx, out, **kwargs)


def multinomial(data, shape=None, get_prob=False, out=None, dtype="int32", **kwargs) -> Any:
    """Categories drawn with the probabilities in the last axis of `data`."""
    given = {"get_prob": get_prob, "dtype": dtype, **kwargs}
    return call(
        find("_sample_multinomial"), (data,), {**given, **({} if shape is None else {"shape": shape}), "out": out}
    )


def shuffle(data, **kwargs) -> NDArray:
    """The rows of `data` in a random order."""
    return call(find("_shuffle"), (data,), kwargs)
