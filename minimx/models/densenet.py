"""densenet: Huang et al. 2016, where every layer reads all layers before it."""

from __future__ import annotations

from .. import symbol as sym
from ..symbol import Symbol
from .plain import classified

# Channels before the first block, channels that a layer adds, layers of the four blocks.
_SHAPES = {
    121: (64, 32, (6, 12, 24, 16)),
    161: (96, 48, (6, 12, 36, 24)),
    169: (64, 32, (6, 12, 32, 32)),
    201: (64, 32, (6, 12, 48, 32)),
}


def densenet(num_classes: int = 1000, num_layers: int = 121) -> Symbol:
    """With 121, 161, 169 or 201 layers, for images of 224 pixels."""
    if num_layers not in _SHAPES:
        raise ValueError(f"densenet: num_layers must be one of {', '.join(map(str, _SHAPES))}, got {num_layers}")
    width, growth, blocks = _SHAPES[num_layers]
    x = _convolved(sym.Variable("data"), width, 7, "conv0", stride=2)
    x = sym.Pooling(_activated(x, "0"), kernel=(3, 3), stride=(2, 2), pad=(1, 1), pool_type="max", name="pool0")
    for b, layers in enumerate(blocks, 1):
        for i in range(1, layers + 1):
            name = f"block{b}_layer{i}"
            new = _convolved(_activated(x, f"{name}_1"), 4 * growth, 1, f"{name}_conv1")
            new = _convolved(_activated(new, f"{name}_2"), growth, 3, f"{name}_conv2")
            x = sym.Concat(x, new, name=f"{name}_concat")
        width += layers * growth
        if b < len(blocks):
            width //= 2
            x = _convolved(_activated(x, f"transition{b}"), width, 1, f"transition{b}_conv")
            x = sym.Pooling(x, kernel=(2, 2), stride=(2, 2), pool_type="avg", name=f"transition{b}_pool")
    x = sym.Pooling(_activated(x, "1"), kernel=(7, 7), global_pool=True, pool_type="avg", name="pool1")
    return classified(sym.Flatten(x, name="flatten"), num_classes, "fc1")


def _activated(x: Symbol, name: str) -> Symbol:
    x = sym.BatchNorm(x, fix_gamma=False, name=f"bn{name}" if name.isdigit() else f"{name}_bn")
    return sym.Activation(x, act_type="relu", name=f"relu{name}" if name.isdigit() else f"{name}_relu")


def _convolved(x: Symbol, filters: int, size: int, name: str, stride: int = 1) -> Symbol:
    return sym.Convolution(
        x,
        num_filter=filters,
        kernel=(size, size),
        stride=(stride, stride),
        pad=(size // 2, size // 2),
        no_bias=True,
        name=name,
    )
