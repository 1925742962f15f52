"""Changes of images with boxes around objects.

A label is an array with a row for each object: class, left, top, right and bottom as parts of the image, and more.
"""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Sequence
from math import sqrt
from typing import Any

import numpy as np

from ..base import ParameterError
from ..ndarray import NDArray
from . import functions as F
from .augment import Augmenter, ForceResizeAug, ResizeAug, colour_steps, plain
from .functions import as_array

Range = tuple[float, float]


class DetAugmenter:
    """Base of changes: called with an image (height, width, channels) and a label, they return both."""

    def __init__(self, **kwargs: Any):
        self._kwargs = {name: plain(value) for name, value in kwargs.items()}

    def dumps(self) -> Any:
        """A text that tells the change and its parameters."""
        return json.dumps([type(self).__name__.lower(), self._kwargs])

    def __call__(self, src: NDArray, label: np.ndarray) -> tuple[NDArray, np.ndarray]:
        raise NotImplementedError(f"{type(self).__name__} must define __call__(src, label)")


class DetBorrowAug(DetAugmenter):
    """A change that leaves boxes where they are."""

    def __init__(self, augmenter: Augmenter):
        if not isinstance(augmenter, Augmenter):
            raise TypeError(f"DetBorrowAug: an Augmenter is needed, got {type(augmenter).__name__}")
        super().__init__(augmenter=augmenter.dumps())
        self.augmenter = augmenter

    def dumps(self):
        return [type(self).__name__.lower(), self.augmenter.dumps()]

    def __call__(self, src, label):
        return self.augmenter(src), label


class DetRandomSelectAug(DetAugmenter):
    """One of several changes, or with probability `skip_prob` none."""

    def __init__(self, aug_list: Any, skip_prob: float = 0):
        super().__init__(skip_prob=skip_prob)
        self.aug_list = list(aug_list) if isinstance(aug_list, (list, tuple)) else [aug_list]
        for aug in self.aug_list:
            if not isinstance(aug, DetAugmenter):
                raise ValueError(f"DetRandomSelectAug: DetAugmenters are needed, got {type(aug).__name__}")
        self.skip_prob = skip_prob if self.aug_list else 1

    def dumps(self):
        return [type(self).__name__.lower(), [aug.dumps() for aug in self.aug_list]]

    def __call__(self, src, label):
        if random.random() < self.skip_prob:
            return src, label
        random.shuffle(self.aug_list)
        return self.aug_list[0](src, label)


class DetHorizontalFlipAug(DetAugmenter):
    """Mirrors with probability `p`."""

    def __init__(self, p: float):
        super().__init__(p=p)
        self.p = p

    def __call__(self, src, label):
        if random.random() < self.p:
            src = as_array(src.asnumpy()[:, ::-1])
            label[:, (1, 3)] = 1.0 - label[:, (3, 1)]
        return src, label


def _range(value: Any, what: str) -> Range:
    if not isinstance(value, (tuple, list)):
        logging.info("using the fixed %s %s", what, value)
        return (value, value)
    return (value[0], value[1])


def _areas(boxes: np.ndarray) -> np.ndarray:
    return np.maximum(0, boxes[:, 2] - boxes[:, 0]) * np.maximum(0, boxes[:, 3] - boxes[:, 1])


