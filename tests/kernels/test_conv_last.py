"""Channels-last convolution and pooling against the planar kernels' definition: odd sizes, tails, strides, dilation, riders."""

import random

import numpy as np
import pytest

from kernels.test_conv import ACTIVATIONS, RELU, Reference, check, out_size, rng, threads  # noqa: F401
from minimx import _core
from minimx.ops import last
from minimx.passes.ride import GATE

# batch, channels, filters, groups, in, kernel, stride, dilate, pad
CASES = [
    (2, 3, 5, 1, (9, 11), (3, 3), (1, 1), (1, 1), (1, 1)),
    (1, 8, 16, 1, (7, 7), (3, 3), (1, 1), (1, 1), (1, 1)),
    (2, 8, 33, 1, (14, 14), (3, 3), (2, 2), (1, 1), (1, 1)),
    (1, 3, 64, 1, (31, 29), (7, 7), (2, 2), (1, 1), (3, 3)),
    (2, 16, 24, 1, (13, 13), (1, 1), (1, 1), (1, 1), (0, 0)),
    (2, 6, 40, 1, (13, 12), (1, 1), (2, 2), (1, 1), (0, 0)),
    (2, 4, 6, 1, (15, 15), (3, 3), (1, 1), (2, 2), (2, 2)),
    (2, 20, 36, 1, (12, 12), (4, 3), (2, 2), (1, 1), (1, 2)),
    (1, 2, 3, 1, (4, 4), (3, 3), (1, 1), (1, 1), (5, 5)),
    (2, 3, 4, 1, (5, 3), (5, 3), (1, 1), (1, 1), (0, 0)),
    (2, 130, 70, 1, (9, 7), (3, 3), (1, 1), (1, 1), (1, 1)),
    (2, 1024, 32, 1, (7, 7), (1, 1), (1, 1), (1, 1), (0, 0)),  # pixels a page apart
    (1, 5, 16, 1, (1, 300), (1, 5), (1, 1), (1, 1), (0, 2)),
    (1, 70, 16, 1, (3, 8), (2, 2), (3, 3), (1, 1), (0, 0)),  # gaps that nothing reaches
    (1, 4, 600, 1, (5, 5), (3, 3), (1, 1), (1, 1), (1, 1)),  # more filters than a strip takes
    (2, 5, 24, 1, (50, 50), (3, 3), (1, 1), (1, 1), (0, 0)),  # so many pixels that parts are summed up apart
]


def args(r, scratch, activation=0, tile=0):
    return {
        "batch": r.batch,
        "channels": r.channels,
        "filters": r.filters,
        "in": list(r.size),
        "out": list(r.out),
        "kernel": list(r.kernel),
        "stride": list(r.stride),
        "dilate": list(r.dilate),
        "pad": list(r.pad),
        "activation": activation,
        "scratch": scratch,
        "tile": tile,
        "pitch": 0,
    }


def to_last(a):
    return np.ascontiguousarray(np.moveaxis(a, 1, -1))


def to_first(a):
    return np.moveaxis(a, -1, 1)


