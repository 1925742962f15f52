"""freeze: which parameters stay as they are when a network is trained further."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .base import GraphError, did_you_mean
from .module.inputs import label_arguments
from .symbol import Symbol
from .symbol_graph import Head, SymbolNode, depth_first, rebuild


class Frozen(NamedTuple):
    """The network to train, and what to give as `fixed_param_names`."""

    symbol: Symbol
    names: list[str]


def freeze(
    symbol: Symbol,
    up_to: str | Sequence[str] | None = None,
    batch_norm: bool = False,
    data_names: Sequence[str] = ("data",),
) -> Frozen:
    """Freezes the layers up to and including `up_to` (the name of a layer, several names, or None for all).

        net, fixed = mx.freeze(net, up_to="pool5", batch_norm=True)
        module = mx.mod.Module(net, fixed_param_names=fixed)

    With `batch_norm` the BatchNorms among them also keep their moving statistics, and use them in training: they compute
    what they will compute in predictions. The returned symbol has the same arguments and states.
    """
    nodes = depth_first(symbol._heads)
    layers = [up_to] if isinstance(up_to, str) else up_to
    if layers is None:
        inside = {id(node) for node in nodes}
    else:
        by_name = {node.name: node for node in nodes if node.op is not None}
        by_name |= {node.output_name(0): node for node in nodes if node.op is not None}
        for name in layers:
            if name not in by_name:
                known = ", ".join(n.name for n in nodes if n.op is not None)
                raise GraphError(
                    f"freeze: there is no layer {name!r}{did_you_mean(name, by_name) or f'; layers are {known}'}"
                )
        inside = {id(node) for node in depth_first([(by_name[name], 0) for name in layers])}
    inputs = {*data_names, *label_arguments(symbol)}
    arguments = set(symbol.list_arguments())
    names = [n.name for n in nodes if id(n) in inside and n.op is None and n.name in arguments and n.name not in inputs]
    if not batch_norm:
        return Frozen(symbol, names)

    stopped = {n for n in nodes if id(n) in inside and n.op is not None and "use_global_stats" in n.op.params}

    def change(node: SymbolNode, given: tuple[Head, ...]) -> Sequence[Head] | None:
        if node not in stopped:
            return None
        attrs = {**node.attrs, "use_global_stats": "True"}
        made = SymbolNode(node.op, node.name, attrs, node.params._replace(use_global_stats=True), given)
        return [(made, i) for i in range(made.output_count)]

    return Frozen(Symbol(rebuild(symbol._heads, change)), names)
