"""Detectors: anchors, what they should find, what they found, and regions that may hold objects."""

from __future__ import annotations

import math

from ..base import ITEM_SIZES, ShapeError
from ..graph import apply
from ..op import Op
from ..params import Bool, Float, Floats, Int
from .detection import _Constant, scratch
from .elemwise import F
from .resize import image


class MultiBoxPrior(_Constant):
    """Anchors around every pixel of a feature map, as corners in units of the image: every size with the first ratio, then
    the first size with the other ratios (width over height)."""

    name = "_contrib_MultiBoxPrior"
    sizes = Floats((1.0,), doc="sides of anchors")
    ratios = Floats((1.0,), doc="width over height")
    clip = Bool(False, doc="keeps anchors within the image")
    steps = Floats((-1.0, -1.0), doc="distance of pixels along y and x; one over their number when not positive")
    offsets = Floats((0.5, 0.5), doc="where in its pixel the centre of an anchor lies, along y and x")

    def halves(self, p, height, width):
        """Half the width and height of each anchor."""
        shapes = [(s, 1.0) for s in p.sizes] + [(p.sizes[0], r) for r in p.ratios[1:]]
        return [(s * height / width * math.sqrt(r) / 2, s / math.sqrt(r) / 2) for s, r in shapes]

    def output_shapes(self, p, ins):
        height, width = image(ins[0])[2:]
        if not p.sizes or not p.ratios or len(p.steps) != 2 or len(p.offsets) != 2:
            raise ShapeError("there must be sizes and ratios, and two steps and offsets")
        return [(1, height * width * (len(p.sizes) + len(p.ratios) - 1), 4)]

    def expand(self, p, node, train):
        (data,), (out,) = node.inputs, node.outputs
        size = data.shape[2:]
        centres = []
        for axis, (n, step, offset) in enumerate(zip(size, p.steps, p.offsets, strict=True)):
            at = (F._arange(start=0, stop=n, dtype=out.dtype) + offset) * (step if step > 0 else 1 / n)
            centres.append(F.Reshape(at, shape=(-1, 1) if axis == 0 else (1, -1)))
        y, x = centres
        sides = []
        for half_width, half_height in self.halves(p, *size):
            sides += [x - half_width, y - half_height, x + half_width, y + half_height]
        boxes = apply("stack", [F.broadcast_to(v, shape=size) for v in sides], axis=-1)
        if p.clip:
            boxes = F.clip(boxes, a_min=0.0, a_max=1.0)
        return [F.Reshape(boxes, shape=out.shape)]


class _Variances(Op, abstract=True):
    variances = Floats((0.1, 0.1, 0.2, 0.2), doc="what regression targets are divided by")

    def named(self, p):
        if len(p.variances) != 4:
            raise ShapeError(f"variances must be four numbers, got {p.variances}")
        return {f"variance_{n}": v for n, v in zip(("x", "y", "width", "height"), p.variances, strict=True)}


def check_anchors(anchor):
    if len(anchor) != 3 or anchor[0] != 1 or anchor[2] != 4:
        raise ShapeError("anchor must have shape (1, anchors, 4)")
    return anchor[1]


class MultiBoxTarget(_Variances, _Constant):
    """What anchors should find: regression targets, a mask of those that count, and classes (0 for nothing).

    Rows of label are (class, left, top, right, bottom, ...), closed by one of -1. Every object takes the anchor that
    overlaps most with it, and all that overlap by more than overlap_threshold. With mining, only the anchors without an
    object that are least sure of it count, negative_mining_ratio times as many as those with one; the others are ignored.
    """

    name = "_contrib_MultiBoxTarget"
    inputs = ("anchor", "label", "cls_pred")
    outputs = ("loc_target", "loc_mask", "cls_target")
    param_order = (
        *("overlap_threshold", "ignore_label", "negative_mining_ratio", "negative_mining_thresh"),
        *("minimum_negative_samples", "variances"),
    )
    overlap_threshold = Float(0.5, doc="overlap from which on an anchor belongs to an object")
    ignore_label = Float(-1.0, doc="class of anchors that do not count")
    negative_mining_ratio = Float(-1.0, doc="anchors without an object for each with one; all when not positive")
    negative_mining_thresh = Float(0.5, doc="overlap up to which an anchor may count as one without an object")
    minimum_negative_samples = Int(0, doc="at least so many anchors without an object", min=0)

    def output_shapes(self, p, ins):
        anchors = check_anchors(ins[0])
        label, scores = ins[1:]
        if len(label) != 3 or label[2] < 5:
            raise ShapeError("label must have shape (batch, objects, at least 5)")
        if len(scores) != 3 or scores[0] != label[0] or scores[2] != anchors:
            raise ShapeError(f"cls_pred must have shape ({label[0]}, classes, {anchors})")
        self.named(p)
        return [(label[0], anchors * 4)] * 2 + [(label[0], anchors)]

    def lower(self, p, node, emit):
        anchor, label, scores = node.inputs
        (batch, labels, width), anchors = label.shape, anchor.shape[1]
        args = {
            "batch": batch,
            "anchors": anchors,
            "labels": labels,
            "label_width": width,
            "classes": scores.shape[1],
            **{n: v for n, v in p._asdict().items() if n != "variances"},
            **self.named(p),
        }
        size = scratch(anchor.dtype, batch * (4 * anchors + labels), batch * (anchors * (labels + 3) + labels))
        emit("multibox_target", anchor.dtype, args, node.inputs, node.outputs, scratch=size)


