"""Operators one by one on large arrays, in GB/s of what has to be read and written, or GFLOP/s.

    python benchmarks/ops.py [--only sort,take] [--rounds 3] [--seconds 0.1] [--json FILE]

An operator that takes more than 1.3 times as long as the faster peer is marked with `<<<`. minimx and MXNet are called alike
(ops_mxnet.py), the calls of PyTorch are in ops_torch.py.
"""

from __future__ import annotations

import harness
from harness import Row

SLOW = 1.3
WHO = ("minimx", "mxnet", "torch")
WIDE, ROWS, LONG, MANY = (1024, 4096), (4096, 1000), (1 << 20,), (10000, 100)
IMAGES, STEPS = (16, 64, 56, 56), (50, 64, 512)

# family -> operator: shape, bytes per element of the shape that are read and written
MEMORY = {
    "elementwise": {
        **{
            op: (WIDE, 8) for op in ("exp", "log", "tanh", "sigmoid", "erf", "gammaln", "sqrt", "clip", "x**1.5", "x*2")
        },
        **{op: (WIDE, 12) for op in ("add", "maximum", "x > y")},
        "where": (WIDE, 16),
        "to float16": (WIDE, 6),
        "to float64": (WIDE, 12),
    },
    "reduction": {
        **{op: (WIDE, 4) for op in ("sum rows", "sum columns", "max rows", "argmax rows", "argmax columns", "norm")},
        "cumsum rows": (WIDE, 8),
        "cumsum columns": (WIDE, 8),
    },
    "softmax": {"softmax rows": (WIDE, 8), "softmax columns": (WIDE, 8), "log_softmax rows": (WIDE, 8)},
    "rearrangement": {
        "transpose": (WIDE, 8),
        "transpose bytes": (WIDE, 2),
        "swap inner axes": ((32, 32, 64, 64), 8),
        "concat": (WIDE, 16),
        "slice": (WIDE, 4),
        "tile": (WIDE, 12),
        "repeat": (WIDE, 12),
        "flip": (WIDE, 8),
        "pad": ((32, 32, 64, 64), 8),
    },
    "index": {
        "take rows": (WIDE, 8),
        "take numbers": (LONG, 12),
        "gather_nd": (LONG, 12),
        "pick": (ROWS, 0.008),
        "one_hot": (ROWS, 4),
        "embedding gradient": (WIDE, 8),
    },
    "sort": {
        "sort": (LONG, 8),
        "argsort": (LONG, 8),
        "sort rows": (ROWS, 8),
        "argsort short rows": (MANY, 8),
        "topk 5 of rows": (ROWS, 4),
        "topk 100": (LONG, 4),
    },
    "random": {
        "uniform": (LONG, 4),
        "normal": (LONG, 4),
        "gamma": (LONG, 4),
        "shuffle": (LONG, 8),
        "multinomial": (MANY, 4),
    },
    "update": {"sgd_mom_update": (WIDE, 20), "adam_update": (WIDE, 28)},
    "activation": {**{op: (WIDE, 8) for op in ("relu", "leaky relu", "gelu", "softsign", "dropout")}},
    "pooling": {**{op: (IMAGES, 5) for op in ("max pool", "average pool")}, "global average pool": (IMAGES, 4)},
    "normalisation": {
        "batch norm": (IMAGES, 8),
        "layer norm": (WIDE, 8),
        "instance norm": (IMAGES, 8),
        "local response": (IMAGES, 8),
        "l2 normalisation": (WIDE, 8),
    },
    "loss": {"softmax output": (ROWS, 8), "smooth l1": (WIDE, 8), "ctc loss": ((50, 64, 40), 4)},
    "sequence": {**{op: (STEPS, 8) for op in ("sequence mask", "sequence reverse")}, "sequence last": (STEPS, 0.16)},
    "image": {
        "resize": (IMAGES, 20),
        "upsample": (IMAGES, 20),
        "sample on a grid": (IMAGES, 8),
        "roi pool": (IMAGES, 4),
        "roi align": (IMAGES, 4),
        "box iou": ((1000, 1000), 4),
    },
    "density": {"normal density": (WIDE, 8)},
    "creation": {"zeros": (WIDE, 4), "arange": (LONG, 4)},
}
# family -> operator: shape, multiplications and additions
ARITHMETIC = {
    "linalg": {
        "batch_dot": ((64, 128, 128), 2 * 64 * 128**3),
        "syrk": ((16, 256, 256), 2 * 16 * 256**3),
        "potrf": ((64, 128, 128), 64 * 128**3 / 3),
        "trsm": ((16, 256, 256), 16 * 256**3),
        "inverse": ((64, 64, 64), 2 * 64 * 64**3),
        "det": ((64, 64, 64), 64 * 64**3 * 2 / 3),
        "syevd": ((8, 64, 64), 9 * 8 * 64**3),
    },
    "network": {
        "fully connected": ((128, 2048), 2 * 128 * 2048 * 2048),
        "convolution": (IMAGES, 2 * 16 * 64 * 64 * 9 * 56 * 56),
        "deconvolution": ((16, 64, 28, 28), 2 * 16 * 64 * 64 * 16 * 28 * 28),
        "lstm": (STEPS, 2 * 50 * 64 * 4 * 512 * 1024),
        "attention scores": ((128, 8, 1536), 2 * 8 * 8 * 64 * 128 * 128),
    },
}


def size(shape: tuple[int, ...]) -> int:
    total = 1
    for n in shape:
        total *= n
    return total


def rows() -> list[Row]:
    made = []
    for family, operators in MEMORY.items():
        for op, (shape, each) in operators.items():
            work = {"kind": "operator", "op": op, "shape": shape}
            made.append(Row(f"{family}: {op}", work, WHO, "GB/s", size(shape) * each / 1e9, group="ops"))
    for family, operators in ARITHMETIC.items():
        for op, (shape, flops) in operators.items():
            work = {"kind": "operator", "op": op, "shape": shape}
            made.append(Row(f"{family}: {op}", work, WHO, "GFLOP/s", flops / 1e9, group="ops"))
    return made


def main() -> None:
    options = harness.parser(__doc__).parse_args()
    results, slow = [], []
    for row in harness.chosen(rows(), options):
        result = harness.compete(row, options.rounds, options.seconds)
        if result.get("ratio of best", 1) * SLOW < 1:
            result["note"] = "<<<"
            slow.append(row.name)
        harness.show(result)
        if result["note"]:
            print(f"    <<< {1 / result['ratio of best']:.1f} times as long as the faster peer", flush=True)
        results.append(result)
    print("\n" + harness.markdown(results))
    print(f"\nslower than the faster peer by more than {SLOW}: {', '.join(slow) or 'nothing'}")
    if options.json:
        harness.write(options.json, results)


if __name__ == "__main__":
    main()
