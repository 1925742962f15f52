"""mx.profiler: where the time goes. Every call of a program is timed while the profiler runs, and nothing is when it does not.

    mx.profiler.set_config(filename="profile.json")
    mx.profiler.set_state("run")
    ...
    mx.profiler.set_state("stop")
    print(mx.profiler.dumps())   # a table
    mx.profiler.dump()           # profile.json, for chrome://tracing or ui.perfetto.dev

Calls on a gpu are waited for one by one while the profiler runs: their times are true, but nothing overlaps.
"""

from __future__ import annotations

import json
import os
import threading
import time
import warnings
from typing import Any, NamedTuple

from . import _core
from .base import MXNetError

__all__ = [
    "Counter",
    "Domain",
    "Event",
    "Frame",
    "Marker",
    "Task",
    "dump",
    "dump_profile",
    "dumps",
    "pause",
    "profiler_set_config",
    "profiler_set_state",
    "resume",
    "set_config",
    "set_kvstore_handle",
    "set_state",
]

STORAGE = "Device Storage"
_BOUND, _EAGER = 1, 2  # as in csrc/profile.h
_FLAGS = ("all", "symbolic", "imperative", "memory", "api")
_OTHERS = {  # what else set_config takes, with what it is when it was not given
    "filename": "profile.json",
    "aggregate_stats": True,
    "continuous_dump": False,
    "dump_period": 1.0,
    "gpu_memory_profile_filename_prefix": "",
    "profile_process": "worker",
}
_SORTS = ("total", "avg", "min", "max", "count")
_MOST_RECORDS = 1 << 20


class _Record(NamedTuple):
    """Something that goes into the trace: a span of time, a value of a counter or a moment. Times are in nanoseconds."""

    kind: str  # X, C or i, as the trace format has it
    name: str
    category: str
    begin: int
    end: int
    process: str
    thread: int
    args: dict[str, Any]


class _Statistics:
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


class _Profile:
    """All that is known at present; one for the process."""

    def __init__(self) -> None:
        self.options: dict[str, Any] = dict(_OTHERS)
        self.kinds = {"symbolic", "imperative", "memory"}
        self.running = self.paused = False
        self.lock = threading.RLock()
        self.dumper: threading.Timer | None = None
        self.clear()

    def clear(self) -> None:
        self.records: list[_Record] = []
        self.lost = 0
        self.times: dict[str, dict[str, _Statistics]] = {}
        self.memory: dict[str, _Statistics] = {}

    def switch(self) -> None:
        """Tells the programs whether to time their calls."""
        which = _BOUND * ("symbolic" in self.kinds) | _EAGER * ("imperative" in self.kinds)
        _core.profile(which if self.active else 0)

    @property
    def active(self) -> bool:
        return self.running and not self.paused

    def add(self, record: _Record) -> None:
        with self.lock:
            if len(self.records) < _MOST_RECORDS:
                self.records.append(record)
            else:
                self.lost += 1

    def count(self, category: str, name: str, value: float) -> None:
        with self.lock:
            self.times.setdefault(category, {}).setdefault(name, _Statistics()).add(value)

    def collect(self) -> None:
        """Takes over what programs have left."""
        with self.lock:
            events, lost = _core.take_events()
            self.lost += lost
            for op, kernel, node, operands, size, device, number, begin, end, thread, eager, used in events:
                place = f"{device}/{number}"
                told = {"node": node, "kernel": kernel, "operands": operands, "bytes": size, "eager": eager}
                self.add(_Record("X", op, "operator", begin, end, place, thread, told))
                self.count("operator", op, (end - begin) / 1e6)
                if "memory" in self.kinds:
                    self.add(_Record("C", f"Memory: {place}", STORAGE, end, end, place, thread, {"bytes": used}))
                    self.memory.setdefault(f"Memory: {place}", _Statistics()).add(used / 1e3)


_profile = _Profile()


# ---- switching ----------------------------------------------------------------------------------------------------------


def set_config(**kwargs: Any) -> None:
    """What to profile and where to write it.

    `filename` is the trace file (profile.json). `profile_symbolic` (executors), `profile_imperative` (operators on
    arrays), `profile_memory` (bytes in use) choose; without any of them, or with `profile_all`, it is everything.
    `continuous_dump` writes the file every `dump_period` seconds. The rest of MXNet's options is accepted, too.
    """
    allowed = {f"profile_{flag}" for flag in _FLAGS} | set(_OTHERS)
    for key in kwargs:
        if key not in allowed:
            raise ValueError(
                f"profiler.set_config: there is no option {key!r}; options are {', '.join(sorted(allowed))}"
            )
    if _profile.running:
        raise MXNetError("profiler.set_config: the profiler is running; stop it first with set_state('stop')")
    _profile.options = {**_OTHERS, **{k: v for k, v in kwargs.items() if k in _OTHERS}}
    chosen = {flag for flag in _FLAGS if kwargs.get(f"profile_{flag}")}
    given = any(f"profile_{flag}" in kwargs for flag in _FLAGS)
    _profile.kinds = set(_FLAGS) if "all" in chosen or not given else chosen


