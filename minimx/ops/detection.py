"""Boxes that find objects: anchors, what they should find, and which of what they found to keep."""

from __future__ import annotations

import math

from ..base import ITEM_SIZES, ShapeError
from ..graph import apply, apply_all
from ..op import Op, product, share_dtype
from ..params import Bool, Enum, Float, Floats, Int
from .elemwise import F
from .resize import image

FORMAT = ("corner", "center")


def columns(value, count):
    """The numbers along the last axis, each as an array of its own."""
    return apply_all("SliceChannel", [value], num_outputs=count, axis=-1, squeeze_axis=True)


def scratch(dtype, whole, parts):
    """Bytes for so many int64 and so many elements."""
    return max(64, 8 * whole + max(4, ITEM_SIZES[dtype]) * parts)


class _Constant(Op, abstract=True):
    """Base of operators whose results are no function that has a derivative."""

    def gradient(self, p, node, grads):
        return [None] * len(node.inputs)


# ---- boxes ---------------------------------------------------------------------------------------------------------------


class BoxIou(_Constant):
    """Intersection over union of every box of lhs with every box of rhs; the last axis holds two corners, or centre and
    size."""

    name = "_contrib_box_iou"
    inputs = ("lhs", "rhs")
    format = Enum(FORMAT, "corner", doc="what the four numbers are")

    def output_shapes(self, p, ins):
        for name, shape in zip(self.inputs, ins, strict=True):
            if not shape or shape[-1] != 4:
                raise ShapeError(f"{name} must have boxes of 4 numbers along its last axis")
        return [(*ins[0][:-1], *ins[1][:-1]) or (1,)]

    def expand(self, p, node, train):
        sides = []
        for value, shape in zip(node.inputs, ((-1, 1), (1, -1)), strict=True):
            a, b, c, d = (F.Reshape(v, shape=shape) for v in columns(F.Reshape(value, shape=(-1, 4)), 4))
            sides.append((a, b, c, d) if p.format == "corner" else corners(a, b, c, d))
        (l1, t1, r1, b1), (l2, t2, r2, b2) = sides
        wide = F.relu(F.broadcast_minimum(r1, r2) - F.broadcast_maximum(l1, l2))
        common = wide * F.relu(F.broadcast_minimum(b1, b2) - F.broadcast_maximum(t1, t2))
        whole = F.relu(r1 - l1) * F.relu(b1 - t1) + F.relu(r2 - l2) * F.relu(b2 - t2) - common
        share = F.where(whole > 0, common / whole, F.zeros_like(whole))
        return [F.Reshape(share, shape=node.outputs[0].shape)]


def corners(x, y, w, h):
    return x - w * 0.5, y - h * 0.5, x + w * 0.5, y + h * 0.5


def centred(left, top, right, bottom):
    """Centre and size of boxes given by corners."""
    return (left + right) * 0.5, (top + bottom) * 0.5, right - left, bottom - top


class BoxEncode(_Constant):
    """How far the box each anchor is matched with is from it, as regression targets, and a mask of the anchors (samples
    above 0.5) that have one."""

    name = "_contrib_box_encode"
    inputs = ("samples", "matches", "anchors", "refs", "means", "stds")
    outputs = ("output0", "output1")

    def output_shapes(self, p, ins):
        samples, matches, anchors, refs, means, stds = ins
        if len(samples) != 2 or matches != samples:
            raise ShapeError("samples and matches must have shape (batch, anchors)")
        if len(anchors) != 3 or anchors[0] not in (1, samples[0]) or anchors[1:] != (samples[1], 4):
            raise ShapeError("anchors must have shape (batch or 1, anchors, 4)")
        if len(refs) != 3 or refs[0] != samples[0] or refs[2] != 4:
            raise ShapeError("refs must have shape (batch, objects, 4)")
        if product(means) != 4 or product(stds) != 4:
            raise ShapeError("means and stds must have 4 elements")
        return [(*samples, 4)] * 2

    def infer_types(self, p, ins, outs):
        share_dtype(ins, outs, of=range(len(ins)))

    def expand(self, p, node, train):
        samples, matches, anchors, refs, means, stds = node.inputs
        batch, count = samples.shape
        row = F.Reshape(F._arange(start=0, stop=batch, dtype=matches.dtype), shape=(batch, 1))
        row = F.broadcast_to(row, shape=(batch, count))
        matched = F.gather_nd(refs, apply("stack", [row, matches]))
        ours, theirs = centred(*columns(anchors, 4)), centred(*columns(matched, 4))
        apart = [(t - o) / size for o, t, size in zip(ours[:2], theirs[:2], ours[2:], strict=True)]
        ratio = [F.log(t / o) for o, t in zip(ours[2:], theirs[2:], strict=True)]
        target = apply("stack", apart + ratio, axis=-1)
        means, stds = (F.Reshape(v, shape=(1, 1, 4)) for v in (means, stds))
        mask = F.broadcast_to(F.Reshape(samples > 0.5, shape=(batch, count, 1)), shape=(batch, count, 4))
        return [F.where(mask, (target - means) / stds, F.zeros_like(target)), mask]


