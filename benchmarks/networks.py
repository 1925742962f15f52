"""Whole networks: training and inference in images per second, beside the peers.

    python benchmarks/networks.py [--only lenet,resnet50] [--rounds 5] [--contenders minimx,torch] [--json FILE]
    python benchmarks/networks.py --profile --net inception_bn --mode infer --batch 1

Contenders get the same symbol file and the same weights; translations of the symbol for PyTorch, JAX and ONNX Runtime are in
with_*.py. First results are compared. --profile lists the calls of minimx's program with their times. --bfloat16 measures
minimx in bfloat16 beside minimx in float32: `networks.py --bfloat16 [--only resnet50]`.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import harness
from harness import Row

import minimx as mx
from minimx import _core
from minimx.precision import lowered

models = mx.models

# Name -> the network, the shape of one example, and the optimizer of its training.
SGD = {"name": "sgd", "learning_rate": 1e-4, "momentum": 0.9}
NETS: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "lenet": (models.lenet, (1, 28, 28)),
    "vgg_cifar": (models.vgg_cifar, (3, 32, 32)),
    "inception_bn": (models.inception_bn, (3, 224, 224)),
    "vgg16": (models.vgg, (3, 224, 224)),
    "resnet50": (lambda: models.resnet(version=1), (3, 224, 224)),
    "resnet18": (lambda: models.resnet(num_layers=18, version=1), (3, 224, 224)),
    "resnet50_v2": (models.resnet, (3, 224, 224)),
    "alexnet": (models.alexnet, (3, 224, 224)),
    "googlenet": (models.googlenet, (3, 224, 224)),
    "inception_v3": (models.inception_v3, (3, 299, 299)),
    "mobilenet": (models.mobilenet, (3, 224, 224)),
    "densenet121": (models.densenet, (3, 224, 224)),
}
TRAINERS = ("minimx", "mxnet", "mxnet naive", "torch", "torch compiled", "jax")
INFERRERS = (*TRAINERS, "onnxruntime")
# Network, mode, batch: the table of the project.
TABLE = (
    ("lenet", "train", 100),
    ("vgg_cifar", "train", 50),
    ("inception_bn", "train", 8),
    ("inception_bn", "infer", 1),
    ("inception_bn", "infer", 32),
    ("vgg16", "infer", 1),
    ("vgg16", "infer", 8),
    ("resnet50", "infer", 1),
    ("resnet50", "infer", 32),
    ("resnet50", "train", 16),
)
# What --bfloat16 measures.
SHORT_TABLE = tuple(entry for entry in TABLE if entry[0] in ("inception_bn", "resnet50"))


def forward_flops(net: Any, shapes: dict[str, tuple[int, ...]]) -> float:
    """Multiplications and additions of the products and convolutions of one forward pass."""
    internals = net.get_internals()
    known = dict(zip(internals.list_outputs(), internals.infer_shape(**shapes)[1], strict=True))
    total = 0.0
    for node, _ in internals._heads:
        if node.op is None or node.op.name not in ("Convolution", "FullyConnected", "Deconvolution"):
            continue
        weight = known[node.inputs[1][0].name]
        source = node.inputs[0][0]
        wide = source.name if source.op is None else f"{source.name}_output"
        moved = known[wide if node.op.name == "Deconvolution" else f"{node.name}_output"]
        size = 1
        for d in weight:
            size *= d
        places = 1
        for d in (moved[0], *moved[2:]):
            places *= d
        total += 2.0 * size * places
    return total


def every_shape(net: Any, shapes: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Of all arguments and states."""
    arguments, _, states = net.infer_shape(**shapes)
    names = net.list_arguments() + net.list_auxiliary_states()
    return dict(zip(names, arguments + states, strict=True))


def row(folder: Path, name: str, mode: str, batch: int, precision: str = "float32") -> Row:
    make, shape = NETS[name]
    net = make()
    file = folder / f"{name}-{precision}-symbol.json"
    lowered(net, precision).save(str(file), remove_amp_cast=False)
    shapes: dict[str, tuple[int, ...]] = {"data": (batch, *shape)}
    flops = forward_flops(net, shapes)
    work = {"kind": mode, "symbol": str(file), "shapes": every_shape(net, shapes)}
    if mode == "train":
        work["optimizer"] = SGD
        flops *= 3
    who = TRAINERS if mode == "train" else INFERRERS
    title = f"{name} {'training' if mode == 'train' else 'inference'}, batch {batch}"
    return Row(title, work, who, "images/s", batch, flops, "networks")


