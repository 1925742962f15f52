"""Changes of single images, and lists of them."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..base import ParameterError
from ..ndarray import NDArray, array
from . import functions as F
from .functions import Size, as_array

# ImageNet's colours, as means, deviations and main directions.
MEAN, DEVIATION = (123.68, 116.28, 103.53), (58.395, 57.12, 57.375)
EIGENVALUES = np.array([55.46, 4.794, 1.148])
EIGENVECTORS = np.array([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])
GRAY = np.array([0.299, 0.587, 0.114], np.float32)


def plain(value: Any) -> Any:
    """A parameter as JSON can hold it."""
    if isinstance(value, NDArray):
        value = value.asnumpy()
    return value.tolist() if isinstance(value, np.ndarray) else value


class Augmenter:
    """Base of changes: called with an image (height, width, channels), they return one."""

    def __init__(self, **kwargs: Any):
        self._kwargs = {name: plain(value) for name, value in kwargs.items()}

    def dumps(self) -> Any:
        """A text that tells the change and its parameters."""
        return json.dumps([type(self).__name__.lower(), self._kwargs])

    def __call__(self, src: NDArray) -> NDArray:
        raise NotImplementedError(f"{type(self).__name__} must define __call__(src)")


class SequentialAug(Augmenter):
    """One change after the other."""

    def __init__(self, ts: Sequence[Augmenter]):
        super().__init__()
        self.ts = list(ts)

    def dumps(self):
        return [type(self).__name__.lower(), [t.dumps() for t in self.ts]]

    def __call__(self, src):
        for t in self.ts:
            src = t(src)
        return src


class RandomOrderAug(SequentialAug):
    """Changes in random order."""

    def __call__(self, src):
        random.shuffle(self.ts)
        return super().__call__(src)


class _SizedAug(Augmenter):
    """To a `size`; `interp` says how pixels are read between those of the image."""

    def __init__(self, size: Any, interp: int = 2):
        super().__init__(size=size, interp=interp)
        self.size, self.interp = size, interp


class ResizeAug(_SizedAug):
    """Resizes the shorter edge to `size`."""

    def __call__(self, src):
        return F.resize_short(src, self.size, self.interp)


class ForceResizeAug(_SizedAug):
    """Resizes to `size` (width, height)."""

    def __call__(self, src):
        return F.imresize(src, self.size[0], self.size[1], interp=self.interp)


class RandomCropAug(_SizedAug):
    """Crops a piece of `size` (width, height) anywhere."""

    def __call__(self, src):
        return F.random_crop(src, self.size, self.interp)[0]


class RandomSizedCropAug(Augmenter):
    """Crops a piece of random area and aspect and resizes it to `size` (width, height)."""

    def __init__(
        self, size: Size, area: float | Sequence[float], ratio: Sequence[float], interp: int = 2, **kwargs: Any
    ):
        super().__init__(size=size, area=area, ratio=ratio, interp=interp)
        self.size, self.ratio, self.interp = size, ratio, interp
        self.area = kwargs.pop("min_area", area)
        if kwargs:
            raise ParameterError(f"RandomSizedCropAug has no parameter {next(iter(kwargs))!r}")

    def __call__(self, src):
        return F.random_size_crop(src, self.size, self.area, self.ratio, self.interp)[0]


class CenterCropAug(_SizedAug):
    """Crops the middle to `size` (width, height)."""

    def __call__(self, src):
        return F.center_crop(src, self.size, self.interp)[0]


class BrightnessJitterAug(Augmenter):
    """Multiplies by 1 plus or minus up to `brightness`, in place."""

    def __init__(self, brightness: float):
        super().__init__(brightness=brightness)
        self.brightness = brightness

    def __call__(self, src):
        src *= 1.0 + random.uniform(-self.brightness, self.brightness)
        return src


class ContrastJitterAug(Augmenter):
    """Moves all values away from the mean gray, or towards it, in place."""

    def __init__(self, contrast: float):
        super().__init__(contrast=contrast)
        self.contrast = contrast

    def __call__(self, src):
        alpha = 1.0 + random.uniform(-self.contrast, self.contrast)
        gray = float((src.asnumpy() @ GRAY).mean(dtype=np.float64))
        src *= alpha
        src += (1.0 - alpha) * gray
        return src


class SaturationJitterAug(Augmenter):
    """Moves all pixels away from their own gray, or towards it, in place."""

    def __init__(self, saturation: float):
        super().__init__(saturation=saturation)
        self.saturation = saturation

    def __call__(self, src):
        alpha = 1.0 + random.uniform(-self.saturation, self.saturation)
        gray = as_array((src.asnumpy() @ GRAY)[:, :, None] * np.float32(1.0 - alpha))
        src *= alpha
        src += gray
        return src


class HueJitterAug(Augmenter):
    """Turns the colours around the axis of gray by up to `hue` half turns."""

    def __init__(self, hue: float):
        super().__init__(hue=hue)
        self.hue = hue
        self.tyiq = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.321], [0.211, -0.523, 0.311]])
        self.ityiq = np.array([[1.0, 0.956, 0.621], [1.0, -0.272, -0.647], [1.0, -1.107, 1.705]])

    def __call__(self, src):
        angle = random.uniform(-self.hue, self.hue) * np.pi
        c, s = np.cos(angle), np.sin(angle)
        turn = np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])
        return as_array(src.asnumpy() @ (self.ityiq @ turn @ self.tyiq).T.astype(np.float32))


class ColorJitterAug(RandomOrderAug):
    """Brightness, contrast and saturation in random order."""

    def __init__(self, brightness: float, contrast: float, saturation: float):
        parts: list[Augmenter] = []
        if brightness > 0:
            parts.append(BrightnessJitterAug(brightness))
        if contrast > 0:
            parts.append(ContrastJitterAug(contrast))
        if saturation > 0:
            parts.append(SaturationJitterAug(saturation))
        super().__init__(parts)


class LightingAug(Augmenter):
    """Adds noise along the main directions of the colours, in place."""

    def __init__(self, alphastd: float, eigval: np.ndarray, eigvec: np.ndarray):
        super().__init__(alphastd=alphastd, eigval=eigval, eigvec=eigvec)
        self.alphastd, self.eigval, self.eigvec = alphastd, eigval, eigvec

    def __call__(self, src):
        alpha = np.random.normal(0, self.alphastd, size=(3,))
        src += array(np.dot(self.eigvec * alpha, self.eigval))
        return src


class ColorNormalizeAug(Augmenter):
    """(image - mean) / std, in place."""

    def __init__(self, mean: Any, std: Any):
        super().__init__(mean=mean, std=std)
        self.mean = mean if mean is None or isinstance(mean, NDArray) else array(mean)
        self.std = std if std is None or isinstance(std, NDArray) else array(std)

    def __call__(self, src):
        return F.color_normalize(src, self.mean, self.std)


class RandomGrayAug(Augmenter):
    """Makes the image gray with probability `p`."""

    def __init__(self, p: float):
        super().__init__(p=p)
        self.p = p
        self.mat = np.repeat(np.array([[0.21], [0.72], [0.07]], np.float32), 3, axis=1)

    def __call__(self, src):
        return as_array(src.asnumpy() @ self.mat) if random.random() < self.p else src


class HorizontalFlipAug(Augmenter):
    """Mirrors the image with probability `p`."""

    def __init__(self, p: float):
        super().__init__(p=p)
        self.p = p

    def __call__(self, src):
        return as_array(src.asnumpy()[:, ::-1]) if random.random() < self.p else src


class CastAug(Augmenter):
    """Converts to another dtype."""

    def __init__(self, typ: Any = "float32"):
        super().__init__(type=typ)
        self.typ = typ

    def __call__(self, src):
        return src.astype(self.typ)


def colour_steps(
    brightness: float,
    contrast: float,
    saturation: float,
    hue: float,
    pca_noise: float,
    rand_gray: float,
    mean: Any,
    std: Any,
    dtype: Any = np.float32,
) -> list[Augmenter]:
    """What the lists of changes for classification and detection end with."""
    steps: list[Augmenter] = [CastAug()]
    if brightness or contrast or saturation:
        steps.append(ColorJitterAug(brightness, contrast, saturation))
    if hue:
        steps.append(HueJitterAug(hue))
    if pca_noise > 0:
        steps.append(LightingAug(pca_noise, EIGENVALUES, EIGENVECTORS))
    if rand_gray > 0:
        steps.append(RandomGrayAug(rand_gray))
    mean = np.array(MEAN, dtype) if mean is True else mean
    std = np.array(DEVIATION, dtype) if std is True else std
    for name, value in (("mean", mean), ("std", std)):
        if value is not None and (not hasattr(value, "shape") or value.shape[:1] not in ((1,), (3,))):
            raise ParameterError(f"{name} must be True or an array of 1 or 3 numbers, got {value!r}")
    if mean is not None or std is not None:
        steps.append(ColorNormalizeAug(mean, std))
    return steps


def CreateAugmenter(  # noqa: N802
    data_shape: Sequence[int],
    resize: int = 0,
    rand_crop: bool = False,
    rand_resize: bool = False,
    rand_mirror: bool = False,
    mean: Any = None,
    std: Any = None,
    brightness: float = 0,
    contrast: float = 0,
    saturation: float = 0,
    hue: float = 0,
    pca_noise: float = 0,
    rand_gray: float = 0,
    inter_method: int = 2,
) -> list[Augmenter]:
    """The usual changes for classification: resize, crop, mirror, float32, colours, normalise."""
    if rand_resize and not rand_crop:
        raise ParameterError("CreateAugmenter: rand_resize needs rand_crop")
    steps: list[Augmenter] = [ResizeAug(resize, inter_method)] if resize > 0 else []
    size = (data_shape[2], data_shape[1])
    if rand_resize:
        steps.append(RandomSizedCropAug(size, 0.08, (3.0 / 4.0, 4.0 / 3.0), inter_method))
    else:
        steps.append(RandomCropAug(size, inter_method) if rand_crop else CenterCropAug(size, inter_method))
    if rand_mirror:
        steps.append(HorizontalFlipAug(0.5))
    return steps + colour_steps(brightness, contrast, saturation, hue, pca_noise, rand_gray, mean, std)
