"""Random shapes and arrays, and tests of random generators."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..base import MXNetError
from ..context import Context, current_context
from ..ndarray import NDArray, array
from .compare import as_numpy, default_dtype

# ---- arrays and shapes -----------------------------------------------------------------------------------------------


def random_arrays(*shapes: tuple[int, ...]) -> Any:
    """NumPy arrays of standard normal numbers in the default dtype; one alone when one shape is given."""
    arrays = [np.asarray(np.random.randn(*s), dtype=default_dtype()) for s in shapes]
    return arrays[0] if len(arrays) == 1 else arrays


def random_uniform_arrays(*shapes: tuple[int, ...], low: float = 0.0, high: float = 1.0, dtype: Any = None) -> list:
    """NumPy arrays of uniform numbers."""
    return [np.random.uniform(low, high, s).astype(dtype or default_dtype()) for s in shapes]


def random_sample(population: Sequence[Any], k: int) -> list[Any]:
    """`k` different elements in the order of the population."""
    return [population[i] for i in sorted(random.sample(range(len(population)), k))]


def rand_ndarray(
    shape: tuple[int, ...],
    stype: str = "default",
    density: float | None = None,
    dtype: Any = None,
    modifier_func: Callable[[float], float] | None = None,
    shuffle_csr_indices: bool = False,
    distribution: str | None = None,
    ctx: Context | None = None,
) -> NDArray:
    """An array of uniform numbers between -1 and 1; `modifier_func` is applied to each."""
    if stype != "default":
        raise no_sparse("rand_ndarray", stype)
    values = np.random.uniform(-1.0, 1.0, shape)
    if modifier_func is not None:
        values = np.vectorize(modifier_func, otypes=[np.float64])(values)
    return array(values, ctx or current_context(), dtype or default_dtype())


def rand_sparse_ndarray(shape: tuple[int, ...], stype: str, **options: Any) -> Any:
    raise no_sparse("rand_sparse_ndarray", stype)


def no_sparse(name: str, stype: str) -> MXNetError:
    return MXNetError(f"{name}: stype={stype!r} is not offered, minimx has dense arrays only")


def rand_shape_2d(dim0: int = 10, dim1: int = 10, allow_zero_size: bool = False) -> tuple[int, int]:
    low = 0 if allow_zero_size else 1
    return random.randint(low, dim0), random.randint(low, dim1)


def rand_shape_3d(
    dim0: int = 10, dim1: int = 10, dim2: int = 10, allow_zero_size: bool = False
) -> tuple[int, int, int]:
    low = 0 if allow_zero_size else 1
    return random.randint(low, dim0), random.randint(low, dim1), random.randint(low, dim2)


def rand_shape_nd(num_dim: int, dim: int = 10, allow_zero_size: bool = False) -> tuple[int, ...]:
    """A shape of `num_dim` dimensions of at most `dim`."""
    return tuple(random.randint(0 if allow_zero_size else 1, dim) for _ in range(num_dim))


def rand_coord_2d(x_low: int, x_high: int, y_low: int, y_high: int) -> tuple[int, int]:
    """A point with x_low <= x < x_high and y_low <= y < y_high."""
    return random.randrange(x_low, x_high), random.randrange(y_low, y_high)


# ---- random generators -----------------------------------------------------------------------------------------------


def mean_check(generator: Callable[[int], Any], mu: float, sigma: float, nsamples: int = 1000000) -> bool:
    """Whether the mean of a generator's numbers is `mu` within three standard errors."""
    mean = np.mean(as_numpy(generator(nsamples)), dtype=np.float64)
    return abs(mean - mu) < 3 * sigma / np.sqrt(nsamples)


def var_check(generator: Callable[[int], Any], sigma: float, nsamples: int = 1000000) -> bool:
    """Whether the variance of a generator's (roughly normal) numbers is sigma² within three standard errors."""
    variance = np.var(as_numpy(generator(nsamples)), dtype=np.float64, ddof=1)
    return abs(variance - sigma**2) < 3 * np.sqrt(2 * sigma**4 / (nsamples - 1))


def gen_buckets_probs_with_ppf(ppf: Callable[[float], float], nbuckets: int) -> tuple[list, list[float]]:
    """Equally probable buckets of a distribution, from its quantile function."""
    edges = [ppf(i / nbuckets) for i in range(nbuckets + 1)]
    return list(zip(edges[:-1], edges[1:], strict=True)), [1 / nbuckets] * nbuckets


def chi_square_check(
    generator: Callable[[int], Any], buckets: Sequence[Any], probs: Sequence[float], nsamples: int = 1000000
) -> tuple[float, np.ndarray, np.ndarray]:
    """Pearson's test: the p-value, how many numbers fell into each bucket, and how many should have.

    Buckets are intervals (low, high) or single values.
    """
    from scipy import stats

    samples = as_numpy(generator(nsamples)).ravel()
    if isinstance(buckets[0], (tuple, list)):
        seen = np.array([np.sum((samples >= low) & (samples < high)) for low, high in buckets])
    else:
        seen = np.array([np.sum(samples == value) for value in buckets])
    wanted = np.asarray(probs, np.float64) * len(samples)
    statistic = np.sum((seen - wanted) ** 2 / wanted)
    return float(stats.chi2.sf(statistic, len(buckets) - 1)), seen, wanted


def verify_generator(
    generator: Callable[[int], Any],
    buckets: Sequence[Any],
    probs: Sequence[float],
    nsamples: int = 1000000,
    nrepeat: int = 5,
    success_rate: float = 0.2,
    alpha: float = 0.05,
) -> list[float]:
    """Repeats chi_square_check; raises an AssertionError when too few of the p-values exceed `alpha`."""
    found = [chi_square_check(generator, buckets, probs, nsamples)[0] for _ in range(nrepeat)]
    good = sum(p > alpha for p in found)
    if good < nrepeat * success_rate:
        raise AssertionError(f"the generator fits the distribution in {good} of {nrepeat} tests; p-values: {found}")
    return found
