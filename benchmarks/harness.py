"""What all benchmarks share: peers in processes of their own, rounds in which they take turns, medians, tables.

A contender is a library in one of its ways of working (`torch compiled`). Each lives in the environment where its
library is installed (`make bench-peers` makes them in build/peers), gets a piece of work as JSON, prepares it, and then runs as
many steps as it is asked for. Nobody else runs meanwhile. The multiply-add rate of the machine is measured in the same rounds.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PEERS = Path(os.environ.get("MINIMX_PEERS", ROOT / "build/peers"))
sys.path.insert(0, str(ROOT))  # the minimx of this checkout

# Contender -> (library, what its worker is told, environment variables).
CONTENDERS: dict[str, tuple[str, dict[str, Any], dict[str, str]]] = {
    "minimx": ("minimx", {}, {}),
    "mxnet": ("mxnet", {}, {}),
    "mxnet naive": ("mxnet", {}, {"MXNET_ENGINE_TYPE": "NaiveEngine"}),
    "torch": ("torch", {}, {}),
    "torch compiled": ("torch", {"compile": True}, {}),
    "jax": ("jax", {}, {}),
    "onnxruntime": ("onnx", {}, {}),
    "numpy": ("numpy", {}, {}),
}


@dataclass
class Row:
    """One line of a table: a piece of work, who does it, and how its speed is told."""

    name: str
    work: dict[str, Any]
    contenders: Sequence[str]
    unit: str  # what `amount` counts: "images/s", "GFLOP/s", "steps/s"
    amount: float  # of the unit in one step
    flops: float = 0  # multiplications and additions of one step, for the fraction of the peak
    group: str = ""
    note: str = ""
    environment: dict[str, str] = field(default_factory=dict)


def python_of(library: str) -> str | None:
    """The interpreter that has the library; None where it is not installed."""
    if library in ("minimx", "numpy"):
        return sys.executable
    python = PEERS / library / "bin/python"
    return str(python) if python.exists() else None


class Absent(Exception):
    """A contender that cannot do a piece of work, with its last words."""


class Worker:
    """A contender at a piece of work, in a process of its own."""

    def __init__(self, contender: str, work: dict[str, Any], environment: dict[str, str] | None = None, patience=900):
        library, told, variables = CONTENDERS[contender]
        python = python_of(library)
        if python is None:
            raise Absent("not installed")
        every = {**os.environ, "PYTHONPATH": str(ROOT), **variables, **(environment or {})}
        self._process = subprocess.Popen(
            [python, str(HERE / "serve.py"), library],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=every,
        )
        self.facts = self._ask({**work, **told})

    def __call__(self, count: int) -> float:
        """Seconds for so many steps."""
        return self._ask({"count": count})["seconds"]

    def memory(self) -> dict[str, int | None]:
        """The most memory the process has held so far, beyond what it held after the import of the library; and the most that
        the library says it has held, if it does."""
        told = self._ask({"count": 0})
        return {"peak": told["peak_bytes"] - self.facts["import_bytes"], "told": told["held_bytes"]}

    def _ask(self, what: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin and self._process.stdout and self._process.stderr
        try:
            self._process.stdin.write(json.dumps(what) + "\n")
            self._process.stdin.flush()
            for line in self._process.stdout:
                if line.startswith("answer "):
                    return json.loads(line.removeprefix("answer "))
        except BrokenPipeError:
            pass
        said = self._process.stderr.read().strip().splitlines()
        raise Absent(said[-1] if said else "ended without a word")

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for stream in (self._process.stdout, self._process.stderr):
            assert stream
            stream.close()


class Peak:
    """GFLOP/s that multiply-adds in registers reach on all threads, measured whenever it is asked for."""

    def __init__(self, dtype: str = "float32"):
        import numpy as np

        from minimx import _core

        self._threads = _core.thread_count()
        self._out, self._flops = np.zeros(self._threads, dtype), np.zeros(1, "int64")
        self._run = lambda: _core.run_kernel(
            f"peak.{dtype}", {"tasks": self._threads, "iterations": 20000}, [self._out, self._flops]
        )
        self.seen: list[float] = []

    def measure(self) -> None:
        best = float("inf")
        for _ in range(3):
            start = time.perf_counter()
            self._run()
            best = min(best, time.perf_counter() - start)
        self.seen.append(int(self._flops[0]) / best / 1e9)


def compete(row: Row, rounds: int = 5, seconds: float = 0.5, pause: float = 0.1) -> dict[str, Any]:
    """Lets the contenders of a row take turns. A turn is as many steps as take `seconds`; the first one warms up."""
    workers: dict[str, Worker] = {}
    absent: dict[str, str] = {}
    counts: dict[str, int] = {}
    times: dict[str, list[float]] = {}
    peak = Peak() if row.flops else None
    try:
        for name in row.contenders:
            try:
                worker = Worker(name, row.work, row.environment)
                once = worker(1)
                once = min(once, worker(max(1, min(1000, int(0.05 / max(once, 1e-7))))))
                workers[name], counts[name], times[name] = worker, max(1, round(seconds / max(once, 1e-7))), []
            except Absent as why:
                absent[name] = str(why)
        for name, worker in workers.items():  # settled now: how many steps a turn has
            count = max(1, min(counts[name], 200))
            counts[name] = max(1, round(seconds * count / max(worker(count), 1e-7)))
        for _ in range(rounds):
            if peak:
                peak.measure()
            for name, worker in workers.items():
                time.sleep(pause)  # threads of the one before, which still spin
                times[name].append(worker(counts[name]) / counts[name])
        facts = {name: worker.facts for name, worker in workers.items()}
    finally:
        for worker in workers.values():
            worker.close()
    return _figures(row, times, absent, facts, max(peak.seen) if peak else 0)


def _figures(row: Row, times: dict[str, list[float]], absent: dict[str, str], facts: dict[str, Any], peak: float):
    result: dict[str, Any] = {"row": row.name, "group": row.group, "unit": row.unit, "note": row.note, "speeds": {}}
    for name, seconds in times.items():
        result["speeds"][name] = {
            "median": row.amount / statistics.median(seconds),
            "best": row.amount / min(seconds),
            "rounds": len(seconds),
        }
        if facts[name].get("check") is not None:
            result["speeds"][name]["check"] = facts[name]["check"]
    result["absent"] = absent
    peers = {name: s for name, s in result["speeds"].items() if name != "minimx"}
    own = result["speeds"].get("minimx")
    if own and peers:
        result["best peer"] = max(peers, key=lambda name: peers[name]["median"])
        result["ratio"] = own["median"] / peers[result["best peer"]]["median"]
        result["ratio of best"] = own["best"] / max(s["best"] for s in peers.values())
    if own and peak:
        result["peak GFLOP/s"] = peak
        result["of peak"] = row.flops * own["median"] / row.amount / 1e9 / peak
    result["disagree"] = disagreement(result["speeds"])
    return result


def disagreement(speeds: dict[str, dict[str, Any]], tolerance: float = 2e-3) -> list[str]:
    """Contenders whose first results are not those of the first that told some."""
    told = {name: s["check"] for name, s in speeds.items() if "check" in s}
    if not told:
        return []
    first = next(iter(told.values()))
    size = max(map(abs, first)) or 1.0
    return [n for n, c in told.items() if any(abs(a - b) > tolerance * size for a, b in zip(c, first, strict=False))]


def text(value: float) -> str:
    """A number with three or four digits that count."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 100 else f"{value:.3g}"


