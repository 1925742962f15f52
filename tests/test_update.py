"""Optimizer updates as operators: the weight they return and the states they change in place."""

import numpy as np
import pytest

import minimx as mx

OPTIONS = dict(lr=0.1, wd=0.02, rescale_grad=0.5, clip_gradient=0.3)


def arrays(*dtypes):
    generator = np.random.default_rng(1)
    return [mx.nd.array(generator.normal(size=(4, 33)), dtype=d) for d in dtypes]


def gradient(weight, grad):
    return np.clip(grad * 0.5, -0.3, 0.3) + 0.02 * weight


def test_sgd_in_place():
    weight, grad = arrays("float32", "float32")
    want = weight.asnumpy() - 0.1 * gradient(weight.asnumpy(), grad.asnumpy())
    mx.nd.sgd_update(weight, grad, out=weight, **OPTIONS)
    np.testing.assert_allclose(weight.asnumpy(), want, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sgd_momentum_changes_its_state(dtype):
    weight, grad, mom = arrays(dtype, dtype, dtype)
    for _ in range(3):
        new_mom = 0.9 * mom.asnumpy() - 0.1 * gradient(weight.asnumpy(), grad.asnumpy())
        want = weight.asnumpy() + new_mom
        mx.nd.sgd_mom_update(weight, grad, mom, out=weight, momentum=0.9, **OPTIONS)
        np.testing.assert_allclose(mom.asnumpy(), new_mom, rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(weight.asnumpy(), want, rtol=1e-5, atol=1e-7)


def test_half_precision_learns_in_its_float32_copy():
    weight, grad, mom, copy = arrays("float16", "float16", "float32", "float32")
    for _ in range(3):
        old = copy.asnumpy()
        new_mom = 0.9 * mom.asnumpy() - 0.1 * gradient(old, grad.asnumpy().astype("float32"))
        mx.nd.mp_sgd_mom_update(weight, grad, mom, copy, out=weight, momentum=0.9, **OPTIONS)
        np.testing.assert_allclose(mom.asnumpy(), new_mom, rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(copy.asnumpy(), old + new_mom, rtol=1e-5, atol=1e-7)
        assert weight.dtype == np.float16
        np.testing.assert_array_equal(weight.asnumpy(), copy.asnumpy().astype("float16"))
    old = copy.asnumpy()
    mx.nd.mp_sgd_update(weight, grad, copy, out=weight, **OPTIONS)
    want = old - 0.1 * gradient(old, grad.asnumpy().astype("float32"))
    np.testing.assert_allclose(copy.asnumpy(), want, rtol=1e-5, atol=1e-7)


def test_an_update_is_one_pass(monkeypatch):
    """However many operators an update is made of, they fuse into one call."""
    from minimx.compile import compile_eager
    from minimx.op import find

    for name, operands in (("sgd_update", 2), ("sgd_mom_update", 3)):
        op = find(name)
        params = op.parse({**OPTIONS, **({"momentum": 0.9} if operands == 3 else {})})
        eager = compile_eager(op, params, [((100,), "float32")] * operands, ("cpu", 0), False)
        kernels = [eager.program.kernel_name(i) for i in range(len(eager.program))]
        assert [k for k in kernels if k.startswith("ewise")] == ["ewise.float32"], kernels