class BoxDecode(_Constant):
    """The boxes, as corners, that regression from anchors means."""

    name = "_contrib_box_decode"
    inputs = ("data", "anchors")
    std0 = Float(1.0, doc="what the movement along x is multiplied by")
    std1 = Float(1.0, doc="what the movement along y is multiplied by")
    std2 = Float(1.0, doc="what the logarithm of the width is multiplied by")
    std3 = Float(1.0, doc="what the logarithm of the height is multiplied by")
    clip = Float(-1.0, doc="the largest logarithm of a size; no limit when not positive")
    format = Enum(("corner", "center"), "center", doc="what the four numbers of an anchor are")

    def output_shapes(self, p, ins):
        data, anchors = ins
        if len(data) != 3 or data[2] != 4 or len(anchors) != 3 or anchors[1:] != data[1:]:
            raise ShapeError("data must have shape (batch, anchors, 4) and anchors (1, anchors, 4)")
        return [data]

    def expand(self, p, node, train):
        dx, dy, dw, dh = columns(node.inputs[0], 4)
        x, y, w, h = columns(node.inputs[1], 4)
        if p.format == "corner":
            x, y, w, h = centred(x, y, w, h)
        wide, high = dw * p.std2, dh * p.std3
        if p.clip > 0:
            wide, high = (F._minimum_scalar(v, scalar=p.clip) for v in (wide, high))
        box = corners(dx * p.std0 * w + x, dy * p.std1 * h + y, F.exp(wide) * w, F.exp(high) * h)
        return [apply("stack", list(box), axis=-1)]


class BoxNms(Op):
    """Takes boxes by falling score and drops those that overlap an earlier one of their class too much. The boxes that are
    kept come first, rows of -1 after them."""

    name = "_contrib_box_nms"
    aliases = ("_contrib_box_non_maximum_suppression",)
    outputs = ("output0", "output1")
    overlap_thresh = Float(0.5, doc="the largest overlap that is kept")
    valid_thresh = Float(0.0, doc="scores that are not above it do not count")
    topk = Int(-1, doc="how many boxes are looked at; all when not positive")
    coord_start = Int(2, doc="where the four coordinates of a box begin", min=0)
    score_index = Int(1, doc="where its score stands", min=0)
    id_index = Int(-1, doc="where its class stands; -1 when it has none", min=-1)
    background_id = Int(-1, doc="the class that does not count")
    force_suppress = Bool(False, doc="boxes of other classes drop each other, too")
    in_format = Enum(FORMAT, "corner", doc="what the coordinates are")
    out_format = Enum(FORMAT, "corner", doc="what the coordinates become")

    def visible(self, p):
        return 1

    def output_shapes(self, p, ins):
        data = ins[0]
        if len(data) < 2 or data[-1] < max(p.coord_start + 4, p.score_index + 1, p.id_index + 1):
            raise ShapeError(
                "data must have rows that hold four coordinates, the score and the class along the last axis"
            )
        return [data, data[:-1]]

    def infer_types(self, p, ins, outs):
        share_dtype(ins, outs[:1])
        outs[0] = ins[0] = ins[0] or outs[0]
        outs[1] = "int64"

    def gradient(self, p, node, grads):
        return [apply("_pull_rows", [grads[0], node.outputs[1]])]

    def lower(self, p, node, emit):
        (data,) = node.inputs
        batch, boxes, width = product(data.shape[:-2]), *data.shape[-2:]
        args = {
            "batch": batch,
            "boxes": boxes,
            "width": width,
            **{n: int(v) if isinstance(v, bool) else v for n, v in p._asdict().items() if not n.endswith("format")},
            "in_center": int(p.in_format == "center"),
            "out_center": int(p.out_format == "center"),
        }
        size = scratch(data.dtype, 2 * batch * boxes, 7 * batch * boxes)
        emit("box_nms", data.dtype, args, [data], node.outputs, scratch=size)


class PullRows(Op):
    """The gradient of an operator that moves rows to `slots`: each takes what arrived there."""

    name = "_pull_rows"
    inputs = ("grad", "slots")

    def output_shapes(self, p, ins):
        return [ins[0]]

    def infer_types(self, p, ins, outs):
        share_dtype(ins, outs)

    def lower(self, p, node, emit):
        grad, slots = node.inputs
        args = {"batch": product(grad.shape[:-2]), "rows": grad.shape[-2], "width": grad.shape[-1]}
        emit("pull_rows", grad.dtype, args, [grad, emit.cast(slots, "int64")], node.outputs)


class BipartiteMatching(_Constant):
    """Pairs rows and columns of score matrices, the best score first, each row and column once: the column of each row,
    and the row of each column, or -1."""

    name = "_contrib_bipartite_matching"
    outputs = ("output0", "output1")
    is_ascend = Bool(False, doc="low scores are the good ones")
    threshold = Float(doc="pairs whose score is not better are not made")
    topk = Int(-1, doc="how many pairs are made at most; any number when not positive")

    def output_shapes(self, p, ins):
        if len(ins[0]) < 2:
            raise ShapeError("data must have at least two dimensions")
        return [ins[0][:-1], (*ins[0][:-2], ins[0][-1])]

    def lower(self, p, node, emit):
        (data,) = node.inputs
        batch, rows, count = product(data.shape[:-2]), *data.shape[-2:]
        args = {
            "batch": batch,
            "rows": rows,
            "columns": count,
            "is_ascend": int(p.is_ascend),
            "topk": p.topk,
            "threshold": p.threshold,
        }
        size = scratch(data.dtype, 2 * data.size, data.size)
        emit("bipartite_matching", data.dtype, args, [data], node.outputs, scratch=size)


# ---- MultiBox ------------------------------------------------------------------------------------------------------------


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
