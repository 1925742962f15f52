"""Operators that give an array another shape or order of axes."""

import numpy as np

from . import Case, real, whole


def depth_to_space(b):
    def twin(x):
        n, c, h, w = x.shape
        x = x.reshape(n, b, b, c // b**2, h, w).transpose(0, 3, 4, 1, 5, 2)
        return x.reshape(n, c // b**2, h * b, w * b)

    return twin


def space_to_depth(b):
    def twin(x):
        n, c, h, w = x.shape
        x = x.reshape(n, c, h // b, b, w // b, b).transpose(0, 3, 5, 1, 2, 4)
        return x.reshape(n, c * b**2, h // b, w // b)

    return twin


CASES = [
    Case("Reshape", [real(2, 3, 4)], {"shape": (4, 6)}, lambda x: x.reshape(4, 6)),
    Case("Reshape", [real(2, 3, 4)], {"shape": (0, -1)}, lambda x: x.reshape(2, 12)),
    Case("Reshape", [real(2, 3, 4)], {"shape": (-2,)}, lambda x: x),
    Case("Reshape", [real(2, 3, 4)], {"shape": (-2, 1, 1)}, lambda x: x.reshape(2, 3, 4, 1, 1)),
    Case("Reshape", [real(2, 3, 4)], {"shape": (-3, 0)}, lambda x: x.reshape(6, 4)),
    Case("Reshape", [real(2, 6, 5)], {"shape": (0, -4, 2, -1, -2)}, lambda x: x.reshape(2, 2, 3, 5)),
    Case("Reshape", [real(6, 5)], {"shape": (-4, -1, 2, 0)}, lambda x: x.reshape(3, 2, 5)),
    Case("Reshape", [real(10, 5, 4)], {"shape": (-1, 0), "reverse": True}, lambda x: x.reshape(50, 4)),
    Case("Reshape", [real(3, 8)], {"shape": (0, -4, -1, 2), "reverse": True}, lambda x: x.reshape(3, 4, 2)),
    Case("Reshape", [real(2, 3, 4)], {"target_shape": (3, 0)}, lambda x: x.reshape(3, 8)),
    Case("Reshape", [real(2, 3, 4)], {"target_shape": (1, 0), "keep_highest": True}, lambda x: x.reshape(2, 12)),
    Case("Flatten", [real(2, 3, 4, 5)], {}, lambda x: x.reshape(2, 60)),
    Case("Flatten", [real(7)], {}, lambda x: x.reshape(7, 1)),
    Case("expand_dims", [real(3, 4)], {"axis": 1}, lambda x: x[:, None]),
    Case("expand_dims", [real(3, 4)], {"axis": -1}, lambda x: x[..., None]),
    Case("squeeze", [real(1, 3, 1, 2)], {}, np.squeeze),
    Case("squeeze", [real(1, 3, 1, 2)], {"axis": (2,)}, lambda x: x[:, :, 0]),
    Case("squeeze", [real(1, 3, 1, 2)], {"axis": (-2, 0)}, lambda x: x[0, :, 0]),
    Case("squeeze", [real(1, 1)], {}, lambda x: x[0]),
    Case("reshape_like", [real(2, 6), real(3, 4)], {}, lambda x, y: x.reshape(3, 4), grads=["lhs"]),
    Case(
        "reshape_like",
        [real(6, 5), real(7, 2, 3, 9)],
        {"lhs_begin": 0, "lhs_end": 1, "rhs_begin": 1, "rhs_end": -1},
        lambda x, y: x.reshape(2, 3, 5),
        grads=["lhs"],
    ),
    Case(
        "reshape_like",
        [real(5, 6), real(2, 3)],
        {"lhs_begin": -1, "rhs_begin": 0, "lhs_end": 2, "rhs_end": 2},
        lambda x, y: x.reshape(5, 2, 3),
        grads=["lhs"],
    ),
    Case("shape_array", [real(3, 1, 5)], {}, lambda x: np.array(x.shape), grads=[]),
    Case("size_array", [real(3, 1, 5)], {}, lambda x: np.array([x.size]), grads=[]),
    Case("transpose", [real(2, 3, 4)], {}, np.transpose),
    Case("transpose", [real(2, 3, 4, 5)], {"axes": (0, 2, 3, 1)}, lambda x: x.transpose(0, 2, 3, 1)),
    Case("transpose", [real(5, 1, 3)], {"axes": (1, 0, 2)}, lambda x: x.transpose(1, 0, 2)),
    Case("transpose", [whole(17, 33)], {}, np.transpose, dtypes=("float32", "int8", "int64")),
    Case("SwapAxis", [real(2, 3, 4)], {"dim1": 0, "dim2": 2}, lambda x: x.swapaxes(0, 2)),
    Case("SwapAxis", [real(2, 3, 4)], {"dim1": -1, "dim2": 1}, lambda x: x.swapaxes(1, 2)),
    Case("SwapAxis", [real(2, 3)], {}, lambda x: x),
    Case("depth_to_space", [real(2, 12, 3, 2)], {"block_size": 2}, depth_to_space(2)),
    Case("depth_to_space", [real(1, 9, 2, 5)], {"block_size": 3}, depth_to_space(3)),
    Case("space_to_depth", [real(2, 3, 4, 6)], {"block_size": 2}, space_to_depth(2)),
    Case("space_to_depth", [real(1, 2, 6, 3)], {"block_size": 3}, space_to_depth(3)),
]
