"""Regions of images brought to one size each: ROIPooling, ROIAlign and their kin. Regions get no gradient."""

from __future__ import annotations

from ..base import ITEM_SIZES, ShapeError
from ..graph import apply
from ..op import Op, share_dtype
from ..params import Bool, Float, Int, Shape
from .resize import image


class _Regions(Op, abstract=True):
    """Base of operators on images and regions."""

    inputs = ("data", "rois")
    numbers = 5  # that describe a region
    kernel = ""

    def infer_types(self, p, ins, outs):
        share_dtype(ins, outs, of=[0, 1])

    def check(self, ins):
        image(ins[0])
        if len(ins[1]) != 2 or ins[1][1] != self.numbers:
            raise ShapeError(f"rois must have shape (regions, {self.numbers})")

    def args(self, p, data, rois):
        raise NotImplementedError

    def scratch(self, p, data, emit):
        return 0

    def lower(self, p, node, emit):
        data, rois = node.inputs[:2]
        args = self.args(p, data.shape, rois.shape)
        emit(self.kernel, data.dtype, args, node.inputs, node.outputs, scratch=self.scratch(p, data, emit))


class _RegionsGradient(_Regions, abstract=True):
    """The gradient of the data."""

    shape = Shape(doc="of the data")

    def output_shapes(self, p, ins):
        return [p.shape]

    def infer_types(self, p, ins, outs):
        share_dtype(ins, outs, of=range(len(ins)))

    def lower(self, p, node, emit):
        rois = node.inputs[self.inputs.index("rois")]
        args = self.args(p, p.shape, rois.shape)
        out = node.outputs[0]
        emit(self.kernel, out.dtype, args, node.inputs, [out], scratch=self.scratch(p, out, emit))


# ---- bins of one channel -------------------------------------------------------------------------------------------------


class _Pooled(Op, abstract=True):
    pooled_size = Shape(doc="height and width of the output", min=1)
    spatial_scale = Float(doc="pixels per unit of the regions")

    def pooled_args(self, p, data, rois, samples=0, position_sensitive=False, aligned=False):
        if len(p.pooled_size) != 2:
            raise ShapeError(f"pooled_size must be a height and a width, got {p.pooled_size}")
        return {
            **dict(zip(("images", "channels", "height", "width"), data, strict=True)),
            "rois": rois[0],
            **dict(zip(("pooled_height", "pooled_width"), p.pooled_size, strict=True)),
            "scale": p.spatial_scale,
            "sample_ratio": max(samples, 0),
            "position_sensitive": int(position_sensitive),
            "aligned": int(aligned),
        }

    def args(self, p, data, rois):
        return self.pooled_args(p, data, rois)

    def pooled_shape(self, p, ins):
        self.check(ins)
        self.args(p, *ins[:2])
        return [(ins[1][0], ins[0][1], *p.pooled_size)]


class ROIPooling(_Pooled, _Regions):
    """Cuts each region into bins of whole pixels and takes the maximum of each. A region is the number of an image and two
    corners, (image, x1, y1, x2, y2)."""

    kernel = "roi_pool"

    def output_shapes(self, p, ins):
        return self.pooled_shape(p, ins)

    def gradient(self, p, node, grads):
        data, rois = node.inputs
        return [apply("_roi_pooling_gradient", [grads[0], data, rois], shape=data.shape, **p._asdict()), None]


class ROIPoolingGradient(_Pooled, _RegionsGradient):
    """The gradient of ROIPooling's data."""

    name = "_roi_pooling_gradient"
    inputs = ("grad", "data", "rois")
    kernel = "roi_pool_gradient"


class _Aligned(_Pooled, abstract=True):
    sample_ratio = Int(-1, doc="points per bin along each axis; as many as it has pixels when not positive")
    position_sensitive = Bool(False, doc="each bin reads a channel of its own")
    aligned = Bool(False, doc="coordinates are those of pixels' centres, half a pixel less")

    def args(self, p, data, rois):
        return self.pooled_args(p, data, rois, p.sample_ratio, p.position_sensitive, p.aligned)

    def scratch(self, p, data, emit):
        (height, width), (rows, columns) = data.shape[2:], p.pooled_size
        elements = rows * height + (columns + 1) * width
        return max(64, emit.threads * elements * max(4, ITEM_SIZES[data.dtype]))


class ROIAlign(_Aligned, _Regions):
    """Cuts each region into bins and takes the mean of points in each, read between the pixels around them. A region is
    the number of an image and two corners, (image, x1, y1, x2, y2)."""

    name = "_contrib_ROIAlign"
    param_order = ("pooled_size", "spatial_scale", "sample_ratio", "position_sensitive", "aligned")
    kernel = "roi_align"

    def output_shapes(self, p, ins):
        (shape,) = self.pooled_shape(p, ins)
        bins = p.pooled_size[0] * p.pooled_size[1]
        if not p.position_sensitive:
            return [shape]
        if shape[1] % bins:
            raise ShapeError(f"{shape[1]} channels cannot be cut into {bins}, one for each bin")
        return [(shape[0], shape[1] // bins, *shape[2:])]

    def gradient(self, p, node, grads):
        data, rois = node.inputs
        return [apply("_roi_align_gradient", [grads[0], rois], shape=data.shape, **p._asdict()), None]


class ROIAlignGradient(_Aligned, _RegionsGradient):
    """The gradient of ROIAlign's data."""

    name = "_roi_align_gradient"
    inputs = ("grad", "rois")
    kernel = "roi_align_gradient"

    def gradient(self, p, node, grads):
        own = {n: v for n, v in p._asdict().items() if n != "shape"}
        return [apply("_contrib_ROIAlign", [grads[0], node.inputs[1]], **own), None]


class _Rotated(_Pooled, abstract=True):
    numbers = 6
    sampling_ratio = Int(-1, doc="points per bin along each axis; as many as it has pixels when not positive")

    def args(self, p, data, rois):
        return self.pooled_args(p, data, rois, p.sampling_ratio)


class RROIAlign(_Rotated, _Regions):
    """ROIAlign for turned regions: (image, centre x, centre y, width, height, angle in degrees)."""

    name = "_contrib_RROIAlign"
    param_order = ("pooled_size", "spatial_scale")
    kernel = "rotated_roi"

    def output_shapes(self, p, ins):
        return self.pooled_shape(p, ins)

    def gradient(self, p, node, grads):
        data, rois = node.inputs
        return [apply("_rotated_roi_gradient", [grads[0], rois], shape=data.shape, **p._asdict()), None]


class RotatedRoiGradient(_Rotated, _RegionsGradient):
    """The gradient of RROIAlign's data."""

    name = "_rotated_roi_gradient"
    inputs = ("grad", "rois")
    kernel = "rotated_roi_gradient"

    def gradient(self, p, node, grads):
        own = {n: v for n, v in p._asdict().items() if n != "shape"}
        return [apply("_contrib_RROIAlign", [grads[0], node.inputs[1]], **own), None]


# ---- a channel for each bin ----------------------------------------------------------------------------------------------


class _PositionSensitive(Op, abstract=True):
    spatial_scale = Float(doc="pixels per unit of the regions")
    output_dim = Int(doc="channels of the output", min=1)
    pooled_size = Int(doc="height and width of the output", min=1)
    group_size = Int(
        0, doc="parts of a region along each axis that have channels of their own; 0 for pooled_size", min=0
    )

    def groups(self, p):
        return p.group_size or p.pooled_size

    def args(self, p, data, rois):
        wanted = p.output_dim * self.groups(p) ** 2
        if data[1] != wanted:
            raise ShapeError(f"data must have output_dim * group_size² = {wanted} channels, got {data[1]}")
        return {
            **dict(zip(("images", "channels", "height", "width"), data, strict=True)),
            "rois": rois[0],
            "output_dim": p.output_dim,
            "group_size": self.groups(p),
            "pooled_size": p.pooled_size,
            "part_size": 1,
            "sample_per_part": 1,
            "classes": 0,
            "scale": p.spatial_scale,
            "trans_std": 0.0,
        }

    def pooled_shape(self, p, ins):
        self.check(ins)
        self.args(p, *ins[:2])
        return [(ins[1][0], p.output_dim, p.pooled_size, p.pooled_size)]


class PSROIPooling(_PositionSensitive, _Regions):
    """Cuts each region into bins of whole pixels and takes the mean of each, every bin from channels of its own."""

    name = "_contrib_PSROIPooling"
    kernel = "ps_roi"

    def output_shapes(self, p, ins):
        return self.pooled_shape(p, ins)

    def gradient(self, p, node, grads):
        data, rois = node.inputs
        return [apply("_ps_roi_gradient", [grads[0], rois], shape=data.shape, **p._asdict()), None]


class PsRoiGradient(_PositionSensitive, _RegionsGradient):
    """The gradient of PSROIPooling's data."""

    name = "_ps_roi_gradient"
    inputs = ("grad", "rois")
    kernel = "ps_roi_gradient"

    def gradient(self, p, node, grads):
        own = {n: v for n, v in p._asdict().items() if n != "shape"}
        return [apply("_contrib_PSROIPooling", [grads[0], node.inputs[1]], **own), None]


class _Deformable(_PositionSensitive, abstract=True):
    group_size = Int(doc="parts of a region along each axis that have channels of their own", min=1)
    part_size = Int(0, doc="parts of a region along each axis that are moved apart; 0 for pooled_size", min=0)
    sample_per_part = Int(1, doc="points per bin along each axis", min=1)
    trans_std = Float(0.0, doc="what movements are multiplied by, besides the size of the region", min=0, max=1)
    no_trans = Bool(False, doc="nothing is moved and there is no trans")

    def input_names(self, p):
        return tuple(n for n in self.inputs if n != "trans" or not p.no_trans)

    def parts(self, p):
        return p.part_size or p.pooled_size

    def classes(self, p, trans):
        """How many classes have movements of their own."""
        if trans is None:
            return 0
        parts = self.parts(p)
        if len(trans) != 4 or trans[1] % 2 or trans[1] == 0 or trans[2:] != (parts, parts):
            raise ShapeError(f"trans must have shape (regions, 2 classes, {parts}, {parts})")
        if p.output_dim % (trans[1] // 2):
            raise ShapeError(f"output_dim {p.output_dim} must be a multiple of the {trans[1] // 2} classes of trans")
        return trans[1] // 2

    def deformed_args(self, p, data, rois, trans):
        return {
            **self.args(p, data, rois),
            "part_size": self.parts(p),
            "sample_per_part": p.sample_per_part,
            "classes": self.classes(p, trans),
            "trans_std": p.trans_std,
        }

    def call(self, p, node, emit, data, outs):
        named = dict(zip(self.input_names(p), node.inputs, strict=True))
        trans = named.get("trans")
        args = self.deformed_args(p, data, named["rois"].shape, trans and trans.shape)
        emit(self.kernel, node.outputs[0].dtype, args, [named.get(n) for n in self.inputs], outs)


class DeformablePSROIPooling(_Deformable, _Regions):
    """PSROIPooling from points between the pixels, where every part of a region is moved by what `trans` holds."""

    name = "_contrib_DeformablePSROIPooling"
    param_order = ("spatial_scale", "output_dim", "group_size", "pooled_size")
    inputs = ("data", "rois", "trans")
    kernel = "deformable_roi"

    def infer_types(self, p, ins, outs):
        share_dtype(ins, outs, of=range(len(ins)))

    def output_shapes(self, p, ins):
        self.deformed_args(p, *ins[:2], ins[2] if len(ins) == 3 else None)
        if len(ins) == 3 and ins[2][0] != ins[1][0]:
            raise ShapeError("trans and rois must be about the same number of regions")
        return self.pooled_shape(p, ins)

    def gradient(self, p, node, grads):
        data, *places = node.inputs
        own = p._asdict()
        result = [apply("_deformable_roi_gradient", [grads[0], *places], shape=data.shape, **own), None]
        if not p.no_trans:
            result.append(apply("_deformable_roi_trans", [grads[0], data, *places], **own))
        return result

    def lower(self, p, node, emit):
        self.call(p, node, emit, node.inputs[0].shape, node.outputs)


class DeformableRoiGradient(_Deformable, _RegionsGradient):
    """The gradient of DeformablePSROIPooling's data."""

    name = "_deformable_roi_gradient"
    inputs = ("grad", "rois", "trans")
    kernel = "deformable_roi_gradient"

    def lower(self, p, node, emit):
        self.call(p, node, emit, p.shape, node.outputs)


class DeformableRoiTrans(_Deformable, _Regions):
    """The gradient of what moves the bins of DeformablePSROIPooling."""

    name = "_deformable_roi_trans"
    inputs = ("grad", "data", "rois", "trans")
    kernel = "deformable_roi_trans"
    no_trans = Bool(False, doc="accepted so that the parameters are those of the layer")

    def infer_types(self, p, ins, outs):
        share_dtype(ins, outs, of=range(len(ins)))

    def output_shapes(self, p, ins):
        return [ins[3]]

    def lower(self, p, node, emit):
        self.call(p, node, emit, node.inputs[1].shape, node.outputs)
