"""How figures grow: with the batch, with threads, with the depth of a graph, with neighbours on the machine.

python benchmarks/growth.py [--only depth,threads] [--rounds 3] [--json FILE]
python benchmarks/growth.py --picture FILE.png    time of matrix products against their size, if matplotlib is there
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import deep
import gemm
import harness
import networks
import numpy as np

Result = dict[str, Any]


def told(row: str, **figures: Any) -> Result:
    """A result that has no contenders."""
    print(f"{row}  " + "  ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in figures.items()))
    return {"row": row, "group": "growth", **figures}


def batch_sizes(folder: Path, options) -> list[Result]:
    """Images per second of training, and the most memory that a process takes, against the batch."""
    results = []
    for name, sizes in (("lenet", (1, 10, 100, 1000)), ("resnet18", (1, 4, 16))):
        for batch in sizes:
            entry = networks.row(folder, name, "train", batch)
            entry.contenders = ("minimx", "mxnet")
            result = harness.compete(entry, options.rounds, options.seconds)
            harness.show(result)
            results.append({**result, "group": "growth", "peak memory": peaks(entry)})
    return results


def peaks(entry: harness.Row) -> dict[str, int]:
    """The most memory that a few steps of training take beyond the import of the library: the process's, from start to end."""
    found: dict[str, int] = {}
    told = ""
    for who in ("minimx", "mxnet"):
        try:
            worker = harness.Worker(who, {**entry.work, "checked": False})
        except harness.Absent:
            continue
        worker(3)
        memory = worker.memory()
        worker.close()
        found[who] = memory["peak"]
        told += f"  {who} {memory['peak'] / 1e6:,.0f} MB"
        if memory["told"]:
            told += f" ({memory['told'] / 1e6:,.0f} in arrays and programs)"
    ratio = f"  | {found['minimx'] / found['mxnet']:.2f} x mxnet" if len(found) == 2 else ""
    print(f"{entry.name}, most memory beyond the import{told}{ratio}", flush=True)
    return found


def memory(folder: Path, options) -> list[Result]:
    """The most memory that training of a large network takes."""
    results = []
    for batch in (8, 32):
        entry = networks.row(folder, "inception_bn", "train", batch)
        results.append({"row": f"memory, {entry.name}", "group": "growth", "peak memory": peaks(entry)})
    return results


def threads(folder: Path, options) -> list[Result]:
    """What a second thread brings, and what the machine has to give: what two processes of one thread each, which share
    nothing, do at the same time. All take turns."""
    results = []
    for name, mode, batch in (("lenet", "train", 100), ("resnet18", "infer", 1), ("resnet18", "train", 4)):
        entry = networks.row(folder, name, mode, batch)
        alone, twin = (harness.Worker("minimx", entry.work, {"MINIMX_NUM_THREADS": "1"}) for _ in range(2))
        both = harness.Worker("minimx", entry.work, {"MINIMX_NUM_THREADS": "2"})
        for worker in (alone, twin, both):
            worker(1)
        steps = max(1, round(options.seconds / alone(1)))
        rates: dict[str, list[float]] = {"one": [], "two": [], "processes": []}
        with ThreadPoolExecutor(2) as pool:
            for _ in range(options.rounds):
                rates["one"].append(steps / alone(steps) * batch)
                rates["two"].append(steps / both(steps) * batch)
                twins = [pool.submit(worker, steps) for worker in (alone, twin)]
                rates["processes"].append(sum(steps / turn.result() for turn in twins) * batch)
        for worker in (alone, twin, both):
            worker.close()
        gain, given = (
            statistics.median(n / one for n, one in zip(rates[who], rates["one"], strict=True))
            for who in ("two", "processes")
        )
        middle = {who: statistics.median(found) for who, found in rates.items()}
        results.append(told(f"threads 1 -> 2, {entry.name}", **middle, gain=gain, given=given, unit=entry.unit))
    return results


def depth(folder: Path, options) -> list[Result]:
    """Seconds from a symbol to its first results, against the number of nodes."""
    results = []
    for graph in deep.GRAPHS:
        for train in (False, True):
            for nodes in (1250, 2500, 5000, 10000, 20000):
                work = {"kind": "binding", "graph": graph, "nodes": nodes, "train": train}
                title = f"bind {nodes} nodes, {graph}, {'training' if train else 'inference'}"
                seconds = {}
                for who in ("minimx", "mxnet"):
                    try:
                        worker = harness.Worker(who, work)
                        seconds[who] = min(worker(1) for _ in range(options.rounds))
                        worker.close()
                    except harness.Absent as why:
                        if str(why) != "not installed":
                            print(f"    {who} takes no part: {why}")
                results.append(told(title, **seconds, unit="s"))
    return results


