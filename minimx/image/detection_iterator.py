"""ImageDetIter: images with the boxes of their objects."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..base import FileFormatError, MXNetError, ParameterError
from ..io.iterator import DataBatch, DataDesc
from ..ndarray import NDArray, array
from .augment import DEVIATION, MEAN
from .detection import CreateDetAugmenter
from .iterator import ImageIter


class ImageDetIter(ImageIter):
    """Batches of images with labels (batch, objects, numbers of an object), filled up with -1.

    See ImageIter for where images come from; other parameters are those of CreateDetAugmenter. A label is: length of
    its head, numbers of an object, the rest of the head, then for each object its class, left, top, right and bottom as
    parts of the image, and whatever follows.
    """

    def __init__(
        self,
        batch_size: int,
        data_shape: Sequence[int],
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
        label_name: str = "label",
        last_batch_handle: str = "pad",
        **kwargs: Any,
    ):
        super().__init__(
            batch_size,
            data_shape,
            path_imgrec=path_imgrec,
            path_imglist=path_imglist,
            path_root=path_root,
            path_imgidx=path_imgidx,
            shuffle=shuffle,
            part_index=part_index,
            num_parts=num_parts,
            aug_list=[],
            imglist=imglist,
            data_name=data_name,
            label_name=label_name,
            last_batch_handle=last_batch_handle,
        )
        self.auglist = CreateDetAugmenter(self.data_shape, **kwargs) if aug_list is None else aug_list  # type: ignore
        self.label_shape = self._longest_label()
        self.provide_label = [DataDesc(label_name, (batch_size, *self.label_shape))]

    def _longest_label(self) -> tuple[int, int]:
        most, width = 0, 0
        while True:
            try:
                label = self._parse_label(self.next_sample()[0])
            except StopIteration:
                break
            except (OSError, FileFormatError):
                continue  # told of when the images are read
            most, width = max(most, len(label)), label.shape[1]
        self.reset()
        if not most:
            raise MXNetError(f"{type(self).__name__}: no image has a label with an object")
        return most, width

    def _parse_label(self, label: Any) -> np.ndarray:
        """The objects of a label, those without area left out."""
        raw = np.asarray(label.asnumpy() if isinstance(label, NDArray) else label, np.float32).ravel()
        head, width = (int(raw[0]), int(raw[1])) if raw.size >= 7 else (0, 0)
        if head < 2 or width < 5 or head > raw.size or (raw.size - head) % width:
            raise FileFormatError(f"a label of {raw.size} numbers is not [2 or more, 5 or more, ..., objects]")
        objects = raw[head:].reshape(-1, width)
        objects = objects[(objects[:, 3] > objects[:, 1]) & (objects[:, 4] > objects[:, 2])]
        if not len(objects):
            raise FileFormatError("a label has no object with an area")
        return objects

    def _prepared(self, image: NDArray, label: Any) -> tuple[np.ndarray, Any]:
        image, objects = self.augmentation_transform(image, self._parse_label(label))
        return self._checked(self.postprocess_data(image).asnumpy()), self._filled(objects)

    def _filled(self, objects: np.ndarray) -> np.ndarray:
        if len(objects) > self.label_shape[0] or objects.shape[1] != self.label_shape[1]:
            raise ParameterError(f"a label has the shape {objects.shape}, label_shape is {self.label_shape}")
        filled = np.full(self.label_shape, -1, np.float32)
        filled[: len(objects)] = objects
        return filled

    def _batch(self, rows: list[tuple[np.ndarray, Any]], pad: int) -> DataBatch:
        data = np.stack([image for image, _ in rows]).astype(np.float32, copy=False)
        return DataBatch([array(data)], [array(np.stack([label for _, label in rows]))], pad)

    def augmentation_transform(self, data: NDArray, label: np.ndarray) -> tuple[NDArray, np.ndarray]:  # type: ignore
        """The image and its label after all augmenters."""
        for aug in self.auglist:
            data, label = aug(data, label)  # type: ignore
        return data, label

    def check_label_shape(self, label_shape: Sequence[int]) -> None:
        """Raises ValueError unless labels of this shape can hold all objects."""
        if len(label_shape) != 2:
            raise ParameterError(f"label_shape must be (objects, numbers of an object), got {tuple(label_shape)}")
        if label_shape[0] < self.label_shape[0] or label_shape[1] != self.label_shape[1]:
            raise ParameterError(f"label_shape {tuple(label_shape)} has no room for labels of shape {self.label_shape}")

    def reshape(self, data_shape: Sequence[int] | None = None, label_shape: Sequence[int] | None = None) -> None:
        """Changes the shapes of images (the augmenters must make them) and of labels."""
        if data_shape is not None:
            self.check_data_shape(data_shape)
            self.data_shape = tuple(data_shape)
            self.provide_data = [DataDesc(self.provide_data[0].name, (self.batch_size, *data_shape))]
        if label_shape is not None:
            self.check_label_shape(label_shape)
            self.label_shape = (label_shape[0], label_shape[1])
            self.provide_label = [DataDesc(self.provide_label[0].name, (self.batch_size, *label_shape))]

    def sync_label_shape(self, it: ImageDetIter, verbose: bool = False) -> ImageDetIter:
        """Gives this iterator and another one labels of the same shape."""
        if not isinstance(it, ImageDetIter):
            raise TypeError(f"sync_label_shape: an ImageDetIter is needed, got {type(it).__name__}")
        shape = (max(self.label_shape[0], it.label_shape[0]), self.label_shape[1])
        it.reshape(None, shape)
        self.reshape(None, shape)
        if verbose:
            logging.info("label_shape is now %s", shape)
        return it

    def draw_next(
        self,
        color: Sequence[int] | None = None,
        thickness: int = 2,
        mean: Any = None,
        std: Any = None,
        clip: bool = True,
        waitKey: int | None = None,  # noqa: N803
        window_name: str = "draw_next",
        id2labels: dict[int, str] | None = None,
    ) -> Iterator[np.ndarray]:
        """Images (BGR bytes) with their boxes drawn; `mean` and `std` undo what the augmenters did to the colours.

        With `waitKey` they are shown in a window, which needs OpenCV; names of classes are drawn only if it is there.
        """
        cv2 = _opencv() if waitKey is not None or id2labels else None
        factor = np.array(DEVIATION) if std is True else 1 if std is None else np.asarray(std)
        offset = np.array(MEAN) if mean is True else 0 if mean is None else np.asarray(mean)
        while True:
            try:
                label, data = self.next_sample()
                image, objects = self.augmentation_transform(self.imdecode(data), self._parse_label(label))
            except StopIteration:
                return
            except (OSError, FileFormatError) as error:
                logging.warning("draw_next leaves out an image: %s", error)
                continue
            values = (image.asnumpy() * factor + offset)[:, :, ::-1]
            pixels = np.ascontiguousarray(values.clip(0, 255) if clip else values).astype(np.uint8)
            height, width, _ = pixels.shape
            for row in objects:
                if row[0] < 0:
                    continue
                colour = np.random.randint(0, 256, 3) if color is None else np.array(color)[::-1]
                corners = (row[1:5] * (width, height, width, height)).astype(int)
                _draw_box(pixels, corners, colour, thickness)
                name = (id2labels or {}).get(int(row[0]))
                if cv2 and name:
                    at = (int(corners[0]) + 5, int(corners[1]) + 17)
                    cv2.putText(pixels, name, at, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 2)
            if cv2 and waitKey is not None:
                cv2.imshow(window_name, pixels)
                cv2.waitKey(waitKey)
            yield pixels


def _opencv() -> Any:
    try:
        import cv2
    except ImportError:
        logging.warning("draw_next: without OpenCV (cv2) nothing is shown in windows and no names are drawn")
        return None
    return cv2


def _draw_box(pixels: np.ndarray, corners: np.ndarray, colour: np.ndarray, thickness: int) -> None:
    height, width, _ = pixels.shape
    x1, y1, x2, y2 = corners.clip(0, (width - 1, height - 1, width - 1, height - 1))
    t = max(1, thickness)
    pixels[y1 : y1 + t, x1 : x2 + 1] = colour
    pixels[max(0, y2 - t + 1) : y2 + 1, x1 : x2 + 1] = colour
    pixels[y1 : y2 + 1, x1 : x1 + t] = colour
    pixels[y1 : y2 + 1, max(0, x2 - t + 1) : x2 + 1] = colour
