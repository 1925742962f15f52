"""`python -m minimx.tools.rec2idx FILE.rec [FILE.idx]` writes the index of a file of records, with numbers as keys."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..recordio import build_index


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="rec2idx", description="Writes the index of a file of records.")
    parser.add_argument("record", help="the file of records")
    parser.add_argument("index", nargs="?", help="the file to write; by default beside the records, ending in .idx")
    chosen = parser.parse_args(arguments)
    index = chosen.index or str(Path(chosen.record).with_suffix(".idx"))
    try:
        count = build_index(chosen.record, index)
    except (OSError, ValueError) as error:
        parser.exit(1, f"rec2idx: {error}\n")
    print(f"{index}: {count} records")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
