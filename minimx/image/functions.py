"""Functions of images as arrays (height, width, channels)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _core
from ..base import FileFormatError, ParameterError, ShapeError
from ..ndarray import NDArray, array, from_numpy
from . import codec

Size = Sequence[int]
Rect = tuple[int, int, int, int]


def pixels_of(src: Any, name: str = "src") -> np.ndarray:
    """An image's values, checked to have three axes."""
    values = src.asnumpy() if isinstance(src, NDArray) else np.asarray(src)
    if values.ndim != 3:
        raise ShapeError(f"{name} must have the axes (height, width, channels), got shape {values.shape}")
    return values


def as_array(values: np.ndarray) -> NDArray:
    return from_numpy(np.ascontiguousarray(values))


def _written(result: NDArray, out: NDArray | None) -> NDArray:
    if out is None:
        return result
    out[:] = result
    return out


def imdecode(
    buf: Any, flag: int = 1, to_rgb: int | bool = 1, out: NDArray | None = None, *, where: str = ""
) -> NDArray:
    """The image in an encoded file's bytes: in colour (`flag` 1), gray (0) or as stored (-1); RGB unless `to_rgb` is 0."""
    if isinstance(buf, NDArray):
        buf = buf.asnumpy()
    if isinstance(buf, str) or not isinstance(buf, (bytes, bytearray, memoryview, np.ndarray)):
        raise ValueError(f"imdecode: bytes are needed, got {type(buf).__name__}")
    if isinstance(buf, np.ndarray):
        buf = np.ascontiguousarray(buf, np.uint8).ravel()
    channels = {0: 1, 1: 3}.get(int(flag), 0)
    values = codec.decode(buf, channels, bgr=not int(to_rgb), where=where)
    return _written(as_array(values), out)


def imread(filename: Any, flag: int = 1, to_rgb: int | bool = 1, out: NDArray | None = None) -> NDArray:
    """The image in a file; see imdecode."""
    with open(filename, "rb") as file:
        data = file.read()
    return imdecode(data, flag, to_rgb, out, where=str(filename))


def imresize(src: NDArray, w: int, h: int, interp: int = 1, out: NDArray | None = None) -> NDArray:
    """The image with another size. `interp`: 0 nearest, 1 bilinear, 2 cubic, 3 area, 4 Lanczos, 9 and 10 as elsewhere."""
    values = pixels_of(src)
    kind = values.dtype
    if kind != np.uint8 and kind not in (np.float32, np.float64):
        values = values.astype(np.float32)
    method = interp_method(interp, (*values.shape[:2], h, w))
    resized = _core.image_resize(np.ascontiguousarray(values), int(h), int(w), method)
    if resized.dtype != kind:
        limited = np.rint(resized).clip(np.iinfo(kind).min, np.iinfo(kind).max) if kind.kind in "iu" else resized
        resized = limited.astype(kind)
    return _written(as_array(resized), out)


_BORDERS: dict[int, Any] = {0: "constant", 16: "constant", 1: "edge", 2: "symmetric", 3: "wrap", 4: "reflect"}


