"""Rules that are operators of mx.nd: their formulas are written down there (ops/update.py) and used here."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from ..op import find


def parameters(name: str, n: SimpleNamespace, limit: float, **constants: Any) -> Any:
    """The parameters of an update operator; what changes from update to update are values of the graph."""
    op = find(name)
    given = {key: 0.0 for key in ("lr", "wd") if key in op.params}
    p = op.parse({**given, **constants, **({"clip_gradient": limit} if "clip_gradient" in op.params else {})})
    return p._replace(**{key: getattr(n, key) for key in ("lr", "wd", "rescale_grad") if key in op.params})


def step(name: str, n: SimpleNamespace, limit: float, *operands: Any, **constants: Any) -> tuple[Any, ...]:
    """The new weight and the new states, as the update operator of that name gives them."""
    return find(name).step(parameters(name, n, limit, **constants), *operands)  # type: ignore[attr-defined]
