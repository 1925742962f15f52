"""NDArray list files (`.params`, `.nd`): every version MXNet ever wrote is read, the present one is written.

    u64 0x112 | u64 0 | u64 count | count records | u64 names | names x (u64 length | UTF-8 bytes)

Works on NumPy arrays; ndarray.py wraps it. All numbers are little endian.
"""

from __future__ import annotations

import math
import os
import shutil
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from .base import FLAG_TYPES, ITEM_SIZES, TYPE_FLAGS, FileFormatError, dtype_name, numpy_dtype
from .op import product

LIST_MAGIC = 0x112
V1, V2, V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
DENSE, ROW_SPARSE, CSR = 0, 1, 2
AUXILIARY_ARRAYS = {DENSE: 0, ROW_SPARSE: 1, CSR: 2}
DEVICES = {1: "cpu", 2: "gpu", 3: "cpu_pinned", 5: "cpu_shared"}
DEVICE_NUMBERS = {name: number for number, name in DEVICES.items()}
MAX_DIMENSIONS = 64  # more than any writer has; a larger number means a damaged file


class ArrayRecord(NamedTuple):
    """One array of a file: its values, its dtype's plain name, and the device it was saved from."""

    data: np.ndarray
    dtype: str
    device: tuple[str, int] = ("cpu", 0)


def record_of(array: Any, dtype: str | None = None) -> ArrayRecord:
    """The record of a NumPy array."""
    array = np.asarray(array)
    return ArrayRecord(array, dtype or dtype_name(array.dtype))


# ---- reading ------------------------------------------------------------------------------------------------------------


def is_list_file(data: Any) -> bool:
    """Whether bytes begin as a list file does."""
    return bytes(data[:16]) == struct.pack("<QQ", LIST_MAGIC, 0)


