"""Which of MXNet's operators are here: `python -m minimx.tools.operators [--all]` counts the public names of MXNet 1.9.1
(operators.txt beside this file) that minimx answers to, and says of each of the others why it does not."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from .. import ops  # noqa: F401  (registers every operator)
from ..op import REGISTRY

# The first that matches the whole name counts.
REASONS = (
    (
        r"_backward_.*|_contrib_backward_.*|_split_v2_backward|_broadcast_backward",
        "gradients are made of other operators",
    ),
    (r"_NoGradient|_CachedOp.*|_CustomFunction", "a part of MXNet's engine that no program calls"),
    (r"_foreach|_while_loop|_cond", "control flow is written with mx.nd.contrib and mx.sym.contrib"),
    (r"_set_value", "x[:] = value does it"),
    (r"_cv.*|_imdecode", "images are read by mx.image, not by operators"),
    (r"_contrib_dgl_.*|_contrib_edge_id|_contrib_getnnz", "works on sparse arrays; arrays are dense here"),
    (
        r"_contrib_(quantize.*|dequantize|requantize|calibrate_entropy)",
        "arithmetic with quantised numbers is not offered",
    ),
)
NOT_YET = "not yet"


def public_names() -> list[str]:
    """The public operators of MXNet 1.9.1."""
    return Path(__file__).with_suffix(".txt").read_text().split()


def missing() -> dict[str, list[str]]:
    """Reason -> names that are not offered for it."""
    found: dict[str, list[str]] = {}
    for name in public_names():
        if name not in REGISTRY:
            found.setdefault(reason(name), []).append(name)
    return found


def reason(name: str) -> str:
    return next((why for pattern, why in REASONS if re.fullmatch(pattern, name)), NOT_YET)


def report(everything: bool = False) -> str:
    """The count, then the missing names by reason; with `everything` the offered names, too."""
    names, absent = public_names(), missing()
    count = len(names) - sum(map(len, absent.values()))
    lines = [f"{count} of {len(names)} public names offered"]
    for why, those in absent.items():
        lines += ["", f"{why}:", *(f"    {name}" for name in those)]
    if everything:
        lines += ["", "offered:"]
        for name in names:
            if name in REGISTRY:
                own = REGISTRY[name].name
                lines.append(f"    {name}" + (f" (as {own})" if own != name else ""))
    return "\n".join(lines)


def main(arguments: list[str]) -> None:
    if set(arguments) - {"--all"}:
        raise SystemExit(f"usage: python -m minimx.tools.operators [--all]; got {' '.join(arguments)}")
    print(report("--all" in arguments))


if __name__ == "__main__":
    main(sys.argv[1:])
