"""How far a long task has come: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TextIO


class Progress:
    """Counts up to `total` things called `what`."""

    def __init__(self, total: int, what: str, stream: TextIO | None = None, every: int = 1000):
        self.total = total
        self.what = what
        self.stream = stream or sys.stderr
        self.every = every
        self.done = 0
        self._began = time.monotonic()
        self._shown = 0.0  # when, on a terminal
        self._bar = self.stream.isatty()

    @property
    def rate(self) -> float:
        """Things in a second, since the beginning."""
        return self.done / max(time.monotonic() - self._began, 1e-9)

    def add(self, count: int = 1) -> None:
        """Notes that so many more are done."""
        before, self.done = self.done, self.done + count
        now = time.monotonic()
        if self._bar:
            if now - self._shown >= 0.1 or self.done >= self.total:
                self._shown = now
                self._draw()
        elif before // self.every != self.done // self.every or self.done == self.total:
            print(f"{self.done} of {self.total} {self.what}, {self.rate:,.0f}/s", file=self.stream, flush=True)

    def _draw(self) -> None:
        width = 30
        full = width * self.done // max(self.total, 1)
        left = _duration((self.total - self.done) / max(self.rate, 1e-9))
        bar = f"[{'#' * full}{'.' * (width - full)}] {self.done}/{self.total} {self.what}, {self.rate:,.0f}/s, {left} left"
        self.stream.write(f"\r{bar}\x1b[K")
        self.stream.flush()

    def clear(self) -> None:
        """Takes the bar away, so that something else can be written."""
        if self._bar and self._shown:
            self.stream.write("\r\x1b[K")
            self.stream.flush()


def _duration(seconds: float) -> str:
    whole = int(seconds + 0.5)
    if whole < 60:
        return f"{whole} s"
    return (
        f"{whole // 60}:{whole % 60:02d}"
        if whole < 3600
        else f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
    )
