"""How near matrix products come to what the machine can do: GFLOP/s as a fraction of the multiply-add rate measured in between.

python benchmarks/gemm.py [--sizes 501,1001 | --shapes 50x64x64,64x128x784:nt] [--seconds 1] [--peers] [--json FILE]

Every line is the best of many short rounds, peak and contenders taking turns, so that a busy machine disturbs all of
them alike. --peers adds torch and jax, each only where it is installed; NumPy is always there. A shape is m x n x k, and
:nt multiplies by a transposed right side, as FullyConnected does.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable

import numpy as np

from minimx import _core

SQUARES = "501,1001,1501,2001,2501"
SHAPES = "8x3x4,50x64x13:nt,50x64x64:nt,50x64x64,64x64x50:tn,64x128x784:nt,64x128x784,128x4096x25088:nt,1x4096x4096:nt"


def peak(dtype: str, tasks: int) -> Callable[[], None]:
    out, flops = np.zeros(tasks, dtype), np.zeros(1, "int64")
    args = {"tasks": tasks, "iterations": 20000}

    def run() -> None:
        _core.run_kernel(f"peak.{dtype}", args, [out, flops])

    run()
    run.flops = int(flops[0])  # type: ignore[attr-defined]
    return run


def ours(a: np.ndarray, b: np.ndarray, c: np.ndarray, trans_a: bool, trans_b: bool) -> Callable[[], None]:
    """The kernel in a program of its own, as a bound executor runs it."""
    m, n = c.shape
    k = a.shape[0] if trans_a else a.shape[1]
    device = _core.device("cpu", 0)
    per_thread = min(k, 512) * (min(m, 256) + min(n, 2048) + 64)
    scratch = _core.thread_count() * (-(-per_thread // 64) * 64) * c.itemsize
    program = _core.Program()
    slots = []
    for array in (a, b, c):
        slots.append(program.add_bound(device))
        storage = _core.Storage(device, array.nbytes)
        _core.copy_in(storage, 0, array)
        program.bind(slots[-1], storage, 0)
    args = dict(batch=1, m=m, n=n, k=k, lda=a.shape[1], ldb=b.shape[1], ldc=n, batch_a=0, batch_b=0, batch_c=0)
    args |= dict(trans_a=int(trans_a), trans_b=int(trans_b), bias_axis=0, activation=0)
    arena = program.add_arena(device, 0)
    program.add_call(device, f"gemm.{c.dtype}", args, [slots[0], slots[1], -1, -1, slots[2], arena])
    program.seal([(device, scratch)], None)
    return lambda: program.run(0, 1)


def peers(a: np.ndarray, b: np.ndarray, trans_a: bool, trans_b: bool) -> dict[str, Callable[[], object]]:
    found: dict[str, Callable[[], object]] = {}
    try:
        import torch

        x, y = torch.from_numpy(a), torch.from_numpy(b)
        x, y = x.T if trans_a else x, y.T if trans_b else y
        found["torch"] = lambda: torch.mm(x, y)
    except ImportError:
        pass
    try:
        import jax

        jax.config.update("jax_enable_x64", True)
        u, v = jax.numpy.asarray(a), jax.numpy.asarray(b)
        multiply = jax.jit(lambda u, v: (u.T if trans_a else u) @ (v.T if trans_b else v))
        found["jax"] = lambda: multiply(u, v).block_until_ready()
    except ImportError:
        pass
    return found


def per_call(run: Callable[[], object], clock: Callable[[], float], enough: float = 2e-3) -> float:
    """Seconds per call, over as many calls as take a moment."""
    count = 1
    while True:
        start = clock()
        for _ in range(count):
            run()
        spent = clock() - start
        if spent >= enough or count >= 1 << 20:
            return spent / count
        count = max(2 * count, int(count * enough / max(spent, 1e-9)))


def measure(
    m: int, n: int, k: int, kind: str, dtype: str, seconds: float, with_peers: bool, clock: Callable[[], float]
) -> dict:
    rng = np.random.default_rng(0)
    trans_a, trans_b = kind[0] == "t", kind[1] == "t"
    a = rng.standard_normal((k, m) if trans_a else (m, k)).astype(dtype)
    b = rng.standard_normal((n, k) if trans_b else (k, n)).astype(dtype)
    c = np.empty((m, n), dtype)
    left, right = a.T if trans_a else a, b.T if trans_b else b
    runs: dict[str, Callable[[], object]] = {"minimx": ours(a, b, c, trans_a, trans_b)}
    runs["numpy"] = lambda: np.matmul(left, right, out=c)
    if with_peers:
        runs |= peers(a, b, trans_a, trans_b)
    top = peak(dtype, _core.thread_count())
    best = dict.fromkeys(["peak", *runs], float("inf"))
    end = time.perf_counter() + seconds
    rounds = 0
    while rounds < 3 or time.perf_counter() < end:
        best["peak"] = min(best["peak"], per_call(top, clock, 0))
        for name, run in runs.items():
            best[name] = min(best[name], per_call(run, clock))
        rounds += 1
    flops = {"peak": top.flops} | dict.fromkeys(runs, 2 * m * n * k)  # type: ignore[attr-defined]
    rates = {name: flops[name] / spent / 1e9 for name, spent in best.items()}
    return {"shape": f"{m}x{n}x{k}:{kind}", "microseconds": best["minimx"] * 1e6, "gflops": rates}


def main(argv: list[str] | None = None) -> list[dict]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default=SQUARES, help="square products")
    parser.add_argument("--shapes", default=SHAPES, help="others, MxNxK[:nn|nt|tn|tt]")
    parser.add_argument("--dtype", default="float32", choices=("float32", "float64"))
    parser.add_argument("--seconds", type=float, default=1.0, help="time for each line")
    parser.add_argument("--cpu-time", action="store_true")
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--json", help="a file for the numbers")
    options = parser.parse_args(argv)
    shapes = [f"{s}x{s}x{s}" for s in options.sizes.split(",") if s] + [s for s in options.shapes.split(",") if s]
    clock = time.process_time if options.cpu_time else time.perf_counter
    rows = []
    print(f"{options.dtype}, {_core.cpu_level()}, {_core.thread_count()} threads; GFLOP/s (fraction of peak)")
    for shape in shapes:
        size, _, kind = shape.partition(":")
        m, n, k = map(int, size.split("x"))
        row = measure(m, n, k, kind or "nn", options.dtype, options.seconds, options.peers, clock)
        rows.append(row)
        top = row["gflops"]["peak"]
        columns = [f"{name} {rate:7.1f} ({rate / top:4.2f})" for name, rate in row["gflops"].items() if name != "peak"]
        print(f"{row['shape']:>22} {row['microseconds']:11.2f} us  peak {top:6.1f}  " + "  ".join(columns), flush=True)
    if options.json:
        with open(options.json, "w") if options.json != "-" else sys.stdout as file:
            json.dump({"dtype": options.dtype, "level": _core.cpu_level(), "rows": rows}, file, indent=1)
    return rows


if __name__ == "__main__":
    main()
