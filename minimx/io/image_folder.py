"""ImageFolderIter: batches of images from a directory for each class."""

from __future__ import annotations

import os
from typing import Any

from ..base import MXNetError
from ..params import Text
from . import image_params
from .image_records import ImageBatches, image_changes

EXTENSIONS = (".bmp", ".jpeg", ".jpg", ".png")


class ImageFolderIter(ImageBatches):
    """Batches of images from the files below `path`: each directory in it is a class, in the order of their names.

    The classes are in `classes`, their numbers are the labels. Images are read, decoded and changed by threads of their
    own, with the parameters of ImageRecordIter and three more: `width_shift_range` and `height_shift_range` shift by up to
    this part of the size, `rand_flip` turns upside down. (Keras' rotation_range is max_rotate_angle, its horizontal_flip
    is rand_mirror, its rescale is scale.)
    """

    _table = {
        "path": Text(doc="directory with a directory for each class"),
        **image_params.BATCHES,
        **image_params.AUGMENT,
        **image_params.NORMALISE,
        **image_params.FOLDER,
        "seed_aug": image_params.RECORDS["seed_aug"],
    }

    def __init__(self, path: str, classes: list[str] | None = None, **kwargs: Any):
        super().__init__({"path": path, **kwargs})
        p = self.params
        found = sorted(e.name for e in os.scandir(path) if e.is_dir())
        self.classes = found if classes is None else list(classes)
        missing = [c for c in self.classes if c not in found]
        if missing or not self.classes:
            raise MXNetError(f"{path}: there is no directory {missing[0] if missing else 'for any class'}")
        files, labels = [], []
        for number, name in enumerate(self.classes):
            for file in image_files(os.path.join(path, name)):
                files.append(file)
                labels.append(float(number))
        step = -(-len(files) // p["num_parts"])
        mine = slice(p["part_index"] * step, (p["part_index"] + 1) * step)
        self.files, self.labels = files[mine], labels[mine]
        if not self.files:
            raise MXNetError(f"{path}: there are no images ({', '.join(EXTENSIONS)}) in its directories")
        self._start(
            {"files": self.files, "file_labels": self.labels}
            | image_changes(p)
            | self._normalising()
            | {
                "width_shift": p["width_shift_range"],
                "height_shift": p["height_shift_range"],
                "rand_flip": p["rand_flip"],
            }
        )
        self._use_mean_image()


def image_files(folder: str) -> list[str]:
    """The images in a directory and those below it, in the order of their names."""
    found = []
    for where, folders, names in os.walk(folder, followlinks=True):
        folders.sort()
        found += [os.path.join(where, n) for n in sorted(names) if n.lower().endswith(EXTENSIONS)]
    return found
