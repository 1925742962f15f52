"""A contender's side of the harness: reads a piece of work, prepares it, runs steps, tells the time.

    python benchmarks/serve.py LIBRARY

Lines of JSON come in on the standard input, the work first; answers go out as lines that begin with `answer`.
"""

from __future__ import annotations

import importlib
import json
import resource
import sys
import time


def answer(**facts) -> None:
    print("answer", json.dumps(facts), flush=True)


def main() -> None:
    library = importlib.import_module(f"with_{sys.argv[1]}")
    work = json.loads(sys.stdin.readline())
    kind = work.pop("kind")
    make = getattr(library, kind, None)
    if make is None:
        raise SystemExit(f"nothing for {kind} with {sys.argv[1]}")
    run = make(**work)
    run(1)
    answer(check=getattr(run, "check", None))
    for line in sys.stdin:
        count = json.loads(line)["count"]
        start = time.perf_counter()
        run(count)
        seconds = time.perf_counter() - start
        answer(seconds=seconds, peak_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


if __name__ == "__main__":
    main()