def show(result: dict[str, Any]) -> None:
    """One row of a table on the terminal."""
    speeds = "  ".join(f"{name} {text(s['median'])}" for name, s in result["speeds"].items())
    extras = ""
    if "ratio" in result:
        extras += f"  | {result['ratio']:.2f} x {result['best peer']} ({result['ratio of best']:.2f} by best rounds)"
    if "of peak" in result:
        extras += f"  | {result['of peak']:.2f} of {result['peak GFLOP/s']:.0f} GFLOP/s"
    print(f"{result['row']} [{result['unit']}]  {speeds}{extras}", flush=True)
    for name, why in result["absent"].items():
        if why != "not installed":
            print(f"    {name} takes no part: {why}", flush=True)
    if result["disagree"]:
        print(f"    results differ: {', '.join(result['disagree'])}", flush=True)


def markdown(results: Sequence[dict[str, Any]]) -> str:
    """Rows as a table for a report."""
    names = [n for n in CONTENDERS if any(n in r["speeds"] for r in results)]
    lines = [f"| work | unit | {' | '.join(names)} | to the best peer | of peak |", "|" + "---|" * (len(names) + 4)]
    for r in results:
        cells = [text(r["speeds"][n]["median"]) if n in r["speeds"] else "" for n in names]
        ratio = f"{r['ratio']:.2f}" if "ratio" in r else ""
        fraction = f"{r['of peak']:.2f}" if "of peak" in r else ""
        lines.append(f"| {r['row']} | {r['unit']} | {' | '.join(cells)} | {ratio} | {fraction} |")
    return "\n".join(lines)


def machine() -> dict[str, Any]:
    from minimx import _core

    model = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        model = next((line.split(":")[1].strip() for line in info.open() if line.startswith("model name")), model)
    return {
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)),
        "level": _core.cpu_level(),
        "threads": _core.thread_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load": os.getloadavg()[0],
    }


def parser(text: str | None) -> argparse.ArgumentParser:
    """The options that every benchmark has."""
    made = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument(
        "--only", default="", help="rows with a word that begins with one of these, with commas in between"
    )
    made.add_argument("--contenders", default="", help=f"of {', '.join(CONTENDERS)}, with commas in between")
    made.add_argument("--rounds", type=int, default=5)
    made.add_argument("--seconds", type=float, default=0.5, help="how long a turn is")
    made.add_argument("--json", metavar="FILE", help="where the figures are written, too")
    return made


def chosen(rows: Sequence[Row], options: argparse.Namespace) -> list[Row]:
    """The rows and contenders that the command line asks for."""
    wanted = [w.strip() for w in options.only.split(",") if w.strip()]
    rows = [r for r in rows if not wanted or any(re.search(rf"\b{re.escape(w)}", r.name) for w in wanted)]
    names = [c.strip() for c in options.contenders.split(",") if c.strip()]
    for row in rows:
        if names:
            row.contenders = [c for c in row.contenders if c in names]
    return rows


def measure(rows: Sequence[Row], options: argparse.Namespace) -> list[dict[str, Any]]:
    """Every chosen row, shown as it is done."""
    results = []
    for row in chosen(rows, options):
        results.append(compete(row, options.rounds, options.seconds))
        show(results[-1])
    return results


def write(path: str | Path, results: Any) -> None:
    """The figures with machine, date and command."""
    record = {
        "date": datetime.datetime.now().isoformat(timespec="minutes"),
        "machine": machine(),
        "command": " ".join(["python", os.path.relpath(sys.argv[0], ROOT), *sys.argv[1:]]),
        "results": results,
    }
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(json.dumps(record, indent=1) + "\n")
