"""Layer, instance, group and L2 normalisation."""

import numpy as np

from . import Case, real


def layer_norm(axis=-1, eps=1e-5, full=False):
    def twin(x, gamma, beta):
        shape = [1] * x.ndim
        shape[axis] = -1
        mean, std = x.mean(axis, keepdims=True), np.sqrt(x.var(axis, keepdims=True) + eps)
        y = (x - mean) / std * gamma.reshape(shape) + beta.reshape(shape)
        return (y, mean, std) if full else y

    return twin


def group_norm(groups=None, eps=1e-5, full=False):
    def twin(x, gamma, beta):
        rows = x.reshape(x.shape[0], groups or x.shape[1], -1)
        mean, std = rows.mean(2), np.sqrt(rows.var(2) + eps)
        y = (rows - mean[..., None]) / std[..., None] * gamma[:, None] + beta[:, None]
        return (y.reshape(x.shape), mean, std) if full else y.reshape(x.shape)

    return twin


def row_norm_gradient(rows, n, period):
    def twin(dy, x, gamma, mean, std):
        dy_, x_ = dy.reshape(rows, n), x.reshape(rows, n)
        xhat = (x_ - mean.reshape(-1, 1)) / std.reshape(-1, 1)
        each = np.resize(gamma, rows)[:, None] if period else gamma
        g = dy_ * each
        dx = (g - g.mean(1, keepdims=True) - xhat * (g * xhat).mean(1, keepdims=True)) / std.reshape(-1, 1)
        if period:
            sums = [v.sum(1).reshape(-1, period).sum(0) for v in (dy_ * xhat, dy_)]
        else:
            sums = [v.sum(0) for v in (dy_ * xhat, dy_)]
        return (dx.reshape(x.shape), *sums)

    return twin


def l2(axes, eps=1e-10):
    return lambda x: x / np.sqrt((x * x).sum(axes, keepdims=True) + eps)


def inputs(*shape, entries):
    return [real(*shape), real(entries, low=0.5, high=2.0), real(entries)]


CASES = [
    Case("LayerNorm", inputs(4, 5, 19, entries=19), {}, layer_norm(), length=19),
    Case("LayerNorm", inputs(3, 70, entries=70), {"eps": 1e-2, "axis": 1}, layer_norm(eps=1e-2), length=70),
    Case("LayerNorm", inputs(4, 7, 3, entries=7), {"axis": 1}, layer_norm(1), length=7, ulps=16),
    Case("LayerNorm", inputs(6, 3, entries=6), {"axis": -2}, layer_norm(-2), length=6, ulps=16),
    Case("LayerNorm", inputs(3, 5, 9, entries=9), {"output_mean_var": True}, layer_norm(full=True), length=9),
    Case("LayerNorm", inputs(40, 1500, entries=1500), {}, layer_norm(), length=1500),
    Case(
        "LayerNorm", inputs(5, 4, entries=5), {"axis": 0, "output_mean_var": True}, layer_norm(0, full=True), length=9
    ),
    Case("InstanceNorm", inputs(3, 4, 5, 7, entries=4), {}, group_norm(eps=1e-3), length=35),
    Case("InstanceNorm", inputs(2, 3, 9, entries=3), {"eps": 0.1}, group_norm(eps=0.1), length=9),
    Case("InstanceNorm", inputs(2, 3, 71, 67, entries=3), {}, group_norm(eps=1e-3), length=4757),
    Case("GroupNorm", inputs(3, 6, 5, 2, entries=3), {"num_groups": 3}, group_norm(3), length=20),
    Case("GroupNorm", inputs(3, 4, 7, entries=1), {"eps": 1e-2}, group_norm(1, 1e-2), length=28),
    Case(
        "GroupNorm",
        inputs(2, 4, 5, entries=2),
        {"num_groups": 2, "output_mean_var": True},
        group_norm(2, full=True),
        length=10,
    ),
    *[
        Case(
            "_row_norm_gradient",
            [real(*shape), real(*shape), real(period or n), real(rows), real(rows, low=0.5, high=2.0)],
            {"rows": rows, "n": n, "period": period, "eps": eps},
            row_norm_gradient(rows, n, period),
            (),
            length=max(rows, n),
        )
        for shape, rows, n, period, eps in (
            ((4, 3, 7), 12, 7, 3, 1e-5),
            ((5, 6), 5, 6, 0, 1e-3),
            ((37, 1200), 37, 1200, 0, 1e-5),
        )
    ],
    Case("L2Normalization", [real(3, 4, 5)], {}, l2((1, 2)), length=20),
    Case("L2Normalization", [real(3, 4, 5)], {"mode": "channel", "eps": 0.1}, l2((1,), 0.1), length=4),
    Case("L2Normalization", [real(3, 4, 2, 5)], {"mode": "spatial"}, l2((2, 3)), length=10),
]
