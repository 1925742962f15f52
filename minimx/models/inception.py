"""Networks of parallel branches: googlenet (2014), inception_bn (2015) and inception_v3 (2015)."""

from __future__ import annotations

from .. import symbol as sym
from ..symbol import Symbol
from .plain import classified

Size = int | tuple[int, int]


def _pair(size: Size) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size


def _half(size: Size) -> tuple[int, int]:
    height, width = _pair(size)
    return height // 2, width // 2


# ---- googlenet --------------------------------------------------------------------------------------------------------


def _conv(x: Symbol, filters: int, size: int, name: str, stride: int = 1) -> Symbol:
    pad = size // 2
    x = sym.Convolution(
        x, num_filter=filters, kernel=(size, size), stride=(stride, stride), pad=(pad, pad), name=f"conv_{name}"
    )
    return sym.Activation(x, act_type="relu", name=f"relu_{name}")


def _halved(x: Symbol, name: str) -> Symbol:
    return sym.Pooling(x, kernel=(3, 3), stride=(2, 2), pool_type="max", pooling_convention="full", name=name)


def _googlenet_block(x: Symbol, n1: int, n3r: int, n3: int, n5r: int, n5: int, projected: int, name: str) -> Symbol:
    a = _conv(x, n1, 1, f"{name}_1x1")
    b = _conv(_conv(x, n3r, 1, f"{name}_3x3_reduce"), n3, 3, f"{name}_3x3")
    c = _conv(_conv(x, n5r, 1, f"{name}_5x5_reduce"), n5, 5, f"{name}_5x5")
    d = sym.Pooling(x, kernel=(3, 3), stride=(1, 1), pad=(1, 1), pool_type="max", name=f"max_pool_{name}_pool")
    d = _conv(d, projected, 1, f"{name}_proj")
    return sym.Concat(a, b, c, d, name=f"ch_concat_{name}_chconcat")


_GOOGLENET = (
    {"3a": (64, 96, 128, 16, 32, 32), "3b": (128, 128, 192, 32, 96, 64)},
    {
        "4a": (192, 96, 208, 16, 48, 64),
        "4b": (160, 112, 224, 24, 64, 64),
        "4c": (128, 128, 256, 24, 64, 64),
        "4d": (112, 144, 288, 32, 64, 64),
        "4e": (256, 160, 320, 32, 128, 128),
    },
    {"5a": (256, 160, 320, 32, 128, 128), "5b": (384, 192, 384, 48, 128, 128)},
)


def googlenet(num_classes: int = 1000) -> Symbol:
    """Szegedy et al. 2014, without the auxiliary classifiers; for images of 224 pixels."""
    x = _conv(sym.Variable("data"), 64, 7, "conv1", stride=2)
    x = _halved(x, "pool1")
    x = _conv(_conv(x, 64, 1, "conv2"), 192, 3, "conv3")
    for i, blocks in enumerate(_GOOGLENET, 3):
        x = _halved(x, f"pool{i}")
        for name, widths in blocks.items():
            x = _googlenet_block(x, *widths, name=f"in{name}")
    x = sym.Pooling(x, kernel=(7, 7), global_pool=True, pool_type="avg", name="global_pool")
    return classified(sym.Flatten(x, name="flatten"), num_classes, "fc1")


# ---- inception_bn -----------------------------------------------------------------------------------------------------


def _conv_bn(x: Symbol, filters: int, size: int, name: str, stride: int = 1) -> Symbol:
    pad = size // 2
    x = sym.Convolution(
        x, num_filter=filters, kernel=(size, size), stride=(stride, stride), pad=(pad, pad), name=f"conv_{name}"
    )
    x = sym.BatchNorm(x, fix_gamma=False, eps=1e-5 + 1e-10, momentum=0.9, name=f"bn_{name}")
    return sym.Activation(x, act_type="relu", name=f"relu_{name}")


def _bn_block(
    x: Symbol, n1: int, n3r: int, n3: int, nd3r: int, nd3: int, pool: str, projected: int, name: str
) -> Symbol:
    a = _conv_bn(x, n1, 1, f"{name}_1x1")
    b = _conv_bn(_conv_bn(x, n3r, 1, f"{name}_3x3_reduce"), n3, 3, f"{name}_3x3")
    c = _conv_bn(x, nd3r, 1, f"{name}_double_3x3_reduce")
    c = _conv_bn(_conv_bn(c, nd3, 3, f"{name}_double_3x3_0"), nd3, 3, f"{name}_double_3x3_1")
    d = sym.Pooling(x, kernel=(3, 3), stride=(1, 1), pad=(1, 1), pool_type=pool, name=f"{pool}_pool_{name}_pool")
    d = _conv_bn(d, projected, 1, f"{name}_proj")
    return sym.Concat(a, b, c, d, name=f"ch_concat_{name}_chconcat")


