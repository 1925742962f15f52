"""Batches of images from record files: ImageRecordIter and its kin."""

from __future__ import annotations

import logging
import os
import re
import struct
from typing import Any

import numpy as np

from .. import _core
from ..base import FileFormatError, MXNetError, ParameterError
from ..context import cpu
from ..image.codec import find_jpeg
from ..params import parse_params
from . import image_params
from .iterator import DataBatch, DataDesc, _OfBatches

_CORES = max(1, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


class ImageBatches(_OfBatches):
    """Batches that threads of their own make while the program works.

    Images that cannot be read are left out, counted in `skipped` and told of in the log. An epoch is the same for any
    number of threads; `get_state` and `set_state` go on in the middle of one.
    """

    _table: image_params.Params
    _told = 10  # images left out that the log names

    def __init__(self, given: dict[str, Any]):
        name = type(self).__name__
        p = self.params = parse_params(name, self._table, given)
        super().__init__(p["batch_size"])
        shape = p["data_shape"]
        if len(shape) != 3 or shape[0] not in (1, 3, 4):
            raise ParameterError(f"{name}: data_shape must be (1, 3 or 4 channels, height, width), got {shape}")
        if p["part_index"] >= p["num_parts"]:
            raise ParameterError(f"{name}: part_index must be below num_parts {p['num_parts']}, got {p['part_index']}")
        find_jpeg()
        self.dtype = p["dtype"] or "float32"
        self._labels_shape: tuple[int, ...] = ()
        self._messages = 0

    def _start(self, config: dict[str, Any]) -> None:
        """Begins to make batches; `config` is what is not common to all kinds of iterators."""
        p = self.params
        channels, height, width = p["data_shape"]
        self._config = {
            "channels": channels,
            "height": height,
            "width": width,
            "dtype": self.dtype,
            "batch_size": p["batch_size"],
            "prefetch": p["prefetch_buffer"],
            "threads": min(p["preprocess_threads"], _CORES),
            "round_batch": p["round_batch"],
            "shuffle": p["shuffle"],
            "seed": p["seed"] % 2**64,
            "augment_seed": (p["seed"] if p.get("seed_aug") is None else p["seed_aug"]) % 2**64,
            **config,
        }
        self._pipeline = self._open(self._config)

    def _open(self, config: dict[str, Any]) -> Any:
        try:
            return _core.ImagePipeline(config)
        except ValueError as error:
            raise MXNetError(f"{type(self).__name__}: {error}") from None

    @property
    def provide_data(self) -> list[DataDesc]:
        return [
            DataDesc(self.params["data_name"], (self.batch_size, *self.params["data_shape"]), np.dtype(self.dtype).type)
        ]

    @property
    def provide_label(self) -> list[DataDesc]:
        return [DataDesc(self.params["label_name"], (self.batch_size, *self._labels_shape))]

    @property
    def skipped(self) -> int:
        """How many images were left out because they cannot be read."""
        return self._pipeline.skipped

    def reset(self) -> None:
        """Begins an epoch. With round_batch it begins after the images that completed the last batch."""
        self._pipeline.reset()
        self.current_batch = None

    def iter_next(self) -> bool:
        try:
            made = self._pipeline.next()
        except RuntimeError as error:
            raise MXNetError(f"{type(self).__name__}: {error}") from None
        finally:
            self._tell()
        if made is None:
            return False
        data, label, pad, index = made
        ctx = cpu()
        self.current_batch = DataBatch(
            [_core.make(data, 0, (self.batch_size, *self.params["data_shape"]), self.dtype, ctx)],
            [_core.make(label, 0, (self.batch_size, *self._labels_shape), "float32", ctx)],
            pad,
            index,
        )
        return True

    def _tell(self) -> None:
        for message in self._pipeline.take_messages():
            self._messages += 1
            if self._messages <= self._told:
                logging.warning("%s leaves out an image: %s", type(self).__name__, message)
            if self._messages == self._told:
                logging.warning("%s: further images that are left out are only counted", type(self).__name__)

    def get_state(self):
        return self._make_state(cursor=list(self._pipeline.state()))

    def set_state(self, state):
        self._pipeline.set_state(self._check_state(state)["cursor"])
        self.current_batch = None

    def close(self) -> None:
        """Ends the threads; the iterator gives no more batches."""
        self._pipeline.close()

    def _normalising(self) -> dict[str, Any]:
        p = self.params
        return {
            "mean": [p[f"mean_{c}"] for c in "rgba"],
            "deviation": [p[f"std_{c}"] or 1.0 for c in "rgba"],
            "scale": p["scale"],
        }

    def _use_mean_image(self) -> None:
        """Begins again with the file's mean image, which is made from one epoch if there is none."""
        path = self.params["mean_img"]
        if not path or self.dtype in ("uint8", "int8"):
            return
        if self.dtype != "float32":
            raise ParameterError(f"{type(self).__name__}: mean_img needs dtype float32, got {self.dtype}")
        from ..ndarray import array, load, save

        if not os.path.exists(path):
            if self.params["verbose"]:
                logging.info("%s: computing the mean image %s", type(self).__name__, path)
            total, count = np.zeros(self.params["data_shape"], np.float64), 0
            for batch in self:
                rows = self.batch_size - (batch.pad or 0)
                total += batch.data[0].asnumpy()[:rows].sum(0, dtype=np.float64)
                count += rows
            save(path, {"mean_img": array(total / count)})
        found = load(path)
        mean = found.get("mean_img") if isinstance(found, dict) else found[0]
        if mean is None or mean.shape != self.params["data_shape"]:
            raise FileFormatError(f"{path}: an array mean_img of shape {self.params['data_shape']} is needed")
        self._pipeline.close()
        self._config["mean_image"] = mean.asnumpy().astype(np.float32).ravel().tolist()
        self._pipeline = self._open(self._config)


def image_changes(p: dict[str, Any]) -> dict[str, Any]:
    """The parameters of the default augmenter as the pipeline has them."""
    names = (*image_params.AUGMENT, "mirror", "rand_mirror", "max_random_contrast", "max_random_illumination")
    changes = {name: p[name] for name in names}
    changes["min_aspect_ratio"] = float("nan") if p["min_aspect_ratio"] is None else p["min_aspect_ratio"]
    changes["rotate_list"] = list(p["rotate_list"])
    return changes


def record_files(paths: str) -> list[str]:
    """The files of path_imgrec: names with ; between them, the last part of a path may be a regular expression."""
    found: list[str] = []
    for path in filter(None, (p.strip() for p in paths.split(";"))):
        folder, pattern = os.path.split(path)
        if os.path.exists(path):
            found.append(path)
            continue
        try:
            match = re.compile(pattern).fullmatch
            names = sorted(n for n in os.listdir(folder or ".") if match(n))
        except (re.error, OSError):
            names = []
        if not names:
            raise FileNotFoundError(f"path_imgrec: there is no file {path}")
        found += [os.path.join(folder, n) for n in names]
    if not found:
        raise ParameterError("path_imgrec (record files) is missing")
    return found


def index_offsets(path: str) -> list[int]:
    """The offsets of the records in an index file, in rising order."""
    offsets = []
    with open(path) as file:
        for number, line in enumerate(file, 1):
            parts = line.split()
            if not parts:
                continue
            try:
                offsets.append(int(parts[1]))
            except (IndexError, ValueError):
                raise FileFormatError(
                    f"{path}, line {number}: key and offset are needed, got {line.strip()!r}"
                ) from None
    return sorted(offsets)


def list_labels(path: str, width: int | None) -> dict[int, list[float]]:
    """Labels by record id from a list file: those of each line, or the first `width`."""
    labels = {}
    with open(path) as file:
        for number, line in enumerate(file, 1):
            parts = line.split()
            if not parts:
                continue
            try:
                numbers = [float(v) for v in (parts[1:-1] if width is None else parts[1 : 1 + width])]
                labels[int(float(parts[0]))] = numbers
            except ValueError:
                numbers = []
            if not numbers or (width is not None and len(numbers) < width):
                raise FileFormatError(
                    f"{path}, line {number}: an index, {width or 'some'} labels and a name are needed"
                )
    return labels


class _FromRecords(ImageBatches):
    """What iterators over record files share."""

    def _records(self, given: dict[str, Any], width: int | None) -> dict[str, Any]:
        p = self.params
        files = record_files(p["path_imgrec"])
        config: dict[str, Any] = {"records": files}
        if p["path_imglist"]:
            config |= {"relabel": list_labels(p["path_imglist"], width), "relabelled": True}
        if p.get("path_imgidx"):
            if len(files) > 1:
                raise ParameterError("path_imgidx goes with one record file, path_imgrec has several")
            offsets = index_offsets(p["path_imgidx"])
            step = -(-len(offsets) // p["num_parts"])
            config["offsets"] = offsets[p["part_index"] * step : (p["part_index"] + 1) * step]
            if not config["offsets"]:
                raise MXNetError(f"{p['path_imgidx']}: part {p['part_index']} of {p['num_parts']} has no records")
        else:
            config |= {"num_parts": p["num_parts"], "part_index": p["part_index"]}
            if p["shuffle_chunk_size"]:
                share = sum(map(os.path.getsize, files)) / p["num_parts"]
                config["chunks_shuffled"] = max(1, round(share / (p["shuffle_chunk_size"] << 20)))
                config["chunk_seed"] = p["shuffle_chunk_seed"] % 2**64
        if p["verbose"]:
            logging.info(
                "%s: %s, at most %d threads decode", type(self).__name__, ", ".join(files), p["preprocess_threads"]
            )
        return config


class ImageRecordIter(_FromRecords):
    """Batches of images from record files as im2rec makes them, decoded and changed by threads of their own."""

    _table = {
        **image_params.RECORDS,
        **image_params.BATCHES,
        **image_params.AUGMENT,
        **image_params.NORMALISE,
    }
    _dtype: str | None = None

    def __init__(self, **kwargs: Any):
        if self._dtype and str(kwargs.get("dtype", self._dtype)) in (self._dtype, "None"):
            kwargs["dtype"] = self._dtype
        super().__init__(kwargs)
        p = self.params
        if p["label_width"] > 1:
            self._labels_shape = (p["label_width"],)
        config = self._records(kwargs, p["label_width"]) | {"label_width": p["label_width"]}
        self._start(config | image_changes(p) | self._normalising())
        self._use_mean_image()


class ImageRecordUInt8Iter(ImageRecordIter):
    """ImageRecordIter whose images are bytes: nothing is subtracted or scaled."""

    _dtype = "uint8"


class ImageRecordInt8Iter(ImageRecordIter):
    """ImageRecordIter whose images are signed bytes, from which the rounded mean is subtracted."""

    _dtype = "int8"


ImageRecordIter_v1 = ImageRecordIter
ImageRecordUInt8Iter_v1 = ImageRecordUInt8Iter


class ImageDetRecordIter(_FromRecords):
    """Batches of images with the boxes of objects, which move when the images are changed.

    A label is: channels, height and width of the image, how many numbers follow, these numbers (as in the record: length
    of the head, numbers of an object, the rest of the head, then for each object its class, left, top, right, bottom as
    parts of the image, and whatever follows), then label_pad_value. An image that resize_mode leaves smaller than
    data_shape has its rows without gaps at the start of its place in the batch.
    """

    _table = {
        **{k: v for k, v in image_params.RECORDS.items() if k not in ("path_imgidx", "label_width", "seed_aug")},
        **image_params.BATCHES,
        **image_params.DETECT,
    }

    def __init__(self, **kwargs: Any):
        super().__init__(kwargs)
        p = self.params
        config = self._records(kwargs, None)
        longest = p["label_pad_width"] or self._longest_label(config)
        self._labels_shape = (longest + 4,)
        same = {n: p[n] for n in image_params.DETECT if n.startswith(("min_crop", "max_crop", "rand_", "random_"))}
        self._start(
            config
            | {n: list(v) if isinstance(v, tuple) else v for n, v in same.items()}
            | self._normalising()
            | {n: p[n] for n in ("resize", "fill_value", "inter_method", "num_crop_sampler", "max_pad_scale")}
            | {
                "detection": True,
                "label_pad": longest,
                "label_pad_value": p["label_pad_value"],
                "emit_by_overlap": p["crop_emit_mode"] == "overlap",
                "emit_overlap_thresh": p["emit_overlap_thresh"],
                "resize_mode": ("force", "shrink", "fit").index(p["resize_mode"]),
                "random_h": p["max_random_hue"],
                "random_s": p["max_random_saturation"],
                "random_l": p["max_random_illumination"],
                "contrast": p["max_random_contrast"],
            }
        )
        self._use_mean_image()

    def _longest_label(self, config: dict[str, Any]) -> int:
        if config.get("relabelled"):
            return max(map(len, config["relabel"].values()), default=0)
        reader = _core.RecordReader(config["records"])
        longest = 0
        try:
            while records := reader.read_many(1000):
                longest = max(longest, *(struct.unpack_from("<I", r)[0] for r in records if len(r) >= 24), 0)
        finally:
            reader.close()
        return longest
