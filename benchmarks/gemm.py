"""Matrix products in GFLOP/s, beside the peers and as a fraction of the multiply-add rate measured in between.

    python benchmarks/gemm.py [--only 1001] [--shapes 50x64x64,64x128x784:nt] [--dtype float64] [--json FILE]

A shape is m x n x k, and :nt multiplies by a transposed right side, as FullyConnected does. Results go to memory that is held.
"""

from __future__ import annotations

import harness
from harness import Row

SQUARES = (300, 501, 1001, 1501, 2001, 2501)
SHAPES = (*(f"{n}x{n}x{n}" for n in SQUARES), "64x128x784", "128x4096x25088", "64x128x784:nt", "128x4096x25088:nt")
CONTENDERS = ("minimx", "mxnet", "torch", "jax", "numpy")


def row(shape: str, dtype: str = "float32") -> Row:
    size, _, kind = shape.partition(":")
    m, n, k = map(int, size.split("x"))
    work = {"kind": "gemm", "m": m, "n": n, "k": k, "dtype": dtype}
    work |= {"trans_a": kind[:1] == "t", "trans_b": kind[1:] == "t"}
    flops = 2.0 * m * n * k
    title = f"gemm {size}" + (f" {kind}" if kind else "") + ("" if dtype == "float32" else f" {dtype}")
    return Row(title, work, CONTENDERS, "GFLOP/s", flops / 1e9, flops, "gemm")


def rows(shapes: tuple[str, ...] = SHAPES, dtype: str = "float32") -> list[Row]:
    return [row(shape, dtype) for shape in shapes]


def main() -> None:
    parser = harness.parser(__doc__)
    parser.add_argument("--shapes", default="", help="others than those of the table, MxNxK[:nn|nt|tn|tt]")
    parser.add_argument("--dtype", default="float32", choices=("float32", "float64"))
    options = parser.parse_args()
    shapes = tuple(s for s in options.shapes.split(",") if s) or SHAPES
    results = harness.measure(rows(shapes, options.dtype), options)
    if options.json:
        harness.write(options.json, results)


if __name__ == "__main__":
    main()
