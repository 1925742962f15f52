"""A contender's side of the harness: reads a piece of work, prepares it, runs steps, tells the time.

    python benchmarks/serve.py LIBRARY

Lines of JSON come in on the standard input, the work first; answers go out as lines that begin with `answer`. The most memory
that the process has taken goes with every answer, and that of the import alone with the first.
"""

from __future__ import annotations

import importlib
import json
import resource
import sys
import time


def answer(**facts) -> None:
    print("answer", json.dumps(facts), flush=True)


def peak_bytes() -> int:
    """The most memory the process has held. What getrusage says is at least what its parent held when it started it."""
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) * 1024
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    library = importlib.import_module(f"with_{sys.argv[1]}")
    imported = peak_bytes()
    work = json.loads(sys.stdin.readline())
    kind = work.pop("kind")
    make = getattr(library, kind, None)
    if make is None:
        raise SystemExit(f"nothing for {kind} with {sys.argv[1]}")
    run = make(**work)
    run(1)
    answer(check=getattr(run, "check", None), import_bytes=imported)
    for line in sys.stdin:
        count = json.loads(line)["count"]
        start = time.perf_counter()
        run(count)
        seconds = time.perf_counter() - start
        held = library.held_bytes() if hasattr(library, "held_bytes") else None
        answer(seconds=seconds, peak_bytes=peak_bytes(), held_bytes=held)


if __name__ == "__main__":
    main()
