"""Files of arrays, and creation functions under their second address."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from ..base import DeviceError
from ..context import Context, cpu
from ..serial import ArrayRecord, pack_arrays, read_array, read_arrays, read_file, write_arrays
from ..serial_safetensors import ENDING, is_safetensors, read_tensors, write_tensors
from .convert import host_value, upload
from .creation import array, empty, zeros
from .ndarray import NDArray

__all__ = ["array", "empty", "load", "load_frombuffer", "save", "save_tobuffer", "zeros"]


def save(fname: Any, data: NDArray | Sequence[NDArray] | Mapping[str, NDArray]) -> None:
    """Writes an array, a list of arrays, or a dict of names and arrays, as MXNet 1.x does.

    A file whose name ends in `.safetensors` is written in that format; it needs a dict.
    """
    if os.fspath(fname).endswith(ENDING):
        write_tensors(fname, *_records(data))
    else:
        write_arrays(fname, *_records(data))


def save_tobuffer(data: NDArray | Sequence[NDArray] | Mapping[str, NDArray]) -> bytes:
    """What `save` would write."""
    return pack_arrays(*_records(data))


def load(fname: Any) -> list[NDArray] | dict[str, NDArray]:
    """Reads a file of any MXNet version, or a safetensors file: a dict when the arrays have names, else a list."""
    return _loaded(*_read(fname))


def load_frombuffer(buf: bytes) -> list[NDArray] | dict[str, NDArray]:
    """Like `load`, from bytes."""
    if not isinstance(buf, (bytes, bytearray, memoryview)):
        raise TypeError(f"load_frombuffer: bytes are needed, got {type(buf).__name__}")
    return _loaded(*_read(buf))


def _read(source: Any) -> tuple[list[ArrayRecord], list[str]]:
    """The records of a file or of bytes, in whichever of the formats they are."""
    named = not isinstance(source, (bytes, bytearray, memoryview))
    data = read_file(source) if named else bytes(source)
    name = os.fspath(source) if named else "the given bytes"
    if is_safetensors(data) or (named and name.endswith(ENDING)):
        return read_tensors(data, name)[:2]
    return read_arrays(data, name)


def _records(data: Any) -> tuple[list[ArrayRecord], list[str]]:
    if isinstance(data, NDArray):
        data = [data]
    names: list[str] = []
    if isinstance(data, Mapping):
        names, data = list(data), list(data.values())
    for value in data:
        if not isinstance(value, NDArray):
            raise TypeError(f"save: only NDArrays can be saved, got {type(value).__name__}")
    return [ArrayRecord(value.asnumpy(), value.dtype_name) for value in data], names


def _loaded(records: list[ArrayRecord], names: list[str]) -> list[NDArray] | dict[str, NDArray]:
    arrays = [from_record(r) for r in records]
    return dict(zip(names, arrays, strict=True)) if names else arrays


def from_record(record: ArrayRecord) -> NDArray:
    """The array, on the device it was saved from when that exists here."""
    ctx = Context(*record.device)
    try:
        if ctx.device_type != "gpu":
            ctx = cpu()
        ctx.device  # noqa: B018  asking tells whether it exists
    except DeviceError:
        ctx = cpu()
    return upload(host_value(record.data, record.dtype), ctx)


def from_bytes(record: bytes) -> NDArray:
    """The array of a bare record, as pickled arrays of MXNet and minimx hold it."""
    return from_record(read_array(bytes(record)))
