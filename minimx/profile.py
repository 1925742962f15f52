"""What the profiler has recorded so far: events for the trace, and counts and times by name."""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

from . import _core

STORAGE = "Device Storage"
BOUND, EAGER = 1, 2  # as in csrc/profile.h
OPTIONS = {  # what else set_config takes, with what it is when it was not given
    "filename": "profile.json",
    "aggregate_stats": True,
    "continuous_dump": False,
    "dump_period": 1.0,
    "gpu_memory_profile_filename_prefix": "",
    "profile_process": "worker",
}
MOST_RECORDS = 1 << 20


class Record(NamedTuple):
    """Something that goes into the trace: a span of time, a value of a counter or a moment. Times are in nanoseconds."""

    kind: str  # X, C or i, as the trace format has it
    name: str
    category: str
    begin: int
    end: int
    process: str
    thread: int
    args: dict[str, Any]


class Statistics:
    __slots__ = ("count", "total", "min", "max")

    def __init__(self) -> None:
        self.count, self.total, self.min, self.max = 0, 0.0, float("inf"), float("-inf")

    def add(self, value: float) -> None:
        self.count += 1
        self.total += value
        self.min = min(self.min, value)
        self.max = max(self.max, value)

    @property
    def avg(self) -> float:
        return self.total / self.count


class Profile:
    """All that is known at present; one for the process."""

    def __init__(self) -> None:
        self.options: dict[str, Any] = dict(OPTIONS)
        self.kinds = {"symbolic", "imperative", "memory"}
        self.running = self.paused = False
        self.lock = threading.RLock()
        self.dumper: threading.Timer | None = None
        self.clear()

    def clear(self) -> None:
        self.records: list[Record] = []
        self.lost = 0
        self.times: dict[str, dict[str, Statistics]] = {}
        self.memory: dict[str, Statistics] = {}

    def switch(self) -> None:
        """Tells the programs whether to time their calls."""
        which = BOUND * ("symbolic" in self.kinds) | EAGER * ("imperative" in self.kinds)
        _core.profile(which if self.active else 0)

    @property
    def active(self) -> bool:
        return self.running and not self.paused

    def add(self, record: Record) -> None:
        with self.lock:
            if len(self.records) < MOST_RECORDS:
                self.records.append(record)
            else:
                self.lost += 1

    def count(self, category: str, name: str, value: float) -> None:
        with self.lock:
            self.times.setdefault(category, {}).setdefault(name, Statistics()).add(value)

    def collect(self) -> None:
        """Takes over what programs have left."""
        with self.lock:
            events, lost = _core.take_events()
            self.lost += lost
            for op, kernel, node, operands, size, device, number, begin, end, thread, eager, used in events:
                place = f"{device}/{number}"
                told = {"node": node, "kernel": kernel, "operands": operands, "bytes": size, "eager": eager}
                self.add(Record("X", op, "operator", begin, end, place, thread, told))
                self.count("operator", op, (end - begin) / 1e6)
                if "memory" in self.kinds:
                    self.add(Record("C", f"Memory: {place}", STORAGE, end, end, place, thread, {"bytes": used}))
                    self.memory.setdefault(f"Memory: {place}", Statistics()).add(used / 1e3)


profile = Profile()
