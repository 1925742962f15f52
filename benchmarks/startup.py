"""How long one waits for the first results, and what an installation takes on the disk.

    python benchmarks/startup.py [--only import] [--rounds 5] [--json FILE]

Every figure is of fresh processes: from before the interpreter starts until the work is done, and the part of it that is the
import alone. The first batch is one step of LeNet's training with 100 images (inference where a library cannot train). Sizes
are of the files that a library and what it requires have installed, NumPy left out.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import harness
import networks

MODULES = {"minimx": "minimx", "mxnet": "mxnet", "torch": "torch", "onnxruntime": "onnxruntime", "jax": "jax"}

IMPORT = """
import time
start = time.perf_counter()
import {module}
print(time.perf_counter() - start)
"""

FIRST_BATCH = """
import json, sys
sys.path.insert(0, {folder!r})
import with_{library} as library
work = json.load(open({file!r}))
if hasattr(library, "train"):
    library.train(**work, checked=False)(1)
else:
    library.infer(work["symbol"], work["shapes"])
"""

SIZE = """
import importlib.metadata as metadata, os, re
seen, total = set(), 0
todo = [{module!r}]
while todo:
    name = re.sub(r"[-_.]+", "-", todo.pop()).lower()
    if name in seen or name in ("numpy", "pip", "setuptools"):
        continue
    seen.add(name)
    try:
        found = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        continue
    total += sum(f.locate().stat().st_size for f in found.files or () if f.locate().is_file())
    for needed in found.requires or ():
        if "extra ==" not in needed:
            todo.append(re.match(r"[A-Za-z0-9._-]+", needed).group())
print(total)
"""


def wall(python: str, script: str) -> tuple[float, str]:
    """Seconds of a process, and what it said."""
    environment = {**os.environ, "PYTHONPATH": str(harness.ROOT)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # installed packages have their bytecode
    start = time.perf_counter()
    done = subprocess.run([python, "-c", script], capture_output=True, text=True, env=environment)
    seconds = time.perf_counter() - start
    if done.returncode:
        raise harness.Absent(done.stderr.strip().splitlines()[-1])
    return seconds, done.stdout.strip()


def contenders(options) -> dict[str, str]:
    """Those that are installed, with their interpreters."""
    wanted = [c for c in options.contenders.split(",") if c] or list(MODULES)
    found = {name: harness.python_of(harness.CONTENDERS[name][0]) for name in wanted if name in MODULES}
    return {name: python for name, python in found.items() if python}


def own_size() -> int:
    """Of the package in this checkout, as an installation has it."""
    files = (harness.ROOT / "minimx").rglob("*")
    return sum(f.stat().st_size for f in files if f.is_file() and "__pycache__" not in f.parts)


def row(name: str, unit: str, found: dict[str, list[float]], absent: dict[str, str], note: str = "") -> dict:
    """Seconds or bytes: less is better, so the ratio is what the best peer takes over what minimx takes."""
    result = {"row": name, "group": "startup", "unit": unit, "note": note, "absent": absent, "disagree": []}
    result["speeds"] = {n: {"median": statistics.median(v), "best": min(v)} for n, v in found.items()}
    peers = {n: s for n, s in result["speeds"].items() if n != "minimx"}
    if "minimx" in found and peers:
        best = result["best peer"] = min(peers, key=lambda n: peers[n]["median"])
        result["ratio"] = peers[best]["median"] / result["speeds"]["minimx"]["median"]
        result["ratio of best"] = min(s["best"] for s in peers.values()) / result["speeds"]["minimx"]["best"]
    harness.show(result)
    return result


def measured(options) -> list[dict]:
    who = contenders(options)
    results = []
    with tempfile.TemporaryDirectory() as folder:
        entry = networks.row(Path(folder), "lenet", "train", 100)
        file = Path(folder) / "work.json"
        file.write_text(json.dumps({k: v for k, v in entry.work.items() if k != "kind"}))
        scripts = {
            "import, whole process": lambda n: IMPORT.format(module=MODULES[n]),
            "import": lambda n: IMPORT.format(module=MODULES[n]),
            "first LeNet batch, whole process": lambda n: FIRST_BATCH.format(
                folder=str(harness.HERE), library=harness.CONTENDERS[n][0], file=str(file)
            ),
        }
        for title, script in scripts.items():
            if options.only and not any(w in title for w in options.only.split(",")):
                continue
            times: dict[str, list[float]] = {}
            absent: dict[str, str] = {}
            for round_ in range(options.rounds + 1):
                for name, python in who.items():
                    try:
                        seconds, said = wall(python, script(name))
                    except harness.Absent as why:
                        absent[name] = str(why)
                        continue
                    if round_:  # the first one brings files into memory
                        times.setdefault(name, []).append(float(said) if title == "import" else seconds)
            results.append(row(title, "s", times, absent))
    if not options.only or "size" in options.only:
        sizes = {}
        for name, python in who.items():
            sizes[name] = [
                own_size() if name == "minimx" else float(wall(python, SIZE.format(module=MODULES[name]))[1])
            ]
        results.append(row("installed size beyond NumPy", "MB", {n: [s[0] / 1e6] for n, s in sizes.items()}, {}))
    return results


def main() -> None:
    options = harness.parser(__doc__).parse_args()
    results = measured(options)
    if options.json:
        harness.write(options.json, results)


if __name__ == "__main__":
    sys.exit(main())