def _bn_reduction(x: Symbol, n3r: int, n3: int, nd3r: int, nd3: int, name: str) -> Symbol:
    b = _conv_bn(_conv_bn(x, n3r, 1, f"{name}_3x3_reduce"), n3, 3, f"{name}_3x3", stride=2)
    c = _conv_bn(x, nd3r, 1, f"{name}_double_3x3_reduce")
    c = _conv_bn(_conv_bn(c, nd3, 3, f"{name}_double_3x3_0"), nd3, 3, f"{name}_double_3x3_1", stride=2)
    d = sym.Pooling(x, kernel=(3, 3), stride=(2, 2), pad=(1, 1), pool_type="max", name=f"max_pool_{name}_pool")
    return sym.Concat(b, c, d, name=f"ch_concat_{name}_chconcat")


def inception_bn(num_classes: int = 1000, image_shape: tuple[int, int, int] = (3, 224, 224)) -> Symbol:
    """Ioffe, Szegedy 2015; images of up to 32 pixels make it the small one of MXNet's CIFAR example."""
    x = sym.Variable("data")
    if image_shape[1] <= 32:
        return _inception_bn_small(x, num_classes)
    x = _halved(_conv_bn(x, 64, 7, "1", stride=2), "pool_1")
    x = _halved(_conv_bn(_conv_bn(x, 64, 1, "2_red"), 192, 3, "2"), "pool_2")
    x = _bn_block(x, 64, 64, 64, 64, 96, "avg", 32, "3a")
    x = _bn_block(x, 64, 64, 96, 64, 96, "avg", 64, "3b")
    x = _bn_reduction(x, 128, 160, 64, 96, "3c")
    x = _bn_block(x, 224, 64, 96, 96, 128, "avg", 128, "4a")
    x = _bn_block(x, 192, 96, 128, 96, 128, "avg", 128, "4b")
    x = _bn_block(x, 160, 128, 160, 128, 160, "avg", 128, "4c")
    x = _bn_block(x, 96, 128, 192, 160, 192, "avg", 128, "4d")
    x = _bn_reduction(x, 128, 192, 192, 256, "4e")
    x = _bn_block(x, 352, 192, 320, 160, 224, "avg", 128, "5a")
    x = _bn_block(x, 352, 192, 320, 192, 224, "max", 128, "5b")
    x = sym.Pooling(x, kernel=(7, 7), global_pool=True, pool_type="avg", name="global_pool")
    return classified(sym.Flatten(x, name="flatten"), num_classes, "fc1")


def _inception_bn_small(x: Symbol, num_classes: int) -> Symbol:
    def simple(x: Symbol, n1: int, n3: int, name: str) -> Symbol:
        parts = [_conv_bn(x, n1, 1, f"{name}_1x1"), _conv_bn(x, n3, 3, f"{name}_3x3")]
        return sym.Concat(*parts, name=f"{name}_chconcat")

    def reduction(x: Symbol, n3: int, name: str) -> Symbol:
        pooled = sym.Pooling(x, kernel=(3, 3), stride=(2, 2), pad=(1, 1), pool_type="max", name=f"{name}_pool")
        return sym.Concat(_conv_bn(x, n3, 3, f"{name}_3x3", stride=2), pooled, name=f"{name}_chconcat")

    x = _conv_bn(x, 96, 3, "1")
    x = simple(simple(x, 32, 32, "in3a"), 32, 48, "in3b")
    x = reduction(x, 80, "in3c")
    x = simple(simple(x, 112, 48, "in4a"), 96, 64, "in4b")
    x = simple(simple(x, 80, 80, "in4c"), 48, 96, "in4d")
    x = reduction(x, 96, "in4e")
    x = simple(simple(x, 176, 160, "in5a"), 176, 160, "in5b")
    x = sym.Pooling(x, kernel=(7, 7), global_pool=True, pool_type="avg", name="global_pool")
    return classified(sym.Flatten(x, name="flatten1"), num_classes, "fc1")


# ---- inception_v3 -----------------------------------------------------------------------------------------------------


def _conv_v3(x: Symbol, filters: int, size: Size, name: str, stride: int = 1, pad: Size = 0) -> Symbol:
    x = sym.Convolution(
        x,
        num_filter=filters,
        kernel=_pair(size),
        stride=(stride, stride),
        pad=_pair(pad),
        no_bias=True,
        name=f"{name}_conv2d",
    )
    x = sym.BatchNorm(x, fix_gamma=True, name=f"{name}_batchnorm")
    return sym.Activation(x, act_type="relu", name=f"{name}_relu")


