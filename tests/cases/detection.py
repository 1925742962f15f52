"""Boxes that find objects. What they compute is compared with MXNet's in test_detection.py."""

import numpy as np

from . import Case, real, whole

GENERATOR = np.random.default_rng(5)


def boxes(*shape, centre=False):
    middle, size = GENERATOR.uniform(0, 1, (*shape, 2)), GENERATOR.uniform(0.05, 0.45, (*shape, 2))
    return np.concatenate([middle, size] if centre else [middle - size / 2, middle + size / 2], -1)


def found(*shape, classes=3, **options):
    """Rows of class, score and box."""
    kind = GENERATOR.integers(0, classes, (*shape, 1))
    return np.concatenate([kind, GENERATOR.uniform(0, 1, (*shape, 1)), boxes(*shape, **options)], -1)


def objects(batch, count, more=0):
    kind = GENERATOR.integers(0, 3, (batch, count, 1))
    rows = np.concatenate([kind, boxes(batch, count), np.zeros((batch, count, more))], -1)
    rows[0, -1] = -1
    return rows


def overlaps(a, b):
    a, b = a.reshape(-1, 1, 4), b.reshape(1, -1, 4)
    low, high = np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., 2:], b[..., 2:])
    common = np.maximum(high - low, 0).prod(-1)
    areas = [(v[..., 2:] - v[..., :2]).prod(-1) for v in (a, b)]
    return common / (areas[0] + areas[1] - common)


def priors(height, width, sizes, ratios, steps=(-1, -1), offsets=(0.5, 0.5), clip=False):
    out = []
    for i, j in np.ndindex(height, width):
        y = (i + offsets[0]) * (steps[0] if steps[0] > 0 else 1 / height)
        x = (j + offsets[1]) * (steps[1] if steps[1] > 0 else 1 / width)
        for size, ratio in [(s, 1) for s in sizes] + [(sizes[0], r) for r in ratios[1:]]:
            w, h = size * height / width * ratio**0.5 / 2, size / ratio**0.5 / 2
            out.append([x - w, y - h, x + w, y + h])
    return np.clip(out, 0, 1)[None] if clip else np.array(out)[None]


def plain(op, inputs, params, **options):
    return Case(op, inputs, params, None, (), half=False, **options)


NMS = "_contrib_box_nms"
DATA = found(2, 20)
ANCHORS = boxes(1, 30)
TARGET, DETECTION = "_contrib_MultiBoxTarget", "_contrib_MultiBoxDetection"
FOUND = [real(2, 4, 30, low=0.0, high=1.0), real(2, 120, low=-0.5, high=0.5), ANCHORS]
IMAGE = np.array([[64.0, 48.0, 1.0]])


def proposals(op, batch, count, params):
    scores, moves = real(batch, 2 * count, 4, 3, low=0, high=1), real(batch, 4 * count, 4, 3, low=-0.3, high=0.3)
    return plain(op, [scores, moves, IMAGE.repeat(batch, 0)], params)


CASES = [
    Case("_contrib_box_iou", [boxes(3), boxes(4)], {}, overlaps, (), half=False),
    plain("_contrib_box_iou", [boxes(2, 3, centre=True), boxes(4, centre=True)], {"format": "center"}),
    plain(
        "_contrib_box_encode",
        [whole(2, 30, low=-1, high=2), whole(2, 30, high=4), ANCHORS, boxes(2, 4), real(4), real(4, low=0.1, high=0.2)],
        {},
    ),
    plain("_contrib_box_decode", [real(2, 30, 4, low=-0.5, high=0.5), ANCHORS], {"clip": 0.3}),
    plain(
        "_contrib_box_decode",
        [real(2, 30, 4, low=-0.5, high=0.5), ANCHORS],
        {"std0": 0.1, "std1": 0.1, "std2": 0.2, "std3": 0.2, "format": "corner"},
    ),
    Case(NMS, [DATA], {}, None, ("data",), half=False),
    plain(NMS, [DATA], {"id_index": 0, "overlap_thresh": 0.2, "valid_thresh": 0.3}),
    plain(NMS, [DATA], {"id_index": 0, "background_id": 0, "topk": 9}),
    plain(NMS, [DATA], {"id_index": 0, "force_suppress": True, "out_format": "center"}),
    plain(NMS, [found(20, centre=True)], {"in_format": "center"}),
    plain(NMS, [found(3, 20)[..., 1:]], {"coord_start": 1, "score_index": 0, "overlap_thresh": 0.1}),
    Case(
        "_pull_rows",
        [real(2, 3, 4), np.array([[1, -1, 0], [2, 0, -1]])],
        {},
        lambda g, s: np.take_along_axis(g, s[..., None], 1) * (s >= 0)[..., None],
        (),
    ),
    plain("_contrib_bipartite_matching", [real(2, 6, 9, distinct=True)], {"threshold": 0.5, "topk": 3}),
    plain("_contrib_bipartite_matching", [real(6, 9, distinct=True)], {"threshold": 1.0, "is_ascend": True}),
    Case(
        "_contrib_MultiBoxPrior",
        [real(1, 3, 4, 5)],
        {"sizes": (0.4, 0.2), "ratios": (1, 2, 0.5)},
        lambda x: priors(4, 5, (0.4, 0.2), (1, 2, 0.5)),
        (),
        half=False,
    ),
    Case(
        "_contrib_MultiBoxPrior",
        [real(1, 3, 2, 3)],
        {"sizes": 0.4, "clip": True, "steps": (0.3, 0.25), "offsets": (0.4, 0.6)},
        lambda x: priors(2, 3, (0.4,), (1,), (0.3, 0.25), (0.4, 0.6), True),
        (),
        half=False,
    ),
    plain(TARGET, [ANCHORS, objects(3, 4), real(3, 4, 30)], {"overlap_threshold": 0.2}),
    plain(
        TARGET,
        [ANCHORS, objects(2, 3, 1), real(2, 4, 30)],
        {
            "ignore_label": -3.0,
            "negative_mining_ratio": 2.0,
            "negative_mining_thresh": 0.3,
            "minimum_negative_samples": 4,
            "variances": (0.2, 0.1, 0.3, 0.1),
        },
    ),
    plain(DETECTION, FOUND, {}),
    plain(DETECTION, FOUND, {"clip": False, "threshold": 0.5, "nms_threshold": 0.2, "nms_topk": 9, "background_id": 1}),
    plain(DETECTION, FOUND, {"force_suppress": True, "variances": (0.2, 0.2, 0.1, 0.1)}),
    proposals("_contrib_MultiProposal", 2, 12, {"rpn_post_nms_top_n": 20}),
    *[
        proposals(
            "_contrib_" + name,
            batch,
            2,
            {
                "rpn_pre_nms_top_n": 15,
                "rpn_post_nms_top_n": 5,
                "threshold": 0.4,
                "rpn_min_size": 8,
                "scales": 2,
                "ratios": (0.5, 1),
                "feature_stride": 8,
                "output_score": True,
                "iou_loss": True,
            },
        )
        for name, batch in (("MultiProposal", 2), ("Proposal", 1))
    ],
    proposals("_contrib_Proposal", 1, 12, {"rpn_post_nms_top_n": 20}),
]
