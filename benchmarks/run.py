"""Every benchmark beside the peers that are installed, one table at the end; figures go to benchmarks/results/.

    python benchmarks/run.py [networks gemm steps memory startup growth] [--only resnet50,vgg16] [--rounds 5] [--quick]

Peers live in environments of their own (`make bench-peers` makes mxnet, torch, jax and onnx in build/peers; MINIMX_PEERS names
another folder), because they need other versions of NumPy.
"""

from __future__ import annotations

import datetime
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gemm
import growth
import harness
import memory
import networks
import startup
import steps

KINDS: dict[str, Callable[[Any, Path], list[dict[str, Any]]]] = {
    "networks": lambda options, folder: harness.measure(networks.rows(folder), options),
    "gemm": lambda options, folder: harness.measure(gemm.rows(), options),
    "steps": lambda options, folder: harness.measure(steps.rows(folder), options),
    "memory": lambda options, folder: harness.measure(memory.rows(), options),
    "startup": lambda options, folder: startup.measured(options),
    "growth": lambda options, folder: growth.measured(options),
}


def main() -> None:
    parser = harness.parser(__doc__)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(KINDS)}; all when none is named")
    parser.add_argument("--quick", action="store_true", help="few and short rounds")
    options = parser.parse_args()
    if unknown := [k for k in options.kinds if k not in KINDS]:
        parser.error(f"there is no {', '.join(unknown)}; kinds are {', '.join(KINDS)}")
    if options.quick:
        options.rounds, options.seconds = min(options.rounds, 3), min(options.seconds, 0.2)
    names = dict.fromkeys(library for library, *_ in harness.CONTENDERS.values())
    print("here are:", ", ".join(n for n in names if harness.python_of(n)), flush=True)
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for kind in options.kinds or KINDS:
            print(f"\n{kind}", flush=True)
            results += KINDS[kind](options, Path(folder))
    table = [r for r in results if r.get("speeds")]
    if table:
        print("\n" + harness.markdown(table))
    missed = [r["row"] for r in table if r.get("ratio", 1) < 1]
    print(f"\nbehind the best peer: {', '.join(missed) or 'nothing'}")
    file = options.json or harness.HERE / "results" / f"{datetime.date.today().isoformat()}.json"
    harness.write(file, results)
    print(f"figures: {file}")


if __name__ == "__main__":
    main()
