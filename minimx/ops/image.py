"""Operators on images (height, width, channels) or batches of them: the namespace mx.nd.image and mx.sym.image.

Colours are computed in float32. Results for integers are limited to what their dtype holds, fractions cut off.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..base import FLOATS, ParameterError, ShapeError, TypeInferenceError
from ..graph import Value
from ..op import Op
from ..params import Bool, Float, Floats, Int, Shape
from .elemwise import F

GRAY = (0.299, 0.587, 0.114)
# The principal components of the colours of ImageNet's images, for red, green and blue, and their standard deviations.
COMPONENTS = ((-0.5675, 0.7192, 0.4009), (-0.5808, -0.0045, -0.8140), (-0.5836, -0.6948, 0.4203))
DEVIATIONS = (55.46, 4.794, 1.148)
LIGHTING = tuple(tuple(c * d for c, d in zip(row, DEVIATIONS, strict=True)) for row in COMPONENTS)


class _Image(Op, abstract=True):
    """One image or a batch of them, with the channels last."""

    channels: tuple[int, ...] = ()  # how many there may be

    def output_shapes(self, p, ins):
        return [self.checked(ins[0])]

    def checked(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        if len(shape) not in (3, 4):
            raise ShapeError("data must be an image (height, width, channels) or a batch of images")
        if self.channels and shape[-1] not in self.channels:
            raise ShapeError(f"data must have {' or '.join(map(str, self.channels))} channels, the last axis")
        return shape


class ToTensor(_Image):
    """Images as numbers between 0 and 1 with the channels first: what networks read."""

    name = "_image_to_tensor"

    def output_shapes(self, p, ins):
        *batch, height, width, channels = self.checked(ins[0])
        return [(*batch, channels, height, width)]

    def infer_types(self, p, ins, outs):
        outs[0] = "float32"

    def expand(self, p, node, train):
        (data,) = node.inputs
        axes = (2, 0, 1) if data.ndim == 3 else (0, 3, 1, 2)
        return [F.transpose(F.Cast(data, dtype="float32") / 255.0, axes=axes)]


class Normalize(Op):
    """(data - mean) / std for each channel, the first axis of an image (channels, height, width) or the second of a batch."""

    name = "_image_normalize"
    mean = Floats((0.0, 0.0, 0.0, 0.0), doc="a number for each channel, or one for all")
    std = Floats((1.0, 1.0, 1.0, 1.0), doc="a number for each channel, or one for all")

    def output_shapes(self, p, ins):
        (shape,) = ins
        if len(shape) not in (3, 4) or shape[-3] not in (1, 3):
            raise ShapeError(
                "data must be an image (channels, height, width) or a batch of images, with 1 or 3 channels"
            )
        for name, numbers in (("mean", p.mean), ("std", p.std)):
            if len(numbers) not in (1, shape[-3]) and numbers != self.params[name].default:
                raise ShapeError(f"{name} must have 1 or {shape[-3]} numbers, got {numbers}")
        return [shape]

    def expand(self, p, node, train):
        (data,) = node.inputs
        count = data.shape[-3]
        mean, std = (tuple(v) * count if len(v) == 1 else tuple(v[:count]) for v in (p.mean, p.std))
        if len(set(mean)) == len(set(std)) == 1:
            return [(data - mean[0]) * (1 / std[0])]
        shape = (count, 1, 1)
        return [(data - numbers(mean, shape, data.dtype)) * numbers([1 / s for s in std], shape, data.dtype)]


def numbers(values: Any, shape: tuple[int, ...], dtype: str = "float32") -> Value:
    """A few constants as an array."""
    one = [F._full(shape=(1,), value=v, dtype=dtype) for v in values]
    return F.Reshape(F.Concat(*one, dim=0) if len(one) > 1 else one[0], shape=shape)


class Crop(_Image):
    """A part of each image."""

    name = "_image_crop"
    x = Int(min=0, doc="the left edge of the part")
    y = Int(min=0, doc="the upper edge of the part")
    width = Int(min=1, doc="how wide it is")
    height = Int(min=1, doc="how high it is")

    def output_shapes(self, p, ins):
        *batch, height, width, channels = self.checked(ins[0])
        if p.x + p.width > width or p.y + p.height > height:
            raise ShapeError(
                f"{p.width} x {p.height} pixels from ({p.x}, {p.y}) on are not all within {width} x {height}"
            )
        return [(*batch, p.height, p.width, channels)]

    def expand(self, p, node, train):
        rows = F.slice_axis(node.inputs[0], axis=-3, begin=p.y, end=p.y + p.height)
        return [F.slice_axis(rows, axis=-2, begin=p.x, end=p.x + p.width)]


class Resize(_Image):
    """Images in another size, by the nearest pixel or by linear interpolation between four."""

    name = "_image_resize"
    size = Shape((), min=1, doc="the new (width, height), or one number for both")
    keep_ratio = Bool(False, doc="with one number: make it the shorter edge and keep the proportions")
    interp = Int(1, min=0, max=1, doc="0: nearest pixel, 1: linear")

    def new_size(self, p: Any, shape: tuple[int, ...]) -> tuple[int, int]:
        """Height and width."""
        height, width = shape[-3:-1]
        if len(p.size) not in (1, 2):
            raise ParameterError(f"{self.name}: size must be one number or (width, height), got {p.size}")
        if len(p.size) == 2:
            return p.size[1], p.size[0]
        (edge,) = p.size
        if not p.keep_ratio:
            return edge, edge
        return (height * edge // width, edge) if height > width else (edge, width * edge // height)

    def output_shapes(self, p, ins):
        shape = self.checked(ins[0])
        return [(*shape[:-3], *self.new_size(p, shape), shape[-1])]

    def expand(self, p, node, train):
        (data,) = node.inputs
        out = data
        exact = data.dtype in ("float32", "float64")
        if p.interp and not exact:
            out = F.Cast(out, dtype="float32")
        for axis, size in zip((data.ndim - 3, data.ndim - 2), self.new_size(p, data.shape), strict=True):
            if out.shape[axis] != size:
                out = (interpolated if p.interp else nearest)(out, axis, size)
        if exact or not p.interp:
            return [out]
        return [F.Cast(out if data.dtype in FLOATS else F.floor(out + 0.5), dtype=data.dtype)]


def nearest(data: Value, axis: int, size: int) -> Value:
    places = F._arange(start=0, stop=size, dtype="float64") * (data.shape[axis] / size)
    return F.take(data, F.Cast(F.floor(places), dtype="int64"), axis=axis)


def interpolated(data: Value, axis: int, size: int) -> Value:
    """Linear interpolation along an axis; pixels are squares whose middle the numbers belong to."""
    last = data.shape[axis] - 1
    place = (F._arange(start=0, stop=size, dtype="float64") + 0.5) * ((last + 1) / size) - 0.5
    place = F.clip(place, a_min=0.0, a_max=float(last))
    left = F.floor(place)
    part = F.Reshape(F.Cast(place - left, dtype=data.dtype), shape=(size,) + (1,) * (data.ndim - 1 - axis))
    a = F.take(data, F.Cast(left, dtype="int64"), axis=axis)
    b = F.take(data, F.Cast(left + 1.0, dtype="int64"), axis=axis)
    return a + (b - a) * part


# ---- flips --------------------------------------------------------------------------------------------------------------


class FlipLeftRight(_Image):
    """Images mirrored from left to right."""

    name = "_image_flip_left_right"

    def expand(self, p, node, train):
        return [F.reverse(node.inputs[0], axis=node.inputs[0].ndim - 2)]


class FlipTopBottom(_Image):
    """Images mirrored from top to bottom."""

    name = "_image_flip_top_bottom"

    def expand(self, p, node, train):
        return [F.reverse(node.inputs[0], axis=node.inputs[0].ndim - 3)]


class _RandomFlip(_Image, abstract=True):
    random = True
    behind = 0  # the axis, counted from the end

    def expand(self, p, node, train):
        (data,) = node.inputs
        turned = F.reverse(data, axis=data.ndim - self.behind)
        chance = F._random_uniform(shape=(1,) * data.ndim) < 0.5
        return [F._where_rows(chance, turned, data)]


class RandomFlipLeftRight(_RandomFlip):
    """Images mirrored from left to right, or not, with equal chances."""

    name = "_image_random_flip_left_right"
    behind = 2


class RandomFlipTopBottom(_RandomFlip):
    """Images mirrored from top to bottom, or not, with equal chances."""

    name = "_image_random_flip_top_bottom"
    behind = 3


# ---- colours ------------------------------------------------------------------------------------------------------------


def limited(value: Value, dtype: str) -> Value:
    """Colours in the dtype of the image."""
    if dtype not in FLOATS:
        info = np.iinfo(dtype)
        value = F.clip(value, a_min=float(info.min), a_max=float(info.max))
    return value if value.dtype == dtype else F.Cast(value, dtype=dtype)


class _Colours(_Image, abstract=True):
    channels = (1, 3)

    def infer_types(self, p, ins, outs):
        if "bool" in (*ins, *outs):
            raise TypeInferenceError("an image of bool has no colours")
        super().infer_types(p, ins, outs)

    def change(self, p: Any, data: Value) -> Value:
        """The image with other colours, as float32."""
        raise NotImplementedError(f"{self.name}: change")

    def expand(self, p, node, train):
        (data,) = node.inputs
        wide = data if data.dtype in ("float32", "float64") else F.Cast(data, dtype="float32")
        return [limited(self.change(p, wide), data.dtype)]


def draw(data: Value, low: float, high: float) -> Value:
    return F._random_uniform(shape=(1,) * data.ndim, low=low, high=high, dtype=data.dtype)


def gray(data: Value) -> Value:
    """The brightness of each pixel, as the only channel."""
    if data.shape[-1] == 1:
        return data
    return F.sum(data * numbers(GRAY, (1,) * (data.ndim - 1) + (3,), data.dtype), axis=-1, keepdims=True)


def mixed(data: Value, other: Value, alpha: Value) -> Value:
    return data * alpha + other * (1.0 - alpha)


def contrasted(data: Value, alpha: Value) -> Value:
    pixels = tuple(range(data.ndim))
    return mixed(data, F.mean(gray(data), axis=pixels, keepdims=True), alpha)


def saturated(data: Value, alpha: Value) -> Value:
    return data if data.shape[-1] == 1 else mixed(data, gray(data), alpha)


def turned(data: Value, alpha: Value) -> Value:
    """Colours moved round the circle of hues by the part alpha, with lightness and saturation as they were."""
    if data.shape[-1] == 1:
        return data
    low, high = F.min(data, axis=-1, keepdims=True), F.max(data, axis=-1, keepdims=True)
    red, green, blue = (F.slice_axis(data, axis=-1, begin=i, end=i + 1) for i in range(3))
    span = high - low
    divisor = span + (span <= 0.0)
    # Where on the circle, in sixths: red at 0, green at 2, blue at 4.
    hue = F.where(
        high <= red,
        (green - blue) / divisor,
        F.where(high <= green, (blue - red) / divisor + 2.0, (red - green) / divisor + 4.0),
    )
    hue = hue + alpha * 6.0
    parts = []
    for at in (0.0, 4.0, 2.0):  # how far the colour is from each of the three on the circle
        place = F._mod_scalar(hue + at, scalar=6.0)
        rise = F.clip(F.abs(place - 3.0) - 1.0, a_min=0.0, a_max=1.0)
        parts.append(rise)
    return low + F.Concat(*parts, dim=data.ndim - 1) * span


class _RandomFactor(_Colours, abstract=True):
    random = True
    min_factor = Float(min=0.0, doc="the lowest factor")
    max_factor = Float(min=0.0, doc="the highest factor")

    def change(self, p, data):
        if p.max_factor < p.min_factor:
            raise ParameterError(f"{self.name}: max_factor {p.max_factor} must not be below min_factor {p.min_factor}")
        return self.by(data, draw(data, p.min_factor, p.max_factor))

    def by(self, data: Value, alpha: Value) -> Value:
        raise NotImplementedError(f"{self.name}: by")


class RandomBrightness(_RandomFactor):
    """Colours times a random factor."""

    name = "_image_random_brightness"

    def by(self, data, alpha):
        return data * alpha


class RandomContrast(_RandomFactor):
    """Colours moved away from the mean brightness by a random factor."""

    name = "_image_random_contrast"

    def by(self, data, alpha):
        return contrasted(data, alpha)


class RandomSaturation(_RandomFactor):
    """Colours moved away from each pixel's brightness by a random factor."""

    name = "_image_random_saturation"

    def by(self, data, alpha):
        return saturated(data, alpha)


