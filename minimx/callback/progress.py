"""The line on a terminal that shows how far an epoch is."""

from __future__ import annotations

import math
import shutil
import sys
import time
from typing import Any

from .base import Callback

SECONDS_BETWEEN = 0.1  # drawings


class ProgressLine(Callback):
    """Draws epoch, batches, rate, time left and metrics on a terminal; `fit` uses it by itself."""

    def __init__(self, stream: Any = None, width: int | None = None):
        self._stream = sys.stderr if stream is None else stream
        self._columns = width
        self._epoch_batches: int | None = None  # how many an epoch has, once that is known
        self._drawn = self._begun = 0.0
        self._first = self._done = self._rows = 0

    def on_epoch_begin(self, fit: Any) -> None:
        self._epoch_batches = getattr(fit, "epoch_size", None) or _length(fit.train_data) or self._epoch_batches
        self._begun = self._drawn = time.perf_counter()
        self._first = self._done = fit.done
        self._rows = 0

    def on_batch_end(self, fit: Any) -> None:
        self._done += 1
        self._rows += _rows(fit.batch)
        now = time.perf_counter()
        if now - self._drawn >= SECONDS_BETWEEN:
            self._drawn = now
            self._draw(self._text(fit, fit.eval_metric.get_name_value(), now), "")

    def on_epoch_end(self, fit: Any) -> None:
        self._epoch_batches = self._done
        names = [n for n in fit.history if n not in ("time", "lr")]
        found = [(n, v) for n in names if (v := fit.history.latest(n)) is not None]
        self._draw(self._text(fit, found, time.perf_counter()), "\n")

    def on_train_end(self, fit: Any) -> None:
        if self._drawn > self._begun and self._done != self._epoch_batches:  # the epoch was not finished
            self._stream.write("\n")

    def _text(self, fit: Any, values: list[tuple[str, float]], now: float) -> str:
        total, seconds = self._epoch_batches, now - self._begun
        done = max(self._done - self._first, 1)
        parts = [f"Epoch {fit.epoch + 1}/{fit.num_epoch}"]
        if total:
            filled = min(20, 20 * self._done // total)
            parts.append(f"[{'=' * filled}{'.' * (20 - filled)}] {self._done}/{total}")
        else:
            parts.append(f"{self._done} batches")
        if seconds > 0 and self._rows:
            parts.append(f"{self._rows / seconds:.4g} samples/s")
        if total and total > self._done:
            parts.append(f"{_clock(seconds / done * (total - self._done))} left")
        else:
            parts.append(_clock(seconds))
        parts += [f"{name}={value:.4f}" for name, value in values if not math.isnan(value)]
        return "  ".join(parts)

    def _draw(self, text: str, end: str) -> None:
        columns = self._columns or shutil.get_terminal_size().columns
        self._stream.write(f"\r\x1b[K{text if end else text[: columns - 1]}{end}")
        self._stream.flush()


def _rows(batch: Any) -> int:
    """How many examples a batch has."""
    parts = batch if isinstance(batch, list) else [batch]
    return sum(b.data[0].shape[0] - (b.pad or 0) for b in parts if b.data and b.data[0].shape)


def _length(data: Any) -> int | None:
    """How many batches an iterator's epoch has, if it says so."""
    try:
        return len(data)
    except TypeError:
        pass
    rows, size = getattr(data, "num_data", None), getattr(data, "batch_size", None)
    if not rows or not size:
        return None
    return math.ceil(rows / size) if getattr(data, "last_batch_handle", "discard") == "pad" else rows // size


def _clock(seconds: float) -> str:
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"
