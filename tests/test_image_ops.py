"""mx.nd.image: what is random, what is refused."""

import numpy as np
import pytest

import minimx as mx

IMAGE = np.random.default_rng(0).uniform(20, 200, (4, 6, 3)).astype("float32")


@pytest.fixture(autouse=True)
def seeded():
    mx.random.seed(5)


def many(call, times=200):
    x = mx.nd.array(IMAGE)
    return [call(x).asnumpy() for _ in range(times)]


@pytest.mark.parametrize("name, axis", [("left_right", 1), ("top_bottom", 0)])
def test_flips_with_equal_chances(name, axis):
    results = many(getattr(mx.nd.image, f"random_flip_{name}"))
    turned = [np.array_equal(r, np.flip(IMAGE, axis)) for r in results]
    assert all(t or np.array_equal(r, IMAGE) for t, r in zip(turned, results, strict=True))
    assert 70 < sum(turned) < 130


def test_factors_fill_their_range():
    factors = [float((r / IMAGE).mean()) for r in many(lambda x: mx.nd.image.random_brightness(x, 0.5, 1.5))]
    assert 0.5 <= min(factors) < 0.6 and 1.4 < max(factors) <= 1.5


def test_lighting_moves_all_pixels_alike():
    results = [r - IMAGE for r in many(lambda x: mx.nd.image.random_lighting(x, 0.1), 50)]
    for moved in results:
        np.testing.assert_allclose(moved, np.broadcast_to(moved[:1, :1], moved.shape), atol=1e-4)
    assert len({float(r[0, 0, 0]) for r in results}) == 50


def test_jitter_comes_in_every_order():
    """Brightness before contrast gives another mean than after it."""
    got = many(lambda x: mx.nd.image.random_color_jitter(x, 0.0, 0.0, 0.5, 0.2), 40)
    assert len({r.tobytes() for r in got}) == 40
    alone = many(lambda x: mx.nd.image.random_color_jitter(x, 0.0, 0.5, 0.0, 0.0), 20)
    gray = IMAGE @ np.array([0.299, 0.587, 0.114])
    for r in alone:  # contrast keeps the mean brightness
        np.testing.assert_allclose((r @ np.array([0.299, 0.587, 0.114])).mean(), gray.mean(), rtol=1e-4)


def test_integers_stay_in_their_range():
    x = mx.nd.array([[[250, 3, 100]]], dtype="uint8")
    assert mx.nd.image.random_brightness(x, 1.5, 1.5).asnumpy().tolist() == [[[255, 4, 150]]]
    assert mx.nd.image.to_tensor(x).shape == (3, 1, 1)


def test_symbols():
    x = mx.sym.Variable("x")
    net = mx.sym.image.normalize(mx.sym.image.to_tensor(mx.sym.image.resize(x, size=(4, 2))), mean=0.5, std=0.25)
    executor = net.bind(mx.cpu(), {"x": mx.nd.full((6, 6, 3), 51)})
    np.testing.assert_allclose(executor.forward()[0].asnumpy(), np.full((3, 2, 4), -1.2), rtol=1e-5)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda i, x: i.crop(x, 5, 0, 2, 2), "are not all within 6 x 4"),
        (lambda i, x: i.normalize(x), "1 or 3 channels"),
        (lambda i, x: i.resize(x, ()), r"one number or \(width, height\)"),
        (lambda i, x: i.random_contrast(x, 0.9, 0.5), "must not be below min_factor 0.9"),
        (lambda i, x: i.adjust_lighting(x, (1, 2)), "three numbers"),
        (lambda i, x: i.random_hue(mx.nd.ones((2, 2, 2)), 0.1, 0.2), "1 or 3 channels"),
        (lambda i, x: i.to_tensor(mx.nd.ones((2, 2))), "must be an image"),
    ],
)
def test_what_is_refused(call, words):
    with pytest.raises(mx.MXNetError, match=words):
        call(mx.nd.image, mx.nd.array(IMAGE))
