"""Channels-last convolution of bfloat16 against float64: odd channels, tails, strides, dilation, riders.

Runs where the kernels are offered: tests/test_bfloat.py runs it with MINIMX_BF16=1 at every level.
"""

import numpy as np
import pytest

from kernels.test_conv import ACTIVATIONS, RELU, Reference, rng, threads  # noqa: F401
from kernels.test_conv_last import CASES, args, random_case, ridden, to_first, to_last
from kernels.test_gemm_bfloat import OFFERED, check, short
from minimx import _core
from minimx.ndarray.convert import from_bfloat16
from minimx.ops import last

pytestmark = pytest.mark.skipif(
    not OFFERED, reason="this machine does not multiply bfloat16, and MINIMX_BF16 is not set"
)


def least(r, backward, workers):
    """The scratch that the operators of minimx/ops/last.py ask for, without what only makes it faster."""
    before, last.BOX = last.BOX, 0
    rows, taps = (r.kernel[0] - 1) * r.dilate[0] + 1, int(np.prod(r.kernel))
    try:
        if not backward:
            return last.sweep_scratch(workers, rows, r.size[1] + 2 * r.pad[1], -(-r.channels // 2), taps, 0)
        columns = max(r.out[1], -(-r.size[1] // r.stride[1])) + 2 * r.kernel[1] * r.dilate[1]
        return last.sweep_scratch(workers, rows, columns, -(-r.filters // 2), taps, 0)
    finally:
        last.BOX = before


def run(kernel, r, elements, operands, shape, activation=0, out=None):
    """Runs a kernel; the scratch is full of NaN and guarded behind its end."""
    scratch = np.full(elements + 4096, np.nan, np.float32)
    out = np.full(shape, 0x7FC0, np.uint16) if out is None else out
    _core.run_kernel(f"{kernel}.bfloat16", args(r, elements, activation), [*operands, out, scratch])
    assert np.isnan(scratch[elements:]).all()
    return out


def packed(r, w, turned=False):
    rows, width = (r.filters, r.channels) if turned else (r.channels, r.filters)
    size = int(np.prod(r.kernel)) * last.up(rows, 2) * last.up(width, 16)
    out = np.full(size + 64, 0x7FC0, np.uint16)
    dtype = "bfloat16" if w.dtype == np.uint16 else "float32.bfloat16"
    _core.run_kernel(f"conv_last_{'turned' if turned else 'weights'}.{dtype}", args(r, 0), [w, out])
    assert (out[size:] == 0x7FC0).all()
    return out


def both(r, x, w, dy, workers, extra):
    more = workers * extra
    riders = [None, None, None]
    y_shape, x_shape = (r.batch, *r.out, r.filters), (r.batch, *r.size, r.channels)
    y = run("conv_last_forward", r, least(r, False, workers) + more, [to_last(x), packed(r, w), *riders], y_shape)
    operands = [to_last(dy), packed(r, w, turned=True), *riders]
    dx = run("conv_last_data_gradient", r, least(r, True, workers) + more, operands, x_shape)
    return to_first(y), to_first(dx)


@pytest.mark.parametrize("extra", [0, 1 << 17], ids=["little scratch", "enough scratch"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_both_kernels(case, threads, rng, extra):  # noqa: F811
    r = Reference(case)
    (x, exact_x), (w, exact_w), (dy, exact_dy) = (
        short(rng.standard_normal(s)) for s in (r.x_shape, r.w_shape, r.y_shape)
    )
    y, dx = both(r, x, w, dy, threads, extra)
    taps = int(np.prod(r.kernel))
    check(y, r.forward(exact_x, exact_w), taps * r.channels)
    check(dx, r.data_gradient(exact_dy, exact_w), taps * r.filters)


@pytest.mark.parametrize("seed", range(30))
def test_random_sizes(seed):
    test_both_kernels(random_case(seed), _core.thread_count(), np.random.default_rng(seed), 1 << 17)


def test_weights_may_be_float32(rng):  # noqa: F811
    for case in CASES[:6]:
        r = Reference(case)
        w = rng.standard_normal(r.w_shape).astype(np.float32)
        for turned in (False, True):
            np.testing.assert_array_equal(packed(r, w, turned), packed(r, short(w)[0], turned))


def test_threads_do_not_change_the_result(rng):  # noqa: F811
    for case in CASES[:11]:
        r = Reference(case)
        x, w, dy = (short(rng.standard_normal(s))[0] for s in (r.x_shape, r.w_shape, r.y_shape))
        before, results = _core.thread_count(), []
        for count in (1, 2, 3):
            _core.set_thread_count(count)
            results.append(both(r, x, w, dy, count, 1 << 17))
        _core.set_thread_count(before)
        for other in results[1:]:
            for a, b in zip(results[0], other, strict=True):
                np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("riders", ["", "bias", "residual", "bias residual", "scale bias", "scale bias residual"])
@pytest.mark.parametrize("case", [CASES[2], CASES[4], CASES[10]], ids=str)
def test_riders(case, activation, riders, rng):  # noqa: F811
    r = Reference(case)
    size = np.sqrt(np.prod(r.w_shape[1:]))  # sums of order one: activations do not hide their errors
    (x, exact_x), (w, exact_w) = short(rng.standard_normal(r.x_shape)), short(rng.standard_normal(r.w_shape) / size)
    residual, added = short(rng.standard_normal(r.y_shape))
    bias, scale = (rng.standard_normal(r.filters).astype(np.float32) for _ in range(2))
    want = ridden(r.forward(exact_x, exact_w), riders, bias, added, scale, activation)
    all_riders = {"bias": bias, "residual": to_last(residual), "scale": scale}
    given = [v if name in riders.split() else None for name, v in all_riders.items()]
    elements = least(r, False, _core.thread_count()) + (1 << 18)
    operands, shape = [to_last(x), packed(r, w), *given], (r.batch, *r.out, r.filters)
    y = run("conv_last_forward", r, elements, operands, shape, activation)
    check(to_first(y), want, r.channels * 9)
    if "residual" in riders:
        np.testing.assert_array_equal(run("conv_last_forward", r, elements, operands, None, activation, given[1]), y)


@pytest.mark.parametrize("channels", [7, 8])
def test_relu_keeps_nan_where_it_is(channels, rng):  # noqa: F811
    r = Reference((1, channels, 16, 1, (7, 7), (3, 3), (1, 1), (1, 1), (1, 1)))
    x, w = (short(rng.standard_normal(s))[0] for s in (r.x_shape, r.w_shape))
    x[0, channels - 1, 0, 0] = 0x7FC0
    elements = least(r, False, _core.thread_count()) + (1 << 17)
    operands = [to_last(x), packed(r, w), None, None, None]
    y = from_bfloat16(to_first(run("conv_last_forward", r, elements, operands, (1, *r.out, r.filters), RELU)))
    assert np.isnan(y[0, :, :2, :2]).all() and np.isfinite(y[0, :, 2:, :]).all() and np.isfinite(y[0, :, :, 2:]).all()
