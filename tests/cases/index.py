"""Operators that are told by numbers where to read or write."""

import numpy as np

from . import Case, real, whole


def clip(i, n):
    return np.clip(i, 0, n - 1).astype(int)


def wrap(i, n):
    return i.astype(int) % n


def scatter(shape, add=False):
    def twin(values, i):
        out = np.zeros(shape, values.dtype)
        i = tuple(i.astype(int))
        if add:
            np.add.at(out, i, values)
        else:
            out[i] = values
        return out

    return twin


def scatter_set(x, values, i):
    out = x.copy()
    out[tuple(i.astype(int))] = values
    return out


def scatter_add(size, axis, fit=clip):
    def twin(values, i):
        shape = (*values.shape[:axis], size, *values.shape[axis + i.ndim :])
        out = np.zeros(shape, values.dtype)
        np.add.at(
            np.moveaxis(out, axis, 0), fit(i, size), np.moveaxis(values, range(axis, axis + i.ndim), range(i.ndim))
        )
        return out

    return twin


def place(size, axis, fit=clip):
    def twin(values, i):
        out = np.zeros((*values.shape[:axis], size, *values.shape[axis + 1 :]), values.dtype)
        np.put_along_axis(out, fit(i, size), values, axis)
        return out

    return twin


def ravel(shape):
    return lambda i: np.ravel_multi_index(i.astype(int), shape)


def one_hot(depth, on=1.0, off=0.0):
    return lambda i: np.where(i[..., None] == np.arange(depth), on, off)


def fill_rows(x, values, i):
    out = x.copy()
    out[np.arange(len(x)), i.astype(int)] = values
    return out


# Each coordinate once: what scatter_nd leaves where several meet is not a function to differentiate.
COLUMNS = np.array([[0, 2, 1, 3], [4, 0, 0, 2]])

