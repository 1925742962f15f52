"""Iterators over files of numbers: MNIST's image files, and comma-separated values."""

from __future__ import annotations

import gzip
import logging
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..base import FileFormatError, dtype_name
from ..ndarray import array
from .arrays import RowsIter


class MXDataIter(RowsIter):
    """Base of the iterators over files."""

    pad = 0

    def getpad(self):
        return self.pad


def _read_idx(path: str, dimensions: int) -> np.ndarray:
    """The bytes of a file in the format of MNIST, which may be compressed by gzip."""
    with (gzip.open if str(path).endswith(".gz") else open)(path, "rb") as file:
        content = file.read()
    header = 4 * (dimensions + 1)
    if len(content) < header:
        raise FileFormatError(f"{path}: a header of {header} bytes is needed, the file has {len(content)}")
    shape = struct.unpack(f">{dimensions}I", content[4:header])
    if len(content) - header < np.prod(shape):
        raise FileFormatError(f"{path}: {np.prod(shape)} bytes are announced, {len(content) - header} are there")
    return np.frombuffer(content, np.uint8, int(np.prod(shape)), header).reshape(shape)


class MNISTIter(MXDataIter):
    """MNIST's files of images and labels. Pixels are divided by 256; rows that do not fill a batch are left out."""

    def __init__(
        self,
        image: str = "./train-images-idx3-ubyte",
        label: str = "./train-labels-idx1-ubyte",
        batch_size: int = 128,
        shuffle: bool = True,
        flat: bool = False,
        seed: int = 0,
        silent: bool = False,
        num_parts: int = 1,
        part_index: int = 0,
        input_shape: Any = None,
        data_name: str = "data",
        label_name: str = "softmax_label",
        dtype: Any = "float32",
        prefetch_buffer: int = 4,
        ctx: Any = None,
    ):
        images, labels = _read_idx(image, 3), _read_idx(label, 1)
        if len(images) != len(labels):
            raise ValueError(f"{image} has {len(images)} images, {label} {len(labels)} labels")
        if not 0 <= part_index < num_parts:
            raise ValueError(f"part_index must be between 0 and num_parts - 1, got {part_index} of {num_parts}")
        start, stop = (int(len(images) / num_parts * k) for k in (part_index, part_index + 1))
        order = np.arange(start, stop)
        if shuffle:
            np.random.RandomState(seed).shuffle(order)
        pixels = images[order].astype("float32") / 256
        shape = (len(order), -1) if flat else (len(order), 1, *images.shape[1:])
        data = array(pixels.reshape(shape), dtype=dtype_name(dtype))
        super().__init__([(data_name, data)], [(label_name, array(labels[order]))], batch_size)
        if not silent:
            sizes = ",".join(map(str, self.provide_data[0].shape))
            logging.info("MNISTIter: load %d images, shuffle=%d, shape=(%s)", len(order), shuffle, sizes)
        self.reset()

    place = ("rows", "_start")

    def reset(self):
        self._start = -self.batch_size

    def iter_next(self):
        self._start += self.batch_size
        self.rows = np.arange(self._start, self._start + self.batch_size)
        return self._start + self.batch_size <= self.num_data


class CSVIter(MXDataIter):
    """Rows of comma-separated values, each an example of shape `data_shape`; labels from a second file, or zeros.

    With `round_batch` the last batch is filled from the start of the file, and the next epoch goes on from there; without
    it, its last rows are those of the batch before.
    """

    def __init__(
        self,
        data_csv: str,
        data_shape: Sequence[int],
        label_csv: str | None = "NULL",
        label_shape: Sequence[int] = (1,),
        batch_size: int = 1,
        round_batch: bool = True,
        prefetch_buffer: int = 4,
        ctx: Any = None,
        dtype: Any = None,
        data_name: str = "data",
        label_name: str = "softmax_label",
    ):
        dtype = dtype_name(dtype or "float32")
        data = _read_csv(data_csv, data_shape, dtype)
        label_shape = (label_shape,) if isinstance(label_shape, int) else tuple(label_shape)
        if label_csv in (None, "NULL"):
            labels = np.zeros((len(data), *label_shape), dtype)
        else:
            labels = _read_csv(label_csv, label_shape, dtype)
        if label_shape == (1,):
            labels = labels[:, 0]
        named = [(data_name, array(data, dtype=dtype))], [(label_name, array(labels, dtype=dtype))]
        super().__init__(*named, batch_size)
        self.round_batch = round_batch
        self._next = 0

    place = ("rows", "pad", "_next")

    def reset(self):
        # After a batch that was filled from the start, the epoch goes on behind those rows.
        self._next = self.pad if self.round_batch and self._next >= self.num_data else 0
        self.pad = 0

    def iter_next(self):
        if self._next >= self.num_data:
            return False
        rows = np.arange(self._next, self._next + self.batch_size)
        self.pad = max(0, int(rows[-1]) + 1 - self.num_data)
        before = self.rows if self._next else rows % self.num_data
        self.rows = np.where(rows < self.num_data, rows, rows % self.num_data if self.round_batch else before)
        self._next += self.batch_size
        return True


def _read_csv(path: str, shape: int | Sequence[int], dtype: str) -> np.ndarray:
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    try:
        values = np.loadtxt(path, delimiter=",", ndmin=2, dtype=dtype)
    except ValueError as error:
        raise FileFormatError(f"{path}: {error}") from None
    if values.shape[1] != np.prod(shape):
        raise FileFormatError(f"{path}: rows have {values.shape[1]} values, shape {shape} needs {np.prod(shape)}")
    return values.reshape(len(values), *shape)
