"""Boxes: how much they overlap, how they are told from anchors, which of them to keep and which belong together."""

from __future__ import annotations

from ..base import ITEM_SIZES, ShapeError
from ..graph import apply, apply_all
from ..op import Op, product, share_dtype
from ..params import Bool, Enum, Float, Int
from .elemwise import F

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
