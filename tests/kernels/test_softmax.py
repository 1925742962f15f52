"""The softmax kernels alone, against NumPy."""

import numpy as np
import pytest

from minimx import _core

SHAPES = [
    (1, 1, 1),
    (5, 1, 1),
    (3, 2, 1),
    (7, 10, 1),
    (37, 10, 1),
    (16, 1, 1),
    (3, 33, 1),
    (64, 1000, 1),
    (1, 20011, 1),
    (2, 3, 2),
    (3, 10, 7),
    (2, 21, 600),
    (1, 4000, 19),
    (0, 3, 1),
    (2, 3, 0),
]
DTYPES = ["float32", "float64"]


def close(got, exact, n):
    eps = np.finfo(got.dtype).eps
    np.testing.assert_allclose(got, exact, rtol=(16 + 2 * n**0.5) * eps, atol=(16 + n**0.5) * eps / max(1, n) ** 0.5)


def run(kernel, x, *others, scale=1.0):
    outer, n, inner = x.shape
    out = np.full(x.shape, 77, x.dtype)
    args = {"outer": outer, "n": n, "inner": inner, "scale": scale}
    _core.run_kernel(f"{kernel}.{x.dtype.name}", args, [x, *others, out])
    return out


def softmax_twin(x):
    e = np.exp(x - x.max(axis=1, keepdims=True, initial=-np.inf))
    return e / e.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_softmax(shape, dtype):
    x = np.random.default_rng(0).normal(scale=3, size=shape).astype(dtype)
    exact = x.astype(np.float64)
    for scale in (1.0, 0.5, -2.0):
        twin = softmax_twin(exact * scale)
        close(run("softmax", x, None, scale=scale), twin, shape[1])
        got = run("log_softmax", x, None, scale=scale)
        np.testing.assert_allclose(got, np.log(twin), rtol=40 * np.finfo(dtype).eps, atol=40 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(3, 70, 1), (64, 1000, 1), (2, 40, 9)])
def test_numbers_far_apart(shape, dtype):
    """Exponentials that are subnormal or nothing, and -inf, among others; a NaN spoils its own row alone."""
    x = np.random.default_rng(0).normal(scale=60, size=shape).astype(dtype)
    x[0, ::7] = -np.inf
    close(run("softmax", x, None), softmax_twin(x.astype(np.float64)), shape[1])
    x[1, 5, 0] = np.nan
    got = run("softmax", x, None)
    assert np.isnan(got[1, :, 0]).all()
    np.testing.assert_array_equal(np.isnan(got).sum(), shape[1])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_lengths(shape, dtype):
    generator = np.random.default_rng(1)
    x = generator.normal(scale=3, size=shape).astype(dtype)
    length = generator.integers(-1, shape[1] + 2, (shape[0], shape[2]))
    got = run("softmax", x, length)
    exact = np.zeros(shape)
    for o in range(shape[0]):
        for c in range(shape[2]):
            n = np.clip(length[o, c], 0, shape[1])
            if n:
                exact[o : o + 1, :n, c] = softmax_twin(x[o : o + 1, :n, c].astype(np.float64))
    close(got, exact, shape[1])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_gradients(shape, dtype):
    generator = np.random.default_rng(2)
    y = softmax_twin(generator.normal(size=shape)).astype(dtype)
    dy = generator.normal(size=shape).astype(dtype)
    y64, dy64 = y.astype(np.float64), dy.astype(np.float64)
    exact = 0.5 * y64 * (dy64 - (dy64 * y64).sum(axis=1, keepdims=True))
    close(run("softmax_grad", dy, y, scale=0.5), exact, shape[1])
    log_y = np.log(y)
    exact = -2 * (dy64 - np.exp(log_y.astype(np.float64)) * dy64.sum(axis=1, keepdims=True))
    size = np.abs(dy64).sum(axis=1).max(initial=0)  # what cancels in the sum
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(
        run("log_softmax_grad", dy, log_y, scale=-2.0), exact, rtol=16 * eps, atol=2 * eps * size
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(4, 9, 1), (37, 4, 1), (4, 9, 5), (3, 100, 1), (3, 100, 33)])
def test_large_numbers_infinities_and_nan(shape, dtype):
    x = np.random.default_rng(3).normal(size=shape).astype(dtype)
    huge = x + np.dtype(dtype).type(1e4)
    close(run("softmax", huge, None), softmax_twin(huge.astype(np.float64)), shape[1])
    x[0, 2] = -np.inf
    x[1, 3] = np.nan
    x[2] = -np.inf
    with np.errstate(invalid="ignore", divide="ignore"):
        exact = softmax_twin(x.astype(np.float64))
        close(run("softmax", x, None), exact, shape[1])
        assert (run("softmax", x, None)[0, 2] == 0).all()
        np.testing.assert_allclose(run("log_softmax", x, None), np.log(exact), rtol=1e-5)


def loss_twin(p, label, head, scale, alpha, use_ignore, ignore_label, per_valid):
    n = p.shape[1]
    columns = np.arange(n)[None, :, None] == label[:, None, :]
    target = np.where(columns, 1 - alpha, alpha / max(1, n - 1) if n > 1 else 0)
    valid = max(1, (label != ignore_label).sum()) if per_valid else 1
    dx = (p - target) * scale / valid
    if use_ignore:
        dx = np.where(label[:, None, :] == ignore_label, 0, dx)
    return dx if head is None else dx * head


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_loss_gradient(shape, dtype):
    generator = np.random.default_rng(4)
    outer, n, inner = shape
    p = softmax_twin(generator.normal(size=shape)).astype(dtype)
    label = generator.integers(-2, n + 1, (outer, inner))
    head = generator.normal(size=shape).astype(dtype)
    for alpha in (0.0, 0.1):
        for use_ignore, ignore_label, per_valid in [(0, -1, 0), (1, -1, 0), (1, 0, 1), (0, 1, 1)]:
            for top in (None, head):
                out = np.full(shape, 77, dtype)
                args = {"outer": outer, "n": n, "inner": inner, "scale": 0.3, "smooth_alpha": alpha}
                args |= {"use_ignore": use_ignore, "ignore_label": ignore_label, "per_valid": per_valid}
                _core.run_kernel(f"softmax_output_grad.{dtype}", args, [p, label, top, out])
                exact = loss_twin(p.astype(np.float64), label, top, 0.3, alpha, use_ignore, ignore_label, per_valid)
                close(out, exact, 1)


def test_threads_do_not_change_the_result():
    x = np.random.default_rng(5).normal(size=(50, 999, 1)).astype(np.float32)
    threads = _core.thread_count()
    results = []
    for count in (1, 2, 3):
        _core.set_thread_count(count)
        results.append((run("softmax", x, None), run("log_softmax", x.reshape(2, 25, 999), None)))
    _core.set_thread_count(threads)
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)
