"""Optimizer updates as operators: the states they change in place, and that they are one pass over the memory."""

import numpy as np
import pytest
from cases import Case
from cases.large_batch import STEPS
from cases.update import SEVERAL, UPDATES, options
from cases.update_multi import STEPS as MANY

import minimx as mx
from minimx.compile import compile_eager
from minimx.op import find


def arrays(inputs, seed=0):
    """What the operator is called with, and the same in float64."""
    generator = np.random.default_rng(seed)
    made = [mx.nd.array(i.make(generator), dtype=i.dtype or "float32") for i in inputs]
    return made, [a.asnumpy().astype("float64") for a in made]


def check(operands, twins, got_places, want):
    for place, value in zip(got_places, want, strict=True):
        half = operands[place].dtype == np.float16
        close = {"rtol": 1e-3, "atol": 1e-3} if half else {"rtol": 2e-5, "atol": 2e-5}
        np.testing.assert_allclose(operands[place].asnumpy(), value, **close)
    written = set(got_places)
    for place, (operand, twin) in enumerate(zip(operands, twins, strict=True)):
        if place not in written:
            np.testing.assert_array_equal(operand.asnumpy(), twin)


@pytest.mark.parametrize("op", UPDATES)
def test_weight_and_states_in_place(op):
    step, inputs, _ = UPDATES[op]
    names = find(op).inputs
    places = [0, *(names.index(n) for n in find(op).mutates)]
    for params in options(op):
        operands, twins = arrays(inputs)
        getattr(mx.nd, op)(*operands, out=operands[0], **params)
        check(operands, twins, places, step(*twins, **params))


@pytest.mark.parametrize("op", ["lamb_update_phase1", "_adamw_update"])
def test_states_of_large_batch_updates(op):
    step, inputs, several = STEPS[op]
    for params in several:
        operands, twins = arrays(inputs)
        out = getattr(mx.nd._internal if op[0] == "_" else mx.nd, op)(*operands, **params)
        want = step(*twins, **params)
        np.testing.assert_allclose(out.asnumpy(), want[0], rtol=2e-5, atol=2e-5)
        check(operands, twins, [2, 3], want[1:])


@pytest.mark.parametrize("op", ["mp_lamb_update_phase2", "_mp_adamw_update"])
def test_half_precision_learns_in_its_float32_copy(op):
    step, inputs, several = STEPS[op]
    operands, twins = arrays(inputs)
    getattr(mx.nd._internal if op[0] == "_" else mx.nd, op)(*operands, out=operands[0], **several[0])
    new = step(*twins, **several[0])[0]
    np.testing.assert_allclose(operands[4].asnumpy(), new, rtol=2e-5, atol=2e-5)
    np.testing.assert_array_equal(operands[0].asnumpy(), operands[4].asnumpy().astype("float16"))


@pytest.mark.parametrize("op", SEVERAL)
def test_several_weights_at_once(op):
    step, inputs, _ = UPDATES[SEVERAL[op]]
    width = len(inputs)
    single = find(SEVERAL[op])
    operands, twins = arrays([*inputs, *inputs])
    lrs, wds = (0.1, 0.4), (0.0, 0.02)
    getattr(mx.nd, op)(*operands, out=[operands[0], operands[width]], lrs=lrs, wds=wds, num_weights=2)
    for i in range(2):
        part = slice(i * width, (i + 1) * width)
        places = [0, *(single.inputs.index(n) for n in single.mutates)]
        check(operands[part], twins[part], places, step(*twins[part], lr=lrs[i], wd=wds[i]))


@pytest.mark.parametrize("op", UPDATES)
def test_an_update_is_one_pass(op):
    """However many operators an update is made of, they fuse into one call."""
    kinds = [((100,), i.dtype or "float32") for i in UPDATES[op][1]]
    for steered in ((), ("lr",)) if UPDATES[op][1][0].dtype is None else ((),):
        eager = compile_eager(find(op), find(op).parse(options(op)[1]), kinds, ("cpu", 0), False, steered)
        kernels = [eager.program.kernel_name(i) for i in range(len(eager.program))]
        assert [k for k in kernels if k.startswith("ewise")] == ["ewise.float32"], kernels