class RandomHue(_RandomFactor):
    """Colours moved round the circle of hues by a random part of it."""

    name = "_image_random_hue"

    def by(self, data, alpha):
        return turned(data, alpha)


class RandomColorJitter(_Colours):
    """Random brightness, contrast, saturation and hue, in random order."""

    name = "_image_random_color_jitter"
    random = True
    brightness = Float(min=0.0, doc="how far the factor of the brightness may be from 1")
    contrast = Float(min=0.0, doc="how far the factor of the contrast may be from 1")
    saturation = Float(min=0.0, doc="how far the factor of the saturation may be from 1")
    hue = Float(min=0.0, doc="how far round the circle hues may move")

    def change(self, p, data):
        steps = []
        for size, centre, step in (
            (p.brightness, 1.0, lambda x, alpha: x * alpha),
            (p.contrast, 1.0, contrasted),
            (p.saturation, 1.0, saturated),
            (p.hue, 0.0, turned),
        ):
            if size:
                steps.append((step, draw(data, max(centre - size, 0.0) if centre else -size, centre + size)))
        if len(steps) < 2:
            return steps[0][0](data, steps[0][1]) if steps else data
        order = F.Cast(F._random_permutation(size=len(steps)), dtype="float32")
        for turn in range(len(steps)):
            which = F.Reshape(F.slice_axis(order, axis=0, begin=turn, end=turn + 1), shape=(1,) * data.ndim)
            results = [step(data, alpha) for step, alpha in steps]
            data = results[0]
            for i, result in enumerate(results[1:], 1):
                data = F._where_rows(F._equal_scalar(which, scalar=float(i)), result, data)
        return data


class AdjustLighting(_Colours):
    """Light added along the principal components of natural colours, as for AlexNet."""

    name = "_image_adjust_lighting"
    alpha = Floats(doc="how much of each of the three components")

    def change(self, p, data):
        if len(p.alpha) != 3:
            raise ParameterError(f"{self.name}: alpha must be three numbers, got {p.alpha}")
        if data.shape[-1] == 1:
            return data
        light = [math.fsum(c * a for c, a in zip(row, p.alpha, strict=True)) for row in LIGHTING]
        return data + numbers(light, (1,) * (data.ndim - 1) + (3,), data.dtype)


class RandomLighting(_Colours):
    """Light added along the principal components of natural colours, with normal factors."""

    name = "_image_random_lighting"
    random = True
    alpha_std = Float(0.05, doc="the standard deviation of the factors")

    def change(self, p, data):
        if data.shape[-1] == 1:
            return data
        factors = F._random_normal(shape=(1, 3), scale=p.alpha_std, dtype=data.dtype)
        flat = [c for row in LIGHTING for c in row]
        light = F.sum(numbers(flat, (3, 3), data.dtype) * factors, axis=1)
        return data + F.Reshape(light, shape=(1,) * (data.ndim - 1) + (3,))
