"""mx.recordio: files of records, with or without an index, and the header of image records.

A reader goes past damaged places: it finds the next record, says what was wrong in a warning and counts in `lost` and
`lost_bytes`. `strict=True` makes damage an error.
"""

from __future__ import annotations

import logging
import numbers
import os
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from .base import FileFormatError

try:
    from ._core import RecordReader, RecordWriter
except ImportError:  # the same in Python, for a machine where nothing was compiled
    from .recordio_plain import RecordReader, RecordWriter  # type: ignore[assignment]

__all__ = [
    "IRHeader",
    "MXIndexedRecordIO",
    "MXRecordIO",
    "build_index",
    "pack",
    "pack_img",
    "unpack",
    "unpack_img",
]

_WARNINGS = 5  # per reader; what follows is only counted


class MXRecordIO:
    """A file of records, to be read (`flag` is "r") or written anew ("w").

    Reading goes on where it was in a forked process; a pickled reader begins at the first record. A reader may be used by
    several threads: each record goes to one of them.
    """

    def __init__(self, uri: str | os.PathLike[str], flag: str, *, strict: bool = False):
        self.uri = os.fspath(uri).removeprefix("file://")
        self.flag = flag
        self.strict = strict
        self.is_open = False
        self.handle: Any = None
        self.open()

    @property
    def writable(self) -> bool:
        return self.flag == "w"

    def open(self) -> None:
        """Opens the file, or opens it again."""
        if self.flag not in ("r", "w"):
            raise ValueError(f'flag must be "r" to read or "w" to write, got {self.flag!r}')
        self.close()
        if self.writable:
            self.handle = RecordWriter(os.fsencode(self.uri))
        else:
            self.handle = open_reader([self.uri], strict=self.strict)
        self.pid = os.getpid()
        self.is_open = True

    def close(self) -> None:
        """Closes the file; what was written is in it then."""
        if self.is_open:
            self.is_open = False
            self.handle.close()

    def reset(self) -> None:
        """Back to the first record; a file that is written becomes empty again."""
        if self.is_open and not self.writable:
            self.handle.reset()
        else:
            self.open()

    def write(self, buf: bytes | str) -> None:
        """Appends a record."""
        self._writer().write(buf.encode() if isinstance(buf, str) else buf)

    def read(self) -> bytes | None:
        """The next record, None behind the last one."""
        try:
            return self.handle.read()
        except (AttributeError, ValueError) as error:
            raise self._explained(error) from None

    def read_many(self, count: int) -> list[bytes]:
        """Up to `count` records, none behind the last one; faster than one at a time."""
        try:
            return self.handle.read_many(count)
        except (AttributeError, ValueError) as error:
            raise self._explained(error) from None

    def tell(self) -> int:
        """Where the next record is written or read."""
        self._check_open()
        return self.handle.tell()

    def flush(self) -> None:
        """Hands what was written to the system."""
        self._writer().flush()

    @property
    def lost(self) -> int:
        """How many damaged places were passed over; each had one or more records."""
        return 0 if self.writable or self.handle is None else self.handle.lost

    @property
    def lost_bytes(self) -> int:
        """How many bytes were passed over."""
        return 0 if self.writable or self.handle is None else self.handle.lost_bytes

    def _writer(self) -> Any:
        if not self.writable:
            raise ValueError(f'{self.uri} was opened to be read; open it with "w" to write')
        self._check_open()
        return self.handle

    def _check_open(self) -> None:
        if not self.is_open:
            raise ValueError(f"{self.uri} is closed")

    def _explained(self, error: Exception) -> Exception:
        if self.writable:
            return ValueError(f'{self.uri} was opened to be written; open it with "r" to read')
        if not self.is_open:
            return ValueError(f"{self.uri} is closed")
        return FileFormatError(str(error)) if isinstance(error, ValueError) else error

    def __iter__(self) -> Iterator[bytes]:
        while (record := self.read()) is not None:
            yield record

    def __enter__(self):
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __del__(self) -> None:
        try:
            self.close()
        except Exception as error:  # nobody is there to catch it
            logging.getLogger(__name__).error("%s", error)

    def __getstate__(self) -> dict[str, Any]:
        if self.writable and self.is_open:
            raise TypeError(f"{self.uri} is being written: opened again elsewhere it would be emptied")
        return {**self.__dict__, "handle": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self.is_open:
            self.is_open = False
            self.open()


class MXIndexedRecordIO(MXRecordIO):
    """A file of records with an index beside it: a line with a key and an offset for each record."""

    def __init__(
        self,
        idx_path: str | os.PathLike[str],
        uri: str | os.PathLike[str],
        flag: str,
        key_type: Callable[[Any], Any] = int,
        *,
        strict: bool = False,
    ):
        self.idx_path = os.fspath(idx_path).removeprefix("file://")
        self.key_type = key_type
        self.idx: dict[Any, int] = {}
        self.keys: list[Any] = []
        self.fidx: Any = None
        super().__init__(uri, flag, strict=strict)

    def open(self) -> None:
        super().open()
        self.idx, self.keys = {}, []
        if self.writable:
            self.fidx = open(self.idx_path, "w")  # noqa: SIM115
        else:
            for key, offset in read_index(self.idx_path, self.key_type):
                self.idx[key] = offset
                self.keys.append(key)

    def close(self) -> None:
        super().close()
        if self.fidx is not None:
            self.fidx.close()
            self.fidx = None

    def seek(self, idx: Any) -> None:
        """Goes to the record with a key: `read` gives it."""
        if self.writable:
            raise ValueError(f'{self.uri} was opened to be written; open it with "r" to read')
        self._check_open()
        self.handle.seek(self._offset(idx))

    def read_idx(self, idx: Any) -> bytes:
        """The record with a key."""
        offset = self._offset(idx)
        try:
            return self.handle.read_at(offset)
        except (AttributeError, ValueError) as error:
            raise self._explained(error) from None

    def write_idx(self, idx: Any, buf: bytes | str) -> None:
        """Appends a record under a key."""
        key = self.key_type(idx)
        offset = self._writer().write(buf.encode() if isinstance(buf, str) else buf)
        self.fidx.write(f"{key}\t{offset}\n")
        self.idx[key] = offset
        self.keys.append(key)

    def flush(self) -> None:
        super().flush()
        self.fidx.flush()

    def _offset(self, key: Any) -> int:
        try:
            return self.idx[key]
        except KeyError:
            raise KeyError(f"{self.idx_path} has no record {key!r} among its {len(self.idx)}") from None

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "fidx": None}