@pytest.mark.parametrize("op, inputs, params, twin, common", MANY, ids=[f"{s[0]}-{i % 2}" for i, s in enumerate(MANY)])
def test_updates_of_many_weights(op, inputs, params, twin, common):
    operator = find(op)
    operands = [mx.nd.array(a, dtype=a.dtype) for a in Case(op, inputs).typed("float32")]
    twins = [a.asnumpy().astype("float64") for a in operands]
    width = len(operator.each)
    count = operator.counted(len(inputs))
    getattr(mx.nd._internal if op[0] == "_" else mx.nd, op)(*operands, out=operands[: count * width : width], **params)
    for i, want in enumerate(twin(*twins, **common)):
        part = slice(i * width, (i + 1) * width)
        places = [0, *(operator.each.index(n) for n in operator.changed)]
        check(operands[part], twins[part], places, want)


def test_group_adagrad_keeps_its_history():
    weight, grad, history = (mx.nd.array(a) for a in ([[1, 2], [3, 4]], [[2, 0], [0, 0]], [[0.0], [1.0]]))
    mx.nd.contrib.group_adagrad_update(weight, grad, history, lr=0.5, out=weight)
    np.testing.assert_allclose(history.asnumpy(), [[2], [1]])
    np.testing.assert_allclose(weight.asnumpy(), [[1 - 0.5 * 2 / 2**0.5, 2], [3, 4]], rtol=1e-5)


def test_reset_arrays():
    a, b = mx.nd.ones((2, 3)), mx.nd.ones((4,))
    mx.nd.reset_arrays(a, b, num_arrays=2)
    assert not a.asnumpy().any() and not b.asnumpy().any()


def lists_of_two(generator, dtype="float32"):
    return [mx.nd.array(generator.uniform(0.1, 1, (2, 3)), dtype=dtype) for _ in range(2)]


@pytest.mark.parametrize("scale", [0.5, float("nan")])
def test_functions_on_lists_equal_single_updates(scale):
    generator = np.random.default_rng(0)
    weights, grads, mean, var = (lists_of_two(generator) for _ in range(4))
    singles = [[x.copy() for x in xs] for xs in zip(weights, grads, mean, var, strict=True)]
    numbers = ((0.1, 0.2), (0.0, 0.1), (1.0, 0.5))
    mx.nd.contrib.multi_adamw_update(weights, grads, mean, var, scale, *numbers, out=weights)
    for i, (w, g, m, v) in enumerate(singles):
        lr, wd, eta = (n[i] for n in numbers)
        mx.nd.contrib.adamw_update(w, g, m, v, mx.nd.array([scale]), lr=lr, eta=eta, wd=wd, out=w)
        for got, want in zip((weights[i], mean[i], var[i]), (w, m, v), strict=True):
            np.testing.assert_array_equal(got.asnumpy(), want.asnumpy())


def test_functions_on_lists_of_half_precision():
    generator = np.random.default_rng(0)
    grads, mean, var, copies = (lists_of_two(generator) for _ in range(4))
    plain = [[x.copy() for x in xs] for xs in (copies, grads, mean, var)]
    weights = [c.astype("float16") for c in copies]
    halves = [g.astype("float16") for g in grads]
    exact = [h.astype("float32") for h in halves]
    mx.nd.contrib.multi_mp_lamb_update(weights, halves, mean, var, copies, (1, 2), (0.1, 0.2), (0, 0.1), out=weights)
    mx.nd.contrib.multi_lamb_update(plain[0], exact, *plain[2:], (1, 2), (0.1, 0.2), (0, 0.1), out=plain[0])
    for w, copy, want in zip(weights, copies, plain[0], strict=True):
        np.testing.assert_allclose(copy.asnumpy(), want.asnumpy(), rtol=1e-6)
        np.testing.assert_array_equal(w.asnumpy(), copy.asnumpy().astype("float16"))
    numbers = ((0.1, 0.2), (0.0, 0.1), (1.0, 0.5))
    mx.nd.contrib.multi_mp_adamw_update(weights, halves, mean, var, copies, 0.5, *numbers, out=weights)
    for w, copy in zip(weights, copies, strict=True):
        np.testing.assert_array_equal(w.asnumpy(), copy.asnumpy().astype("float16"))
    before = copies[0].copy()
    mx.nd.contrib.mp_adamw_update(
        weights[0], halves[0], mean[0], var[0], copies[0], 1.0, lr=0.1, eta=1.0, out=weights[0]
    )
    assert not np.array_equal(before.asnumpy(), copies[0].asnumpy())
