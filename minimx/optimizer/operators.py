"""Rules that are operators of mx.nd: their formulas are written down there (ops/update.py) and used here."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from ..op import find


def parameters(name: str, n: SimpleNamespace, limit: float, **constants: Any) -> Any:
    """The parameters of an update operator; what changes from update to update are values of the graph."""
    op = find(name)
    common: dict[str, Any] = {"lr": 0.0, "wd": 0.0, "clip_gradient": limit}
    p = op.parse({key: value for key, value in common.items() if key in op.params} | constants)
    return p._replace(**{key: getattr(n, key) for key in ("lr", "wd", "rescale_grad") if key in op.params})


def step(name: str, n: SimpleNamespace, limit: float, *operands: Any, **constants: Any) -> tuple[Any, ...]:
    """The new weight and the new states, as the update operator of that name gives them."""
    return find(name).step(parameters(name, n, limit, **constants), *operands)  # type: ignore[attr-defined]
