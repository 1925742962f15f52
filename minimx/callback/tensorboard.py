"""TensorBoard: writes the values of a training as event files, which `tensorboard --logdir` shows.

An event file is a sequence of records: u64 length | u32 masked crc32c of it | bytes | u32 masked crc32c of them. The bytes
are an Event of TensorFlow's protocol buffers, of which a few fields are needed.
"""

from __future__ import annotations

import math
import os
import socket
import struct
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from .base import Callback


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


_CRC = _crc_table()


def crc32c(data: bytes) -> int:
    """The Castagnoli checksum."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def masked(crc: int) -> int:
    """A checksum as records hold it, so that the checksum of a record with checksums is sound."""
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def record(data: bytes) -> bytes:
    """A record of an event file."""
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", masked(crc32c(length))) + data + struct.pack("<I", masked(crc32c(data)))


# ---- protocol buffers ---------------------------------------------------------------------------------------------------


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _double(field: int, value: float) -> bytes:
    return _varint(field << 3 | 1) + struct.pack("<d", value)


def _float(field: int, value: float) -> bytes:
    return _varint(field << 3 | 5) + struct.pack("<f", value)


def _doubles(field: int, values: Any) -> bytes:
    return _bytes(field, np.asarray(values, "<f8").tobytes())


def _event(step: int, body: bytes) -> bytes:
    return _double(1, time.time()) + _varint(2 << 3) + _varint(step) + body


def scalars(step: int, values: Mapping[str, float]) -> bytes:
    """An Event with numbers by name."""
    parts = [_bytes(1, _bytes(1, name.encode()) + _float(2, value)) for name, value in values.items()]
    return _event(step, _bytes(5, b"".join(parts)))


def histogram(step: int, name: str, values: np.ndarray, bins: int = 30) -> bytes:
    """An Event that tells how the finite ones among the values are distributed."""
    found = np.asarray(values, np.float64).ravel()
    found = found[np.isfinite(found)]
    counts, edges = np.histogram(found, bins) if found.size else (np.zeros(1), np.zeros(2))
    low, high = (found.min(), found.max()) if found.size else (0.0, 0.0)
    told = _double(1, low) + _double(2, high) + _double(3, found.size) + _double(4, found.sum())
    told += _double(5, (found**2).sum()) + _doubles(6, edges[1:]) + _doubles(7, counts)
    return _event(step, _bytes(5, _bytes(1, _bytes(1, name.encode()) + _bytes(5, told))))


# ---- the callback -------------------------------------------------------------------------------------------------------


class TensorBoard(Callback):
    """Writes the history of a training to an event file in `logdir`: `train/accuracy`, `validation/accuracy`, `lr`. With
    `batch_period` also the metric within epochs (`batch/accuracy`), with `histograms` how parameters are distributed."""

    _number = 0

    def __init__(self, logdir: Any = "logs", batch_period: int | None = None, histograms: bool = False):
        self.logdir = os.fspath(logdir)
        self.batch_period = batch_period
        self.histograms = histograms
        self._file: Any = None

    def on_train_begin(self, fit: Any) -> None:
        os.makedirs(self.logdir, exist_ok=True)
        TensorBoard._number += 1
        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.{TensorBoard._number}"
        self._file = open(os.path.join(self.logdir, name), "wb")  # noqa: SIM115  closed when the training ends
        self._write(_double(1, time.time()) + _bytes(3, b"brain.Event:2"))

    def _write(self, event: bytes) -> None:
        self._file.write(record(event))

    def on_batch_end(self, fit: Any) -> None:
        if self.batch_period and fit.steps % self.batch_period == 0:
            found = {f"batch/{name}": value for name, value in fit.eval_metric.get_name_value()}
            self._write(scalars(fit.steps, {n: v for n, v in found.items() if not math.isnan(v)}))

    def on_epoch_end(self, fit: Any) -> None:
        found = {name: fit.history.latest(name) for name in fit.history}
        self._write(scalars(fit.epoch, {n.replace("-", "/", 1): v for n, v in found.items() if v is not None}))
        if self.histograms:
            for name, value in fit.module.get_params()[0].items():
                self._write(histogram(fit.epoch, name, value.asnumpy()))
        self._file.flush()

    def on_train_end(self, fit: Any) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
