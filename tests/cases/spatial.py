"""Images read at the points of a grid."""

import numpy as np

from . import Case, Real, real


def sampled(data, grid):
    """Every pixel weighs 1 minus its distance along each axis, if that is positive."""
    h, w = data.shape[2:]
    x, y = ((grid[:, i] + 1) * (n - 1) / 2 for i, n in ((0, w), (1, h)))
    wx, wy = (np.maximum(0, 1 - np.abs(v[..., None] - np.arange(n))) for v, n in ((x, w), (y, h)))
    return np.einsum("nchw,nijh,nijw->ncij", data, wy, wx)


def spread(shape):
    def twin(grad, grid):
        h, w = shape[2:]
        x, y = ((grid[:, i] + 1) * (n - 1) / 2 for i, n in ((0, w), (1, h)))
        wx, wy = (np.maximum(0, 1 - np.abs(v[..., None] - np.arange(n))) for v, n in ((x, w), (y, h)))
        return np.einsum("ncij,nijh,nijw->nchw", grad, wy, wx)

    return twin


def slopes(grad, data, grid):
    step = 1e-7
    result = np.zeros_like(grid)
    for i in range(2):
        moved = [grid.copy(), grid.copy()]
        for g, sign in zip(moved, (1, -1), strict=True):
            g[:, i] += sign * step
        change = sampled(data, moved[0]) - sampled(data, moved[1])
        result[:, i] = (grad * change).sum(1) / (2 * step)
    return result


def points(height, width):
    return np.stack(
        [
            np.broadcast_to(np.linspace(-1, 1, width), (height, width)),
            np.broadcast_to(np.linspace(-1, 1, height)[:, None], (height, width)),
        ]
    )


def affine(height, width):
    def twin(theta):
        at = np.concatenate([points(height, width).reshape(2, -1), np.ones((1, height * width))])
        return (theta.reshape(-1, 2, 3) @ at).reshape(-1, 2, height, width)

    return twin


def warp(flow):
    h, w = flow.shape[2:]
    return flow * np.array([2 / (w - 1), 2 / (h - 1)])[:, None, None] + points(h, w)


class Off(Real):
    """Points of a grid that are well away from the pixels' centres, where the value has a kink."""

    def make(self, generator):
        batch, _, h, w = self.shape
        pixels = generator.integers(-1, 4, self.shape) + generator.uniform(0.1, 0.9, self.shape)
        return pixels * 2 / np.array([4, 3])[:, None, None] - 1  # for images of 4 x 5


MAPS = np.array([[1.02, -0.15, -0.22, 0.1, 0.93, -0.2], [0.93, 0.17, 0.18, -0.11, 0.98, -0.16]])  # away from kinks

CASES = [
    Case("GridGenerator", [real(2, 6)], {"transform_type": "affine", "target_shape": (3, 4)}, affine(3, 4), length=12),
    Case("GridGenerator", [real(2, 2, 3, 5)], {"transform_type": "warp"}, warp),
    Case("BilinearSampler", [real(2, 3, 4, 5), Off((2, 2, 3, 6))], {}, sampled, length=16, half=False),
    Case(
        "BilinearSampler",
        [real(1, 19, 4, 5), Off((1, 2, 9, 9))],
        {"cudnn_off": True},
        sampled,
        length=80,
        half=False,
    ),
    Case(
        "_bilinear_sampler_data_gradient",
        [real(2, 3, 3, 6), Off((2, 2, 3, 6))],
        {"shape": (2, 3, 4, 5)},
        spread((2, 3, 4, 5)),
        length=18,
        half=False,
    ),
    Case(
        "_bilinear_sampler_data_gradient",
        [real(1, 19, 3, 6), Off((1, 2, 3, 6))],
        {"shape": (1, 19, 4, 5)},
        spread((1, 19, 4, 5)),
        length=40,
        half=False,
    ),
    Case(
        "_bilinear_sampler_grid_gradient",
        [real(2, 3, 3, 6), real(2, 3, 4, 5), Off((2, 2, 3, 6))],
        {},
        slopes,
        (),
        dtypes=("float32",),
        length=16,
        half=False,
    ),
    *[
        Case(
            "SpatialTransformer",
            [real(2, 3, 4, 5), MAPS],
            {"target_shape": size, "transform_type": "affine", "sampler_type": "bilinear", "cudnn_off": off},
            lambda x, theta, s=size: sampled(x, affine(*s)(theta)),
            length=64,
            half=False,
        )
        for size, off in (((4, 5), None), ((3, 7), True))
    ],
]
