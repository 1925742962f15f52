"""Cases of optimizer updates: see tests/cases/__init__.py.

The NumPy twins return the new weight and then the new states, in the order of the operator's `mutates`: the cases compare
the weight, test_update.py the states.
"""

import numpy as np

from . import Case, real

SHAPE = (3, 5)
PLAIN = {"lr": 0.1}
FULL = {"lr": 0.5, "wd": 0.01, "rescale_grad": 0.25, "clip_gradient": 0.3}


def clip(x, limit):
    return x if limit < 0 else np.clip(x, -limit, limit)


def rescaled(grad, rescale_grad=1.0, clip_gradient=-1.0, **_):
    return clip(grad * rescale_grad, clip_gradient)


def decayed(weight, grad, wd=0.0, **p):
    return rescaled(grad, **p) + wd * weight


def clipped_last(weight, grad, wd=0.0, rescale_grad=1.0, clip_gradient=-1.0, **_):
    return clip(grad * rescale_grad + wd * weight, clip_gradient)


def sgd(weight, grad, lr, **p):
    return (weight - lr * decayed(weight, grad, **p),)


def sgd_mom(weight, grad, mom, lr, momentum=0.0, **p):
    mom = momentum * mom - lr * decayed(weight, grad, **p)
    return weight + mom, mom


def nag_mom(weight, grad, mom, lr, momentum=0.0, **p):
    mom = momentum * mom
    new = weight - mom + (1 + momentum) * (mom - lr * decayed(weight, grad, **p))
    return new, mom - lr * decayed(new, grad, **p)


def signsgd(weight, grad, lr, wd=0.0, **p):
    return ((1 - lr * wd) * weight - lr * np.sign(grad),)


def signum(weight, grad, mom, lr, momentum=0.0, wd_lh=0.0, **p):
    mom = momentum * mom - (1 - momentum) * decayed(weight, grad, **p)
    return (1 - lr * wd_lh) * weight + lr * np.sign(mom), mom


def adam(weight, grad, mean, var, lr, beta1=0.9, beta2=0.999, epsilon=1e-8, **p):
    grad = clipped_last(weight, grad, **p)
    mean, var = beta1 * mean + (1 - beta1) * grad, beta2 * var + (1 - beta2) * grad**2
    return weight - lr * mean / (np.sqrt(var) + epsilon), mean, var


def rmsprop(weight, grad, n, lr, gamma1=0.95, epsilon=1e-8, clip_weights=-1.0, **p):
    grad = clipped_last(weight, grad, **p)
    n = gamma1 * n + (1 - gamma1) * grad**2
    return clip(weight - lr * grad / np.sqrt(n + epsilon), clip_weights), n


def rmspropalex(weight, grad, n, g, delta, lr, gamma1=0.95, gamma2=0.9, epsilon=1e-8, clip_weights=-1.0, **p):
    grad = clipped_last(weight, grad, **p)
    n, g = gamma1 * n + (1 - gamma1) * grad**2, gamma1 * g + (1 - gamma1) * grad
    delta = gamma2 * delta - lr * grad / np.sqrt(n - g**2 + epsilon)
    return clip(weight + delta, clip_weights), n, g, delta


def ftrl(weight, grad, z, n, lr, lamda1=0.01, beta=1.0, wd=0.0, **p):
    grad = rescaled(grad, **p)
    z = z + grad - (np.sqrt(n + grad**2) - np.sqrt(n)) * weight / lr
    n = n + grad**2
    moved = (np.sign(z) * lamda1 - z) / ((beta + np.sqrt(n)) / lr + wd)
    return np.where(np.abs(z) > lamda1, moved, 0), z, n


def ftml(weight, grad, d, v, z, lr, t, beta1=0.6, beta2=0.999, epsilon=1e-8, clip_grad=-1.0, **p):
    grad = clipped_last(weight, grad, clip_gradient=clip_grad, **p)
    v = beta2 * v + (1 - beta2) * grad**2
    new_d = (1 - beta1**t) / lr * (np.sqrt(v / (1 - beta2**t)) + epsilon)
    z = beta1 * z + (1 - beta1) * grad - (new_d - beta1 * d) * weight
    return -z / new_d, new_d, v, z


def mixed(step):
    """The form whose last input is a float32 copy of the weight, which is what learns: also the last state."""

    def twin(weight, grad, *rest, **p):
        new, *states = step(rest[-1], grad, *rest[:-1], **p)
        return new, *states, new

    return twin


