"""Iterators over files of numbers: MNIST's image files, comma-separated values, and LibSVM's sparse rows."""

from __future__ import annotations

import gzip
import logging
import struct
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..base import FileFormatError, dtype_name
from ..ndarray import array
from .arrays import RowsIter
from .iterator import DataBatch


class MXDataIter(RowsIter):
    """Base of the iterators over files."""

    pad = 0
    _repeating = False
    _begun = False  # whether there is a batch

    def getpad(self):
        return self.pad

    def getindex(self):
        return self.rows

    def debug_skip_load(self) -> None:
        """From now on every batch is the present one, or the first: shows how fast a program is without its data."""
        self._repeating = True

    def next(self):
        if not (self._repeating and self._begun):
            self._begun = self.iter_next()
            if not self._begun:
                raise StopIteration
        return DataBatch(self.getdata(), self.getlabel(), self.getpad(), self.getindex())


class RoundingIter(MXDataIter):
    """With `round_batch` the last batch is filled from the start of the file, and the next epoch goes on from there;
    without it, its last rows are those of the batch before.
    """

    def __init__(self, data: np.ndarray, label: np.ndarray, names: tuple[str, str], batch_size: int, round_batch: bool):
        if label.shape[1:] == (1,):
            label = label[:, 0]
        data_named, label_named = (
            [(name, array(a, dtype=dtype_name(a.dtype)))] for name, a in zip(names, (data, label), strict=True)
        )
        super().__init__(data_named, label_named, batch_size)
        self.round_batch = round_batch
        self._next = 0

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

    def get_state(self):
        return self._make_state(next=self._next, pad=self.pad, rows=self.rows)

    def set_state(self, state):
        state = self._check_state(state)
        self._next, self.pad, self.rows = state["next"], state["pad"], state["rows"]


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

    def reset(self):
        self._start = -self.batch_size

    def get_state(self):
        return self._make_state(start=self._start)

    def set_state(self, state):
        self._start = self._check_state(state)["start"]

    def iter_next(self):
        self._start += self.batch_size
        self.rows = np.arange(self._start, self._start + self.batch_size)
        return self._start + self.batch_size <= self.num_data


class CSVIter(RoundingIter):
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
        data = _read_csv(data_csv, _shape(data_shape), dtype)
        if label_csv in (None, "NULL"):
            labels = np.zeros((len(data), *_shape(label_shape)), dtype)
        else:
            labels = _read_csv(label_csv, _shape(label_shape), dtype)
        super().__init__(data, labels, (data_name, label_name), batch_size, round_batch)


def _shape(shape: int | Sequence[int]) -> tuple[int, ...]:
    return (shape,) if isinstance(shape, int) else tuple(shape)


def _read_csv(path: str, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "loadtxt: input contained no data")
            values = np.loadtxt(path, delimiter=",", ndmin=2, dtype=dtype)
    except ValueError as error:
        raise FileFormatError(f"{path}: {error}") from None
    if not values.size:
        raise FileFormatError(f"{path} has no rows")
    if values.shape[1] != np.prod(shape):
        raise FileFormatError(f"{path}: rows have {values.shape[1]} values, shape {shape} needs {np.prod(shape)}")
    return values.reshape(len(values), *shape)


class LibSVMIter(RoundingIter):
    """Rows of LibSVM's format, `label index:value index:value...` with indices from zero, as dense arrays.

    With a second file the labels are its rows' values, of shape `label_shape`. The file's lines may be read in parts.
    Batches are filled as CSVIter fills them.
    """

    def __init__(
        self,
        data_libsvm: str,
        data_shape: Sequence[int],
        label_libsvm: str | None = "NULL",
        label_shape: Sequence[int] = (1,),
        num_parts: int = 1,
        part_index: int = 0,
        batch_size: int = 1,
        round_batch: bool = True,
        prefetch_buffer: int = 4,
        ctx: Any = None,
        dtype: Any = None,
        data_name: str = "data",
        label_name: str = "softmax_label",
    ):
        if not 0 <= part_index < num_parts:
            raise ValueError(f"part_index must be between 0 and num_parts - 1, got {part_index} of {num_parts}")
        dtype = dtype_name(dtype or "float32")
        part = part_index, num_parts
        data, labels, first = _read_libsvm(data_libsvm, _shape(data_shape), part, dtype)
        if label_libsvm not in (None, "NULL"):
            labels, _, _ = _read_libsvm(str(label_libsvm), _shape(label_shape), (0, 1), dtype)
            labels = labels[first : first + len(data)] if num_parts > 1 else labels
        super().__init__(data, labels, (data_name, label_name), batch_size, round_batch)


def _read_libsvm(
    path: str, shape: tuple[int, ...], part: tuple[int, int], dtype: str
) -> tuple[np.ndarray, np.ndarray, int]:
    """Dense rows of a part of the file, the numbers before them, and how many rows there are before the part."""
    width = int(np.prod(shape))
    with open(path, "rb") as file:
        content = file.read()
    step = -(-len(content) // part[1])
    begin, end = (_line_begin(content, step * k) for k in (part[0], part[0] + 1))
    labels, rows, columns, values = [], [], [], []
    first = sum(1 for line in content[:begin].splitlines() if line.partition(b"#")[0].strip())
    for line in content[begin:end].splitlines():
        words = line.partition(b"#")[0].split()
        if not words:
            continue
        try:
            labels.append(float(words[0]))
            for word in words[1:]:
                column, _, value = word.partition(b":")
                columns.append(int(column))
                values.append(float(value))
                rows.append(len(labels) - 1)
        except ValueError:
            raise FileFormatError(
                f"{path}: a label and pairs index:value are needed, got {line.decode(errors='replace')!r}"
            ) from None
    if not labels:
        raise FileFormatError(f"{path} has no rows" + (f" in part {part[0]} of {part[1]}" if part[1] > 1 else ""))
    if columns and not 0 <= min(columns) <= max(columns) < width:
        wrong = next(c for c in columns if not 0 <= c < width)
        raise FileFormatError(f"{path}: index {wrong} does not fit shape {shape}, whose indices are 0 to {width - 1}")
    dense = np.zeros((len(labels), width), dtype)
    dense[rows, columns] = values
    return dense.reshape(len(labels), *shape), np.array(labels, dtype)[:, None], first


def _line_begin(content: bytes, at: int) -> int:
    """The first line that begins at a place or behind it."""
    if at == 0 or at >= len(content):
        return min(at, len(content))
    return content.find(b"\n", at - 1) + 1 or len(content)
