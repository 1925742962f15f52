"""Reductions."""

import numpy as np

from . import Case, real

NAN = np.nan
HOLES = np.array([[0.5, NAN, -1.25, 2.0], [NAN, NAN, 0.75, -0.5], [1.5, -1.0, NAN, 1.25]])
ONLY_HOLES = np.array([[NAN, NAN], [1.5, NAN]])


def over(function, axis=None, keepdims=False):
    """A twin: reducing everything gives one element with a shape, as in MXNet."""

    def twin(x):
        result = function(x, axis=axis, keepdims=keepdims)
        return np.reshape(result, (1,)) if np.ndim(result) == 0 else result

    return twin


def squares(x, axis, keepdims):
    return np.sum(x * x, axis=axis, keepdims=keepdims)


def magnitudes(x, axis, keepdims):
    return np.sum(np.abs(x), axis=axis, keepdims=keepdims)


def length(x, axis, keepdims):
    return np.sqrt(np.sum(x * x, axis=axis, keepdims=keepdims))


def everywhere(op, function, **options):
    """The parameters that all reductions share."""
    ranges = {k: options.pop(k) for k in ("low", "away_from", "distinct") if k in options}
    data = real(2, 3, 4, **ranges)
    return [
        Case(op, [data], {}, over(function), length=24, **options),
        Case(op, [data], {"axis": ()}, over(function), length=24, **options),
        Case(op, [data], {"axis": 1}, over(function, 1), length=3, **options),
        Case(op, [data], {"axis": (0, 2)}, over(function, (0, 2)), length=8, **options),
        Case(op, [data], {"axis": -1, "keepdims": True}, over(function, 2, True), length=4, **options),
        Case(op, [data], {"keepdims": True}, over(function, None, True), length=24, **options),
        Case(op, [data], {"axis": (1,), "exclude": True}, over(function, (0, 2)), length=8, **options),
        Case(op, [data], {"axis": (0, 1), "keepdims": True, "exclude": True}, over(function, 2, True), **options),
        Case(op, [real(1, 5, 1, **ranges)], {"axis": (0, 2)}, over(function, (0, 2)), **options),
        Case(op, [real(3, 1, 4, **ranges)], {"axis": 1}, over(function, 1), **options),
    ]


def position(function, axis, keepdims=False):
    return lambda x: function(x, axis=axis, keepdims=keepdims).astype(np.float32)


