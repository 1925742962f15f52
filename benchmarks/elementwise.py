"""Elementwise chains against the speed of memory, functions and random numbers against NumPy.

    python benchmarks/elementwise.py [--size 16777216] [--seconds 1] [--json FILE]

A chain counts the bytes it has to read and write; next to it stands a copy of the same arrays by NumPy. Functions and random
numbers are in billions of elements per second on arrays that stay in the caches. Contenders take turns and the best of
many rounds counts, so that a busy machine disturbs all of them alike.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

import numpy as np

import minimx as mx

SMALL = 65536
FUNCTIONS = {
    "exp": np.exp,
    "log": np.log,
    "tanh": np.tanh,
    "sigmoid": lambda x, out: np.divide(1, 1 + np.exp(-x), out=out),
    "sqrt": np.sqrt,
    "sin": np.sin,
    "relu": lambda x, out: np.maximum(x, 0, out=out),
    "broadcast_power": lambda x, out: np.power(x, x, out=out),
}
RANDOM = {"random_uniform": "random", "random_normal": "standard_normal", "random_exponential": "standard_exponential"}


def bound(net, **arrays) -> Callable[[], None]:
    """Running the forward program of a symbol on the arrays."""
    executor = net.simple_bind(mx.cpu(), grad_req="null", **{name: a.shape for name, a in arrays.items()})
    for name, array in arrays.items():
        executor.arg_dict[name][:] = array
    return executor.forward


def best(contenders: dict[str, Callable[[], None]], seconds: float) -> dict[str, float]:
    """The shortest time of each in rounds where they take turns; the first round, which touches fresh memory, is extra."""
    for run in contenders.values():
        run()
    shortest = dict.fromkeys(contenders, float("inf"))
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for name, run in contenders.items():
            start = time.perf_counter()
            run()
            shortest[name] = min(shortest[name], time.perf_counter() - start)
    return shortest


def chains(size: int, seconds: float) -> list[dict]:
    x = np.random.default_rng(0).random(size, np.float32)
    copy = np.empty_like(x)
    data = mx.sym.Variable("x")
    lines = []
    arrays = [mx.nd.array(x) for _ in range(3)]

    def momentum() -> None:
        mx.nd.sgd_mom_update(*arrays, out=arrays[0], lr=0.1, momentum=0.9, wd=1e-4)

    for name, run, words in (
        ("2 x + 1", bound(data * 2 + 1, x=x), 2),
        ("sigmoid(x) tanh(x)", bound(mx.sym.sigmoid(data) * mx.sym.tanh(data), x=x), 2),
        ("sgd with momentum", momentum, 5),
    ):
        took = best({"ours": run, "copy": lambda: np.copyto(copy, x)}, seconds)
        gigabytes = words * x.nbytes / took["ours"] / 1e9
        lines.append({"chain": name, "GB/s": gigabytes, "NumPy copy GB/s": 2 * x.nbytes / took["copy"] / 1e9})
    return lines


def functions(seconds: float) -> list[dict]:
    x = np.random.default_rng(0).uniform(0.5, 2, SMALL).astype(np.float32)
    out = np.empty_like(x)
    data = mx.sym.Variable("x")
    lines = []
    for name, numpy in FUNCTIONS.items():
        operator = getattr(mx.sym, name)
        run = bound(operator(data, data) if name.startswith("broadcast") else operator(data), x=x)
        took = best({"ours": run, "NumPy": lambda numpy=numpy: numpy(x, out=out)}, seconds)
        lines.append({"function": name, **{f"{who} G/s": SMALL / t / 1e9 for who, t in took.items()}})
    return lines


def numbers(seconds: float) -> list[dict]:
    generator = np.random.default_rng(0)
    lines = []
    for name, numpy in RANDOM.items():
        run = bound(getattr(mx.sym, name)(shape=(SMALL,)))
        draw = getattr(generator, numpy)
        took = best({"ours": run, "NumPy": lambda draw=draw: draw(SMALL, np.float32)}, seconds)
        lines.append({"numbers": name, **{f"{who} G/s": SMALL / t / 1e9 for who, t in took.items()}})
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=1 << 24, help="elements of the arrays of chains")
    parser.add_argument("--seconds", type=float, default=1, help="how long each line is measured")
    parser.add_argument("--json", help="file for the results")
    options = parser.parse_args()
    lines = [*chains(options.size, options.seconds), *functions(options.seconds), *numbers(options.seconds)]
    for line in lines:
        print(
            "  ".join(
                f"{key} {value:.2f}" if isinstance(value, float) else f"{value:20}" for key, value in line.items()
            )
        )
    if options.json:
        with open(options.json, "w") as file:
            json.dump(lines, file, indent=1)


if __name__ == "__main__":
    main()
