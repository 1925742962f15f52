"""Softmax and its kin."""

import numpy as np

from . import Case, real, whole

AXIS_SIZES = [((3, 5), -1), ((2, 5, 3), 1), ((4, 3, 2), 0)]


def softmax(x, axis=-1, scale=1.0):
    e = np.exp(scale * (x - (x.max if scale > 0 else x.min)(axis=axis, keepdims=True)))
    return e / e.sum(axis=axis, keepdims=True)


def log_softmax(x, axis=-1, scale=1.0):
    return np.log(softmax(x, axis, scale))


def slope(axis=-1, scale=1.0):
    return lambda g, y: scale * y * (g - (g * y).sum(axis=axis, keepdims=True))


def log_slope(axis=-1, scale=1.0):
    return lambda g, y: scale * (g - np.exp(y) * g.sum(axis=axis, keepdims=True))


def with_length(axis):
    def twin(x, length):
        out = np.zeros_like(x)
        rows, results = np.moveaxis(x, axis, -1), np.moveaxis(out, axis, -1)
        for i in np.ndindex(length.shape):
            n = int(np.clip(length[i], 0, x.shape[axis]))
            if n:
                results[i][:n] = softmax(rows[i][:n])
        return out

    return twin


CASES = [
    *(Case("softmax", [real(*s)], {"axis": a}, lambda x, a=a: softmax(x, a), length=5) for s, a in AXIS_SIZES),
    *(Case("log_softmax", [real(*s)], {"axis": a}, lambda x, a=a: log_softmax(x, a), length=5) for s, a in AXIS_SIZES),
    *(Case("softmin", [real(*s)], {"axis": a}, lambda x, a=a: softmax(-x, a), length=5) for s, a in AXIS_SIZES),
    Case("softmax", [real(30, 700)], {}, softmax, length=700, half=False),
    Case("log_softmax", [real(2, 70, 400)], {"axis": 1}, lambda x: log_softmax(x, 1), length=70, half=False),
    Case("softmax", [real(3, 5)], {"temperature": 2.5}, lambda x: softmax(x, scale=0.4), length=5),
    Case("log_softmax", [real(3, 5)], {"temperature": 0.5}, lambda x: log_softmax(x, scale=2), length=5),
    Case("softmin", [real(3, 5)], {"temperature": 4.0}, lambda x: softmax(x, scale=-0.25), length=5),
    *(
        Case(op, [real(3, 5)], {"dtype": dtype}, twin, length=5, half=False)
        for op, twin in (("softmax", softmax), ("log_softmax", log_softmax), ("softmin", lambda x: softmax(-x)))
        for dtype in ("float16", "float32", "float64")
    ),
    Case("softmax", [whole(3, 5)], {"dtype": "float64"}, softmax, length=5, dtypes=("int32",), half=False),
    Case("softmax", [whole(3, 5)], {}, softmax, length=5, dtypes=("int64",), half=False),
    Case("softmax", [real(3, 5), whole(3, low=0, high=7)], {"use_length": True}, with_length(1), length=5),
    Case(
        "softmax",
        [real(3, 5, 4), whole(3, 4, low=-1, high=7, dtype="int32")],
        {"use_length": True, "axis": 1, "temperature": 1.0},
        with_length(1),
        length=5,
    ),
    Case("_softmax_grad", [real(3, 5), real(3, 5, low=0, high=0.4)], {}, slope(), length=5),
    Case("_softmax_grad", [real(2, 5, 3), real(2, 5, 3, low=0)], {"axis": 1, "scale": -0.5}, slope(1, -0.5), length=5),
    Case("_softmax_grad", [real(3, 5), real(3, 5, high=0)], {"log_softmax": True}, log_slope(), length=5),
    Case(
        "_softmax_grad",
        [real(2, 5, 3), real(2, 5, 3, high=0)],
        {"axis": 1, "scale": 2.0, "log_softmax": True},
        log_slope(1, 2),
        length=5,
    ),
    Case("SoftmaxActivation", [real(3, 5)], {}, softmax, length=5),
    Case("SoftmaxActivation", [real(3, 2, 5)], {}, lambda x: softmax(x.reshape(3, 10)).reshape(x.shape), length=10),
    Case("SoftmaxActivation", [real(3, 5)], {"mode": "channel"}, softmax, length=5),
    Case("SoftmaxActivation", [real(2, 5, 2, 3)], {"mode": "channel"}, lambda x: softmax(x, 1), length=5),
]
