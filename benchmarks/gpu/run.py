"""Builds the CUDA kernels in place and runs every kernel, operator and recorded training on a real gpu(0).

python benchmarks/gpu/run.py [--no-build] [--emulated] [--out FILE]

Needs nvcc, NumPy and pybind11, and SciPy for the operators' twins; no network. Results go to benchmarks/gpu/NAME.md, named
after the gpu: for each kernel and operator its cases, the largest difference from the cpu in units of the tolerance, and
the time of a call; for each training the difference from MXNet's losses; then how fast larger things are, beside PyTorch
where it is installed. The exit status is 0 when everything
agreed, 1 when something did not, 2 when there is no gpu or no compiler. --emulated runs the same on the emulated device,
to test this script.

Every item runs in a worker process, which is started again when an item takes it down: an illegal access ends a CUDA
context, but not the sweep.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import selectors
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 120  # seconds without a word from the worker before it is taken for stuck
STEPS = 20  # of each recorded training


def main() -> int:
    options = arguments()
    if options.work:
        work(options.work)
        return 0
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    if options.emulated:
        environment["MINIMX_EMULATE"] = "1"
    else:
        environment.pop("MINIMX_EMULATE", None)
        environment["MINIMX_REAL_GPU"] = "1"
        if not options.no_build and not build():
            return 2
    found = describe_gpu(environment)
    if found is None:
        print("There is no gpu here that minimx can use: the kernels were compiled, nothing was run.")
        return 2
    results = sweep(environment)
    out = Path(
        options.out or ROOT / "benchmarks" / "gpu" / f"{re.sub(r'[^a-z0-9]+', '-', found.lower()).strip('-')}.md"
    )
    text = report(found, results)
    out.write_text(text)
    print(text)
    print(f"written to {out}")
    return 0 if all(r["error"] is not None and r["error"] <= 1 for r in results if "error" in r) else 1


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--no-build", action="store_true", help="use what is built already")
    parser.add_argument("--emulated", action="store_true", help="run on the emulated device")
    parser.add_argument("--out", help="where the table goes")
    parser.add_argument("--work", help=argparse.SUPPRESS)  # the items a worker process still has to run
    return parser.parse_args()


def build() -> bool:
    if not (os.environ.get("NVCC") or shutil.which("nvcc") or Path("/usr/local/cuda/bin/nvcc").exists()):
        print(
            "There is no nvcc here: nothing was built, nothing was run. Set NVCC to its path if it is somewhere else."
        )
        return False
    environment = {**os.environ, "MINIMX_CUDA": "1"}
    capability = ask_driver("compute_cap")
    if capability and "MINIMX_CUDA_ARCHS" not in environment:
        environment["MINIMX_CUDA_ARCHS"] = capability.replace(".", "")
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "setup.py", "-q", "build_ext", "--inplace"], cwd=ROOT, env=environment)
    print(f"built in {time.perf_counter() - start:.0f} s", flush=True)
    return done.returncode == 0


def ask_driver(field: str) -> str:
    """A fact about the first gpu from nvidia-smi, or nothing where that is missing."""
    if not shutil.which("nvidia-smi"):
        return ""
    command = ["nvidia-smi", f"--query-gpu={field}", "--format=csv,noheader", "--id=0"]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout.strip().split("\n")[0] if done.returncode == 0 else ""


def describe_gpu(environment: dict[str, str]) -> str | None:
    code = "import minimx as mx; print(mx.num_gpus())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    if done.returncode or int(done.stdout or 0) == 0:
        print(done.stderr, end="")
        return None
    return "emulated" if "MINIMX_EMULATE" in environment else ask_driver("name") or "gpu"


# ---- the items, in the worker process ---------------------------------------------------------------------------------


def items() -> dict[str, Callable[[], dict[str, Any]]]:
    """Everything there is to run, by name; each gives its error in tolerances and its time in seconds."""
    sys.path.insert(0, str(ROOT / "tests"))
    from gpu.kernel_cases import all_cases

    found: dict[str, Callable[[], dict[str, Any]]] = {}
    for i, case in enumerate(all_cases()):
        found[f"kernel {case.kernel} {i}"] = lambda case=case: run_kernel(case)
    try:
        import cases
        import recorded
        from gpu import sweep
    except ImportError as error:
        print(f"The operators are left out: {error}.", file=sys.stderr)
        return found
    for i, case in enumerate(cases.all_cases()):
        found[f"operator {case.op} {i}"] = lambda case=case: run_operator(sweep, case)
    for name in recorded.RUNS:
        found[f"training {name} 0"] = lambda name=name: run_training(sweep, name)
    if "MINIMX_EMULATE" not in os.environ:
        found.update(speeds(sweep))
    return found


def work(wanted: str) -> None:
    from minimx.base import DeviceError

    todo = items()
    if wanted == "list":
        print(json.dumps(list(todo)))
        return
    names = list(todo)
    for name in names[names.index(wanted) :]:
        print(json.dumps({"start": name}), flush=True)
        try:
            result = todo[name]()
        except DeviceError as error:
            result = {"left_out": str(error)}
        except Exception as error:
            result = {"error": None, "message": f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"}
        print(json.dumps({"name": name, **result}), flush=True)
        if "CUDA" in result.get("message", ""):
            sys.exit(1)  # the context is beyond use


def run_kernel(case: Any) -> dict[str, Any]:
    from minimx import _core

    gpu, cpu = _core.device("gpu", 0), _core.device("cpu", 0)
    pairs = zip(case.run(gpu), case.run(cpu), strict=True)
    return {"error": max(case.error(got, want) for got, want in pairs), "seconds": time_kernel(case, gpu)}


def time_kernel(case: Any, device: Any) -> float:
    """Seconds of a call, from a program that makes many in a row."""
    from minimx import _core

    program = _core.Program()
    slots = []
    for operand in case.operands:
        slots.append(-1)
        if operand is not None:
            slots[-1] = program.add_bound(device)
            storage = _core.Storage(device, max(operand.nbytes, 1))
            if operand.nbytes:
                _core.copy_in(storage, 0, operand)
            program.bind(slots[-1], storage, 0)
    calls = 2 if "MINIMX_EMULATE" in os.environ else 50
    for _ in range(calls):
        program.add_call(device, case.kernel, case.args, slots)
    program.seal([], None)
    return clock(lambda: program.run(0, calls), device.wait, 3) / calls


def clock(run: Callable[[], Any], wait: Callable[[], Any], rounds: int) -> float:
    """The best time of a run, after one to warm up."""
    times = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        run()
        wait()
        times.append(time.perf_counter() - start)
    return min(times[1:])


def run_operator(sweep: Any, case: Any) -> dict[str, Any]:
    import minimx as mx

    got, want = sweep.operator_results(case, mx.gpu(0)), sweep.operator_results(case, mx.cpu())
    executor = sweep.bound_operator(case, mx.gpu(0))[0].executor
    seconds = clock(lambda: executor.forward(is_train=False), mx.gpu(0).device.wait, 3)
    return {"error": sweep.operator_error(case, got, want), "seconds": seconds}


def run_training(sweep: Any, name: str) -> dict[str, Any]:
    import minimx as mx

    steps = 2 if "MINIMX_EMULATE" in os.environ else STEPS
    start = time.perf_counter()
    error = sweep.training_error(name, steps, mx.gpu(0))
    return {"error": error, "seconds": (time.perf_counter() - start) / steps}


def speeds(sweep: Any) -> dict[str, Callable[[], dict[str, Any]]]:
    """Larger sizes, for the time alone: operations per second, or bytes moved."""
    import minimx as mx

    def measure(run: Callable[[], Any], amount: float, unit: str, torch_run: Callable[[Any], Any]) -> dict[str, Any]:
        wait = mx.gpu(0).device.wait

        def ten() -> None:
            for _ in range(10):
                run()

        result = {"rate": 10 * amount / clock(ten, wait, 5), "unit": unit}
        try:
            import torch
        except ImportError:
            return result
        peer = torch_run(torch)
        result["peer"] = 10 * amount / clock(lambda: [peer() for _ in range(10)], torch.cuda.synchronize, 5)
        return result

    def product(n: int) -> dict[str, Any]:
        a = mx.nd.ones((n, n), ctx=mx.gpu(0))

        def peer(torch: Any) -> Callable[[], Any]:
            b = torch.ones(n, n, device="cuda")
            return lambda: b @ b

        return measure(lambda: mx.nd.dot(a, a), 2 * n**3 / 1e12, "TFLOP/s", peer)

    def memory(n: int, ours: Callable[[Any], Any], theirs: Callable[[Any], Any], passes: int) -> dict[str, Any]:
        a = mx.nd.ones((n, n), ctx=mx.gpu(0))

        def peer(torch: Any) -> Callable[[], Any]:
            b = torch.ones(n, n, device="cuda")
            return lambda: theirs(b)

        return measure(lambda: ours(a), 4 * passes * n * n / 1e9, "GB/s", peer)

    def training() -> dict[str, Any]:
        net = sweep.LeNet(100, mx.gpu(0))
        return {"rate": 100 / clock(net.step, mx.gpu(0).device.wait, 20), "unit": "images/s"}

    return {
        "speed product of 1024x1024 float32": lambda: product(1024),
        "speed product of 4096x4096 float32": lambda: product(4096),
        "speed tanh of 8192x8192": lambda: memory(8192, mx.nd.tanh, lambda b: b.tanh(), 2),
        "speed transpose of 8192x8192": lambda: memory(8192, mx.nd.transpose, lambda b: b.t().contiguous(), 2),
        "speed softmax of 8192x8192": lambda: memory(8192, mx.nd.softmax, lambda b: b.softmax(1), 2),
        "speed sum over rows of 8192x8192": lambda: memory(8192, lambda a: mx.nd.sum(a, axis=1), lambda b: b.sum(1), 1),
        "speed sum over columns of 8192x8192": lambda: memory(
            8192, lambda a: mx.nd.sum(a, axis=0), lambda b: b.sum(0), 1
        ),
        "speed LeNet training, batch 100": training,
    }


# ---- the sweep and its table, in the parent ---------------------------------------------------------------------------


def sweep(environment: dict[str, str]) -> list[dict[str, Any]]:
    command = [sys.executable, str(Path(__file__).resolve()), "--work"]
    listing = subprocess.run([*command, "list"], env=environment, capture_output=True, text=True)
    print(listing.stderr, end="")
    if listing.returncode:
        raise SystemExit("the list of kernels and operators could not be made")
    names = json.loads(listing.stdout)
    results = []
    while len(results) < len(names):
        last = None
        for line in worker_lines([*command, names[len(results)]], environment):
            if "name" in line:
                results.append(line)
            last = line
            if len(results) == len(names):
                break
        if last is None:
            raise SystemExit("the worker does not start")
        if len(results) < len(names) and "start" in last:
            results.append({"name": names[len(results)], "error": None, "message": "the worker died or was stuck"})
    return results


def worker_lines(command: list[str], environment: dict[str, str]) -> Iterator[dict[str, Any]]:
    worker = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    selector = selectors.DefaultSelector()
    selector.register(worker.stdout, selectors.EVENT_READ)
    try:
        while selector.select(PATIENCE):
            line = worker.stdout.readline()
            if not line:
                return
            yield json.loads(line)
    finally:
        worker.kill()
        worker.wait()


def report(gpu: str, results: list[dict[str, Any]]) -> str:
    checked = [r for r in results if "error" in r]
    good = [r for r in checked if r["error"] is not None and r["error"] <= 1]
    lines = [
        f"# {gpu}",
        "",
        f"{len(good)} of {len(checked)} cases agree. Made by `make gpu-test`, {time.strftime('%Y-%m-%d')}.",
        "An error of 1 is the tolerance. The time is the median over the cases, which are small: of a call of a kernel, of",
        "a forward pass of an operator, of a step of a training.",
    ]
    for kind in ("kernel", "operator", "training"):
        groups: dict[str, list[dict[str, Any]]] = {}
        for r in checked:
            if r["name"].startswith(kind + " "):
                groups.setdefault(r["name"].split(" ")[1], []).append(r)
        if groups:
            lines += ["", f"| {kind} | cases | result | largest error | time (us) |", "|---|---:|---|---:|---:|"]
            lines += [row(name, group) for name, group in sorted(groups.items())]
    left_out = sorted({r["left_out"] for r in results if "left_out" in r})
    if left_out:
        lines += ["", "Left out, because the gpu has no kernel for it:", "", *(f"* {text}" for text in left_out)]
    rates = [r for r in results if "rate" in r]
    if rates:
        lines += ["", "| speed | minimx | PyTorch | unit |", "|---|---:|---:|---|"]
        for r in rates:
            peer = f"{r['peer']:,.1f}" if "peer" in r else ""
            lines.append(f"| {r['name'].removeprefix('speed ')} | {r['rate']:,.1f} | {peer} | {r['unit']} |")
    return "\n".join(lines) + "\n"


def row(name: str, group: list[dict[str, Any]]) -> str:
    failed = [r for r in group if r["error"] is None or not r["error"] <= 1]
    result = "ok" if not failed else f"{len(failed)} failed: {failed[0].get('message', 'different numbers')}"
    errors = [r["error"] for r in group if r["error"] is not None]
    times = [r["seconds"] for r in group if "seconds" in r]
    error = f"{max(errors):.2g}" if errors else ""
    return (
        f"| {name} | {len(group)} | {result} | {error} | {f'{1e6 * statistics.median(times):.1f}' if times else ''} |"
    )


if __name__ == "__main__":
    sys.exit(main())