def rows(folder: Path) -> list[Row]:
    return [row(folder, *entry) for entry in TABLE]


# ---- bfloat16 beside float32 --------------------------------------------------------------------------------------------


def compare_precisions(todo: Any, seconds: float, rounds: int) -> None:
    """Prints images per second in both precisions, which take turns, the ratio of their medians, and how far
    the first probabilities are apart."""
    import with_minimx

    device = _core.device("cpu", 0)
    own = "of its own" if device.has_kernel("gemm.bfloat16") else "missing: bfloat16 is computed in float32"
    print(f"level {_core.cpu_level()}, {_core.thread_count()} threads; kernels for bfloat16 {own}")
    print(f"{'':34}{'float32':>10}{'bfloat16':>10}{'ratio':>8}{'apart':>10}")
    for name, mode, batch in todo:
        runs = {}
        with tempfile.TemporaryDirectory() as folder:
            for precision in ("float32", "bfloat16"):
                entry = row(Path(folder), name, mode, batch, precision)
                work = dict(entry.work)
                runs[precision] = getattr(with_minimx, work.pop("kind"))(**work)
        speeds: dict[str, list[float]] = defaultdict(list)
        for _ in range(rounds):
            for precision, run in runs.items():
                run(1)
                count, start = 0, time.perf_counter()
                while count == 0 or time.perf_counter() - start < seconds:
                    run(1)
                    count += 1
                speeds[precision].append(count * batch / (time.perf_counter() - start))
        wide, short = (statistics.median(speeds[precision]) for precision in runs)
        apart = max(abs(a - b) for a, b in zip(*(run.check for run in runs.values()), strict=True))
        print(f"{entry.name:34}{wide:10.1f}{short:10.1f}{short / wide:8.2f}{apart:10.1e}", flush=True)


# ---- where the time of a program goes ---------------------------------------------------------------------------------


def call_flops(call: Any) -> float:
    a = call.args
    if call.kernel.startswith("gemm"):
        return 2.0 * a["batch"] * a["m"] * a["n"] * a["k"]
    if (
        call.kernel.startswith("conv_")
        and not call.kernel.split(".")[0].endswith(("weights", "turned"))
        and "kernel" in a
        and "out" in a
    ):
        flops = 2.0 * a["batch"] * a["filters"] * a["channels"] / a.get("groups", 1)
        for kernel, out in zip(a["kernel"], a["out"], strict=True):
            flops *= kernel * out
        return flops
    return 0.0


def call_products(call: Any) -> float:
    """The same as they are made: a tile of Winograd's way takes fewer."""
    a, flops = call.args, call_flops(call)
    if flops and call.kernel.startswith("conv_winograd"):
        taps = a["kernel"][0] // a["stride"][0]
        flops *= ((a["tile"] + taps - 1) / (a["tile"] * taps)) ** 2
    return flops


def call_bytes(call: Any) -> int:
    """What a call must at least move: its operands, once each. What is kept has been made before."""
    return 0 if call.kept else sum({b: b.nbytes for b in (*call.reads, *call.writes) if b is not None}.values())


def memory_rate() -> float:
    """Bytes/s of reading 128 MB, the best of a few times."""
    array = mx.nd.ones(32 << 20)
    best = float("inf")
    for _ in range(8):
        start = time.perf_counter()
        mx.nd.sum(array).wait_to_read()
        best = min(best, time.perf_counter() - start)
    return array.size * 4 / best


def call_times(compiled: Any, seconds: float) -> list[float]:
    """Seconds of every call of a program, the best of as many runs as fit into the time, at least three."""
    best = [float("inf")] * compiled.end
    end = time.perf_counter() + seconds
    runs = 0
    while runs < 3 or time.perf_counter() < end:
        for i in range(compiled.end):
            start = time.perf_counter()
            compiled.program.run(i, i + 1)
            best[i] = min(best[i], time.perf_counter() - start)
        runs += 1
    return best