def least(r, which, workers):
    """The scratch that the operators of minimx/ops/last.py ask for, without what only makes it faster."""
    before, last.BOX = last.BOX, 0
    rows, taps = (r.kernel[0] - 1) * r.dilate[0] + 1, int(np.prod(r.kernel))
    try:
        if which == "forward":
            return last.sweep_scratch(workers, rows, r.size[1] + 2 * r.pad[1], r.channels, taps, 0)
        columns = max(r.out[1], -(-r.size[1] // r.stride[1])) + 2 * r.kernel[1] * r.dilate[1]
        return last.sweep_scratch(workers, rows, columns, r.filters, taps, 0)
    finally:
        last.BOX = before


def run(kernel, r, elements, operands, shape, activation=0):
    """Runs a kernel; the scratch is full of NaN and guarded behind its end."""
    dtype = operands[0].dtype
    scratch = np.full(elements + 4096, np.nan, dtype)
    out = np.full(shape, np.nan, dtype)
    _core.run_kernel(f"{kernel}.{dtype}", args(r, elements, activation), [*operands, out, scratch])
    assert np.isnan(scratch[elements:]).all()
    return out


def packed(r, w, turned=False):
    rows, width = (r.filters, r.channels) if turned else (r.channels, r.filters)
    out = np.full(int(np.prod(r.kernel)) * rows * last.up(width, 16) + 64, np.nan, w.dtype)
    _core.run_kernel(f"conv_last_{'turned' if turned else 'weights'}.{w.dtype}", args(r, 0), [w, out])
    assert np.isnan(out[-64:]).all()
    return out


def weight_scratch(r, workers, strip):
    wide = last.up(r.filters, 16)
    terms = int(np.prod(r.kernel)) * r.channels
    per_thread = last.up(max(strip, r.out[1]) * (min(wide, 512) + min(terms, 256) + 48) + 512)
    many = terms * wide <= last.SUMS_OF_A_PART and r.batch * int(np.prod(r.out)) >= last.MANY_PIXELS
    return (last.PARTS if many else 1) * last.up(terms * wide) + workers * per_thread


def three(r, x, w, dy, workers, extra):
    more = workers * extra
    y = run(
        "conv_last_forward",
        r,
        least(r, "forward", workers) + more,
        [to_last(x), packed(r, w), None, None, None],
        (r.batch, *r.out, r.filters),
    )
    dx = run(
        "conv_last_data_gradient",
        r,
        least(r, "data", workers) + more,
        [to_last(dy), packed(r, w, turned=True), None, None, None],
        (r.batch, *r.size, r.channels),
    )
    dw = run(
        "conv_last_weight_gradient",
        r,
        weight_scratch(r, workers, 256 if extra else 1),
        [to_last(x), to_last(dy)],
        r.w_shape,
    )
    return to_first(y), to_first(dx), dw


@pytest.mark.parametrize("extra", [0, 1 << 17], ids=["little scratch", "enough scratch"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_three_kernels(case, dtype, threads, rng, extra):  # noqa: F811
    r = Reference(case)
    x, w, dy = (rng.standard_normal(s).astype(dtype) for s in (r.x_shape, r.w_shape, r.y_shape))
    y, dx, dw = three(r, x, w, dy, threads, extra)
    taps = int(np.prod(r.kernel))
    check(y, r.forward(x, w), taps * r.channels)
    check(dx, r.data_gradient(dy, w), taps * r.filters)
    check(dw, r.weight_gradient(x, dy), r.batch * int(np.prod(r.out)))


def random_case(seed):
    draw = random.Random(seed)
    while True:
        kernel = tuple(draw.choice([1, 2, 3, 5]) for _ in range(2))
        stride = tuple(draw.choice([1, 1, 2, 3]) for _ in range(2))
        dilate = (1, 1) if max(stride) > 1 else tuple(draw.choice([1, 1, 2]) for _ in range(2))
        pad, size = (tuple(draw.choice(c) for _ in range(2)) for c in ([0, 1, 3], range(1, 30)))
        case = (draw.randint(1, 3), draw.choice([1, 3, 17, 40]), draw.choice([1, 16, 20, 50]), 1)
        case = (*case, size, kernel, stride, dilate, pad)
        if min(out_size(size, kernel, stride, dilate, pad)) > 0:
            return case


@pytest.mark.parametrize("seed", range(30))
def test_random_sizes(seed):
    test_three_kernels(random_case(seed), np.float32, _core.thread_count(), np.random.default_rng(seed), 1 << 17)


def test_threads_do_not_change_the_result(rng):  # noqa: F811
    for case in (*CASES[:11], CASES[-1]):
        r = Reference(case)
        x, w, dy = (rng.standard_normal(s).astype(np.float32) for s in (r.x_shape, r.w_shape, r.y_shape))
        before, results = _core.thread_count(), []
        for count in (1, 2, 3):
            _core.set_thread_count(count)
            results.append(three(r, x, w, dy, count, 1 << 17))
        _core.set_thread_count(before)
        for other in results[1:]:
            for a, b in zip(results[0], other, strict=True):
                np.testing.assert_array_equal(a, b)


def ridden(sums, riders, bias, residual, scale, activation):
    """What the riders make of exact sums of convolution; they and the sums have their channels second."""
    sums = sums * scale[:, None, None] if "scale" in riders else sums
    sums = sums + bias[:, None, None] if "bias" in riders else sums
    return ACTIVATIONS[activation](sums + residual if "residual" in riders else sums)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("riders", ["", "bias", "residual", "bias residual", "scale bias", "scale bias residual"])
@pytest.mark.parametrize("case", [CASES[2], CASES[4], CASES[10]], ids=str)
def test_riders(case, activation, riders, rng):  # noqa: F811
    r = Reference(case)
    x, w, residual = (rng.standard_normal(s).astype(np.float32) for s in (r.x_shape, r.w_shape, r.y_shape))
    w /= np.sqrt(np.prod(r.w_shape[1:])).astype(np.float32)  # sums of order one: activations do not hide their errors
    bias, scale = (rng.standard_normal(r.filters).astype(np.float32) for _ in range(2))
    want = ridden(r.forward(x, w), riders, bias, residual, scale, activation)
    all_riders = {"bias": bias, "residual": to_last(residual), "scale": scale}
    given = [v if name in riders.split() else None for name, v in all_riders.items()]
    elements = least(r, "forward", _core.thread_count()) + (1 << 18)
    out = (r.batch, *r.out, r.filters)
    y = run("conv_last_forward", r, elements, [to_last(x), packed(r, w), *given], out, activation)
    check(to_first(y), want, r.channels * 9)
    if "residual" in riders:
        target, scratch = all_riders["residual"], np.full(elements, np.nan, np.float32)
        operands = [to_last(x), packed(r, w), *given, target, scratch]
        _core.run_kernel("conv_last_forward.float32", args(r, elements, activation), operands)
        np.testing.assert_array_equal(target, y)  # in place


@pytest.mark.parametrize("gate", [False, True])
@pytest.mark.parametrize("case", [CASES[2], CASES[4], CASES[5], CASES[10], CASES[13]], ids=str)
def test_riders_of_data_gradients(case, gate, rng):  # noqa: F811
    """Also where a stride leaves pixels out."""
    r = Reference(case)
    dy, w, residual = (rng.standard_normal(s).astype(np.float32) for s in (r.y_shape, r.w_shape, r.x_shape))
    want = r.data_gradient(dy, w)
    want = want * (residual > 0) if gate else want + residual
    elements = least(r, "data", _core.thread_count()) + (1 << 18)
    shape, activation = (r.batch, *r.size, r.channels), GATE if gate else 0
    operands = [to_last(dy), packed(r, w, turned=True), None, to_last(residual), None]
    dx = run("conv_last_data_gradient", r, elements, operands, shape, activation)
    check(to_first(dx), want, r.filters * int(np.prod(r.kernel)))
    if not gate:
        target, scratch = operands[3], np.full(elements, np.nan, np.float32)
        _core.run_kernel("conv_last_data_gradient.float32", args(r, elements), [*operands, target, scratch])
        np.testing.assert_array_equal(target, dx)  # in place


def test_relu_keeps_nan(rng):  # noqa: F811
    r = Reference(CASES[1])
    x, w = (rng.standard_normal(s).astype(np.float32) for s in (r.x_shape, r.w_shape))
    x[0, 0, 0, 0] = np.nan
    elements = least(r, "forward", _core.thread_count()) + (1 << 17)
    operands = [to_last(x), packed(r, w), None, None, None]
    y = to_first(run("conv_last_forward", r, elements, operands, (r.batch, *r.out, r.filters), RELU))
    assert np.isnan(y[0, :, :2, :2]).all() and np.isfinite(y[0, :, 2:, 2:]).all()


# ---- Winograd -----------------------------------------------------------------------------------------------------------

WINDOW = ((3, 3), (1, 1), (1, 1))
STEP = ((4, 4), (2, 2), (1, 1))
TILED = [
    (2, 32, 48, 1, (14, 14), *WINDOW, (1, 1)),
    (1, 130, 70, 1, (7, 9), *WINDOW, (1, 1)),
    (3, 5, 16, 1, (9, 10), *WINDOW, (0, 0)),
    (1, 3, 20, 1, (5, 5), *WINDOW, (2, 2)),
    (1, 16, 16, 1, (3, 3), *WINDOW, (0, 0)),
    (2, 40, 100, 1, (31, 3), *WINDOW, (1, 2)),
    (2, 20, 48, 1, (16, 16), *STEP, (1, 1)),
    (3, 67, 37, 1, (13, 10), *STEP, (1, 1)),
    (1, 3, 20, 1, (7, 6), *STEP, (0, 2)),
    (1, 16, 16, 1, (4, 4), *STEP, (0, 0)),
    (2, 1, 33, 1, (1, 2), *STEP, (2, 1)),
    (2, 18, 24, 1, (9, 5), (2, 2), (1, 1), (1, 1), (0, 1)),
]
WAYS = [(case, tile) for case in TILED for tile in (2, 4) if tile == 4 or case[5] == (3, 3)]


def way_of(r, tile, backward=False):
    """What a tile is transformed to, and the channels that it has, and all transformed weights of one of `width`."""
    elements, phases = (tile + r.kernel[0] // r.stride[0] - 1) ** 2, r.stride[0] ** 2
    depth = r.filters if backward else phases * r.channels
    return elements, depth, elements * (phases if backward else 1) * depth


def by_winograd(r, tile, dtype, operands, weights, backward, workers, tiles, activation=0):
    width = r.channels if backward else r.filters
    each, depth, terms = way_of(r, tile, backward)
    elements = workers * last.up(each * (depth + width + width // 8 + 80) * tiles)
    transformed = np.full(terms * last.up(width, 16) + 64, np.nan, dtype)
    making = f"conv_winograd_{'turned' if backward else 'weights'}.{weights.dtype}"
    _core.run_kernel(making, args(r, 0, tile=tile), [weights, transformed])
    assert np.isnan(transformed[-64:]).all()
    out = np.full((r.batch, *(r.size if backward else r.out), width), np.nan, dtype)
    scratch = np.full(elements + 4096, np.nan, dtype)
    kernel = f"conv_winograd_{'data_gradient' if backward else 'forward'}.{weights.dtype}"
    operands = [operands[0], transformed, *operands[1:], out, scratch]
    _core.run_kernel(kernel, args(r, elements, activation, tile), operands)
    assert np.isnan(scratch[elements:]).all()
    return to_first(out)


def sums_by_winograd(r, tile, x, dy, tiles, workers=0):
    """With a scratch for all sums and so many tiles, or for blocks of sums of so many workers and all tiles."""
    each, depth, _ = way_of(r, tile)
    if workers:
        way = last.Tiling(tile, r.kernel[0] // r.stride[0], r.stride[0] ** 2)
        tiles = r.batch * -(-r.out[0] // tile) * -(-r.out[1] // tile)
        elements = last.winograd_blocks_scratch(workers, way, depth, r.filters, tiles)
    else:
        elements = last.winograd_sums_scratch(each, depth, r.filters, tiles)
    out, scratch = np.full(r.w_shape, np.nan, x.dtype), np.full(elements + 4096, np.nan, x.dtype)
    kernel = f"conv_winograd_weight_gradient.{x.dtype}"
    _core.run_kernel(kernel, args(r, elements, tile=tile), [to_last(x), to_last(dy), out, scratch])
    assert np.isnan(scratch[elements:]).all()
    return out


# Tiles of four lose two to three times as much to rounding as a sum, as sums of four to nine times as many terms do.
LOSES = {2: 1, 4: 16}


@pytest.mark.parametrize("tiles", [1, 200, 0], ids=["a tile at a time", "many tiles", "blocks of sums"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case, tile", WAYS, ids=str)
def test_winograd_weight_gradient(case, dtype, tile, tiles, threads, rng):  # noqa: F811
    r = Reference(case)
    x, dy = (rng.standard_normal(s).astype(dtype) for s in (r.x_shape, r.y_shape))
    terms = np.prod(r.y_shape[2:]) * r.batch * LOSES[tile]
    sums = sums_by_winograd(r, tile, x, dy, tiles, workers=0 if tiles else threads)
    check(sums, r.weight_gradient(x, dy), terms)


@pytest.mark.parametrize("window, tile", [(WINDOW, 2), (WINDOW, 4), (STEP, 4)], ids=str)
def test_winograd_weight_gradient_on_any_number_of_threads(window, tile, rng):  # noqa: F811
    r = Reference((1, 140, 100, 1, (14, 14), *window, (1, 1)))  # whose sums need more room than blocks of them
    x, dy = (rng.standard_normal(s).astype(np.float32) for s in (r.x_shape, r.y_shape))
    before, at_once, cut = _core.thread_count(), [], []
    for count in (1, 2, 3):
        _core.set_thread_count(count)
        at_once += [sums_by_winograd(r, tile, x, dy, 100), sums_by_winograd(r, tile, x, dy, 0, workers=count)]
        cut.append(sums_by_winograd(r, tile, x, dy, 5))
    _core.set_thread_count(before)
    for results in (at_once, cut):
        for other in results[1:]:
            np.testing.assert_array_equal(results[0], other)


@pytest.mark.parametrize("tiles", [1, 30], ids=["a tile at a time", "many tiles"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case, tile", WAYS, ids=str)
def test_winograd(case, dtype, tile, tiles, threads, rng):  # noqa: F811
    r = Reference(case)
    x, w, dy = (rng.standard_normal(s).astype(dtype) for s in (r.x_shape, r.w_shape, r.y_shape))
    bias, scale = (rng.standard_normal(r.filters).astype(dtype) for _ in range(2))
    terms = r.channels * int(np.prod(r.kernel)) * LOSES[tile]
    y = by_winograd(r, tile, dtype, [to_last(x), None, None, None], w, False, threads, tiles)
    check(y, r.forward(x, w), terms)
    riders = [bias, to_last(dy), scale]
    y = by_winograd(r, tile, dtype, [to_last(x), *riders], w, False, threads, tiles, RELU)
    column = (slice(None), None, None)
    check(y, np.maximum(r.forward(x, w) * scale[column] + bias[column] + dy, 0), terms)
    terms = r.filters * int(np.prod(r.kernel)) * LOSES[tile]
    dx = by_winograd(r, tile, dtype, [to_last(dy), None, None, None], w, True, threads, tiles)
    check(dx, r.data_gradient(dy, w), terms)
    dx = by_winograd(r, tile, dtype, [to_last(dy), None, to_last(x), None], w, True, threads, tiles, GATE)
    check(dx, r.data_gradient(dy, w) * (x > 0), terms)


@pytest.mark.parametrize("case, tile", [(TILED[0], 2), (TILED[0], 4), (TILED[6], 4)], ids=str)
def test_winograd_gives_the_same_on_any_number_of_threads(case, tile, rng):  # noqa: F811
    r = Reference(case)
    x, w = (rng.standard_normal(s).astype(np.float32) for s in (r.x_shape, r.w_shape))
    before, results = _core.thread_count(), []
    for count in (1, 2, 3):
        _core.set_thread_count(count)
        results.append(by_winograd(r, tile, np.float32, [to_last(x), None, None, None], w, False, count, 20, 3))
    _core.set_thread_count(before)
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_small_tiles_are_as_exact_as_a_sum(rng):  # noqa: F811
    r = Reference((1, 256, 32, 1, (12, 12), *WINDOW, (1, 1)))
    x, w = (rng.standard_normal(s).astype(np.float32) for s in (r.x_shape, r.w_shape))
    want, workers = r.forward(x, w), _core.thread_count()
    elements = least(r, "forward", workers) + (1 << 18)
    operands = [to_last(x), packed(r, w), None, None, None]
    direct = to_first(run("conv_last_forward", r, elements, operands, (r.batch, *r.out, r.filters)))
    tiled = by_winograd(r, 2, np.float32, [to_last(x), None, None, None], w, False, workers, 20)
    assert np.square(tiled - want).mean() < np.square(direct - want).mean()


# ---- pooling ------------------------------------------------------------------------------------------------------------

POOLS = [
    # batch, channels, in, kernel, stride, pad
    (2, 16, (8, 8), (2, 2), (2, 2), (0, 0)),
    (2, 37, (9, 7), (3, 3), (2, 2), (1, 1)),
    (1, 5, (6, 6), (3, 2), (1, 1), (1, 0)),
    (3, 70, (5, 5), (5, 5), (1, 1), (0, 0)),
    (1, 130, (1, 40), (1, 3), (1, 2), (0, 1)),
]


@pytest.mark.parametrize("include", [0, 1])
@pytest.mark.parametrize("kind", [0, 1, 2], ids=["max", "avg", "sum"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", POOLS, ids=str)
def test_pool_equals_the_planar_one(case, dtype, kind, include, threads, rng):  # noqa: F811
    batch, channels, size, kernel, stride, pad = case
    out = [(n + 2 * q - k) // s + 1 for n, k, s, q in zip(size, kernel, stride, pad, strict=True)]
    x = rng.integers(-3, 4, (batch, channels, *size)).astype(dtype)  # with ties
    dy = rng.standard_normal((batch, channels, *out)).astype(dtype)
    common = {"type": kind, "count_include_pad": include}
    windows = {"in": size, "out": out, "kernel": kernel, "stride": stride, "pad": pad}
    ours = {"batch": batch, "channels": channels, **common, **{k: list(v) for k, v in windows.items()}}
    fill = {"pad": 0}
    planar = {
        "planes": batch * channels,
        "p": 0.0,
        **common,
        **{k: [fill.get(k, 1), *v] for k, v in windows.items()},
    }
    y, want = np.full(to_last(dy).shape, np.nan, dtype), np.full(dy.shape, np.nan, dtype)
    _core.run_kernel(f"pool_last_forward.{x.dtype}", ours, [to_last(x), y])
    _core.run_kernel(f"pool_forward.{x.dtype}", planar, [x, want])
    np.testing.assert_allclose(to_first(y), want, rtol=4 * np.finfo(dtype).eps, atol=1e-30)
    dx, want = np.full(to_last(x).shape, np.nan, dtype), np.full(x.shape, np.nan, dtype)
    _core.run_kernel(f"pool_last_backward.{x.dtype}", ours, [to_last(dy), to_last(x), dx])
    _core.run_kernel(f"pool_backward.{x.dtype}", planar, [dy, x, None, want])
    np.testing.assert_allclose(to_first(dx), want, rtol=16 * np.finfo(dtype).eps, atol=16 * np.finfo(dtype).eps)
