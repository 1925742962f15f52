"""Networks without branches: mlp, lenet, alexnet, vgg, and a small vgg for CIFAR."""

from __future__ import annotations

from collections.abc import Sequence

from .. import symbol as sym
from ..symbol import Symbol

# How many convolutions stand in each of VGG's five groups, by the number of layers with weights.
_VGG_GROUPS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
_VGG_FILTERS = (64, 128, 256, 512, 512)


def classified(x: Symbol, num_classes: int, name: str) -> Symbol:
    """The last layers of a classifier: scores, and softmax with its loss."""
    x = sym.FullyConnected(x, num_hidden=num_classes, name=name)
    return sym.SoftmaxOutput(x, name="softmax")


def mlp(num_classes: int = 10, hidden: Sequence[int] = (128, 64), activation: str = "relu") -> Symbol:
    """Fully connected layers, one after the other."""
    x = sym.Flatten(sym.Variable("data"), name="flatten")
    for i, size in enumerate(hidden, 1):
        x = sym.FullyConnected(x, num_hidden=size, name=f"fc{i}")
        x = sym.Activation(x, act_type=activation, name=f"{activation}{i}")
    return classified(x, num_classes, f"fc{len(hidden) + 1}")


def lenet(num_classes: int = 10, activation: str = "tanh") -> Symbol:
    """LeCun's network for digits of 28 x 28 pixels, as MXNet's examples have it."""
    x = sym.Variable("data")
    for i, filters in enumerate((20, 50), 1):
        x = sym.Convolution(x, kernel=(5, 5), num_filter=filters, name=f"conv{i}")
        x = sym.Activation(x, act_type=activation, name=f"{activation}{i}")
        x = sym.Pooling(x, pool_type="max", kernel=(2, 2), stride=(2, 2), name=f"pool{i}")
    x = sym.FullyConnected(sym.Flatten(x, name="flatten"), num_hidden=500, name="fc1")
    x = sym.Activation(x, act_type=activation, name=f"{activation}3")
    return classified(x, num_classes, "fc2")


def alexnet(num_classes: int = 1000) -> Symbol:
    """Krizhevsky, Sutskever, Hinton 2012, without the split between two devices; for 224 or 227 pixels."""
    x = sym.Variable("data")

    def convolved(x: Symbol, i: int, filters: int, size: int, **options) -> Symbol:
        x = sym.Convolution(x, kernel=(size, size), num_filter=filters, name=f"conv{i}", **options)
        return sym.Activation(x, act_type="relu", name=f"relu{i}")

    def pooled(x: Symbol, i: int) -> Symbol:
        return sym.Pooling(x, kernel=(3, 3), stride=(2, 2), pool_type="max", name=f"pool{i}")

    def normalized(x: Symbol, i: int) -> Symbol:
        return sym.LRN(x, alpha=0.0001, beta=0.75, knorm=2, nsize=5, name=f"lrn{i}")

    x = pooled(normalized(convolved(x, 1, 96, 11, stride=(4, 4)), 1), 1)
    x = pooled(normalized(convolved(x, 2, 256, 5, pad=(2, 2)), 2), 2)
    for i, filters in ((3, 384), (4, 384), (5, 256)):
        x = convolved(x, i, filters, 3, pad=(1, 1))
    x = sym.Flatten(pooled(x, 3), name="flatten")
    for i in (1, 2):
        x = sym.FullyConnected(x, num_hidden=4096, name=f"fc{i}")
        x = sym.Activation(x, act_type="relu", name=f"relu{i + 5}")
        x = sym.Dropout(x, p=0.5, name=f"dropout{i}")
    return classified(x, num_classes, "fc3")


def vgg(num_classes: int = 1000, num_layers: int = 16, batch_norm: bool = False) -> Symbol:
    """Simonyan, Zisserman 2014, with 11, 13, 16 or 19 layers; `batch_norm` normalizes after every convolution."""
    if num_layers not in _VGG_GROUPS:
        raise ValueError(f"vgg: num_layers must be one of {', '.join(map(str, _VGG_GROUPS))}, got {num_layers}")
    x = sym.Variable("data")
    for g, (count, filters) in enumerate(zip(_VGG_GROUPS[num_layers], _VGG_FILTERS, strict=True), 1):
        for i in range(1, count + 1):
            x = sym.Convolution(x, kernel=(3, 3), pad=(1, 1), num_filter=filters, name=f"conv{g}_{i}")
            if batch_norm:
                x = sym.BatchNorm(x, name=f"bn{g}_{i}")
            x = sym.Activation(x, act_type="relu", name=f"relu{g}_{i}")
        x = sym.Pooling(x, pool_type="max", kernel=(2, 2), stride=(2, 2), name=f"pool{g}")
    x = sym.Flatten(x, name="flatten")
    for i in (6, 7):
        x = sym.FullyConnected(x, num_hidden=4096, name=f"fc{i}")
        x = sym.Activation(x, act_type="relu", name=f"relu{i}")
        x = sym.Dropout(x, p=0.5, name=f"drop{i}")
    return classified(x, num_classes, "fc8")


def vgg_cifar(num_classes: int = 10, dropout: float = 0.25) -> Symbol:
    """Two groups of two convolutions and one hidden layer, for images of 32 x 32 pixels."""
    x = sym.Variable("data")
    for g, filters in enumerate((32, 64), 1):
        for i in (1, 2):
            x = sym.Convolution(x, kernel=(3, 3), pad=(1, 1), num_filter=filters, name=f"conv{g}_{i}")
            x = sym.Activation(x, act_type="relu", name=f"relu{g}_{i}")
        x = sym.Pooling(x, pool_type="max", kernel=(2, 2), stride=(2, 2), name=f"pool{g}")
        x = sym.Dropout(x, p=dropout, name=f"drop{g}")
    x = sym.FullyConnected(sym.Flatten(x, name="flatten"), num_hidden=512, name="fc1")
    x = sym.Activation(x, act_type="relu", name="relu3")
    x = sym.Dropout(x, p=min(2 * dropout, 0.9), name="drop3")
    return classified(x, num_classes, "fc2")
