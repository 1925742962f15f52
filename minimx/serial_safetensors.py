"""safetensors files: arrays by name, as PyTorch and JAX exchange them.

    u64 length | length bytes of JSON: {name: {"dtype", "shape", "data_offsets"}, "__metadata__": {text: text}} | data

Works on the records of serial.py. All numbers are little endian; the data of an array is row-major.
"""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .base import ITEM_SIZES, FileFormatError, numpy_dtype
from .serial import ArrayRecord, read_file, write_file

ENDING = ".safetensors"
METADATA = "__metadata__"
MAX_HEADER = 100_000_000  # as the format's own library has it
DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}
CODES = {name: code for code, name in DTYPES.items()}
WIDENED = {"I16": ("<i2", "int32"), "U16": ("<u2", "int32"), "U32": ("<u4", "int64")}  # types that minimx has not


def is_safetensors(data: bytes) -> bool:
    """Whether bytes begin as such a file does."""
    return len(data) > 8 and data[8:9] == b"{" and struct.unpack_from("<Q", data)[0] <= MAX_HEADER


# ---- writing ------------------------------------------------------------------------------------------------------------


def pack_tensors(
    records: Sequence[ArrayRecord], names: Sequence[str], metadata: Mapping[str, str] | None = None
) -> bytes:
    """The bytes of a file."""
    return b"".join(_parts(records, names, metadata))


def write_tensors(
    path: Any,
    records: Sequence[ArrayRecord],
    names: Sequence[str],
    metadata: Mapping[str, str] | None = None,
    durable: bool = False,
) -> None:
    """Writes a file; a reader never sees it half written."""
    write_file(path, *_parts(records, names, metadata), durable=durable)


def _parts(records: Sequence[ArrayRecord], names: Sequence[str], metadata: Mapping[str, str] | None) -> list[Any]:
    if len(names) != len(records):
        raise FileFormatError("a safetensors file needs a name for every array: save a dict")
    if METADATA in names:
        raise FileFormatError(f"a safetensors file cannot hold an array named {METADATA}")
    if len(set(names)) != len(names):
        raise FileFormatError("a safetensors file needs a different name for every array")
    header: dict[str, Any] = {METADATA: dict(metadata)} if metadata else {}
    header |= dict.fromkeys(names)
    data: list[Any] = []
    at = 0
    # Wide numbers come first, so that every array is aligned.
    for name, record in sorted(zip(names, records, strict=True), key=lambda item: -ITEM_SIZES[item[1].dtype]):
        values = np.ascontiguousarray(record.data, numpy_dtype(record.dtype).newbyteorder("<"))
        shape = list(record.data.shape)
        header[name] = {"dtype": CODES[record.dtype], "shape": shape, "data_offsets": [at, at + values.nbytes]}
        data.append(values.view(np.uint8).reshape(-1).data if values.nbytes else b"")
        at += values.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return [struct.pack("<Q", len(text)), text, *data]


# ---- reading ------------------------------------------------------------------------------------------------------------


def read_tensors(source: Any, name: str = "the given bytes") -> tuple[list[ArrayRecord], list[str], dict[str, str]]:
    """Arrays, their names and the file's metadata, from a file, or from bytes that `name` stands for in errors."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _read(bytes(source), name)
    return _read(read_file(source), os.fspath(source))


def _read(data: bytes, source: str) -> tuple[list[ArrayRecord], list[str], dict[str, str]]:
    header, start = _header(data, source)
    metadata = header.pop(METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise FileFormatError(f"{source}: {METADATA} in the header at offset 8 must hold texts only")
    size = len(data) - start
    spans = [(*_span(entry, name, size, start, source), name) for name, entry in header.items()]
    end = 0
    for first, last, name in sorted(spans):
        if first != end:
            what = "overlaps the array before it" if first < end else f"leaves {first - end} bytes before it unused"
            raise FileFormatError(f"{source}: array {name!r} at offset {start + first} {what}")
        end = last
    if end != size:
        raise FileFormatError(f"{source}: {size - end} bytes that belong to no array follow at offset {start + end}")
    records = [_record(header[name], data, start + first, last - first) for first, last, name in spans]
    return records, list(header), metadata


def _header(data: bytes, source: str) -> tuple[dict[str, Any], int]:
    if len(data) < 8:
        raise FileFormatError(
            f"{source}: the file ends ({len(data)} bytes) within the length of its header at offset 0"
        )
    (length,) = struct.unpack_from("<Q", data)
    if length > MAX_HEADER:
        raise FileFormatError(f"{source}: a header of {length} bytes cannot be, at offset 0; is it a safetensors file?")
    if 8 + length > len(data):
        raise FileFormatError(
            f"{source}: the file ends ({len(data)} bytes) within its header of {length} bytes at offset 8"
        )
    try:
        header = json.loads(data[8 : 8 + length], object_pairs_hook=_distinct)
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{source}: the header is not UTF-8 at offset {8 + error.start}") from None
    except json.JSONDecodeError as error:
        raise FileFormatError(f"{source}: the header is not JSON at offset {8 + error.pos}: {error.msg}") from None
    except (RecursionError, ValueError) as error:
        raise FileFormatError(f"{source}: the header at offset 8 cannot be read: {error}") from None
    if not isinstance(header, dict):
        raise FileFormatError(f"{source}: the header at offset 8 must be an object, not {type(header).__name__}")
    return header, 8 + length


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands in it twice")
    return found


def _span(entry: Any, name: str, size: int, start: int, source: str) -> tuple[int, int]:
    """Where an array's bytes begin and end within the data."""

    def wrong(message: str) -> FileFormatError:
        return FileFormatError(f"{source}: array {name!r} in the header at offset 8: {message}")

    if not isinstance(entry, dict) or not {"dtype", "shape", "data_offsets"} <= entry.keys():
        raise wrong("dtype, shape and data_offsets are needed")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if dtype not in DTYPES and dtype not in WIDENED:
        raise wrong(f"dtype {dtype!r} is not supported; supported are {', '.join([*DTYPES, *WIDENED])}")
    if not isinstance(shape, list) or not all(type(d) is int and d >= 0 for d in shape):
        raise wrong(f"{shape!r} is not a shape")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(type(o) is int for o in offsets):
        raise wrong(f"data_offsets must be two numbers, not {offsets!r}")
    first, last = offsets
    if not 0 <= first <= last:
        raise wrong(f"data_offsets {offsets} do not follow each other")
    item = np.dtype(WIDENED[dtype][0]).itemsize if dtype in WIDENED else ITEM_SIZES[DTYPES[dtype]]
    needed = math.prod(shape) * item
    if last - first != needed:
        raise wrong(f"{dtype}{shape} takes {needed} bytes, data_offsets {offsets} give it {last - first}")
    if last > size:
        raise FileFormatError(
            f"{source}: the file ends ({start + size} bytes) within array {name!r}, "
            f"which lies from offset {start + first} to {start + last}"
        )
    return first, last


def _record(entry: dict[str, Any], data: bytes, at: int, size: int) -> ArrayRecord:
    code, shape = entry["dtype"], entry["shape"]
    if code in WIDENED:
        stored, dtype = WIDENED[code]
        return ArrayRecord(np.frombuffer(data, stored, math.prod(shape), at).reshape(shape).astype(dtype), dtype)
    dtype = DTYPES[code]
    raw = np.frombuffer(data, np.uint8, size, at).copy()  # a copy is aligned
    return ArrayRecord(raw.view(numpy_dtype(dtype).newbyteorder("<")).reshape(shape), dtype)