class DetRandomCropAug(DetAugmenter):
    """Crops a piece that covers more than `min_object_covered` of every object it touches.

    Objects of which no more than `min_eject_coverage` is left disappear. After `max_attempts` the image stays as it is.
    """

    def __init__(
        self,
        min_object_covered: float = 0.1,
        aspect_ratio_range: Any = (0.75, 1.33),
        area_range: Any = (0.05, 1.0),
        min_eject_coverage: float = 0.3,
        max_attempts: int = 50,
    ):
        self.aspect_ratio_range = _range(aspect_ratio_range, "aspect")
        self.area_range = _range(area_range, "area")
        super().__init__(
            min_object_covered=min_object_covered,
            aspect_ratio_range=self.aspect_ratio_range,
            area_range=self.area_range,
            min_eject_coverage=min_eject_coverage,
            max_attempts=max_attempts,
        )
        self.min_object_covered, self.min_eject_coverage = min_object_covered, min_eject_coverage
        self.max_attempts = max_attempts
        low, high = self.area_range
        self.enabled = 0 < high >= low and 0 < self.aspect_ratio_range[0] <= self.aspect_ratio_range[1]
        if not self.enabled:
            logging.warning("DetRandomCropAug does nothing with %s and %s", self.area_range, self.aspect_ratio_range)

    def __call__(self, src, label):
        found = self._propose(label, src.shape[0], src.shape[1])
        if found is None:
            return src, label
        x, y, w, h, label = found
        return F.fixed_crop(src, x, y, w, h), label

    def _propose(self, label: np.ndarray, height: int, width: int) -> tuple[int, int, int, int, np.ndarray] | None:
        if not self.enabled or height <= 0 or width <= 0:
            return None
        least, most = (a * height * width for a in self.area_range)
        for _ in range(self.max_attempts):
            ratio = random.uniform(*self.aspect_ratio_range)
            h, max_h = int(round(sqrt(least / ratio))), int(round(sqrt(most / ratio)))
            if round(max_h * ratio) > width:
                max_h = int((width + 0.4999999) / ratio)
            max_h = min(max_h, height)
            h = min(h, max_h)
            if h < max_h:
                h = random.randint(h, max_h)
            w = int(round(h * ratio))
            if w * h < least:
                h += 1
                w = int(round(h * ratio))
            if w * h > most:
                h -= 1
                w = int(round(h * ratio))
            if not (least <= w * h <= most and 0 <= w <= width and 0 <= h <= height):
                continue
            y, x = random.randint(0, height - h), random.randint(0, width - w)
            if self._satisfies(label, x, y, w, h, width, height):
                left = self._cropped(label, x, y, w, h, width, height)
                if left is not None:
                    return x, y, w, h, left
        return None

    def _satisfies(self, label: np.ndarray, x: int, y: int, w: int, h: int, width: int, height: int) -> bool:
        if w * h < 2:
            return False
        areas = _areas(label[:, 1:])
        real = np.flatnonzero(areas * width * height > 2)
        if not real.size:
            return False
        boxes = label[real, 1:5]
        view = np.array([x / width, y / height, (x + w) / width, (y + h) / height], label.dtype)
        seen = np.concatenate([np.maximum(boxes[:, :2], view[:2]), np.minimum(boxes[:, 2:], view[2:])], axis=1)
        covered = _areas(seen) / areas[real]
        covered = covered[covered > 0]
        return bool(covered.size) and covered.min() > self.min_object_covered

    def _cropped(self, label: np.ndarray, x: int, y: int, w: int, h: int, width: int, height: int) -> np.ndarray | None:
        out = label.copy()
        part_w, part_h = w / width, h / height
        out[:, (1, 3)] = (out[:, (1, 3)] - x / width) / part_w
        out[:, (2, 4)] = (out[:, (2, 4)] - y / height) / part_h
        out[:, 1:5] = out[:, 1:5].clip(0, 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            coverage = _areas(out[:, 1:]) * part_w * part_h / _areas(label[:, 1:])
        valid = (out[:, 3] > out[:, 1]) & (out[:, 4] > out[:, 2]) & (coverage > self.min_eject_coverage)
        return out[valid] if valid.any() else None


class DetRandomPadAug(DetAugmenter):
    """Puts the image somewhere on a larger one of the colour `pad_val`."""

    def __init__(
        self,
        aspect_ratio_range: Any = (0.75, 1.33),
        area_range: Any = (1.0, 3.0),
        max_attempts: int = 50,
        pad_val: Any = (128, 128, 128),
    ):
        self.aspect_ratio_range = _range(aspect_ratio_range, "aspect")
        self.area_range = _range(area_range, "area")
        self.pad_val = pad_val if isinstance(pad_val, (list, tuple)) else (pad_val,) * 3
        super().__init__(
            aspect_ratio_range=self.aspect_ratio_range,
            area_range=self.area_range,
            max_attempts=max_attempts,
            pad_val=self.pad_val,
        )
        self.max_attempts = max_attempts
        low, high = self.area_range
        self.enabled = 1 < high >= low and 0 < self.aspect_ratio_range[0] <= self.aspect_ratio_range[1]
        if not self.enabled:
            logging.warning("DetRandomPadAug does nothing with %s and %s", self.area_range, self.aspect_ratio_range)

    def __call__(self, src, label):
        height, width, _ = src.shape
        found = self._propose(height, width)
        if found is None:
            return src, label
        x, y, w, h = found
        out = label.copy()
        out[:, (1, 3)] = (out[:, (1, 3)] * width + x) / w
        out[:, (2, 4)] = (out[:, (2, 4)] * height + y) / h
        return F.copyMakeBorder(src, y, h - y - height, x, w - x - width, 16, values=self.pad_val), out

    def _propose(self, height: int, width: int) -> tuple[int, int, int, int] | None:
        if not self.enabled or height <= 0 or width <= 0:
            return None
        least, most = (a * height * width for a in self.area_range)
        for _ in range(self.max_attempts):
            ratio = random.uniform(*self.aspect_ratio_range)
            h, max_h = int(round(sqrt(least / ratio))), int(round(sqrt(most / ratio)))
            if round(h * ratio) < width:
                h = int((width + 0.499999) / ratio)
            h = min(max(h, height), max_h)
            if h < max_h:
                h = random.randint(h, max_h)
            w = int(round(h * ratio))
            if h - height < 2 or w - width < 2:
                continue
            y, x = random.randint(0, h - height), random.randint(0, w - width)
            return x, y, w, h
        return None


def CreateMultiRandCropAugmenter(  # noqa: N802
    min_object_covered: Any = 0.1,
    aspect_ratio_range: Any = (0.75, 1.33),
    area_range: Any = (0.05, 1.0),
    min_eject_coverage: Any = 0.3,
    max_attempts: Any = 50,
    skip_prob: float = 0,
) -> DetRandomSelectAug:
    """One of several DetRandomCropAug: parameters that are lists have a value for each."""
    given = [min_object_covered, aspect_ratio_range, area_range, min_eject_coverage, max_attempts]
    lists = [p if isinstance(p, list) else [p] for p in given]
    count = max(map(len, lists))
    if any(len(p) not in (1, count) for p in lists):
        raise ParameterError(
            f"CreateMultiRandCropAugmenter: lists must have equal lengths, got {[len(p) for p in lists]}"
        )
    aligned = [p * count if len(p) == 1 else p for p in lists]
    return DetRandomSelectAug([DetRandomCropAug(*values) for values in zip(*aligned, strict=True)], skip_prob)


def CreateDetAugmenter(  # noqa: N802
    data_shape: Sequence[int],
    resize: int = 0,
    rand_crop: float = 0,
    rand_pad: float = 0,
    rand_gray: float = 0,
    rand_mirror: bool = False,
    mean: Any = None,
    std: Any = None,
    brightness: float = 0,
    contrast: float = 0,
    saturation: float = 0,
    pca_noise: float = 0,
    hue: float = 0,
    inter_method: int = 2,
    min_object_covered: Any = 0.1,
    aspect_ratio_range: Any = (0.75, 1.33),
    area_range: Any = (0.05, 3.0),
    min_eject_coverage: Any = 0.3,
    max_attempts: Any = 50,
    pad_val: Any = (127, 127, 127),
) -> list[DetAugmenter]:
    """The usual changes for detection: resize, crop, mirror, pad, resize to the shape, float32, colours, normalise."""
    steps: list[DetAugmenter] = [DetBorrowAug(ResizeAug(resize, inter_method))] if resize > 0 else []
    if rand_crop > 0:
        steps.append(
            CreateMultiRandCropAugmenter(
                min_object_covered, aspect_ratio_range, area_range, min_eject_coverage, max_attempts, 1 - rand_crop
            )
        )
    if rand_mirror:
        steps.append(DetHorizontalFlipAug(0.5))
    if rand_pad > 0:
        pad = DetRandomPadAug(aspect_ratio_range, (1.0, area_range[1]), max_attempts, pad_val)
        steps.append(DetRandomSelectAug([pad], 1 - rand_pad))
    steps.append(DetBorrowAug(ForceResizeAug((data_shape[2], data_shape[1]), inter_method)))
    colours = colour_steps(brightness, contrast, saturation, hue, pca_noise, rand_gray, mean, std, np.float64)
    return steps + [DetBorrowAug(step) for step in colours]
