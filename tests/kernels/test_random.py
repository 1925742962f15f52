"""The random kernels alone: known words of the generator, distributions, independence of level and thread count."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from minimx import _core

SEED, STEP = 20, 7


def draw(kernel, size, dtype="float32", *, state=(SEED, STEP), stream=3, params=None, **args):
    """Numbers of a kernel; `params` are the two arrays of kernels that take parameters."""
    out = np.full(size, 99, dtype)
    operands = [np.array(state, "uint64"), *(params or ()), out]
    _core.run_kernel(f"random_{kernel}.{dtype}", {"size": size, "stream": stream, **args}, operands)
    return out


def variates(kernel, size, dtype="float32", *, a=0.0, b=0.0, params=(None, None), repeat=1):
    return draw(kernel, size, dtype, params=params, a=a, b=b, repeat=repeat)


def close_to(x, distribution):
    """Kolmogorov and Smirnov cannot tell the numbers from the distribution."""
    assert stats.kstest(x.astype("float64"), distribution.cdf).pvalue > 1e-3


def counts_like(x, distribution):
    """Pearson's chi-square test, on values with at least ten expected occurrences."""
    assert (x == np.floor(x)).all() and (x >= 0).all()
    values = np.arange(int(x.max()) + 1)
    expected = distribution.pmf(values) * x.size
    keep = expected >= 10
    seen = np.bincount(x.astype(int))[keep]
    expected = np.append(expected[keep], x.size - expected[keep].sum())
    seen = np.append(seen, x.size - seen.sum())
    if expected[-1] < 1:
        expected, seen = expected[:-1] * (seen[:-1].sum() / expected[:-1].sum()), seen[:-1]
    assert stats.chisquare(seen, expected, sum_check=False).pvalue > 1e-3


