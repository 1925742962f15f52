"""mx.monitor: statistics of what flows through a network while it trains."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable
from typing import Any

from .ndarray import NDArray

__all__ = ["Monitor"]

Entry = tuple[int, str, str]


def _mean_size(x: NDArray) -> NDArray:
    """The root of the mean square."""
    return x.norm() / math.sqrt(x.size)


class Monitor:
    """Every `interval` batches, `stat_func` of each operator's outputs, and of parameters, whose names match `pattern`.

    Between `tic` and `toc` lies one batch. `monitor_all` watches the inputs of operators, too.
    """

    def __init__(
        self,
        interval: int,
        stat_func: Callable[[NDArray], Any] | None = None,
        pattern: str = ".*",
        sort: bool = False,
        monitor_all: bool = False,
    ):
        self.interval = interval
        self.stat_func = stat_func or _mean_size
        self.re_prog = re.compile(pattern)
        self.sort = sort
        self.monitor_all = monitor_all
        self.queue: list[tuple[int, str, Any]] = []
        self.exes: list[Any] = []
        self.step = 0
        self.activated = False

    def stat_helper(self, name: str, array: NDArray) -> None:
        """What executors call with each value."""
        if self.activated and self.re_prog.match(name):
            self.queue.append((self.step, name, self.stat_func(array)))

    def install(self, exe: Any) -> None:
        """Watches an executor."""
        exe.set_monitor_callback(self.stat_helper, self.monitor_all)
        self.exes.append(exe)

    def tic(self) -> None:
        """Before a batch: begins to collect if it is one of those that are watched."""
        if self.step % self.interval == 0:
            self.queue = []
            self.activated = True
        self.step += 1

    def toc(self) -> list[Entry]:
        """After a batch: what was collected, as (batch, name, text)."""
        if not self.activated:
            return []
        for exe in self.exes:
            for name, array in (exe.arg_dict | exe.aux_dict).items():
                self.stat_helper(name, array)
        self.activated = False
        found, self.queue = self.queue, []
        if self.sort:
            found.sort(key=lambda entry: entry[1])
        return [(step, name, _text(value)) for step, name, value in found]

    def toc_print(self) -> None:
        """Like `toc`, but logs it."""
        for step, name, text in self.toc():
            logging.info("Batch: %s", f"{step:7d} {name:30s} {text:s}")


def _text(value: Any) -> str:
    """A statistic, or several, as text."""
    several = value if isinstance(value, (list, tuple)) else [value]
    return "".join(
        f"{v.asnumpy().reshape(-1)[0] if v.size == 1 else v.asnumpy()}\t" if isinstance(v, NDArray) else f"{v}\t"
        for v in several
    )