def profile(name: str, mode: str, batch: int, seconds: float, lines: int) -> None:
    """Prints the calls of a network's program: kernels in total, then the slowest calls with their shapes."""
    import with_minimx

    with tempfile.TemporaryDirectory() as folder:
        entry = row(Path(folder), name, mode, batch)
        work = dict(entry.work)
        run = getattr(with_minimx, work.pop("kind"))(**work)
    run(2)
    start = time.perf_counter()
    run(1)
    whole = time.perf_counter() - start
    compiled = run.profiled()
    times = call_times(compiled, seconds)
    peak = harness.Peak()
    for _ in range(20):
        peak.measure()
    rate, memory = max(peak.seen), memory_rate()
    calls = compiled.lowered.calls
    total = sum(times)
    print(
        f"{entry.name}: {total * 1e3:.2f} ms in {len(calls)} calls (one step just now {whole * 1e3:.2f} ms), "
        f"{entry.flops / total / 1e9:.0f} of {rate:.0f} GFLOP/s"
    )
    made, moved = ([f(call) for call in calls] for f in (call_products, call_bytes))
    least = sum(max(m / rate / 1e9, b / memory) for m, b in zip(made, moved, strict=True))
    print(
        f"{sum(map(call_flops, calls)) / 1e9:.2f} GFLOP by direct products, {sum(made) / 1e9:.2f} as they are made, which take "
        f"{sum(made) / rate / 1e6:.2f} ms at that rate; {sum(moved) / 1e6:.0f} MB between calls, which take "
        f"{sum(moved) / memory * 1e3:.2f} ms at the {memory / 1e9:.0f} GB/s of memory; the longer of both, call by call: "
        f"{least * 1e3:.2f} ms, {least / total:.0%} of what it takes"
    )
    groups: dict[str, list[float]] = defaultdict(lambda: [0, 0.0, 0.0, 0.0, 0.0])
    for call, took, products, traffic in zip(calls, times, made, moved, strict=True):
        for i, more in enumerate((1, took, call_flops(call), products, traffic)):
            groups[call.kernel][i] += more
    print(f"\n{'kernel':36}{'calls':>6}{'ms':>10}{'share':>8}{'GFLOP/s':>10}{'made':>8}{'GB/s':>8}")
    for kernel, (count, took, flops, products, traffic) in sorted(groups.items(), key=lambda item: -item[1][1]):
        rates = f"{flops / took / 1e9:10.0f}{products / took / 1e9:8.0f}" if flops else " " * 18
        print(f"{kernel:36}{count:6}{took * 1e3:10.3f}{took / total:8.1%}{rates}{traffic / took / 1e9:8.1f}")
    print(f"\n{'call':36}{'ms':>10}{'share':>8}{'GFLOP/s':>10}  node, operands")
    order = sorted(range(len(calls)), key=lambda i: -times[i])
    for i in order[:lines]:
        call, took, flops = calls[i], times[i], call_flops(calls[i])
        speed = f"{flops / took / 1e9:10.0f}" if flops else " " * 10
        shapes = " ".join("x".join(map(str, b.shape)) for b in call.reads if b is not None)
        made = " ".join("x".join(map(str, b.shape)) for b in call.writes)
        print(f"{call.kernel:36}{took * 1e3:10.3f}{took / total:8.1%}{speed}  {call.node[:40]}: {shapes} -> {made}")


def main() -> None:
    parser = harness.parser(__doc__)
    parser.add_argument("--profile", action="store_true", help="times of the calls of minimx's program")
    parser.add_argument("--bfloat16", action="store_true", help="minimx in bfloat16 beside minimx in float32")
    parser.add_argument("--net", choices=NETS, help="a network beside the table")
    parser.add_argument("--mode", choices=("train", "infer"), default="infer")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--lines", type=int, default=40, help="slowest calls that --profile lists")
    options = parser.parse_args()
    if options.profile:
        if not options.net:
            sys.exit("--profile needs --net")
        return profile(options.net, options.mode, options.batch, options.seconds, options.lines)
    if options.bfloat16:
        entries = ((options.net, options.mode, options.batch),) if options.net else SHORT_TABLE
        wanted = [e for e in entries if not options.only or e[0] in options.only.split(",")]
        return compare_precisions(wanted, options.seconds, options.rounds)
    with tempfile.TemporaryDirectory() as folder:
        todo = [row(Path(folder), options.net, options.mode, options.batch)] if options.net else rows(Path(folder))
        results = harness.measure(todo, options)
    if options.json:
        harness.write(options.json, results)


if __name__ == "__main__":
    main()