def test_known_words():
    """The published answers of Philox4x32-10 with all zeros as counter and key."""
    words = [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    x = draw("uniform", 512, state=(0, 0), stream=0, a=0.0, b=1.0)
    np.testing.assert_array_equal(x[::128], np.array([w >> 8 for w in words]) * 2.0**-24)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_continuous(dtype):
    n = 100_001
    x = draw("uniform", n, dtype, a=-2.0, b=3.0)
    assert x.min() >= -2 and x.max() < 3
    close_to(x, stats.uniform(-2, 5))
    close_to(draw("normal", n, dtype, a=1.0, b=2.0), stats.norm(1, 2))
    close_to(draw("exponential", n, dtype, a=0.5, b=0.0), stats.expon(scale=0.5))
    for shape in (0.3, 1.0, 2.5, 40.0):
        close_to(variates("gamma", 20_000, dtype, a=shape, b=1.5), stats.gamma(shape, scale=1.5))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_counts(dtype):
    n = 20_000
    for mean in (0.3, 4.0, 9.9, 10.1, 50.0, 900.0):
        counts_like(variates("poisson", n, dtype, a=mean), stats.poisson(mean))
    for k, p in ((1, 0.3), (5, 0.6)):
        counts_like(variates("negative_binomial", n, dtype, a=float(k), b=p), stats.nbinom(k, p))
    for mu, alpha in ((2.0, 0.3), (10.0, 1.5)):
        x = variates("generalized_negative_binomial", n, dtype, a=mu, b=alpha)
        counts_like(x, stats.nbinom(1 / alpha, 1 / (1 + alpha * mu)))
    counts_like(variates("generalized_negative_binomial", n, dtype, a=3.0, b=0.0), stats.poisson(3))


def test_degenerate_parameters():
    assert (variates("poisson", 9, a=0.0) == 0).all()
    assert (variates("negative_binomial", 9, a=3.0, b=1.0) == 0).all()
    assert np.isnan(variates("gamma", 9, a=-1.0, b=1.0)).all()
    assert np.isinf(variates("gamma", 9, a=np.inf, b=1.0)).all()
    assert (draw("uniform", 600, a=2.0, b=2.0) == 2).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_mask(dtype):
    for keep in (0.0, 0.1, 0.75, 1.0):
        x = draw("mask", 100_000, dtype, a=keep, b=0.0)
        kept = x != 0
        assert abs(kept.mean() - keep) <= 4 * np.sqrt(keep * (1 - keep) / x.size)
        np.testing.assert_allclose(x[kept], 1 / max(keep, 1e-9), rtol=1e-6)


def test_integers():
    x = draw("integer", 60_000, "int32", low=-3, high=4)
    counts_like(x + 3.0, stats.randint(0, 7))
    low, high = -(2**62), 2**62
    x = draw("integer", 20_000, "int64", low=low, high=high)
    close_to(x, stats.uniform(low, high - low))


def test_parameters_as_arrays():
    means = np.array([0, 1, 30], "float32")
    x = variates("poisson", 30_000, params=(means, None), repeat=10_000)
    for i, mean in enumerate(means):
        part = x[i * 10_000 : (i + 1) * 10_000]
        assert abs(part.mean() - mean) <= 4 * np.sqrt(mean / 10_000)
    shapes, scales = np.array([0.5, 7], "float32"), np.array([1, 3], "float32")
    x = variates("gamma", 20_000, params=(shapes, scales), repeat=10_000)
    close_to(x[:10_000], stats.gamma(0.5))
    close_to(x[10_000:], stats.gamma(7, scale=3))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_categories(dtype):
    p = np.array([[0.1, 0, 0.6, 0.3], [1, 0, 0, 0], [0, 0, 0, 5]], dtype)  # the last row is not normalised
    out = np.full((3, 20_000), -1, "int64")
    scratch = np.empty(4 * _core.thread_count())
    args = {"rows": 3, "categories": 4, "samples": 20_000, "stream": 1}
    _core.run_kernel(f"random_category.{dtype}", args, [np.array([SEED, STEP], "uint64"), p, out, scratch])
    seen = np.bincount(out[0], minlength=4)
    assert seen[1] == 0
    assert stats.chisquare(seen[[0, 2, 3]], np.array([0.1, 0.6, 0.3]) * 20_000).pvalue > 1e-3
    assert (out[1] == 0).all() and (out[2] == 3).all()


def permutation(size, stream=1):
    out = np.empty(size, "int64")
    args = {"size": size, "stream": stream}
    _core.run_kernel("random_permutation.int64", args, [np.array([SEED, STEP], "uint64"), out])
    return out


def test_permutations():
    for size in (1, 2, 255, 256, 257, 5000):
        np.testing.assert_array_equal(np.sort(permutation(size)), np.arange(size))
    orders = [tuple(permutation(3, stream)) for stream in range(6000)]
    seen = [orders.count(order) for order in sorted(set(orders))]
    assert len(seen) == 6 and stats.chisquare(seen).pvalue > 1e-3


def test_numbers_depend_on_seed_step_stream_and_place_alone():
    base = draw("normal", 70_000, a=0.0, b=1.0)
    np.testing.assert_array_equal(draw("normal", 1001, a=0.0, b=1.0), base[:1001])
    for other in (
        {"state": (SEED + 1, STEP)},
        {"state": (SEED, STEP + 1)},
        {"stream": 4},
        {"state": (SEED, STEP + 2**32)},
    ):
        changed = draw("normal", 70_000, a=0.0, b=1.0, **other)
        assert abs(np.corrcoef(base, changed)[0, 1]) < 0.02
    assert abs(np.corrcoef(base[1:], base[:-1])[0, 1]) < 0.02
    assert len(np.unique(draw("uniform", 10**6, "float64", a=0.0, b=1.0))) == 10**6


def fingerprint():
    """Of many numbers of every kernel."""
    digest = hashlib.sha256()
    for dtype in ("float32", "float64"):
        for kernel, a, b in (
            ("uniform", -1.0, 0.7),
            ("normal", 0.3, 1.7),
            ("exponential", 0.7, 0.0),
            ("mask", 0.3, 0.0),
        ):
            digest.update(draw(kernel, 150_001, dtype, a=a, b=b).tobytes())
        for kernel, a, b in (
            ("gamma", 0.7, 2.0),
            ("poisson", 3.0, 0.0),
            ("poisson", 30.0, 0.0),
            ("negative_binomial", 3.0, 0.4),
            ("generalized_negative_binomial", 3.0, 0.4),
        ):
            digest.update(variates(kernel, 5_001, dtype, a=a, b=b).tobytes())
    digest.update(draw("integer", 150_001, "int64", low=-5, high=10**15).tobytes())
    digest.update(permutation(1000).tobytes())
    return digest.hexdigest()


@pytest.mark.parametrize(
    "setting", [{"MINIMX_ISA": "baseline"}, {"MINIMX_NUM_THREADS": "1"}, {"MINIMX_NUM_THREADS": "5"}]
)
def test_same_numbers_at_every_level_and_thread_count(setting):
    done = subprocess.run(
        [sys.executable, __file__], env={**os.environ, **setting}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == fingerprint()


if __name__ == "__main__":
    print(fingerprint())
