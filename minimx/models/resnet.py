"""Residual networks: He et al. 2015 (`version=1`) and 2016 with activations before the weights (`version=2`)."""

from __future__ import annotations

from .. import symbol as sym
from ..symbol import Symbol
from .plain import classified

# Units of the four stages for images of 224 pixels, by the number of layers with weights.
_UNITS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
    200: (3, 24, 36, 3),
    269: (3, 30, 48, 8),
}
_EPS = 2e-5


def resnet(
    num_classes: int = 1000,
    num_layers: int = 50,
    image_shape: tuple[int, int, int] = (3, 224, 224),
    version: int = 2,
    momentum: float = 0.9,
) -> Symbol:
    """A residual network. Images of up to 32 pixels make it one for CIFAR: num_layers = 6 n + 2, or 9 n + 2 from 164 on."""
    if version not in (1, 2):
        raise ValueError(f"resnet: version must be 1 or 2, got {version}")
    small = image_shape[1] <= 32
    units, filters, bottleneck = _cifar_stages(num_layers) if small else _stages(num_layers)
    x = sym.Variable("data")
    if version == 2:
        x = sym.BatchNorm(x, fix_gamma=True, eps=_EPS, momentum=momentum, name="bn_data")
    if small:
        x = _convolved(x, filters[0], 3, 1, "conv0")
    else:
        x = _convolved(x, filters[0], 7, 2, "conv0")
        x = _activated(_normalized(x, momentum, "bn0"), "relu0")
        x = sym.Pooling(x, kernel=(3, 3), stride=(2, 2), pad=(1, 1), pool_type="max", name="pool0")
    if version == 1 and small:
        x = _activated(_normalized(x, momentum, "bn0"), "relu0")
    unit = _unit if version == 2 else _unit_v1
    for stage, (count, width) in enumerate(zip(units, filters[1:], strict=True), 1):
        for i in range(1, count + 1):
            stride = 2 if stage > 1 and i == 1 else 1
            same = i > 1 or (stride == 1 and width == filters[0])
            # As in MXNet's examples, the first unit of a stage of version 2 always has weights in its shortcut.
            same = same and (version == 1 or i > 1)
            x = unit(x, width, stride, same, bottleneck, momentum, f"stage{stage}_unit{i}")
    if version == 2:
        x = _activated(_normalized(x, momentum, "bn1"), "relu1")
    x = sym.Pooling(x, global_pool=True, kernel=(7, 7), pool_type="avg", name="pool1")
    return classified(sym.Flatten(x, name="flatten"), num_classes, "fc1")


def _stages(num_layers: int) -> tuple[tuple[int, ...], list[int], bool]:
    if num_layers not in _UNITS:
        raise ValueError(f"resnet: num_layers must be one of {', '.join(map(str, _UNITS))}, got {num_layers}")
    bottleneck = num_layers >= 50
    wide = 4 if bottleneck else 1
    return _UNITS[num_layers], [64, 64 * wide, 128 * wide, 256 * wide, 512 * wide], bottleneck


def _cifar_stages(num_layers: int) -> tuple[tuple[int, ...], list[int], bool]:
    if num_layers >= 164 and (num_layers - 2) % 9 == 0:
        return (((num_layers - 2) // 9),) * 3, [16, 64, 128, 256], True
    if num_layers < 164 and num_layers > 2 and (num_layers - 2) % 6 == 0:
        return (((num_layers - 2) // 6),) * 3, [16, 16, 32, 64], False
    raise ValueError(f"resnet: num_layers for small images must be 6 n + 2, or 9 n + 2 from 164 on, got {num_layers}")


def _convolved(x: Symbol, filters: int, size: int, stride: int, name: str) -> Symbol:
    pad = size // 2
    return sym.Convolution(
        x,
        num_filter=filters,
        kernel=(size, size),
        stride=(stride, stride),
        pad=(pad, pad),
        no_bias=True,
        name=name,
    )


def _normalized(x: Symbol, momentum: float, name: str) -> Symbol:
    return sym.BatchNorm(x, fix_gamma=False, eps=_EPS, momentum=momentum, name=name)


def _activated(x: Symbol, name: str) -> Symbol:
    return sym.Activation(x, act_type="relu", name=name)


def _branch(filters: int, stride: int, bottleneck: bool, strided: int) -> list[tuple[int, int, int]]:
    """Filters, size and stride of a unit's convolutions; number `strided` of a bottleneck has the stride."""
    if not bottleneck:
        return [(filters, 3, stride), (filters, 3, 1)]
    sizes = [(filters // 4, 1), (filters // 4, 3), (filters, 1)]
    return [(n, size, stride if i == strided else 1) for i, (n, size) in enumerate(sizes)]


def _unit(x: Symbol, filters: int, stride: int, same: bool, bottleneck: bool, momentum: float, name: str) -> Symbol:
    """Normalize, activate, convolve, two or three times; the shortcut starts after the first activation."""
    y = x
    shortcut = x
    for i, (n, size, step) in enumerate(_branch(filters, stride, bottleneck, strided=1), 1):
        y = _activated(_normalized(y, momentum, f"{name}_bn{i}"), f"{name}_relu{i}")
        if i == 1 and not same:
            shortcut = _convolved(y, filters, 1, stride, f"{name}_sc")
        y = _convolved(y, n, size, step, f"{name}_conv{i}")
    return y + shortcut


def _unit_v1(x: Symbol, filters: int, stride: int, same: bool, bottleneck: bool, momentum: float, name: str) -> Symbol:
    """Convolve, normalize, activate, two or three times; the last activation comes after the sum."""
    y = x
    branch = _branch(filters, stride, bottleneck, strided=0)
    for i, (n, size, step) in enumerate(branch, 1):
        y = _normalized(_convolved(y, n, size, step, f"{name}_conv{i}"), momentum, f"{name}_bn{i}")
        if i < len(branch):
            y = _activated(y, f"{name}_relu{i}")
    shortcut = x
    if not same:
        shortcut = _normalized(_convolved(x, filters, 1, stride, f"{name}_conv1sc"), momentum, f"{name}_sc")
    return _activated(y + shortcut, f"{name}_relu{len(branch)}")