def busy(folder: Path, options) -> list[Result]:
    """A step on two threads while another process of the same priority works on one of the cores."""
    results = []
    cores = sorted(os.sched_getaffinity(0))
    for name, mode, batch in (("lenet", "train", 100), ("resnet18", "infer", 1)):
        entry = networks.row(folder, name, mode, batch)
        worker = harness.Worker("minimx", entry.work)
        worker(2)
        steps = max(1, round(options.seconds / worker(1)))
        alone, beside = [], []
        for _ in range(options.rounds):
            alone.append(worker(steps) / steps)
            spin = f"import os\nos.sched_setaffinity(0, {{{cores[-1]}}})\nwhile True: pass"
            neighbour = subprocess.Popen([sys.executable, "-c", spin])
            time.sleep(0.3)
            try:
                beside.append(worker(steps) / steps)
            finally:
                neighbour.kill()
                neighbour.wait()
        worker.close()
        slower = min(beside) / min(alone)
        results.append(
            told(f"a busy core, {entry.name}", alone=min(alone), beside=min(beside), slower=slower, unit="s")
        )
    return results


def fork_join(folder: Path, options) -> list[Result]:
    """Microseconds that a call on two threads costs beyond its work: calls with hardly any, with one task and with two."""
    from minimx import _core

    device = _core.device("cpu", 0)
    calls = 1000
    best = {}
    for tasks in (1, _core.thread_count()):
        program = _core.Program()
        slots = [program.add_bound(device), program.add_bound(device)]
        for slot in slots:
            program.bind(slot, _core.Storage(device, 64), 0)
        for _ in range(calls):
            program.add_call(device, "peak.float32", {"tasks": tasks, "iterations": 1}, slots)
        program.seal([], None)
        best[tasks] = float("inf")
        for _ in range(20 * options.rounds):
            start = time.perf_counter()
            program.run(0, calls)
            best[tasks] = min(best[tasks], (time.perf_counter() - start) / calls * 1e6)
    return [
        told("fork and join", one_task=best[1], all_threads=best[max(best)], cost=best[max(best)] - best[1], unit="us")
    ]


PARTS: dict[str, Callable[[Path, Any], list[Result]]] = {
    "batch": batch_sizes,
    "memory": memory,
    "threads": threads,
    "depth": depth,
    "busy": busy,
    "fork": fork_join,
}


def picture(path: str, options) -> None:
    """Draws the time of a square product against its size for everybody who is there."""
    try:
        import matplotlib
    except ImportError:
        sys.exit("pictures need matplotlib: pip install matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    sizes = [int(n) for n in np.unique(np.geomspace(100, 2501, 12).astype(int))]
    lines: dict[str, list[tuple[int, float]]] = {}
    for n in sizes:
        (result,) = harness.measure([gemm.row(f"{n}x{n}x{n}")], options)
        for name, speed in result["speeds"].items():
            lines.setdefault(name, []).append((n, 2.0 * n**3 / speed["median"] / 1e9))
    figure, axes = pyplot.subplots(figsize=(7, 4.5))
    for name, points in lines.items():
        axes.plot(*zip(*points, strict=True), marker="o", markersize=3, label=name)
    axes.set(
        xlabel="rows and columns", ylabel="seconds", title="product of two square matrices on the CPU", yscale="log"
    )
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    Path(path).with_suffix(".json").write_text(json.dumps(lines))


def measured(options) -> list[Result]:
    wanted = [w for w in options.only.split(",") if w]
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for name, part in PARTS.items():
            if not wanted or name in wanted:
                results += part(Path(folder), options)
    return results


def main() -> None:
    parser = harness.parser(__doc__)
    parser.add_argument("--picture", metavar="FILE")
    options = parser.parse_args()
    if options.picture:
        return picture(options.picture, options)
    results = measured(options)
    if options.json:
        harness.write(options.json, results)


if __name__ == "__main__":
    main()
