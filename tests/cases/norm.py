"""Batch normalisation."""

import numpy as np

from . import Case, real


def column(v, x, axis):
    shape = [1] * x.ndim
    shape[axis] = -1
    return v.reshape(shape)


def others(x, axis):
    return tuple(a for a in range(x.ndim) if a != axis % x.ndim)


def batch_norm(eps=1e-3, fix_gamma=True, axis=1, moving=False, full=False):
    def twin(x, gamma, beta, moving_mean, moving_var):
        mean = moving_mean if moving else x.mean(others(x, axis))
        inverse = 1 / np.sqrt((moving_var if moving else x.var(others(x, axis))) + eps)
        scale = inverse * (1 if fix_gamma else gamma)
        y = (x - column(mean, x, axis)) * column(scale, x, axis) + column(beta, x, axis)
        return (y, mean, inverse) if full else y

    return twin


def moved(momentum=0.9, axis=1):
    def states(x, gamma, beta, moving_mean, moving_var):
        mean, var = x.mean(others(x, axis)), x.var(others(x, axis))
        return [moving_mean * momentum + mean * (1 - momentum), moving_var * momentum + var * (1 - momentum)]

    return states


def gradient(dy, x, gamma, mean, inverse):
    xhat = (x - column(mean, x, 1)) * column(inverse, x, 1)
    sums, dots = dy.sum(others(x, 1)), (dy * xhat).sum(others(x, 1))
    count = x.size // x.shape[1]
    rest = dy - column(sums, x, 1) / count - xhat * column(dots, x, 1) / count
    return rest * column(gamma * inverse, x, 1), dots, sums


def case(inputs, params, twin, grads, **options):
    """In float16 the parameters and statistics would be float32: another mixture than these tests make."""
    return Case("BatchNorm", inputs, params, twin, grads, half=False, **options)


def unmoved(x, gamma, beta, moving_mean, moving_var):
    return [moving_mean, moving_var]


def inputs(*shape, axis=1):
    channels = (shape[axis],)
    return [
        real(*shape),
        real(*channels, low=0.5, high=2.0),
        real(*channels),
        real(*channels),
        real(*channels, low=0.5, high=2.0),
    ]


OWN = {"fix_gamma": False}
WRT = ("data", "gamma", "beta")


def rectified(twin):
    def both(*inputs):
        y, *rest = twin(*inputs) if isinstance(twin(*inputs), tuple) else (twin(*inputs),)
        return (np.maximum(y, 0), *rest) if rest else np.maximum(y, 0)

    return both


def built(op, params, twin, grads=WRT, shape=(4, 3, 7), axis=1, **options):
    return Case(op, inputs(*shape, axis=axis), params, twin, grads, half=False, length=60, **options)


CASES = [
    built("_contrib_SyncBatchNorm", OWN | {"key": "a"}, batch_norm(fix_gamma=False), train=True, states=moved()),
    built(
        "_contrib_SyncBatchNorm",
        {"key": "b", "eps": 0.02, "momentum": 0.5},
        batch_norm(0.02),
        ("data", "beta"),
        train=True,
        states=moved(0.5),
    ),
    built(
        "_contrib_SyncBatchNorm",
        {"key": "b", "use_global_stats": True, "output_mean_var": True},
        batch_norm(moving=True, full=True),
        (),
        states=unmoved,
    ),
    built("_contrib_BatchNormWithReLU", OWN, rectified(batch_norm(fix_gamma=False)), train=True, states=moved()),
    built(
        "_contrib_BatchNormWithReLU",
        {"eps": 0.02, "momentum": 0.5, "axis": 2, "cudnn_off": True},
        rectified(batch_norm(0.02, axis=2)),
        ("data", "beta"),
        axis=2,
        train=True,
        states=moved(0.5, 2),
    ),
    built(
        "_contrib_BatchNormWithReLU",
        {"use_global_stats": True, "output_mean_var": True, "min_calib_range": 0.0, "max_calib_range": 1.0},
        rectified(batch_norm(moving=True, full=True)),
        (),
        states=unmoved,
    ),
    case(inputs(4, 3, 5, 6), OWN, batch_norm(fix_gamma=False), WRT, train=True, states=moved(), length=120),
    case(
        inputs(6, 5),
        OWN | {"eps": 2e-2, "momentum": 0.6, "cudnn_off": True},
        batch_norm(2e-2, False),
        WRT,
        train=True,
        states=moved(0.6),
        length=60,
    ),
    case(
        inputs(4, 3, 7, axis=-1),
        OWN | {"axis": -1, "min_calib_range": 0.0, "max_calib_range": 1.0},
        batch_norm(fix_gamma=False, axis=-1),
        WRT,
        train=True,
        states=moved(axis=-1),
        length=60,
    ),
    case(inputs(4, 3, 7), {}, batch_norm(), ("data", "beta"), train=True, states=moved(), length=60),
    case(inputs(4, 3, 7), OWN, batch_norm(fix_gamma=False, moving=True), (), states=moved()),
    case(inputs(4, 3, 7), {}, batch_norm(moving=True), (), states=moved()),
    case(
        inputs(4, 3, 7),
        OWN | {"use_global_stats": True, "output_mean_var": True},
        batch_norm(fix_gamma=False, moving=True, full=True),
        ("beta",),
        gradient=lambda x, gamma, beta, mean, var, dy, *_: [dy.sum((0, 2))],
        train=True,
        states=unmoved,
        length=60,
    ),
    Case(
        "_batch_norm_gradient",
        [real(4, 3, 5), real(4, 3, 5), real(3), real(3), real(3, low=0.5, high=2.0)],
        OWN | {"eps": 1e-5},
        gradient,
        (),
        length=60,
    ),
    Case(
        "_batch_norm_gradient",
        [real(4, 5, 3), real(4, 5, 3), real(3), real(3), real(3, low=0.5, high=2.0)],
        {"axis": 2},
        lambda dy, x, gamma, *s: tuple(
            np.moveaxis(v, 1, -1) if v.ndim > 1 else v
            for v in (lambda r: (r[0], 0 * r[1], r[2]))(
                gradient(np.moveaxis(dy, -1, 1), np.moveaxis(x, -1, 1), np.ones_like(gamma), *s)
            )
        ),
        (),
        length=60,
    ),
]