ANY, POSITIVE = real(*SHAPE), real(*SHAPE, low=0.5)
HALF, COPY = real(*SHAPE, dtype="float16"), real(*SHAPE, dtype="float32")

# operator: its twin, its inputs, and values for the parameters of its own
UPDATES = {
    "sgd_update": (sgd, [ANY, ANY], {"lazy_update": False}),
    "mp_sgd_update": (mixed(sgd), [HALF, HALF, COPY], {"lazy_update": False}),
    "sgd_mom_update": (sgd_mom, [ANY, ANY, ANY], {"momentum": 0.9, "lazy_update": False}),
    "mp_sgd_mom_update": (mixed(sgd_mom), [HALF, HALF, COPY, COPY], {"momentum": 0.9, "lazy_update": False}),
    "nag_mom_update": (nag_mom, [ANY, ANY, ANY], {"momentum": 0.9}),
    "mp_nag_mom_update": (mixed(nag_mom), [HALF, HALF, COPY, COPY], {"momentum": 0.9}),
    "signsgd_update": (signsgd, [ANY, ANY], {}),
    "signum_update": (signum, [ANY, ANY, ANY], {"momentum": 0.9, "wd_lh": 0.02}),
    "adam_update": (
        adam,
        [ANY, ANY, ANY, POSITIVE],
        {"beta1": 0.8, "beta2": 0.9, "epsilon": 0.1, "lazy_update": False},
    ),
    "rmsprop_update": (rmsprop, [ANY, ANY, POSITIVE], {"gamma1": 0.8, "epsilon": 0.1, "clip_weights": 0.7}),
    "rmspropalex_update": (
        rmspropalex,
        [ANY, ANY, real(*SHAPE, low=5, high=6), ANY, ANY],
        {"gamma1": 0.8, "gamma2": 0.7, "epsilon": 0.1, "clip_weights": 0.7},
    ),
    "ftrl_update": (ftrl, [ANY, ANY, ANY, POSITIVE], {"lamda1": 0.4, "beta": 2.0}),
    "ftml_update": (
        ftml,
        [ANY, ANY, POSITIVE, POSITIVE, ANY],
        {"t": 3, "beta1": 0.7, "beta2": 0.9, "epsilon": 0.1},
    ),
}
SEVERAL = {
    "multi_sgd_update": "sgd_update",
    "multi_sgd_mom_update": "sgd_mom_update",
    "multi_mp_sgd_update": "mp_sgd_update",
    "multi_mp_sgd_mom_update": "mp_sgd_mom_update",
}


def options(op):
    """The defaults, and everything set to something else."""
    own = UPDATES[op][2]
    full = {("clip_grad" if op == "ftml_update" and k == "clip_gradient" else k): v for k, v in FULL.items()}
    return [{**PLAIN, **({"t": 1} if "t" in own else {})}, {**full, **own}]


def several(op, lrs, wds, common):
    """The weights of `op` on the arrays of two weights."""
    twin, inputs, _ = UPDATES[op]
    width = len(inputs)

    def apply(*arrays):
        parts = (arrays[:width], arrays[width:])
        return tuple(twin(*part, lr=lr, wd=wd, **common)[0] for part, lr, wd in zip(parts, lrs, wds, strict=False))

    return apply


def cases():
    for op, (twin, inputs, _) in UPDATES.items():
        half = inputs[0].dtype is None
        for params in options(op):
            yield Case(op, inputs, params, lambda *x, t=twin, p=params: t(*x, **p)[0], grads=(), half=half, ulps=32.0)
    for op, single in SEVERAL.items():
        inputs = UPDATES[single][1]
        momentum = {"momentum": 0.8} if "mom" in single else {}
        one = {"lrs": (0.1,), "wds": (0.0,)}
        twin = several(single, (0.1,), (0.0,), {})
        yield Case(op, inputs, one, lambda *x, t=twin: t(*x)[0], grads=(), half=inputs[0].dtype is None)
        common = {"rescale_grad": 0.25, "clip_gradient": 0.3, **momentum}
        two = {"lrs": (0.1, 0.5), "wds": (0.01, 0.02), "num_weights": 2, **common}
        twin = several(single, (0.1, 0.5), (0.01, 0.02), common)
        yield Case(op, [*inputs, *inputs], two, twin, grads=(), half=inputs[0].dtype is None)


CASES = list(cases())
