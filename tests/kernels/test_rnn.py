"""The recurrent kernels alone: several panels and tasks, both directions, gates in the memory of the projection."""

import numpy as np
import pytest
from cases.rnn import GATES, scan

from minimx import _core

# time, batch, hidden
SHAPES = [(1, 1, 1), (3, 2, 15), (2, 13, 16), (2, 5, 33), (3, 40, 100), (2, 33, 200), (0, 2, 3)]


def arguments(mode, time, batch, hidden, reverse):
    args = {"time": time, "batch": batch, "hidden": hidden, "reverse": int(reverse), "relu": int(mode == "rnn_relu")}
    return args | {"clip": 0, "clip_nan": 0, "clip_min": 0.0, "clip_max": 0.0}


def kernel_of(mode):
    return mode if mode in ("lstm", "gru") else "plain"


def operands(mode, time, batch, hidden, dtype):
    generator, rows = np.random.default_rng(0), GATES[mode] * hidden
    shapes = [(time, batch, rows), (rows, hidden), (rows,), (batch, hidden)]
    shapes += [(batch, hidden)] if mode == "lstm" else []
    return [generator.uniform(-1, 1, s).astype(dtype) / (hidden**0.5 if i == 1 else 1) for i, s in enumerate(shapes)]


def forward(mode, ins, reverse, in_place=False):
    """hidden, and what else the kernel makes."""
    time, batch, _ = ins[0].shape
    hidden = ins[1].shape[1]
    dtype = ins[0].dtype
    states = np.full((time + 1, batch, hidden), 7, dtype)
    gates = [] if kernel_of(mode) == "plain" else [ins[0] if in_place else np.full_like(ins[0], 7)]
    more = {"lstm": [states.copy()], "gru": [states[1:].copy()]}.get(mode, [])
    scratch = np.empty((GATES[mode] * hidden * (hidden + 16) + 63) // 64 * 64, dtype)
    outs = [*gates, states, *more]
    name = f"rnn_{kernel_of(mode)}.{dtype.name}"
    _core.run_kernel(name, arguments(mode, time, batch, hidden, reverse), [*ins, *outs, scratch])
    return outs


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("mode", GATES)
def test_forward(mode, shape, dtype):
    for reverse in (False, True):
        ins = operands(mode, *shape, dtype)
        exact = [a.astype(np.float64) for a in ins]
        outputs, cells, *_ = scan(mode, *exact, reverse=reverse)
        outs = forward(mode, ins, reverse)
        states = outs[0 if kernel_of(mode) == "plain" else 1]
        tolerance = dict(rtol=0, atol=(32 + 4 * shape[2] ** 0.5) * np.finfo(dtype).eps * (shape[0] + 1))
        first = -1 if reverse else 0
        np.testing.assert_array_equal(states[first], ins[3])
        after = states[:-1] if reverse else states[1:]
        if shape[0]:
            np.testing.assert_allclose(after, np.stack(outputs), **tolerance)
        if mode == "lstm" and shape[0]:
            np.testing.assert_allclose(outs[2][:-1] if reverse else outs[2][1:], np.stack(cells), **tolerance)
        for a, b in zip(outs, forward(mode, [a.copy() for a in ins], reverse, in_place=True), strict=True):
            np.testing.assert_array_equal(a, b)


def backward(mode, ins, outs, arriving, reverse):
    """Gradients of the projection, (for gru) of the products, and of the first states."""
    time, batch, _ = ins[0].shape
    hidden, dtype = ins[1].shape[1], ins[0].dtype
    kept = [outs[0], outs[2]] if mode == "lstm" else outs
    slopes = [np.empty_like(ins[0]) for _ in range(2 if mode == "gru" else 1)]
    slopes += [np.empty((batch, hidden), dtype) for _ in range(2 if mode == "lstm" else 1)]
    scratch = np.empty((GATES[mode] * hidden * (hidden + 16) + 63) // 64 * 64, dtype)
    args = arguments(mode, time, batch, hidden, reverse)
    name = f"rnn_{kernel_of(mode)}_grad.{dtype.name}"
    _core.run_kernel(name, args, [*arriving, ins[1], *kept, *slopes, scratch])
    return slopes


def arriving_at(mode, time, batch, hidden, dtype="float64"):
    shapes = [
        (time, batch, hidden),
        (batch, hidden),
        *([(batch, hidden), (time, batch, hidden)] if mode == "lstm" else []),
    ]
    generator = np.random.default_rng(1)
    return [generator.uniform(-1, 1, s).astype(dtype) for s in shapes]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("mode", GATES)
def test_backward_is_the_derivative(mode, reverse):
    """At a size with several tasks, along a random direction of all inputs at once."""
    size = time, batch, hidden = 3, 20, 70
    ins = operands(mode, *size, "float64")
    outs = forward(mode, ins, reverse)
    arriving = arriving_at(mode, *size)
    slopes = backward(mode, ins, outs, arriving, reverse)
    # The weights' and biases' gradients follow from those of the products.
    products = slopes[1 if mode == "gru" else 0]
    states = outs[0 if kernel_of(mode) == "plain" else 1]
    before = states[1:] if reverse else states[:-1]
    starts = slopes[2 if mode == "gru" else 1 :]
    gradients = [slopes[0], np.einsum("tnr,tnh->rh", products, before), products.sum((0, 1)), *starts]
    generator = np.random.default_rng(2)
    direction = [generator.uniform(-1, 1, a.shape) for a in ins]
    analytic = sum(float((g * d).sum()) for g, d in zip(gradients, direction, strict=True))

    def loss(step):
        moved = [a + step * d for a, d in zip(ins, direction, strict=True)]
        outputs, cells, last, last_cell = scan(mode, *moved, reverse=reverse)
        results = [np.stack(outputs), last, *([last_cell, np.stack(cells)] if mode == "lstm" else [])]
        return sum(float((r * g).sum()) for r, g in zip(results, arriving, strict=True))

    numeric = (loss(1e-6) - loss(-1e-6)) / 2e-6
    assert abs(analytic - numeric) < 1e-5 * max(1, abs(numeric))


@pytest.mark.parametrize("mode", GATES)
def test_results_do_not_depend_on_the_thread_count(mode):
    size, before = (2, 33, 100), _core.thread_count()
    ins = operands(mode, *size, "float32")
    results = []
    try:
        for threads in (1, 2, 5):
            _core.set_thread_count(threads)
            outs = forward(mode, ins, False)
            results.append([*outs, *backward(mode, ins, outs, arriving_at(mode, *size, "float32"), False)])
    finally:
        _core.set_thread_count(before)
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)
