"""ImageIter: images from record files or from files of their own, changed by a list of augmenters in Python."""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from .. import recordio
from ..base import MXNetError, ParameterError
from ..io.iterator import DataBatch, DataDesc, DataIter
from ..ndarray import NDArray, array
from . import functions as F
from .augment import CreateAugmenter

Sample = tuple[Any, bytes]


class ImageIter(DataIter):
    """Batches of images that augmenters have changed.

    The images come from a record file (`path_imgrec`, with `path_imgidx` for parts and shuffling), from files that a list
    file names (`path_imglist`, below `path_root`), or from `imglist`, a list of [label or labels, path]. What does not
    fill the last batch is completed from the start (`last_batch_handle` "pad"), left out ("discard"), or kept for the
    next epoch ("roll_over"). Other parameters are those of CreateAugmenter. An image that cannot be read is left out,
    counted in `skipped` and told of in the log.
    """

    def __init__(
        self,
        batch_size: int,
        data_shape: Sequence[int],
        label_width: int = 1,
        path_imgrec: str | None = None,
        path_imglist: str | None = None,
        path_root: str | None = None,
        path_imgidx: str | None = None,
        shuffle: bool = False,
        part_index: int = 0,
        num_parts: int = 1,
        aug_list: list[Any] | None = None,
        imglist: list[Any] | None = None,
        data_name: str = "data",
        label_name: str = "softmax_label",
        dtype: str = "float32",
        last_batch_handle: str = "pad",
        **kwargs: Any,
    ):
        super().__init__(batch_size)
        name = type(self).__name__
        if not (path_imgrec or path_imglist or isinstance(imglist, list)):
            raise ParameterError(f"{name}: one of path_imgrec, path_imglist and imglist (a list) is needed")
        if dtype not in ("int32", "float32", "int64", "float64"):
            raise ParameterError(f"{name}: labels of dtype {dtype} are not made; int32, int64, float32, float64 are")
        if last_batch_handle not in ("pad", "discard", "roll_over"):
            raise ParameterError(
                f"{name}: last_batch_handle must be pad, discard or roll_over, got {last_batch_handle!r}"
            )
        if not 0 <= part_index < num_parts:
            raise ParameterError(f"{name}: part_index must be 0 to {num_parts - 1}, got {part_index}")
        data_shape = tuple(data_shape)
        self.check_data_shape(data_shape)
        self.imgrec: Any = None
        self.imgidx: list[Any] | None = None
        self.imglist: dict[Any, tuple[np.ndarray, str]] | None = None
        if path_imgrec and path_imgidx:
            self.imgrec = recordio.MXIndexedRecordIO(path_imgidx, path_imgrec, "r")
            self.imgidx = list(self.imgrec.keys)
        elif path_imgrec:
            self.imgrec = recordio.MXRecordIO(path_imgrec, "r")
        if path_imglist:
            self.imglist = {key: (np.asarray(labels, dtype), path) for key, labels, path in F.read_list(path_imglist)}
        elif isinstance(imglist, list):
            self.imglist = {
                str(i): (np.asarray(item[:-1] if len(item) > 2 else np.atleast_1d(item[0]), dtype), item[-1])
                for i, item in enumerate(imglist, 1)
            }
        self.path_root = path_root
        self.data_shape = data_shape
        self.label_width = label_width
        self.shuffle = shuffle
        self.dtype = dtype
        self.last_batch_handle = last_batch_handle
        self.provide_data = [DataDesc(data_name, (batch_size, *data_shape))]
        self.provide_label = [DataDesc(label_name, (batch_size, label_width) if label_width > 1 else (batch_size,))]
        self.seq: list[Any] | None = None
        if self.imgrec is None:
            self.seq = list(self.imglist or {})
        elif self.imgidx is not None:
            self.seq = self.imgidx
        elif shuffle or num_parts > 1:
            raise ParameterError(f"{name}: shuffle and num_parts need path_imgidx with a record file")
        if num_parts > 1 and self.seq is not None:
            share = len(self.seq) // num_parts
            self.seq = self.seq[part_index * share : (part_index + 1) * share]
        self.num_image = len(self.seq) if self.seq is not None else None
        self.auglist = CreateAugmenter(data_shape, **kwargs) if aug_list is None else aug_list
        self.skipped = 0
        self.cur = 0
        self._over = False  # the last batch of this epoch was given
        self._kept: list[tuple[np.ndarray, Any]] = []  # rolled over from the epoch before
        self.hard_reset()

    def reset(self) -> None:
        """Begins an epoch."""
        if self.seq is not None and self.shuffle:
            random.shuffle(self.seq)
        if self.imgrec is not None:
            self.imgrec.reset()
        self.cur = 0
        self._over = False

    def hard_reset(self) -> None:
        """Begins an epoch and forgets images that were rolled over."""
        self._kept = []
        self.reset()

    def next_sample(self) -> Sample:
        """Labels and bytes of the next image; StopIteration at the end."""
        if self.seq is not None:
            if self.cur >= len(self.seq):
                raise StopIteration
            key = self.seq[self.cur]
            self.cur += 1
            if self.imgrec is None:
                label, path = (self.imglist or {})[key]
                return label, self.read_image(path)
            header, data = recordio.unpack(self.imgrec.read_idx(key))
        else:
            record = self.imgrec.read()
            if record is None:
                raise StopIteration
            header, data = recordio.unpack(record)
            key = header.id
            self.cur += 1
        if self.imglist is None:
            return header.label, data
        if key not in self.imglist:
            raise MXNetError(f"{type(self).__name__}: the list has no line for record id {key}")
        return self.imglist[key][0], data

    def _rows(self) -> Iterator[tuple[np.ndarray, Any]]:
        """Images (channels, height, width) with their labels, to the end of the images."""
        while True:
            try:
                label, data = self.next_sample()
                image, label = self._prepared(self.imdecode(data), label)
            except StopIteration:
                return
            except (OSError, MXNetError) as error:
                if isinstance(error, ParameterError):
                    raise
                self.skipped += 1
                if self.skipped <= 10:
                    logging.warning("%s leaves out an image: %s", type(self).__name__, error)
                continue
            yield image, label

    def _prepared(self, image: NDArray, label: Any) -> tuple[np.ndarray, Any]:
        self.check_valid_image([image])
        values = self.postprocess_data(self.augmentation_transform(image)).asnumpy()
        label = np.asarray(label.asnumpy() if isinstance(label, NDArray) else label).ravel()
        if label.size != self.label_width:
            raise ParameterError(f"an image has {label.size} labels, label_width is {self.label_width}")
        return self._checked(values), label

    def _checked(self, values: np.ndarray) -> np.ndarray:
        if values.shape != self.data_shape:
            raise ParameterError(
                f"the augmenters made an image of shape {values.shape}, data_shape is {self.data_shape}"
            )
        return values

    def _batch(self, rows: list[tuple[np.ndarray, Any]], pad: int) -> DataBatch:
        data = np.stack([image for image, _ in rows]).astype(np.float32, copy=False)
        labels = np.stack([label for _, label in rows]).astype(self.dtype)
        return DataBatch([array(data)], [array(labels.reshape(self.provide_label[0].shape), dtype=self.dtype)], pad)

    def next(self) -> DataBatch:
        if self._over:
            raise StopIteration
        rows, self._kept = self._kept, []
        source = self._rows()
        while len(rows) < self.batch_size:
            row = next(source, None)
            if row is None:
                break
            rows.append(row)
        pad = self.batch_size - len(rows)
        if not pad:
            return self._batch(rows, 0)
        self._over = True
        if self.last_batch_handle == "roll_over":
            self._kept = rows
        if not rows or self.last_batch_handle != "pad":
            raise StopIteration
        # From the start, as often as it takes.
        self.cur = 0
        while len(rows) < self.batch_size:
            if self.imgrec is not None and self.seq is None:
                self.imgrec.reset()
            self.cur = 0
            for row in self._rows():
                rows.append(row)
                if len(rows) == self.batch_size:
                    break
        return self._batch(rows, pad)

    def get_state(self):
        """Where this iterator is. What the augmenters draw is not part of it: Python's `random` has a state itself."""
        kept = [(image, np.asarray(label)) for image, label in self._kept]
        return self._make_state(
            cur=self.cur, seq=None if self.seq is None else list(self.seq), over=self._over, kept=kept
        )

    def set_state(self, state):
        state = self._check_state(state)
        self.hard_reset()
        self.cur, self._over, self._kept = state["cur"], state["over"], list(state["kept"])
        if self.seq is not None:
            self.seq = list(state["seq"])
        else:
            for _ in range(self.cur):
                self.imgrec.read()

    def check_data_shape(self, data_shape: Sequence[int]) -> None:
        """Raises ValueError unless the shape is (3, height, width)."""
        if len(data_shape) != 3 or data_shape[0] != 3:
            raise ParameterError(
                f"{type(self).__name__}: data_shape must be (3, height, width), got {tuple(data_shape)}"
            )

    def check_valid_image(self, data: Sequence[NDArray]) -> None:
        """Raises RuntimeError for an image without axes."""
        if len(data[0].shape) == 0:
            raise MXNetError("the image has no axes")

    def imdecode(self, s: bytes) -> NDArray:
        """The pixels of an encoded image; an error says which image it is."""
        return F.imdecode(s, where=self._where())

    def _where(self) -> str:
        if self.seq is None:
            return f"image {self.cur - 1}"
        key = self.seq[max(self.cur, 1) - 1]
        return self.imglist[key][1] if self.imgrec is None and self.imglist else f"record {key}"

    def read_image(self, fname: str) -> bytes:
        """The bytes of a file below path_root."""
        with open(os.path.join(self.path_root or "", fname), "rb") as file:
            return file.read()

    def augmentation_transform(self, data: NDArray) -> NDArray:
        """The image after all augmenters."""
        for aug in self.auglist:
            data = aug(data)
        return data

    def postprocess_data(self, datum: NDArray) -> NDArray:
        """The image with the axes (channels, height, width)."""
        return F.as_array(datum.asnumpy().transpose(2, 0, 1))