def copyMakeBorder(  # noqa: N802
    src: NDArray,
    top: int,
    bot: int,
    left: int,
    right: int,
    type: int = 0,
    value: float = 0,
    values: Sequence[float] = (),
    out: NDArray | None = None,
) -> NDArray:
    """The image with a border: constant (`type` 0), its edge (1), reflected (2), wrapped (3), reflected without the edge (4).

    `values` are the border's channels, or `value` all of them.
    """
    pixels = pixels_of(src)
    if type not in _BORDERS or min(top, bot, left, right) < 0:
        raise ParameterError(f"copyMakeBorder: type must be 0 to 4 and no margin negative, got {type} and "
                             f"{(top, bot, left, right)}")  # fmt: skip
    around = ((top, bot), (left, right), (0, 0))
    if _BORDERS[type] != "constant":
        return _written(as_array(np.pad(pixels, around, _BORDERS[type])), out)
    channels = pixels.shape[2]
    given = np.zeros(channels)
    given[:] = value
    if isinstance(values, (int, float)):
        values = (values,)
    given[: min(channels, len(values))] = list(values)[:channels]
    whole = np.empty((top + pixels.shape[0] + bot, left + pixels.shape[1] + right, channels), pixels.dtype)
    whole[:] = given.astype(pixels.dtype)
    whole[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    return _written(as_array(whole), out)


def scale_down(src_size: Size, size: Size) -> tuple[int, int]:
    """A crop's (width, height), made smaller with its aspect where the image (width, height) is smaller."""
    w, h = map(float, size)
    sw, sh = src_size
    if sh < h:
        w, h = w * sh / h, sh
    if sw < w:
        w, h = sw, h * sw / w
    return int(w), int(h)


def interp_method(interp: int, sizes: Sequence[int] = ()) -> int:
    """0 to 4 for `interp`; 9 chooses by `sizes` (old height, width, new height, width), 10 by chance."""
    if interp == 9:
        if not sizes:
            return 2
        old_h, old_w, new_h, new_w = sizes
        return 2 if new_h > old_h and new_w > old_w else 3 if new_h < old_h and new_w < old_w else 1
    if interp == 10:
        return random.randint(0, 4)
    if interp not in (0, 1, 2, 3, 4):
        raise ParameterError(f"interp must be 0 to 4, 9 or 10, got {interp}")
    return interp


def resize_short(src: NDArray, size: int, interp: int = 2) -> NDArray:
    """The image with its shorter edge resized to `size`."""
    h, w = src.shape[:2]
    new_h, new_w = (size * h // w, size) if h > w else (size, size * w // h)
    return imresize(src, new_w, new_h, interp=interp)


def fixed_crop(src: NDArray, x0: int, y0: int, w: int, h: int, size: Size | None = None, interp: int = 2) -> NDArray:
    """The piece at (x0, y0), resized to `size` (width, height) if that is given."""
    piece = src[y0 : y0 + h, x0 : x0 + w]
    if size is not None and (w, h) != tuple(size):
        piece = imresize(piece, size[0], size[1], interp=interp_method(interp, (h, w, size[1], size[0])))
    return piece


def random_crop(src: NDArray, size: Size, interp: int = 2) -> tuple[NDArray, Rect]:
    """A piece anywhere, and where it was: (x, y, width, height). A smaller image is cropped to the aspect and resized."""
    h, w = src.shape[:2]
    new_w, new_h = scale_down((w, h), size)
    x0, y0 = random.randint(0, w - new_w), random.randint(0, h - new_h)
    return fixed_crop(src, x0, y0, new_w, new_h, size, interp), (x0, y0, new_w, new_h)


def center_crop(src: NDArray, size: Size, interp: int = 2) -> tuple[NDArray, Rect]:
    """The piece in the middle, and where it was."""
    h, w = src.shape[:2]
    new_w, new_h = scale_down((w, h), size)
    x0, y0 = (w - new_w) // 2, (h - new_h) // 2
    return fixed_crop(src, x0, y0, new_w, new_h, size, interp), (x0, y0, new_w, new_h)


def color_normalize(src: NDArray, mean: NDArray | None, std: NDArray | None = None) -> NDArray:
    """(src - mean) / std, in place."""
    if mean is not None:
        src -= mean
    if std is not None:
        src /= std
    return src


def random_size_crop(
    src: NDArray, size: Size, area: float | Sequence[float], ratio: Sequence[float], interp: int = 2, **kwargs: Any
) -> tuple[NDArray, Rect]:
    """A piece of random area (a part of the image's, from `area` to 1 or within it) and aspect, resized to `size`."""
    if "min_area" in kwargs:
        area = kwargs.pop("min_area")
    if kwargs:
        raise ParameterError(f"random_size_crop has no parameter {next(iter(kwargs))!r}")
    low, high = (area, 1.0) if isinstance(area, (int, float)) else area
    h, w = src.shape[:2]
    for _ in range(10):
        target = random.uniform(low, high) * h * w
        aspect = np.exp(random.uniform(np.log(ratio[0]), np.log(ratio[1])))
        new_w, new_h = int(round(np.sqrt(target * aspect))), int(round(np.sqrt(target / aspect)))
        if new_w <= w and new_h <= h:
            x0, y0 = random.randint(0, w - new_w), random.randint(0, h - new_h)
            return fixed_crop(src, x0, y0, new_w, new_h, size, interp), (x0, y0, new_w, new_h)
    return center_crop(src, size, interp)


def imrotate(src: NDArray, rotation_degrees: Any, zoom_in: bool = False, zoom_out: bool = False) -> NDArray:
    """Images (channels, height, width), or a batch of them, turned by an angle, or by one each.

    `zoom_in` enlarges until no corner is empty, `zoom_out` shrinks until all of the image is seen.
    """
    if zoom_in and zoom_out:
        raise ValueError("imrotate: zoom_in and zoom_out cannot both be True")
    if np.dtype(src.dtype) != np.float32:
        raise TypeError(f"imrotate: a float32 image is needed, got {np.dtype(src.dtype).name}")
    single = src.ndim == 3
    if src.ndim not in (3, 4):
        raise ValueError(f"imrotate: 3 or 4 axes are needed, got shape {src.shape}")
    scalar = isinstance(rotation_degrees, (int, float, np.number))
    if single and not scalar:
        raise TypeError("imrotate: one image is turned by one number of degrees")
    images = src.asnumpy()[None] if single else src.asnumpy()
    n = len(images)
    angles = (
        [float(rotation_degrees)] * n if scalar else np.asarray(array(rotation_degrees).asnumpy(), np.float64).ravel()
    )
    if len(angles) != n:
        raise ValueError(f"imrotate: {n} images, but {len(angles)} angles")
    turned = np.stack([_rotated(i, a, zoom_in, zoom_out) for i, a in zip(images, angles, strict=True)])
    return array(turned[0] if single else turned, src.context)


def _rotated(image: np.ndarray, degrees: float, zoom_in: bool, zoom_out: bool) -> np.ndarray:
    """One image, sampled bilinearly with zeros around it."""
    h, w = image.shape[1:]
    angle = np.pi * degrees / 180
    half_h, half_w = (h - 1) / 2, (w - 1) / 2
    y, x = np.mgrid[0:h, 0:w].astype(np.float64)
    y, x = y - half_h, x - half_w
    c, s = np.cos(angle), np.sin(angle)
    scale = 1.0
    if zoom_in or zoom_out:
        far, corner = np.hypot(h, w), np.arctan(h / w)
        around = (corner + abs(angle), corner - abs(angle))
        most_x = max(abs(far * np.cos(a)) for a in around)
        most_y = max(abs(far * np.sin(a)) for a in around)
        scale = max(most_x / w, most_y / h) if zoom_out else min(w / most_x, h / most_y)
    from_x, from_y = (x * c - y * s) * scale + half_w, (x * s + y * c) * scale + half_h
    left, top = np.floor(from_x).astype(int), np.floor(from_y).astype(int)
    result = np.zeros(image.shape, np.float64)
    for dy in (0, 1):
        for dx in (0, 1):
            at_x, at_y = left + dx, top + dy
            weight = (1 - np.abs(from_x - at_x)) * (1 - np.abs(from_y - at_y))
            inside = (at_x >= 0) & (at_x < w) & (at_y >= 0) & (at_y < h)
            result += np.where(inside, weight, 0) * image[:, at_y.clip(0, h - 1), at_x.clip(0, w - 1)]
    return result.astype(np.float32)


def random_rotate(
    src: NDArray, angle_limits: Sequence[float], zoom_in: bool = False, zoom_out: bool = False
) -> NDArray:
    """imrotate by angles between two limits."""
    low, high = angle_limits
    angles = np.random.uniform(low, high, None if src.ndim == 3 else src.shape[0])
    return imrotate(src, float(angles) if src.ndim == 3 else array(angles), zoom_in, zoom_out)


def read_list(path: str) -> list[tuple[int, list[float], str]]:
    """The lines of a list file: index, labels, path."""
    lines = []
    with open(path) as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            parts = line.strip().split("\t")
            try:
                lines.append((int(parts[0]), [float(v) for v in parts[1:-1]], parts[-1]))
            except ValueError:
                parts = []
            if len(parts) < 3:
                raise FileFormatError(
                    f"{path}, line {number}: index, labels and path with tabs between them are needed"
                )
    return lines