def set_state(state: str = "stop", profile_process: str = "worker") -> None:
    """'run' begins to record, 'stop' ends it."""
    if state not in ("run", "stop"):
        raise ValueError(f"profiler.set_state: the state must be 'run' or 'stop', got {state!r}")
    _profile.running = state == "run"
    _profile.paused = False
    _profile.switch()
    _profile.collect()
    if _profile.dumper is not None:
        _profile.dumper.cancel()
        _profile.dumper = None
    if _profile.running and _profile.options["continuous_dump"]:
        _dump_again()


def _dump_again() -> None:
    """Writes the trace every now and then while the profiler runs."""
    timer = _profile.dumper = threading.Timer(float(_profile.options["dump_period"]), _dump_and_go_on)
    timer.daemon = True
    timer.start()


def _dump_and_go_on() -> None:
    if _profile.running:
        dump(finished=False)
        _dump_again()


def pause(profile_process: str = "worker") -> None:
    """Records nothing until `resume`."""
    _profile.paused = True
    _profile.switch()


def resume(profile_process: str = "worker") -> None:
    """Goes on after `pause`."""
    _profile.paused = False
    _profile.switch()


def profiler_set_config(mode: str = "symbolic", filename: str = "profile.json") -> None:
    """The old name of `set_config`; `mode` is 'symbolic' or 'all'."""
    warnings.warn("profiler_set_config() is deprecated; use set_config()", stacklevel=2)
    set_config(**{f"profile_{mode}": True, "filename": filename})


def profiler_set_state(state: str = "stop") -> None:
    """The old name of `set_state`."""
    warnings.warn("profiler_set_state() is deprecated; use set_state()", stacklevel=2)
    set_state(state)


def set_kvstore_handle(handle: Any) -> None:
    """Takes what MXNet takes; there are no server processes to be profiled."""


# ---- what came of it ----------------------------------------------------------------------------------------------------


def dump(finished: bool = True, profile_process: str = "worker") -> None:
    """Writes the trace file. `finished` also stops the profiler, and the next trace begins empty."""
    if finished and _profile.running:
        set_state("stop")
    _profile.collect()
    with _profile.lock:
        text = json.dumps(_trace(_profile.records, _profile.lost))
        if finished:
            _profile.records, _profile.lost = [], 0
    path = os.fspath(_profile.options["filename"])
    temporary = f"{path}.{os.getpid()}.new"
    with open(temporary, "w") as file:
        file.write(text)
    os.replace(temporary, path)


def dump_profile() -> None:
    """The old name of `dump`."""
    warnings.warn("dump_profile() is deprecated; use dump()", stacklevel=2)
    dump(True)


def _trace(records: list[_Record], lost: int) -> dict[str, Any]:
    """The records in Chrome's trace event format; times are microseconds."""
    processes: dict[str, int] = {}
    threads: dict[int, int] = {}
    events: list[dict[str, Any]] = []
    for r in records:
        event: dict[str, Any] = {"name": r.name, "cat": r.category, "ph": r.kind, "ts": r.begin / 1e3}
        if r.kind == "X":
            event["dur"] = (r.end - r.begin) / 1e3
        event["pid"] = processes.setdefault(r.process, len(processes))
        event["tid"] = threads.setdefault(r.thread, len(threads))
        if r.kind == "i":
            event["s"] = r.args["scope"]
        else:
            event["args"] = r.args
        events.append(event)
    names: list[dict[str, Any]] = [
        {"name": "process_name", "ph": "M", "pid": number, "args": {"name": name}} for name, number in processes.items()
    ]
    trace: dict[str, Any] = {"traceEvents": names + events, "displayTimeUnit": "ms"}
    if lost:
        trace["otherData"] = {"events left out": lost}
    return trace


def dumps(reset: bool = False, format: str = "table", sort_by: str = "total", ascending: bool = False) -> str:
    """Counts and times by name, as a table or as JSON; `reset` begins them again."""
    if format not in ("table", "json"):
        raise ValueError(f"profiler.dumps: format must be 'table' or 'json', got {format!r}")
    if sort_by not in _SORTS:
        raise ValueError(f"profiler.dumps: sort_by must be one of {', '.join(_SORTS)}, got {sort_by!r}")
    _profile.collect()

    def ordered(table: dict[str, _Statistics]) -> list[tuple[str, _Statistics]]:
        return sorted(table.items(), key=lambda item: getattr(item[1], sort_by), reverse=not ascending)

    with _profile.lock:
        memory = ordered(_profile.memory)
        times = {category: ordered(table) for category, table in sorted(_profile.times.items())}
        if reset:
            _profile.times, _profile.memory = {}, {}
    return _as_table(memory, times) if format == "table" else _as_json(memory, times)


_Rows = list[tuple[str, _Statistics]]


