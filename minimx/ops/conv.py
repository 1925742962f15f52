"""Convolution and what it is made of."""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd

from ..op import product

# Elements of scratch a thread is given when one slice of the output would do with less: half of a second-level cache.
ENOUGH = 128 * 1024
# Elements of images that the weight gradient copies at once.
IMAGES_AT_ONCE = 2 * 1024 * 1024


class Geometry:
    """The sizes of a convolution with three spatial dimensions, as csrc/args/conv.h names them."""

    def __init__(
        self,
        x: Sequence[int],
        w: Sequence[int],
        y: Sequence[int],
        stride: Sequence[int],
        dilate: Sequence[int],
        pad: Sequence[int],
        groups: int,
    ):
        def three(dims: Sequence[int], fill: int) -> list[int]:
            return [fill] * (3 - len(dims)) + list(dims)

        self.batch, self.channels, self.filters, self.groups = x[0], x[1], w[0], groups
        self.inside, self.out, self.kernel = three(x[2:], 1), three(y[2:], 1), three(w[2:], 1)
        self.stride, self.dilate, self.pad = three(stride, 1), three(dilate, 1), three(pad, 0)

    def args(self, scratch: int, activation: int = 0) -> dict[str, object]:
        return {
            "batch": self.batch,
            "channels": self.channels,
            "filters": self.filters,
            "groups": self.groups,
            "in": self.inside,
            "out": self.out,
            "kernel": self.kernel,
            "stride": self.stride,
            "dilate": self.dilate,
            "pad": self.pad,
            "activation": activation,
            "scratch": scratch,
        }

    def forward_scratch(self, threads: int) -> int:
        """Elements, as for the others."""
        phases = [min(k, s // gcd(s, d)) for k, s, d in zip(self.kernel, self.stride, self.dilate, strict=True)]
        reach = [(k - 1) * d // s for k, s, d in zip(self.kernel, self.stride, self.dilate, strict=True)]
        channels, filters = self.channels // self.groups, self.filters // self.groups
        return threads * boxes(channels, filters, self.out, product(phases), reach, product(self.kernel))

    def data_gradient_scratch(self, threads: int) -> int:
        reach = [(k - 1) * d for k, d in zip(self.kernel, self.dilate, strict=True)]
        channels, filters = self.channels // self.groups, self.filters // self.groups
        weights = up(self.filters * channels * product(self.kernel))
        return weights + threads * boxes(filters, channels, self.inside, 1, reach, product(self.kernel))

    def weight_gradient_scratch(self) -> int:
        phases = [min(k, s // gcd(s, d)) for k, s, d in zip(self.kernel, self.stride, self.dilate, strict=True)]
        reach = [(k - 1) * d // s for k, s, d in zip(self.kernel, self.stride, self.dilate, strict=True)]
        places = places_of(self.out, reach)
        terms = self.channels // self.groups * product(self.kernel)
        image = self.channels * source_of(self.out, product(phases), reach) + 64 * self.groups + self.filters * places
        images = max(1, min(self.batch, IMAGES_AT_ONCE // image))
        return up(terms + places + 64) + images * image


def boxes(channels: int, filters: int, out: Sequence[int], phases: int, reach: Sequence[int], taps: int) -> int:
    """What one thread needs for the whole output, or for a slice of it when the whole is large."""

    def box(rows: Sequence[int]) -> int:
        places = places_of(rows, reach)
        return up(channels * source_of(rows, phases, reach) + filters * places + channels * taps + places + 128)

    cut = next((i for i, n in enumerate(out) if n > 1), 2)
    slice_of_one = [1 if i <= cut else n for i, n in enumerate(out)]
    return min(box(out), max(box(slice_of_one), ENOUGH))


def source_of(rows: Sequence[int], phases: int, reach: Sequence[int]) -> int:
    return phases * product([n + r for n, r in zip(rows, reach, strict=True)])


def places_of(rows: Sequence[int], reach: Sequence[int]) -> int:
    return rows[0] * (rows[1] * (rows[2] + reach[2] + 1) + 64)


def up(n: int) -> int:
    return (n + 63) // 64 * 64
