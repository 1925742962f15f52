"""Encoded images to pixels and back: JPEG, PNG and BMP natively, whatever else Pillow knows if it is installed."""

from __future__ import annotations

import functools
import glob
import os
import struct
import zlib
from importlib.util import find_spec
from typing import Any

import numpy as np

from .. import _core
from ..base import FileFormatError, ParameterError

Encoded = Any  # bytes or whatever has the buffer interface


@functools.cache
def find_jpeg() -> str:
    """Path of the JPEG library: the system's libjpeg-turbo, or the one that comes with Pillow. Empty if there is none."""
    if not _core.jpeg_library():
        spec = find_spec("PIL")
        if spec and spec.origin:
            folder = os.path.dirname(spec.origin)
            wheels = os.path.join(os.path.dirname(folder), "[Pp]illow.libs", "libjpeg*")
            _core.set_jpeg_libraries(sorted(glob.glob(wheels) + glob.glob(os.path.join(folder, ".dylibs", "libjpeg*"))))
    return _core.jpeg_library()


def decode(data: Encoded, channels: int = 3, bgr: bool = False, upright: bool = True, where: str = "") -> np.ndarray:
    """Pixels (height, width, channels) of an encoded image.

    `channels` is 1 for gray, 3 for colours and 0 for what is stored. `where` names the image in errors.
    """
    find_jpeg()
    try:
        return _core.image_decode(data, channels, bgr, upright)
    except ValueError as error:
        pixels = _by_pillow(bytes(data), channels) if "neither JPEG" in str(error) else None
        if pixels is None:
            raise FileFormatError(f"{where}: {error}" if where else str(error)) from None
        return np.ascontiguousarray(pixels[:, :, [2, 1, 0, 3][: pixels.shape[2]]]) if bgr and channels != 1 else pixels


def _by_pillow(data: bytes, channels: int) -> np.ndarray | None:
    try:
        import io

        from PIL import Image
    except ImportError:
        return None
    try:
        with Image.open(io.BytesIO(data)) as image:
            mode = {1: "L", 3: "RGB"}.get(channels) or (image.mode if image.mode in ("L", "RGB", "RGBA") else "RGB")
            pixels = np.array(image.convert(mode))
    except Exception:  # whatever is wrong with it, the caller's sentence says what it begins with
        return None
    return pixels if pixels.ndim == 3 else pixels[:, :, None]


def encode(pixels: np.ndarray, extension: str = ".jpg", quality: int = 95, bgr: bool = False) -> bytes:
    """An image as a file's bytes. `quality` is JPEG's 1 to 100, or PNG's compression level 0 to 9."""
    pixels = np.ascontiguousarray(pixels, np.uint8)
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    kind = extension.lower().lstrip(".")
    if kind in ("jpg", "jpeg"):
        if not 0 <= quality <= 100:
            raise ParameterError(f"encoding JPEG: quality must be 0 to 100, got {quality}")
        find_jpeg()
        try:
            return _core.jpeg_encode(pixels, max(quality, 1), bgr)
        except ValueError as error:
            raise FileFormatError(str(error)) from None
    if kind == "png":
        if not 0 <= quality <= 9:
            raise ParameterError(f"encoding PNG: the compression level must be 0 to 9, got {quality}")
        return _encode_png(pixels, quality, bgr)
    raise ParameterError(f"images are written as .jpg or .png, got {extension!r}")


def _encode_png(pixels: np.ndarray, level: int, bgr: bool) -> bytes:
    height, width, channels = pixels.shape
    colour = {1: 0, 3: 2, 4: 6}.get(channels)
    if colour is None or not height or not width:
        raise ParameterError(f"PNG takes 1, 3 or 4 channels and at least one pixel, got shape {pixels.shape}")
    if bgr and channels > 1:
        pixels = pixels[:, :, [2, 1, 0, 3][:channels]]
    # Every row as the difference to its left neighbours: good for photos and cheap.
    rows = np.empty((height, 1 + width * channels), np.uint8)
    rows[:, 0] = 1
    rows[:, 1 : 1 + channels] = pixels[:, 0]
    rows[:, 1 + channels :] = (pixels[:, 1:] - pixels[:, :-1]).reshape(height, -1)

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows.tobytes(), level)), chunk(b"IEND", b"")]
    )
