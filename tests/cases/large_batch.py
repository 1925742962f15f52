"""Cases of what large batches and low precision need: see tests/cases/__init__.py. The twins return states, too."""

import numpy as np

from . import Case, real
from .update import COPY, HALF, SHAPE, clip

ANY, POSITIVE, ONE = real(*SHAPE), real(*SHAPE, low=0.5), real(1, low=0.5)
ONE32 = real(1, low=0.5, dtype="float32")
POSITIVE32 = real(*SHAPE, low=0.5, dtype="float32")


def averages(grad, mean, var, beta1=0.9, beta2=0.999, **_):
    return beta1 * mean + (1 - beta1) * grad, beta2 * var + (1 - beta2) * grad**2


def lamb1(
    weight, grad, mean, var, wd, t, epsilon=1e-6, bias_correction=True, rescale_grad=1.0, clip_gradient=-1.0, **p
):
    mean, var = averages(clip(grad * rescale_grad, clip_gradient), mean, var, **p)
    m, v = mean, var
    if bias_correction:
        m, v = mean / (1 - p.get("beta1", 0.9) ** t), var / (1 - p.get("beta2", 0.999) ** t)
    return m / (np.sqrt(v) + epsilon) + wd * weight, mean, var


def lamb2(weight, g, r1, r2, lr, lower_bound=-1.0, upper_bound=-1.0):
    if lower_bound >= 0:
        r1 = np.maximum(r1, lower_bound)
    if upper_bound >= 0:
        r1 = np.minimum(r1, upper_bound)
    ratio = np.where((r1 == 0) | (r2 == 0), 1, r1 / np.where(r2 == 0, 1, r2))
    return (weight - lr * ratio * g,)


def adamw(weight, grad, mean, var, rescale, lr, eta, wd=0.0, epsilon=1e-8, clip_gradient=-1.0, **p):
    if rescale[0] == 0 or not np.isfinite(rescale[0]):
        return weight, mean, var
    mean, var = averages(clip(grad * rescale, clip_gradient), mean, var, **p)
    return weight - eta * (lr * mean / (np.sqrt(var) + epsilon) + wd * weight), mean, var


def copied(step, place):
    """The form with a float32 copy of the weight at `place` of the inputs, which is what learns."""

    def twin(*arrays, **p):
        rest = [a for i, a in enumerate(arrays) if i not in (0, place)]
        return step(arrays[place], *rest, **p)

    return twin


LAMB = (
    {"wd": 0.1, "t": 1},
    {"wd": 0.2, "t": 3, "beta1": 0.8, "beta2": 0.9, "epsilon": 0.1, "bias_correction": False},
    {"wd": 0.0, "t": 2, "rescale_grad": 0.5, "clip_gradient": 0.4},
)
BOUNDS = ({"lr": 0.1}, {"lr": 0.2, "lower_bound": 1.5, "upper_bound": 5.0}, {"lr": 0.3, "upper_bound": 0.7})
ADAMW = (
    {"lr": 0.1, "eta": 1.0},
    {"lr": 0.2, "eta": 0.5, "wd": 0.1, "beta1": 0.8, "beta2": 0.9, "epsilon": 0.1, "clip_gradient": 0.3},
)
STEPS = {
    "lamb_update_phase1": (lamb1, [ANY, ANY, ANY, POSITIVE], LAMB),
    "mp_lamb_update_phase1": (copied(lamb1, 4), [HALF, HALF, COPY, POSITIVE32, COPY], LAMB),
    "lamb_update_phase2": (lamb2, [ANY, ANY, ONE, ONE], BOUNDS),
    "mp_lamb_update_phase2": (copied(lamb2, 4), [HALF, COPY, ONE32, ONE32, COPY], BOUNDS),
    "_adamw_update": (adamw, [ANY, ANY, ANY, POSITIVE, ONE], ADAMW),
    "_mp_adamw_update": (copied(adamw, 4), [HALF, HALF, COPY, POSITIVE32, COPY, ONE32], ADAMW),
}


def lars(eta, eps, rescale_grad=1.0):
    def twin(lrs, weights, grads, wds):
        size = np.sqrt(weights)
        ratio = eta * size / (np.sqrt(grads) * rescale_grad + wds * size + eps)
        return lrs * np.where((weights > 0) & (grads > 0), ratio, 1)

    return twin


def cases():
    for op, (twin, inputs, options) in STEPS.items():
        half = inputs[0].dtype is None
        for params in options:
            yield Case(op, inputs, params, lambda *x, t=twin, p=params: t(*x, **p)[0], grads=(), half=half, ulps=32.0)
    zero = np.zeros(1)
    yield Case("lamb_update_phase2", [ANY, ANY, zero, ONE], BOUNDS[0], lambda *x: lamb2(*x, **BOUNDS[0])[0], grads=())
    for scale in (0.0, np.inf, np.nan):
        broken = np.array([scale])
        inputs = [ANY, ANY, ANY, POSITIVE, broken]
        yield Case("_adamw_update", inputs, ADAMW[0], lambda weight, *_: weight, grads=())


FINITE, BROKEN = np.array([[1.0, -2.0]]), np.array([1.0, np.inf, 3.0])
SQUARES = [real(4, low=0.1), np.array([1.0, 0.0, 4.0, 2.0]), np.array([0.0, 3.0, 2.0, 0.5]), real(4, low=0.1)]

CASES = [
    *cases(),
    Case("multi_lars", SQUARES, {"eta": 0.1, "eps": 0.0}, lars(0.1, 0.0), grads=()),
    Case("multi_lars", SQUARES, {"eta": 0.2, "eps": 0.1, "rescale_grad": 0.5}, lars(0.2, 0.1, 0.5), grads=()),
    Case("multi_sum_sq", [real(3, 4)], {"num_arrays": 1}, lambda a: np.array([(a * a).sum()]), length=12, grads=()),
    Case(
        "multi_sum_sq",
        [real(3, 4), real(5)],
        {"num_arrays": 2},
        lambda a, b: np.array([(a * a).sum(), (b * b).sum()]),
        length=12,
        grads=(),
    ),
    Case("all_finite", [FINITE], {}, lambda a: np.ones(1), grads=()),
    Case("all_finite", [BROKEN], {"init_output": False}, lambda a: np.zeros(1), grads=()),
    Case("multi_all_finite", [FINITE], {}, lambda a: np.ones(1), grads=()),
    Case(
        "multi_all_finite", [FINITE, BROKEN], {"num_arrays": 2, "init_output": False}, lambda *_: np.zeros(1), grads=()
    ),
]
