"""Every benchmark, one after the other, with the peers that are installed; figures go to benchmarks/results/.

    python benchmarks/run.py [--peers DIRECTORY] [--out FILE] [--quick]

Peers live in virtual environments of their own (`make bench-peers` makes them in build/peers: mxnet, torch, jax), because they
need other versions of NumPy. PyTorch and JAX run in one process with minimx, MXNet in its own, taking turns in every round.
"""

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent


def machine() -> dict[str, str]:
    model = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        model = next((line.split(":")[1].strip() for line in info.open() if line.startswith("model name")), model)
    return {"cpu": model, "cores": str(len(os.sched_getaffinity(0))), "system": platform.platform()}


def run(python: str, script: str, *arguments: str) -> object:
    """The figures that a benchmark writes as JSON; what it prints goes to the terminal."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "figures.json"
        command = [python, str(ROOT / "benchmarks" / script), *arguments, "--json", str(file)]
        print("$", "python", f"benchmarks/{script}", *arguments, flush=True)
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        subprocess.run(command, check=True, env=environment, cwd=ROOT)
        return {
            "command": f"python benchmarks/{script} {' '.join(arguments)}".strip(),
            "figures": json.loads(file.read_text()),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", type=Path, default=ROOT / "build/peers", help="folder with the peers' environments")
    parser.add_argument("--out", type=Path, help="default: benchmarks/results/DATE.json")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    options = parser.parse_args()
    peers = {
        name: str(python)
        for name in ("mxnet", "torch", "jax")
        if (python := options.peers / name / "bin/python").exists()
    }
    print("peers:", ", ".join(peers) or "none but NumPy")
    results = {"date": datetime.date.today().isoformat(), "machine": machine(), "benchmarks": []}
    rounds = ("--rounds", "5") if options.quick else ()
    beside = [f"--{name}={peers[name]}" for name in ("mxnet", "torch") if name in peers]
    todo = [(sys.executable, "lenet.py", *rounds, *beside)]
    for python in dict.fromkeys([peers.get("torch", sys.executable), peers.get("jax", sys.executable)]):
        todo.append((python, "gemm.py", "--peers", *(("--seconds", "0.3") if options.quick else ())))
    todo.append((peers.get("torch", sys.executable), "overhead.py"))
    for entry in todo:
        results["benchmarks"].append(run(*entry))
    out = options.out or ROOT / "benchmarks/results" / f"{results['date']}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(results, indent=1)
    for python in peers.values():  # paths of this machine mean nothing elsewhere
        text = text.replace(python, "PYTHON")
    out.write_text(text + "\n")
    print(f"figures: {out}")


if __name__ == "__main__":
    main()
