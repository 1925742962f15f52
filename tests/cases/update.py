"""Cases of optimizer updates: see tests/cases/__init__.py. What they do to states, test_update.py checks."""

import numpy as np

from . import Case, real

SHAPE = (3, 5)
OPTIONS = ({"lr": 0.1}, {"lr": 0.5, "wd": 0.01, "rescale_grad": 0.25, "clip_gradient": 0.3, "lazy_update": False})


def step(weight, grad, lr, wd=0.0, rescale_grad=1.0, clip_gradient=-1.0, lazy_update=True):
    grad = grad * rescale_grad
    if clip_gradient >= 0:
        grad = np.clip(grad, -clip_gradient, clip_gradient)
    return lr * (grad + wd * weight)


def plain(options):
    return lambda weight, grad, *_: weight - step(weight, grad, **options)


def with_momentum(momentum, options):
    return lambda weight, grad, mom, *_: weight + momentum * mom - step(weight, grad, **options)


def mixed(twin, states):
    """The weight of half precision does not matter: its float32 copy, the last input, is what learns."""
    return lambda weight, grad, *rest: twin(rest[-1], grad, *rest[:states])


def cases():
    for options in OPTIONS:
        yield Case("sgd_update", [real(*SHAPE)] * 2, options, plain(options), grads=())
        half = [real(*SHAPE, dtype="float16")] * 2
        full = real(*SHAPE, dtype="float32")
        yield Case("mp_sgd_update", [*half, full], options, mixed(plain(options), 0), grads=(), half=False)
        for momentum in (0.0, 0.9):
            params = {**options, "momentum": momentum}
            twin = with_momentum(momentum, options)
            yield Case("sgd_mom_update", [real(*SHAPE)] * 3, params, twin, grads=())
            yield Case("mp_sgd_mom_update", [*half, full, full], params, mixed(twin, 1), grads=(), half=False)


CASES = list(cases())
