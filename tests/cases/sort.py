"""Operators that put elements into order: see tests/cases/__init__.py."""

import numpy as np

from . import Case, real, whole


def order(x, axis, k, ascend):
    """Positions of the first k of the order along an axis; equal elements stay in their order."""
    return np.argsort(x if ascend else -x, axis=axis, kind="stable").take(range(k or x.shape[axis]), axis)


def topk(ret_typ="indices", axis=-1, k=1, is_ascend=False, **_):
    def twin(x):
        shape = x.shape
        along = 0 if axis is None else axis
        x = x.ravel() if axis is None else x
        i = order(x, along, k, is_ascend)
        if ret_typ == "mask":
            mask = np.zeros_like(x)
            np.put_along_axis(mask, i, 1, along)
            return mask.reshape(shape)
        values = np.take_along_axis(x, i, along)
        return {"value": values, "indices": i.astype(float), "both": (values, i.astype(float))}[ret_typ]

    return twin


def sort(axis=-1, is_ascend=True):
    return topk("value", axis, 0, is_ascend)


def argsort(axis=-1, is_ascend=True, dtype="float32"):
    return topk("indices", axis, 0, is_ascend)


def pick_along(x, i):
    return np.take_along_axis(x, i.astype(int), 1)


def place_along(size):
    def twin(values, i):
        out = np.zeros((values.shape[0], size, *values.shape[2:]))
        np.put_along_axis(out, i.astype(int), values, 1)
        return out

    return twin


SMALL, DEEP = real(3, 7, distinct=True), real(2, 5, 3, distinct=True)
MANY = real(3, 900, distinct=True)
TIES = whole(4, 40, high=5)
COLUMNS = np.array([[[3, 0], [1, 2]], [[0, 3], [2, 1]]])
POSITIONS = {"grads": ()}

TOPK = [
    (SMALL, {"k": 3}),
    (SMALL, {"ret_typ": "value", "k": 2, "is_ascend": True}),
    (SMALL, {"ret_typ": "both", "k": 4}),
    (SMALL, {"ret_typ": "mask", "k": 2, "axis": 0}),
    (SMALL, {"ret_typ": "both", "k": 5, "axis": None, "dtype": "int32"}),
    (SMALL, {"ret_typ": "mask", "k": 5, "axis": None}),
    (DEEP, {"ret_typ": "both", "k": 2, "axis": 1, "dtype": "int64"}),
    (DEEP, {"ret_typ": "value", "k": 0, "axis": 0}),
    (DEEP, {"k": 3, "axis": -2, "dtype": "uint8", "is_ascend": True}),
    (MANY, {"ret_typ": "both", "k": 5}),
    (MANY, {"ret_typ": "both", "k": 100, "is_ascend": True, "dtype": "float64"}),
    (MANY, {"ret_typ": "value", "k": 700}),
]


def cases():
    for data, params in TOPK:
        grads = {} if params.get("ret_typ") in ("value", "both") else POSITIONS
        yield Case("topk", [data], params, topk(**params), half=data is not MANY, **grads)
    for data in (SMALL, DEEP):
        for axis in (-1, 0, None):
            yield Case("sort", [data], {"axis": axis}, sort(axis))
            yield Case("argsort", [data], {"axis": axis, "is_ascend": False}, argsort(axis, False), **POSITIONS)
    yield Case("sort", [MANY], {"is_ascend": False}, sort(-1, False), half=False)
    yield Case("argsort", [MANY], {"dtype": "int32"}, argsort(), half=False, **POSITIONS)
    for op, twin in (("sort", sort()), ("argsort", argsort())):
        kinds = ("int32", "int64", "uint8", "int8", "float32")
        yield Case(op, [TIES], {}, twin, dtypes=kinds, half=False, **POSITIONS)
        yield Case(
            op, [TIES], {"is_ascend": False}, sort(-1, False) if op == "sort" else argsort(-1, False), **POSITIONS
        )
    for ret_typ in ("both", "value", "indices"):
        params = {"k": 4, "ret_typ": ret_typ, "is_ascend": ret_typ != "value"}
        grads = POSITIONS if ret_typ == "indices" else {}
        yield Case("_order", [SMALL], params, topk(**params), **grads)
    yield Case("_order", [SMALL], {"k": 1}, topk("both"))
    yield Case("_pick_along", [real(2, 4, 2), COLUMNS], {"axis": 1}, pick_along)
    yield Case("_pick_along", [real(3, 2), np.array([[2, 0]])], {"axis": 0}, lambda x, i: np.take_along_axis(x, i, 0))
    yield Case("_place_along", [real(2, 2, 2), COLUMNS], {"axis": 1, "size": 4}, place_along(4))
    yield Case("_place_along", [real(2, 2, 2), COLUMNS], {"axis": 1, "size": 5}, place_along(5))
    one = np.array([[1, 0]])
    yield Case(
        "_place_along",
        [real(1, 2), one],
        {"axis": 0, "size": 2},
        lambda v, i: np.stack([v[0] * (1 - i[0]), v[0] * i[0]]),
    )


CASES = list(cases())
