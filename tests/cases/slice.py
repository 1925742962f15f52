"""Operators that cut, join, repeat, flip and pad."""

import numpy as np

from . import Case, real, whole


def strided(x, sizes, strides, offset):
    steps = [s * x.itemsize for s in strides]
    return np.lib.stride_tricks.as_strided(x.reshape(-1)[offset:], sizes, steps)


def strided_write(shape, strides, offset):
    def twin(x):
        out = np.zeros(shape, x.dtype)
        strided(out, x.shape, strides, offset)[...] = x
        return out

    return twin


def assigned(part):
    def twin(x, value):
        out = x.copy()
        out[part] = value
        return out

    return twin


def padded(*width, **options):
    return lambda x: np.pad(x, width, **options)


CASES = [
    Case(
        "_strided_read",
        [real(4, 5)],
        {"sizes": (3, 2), "strides": (5, 2), "offset": 1},
        lambda x: x[:3, 1:4:2],
    ),
    Case("_strided_read", [real(4, 4)], {"sizes": (4,), "strides": (5,)}, np.diag),
    Case(
        "_strided_write",
        [real(3, 2)],
        {"shape": (4, 5), "strides": (5, 2), "offset": 1},
        strided_write((4, 5), (5, 2), 1),
    ),
    Case("_strided_write", [real(4)], {"shape": (4, 4), "strides": (5,)}, np.diag),
    Case("slice", [real(4, 5, 6)], {"begin": (1, 0), "end": (3, 4)}, lambda x: x[1:3, 0:4]),
    Case("slice", [real(4, 5, 6)], {"begin": (1,), "end": (3,)}, lambda x: x[1:3]),
    Case("slice", [real(4, 5, 6)], {"begin": (None, -3), "end": (-1, None)}, lambda x: x[:-1, -3:]),
    Case(
        "slice",
        [real(5, 6, 7)],
        {"begin": (0, None, 5), "end": (5, None, None), "step": (2, -1, -2)},
        lambda x: x[0:5:2, ::-1, 5::-2],
    ),
    Case(
        "slice",
        [whole(6, 7)],
        {"begin": (1, 2), "end": (9, 5)},
        lambda x: x[1:, 2:5],
        dtypes=("int8", "int64", "uint8"),
    ),
    Case("slice_axis", [real(4, 5, 6)], {"axis": 1, "begin": 1, "end": 4}, lambda x: x[:, 1:4]),
    Case("slice_axis", [real(4, 5, 6)], {"axis": -1, "begin": -3, "end": None}, lambda x: x[..., -3:]),
    Case("slice_axis", [real(4, 5, 6)], {"axis": 0, "begin": 0, "end": -1}, lambda x: x[:-1]),
    Case("slice_like", [real(4, 5), real(2, 3)], {}, lambda x, y: x[:2, :3], grads=["data"]),
    Case("slice_like", [real(4, 5, 6), real(2, 3, 6)], {"axes": (1, 0)}, lambda x, y: x[:2, :3], grads=["data"]),
    Case("slice_like", [real(4, 5), real(2, 3)], {"axes": (-1,)}, lambda x, y: x[:, :3], grads=["data"]),
    Case("Crop", [real(2, 3, 5, 6)], {"num_args": 1, "h_w": (3, 4), "offset": (2, 1)}, lambda x: x[:, :, 2:, 1:5]),
    Case("Crop", [real(2, 3, 5, 7)], {"h_w": (3, 4), "center_crop": True}, lambda x: x[:, :, 1:4, 1:5]),
    Case(
        "Crop",
        [real(2, 3, 5, 6), real(1, 2, 4, 3)],
        {"num_args": 2, "offset": (1, 2)},
        lambda x, y: x[:, :, 1:, 2:5],
        grads=["data"],
    ),
    Case(
        "_slice_assign",
        [real(5, 6), real(2, 3)],
        {"begin": (1, 0), "end": (3, 6), "step": (1, 2)},
        assigned(np.s_[1:3, ::2]),
    ),
    Case("_slice_assign", [real(5, 6), real(2, 6)], {"begin": (2,), "end": (4,)}, assigned(np.s_[2:4])),
    Case(
        "_slice_assign_scalar",
        [real(5, 6)],
        {"scalar": 2.5, "begin": (1, None), "end": (None, 4), "step": (2, 3)},
        lambda x: assigned(np.s_[1::2, :4:3])(x, 2.5),
    ),
    Case("_slice_assign_scalar", [real(5)], {"begin": (3,), "end": (5,)}, lambda x: assigned(np.s_[3:])(x, 0)),
    Case("SliceChannel", [real(2, 6, 3)], {"num_outputs": 3}, lambda x: tuple(np.split(x, 3, 1))),
    Case("SliceChannel", [real(4, 3)], {"num_outputs": 2, "axis": 0}, lambda x: (x[:2], x[2:])),
    Case(
        "SliceChannel",
        [real(2, 3, 2)],
        {"num_outputs": 2, "axis": -1, "squeeze_axis": True},
        lambda x: (x[..., 0], x[..., 1]),
    ),
    Case("SliceChannel", [real(2, 3)], {"num_outputs": 1}, lambda x: x),
    Case("_split_v2", [real(7, 3)], {"indices": (0, 2, 5), "axis": 0}, lambda x: tuple(np.split(x, (2, 5)))),
    Case("_split_v2", [real(2, 7)], {"indices": (1, 4)}, lambda x: (x[:, 1:4], x[:, 4:])),
    Case("_split_v2", [real(3, 6)], {"indices": (), "axis": 1, "sections": 3}, lambda x: tuple(np.split(x, 3, 1))),
    Case(
        "_split_v2",
        [real(2, 2, 3)],
        {"indices": (), "axis": 1, "sections": 2, "squeeze_axis": True},
        lambda x: (x[:, 0], x[:, 1]),
    ),
    Case("Concat", [real(2, 3), real(2, 1), real(2, 4)], {}, lambda *x: np.concatenate(x, 1)),
    Case("Concat", [real(2, 3), real(4, 3)], {"dim": 0}, lambda *x: np.concatenate(x, 0)),
    Case("Concat", [real(2, 3, 2), real(2, 3, 5)], {"dim": -1}, lambda *x: np.concatenate(x, 2)),
    Case("Concat", [real(3, 4)], {"num_args": 1}, lambda x: x),
    Case("stack", [real(2, 3), real(2, 3)], {}, lambda *x: np.stack(x)),
    Case("stack", [real(2, 3), real(2, 3), real(2, 3)], {"axis": 1}, lambda *x: np.stack(x, 1)),
    Case("stack", [real(2, 3), real(2, 3)], {"axis": -1, "num_args": 2}, lambda *x: np.stack(x, -1)),
    Case("tile", [real(2, 3)], {"reps": (2, 3)}, lambda x: np.tile(x, (2, 3)), length=6),
    Case("tile", [real(2, 3)], {"reps": (4,)}, lambda x: np.tile(x, (4,)), length=4),
    Case("tile", [real(3)], {"reps": (2, 1, 2)}, lambda x: np.tile(x, (2, 1, 2)), length=4),
    Case("repeat", [real(2, 3)], {"repeats": 3}, lambda x: np.repeat(x, 3), length=3),
    Case("repeat", [real(2, 3, 2)], {"repeats": 2, "axis": 1}, lambda x: np.repeat(x, 2, 1), length=2),
    Case("repeat", [real(2, 3)], {"repeats": 4, "axis": -1}, lambda x: np.repeat(x, 4, -1), length=4),
    Case("reverse", [real(3, 4)], {"axis": (0,)}, lambda x: x[::-1]),
    Case("reverse", [real(3, 4, 5)], {"axis": (2, -2)}, lambda x: x[:, ::-1, ::-1]),
    Case("diag", [real(4, 5)], {}, np.diag),
    Case("diag", [real(4, 5)], {"k": -2}, lambda x: np.diag(x, -2)),
    Case("diag", [real(3)], {"k": 1}, lambda x: np.diag(x, 1)),
    Case("diag", [real(3)], {"k": -2}, lambda x: np.diag(x, -2)),
    Case(
        "diag",
        [real(3, 2, 4)],
        {"axis1": 2, "axis2": -2, "k": -1},
        lambda x: np.diagonal(x, -1, 2, 1),
    ),
    Case(
        "Pad",
        [real(2, 2, 3, 4)],
        {"mode": "constant", "pad_width": (0, 0, 0, 0, 1, 2, 0, 3), "constant_value": 1.5},
        padded((0, 0), (0, 0), (1, 2), (0, 3), constant_values=1.5),
    ),
    Case(
        "Pad",
        [real(1, 2, 3, 4)],
        {"mode": "edge", "pad_width": (0, 0, 0, 0, 1, 2, 2, 0)},
        padded((0, 0), (0, 0), (1, 2), (2, 0), mode="edge"),
        length=9,
    ),
    Case(
        "Pad",
        [real(1, 1, 3, 4, 3)],
        {"mode": "reflect", "pad_width": (0, 0, 0, 0, 1, 2, 2, 3, 0, 1)},
        padded((0, 0), (0, 0), (1, 2), (2, 3), (0, 1), mode="reflect"),
        length=12,
    ),
]
