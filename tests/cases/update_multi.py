"""Cases of updates of several weights: see tests/cases/__init__.py. The twins return new weights, then states."""

import numpy as np

from . import Case, real
from .large_batch import adamw, lamb1, lamb2
from .update import COPY, FULL, HALF, SHAPE, UPDATES, rescaled

ANY, POSITIVE = real(*SHAPE), real(*SHAPE, low=0.5)
POSITIVE32 = real(*SHAPE, low=0.5, dtype="float32")
SCALE, SCALE32 = np.array([0.5]), np.array([0.5], "float32")

PRELOADED = {
    "preloaded_multi_sgd_update": "sgd_update",
    "preloaded_multi_sgd_mom_update": "sgd_mom_update",
    "preloaded_multi_mp_sgd_update": "mp_sgd_update",
    "preloaded_multi_mp_sgd_mom_update": "mp_sgd_mom_update",
}


def lamb(weight, grad, mean, var, lr, lower_bound=-1.0, upper_bound=-1.0, **p):
    g, mean, var = lamb1(weight, grad, mean, var, **p)
    r1, r2 = np.linalg.norm(weight), np.linalg.norm(g)
    return *lamb2(weight, g, np.array([r1]), np.array([r2]), lr, lower_bound, upper_bound), mean, var


def several(step, width, **lists):
    """Step i is given the i-th of every list; arrays behind those of the weights go to all."""
    count = len(next(iter(lists.values())))

    def twin(*arrays, **common):
        tail = arrays[count * width :]
        steps = []
        for i in range(count):
            own = {name: values[i] for name, values in lists.items()}
            steps.append(step(*arrays[i * width : (i + 1) * width], *tail, **own, **common))
        return steps

    return twin


def copied(step):
    """The step of weights with a float32 copy, the last of their arrays, which is also the last state."""

    def twin(weight, grad, mean, var, weight32, *tail, **p):
        new, *states = step(weight32, grad, mean, var, *tail, **p)
        return new, *states, new

    return twin


def preloaded(op, common):
    step, inputs, _ = UPDATES[op]
    width = len(inputs)

    def twin(*arrays):
        lrs, wds = arrays[-2:]
        parts = [arrays[i * width : (i + 1) * width] for i in range(len(lrs))]
        return [step(*part, lr=lr, wd=wd, **common) for part, lr, wd in zip(parts, lrs, wds, strict=True)]

    return twin


def group_adagrad(weight, grad, history, lr, epsilon=1e-5, **p):
    grad = rescaled(grad, **p)
    history = history + np.mean(grad**2, axis=tuple(range(1, grad.ndim))).reshape(history.shape)
    rows = history.reshape(-1, *[1] * (grad.ndim - 1))
    return weight - lr * grad / np.sqrt(rows + epsilon), history


PLAIN_ADAM, HALF_ADAM = [ANY, ANY, ANY, POSITIVE], [HALF, HALF, COPY, POSITIVE32, COPY]
TWO = {"lrs": (0.1, 0.3), "wds": (0.0, 0.1), "etas": (1.0, 0.5)}
ADAMW = {"beta1": 0.8, "beta2": 0.9, "epsilon": 0.1, "clip_gradient": 0.3}
LAMB = {"lr": (0.1, 0.3), "wd": (0.1, 0.2), "t": (1, 3)}
BOUNDED = {**ADAMW, "rescale_grad": 0.5, "lower_bound": 1.5, "upper_bound": 4.0, "bias_correction": False}


def lists(params, names):
    return {names.get(name, name): values for name, values in params.items()}


def adamw_cases(op, step, inputs, scale):
    one = {name: values[:1] for name, values in TWO.items()}
    for count, own, common in ((1, one, {}), (2, TWO, ADAMW)):
        twin = several(step, len(inputs), **lists(own, {"lrs": "lr", "wds": "wd", "etas": "eta"}))
        params = {**own, **common, "num_weights": count}
        yield op, [*inputs * count, scale], params, twin, common


def lamb_cases(op, step, inputs):
    one = {name: values[:1] for name, values in LAMB.items()}
    for count, own, common in ((1, one, {}), (2, LAMB, BOUNDED)):
        twin = several(step, len(inputs), **own)
        params = {
            **lists(own, {"lr": "learning_rates", "wd": "wds", "t": "step_count"}),
            **common,
            "num_tensors": count,
        }
        yield op, inputs * count, params, twin, common


def preloaded_cases(op, single):
    inputs = UPDATES[single][1]
    momentum = {"momentum": 0.8} if "mom" in single else {}
    kind = "float32" if inputs[0].dtype else None
    yield op, [*inputs, real(1, low=0.1, dtype=kind), real(1, dtype=kind)], {}, preloaded(single, {}), {}
    common = {"rescale_grad": FULL["rescale_grad"], "clip_gradient": FULL["clip_gradient"], **momentum}
    rates = [real(2, low=0.1, dtype=kind), real(2, dtype=kind)]
    yield op, [*inputs, *inputs, *rates], {**common, "num_weights": 2}, preloaded(single, common), {}


def all_steps():
    """Operator, inputs, parameters, the twin of all steps and what parameters to call it with."""
    yield from adamw_cases("_multi_adamw_update", adamw, PLAIN_ADAM, SCALE)
    yield from adamw_cases("_multi_mp_adamw_update", copied(adamw), HALF_ADAM, SCALE32)
    yield from lamb_cases("_multi_lamb_update", lamb, PLAIN_ADAM)
    yield from lamb_cases("_multi_mp_lamb_update", copied(lamb), HALF_ADAM)
    for op, single in PRELOADED.items():
        yield from preloaded_cases(op, single)


STEPS = list(all_steps())
GROUPED = {"lr": 0.2, "epsilon": 0.1, "rescale_grad": 0.5, "clip_gradient": 0.4}


def cases():
    for op, inputs, params, twin, common in STEPS:

        def weights(*arrays, twin=twin, common=common):
            return [step[0] for step in twin(*arrays, **common)]

        yield Case(op, inputs, params, weights, grads=(), half=inputs[0].dtype is None, ulps=64.0)
    for history in (real(3, 1, low=0.5), real(3, low=0.5)):
        for params in ({"lr": 0.1}, GROUPED):
            twin = lambda *x, p=params: group_adagrad(*x, **p)[0]  # noqa: E731
            yield Case("_contrib_group_adagrad_update", [ANY, ANY, history], params, twin, grads=(), ulps=32.0)
    yield Case("reset_arrays", [ANY], {"num_arrays": 1}, np.zeros_like, grads=())
    yield Case("reset_arrays", [ANY, real(4)], {"num_arrays": 2}, lambda *x: [0 * a for a in x], grads=())


CASES = list(cases())