def _as_table(memory: _Rows, times: dict[str, _Rows]) -> str:
    lines = ["", "Profile Statistics:", "\tNote the difference in units for different entries."]
    if memory:
        head = ["Min Use  (kB)", "Max Use  (kB)", "Avg Use  (kB)"]
        lines += _section(STORAGE, head, [(n, s.count, [s.min, s.max, s.avg]) for n, s in memory])
    head = ["Time (ms)", "Min Time (ms)", "Max Time (ms)", "Avg Time (ms)"]
    for category, rows in times.items():
        lines += _section(category, head, [(n, s.count, [s.total, s.min, s.max, s.avg]) for n, s in rows])
    return "\n".join(lines)


def _section(title: str, head: list[str], rows: list[tuple[str, int, list[float]]]) -> list[str]:
    rule = "-------------"
    lines = [title, "=================", f"{'Name':<25} {'Total Count':>15}" + "".join(f" {h:>16}" for h in head)]
    lines.append(f"{'----':<25} {'-----------':>15}" + f" {rule:>16}" * len(head))
    lines += [f"{name:<25} {count:>15}" + "".join(f" {n:>16.4f}" for n in numbers) for name, count, numbers in rows]
    return [*lines, ""]


def _as_json(memory: _Rows, times: dict[str, _Rows]) -> str:
    def told(s: _Statistics, with_total: bool) -> dict[str, float]:
        total = {"Total": s.total} if with_total else {}
        return {"Count": s.count, **total, "Min": s.min, "Max": s.max, "Avg": s.avg}

    found = {
        "Time": {category: {n: told(s, True) for n, s in rows} for category, rows in times.items()},
        "Memory": {STORAGE: {n: told(s, False) for n, s in memory}},
        "Unit": {"Time": "ms", "Memory": "kB"},
    }
    return json.dumps(found, indent=4)


# ---- what a program says about itself -----------------------------------------------------------------------------------


class Domain:
    """A name under which tasks, frames, counters and markers stand together."""

    def __init__(self, name: str):
        self.name = name

    def __str__(self) -> str:
        return self.name

    def new_task(self, name: str) -> Task:
        return Task(self, name)

    def new_frame(self, name: str) -> Frame:
        return Frame(self, name)

    def new_counter(self, name: str, value: float | None = None) -> Counter:
        return Counter(self, name, value)

    def new_marker(self, name: str) -> Marker:
        return Marker(self, name)


class _Span:
    """Time between `start` and `stop`, which is recorded when the profiler runs at its end. Works in a `with`, too."""

    def __init__(self, name: str, category: str):
        self.name = name
        self._category = category
        self._begin: int | None = None

    def __str__(self) -> str:
        return self.name

    def start(self) -> None:
        self._begin = time.perf_counter_ns()

    def stop(self) -> None:
        begin, self._begin = self._begin, None
        if begin is None:
            raise MXNetError(f"profiler: {self.name} was stopped, but it had not been started")
        if _profile.active:
            end = time.perf_counter_ns()
            _profile.add(_Record("X", self.name, self._category, begin, end, "host", threading.get_ident(), {}))
            _profile.count(self._category, self.name, (end - begin) / 1e6)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()


class Task(_Span):
    """A piece of work of one thread; tasks may lie inside each other."""

    def __init__(self, domain: Domain, name: str):
        super().__init__(name, domain.name)


class Frame(_Span):
    """One of many equal rounds, such as a batch."""

    def __init__(self, domain: Domain, name: str):
        super().__init__(name, f"{domain.name},frame")


class Event(_Span):
    """Something that takes time and belongs to no domain."""

    def __init__(self, name: str):
        super().__init__(name, "event")


class Counter:
    """A number that changes; each change is recorded."""

    def __init__(self, domain: Domain, name: str, value: float | None = None):
        self.name = name
        self._domain = domain
        self._value: float = 0
        if value is not None:
            self.set_value(value)

    def __str__(self) -> str:
        return self.name

    def set_value(self, value: float) -> None:
        self._value = value
        if _profile.active:
            now = time.perf_counter_ns()
            told = {self.name: value}
            _profile.add(_Record("C", self.name, self._domain.name, now, now, "host", threading.get_ident(), told))

    def increment(self, delta: float = 1) -> None:
        self.set_value(self._value + delta)

    def decrement(self, delta: float = 1) -> None:
        self.set_value(self._value - delta)

    def __iadd__(self, delta: float) -> Counter:
        self.increment(delta)
        return self

    def __isub__(self, delta: float) -> Counter:
        self.decrement(delta)
        return self


class Marker:
    """A moment."""

    _SCOPES = ("global", "process", "thread")

    def __init__(self, domain: Domain, name: str):
        self.name = name
        self._domain = domain

    def __str__(self) -> str:
        return self.name

    def mark(self, scope: str = "process") -> None:
        """Marks the present moment for the 'global', 'process' or 'thread' scope of the trace."""
        if scope not in self._SCOPES:
            raise ValueError(f"profiler: a marker's scope must be one of {', '.join(self._SCOPES)}, got {scope!r}")
        if _profile.active:
            now = time.perf_counter_ns()
            told = {"scope": scope[0]}
            _profile.add(_Record("i", self.name, self._domain.name, now, now, "host", threading.get_ident(), told))
