"""What memory limits: one pass over large arrays, in GB/s of what has to be read and written.

    python benchmarks/memory.py [--only softmax] [--size 33554432] [--json FILE]

Once into memory that is already held (`out=`, or a bound executor), once with fresh results, one call after the other.
"""

from __future__ import annotations

import harness
from harness import Row

HELD = ("minimx", "mxnet", "torch", "torch compiled", "jax", "numpy")
SIZE = 1 << 25


def rows(size: int = SIZE) -> list[Row]:
    shapes = {
        "a*x+b": (size // 4096, 4096),
        "broadcast add": (size // 4096, 4096),
        "sum": (size // 4096, 4096),
        "softmax": (1024, 10000),
        "transpose": (4096, 4096),
    }
    made = []
    for held in (True, False):
        for op, shape in shapes.items():
            if op == "sum" and not held:
                continue  # its result is one number
            moved = shape[0] * shape[1] * 4 * (1 if op == "sum" else 2)
            title = f"{op} {shape[0]}x{shape[1]}, {'memory held' if held else 'fresh results'}"
            work = {"kind": "array", "op": op, "shape": shape, "held": held}
            made.append(Row(title, work, HELD, "GB/s", moved / 1e9, group="memory"))
    return made


def main() -> None:
    parser = harness.parser(__doc__)
    parser.add_argument("--size", type=int, default=SIZE, help="elements of the arrays of the first three")
    options = parser.parse_args()
    results = harness.measure(rows(options.size), options)
    if options.json:
        harness.write(options.json, results)


if __name__ == "__main__":
    main()
