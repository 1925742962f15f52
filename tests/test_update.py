"""Optimizer updates as operators: the states they change in place, and that they are one pass over the memory."""

import numpy as np
import pytest
from cases.large_batch import STEPS
from cases.update import SEVERAL, UPDATES, options

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
