"""Handwritten-looking digits, drawn by a small procedure: a data set that is always there.

Each digit is a few strokes in the unit square. A sample bends them by a random affine map and a little noise of the control
points, and draws them with a round pen; every seed gives the same images on every machine.
"""

from __future__ import annotations

import numpy as np

SIDE = 28


def _arc(cx: float, cy: float, rx: float, ry: float, start: float, stop: float, points: int = 14) -> np.ndarray:
    """Part of an ellipse; angles in turns, clockwise from the right because y points down."""
    angle = np.linspace(start, stop, points) * 2 * np.pi
    return np.stack([cx + rx * np.cos(angle), cy + ry * np.sin(angle)], axis=1)


def _line(*points: tuple[float, float]) -> np.ndarray:
    return np.array(points, dtype=float)


STROKES: dict[int, list[np.ndarray]] = {
    0: [_arc(0.5, 0.5, 0.26, 0.38, 0, 1)],
    1: [_line((0.36, 0.28), (0.54, 0.12), (0.54, 0.88))],
    2: [np.concatenate([_arc(0.5, 0.33, 0.24, 0.21, 0.5, 1.08), _line((0.26, 0.88), (0.76, 0.88))])],
    3: [_arc(0.46, 0.31, 0.24, 0.19, 0.58, 1.25), _arc(0.46, 0.69, 0.27, 0.2, 0.75, 1.42)],
    4: [_line((0.58, 0.12), (0.24, 0.62), (0.78, 0.62)), _line((0.62, 0.38), (0.6, 0.9))],
    5: [
        _line((0.72, 0.13), (0.34, 0.13), (0.31, 0.47)),
        np.concatenate([_line((0.31, 0.47)), _arc(0.48, 0.65, 0.25, 0.23, 0.68, 1.4)]),
    ],
    6: [np.concatenate([_line((0.64, 0.1), (0.42, 0.3)), _arc(0.49, 0.66, 0.23, 0.22, 0.52, 1.52)])],
    7: [_line((0.25, 0.14), (0.75, 0.14), (0.44, 0.88))],
    8: [_arc(0.5, 0.31, 0.2, 0.18, 0, 1), _arc(0.5, 0.69, 0.25, 0.2, 0, 1)],
    9: [_arc(0.5, 0.34, 0.22, 0.22, 0, 1), _line((0.72, 0.34), (0.68, 0.62), (0.56, 0.9))],
}


def draw(digit: int, random: np.random.Generator) -> np.ndarray:
    """One 28x28 image of a digit, values from 0 to 1."""
    turn = random.normal(0, 0.12)
    shear = random.normal(0, 0.15)
    scale = random.uniform(0.62, 0.84, 2) * SIDE
    shift = SIDE / 2 + random.normal(0, 1.0, 2)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ [[1, shear], [0, 1]]
    pen = random.uniform(0.9, 1.7)
    y, x = np.mgrid[0:SIDE, 0:SIDE] + 0.5
    pixels = np.stack([x, y], axis=-1)
    nearest = np.full((SIDE, SIDE), np.inf)
    for stroke in STROKES[digit]:
        wobble = random.normal(0, 0.012, stroke.shape)
        points = ((stroke + wobble - 0.5) * scale) @ rotation.T + shift
        nearest = np.minimum(nearest, _distance(pixels, points))
    return np.clip(pen + 0.5 - nearest, 0, 1).astype(np.float32)


def _distance(pixels: np.ndarray, points: np.ndarray) -> np.ndarray:
    """How far each pixel is from a line through the points."""
    start, along = points[:-1], np.diff(points, axis=0)
    length2 = np.maximum((along**2).sum(1), 1e-9)
    to_pixel = pixels[:, :, None, :] - start
    t = np.clip((to_pixel * along).sum(-1) / length2, 0, 1)
    return np.sqrt(((to_pixel - t[..., None] * along) ** 2).sum(-1)).min(-1)


def digits(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """`count` images of shape (1, 28, 28) with float32 labels 0 to 9, every digit equally often."""
    random = np.random.default_rng(seed)
    labels = random.permutation(np.arange(count) % 10)
    images = (
        np.stack([draw(int(d), random)[None] for d in labels]) if count else np.zeros((0, 1, SIDE, SIDE), np.float32)
    )
    return images, labels.astype(np.float32)