class MultiBoxDetection(_Variances, _Constant):
    """What anchors have found: rows of (class, score, left, top, right, bottom), the best first, class -1 for nothing and
    for what overlaps a better one too much."""

    name = "_contrib_MultiBoxDetection"
    inputs = ("cls_prob", "loc_pred", "anchor")
    param_order = (*("clip", "threshold", "background_id", "nms_threshold", "force_suppress", "variances", "nms_topk"),)
    clip = Bool(True, doc="keeps boxes within the image")
    threshold = Float(0.01, doc="the lowest score that counts")
    background_id = Int(0, doc="accepted: class 0 is that nothing was found, as in MXNet")
    nms_threshold = Float(0.5, doc="overlap from which on the worse of two boxes is dropped")
    force_suppress = Bool(False, doc="boxes of other classes drop each other, too")
    nms_topk = Int(-1, doc="how many boxes are kept before suppression; all when not positive")

    def output_shapes(self, p, ins):
        scores, moves, anchor = ins
        anchors = check_anchors(anchor)
        if len(scores) != 3 or scores[2] != anchors or moves != (scores[0], anchors * 4):
            raise ShapeError(
                f"cls_prob must have shape (batch, classes, {anchors}) and loc_pred (batch, {anchors * 4})"
            )
        self.named(p)
        return [(scores[0], anchors, 6)]

    def lower(self, p, node, emit):
        batch, classes, anchors = node.inputs[0].shape
        dtype = node.outputs[0].dtype
        args = {
            "batch": batch,
            "anchors": anchors,
            "classes": classes,
            "clip": int(p.clip),
            "threshold": p.threshold,
            "nms_threshold": p.nms_threshold,
            "force_suppress": int(p.force_suppress),
            "nms_topk": p.nms_topk,
            **self.named(p),
        }
        size = scratch(dtype, 3 * batch * anchors, 7 * batch * anchors)
        emit("multibox_detection", dtype, args, node.inputs, node.outputs, scratch=size)


# ---- Proposal ------------------------------------------------------------------------------------------------------------


class MultiProposal(_Constant):
    """Regions that may hold objects: anchors moved by regression, the best of them that do not overlap too much, as rows
    of (image, left, top, right, bottom) in pixels. Where there are too few they are repeated."""

    name = "_contrib_MultiProposal"
    inputs = ("cls_prob", "bbox_pred", "im_info")
    outputs = ("output", "score")
    rpn_pre_nms_top_n = Int(6000, doc="boxes that are looked at; all when not positive")
    rpn_post_nms_top_n = Int(300, doc="regions of each image", min=1)
    threshold = Float(0.7, doc="overlap above which the worse of two boxes is dropped")
    rpn_min_size = Int(16, doc="boxes whose sides are shorter are made larger and come last", min=0)
    scales = Floats((4.0, 8.0, 16.0, 32.0), doc="sides of anchors, in strides")
    ratios = Floats((0.5, 1.0, 2.0), doc="height over width of anchors")
    feature_stride = Int(16, doc="pixels of the image for each of the feature map", min=1)
    output_score = Bool(False, doc="also gives the scores")
    iou_loss = Bool(False, doc="bbox_pred moves corners instead of centre and size")
    images: int | None = None  # how many there may be

    def visible(self, p):
        return 2 if p.output_score else 1

    def anchors(self, p):
        """Anchors at the first pixel."""
        side = p.feature_stride
        centre = 0.5 * (side - 1)
        found = []
        for ratio in p.ratios:
            width = math.floor(math.sqrt(math.floor(side * side / ratio)) + 0.5)
            height = math.floor(width * ratio + 0.5)
            for scale in p.scales:
                w, h = width * scale - 1, height * scale - 1
                found.append((centre - 0.5 * w, centre - 0.5 * h, centre + 0.5 * w, centre + 0.5 * h))
        return found

    def output_shapes(self, p, ins):
        scores, moves, info = ins
        count = len(p.scales) * len(p.ratios)
        batch, channels, *size = image(scores, "cls_prob")
        if channels != 2 * count or moves != (batch, 4 * count, *size):
            raise ShapeError(f"with {count} anchors cls_prob must have {2 * count} channels and bbox_pred {4 * count}")
        if info != (batch, 3):
            raise ShapeError(f"im_info must have shape ({batch}, 3): height, width and scale of each image")
        if self.images is not None and batch != self.images:
            raise ShapeError(f"cls_prob must be about {self.images} image; MultiProposal takes more")
        rows = batch * p.rpn_post_nms_top_n
        return [(rows, 5), (rows, 1)]

    def lower(self, p, node, emit):
        scores, moves, info = node.inputs
        batch, _, height, width = scores.shape
        boxes = self.anchors(p)
        size = ITEM_SIZES[scores.dtype]
        base = emit.temp((len(boxes), 4), scores.dtype)
        for i, number in enumerate(v for box in boxes for v in box):
            emit.fill(emit.view(base, (1,), offset=i * size), number)
        args = {
            "batch": batch,
            "anchors": len(boxes),
            "height": height,
            "width": width,
            "pre_nms": p.rpn_pre_nms_top_n,
            "post_nms": p.rpn_post_nms_top_n,
            "threshold": p.threshold,
            "min_size": float(p.rpn_min_size),
            "feature_stride": p.feature_stride,
            "iou_loss": int(p.iou_loss),
        }
        count = batch * len(boxes) * height * width
        space = scratch(scores.dtype, 2 * count, 7 * count)
        emit("proposal", scores.dtype, args, [scores, moves, info, base], node.outputs, scratch=space)


class Proposal(MultiProposal):
    """MultiProposal for one image."""

    name = "_contrib_Proposal"
    images = 1