def open_reader(paths: Sequence[str], part_index: int = 0, num_parts: int = 1, strict: bool = False) -> Any:
    """A reader of one or several files that says in warnings what is wrong with them."""
    warned = 0

    def warn(text: str) -> None:
        nonlocal warned
        warned += 1
        if warned <= _WARNINGS:
            more = "; what follows is only counted" if warned == _WARNINGS else ""
            logging.getLogger(__name__).warning("%s; went on at the next record%s", text, more)

    try:
        reader = RecordReader([os.fsencode(path) for path in paths], part_index, num_parts, strict)
    except ValueError as error:
        raise FileFormatError(str(error)) from None
    reader.on_damage = None if strict else warn
    return reader


def read_index(path: str, key_type: Callable[[Any], Any] = int) -> list[tuple[Any, int]]:
    """Keys and offsets of an index file, in its order."""
    try:
        file = open(path)  # noqa: SIM115
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path} is missing; `python -m minimx.tools.rec2idx FILE.rec {path}` makes an index"
        ) from None
    entries = []
    with file:
        for number, line in enumerate(file, 1):
            parts = line.split("\t")
            try:
                entries.append((key_type(parts[0]), int(parts[1])))
            except (ValueError, IndexError):
                if line.strip():
                    raise FileFormatError(
                        f"{path}, line {number}: a key, a tab and an offset are needed, got {line.rstrip()!r}"
                    ) from None
    return entries


def build_index(uri: str, idx_path: str) -> int:
    """Writes the index of a file of records, with the numbers 0, 1, 2... as keys; returns how many records there are."""
    offsets = open_reader([uri]).scan()
    with open(f"{idx_path}.tmp{os.getpid()}", "w") as file:
        file.writelines(f"{i}\t{offset}\n" for i, offset in enumerate(offsets))
    os.replace(file.name, idx_path)
    return len(offsets)


class IRHeader(NamedTuple):
    """What an image record says about its image: a label or several, and a number of it."""

    flag: int  # how many labels follow; 0 if there is one, in `label`
    label: Any
    id: int
    id2: int

    def __repr__(self) -> str:
        return f"HEADER(flag={self.flag!r}, label={self.label!r}, id={self.id!r}, id2={self.id2!r})"


_HEADER = struct.Struct("<IfQQ")


def pack(header: IRHeader | Sequence[Any], s: bytes) -> bytes:
    """A record of a header and an encoded image. `flag` follows from the label: 0 for a number, else how many."""
    flag, label, number, number2 = header
    if isinstance(label, numbers.Number):
        return _HEADER.pack(0, label, number, number2) + s
    labels = np.asarray(label.asnumpy() if hasattr(label, "asnumpy") else label, "<f4")
    return _HEADER.pack(labels.size, 0, number, number2) + labels.tobytes() + s


def unpack(s: bytes) -> tuple[IRHeader, bytes]:
    """The header of a record and the bytes of its image; several labels are an array."""
    if len(s) < _HEADER.size:
        raise FileFormatError(
            f"an image record begins with {_HEADER.size} bytes of header, this one has {len(s)} bytes"
        )
    header = IRHeader(*_HEADER.unpack_from(s))
    end = _HEADER.size + 4 * header.flag
    if header.flag == 0:
        return header, s[end:]
    if len(s) < end:
        raise FileFormatError(f"an image record announces {header.flag} labels, {len(s) - _HEADER.size} bytes follow")
    return header._replace(label=np.frombuffer(s, "<f4", header.flag, _HEADER.size)), s[end:]


def unpack_img(s: bytes, iscolor: int = -1) -> tuple[IRHeader, np.ndarray]:
    """The header of a record and its image decoded: (height, width) if gray, else with blue, green and red last.

    `iscolor` is 1 for colours, 0 for gray, -1 for what is stored.
    """
    from .image.codec import decode

    header, content = unpack(s)
    channels = {1: 3, 0: 1, -1: 0}[iscolor] if iscolor in (1, 0, -1) else 3
    pixels = decode(content, channels, bgr=True, upright=iscolor != -1, where=f"record {header.id}")
    return header, pixels[:, :, 0] if pixels.shape[2] == 1 else pixels


def pack_img(header: IRHeader | Sequence[Any], img: np.ndarray, quality: int = 95, img_fmt: str = ".jpg") -> bytes:
    """A record of a header and an image, gray or with blue, green and red last, which is encoded.

    `quality` is JPEG's, 1 to 100, or PNG's compression, 0 to 9.
    """
    from .image.codec import encode

    if img_fmt.lower() == ".png" and quality > 9:
        quality = 3  # the default is JPEG's
    pixels = np.asarray(img)
    if pixels.ndim == 3 and pixels.shape[2] == 4 and img_fmt.lower() != ".png":
        pixels = pixels[:, :, :3]  # JPEG has no alpha
    return pack(header, encode(pixels, img_fmt, quality, bgr=True))
