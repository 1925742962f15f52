"""Pooling."""

import itertools

import numpy as np

from . import Case, real


class Twin:
    def __init__(self, size, out, kernel, pool_type, stride=None, pad=None, p_value=None, count_include_pad=True):
        n = len(size)
        self.size, self.out, self.kernel = size, out, kernel
        self.stride, self.pad = stride or (1,) * n, pad or (0,) * n
        self.type, self.p, self.include = pool_type, p_value, count_include_pad

    def windows(self):
        for o in itertools.product(*map(range, self.out)):
            at, count = [], 1
            for i, n, k, s, p in zip(o, self.size, self.kernel, self.stride, self.pad, strict=True):
                start = i * s - p
                at.append(slice(max(0, start), min(start + k, n)))
                count *= min(start + k, n + p) - start
            yield (..., *o), (..., *at), count

    def __call__(self, x):
        y = np.zeros((*x.shape[:2], *self.out))
        for o, at, count in self.windows():
            part = x[at].reshape(*x.shape[:2], -1)
            if self.type == "max":
                y[o] = part.max(-1)
            elif self.type == "lp":
                y[o] = (np.abs(part) ** self.p).sum(-1) ** (1 / self.p)
            else:
                divisor = 1 if self.type == "sum" else count if self.include else part.shape[-1]
                y[o] = part.sum(-1) / divisor
        return y

    def gradient(self, shape):
        def twin(dy, x=None, y=None):
            dx = np.zeros(shape)
            for o, at, count in self.windows():
                part = dx[at]
                if self.type == "max":
                    values = x[at].reshape(*shape[:2], -1)
                    winner = np.zeros_like(values)
                    np.put_along_axis(winner, values.argmax(-1)[..., None], dy[o][..., None], -1)
                    part += winner.reshape(part.shape)
                    continue
                g = dy[o].reshape(*shape[:2], *[1] * len(self.size))
                if self.type == "lp":
                    total = y[o].reshape(g.shape)
                    part += g * np.sign(x[at]) * (np.abs(x[at]) / total) ** (self.p - 1)
                else:
                    pixels = int(np.prod(part.shape[2:]))
                    part += g / (1 if self.type == "sum" else count if self.include else pixels)
            return dx

        return twin


def pool(data, out, kernel, pool_type="max", given=None, **params):
    """`given` is what the operator is told besides, or instead of a window."""
    twin = Twin(data[2:], out, kernel, pool_type, **params)
    told = {"kernel": kernel, "pool_type": pool_type, **params, **(given or {})}
    x = real(*data, distinct=True) if pool_type == "max" else real(*data, away_from=(0,))
    return Case("Pooling", [x], told, twin, length=int(np.prod(kernel)))


def gradient(data, out, kernel, pool_type, given=None, **params):
    twin = Twin(data[2:], out, kernel, pool_type, **params)
    inputs = [real(*data[:2], *out), real(*data, distinct=True), real(*data[:2], *out, low=2.0, high=3.0)]
    inputs = inputs[: {"max": 2, "lp": 3}.get(pool_type, 1)]
    told = {"kernel": kernel, "pool_type": pool_type, "shape": data, **params, **(given or {})}
    return Case("_pooling_gradient", inputs, told, twin.gradient(data), grads=(), length=int(np.prod(kernel)))


def last(twin):
    return lambda x: np.moveaxis(twin(np.moveaxis(x, -1, 1)), 1, -1)


FULL = {"pooling_convention": "full"}
WHOLE = {"global_pool": True}

CASES = [
    pool((2, 3, 7, 8), (3, 4), (2, 2), stride=(2, 2)),
    pool((2, 3, 7, 8), (3, 4), (3, 3), stride=(2, 2), given=FULL | {"pad": (0, 0)}),
    pool((2, 3, 7, 8), (4, 7), (3, 2), pad=(1, 0), stride=(2, 1), given={"cudnn_off": True}),
    pool((2, 3, 7, 7), (4, 4), (3, 3), "avg", stride=(2, 2), pad=(1, 1), given=FULL),
    pool((2, 3, 6, 6), (4, 4), (3, 3), "avg", stride=(2, 2), pad=(1, 1), count_include_pad=False, given=FULL),
    pool((2, 3, 5, 6), (4, 4), (2, 3), "sum", given={"layout": "NCHW"}),
    pool((2, 3, 6, 6), (3, 3), (2, 2), "lp", stride=(2, 2), p_value=2),
    pool((2, 3, 6, 6), (5, 5), (2, 2), "lp", p_value=3),
    pool((2, 3, 5, 6), (1, 1), (5, 6), "avg", given=WHOLE | {"kernel": ()}),
    pool((2, 3, 5, 6), (1, 1), (5, 6), given=WHOLE | {"kernel": (2, 2), "stride": (3, 3)}),
    pool((2, 3, 9), (5,), (3,), stride=(2,), given={"pooling_convention": "same"}),
    pool((1, 2, 5, 4, 6), (2, 2, 3), (2, 2, 2), "avg", stride=(2, 2, 2)),
    pool((1, 2, 5, 4, 6), (3, 2, 3), (2, 2, 2), stride=(2, 2, 2), given=FULL),
    pool((2, 3, 7), (3,), (2,), "sum", stride=(2,), given={"layout": "NCW"}),
    pool((1, 2, 3, 4, 3), (2, 3, 2), (2, 2, 2), "avg", given={"layout": "NCDHW"}),
    *(
        Case(
            "Pooling",
            [real(2, *size, 3)],
            {"kernel": kernel, "pool_type": "avg", "stride": kernel, "layout": layout},
            last(Twin(size, out, kernel, "avg", kernel)),
            length=8,
        )
        for layout, size, kernel, out in (
            ("NWC", (7,), (2,), (3,)),
            ("NHWC", (6, 7), (2, 2), (3, 3)),
            ("NDHWC", (4, 2, 3), (2, 1, 2), (2, 2, 1)),
        )
    ),
    gradient((2, 3, 7, 8), (3, 4), (2, 2), "max", stride=(2, 2)),
    gradient((2, 3, 7, 7), (4, 4), (3, 3), "avg", stride=(2, 2), pad=(1, 1), count_include_pad=False),
    gradient((2, 3, 7), (6,), (2,), "sum"),
    gradient((2, 3, 5, 6), (1, 1), (5, 6), "avg", given=WHOLE | {"kernel": ()}),
    gradient((2, 3, 6, 6), (4, 4), (3, 3), "avg", stride=(2, 2), pad=(1, 1), given=FULL),
    gradient((2, 3, 9), (5,), (3,), "max", stride=(2,), given={"pooling_convention": "same"}),
    gradient((2, 3, 4, 4), (2, 2), (2, 2), "lp", stride=(2, 2), p_value=3),
]
