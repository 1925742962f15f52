"""Images of a list to a file of records and its index."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

from .. import _core
from ..base import MXNetError
from ..image import codec
from ..recordio import IRHeader, MXIndexedRecordIO, pack, unpack
from .image_list import Listed
from .progress import Progress

Report = Callable[[str], None]
Header = Callable[[Listed], bytes]


@dataclass
class Options:
    """What becomes of each image."""

    pass_through: bool = False
    resize: int = 0
    center_crop: bool = False
    quality: int = 95
    color: int = 1  # OpenCV's numbers: 1 colours, 0 gray, -1 what is stored
    encoding: str = ".jpg"
    interpolation: int = 1
    threads: int = 1

    @property
    def compression(self) -> int:
        """`quality` as the encoder wants it: the default is JPEG's."""
        return 3 if self.encoding == ".png" and self.quality > 9 else self.quality


def label_header(image: Listed, pack_label: bool) -> bytes:
    """The header of a record as im2rec.py writes it: the first label, or all of them."""
    labels = image.labels if pack_label and len(image.labels) > 1 else image.labels[0]
    return pack(IRHeader(0, labels, image.number, 0), b"")


class Packer:
    """Packs images with threads that each take some files at a time; records keep the order of the list."""

    chunk = 32

    def __init__(self, root: str, options: Options, header: Header, report: Report):
        self.root = root
        self.options = options
        self.header = header
        self.report = report
        self.packed = 0
        self.skipped = 0
        codec.find_jpeg()

    def pack(self, images: Sequence[Listed], record: str, index: str | None, progress: Progress) -> None:
        """Writes a file of records, and an index if it has a name. Interrupted, it leaves what was there before."""
        self.packed = self.skipped = 0
        with _replacing(record) as record_path:
            writer = _core.RecordWriter(os.fsencode(record_path))
            lines = []
            try:
                for image, offset, problem in self._written(images, writer):
                    if problem:
                        progress.clear()
                        self.report(f"skipped {image.path}: {problem}")
                        self.skipped += 1
                    else:
                        lines.append(f"{image.number}\t{offset}\n")
                        self.packed += 1
                    progress.add()
            finally:
                writer.close()
            if index is None:
                return
            if os.path.exists(index):
                os.remove(index)  # the old one must not be found beside the new records
        with _replacing(index) as index_path, open(index_path, "w") as file:
            file.writelines(lines)

    def _written(self, images: Sequence[Listed], writer: Any) -> Iterator[tuple[Listed, int, str]]:
        source = iter(images)
        coming: deque[tuple[list[Listed], Future]] = deque()
        pool = ThreadPoolExecutor(self.options.threads, "im2rec")
        try:
            while True:
                while len(coming) < 3 * self.options.threads and (some := list(islice(source, self.chunk))):
                    coming.append((some, pool.submit(self._some, some)))
                if not coming:
                    return
                some, future = coming.popleft()
                packed, problems = future.result()
                offsets = writer.write_packed(packed) if packed is not None else None
                for i, (image, result) in enumerate(zip(some, problems, strict=True)):
                    if isinstance(result, bytes):
                        yield image, writer.write(result), ""
                    else:
                        yield image, offsets[i] if offsets else -1, result
        finally:
            pool.shutdown(cancel_futures=True)

    def _some(self, images: list[Listed]) -> tuple[Any, list[Any]]:
        """Records of some files, and for each file what is wrong with it; or its record instead, if it was hard to make."""
        o = self.options
        if o.encoding == ".png" and not o.pass_through:
            return None, [self._one(image) for image in images]
        files = [(self.header(image), os.fsencode(os.path.join(self.root, image.path))) for image in images]
        packed, problems = _core.pack_files(
            files,
            pass_through=o.pass_through,
            resize=o.resize,
            center_crop=o.center_crop,
            color=o.color,
            interpolation=o.interpolation,
            quality=o.quality,
        )
        if any(problems) and not o.pass_through:
            # Perhaps of a format that only Pillow knows.
            return None, [self._one(image) if problems[i] else packed.record(i) for i, image in enumerate(images)]
        return packed, problems

    def _one(self, image: Listed) -> bytes | str:
        """The record of one image, or what is wrong with it."""
        o = self.options
        try:
            with open(os.path.join(self.root, image.path), "rb") as file:
                content = file.read()
            channels = {1: 3, 0: 1, -1: 0}[o.color]
            pixels = codec.decode(content, channels, upright=o.color != -1)
            height, width = pixels.shape[:2]
            if o.center_crop:
                edge = min(height, width)
                top, left = (height - edge) // 2, (width - edge) // 2
                pixels = pixels[top : top + edge, left : left + edge]
                height = width = edge
            if o.resize > 0:
                size = (
                    (height * o.resize // width, o.resize) if height > width else (o.resize, width * o.resize // height)
                )
                if size != (height, width):
                    pixels = _core.image_resize(pixels, *size, o.interpolation)
            if o.encoding == ".jpg" and pixels.shape[2] == 4:
                pixels = pixels[:, :, :3]  # JPEG has no alpha
            return self.header(image) + codec.encode(pixels, o.encoding, o.compression)
        except OSError as error:
            return error.strerror or str(error)
        except (ValueError, MXNetError, MemoryError) as error:
            return str(error) or "out of memory"


@contextmanager
def _replacing(path: str) -> Iterator[str]:
    """A name to write a file under, which becomes `path` when that is done and disappears when it fails."""
    temporary = f"{path}.tmp{os.getpid()}"
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.remove(temporary)
        raise


def verify(record: str, index: str, images: Sequence[Listed] | None, decode: bool, report: Report) -> int:
    """Reads a file of records back; returns how many are wrong, after saying why."""
    wrong = 0
    numbers = None if images is None else {image.number for image in images}
    with MXIndexedRecordIO(index, record, "r", strict=True) as file:
        progress = Progress(len(file.keys), "records read back")
        for key in file.keys:
            try:
                header, content = unpack(file.read_idx(key))
                if header.id != key % 2**64:
                    raise ValueError(f"its header says that it is record {header.id}")
                if numbers is not None and key not in numbers:
                    raise ValueError("the list has no such number")
                if decode:
                    codec.decode(content, 0)
            except (ValueError, OSError) as error:
                wrong += 1
                progress.clear()
                report(f"{record}, record {key}: {error}")
            progress.add()
        file.reset()
        found = len(file.handle.scan())
        if found != len(file.keys):
            wrong += 1
            report(f"{record} has {found} records, {index} has {len(file.keys)}")
    return wrong
