"""mobilenet: Howard et al. 2017, convolutions that are split into one per channel and one across channels."""

from __future__ import annotations

from .. import symbol as sym
from ..symbol import Symbol
from .plain import classified

# Channels and stride of the split convolutions.
_LAYERS = (
    *((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)),
    *((512, 1),) * 5,
    *((1024, 2), (1024, 1)),
)


def mobilenet(num_classes: int = 1000, multiplier: float = 1.0) -> Symbol:
    """For images of 224 pixels; `multiplier` makes all layers wider or narrower."""

    def conv(x: Symbol, filters: int, size: int, name: str, stride: int = 1, groups: int = 1) -> Symbol:
        x = sym.Convolution(
            x,
            num_filter=filters,
            num_group=groups,
            kernel=(size, size),
            stride=(stride, stride),
            pad=(size // 2, size // 2),
            no_bias=True,
            name=f"{name}_conv2d",
        )
        x = sym.BatchNorm(x, fix_gamma=True, name=f"{name}_batchnorm")
        return sym.Activation(x, act_type="relu", name=f"{name}_relu")

    width = max(8, int(32 * multiplier))
    x = conv(sym.Variable("data"), width, 3, "conv_1", stride=2)
    for i, (filters, stride) in enumerate(_LAYERS, 2):
        x = conv(x, width, 3, f"conv_{i}_dw", stride, groups=width)
        width = max(8, int(filters * multiplier))
        x = conv(x, width, 1, f"conv_{i}")
    x = sym.Pooling(x, kernel=(7, 7), global_pool=True, pool_type="avg", name="global_pool")
    return classified(sym.Flatten(x, name="flatten"), num_classes, "fc")
