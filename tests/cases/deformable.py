"""Convolutions with moved taps."""

import numpy as np

from . import Case, Real, real


def weights_of(at, n, clamp):
    """How much each of n pixels weighs at a place between them."""
    place = np.minimum(at, n - 1) if clamp else at
    weights = np.maximum(0, 1 - np.abs(place[..., None] - np.arange(n)))
    return weights * ((at >= 0) & (at < n))[..., None] if clamp else weights


def columns(data, offset, mask, kernel, stride=1, dilate=1, pad=0, groups=1):
    n, c, h, w = data.shape
    oh, ow = offset.shape[2:]
    clamp = mask is None
    moved = offset.reshape(n, groups, *kernel, 2, oh, ow)
    ky, kx, oy, ox = np.ogrid[: kernel[0], : kernel[1], :oh, :ow]
    wy = weights_of(moved[:, :, :, :, 0] + oy * stride + ky * dilate - pad, h, clamp)
    wx = weights_of(moved[:, :, :, :, 1] + ox * stride + kx * dilate - pad, w, clamp)
    if clamp:  # above or left of the image both weights are lost
        inside = (wy.sum(-1) > 0) & (wx.sum(-1) > 0)
        wy = wy * inside[..., None]
    grouped = data.reshape(n, groups, c // groups, h, w)
    seen = np.einsum("ngchw,ngklijh,ngklijw->gcklnij", grouped, wy, wx, optimize=True)
    if mask is not None:
        seen = seen * np.moveaxis(mask.reshape(n, groups, *kernel, oh, ow), 0, 3)[:, None]
    return seen.reshape(c, -1, n, oh * ow)


def convolution(modulated, num_group=1, **options):
    def twin(data, offset, *rest):
        mask = rest[0] if modulated else None
        weight, *bias = rest[modulated:]
        f = weight.shape[0]
        seen = columns(data, offset, mask, weight.shape[2:], **options)
        seen = seen.reshape(num_group, -1, *seen.shape[2:])
        filters = weight.reshape(num_group, f // num_group, -1)
        out = np.einsum("gfk,gknp->ngfp", filters, seen).reshape(data.shape[0], f, *offset.shape[2:])
        return out + bias[0][:, None, None] if bias else out

    return twin


class Between(Real):
    """Distances to well between pixels, where the value has no kink."""

    def make(self, generator):
        return generator.integers(-1, 2, self.shape) + generator.uniform(0.1, 0.9, self.shape)


def case(modulated, data, out, filters, kernel, twin, bias=True, deformable=1, **params):
    name = "_contrib_ModulatedDeformableConvolution" if modulated else "_contrib_DeformableConvolution"
    taps, group = kernel[0] * kernel[1], params.get("num_group", 1)
    inputs = [
        real(*data),
        Between((data[0], 2 * deformable * taps, *out)),
        *([real(data[0], deformable * taps, *out, low=0.1, high=1.0)] if modulated else []),
        real(filters, data[1] // group, *kernel),
        *([real(filters)] if bias else []),
    ]
    given = {"kernel": kernel, "num_filter": filters, **({} if bias else {"no_bias": True}), **params}
    if deformable > 1:
        given["num_deformable_group"] = deformable
    return Case(name, inputs, given, twin, length=4 * data[1] * taps, half=False)


def parts(modulated, shape=(2, 4, 5, 6), out=(4, 5), groups=2):
    return [
        real(*shape),
        Between((shape[0], groups * 8, *out)),
        *([real(shape[0], groups * 4, *out, low=0.1, high=1.0)] if modulated else []),
    ]


OWN = {"kernel": (2, 2), "num_deformable_group": 2}
WIDE = {"kernel": (3, 2), "stride": (2, 2), "dilate": (2, 2), "pad": (1, 1)}


def columns_case(modulated):
    return Case(
        "_deformable_columns",
        parts(modulated),
        OWN | {"modulated": modulated},
        lambda x, o, *m: columns(x, o, m[0] if m else None, (2, 2), groups=2),
        length=16,
        half=False,
    )


def wide(op, first, params=None):
    """A case of one of the parts with a stride; what it computes is checked by the convolution's gradient."""
    inputs = [*first, Between((1, 12, 2, 3))]
    return Case(op, inputs, WIDE | (params or {}), None, (), half=False)


CASES = [
    case(False, (2, 4, 5, 6), (4, 5), 3, (2, 2), convolution(False)),
    case(
        False,
        (1, 4, 6, 7),
        (2, 4),
        6,
        (3, 2),
        convolution(False, 2, stride=2, dilate=2, pad=1, groups=2),
        False,
        2,
        stride=(2, 2),
        dilate=(2, 2),
        pad=(1, 1),
        num_group=2,
        workspace=256,
        layout="NCHW",
    ),
    case(True, (2, 4, 5, 6), (4, 5), 3, (2, 2), convolution(True), workspace=256, layout="NCHW", im2col_step=1),
    case(
        True,
        (1, 4, 6, 7),
        (2, 4),
        6,
        (3, 2),
        convolution(True, 2, stride=2, dilate=2, pad=1, groups=2),
        False,
        2,
        stride=(2, 2),
        dilate=(2, 2),
        pad=(1, 1),
        num_group=2,
    ),
    columns_case(False),
    columns_case(True),
    wide("_deformable_columns", [real(1, 2, 6, 5)]),
    *[
        Case(
            "_deformable_columns_data_gradient",
            [real(4, 4, 2, 20), *parts(modulated)[1:]],
            OWN | {"shape": (2, 4, 5, 6), "modulated": modulated},
            None,
            (),
            half=False,
            length=64,
        )
        for modulated in (False, True)
    ],
    wide("_deformable_columns_data_gradient", [real(2, 6, 1, 6)], {"shape": (1, 2, 6, 5)}),
    *[
        Case(
            "_deformable_columns_offset_gradient",
            [real(4, 4, 2, 20), *parts(modulated)],
            OWN | {"modulated": modulated},
            None,
            (),
            half=False,
            length=16,
        )
        for modulated in (False, True)
    ],
    wide("_deformable_columns_offset_gradient", [real(2, 6, 1, 6), real(1, 2, 6, 5)]),
]