CASES = [
    Case("take", [real(5, 3), whole(2, 4, low=-2, high=7)], {}, lambda a, i: a[clip(i, 5)], length=8),
    Case("take", [real(5, 3), whole(4, low=-7, high=9)], {"mode": "wrap"}, lambda a, i: a[wrap(i, 5)], length=4),
    Case("take", [real(2, 5, 3), whole(7, high=5)], {"axis": 1}, lambda a, i: a[:, i.astype(int)], length=7),
    Case("take", [real(2, 5), whole(3, high=5)], {"axis": -1}, lambda a, i: a[:, i.astype(int)], length=3),
    Case("take", [real(6), whole(3, 2, high=6, dtype="int32")], {}, lambda a, i: a[i.astype(int)], length=6),
    Case("_scatter_add", [real(2, 4, 3), whole(2, 4, low=-1, high=7)], {"size": 5}, scatter_add(5, 0), length=8),
    Case(
        "_scatter_add",
        [real(2, 6, 3), whole(6, low=-4, high=8)],
        {"size": 4, "axis": 1, "mode": "wrap"},
        scatter_add(4, 1, wrap),
        length=6,
    ),
    Case(
        "Embedding",
        [whole(2, 4, low=-1, high=7), real(5, 3)],
        {"input_dim": 5, "output_dim": 3},
        lambda i, w: w[clip(i, 5)],
        length=8,
    ),
    Case(
        "Embedding",
        [whole(6, high=9, dtype="int32"), real(9, 4)],
        {"input_dim": 9, "output_dim": 4, "dtype": "float64", "sparse_grad": True},
        lambda i, w: w[i.astype(int)],
        length=6,
    ),
    Case("pick", [real(4, 5), whole(4, low=-1, high=7)], {}, lambda x, i: x[np.arange(4), clip(i, 5)]),
    Case(
        "pick",
        [real(4, 5, 3), whole(4, 1, 3, low=-7, high=9)],
        {"axis": 1, "keepdims": True, "mode": "wrap"},
        lambda x, i: np.take_along_axis(x, wrap(i, 5), 1),
    ),
    Case(
        "pick",
        [real(4, 5, 3), whole(5, 3, high=4)],
        {"axis": 0, "keepdims": True},
        lambda x, i: np.take_along_axis(x, clip(i, 4)[None], 0),
    ),
    Case("_place", [real(4, 1), whole(4, 1, low=-1, high=7)], {"size": 5, "axis": 1}, place(5, 1)),
    Case(
        "_place",
        [real(4, 1, 3), whole(4, 1, 3, low=-7, high=7)],
        {"size": 3, "axis": 1, "mode": "wrap"},
        place(3, 1, wrap),
    ),
    Case("_place", [real(1, 3), whole(1, 3, high=4)], {"size": 4, "axis": 0}, place(4, 0)),
    Case("batch_take", [real(4, 5), whole(4, high=5)], {}, lambda x, i: x[np.arange(4), i.astype(int)]),
    Case("fill_element_0index", [real(4, 5), real(4), whole(4, high=5)], {}, fill_rows),
    Case("one_hot", [whole(2, 3, low=-1, high=6)], {"depth": 4}, one_hot(4), grads=[]),
    Case(
        "one_hot",
        [whole(5, high=3)],
        {"depth": 3, "on_value": 2.5, "off_value": -1, "dtype": "float64"},
        one_hot(3, 2.5, -1),
        grads=[],
    ),
    Case(
        "one_hot",
        [whole(5, high=300)],
        {"depth": 300, "on_value": 7, "dtype": "uint8"},
        one_hot(300, 7, 0),
        grads=[],
    ),
    Case("_onehot_encode", [whole(4, high=5), real(4, 5)], {}, lambda i, x: one_hot(5)(i), grads=[]),
    Case("gather_nd", [real(4, 5), whole(2, 7, high=4)], {}, lambda x, i: x[tuple(i.astype(int))], length=7),
    Case("gather_nd", [real(4, 5, 3), whole(1, 2, 3, low=-4, high=4)], {}, lambda x, i: x[i[0].astype(int)], length=6),
    Case("gather_nd", [real(4, 5, 3), COLUMNS], {}, lambda x, i: x[tuple(i.astype(int))]),
    Case("scatter_nd", [real(4), COLUMNS], {"shape": (4, 5)}, scatter((4, 5))),
    Case("scatter_nd", [real(4, 3), COLUMNS], {"shape": (4, 5, 3)}, scatter((4, 5, 3))),
    Case("_backward_gather_nd", [real(9), whole(2, 9, high=3)], {"shape": (3, 3)}, scatter((3, 3), True), length=9),
    Case("_backward_gather_nd", [real(6, 2), whole(1, 6, high=4)], {"shape": (4, 2)}, scatter((4, 2), True), length=6),
    Case("_scatter_set_nd", [real(4, 5), real(4), COLUMNS], {"shape": (4, 5)}, scatter_set),
    Case("_scatter_set_nd", [real(4, 5, 2), real(4, 2), COLUMNS], {"shape": (4, 5, 2)}, scatter_set),
    Case(
        "_contrib_index_copy",
        [real(5, 3), np.array([4, 0]), real(2, 3)],
        {},
        lambda x, i, y: scatter_set(x, y, i[None]),
    ),
    Case(
        "_contrib_index_copy", [real(5), np.array([1, 3, 2]), real(3)], {}, lambda x, i, y: scatter_set(x, y, i[None])
    ),
    Case(
        "_ravel_multi_index",
        [np.array([[1, 2, 0], [3, 0, 4]])],
        {"shape": (3, 5)},
        lambda i: np.ravel_multi_index(i.astype(int), (3, 5)),
        dtypes=("float32", "int32", "int64"),
        grads=[],
    ),
    Case("_ravel_multi_index", [whole(3, 2, 2, high=4)], {"shape": (4, 4, 4)}, ravel((4, 4, 4)), grads=[]),
    Case(
        "_unravel_index",
        [whole(7, high=60)],
        {"shape": (3, 4, 5)},
        lambda i: np.stack(np.unravel_index(i.astype(int), (3, 4, 5))),
        dtypes=("float32", "int32", "int64"),
        grads=[],
    ),
    Case("_unravel_index", [whole(2, 3, high=60)], {"shape": (-1, 7)}, lambda i: np.stack([i // 7, i % 7]), grads=[]),
    Case("_contrib_index_array", [real(2, 3)], {}, lambda x: np.moveaxis(np.indices(x.shape), 0, -1), grads=[]),
    Case(
        "_contrib_index_array",
        [real(2, 3, 4)],
        {"axes": (2, 0)},
        lambda x: np.moveaxis(np.indices(x.shape)[[2, 0]], 0, -1),
        grads=[],
    ),
]