def _tower(x: Symbol, name: str, layers: list[tuple[int, Size]], last_stride: int = 1) -> Symbol:
    """Convolutions that keep the size; the last one may have a stride, then without padding."""
    for i, (filters, size) in enumerate(layers):
        stride = last_stride if i == len(layers) - 1 else 1
        suffix = f"_{i}" if i else ""
        pad = _half(size) if stride == 1 else 0
        x = _conv_v3(x, filters, size, f"{name}_conv{suffix}", stride, pad)
    return x


def _pooled(x: Symbol, kind: str, name: str, stride: int = 1) -> Symbol:
    pad = 1 if stride == 1 else 0
    return sym.Pooling(
        x,
        kernel=(3, 3),
        stride=(stride, stride),
        pad=(pad, pad),
        pool_type=kind,
        name=f"{kind}_pool_{name}_pool",
    )


def _joined(name: str, *parts: Symbol) -> Symbol:
    return sym.Concat(*parts, name=f"ch_concat_{name}_chconcat")


def _v3_a(x: Symbol, projected: int, name: str) -> Symbol:
    return _joined(
        name,
        _tower(x, name, [(64, 1)]),
        _tower(x, f"{name}_tower", [(48, 1), (64, 5)]),
        _tower(x, f"{name}_tower_1", [(64, 1), (96, 3), (96, 3)]),
        _tower(_pooled(x, "avg", name), f"{name}_tower_2", [(projected, 1)]),
    )


def _v3_b(x: Symbol, name: str) -> Symbol:
    return _joined(
        name,
        _tower(x, name, [(384, 3)], last_stride=2),
        _tower(x, f"{name}_tower", [(64, 1), (96, 3), (96, 3)], last_stride=2),
        _pooled(x, "max", name, stride=2),
    )


def _v3_c(x: Symbol, n: int, name: str) -> Symbol:
    return _joined(
        name,
        _tower(x, name, [(192, 1)]),
        _tower(x, f"{name}_tower", [(n, 1), (n, (1, 7)), (192, (7, 1))]),
        _tower(x, f"{name}_tower_1", [(n, 1), (n, (7, 1)), (n, (1, 7)), (n, (7, 1)), (192, (1, 7))]),
        _tower(_pooled(x, "avg", name), f"{name}_tower_2", [(192, 1)]),
    )


def _v3_d(x: Symbol, name: str) -> Symbol:
    return _joined(
        name,
        _tower(x, f"{name}_tower", [(192, 1), (320, 3)], last_stride=2),
        _tower(x, f"{name}_tower_1", [(192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3)], last_stride=2),
        _pooled(x, "max", name, stride=2),
    )


def _v3_e(x: Symbol, pool: str, name: str) -> Symbol:
    def forked(x: Symbol, name: str) -> list[Symbol]:
        return [
            _conv_v3(x, 384, (1, 3), f"{name}_mixed_conv", pad=(0, 1)),
            _conv_v3(x, 384, (3, 1), f"{name}_mixed_conv_1", pad=(1, 0)),
        ]

    return _joined(
        name,
        _tower(x, name, [(320, 1)]),
        *forked(_tower(x, f"{name}_tower", [(384, 1)]), f"{name}_tower"),
        *forked(_tower(x, f"{name}_tower_1", [(448, 1), (384, 3)]), f"{name}_tower_1"),
        _tower(_pooled(x, pool, name), f"{name}_tower_2", [(192, 1)]),
    )


def inception_v3(num_classes: int = 1000) -> Symbol:
    """Szegedy et al. 2015, without the auxiliary classifier; for images of 299 pixels."""
    x = _conv_v3(sym.Variable("data"), 32, 3, "conv", stride=2)
    x = _conv_v3(x, 32, 3, "conv_1")
    x = _conv_v3(x, 64, 3, "conv_2", pad=1)
    x = sym.Pooling(x, kernel=(3, 3), stride=(2, 2), pool_type="max", name="pool")
    x = _conv_v3(_conv_v3(x, 80, 1, "conv_3"), 192, 3, "conv_4")
    x = sym.Pooling(x, kernel=(3, 3), stride=(2, 2), pool_type="max", name="pool1")
    x = _v3_a(_v3_a(_v3_a(x, 32, "mixed"), 64, "mixed_1"), 64, "mixed_2")
    x = _v3_b(x, "mixed_3")
    for i, n in enumerate((128, 160, 160, 192), 4):
        x = _v3_c(x, n, f"mixed_{i}")
    x = _v3_d(x, "mixed_8")
    x = _v3_e(_v3_e(x, "avg", "mixed_9"), "max", "mixed_10")
    x = sym.Pooling(x, kernel=(8, 8), global_pool=True, pool_type="avg", name="global_pool")
    return classified(sym.Flatten(x, name="flatten"), num_classes, "fc1")
