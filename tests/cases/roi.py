"""Regions of images brought to one size."""

import math

import numpy as np

from . import Case, real


def between(plane, y, x, margin=1.0, beyond=1.0):
    """The value at a point, or None outside of the image and its margin."""
    h, w = plane.shape
    if not (-margin <= y <= h - 1 + beyond and -margin <= x <= w - 1 + beyond):
        return None
    y, x = min(max(y, 0), h - 1), min(max(x, 0), w - 1)
    rows, columns = (np.maximum(0, 1 - np.abs(v - np.arange(n))) for v, n in ((y, h), (x, w)))
    return rows @ plane @ columns


def away(number):
    """Rounded, halves away from zero."""
    return math.floor(abs(number) + 0.5) * (1 if number >= 0 else -1)


def pool(size, scale):
    def twin(data, rois):
        h, w = data.shape[2:]
        out = np.zeros((len(rois), data.shape[1], *size))
        for r, (image, *corners) in enumerate(rois):
            if not 0 <= image < len(data):
                continue
            x1, y1, x2, y2 = (away(c * scale) for c in corners)
            high, wide = max(y2 - y1 + 1, 1), max(x2 - x1 + 1, 1)
            for i, j in np.ndindex(*size):
                top, bottom = i * high // size[0] + y1, -(-(i + 1) * high // size[0]) + y1
                left, right = j * wide // size[1] + x1, -(-(j + 1) * wide // size[1]) + x1
                part = data[int(image), :, max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
                if part.size:
                    out[r, :, i, j] = part.max((1, 2))
        return out

    return twin


def align(size, scale, samples=0, rotated=False, sensitive=False, aligned=False):
    def twin(data, rois):
        bins = size[0] * size[1]
        out = np.zeros((len(rois), data.shape[1] // (bins if sensitive else 1), *size))
        for r, roi in enumerate(rois):
            image = int(roi[0])
            if not 0 <= image < len(data):
                continue
            offset = 0.5 if aligned else 0.0
            if rotated:
                x, y, wide, high = roi[1:5] * scale
                turn = math.radians(roi[5])
            else:
                left, top, right, bottom = roi[1:] * scale - offset
                wide, high = right - left, bottom - top
            if not aligned:
                wide, high = max(wide, 1), max(high, 1)
            if not rotated:
                y, x, turn = top + high / 2, left + wide / 2, 0.0
            step = high / size[0], wide / size[1]
            count = [samples if samples > 0 else math.ceil(s) for s in step]
            for c, i, j in np.ndindex(*out.shape[1:]):
                plane = data[image, c * bins + i * size[1] + j if sensitive else c]
                total = 0.0
                for k, m in np.ndindex(*count):
                    down = -high / 2 + (i + (k + 0.5) / count[0]) * step[0]
                    across = -wide / 2 + (j + (m + 0.5) / count[1]) * step[1]
                    at = (
                        y + down * math.cos(turn) - across * math.sin(turn),
                        x + across * math.cos(turn) + down * math.sin(turn),
                    )
                    total += between(plane, *at) or 0.0
                out[r, c, i, j] = total / max(count[0] * count[1], 1)
        return out

    return twin


def start(roi, scale, offset):
    """Left, top, width and height of a region that is made of whole pixels."""
    x1, y1 = (away(c) * scale - offset for c in roi[1:3])
    x2, y2 = ((away(c) + 1) * scale - offset for c in roi[3:5])
    return x1, y1, max(x2 - x1, 0.1), max(y2 - y1, 0.1)


def ps_pool(dim, size, scale, group=0):
    def twin(data, rois):
        g = group or size
        out = np.zeros((len(rois), dim, size, size))
        for r, roi in enumerate(rois):
            left, top, wide, high = start(roi, scale, 0)
            for c, i, j in np.ndindex(dim, size, size):
                rows = [math.floor(top + i * high / size), math.ceil(top + (i + 1) * high / size)]
                columns = [math.floor(left + j * wide / size), math.ceil(left + (j + 1) * wide / size)]
                plane = data[int(roi[0]), (c * g + i * g // size) * g + j * g // size]
                part = plane[slice(*np.clip(rows, 0, plane.shape[0])), slice(*np.clip(columns, 0, plane.shape[1]))]
                out[r, c, i, j] = part.mean() if part.size else 0
        return out

    return twin


def deformable(dim, size, scale, group, samples=1, std=0.0, parts=0):
    def twin(data, rois, trans=None):
        out = np.zeros((len(rois), dim, size, size))
        n = parts or size
        for r, roi in enumerate(rois):
            left, top, wide, high = start(roi, scale, 0.5)
            for c, i, j in np.ndindex(dim, size, size):
                down = across = 0.0
                if trans is not None:
                    kind = c // (dim // (trans.shape[1] // 2))
                    across, down = trans[r, 2 * kind : 2 * kind + 2, i * n // size, j * n // size] * std
                plane = data[int(roi[0]), (c * group + i * group // size) * group + j * group // size]
                seen = []
                for k, m in np.ndindex(samples, samples):
                    y = top + (i + k / samples) * high / size + down * high
                    x = left + (j + m / samples) * wide / size + across * wide
                    seen.append(between(plane, y, x, 0.5, 0.5))
                seen = [v for v in seen if v is not None]
                out[r, c, i, j] = np.mean(seen) if seen else 0
        return out

    return twin


ROIS = np.array(
    [[0, 1.2, 2.3, 6.1, 5.7], [1, -3.3, -2.1, 12.2, 11.1], [1, 5.1, 5.2, 3.4, 3.1], [0, 0.3, 0.2, 0.4, 0.6]]
)
STRAY = np.array([[0, 1.2, 2.3, 6.1, 5.7], [-1, 1.0, 1.0, 3.0, 3.0], [2, 1.0, 1.0, 3.0, 3.0]])
TURNED = np.array([[0, 4.1, 4.2, 5.3, 3.4, 30.0], [1, 2.2, 3.1, 4.4, 6.3, -45.0], [0, 1.1, 1.3, 0.2, 0.3, 10.0]])
DATA = ("data",)


def aligned(data, rois, size, scale, given=None, **options):
    params = {"pooled_size": size, "spatial_scale": scale, **(given or {})}
    return Case("_contrib_ROIAlign", [data, rois], params, align(size, scale, **options), DATA, length=150, half=False)


def back(op, grad, rois, shape, params, **options):
    """The forward operator's gradient is differentiated, too, which is a check of both."""
    return Case(op, [grad, rois], {**params, "shape": shape}, None, ("grad",), half=False, length=150, **options)


SHIFT = real(4, 4, 2, 2, low=-0.9, high=0.9)
POOLED = {"pooled_size": (2, 3), "spatial_scale": 0.8}
SENSITIVE = {"spatial_scale": 0.77, "output_dim": 2, "pooled_size": 3}
PARTS = {"spatial_scale": 0.8, "output_dim": 2, "group_size": 2, "pooled_size": 2}
MOVED = PARTS | {"trans_std": 0.1, "sample_per_part": 2}

CASES = [
    Case(
        "ROIPooling",
        [real(2, 3, 8, 9, distinct=True), ROIS],
        {"pooled_size": (2, 3), "spatial_scale": 1.0},
        pool((2, 3), 1.0),
        DATA,
        half=False,
    ),
    Case(
        "ROIPooling",
        [real(2, 2, 8, 9, distinct=True), STRAY],
        {"pooled_size": (3, 3), "spatial_scale": 0.7},
        pool((3, 3), 0.7),
        DATA,
        half=False,
    ),
    *[
        Case(
            "_roi_pooling_gradient",
            [real(4, c, *size), real(2, c, 8, 9, distinct=True), ROIS],
            {"pooled_size": size, "spatial_scale": scale, "shape": (2, c, 8, 9)},
            None,
            (),
            half=False,
        )
        for size, scale, c in (((2, 3), 1.0, 3), ((3, 3), 0.7, 2))
    ],
    aligned(real(2, 3, 8, 9), ROIS, (2, 3), 0.8),
    aligned(real(2, 37, 6, 7), ROIS, (3, 2), 1.1, {"sample_ratio": 2}, samples=2),
    aligned(real(2, 2, 8, 9), STRAY, (2, 2), 0.8, {"aligned": True}, aligned=True),
    aligned(real(2, 12, 8, 9), ROIS, (2, 3), 0.8, {"position_sensitive": True}, sensitive=True),
    back("_roi_align_gradient", real(4, 3, 2, 3), ROIS, (2, 3, 8, 9), POOLED),
    back(
        "_roi_align_gradient", real(4, 3, 2, 2), ROIS, (2, 3, 8, 9), POOLED | {"pooled_size": (2, 2), "aligned": True}
    ),
    back(
        "_roi_align_gradient",
        real(4, 2, 2, 3),
        ROIS,
        (2, 12, 8, 9),
        {"pooled_size": (2, 3), "spatial_scale": 1.0, "position_sensitive": True, "sample_ratio": 2},
    ),
    Case(
        "_contrib_RROIAlign",
        [real(2, 3, 8, 9), TURNED],
        POOLED,
        align((2, 3), 0.8, rotated=True),
        DATA,
        length=99,
        half=False,
    ),
    Case(
        "_contrib_RROIAlign",
        [real(2, 3, 8, 9), TURNED],
        {"pooled_size": (3, 2), "spatial_scale": 1.0, "sampling_ratio": 3},
        align((3, 2), 1.0, 3, rotated=True),
        DATA,
        length=99,
        half=False,
    ),
    back("_rotated_roi_gradient", real(3, 3, 2, 3), TURNED, (2, 3, 8, 9), POOLED),
    back(
        "_rotated_roi_gradient",
        real(3, 2, 3, 3),
        TURNED,
        (2, 2, 8, 9),
        {"pooled_size": (3, 3), "spatial_scale": 1.0, "sampling_ratio": 2},
    ),
    Case(
        "_contrib_PSROIPooling", [real(2, 18, 8, 9), ROIS], SENSITIVE, ps_pool(2, 3, 0.77), DATA, length=99, half=False
    ),
    Case(
        "_contrib_PSROIPooling",
        [real(2, 12, 8, 9), ROIS],
        {"spatial_scale": 1.0, "output_dim": 3, "pooled_size": 4, "group_size": 2},
        ps_pool(3, 4, 1.0, 2),
        DATA,
        length=99,
        half=False,
    ),
    back("_ps_roi_gradient", real(4, 2, 3, 3), ROIS, (2, 18, 8, 9), SENSITIVE),
    back(
        "_ps_roi_gradient",
        real(4, 3, 4, 4),
        ROIS,
        (2, 12, 8, 9),
        {"spatial_scale": 1.0, "output_dim": 3, "pooled_size": 4, "group_size": 2},
    ),
    Case(
        "_contrib_DeformablePSROIPooling",
        [real(2, 8, 8, 9), ROIS, SHIFT],
        MOVED,
        deformable(2, 2, 0.8, 2, 2, 0.1),
        ("data", "trans"),
        length=50,
        half=False,
    ),
    Case(
        "_contrib_DeformablePSROIPooling",
        [real(2, 27, 8, 9), ROIS],
        {"spatial_scale": 1.0, "output_dim": 3, "group_size": 3, "pooled_size": 4, "no_trans": True, "part_size": 2},
        deformable(3, 4, 1.0, 3),
        DATA,
        length=50,
        half=False,
    ),
    *[
        Case(op, [*first, ROIS, SHIFT], {**params, **given}, None, (), half=False, length=50)
        for given in (MOVED, MOVED | {"sample_per_part": 1, "spatial_scale": 1.0, "trans_std": 0.2, "part_size": 2})
        for op, first, params in (
            ("_deformable_roi_gradient", [real(4, 2, 2, 2)], {"shape": (2, 8, 8, 9)}),
            ("_deformable_roi_trans", [real(4, 2, 2, 2), real(2, 8, 8, 9)], {}),
        )
    ],
    Case(
        "_deformable_roi_gradient",
        [real(4, 3, 4, 4), ROIS],
        {
            "shape": (2, 27, 8, 9),
            "spatial_scale": 1.0,
            "output_dim": 3,
            "group_size": 3,
            "pooled_size": 4,
            "no_trans": True,
        },
        None,
        (),
        half=False,
        length=50,
    ),
    Case(
        "_deformable_roi_trans",
        [real(4, 3, 4, 4), real(2, 27, 8, 9), ROIS, real(4, 2, 4, 4)],
        {"spatial_scale": 1.0, "output_dim": 3, "group_size": 3, "pooled_size": 4, "trans_std": 0.1},
        None,
        (),
        half=False,
        length=50,
    ),
]