CASES = [
    *everywhere("sum", np.sum, dtypes=("float32", "float64", "int32", "int64")),
    *everywhere("mean", np.mean),
    *everywhere("prod", np.prod, low=0.5),
    *everywhere("max", np.max, distinct=True, dtypes=("float32", "float64", "int32")),
    *everywhere("min", np.min, distinct=True, dtypes=("float32", "float64", "int64")),
    *everywhere("nansum", np.nansum),
    *everywhere("nanprod", np.nanprod, low=0.5),
    *everywhere("_sum_squares", squares),
    *everywhere("_sum_abs", magnitudes, away_from=(0,)),
    Case("sum", [real(70, 300)], {"axis": 0}, over(np.sum, 0), length=70, half=False),
    Case("sum", [real(300, 70)], {"axis": 1}, over(np.sum, 1), length=70, half=False),
    Case("sum", [real(4, 30, 17)], {"axis": (0, 2)}, over(np.sum, (0, 2)), length=68),
    Case("sum", [real(40000)], {}, over(np.sum), length=40000, half=False),
    Case("sum", [real(2, 3, low=0, high=30)], {"axis": 1}, over(np.sum, 1), dtypes=("int8", "uint8"), half=False),
    Case("max", [real(2, 3, low=0, high=30)], {"axis": 1}, over(np.max, 1), dtypes=("int8", "uint8"), half=False),
    Case("nansum", [real(2, 3)], {"axis": 1}, over(np.sum, 1), dtypes=("int32",), half=False),
    Case("nanprod", [real(2, 3, low=-5, high=5)], {}, over(np.prod), dtypes=("int64",), half=False),
    Case("nansum", [HOLES], {"axis": 1}, over(np.nansum, 1), grads=()),
    Case("nansum", [ONLY_HOLES], {"axis": 0}, over(np.nansum, 0), grads=()),
    Case("nanprod", [HOLES], {"axis": 0}, over(np.nanprod, 0), grads=()),
    Case("nanprod", [ONLY_HOLES], {"axis": 1}, over(np.nanprod, 1), grads=()),
    Case("norm", [real(2, 3, 4)], {}, over(length), length=24),
    Case("norm", [real(2, 3, 4)], {"axis": (0, 1), "keepdims": True}, over(length, (0, 1), True), length=6),
    Case("norm", [real(2, 3, 4, away_from=(0,))], {"ord": 1, "axis": 1}, over(magnitudes, 1), length=3),
    Case("norm", [real(3, 4)], {"axis": -1, "out_dtype": "float64"}, over(length, -1), length=4),
    Case("norm", [real(3, 4)], {"out_dtype": "float32"}, over(length), length=12),
    Case("norm", [real(3, 4)], {"out_dtype": "float16"}, over(length), length=12),
    Case("norm", [np.array([[3.0, -4.0], [6.0, 8.0]])], {"axis": 1, "out_dtype": "int32"}, over(length, 1), grads=()),
    Case("norm", [np.array([[3.0, -4.0], [6.0, 8.0]])], {"axis": 1, "out_dtype": "int64"}, over(length, 1), grads=()),
    Case("norm", [np.array([[3.0, -4.0], [6.0, 8.0]])], {"axis": 1, "out_dtype": "int8"}, over(length, 1), grads=()),
    Case("norm", [np.array([[300, -400]], np.float16)], {}, lambda x: np.array([500.0]), grads=()),
    # The gradient of a vector of zeros is zero.
    Case("norm", [np.zeros((2, 3))], {"axis": 1}, over(length, 1), gradient=lambda x, g: [np.zeros((2, 3))]),
    Case("argmax", [real(3, 4, 5, distinct=True)], {"axis": 1}, position(np.argmax, 1), grads=()),
    Case("argmax", [real(3, 4, 5, distinct=True)], {"axis": -1, "keepdims": True}, position(np.argmax, 2, True)),
    Case("argmax", [real(3, 4, distinct=True)], {}, lambda x: np.array([np.argmax(x)], np.float32), grads=()),
    Case("argmax", [np.array([[1, 3, 3, 0], [2, 2, 2, 2]])], {"axis": 1}, position(np.argmax, 1), dtypes=("int32",)),
    Case("argmin", [real(3, 4, 5, distinct=True)], {"axis": 0}, position(np.argmin, 0), grads=()),
    Case("argmin", [real(3, 4, 5, distinct=True)], {"axis": 2, "keepdims": True}, position(np.argmin, 2, True)),
    Case("argmin", [real(3, 4, low=0, high=99)], {"axis": 1}, position(np.argmin, 1), dtypes=("uint8", "int64")),
    Case("argmax_channel", [real(3, 7, distinct=True)], {}, position(np.argmax, 1), grads=()),
    Case("argmax_channel", [real(3, 4, 2, distinct=True)], {}, position(np.argmax, 1), grads=()),
    Case(
        "moments", [real(2, 3, 4)], {}, lambda x: (x.mean(keepdims=True)[0, 0], x.var(keepdims=True)[0, 0]), length=24
    ),
    Case("moments", [real(2, 3, 4)], {"axes": (0, 2)}, lambda x: (x.mean((0, 2)), x.var((0, 2))), length=8),
    Case(
        "moments",
        [real(2, 3, 4)],
        {"axes": -1, "keepdims": True},
        lambda x: (x.mean(2, keepdims=True), x.var(2, keepdims=True)),
        length=4,
    ),
]