def read_arrays(source: Any, name: str = "the given bytes") -> tuple[list[ArrayRecord], list[str]]:
    """The arrays of a file (or of bytes, which `name` stands for) and their names; no names: a list was saved."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _Reader(source, name).list_file()
    return _Reader(read_file(source), os.fspath(source)).list_file()


def read_array(data: Any, source: str = "the given bytes") -> ArrayRecord:
    """A bare record, as pickled arrays hold it."""
    return _Reader(data, source).record()


def read_file(path: Any) -> bytes:
    with open(path, "rb") as file:
        return file.read()


class _Reader:
    def __init__(self, data: Any, source: str):
        self.data = data
        self.source = source
        self.at = 0

    def fail(self, message: str, at: int | None = None) -> FileFormatError:
        return FileFormatError(f"{self.source}: {message} at offset {self.at if at is None else at}")

    def take(self, layout: str) -> tuple:
        size = struct.calcsize("<" + layout)
        if self.at + size > len(self.data):
            raise self.fail(f"the file ends ({len(self.data)} bytes) where {size} more bytes are needed")
        values = struct.unpack_from("<" + layout, self.data, self.at)
        self.at += size
        return values

    def one(self, layout: str) -> Any:
        return self.take(layout)[0]

    def list_file(self) -> tuple[list[ArrayRecord], list[str]]:
        magic = self.one("Q")
        if magic != LIST_MAGIC:
            raise self.fail(f"not an NDArray file, it begins with {magic:#x} instead of {LIST_MAGIC:#x}", 0)
        self.one("Q")
        records = [self.record() for _ in range(self.count("arrays", 4))]
        start = self.at
        names = [self.name() for _ in range(self.count("names", 8))]
        if names and len(names) != len(records):
            raise self.fail(f"{len(names)} names for {len(records)} arrays", start)
        return records, names

    def count(self, what: str, smallest: int) -> int:
        """A number of things that follow, each of at least `smallest` bytes."""
        start = self.at
        number = self.one("Q")
        if number * smallest > len(self.data) - self.at:
            raise self.fail(f"{number} {what} cannot be in the {len(self.data) - self.at} bytes that follow", start)
        return number

    def name(self) -> str:
        length = self.count("bytes of a name", 1)
        start = self.at
        (raw,) = self.take(f"{length}s")
        try:
            return raw.decode()
        except UnicodeDecodeError:
            raise self.fail("a name is not UTF-8", start) from None

    def record(self) -> ArrayRecord:
        magic = self.one("I")
        if magic in (V2, V3):
            return self.tagged_record(magic)
        if magic == V1:
            shape = self.shape()
        else:
            # the oldest files have no tag: what was read is the number of dimensions
            shape = self.dims(magic, "I", self.at - 4)
        return self.dense(shape) if shape else _nothing()

    def tagged_record(self, magic: int) -> ArrayRecord:
        start = self.at
        storage = self.one("i")
        if storage not in AUXILIARY_ARRAYS:
            raise self.fail(f"unknown storage type {storage}", start)
        stored_shape = self.shape() if storage != DENSE else None
        shape = self.shape()
        if shape is None or (shape == () and magic == V2):
            return _nothing()
        if stored_shape is None:
            return self.dense(shape)
        return self.sparse(storage, stored_shape, shape)

    def shape(self) -> tuple[int, ...] | None:
        start = self.at
        ndim = self.one("i")
        return None if ndim < 0 else self.dims(ndim, "q", start)

    def dims(self, ndim: int, layout: str, start: int) -> tuple[int, ...] | None:
        """The dimensions; None when one is -1, which stands for unknown."""
        if ndim > MAX_DIMENSIONS:
            raise self.fail(f"an array of {ndim} dimensions", start)
        dims = self.take(f"{ndim}{layout}")
        return None if any(d < 0 for d in dims) else dims

    def device(self) -> tuple[str, int]:
        kind, number = self.take("ii")
        return DEVICES.get(kind, "cpu"), number

    def dtype(self) -> str:
        start = self.at
        flag = self.one("i")
        if flag not in FLAG_TYPES:
            raise self.fail(f"unknown dtype number {flag}", start)
        return FLAG_TYPES[flag]

    def dense(self, shape: Sequence[int]) -> ArrayRecord:
        device = self.device()
        dtype = self.dtype()
        return ArrayRecord(self.values(dtype, shape), dtype, device)

    def values(self, dtype: str, shape: Sequence[int]) -> np.ndarray:
        nbytes = math.prod(shape) * ITEM_SIZES[dtype]
        if math.prod(d or 1 for d in shape) >= 2**62:
            raise self.fail(f"an impossible shape, {tuple(shape)}")
        if self.at + nbytes > len(self.data):
            left = len(self.data) - self.at
            raise self.fail(f"the values of a {dtype} array of shape {tuple(shape)} need {nbytes} bytes, {left} follow")
        array = np.frombuffer(self.data, numpy_dtype(dtype).newbyteorder("<"), math.prod(shape), self.at)
        self.at += nbytes
        return array.reshape(shape)

    def sparse(self, storage: int, stored_shape: Sequence[int] | None, shape: Sequence[int]) -> ArrayRecord:
        """A sparse array, made dense."""
        start = self.at
        device = self.device()
        dtype = self.dtype()
        kinds = [(self.dtype(), self.shape()) for _ in range(AUXILIARY_ARRAYS[storage])]
        values = self.values(dtype, stored_shape or ())
        auxiliary = [self.values(kind, dims or ()) for kind, dims in kinds]
        try:
            dense = np.zeros(shape, numpy_dtype(dtype))
            if storage == ROW_SPARSE:
                dense[auxiliary[0]] = values
            else:
                indptr, columns = auxiliary
                counts = np.diff(np.atleast_1d(indptr))
                if len(counts) != shape[0] or (counts < 0).any() or counts.sum() != columns.size:
                    raise ValueError(f"its rows do not share out {columns.size} elements")
                dense[np.repeat(np.arange(shape[0]), counts), columns] = values
        except (IndexError, ValueError, MemoryError) as error:
            raise self.fail(f"a sparse array cannot be made dense ({error})", start) from None
        return ArrayRecord(dense, dtype, device)


def _nothing() -> ArrayRecord:
    """What stands in a file for an array without a shape."""
    return ArrayRecord(np.empty((0,), np.float32), "float32")


# ---- writing ------------------------------------------------------------------------------------------------------------


def write_arrays(path: Any, records: Iterable[ArrayRecord], names: Sequence[str] = ()) -> None:
    """Writes a list file; a reader never sees it half written."""
    write_file(path, *_list_file(list(records), names))


def pack_arrays(records: Iterable[ArrayRecord], names: Sequence[str] = ()) -> bytes:
    """A list file in memory."""
    return b"".join(_list_file(list(records), names))


def pack_array(record: ArrayRecord) -> bytes:
    """A bare record, as pickled arrays hold it."""
    return b"".join(_record(record))


def _list_file(records: Sequence[ArrayRecord], names: Sequence[str]) -> Iterator[Any]:
    if names and len(names) != len(records):
        raise ValueError(f"{len(names)} names for {len(records)} arrays")
    yield struct.pack("<QQQ", LIST_MAGIC, 0, len(records))
    for record in records:
        yield from _record(record)
    yield struct.pack("<Q", len(names))
    for name in names:
        raw = name.encode()
        yield struct.pack("<Q", len(raw)) + raw


def _record(record: ArrayRecord) -> Iterator[Any]:
    data = np.asarray(record.data)
    # V2 has no scalars and no empty arrays: 0 means unknown there.
    magic = V2 if product(data.shape) and data.ndim else V3
    kind, number = record.device
    yield struct.pack(f"<Iii{data.ndim}q", magic, DENSE, data.ndim, *data.shape)
    yield struct.pack("<iii", DEVICE_NUMBERS[kind], number, TYPE_FLAGS[record.dtype])
    if data.size:
        stored = np.ascontiguousarray(data, numpy_dtype(record.dtype).newbyteorder("<"))
        yield stored.reshape(-1).view(np.uint8).data


PART = ".part"  # how the name of a file ends that is being written


def remove_unfinished(path: Any) -> None:
    """Removes what processes have left that were killed while they wrote a file."""
    folder, name = os.path.split(os.path.realpath(os.fspath(path)))
    for entry in os.listdir(folder) if os.path.isdir(folder) else ():
        number = entry.removeprefix(f"{name}.").removesuffix(PART)
        if entry == f"{name}.{number}{PART}" and number.isdecimal() and not _alive(int(number)):
            os.unlink(os.path.join(folder, entry))


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OverflowError, PermissionError):
        return True
    return True


def write_file(path: Any, *parts: Any, durable: bool = False) -> None:
    """Writes a file under another name and renames it when it is complete, so that a crash leaves the old one.
    `durable` waits for the disk, so that a loss of power does, too.
    """
    path = os.path.realpath(os.fspath(path))
    if os.path.exists(path) and not os.path.isfile(path):  # a pipe or a device cannot be replaced
        with open(path, "wb") as file:
            file.writelines(parts)
        return
    temporary = f"{path}.{os.getpid()}{PART}"
    try:
        with open(temporary, "wb") as file:
            file.writelines(parts)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        if os.path.exists(path):
            shutil.copymode(path, temporary)
        os.replace(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise
