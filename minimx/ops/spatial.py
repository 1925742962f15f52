"""Images read at the points of a grid: GridGenerator, BilinearSampler, SpatialTransformer."""

from __future__ import annotations

from ..base import ShapeError
from ..graph import apply, apply_all
from ..op import Op, product, unify
from ..params import Bool, Enum, Shape
from .elemwise import F
from .resize import image


def line(n, ndim, axis, dtype):
    """-1 to 1 in n equal steps along one of the axes."""
    step = 2 / max(n - 1, 1)
    shape = [1] * ndim
    shape[axis] = n
    numbers = F._arange(start=0, stop=n, dtype=dtype) * step + -1.0
    return F.Reshape(numbers, shape=shape)


class GridGenerator(Op):
    """Grids for BilinearSampler: x and y of every point, from -1 to 1, moved by an affine map given as (batch, 6) numbers,
    or by (batch, 2, height, width) distances in pixels (warp)."""

    transform_type = Enum(("affine", "warp"), doc="what data hold")
    target_shape = Shape((0, 0), doc="height and width of the grid, with affine", min=0)

    def output_shapes(self, p, ins):
        data = ins[0]
        if p.transform_type == "warp":
            if len(data) != 4 or data[1] != 2:
                raise ShapeError("data must have shape (batch, 2, height, width) with transform_type 'warp'")
            return [data]
        if len(p.target_shape) != 2 or min(p.target_shape) < 1:
            raise ShapeError(f"target_shape must be a height and a width, got {p.target_shape}")
        if len(data) != 2 or data[1] != 6:
            raise ShapeError("data must have shape (batch, 6) with transform_type 'affine'")
        return [(data[0], 2, *p.target_shape)]

    def complete_shapes(self, p, ins, outs):
        if p.transform_type == "affine":
            ins[0] = unify(ins[0], (-1, 6), "data and (batch, 6):")

    def expand(self, p, node, train):
        (data,) = node.inputs
        shape = node.outputs[0].shape
        height, width = shape[2:]
        across, down = line(width, 2, 1, data.dtype), line(height, 2, 0, data.dtype)
        if p.transform_type == "warp":
            x, y = apply_all("SliceChannel", [data], num_outputs=2, axis=1)
            x = x * (2 / max(width - 1, 1)) + F.Reshape(across, shape=(1, 1, 1, width))
            y = y * (2 / max(height - 1, 1)) + F.Reshape(down, shape=(1, 1, height, 1))
            return [apply("Concat", [x, y], dim=1)]
        size = (height, width)
        rows = [F.broadcast_to(v, shape=size) for v in (across, down)] + [F._ones(shape=size, dtype=data.dtype)]
        points = F.Reshape(apply("stack", rows), shape=(3, height * width))
        return [F.Reshape(F.dot(F.Reshape(data, shape=(-1, 3)), points), shape=shape)]


class BilinearSampler(Op):
    """Reads every image at the points of a grid (x and y from -1 to 1), between pixels as the mean of the four around
    the point, weighted by closeness; beyond the image there are zeros."""

    inputs = ("data", "grid")
    cudnn_off = Bool(None, doc="accepted for MXNet's sake")

    def output_shapes(self, p, ins):
        data, grid = image(ins[0]), image(ins[1], "grid")
        if grid[0] != data[0] or grid[1] != 2:
            raise ShapeError(f"grid must have shape ({data[0]}, 2, height, width)")
        return [(*data[:2], *grid[2:])]

    def gradient(self, p, node, grads):
        data, grid = node.inputs
        return [
            apply("_bilinear_sampler_data_gradient", [grads[0], grid], shape=data.shape),
            apply("_bilinear_sampler_grid_gradient", [grads[0], data, grid]),
        ]

    def lower(self, p, node, emit):
        data, grid = node.inputs
        emit("bilinear_sampler", data.dtype, sampler_args(data.shape, grid.shape), [data, grid], node.outputs)


def sampler_args(data, grid):
    names = ("images", "channels", "height", "width")
    return {**dict(zip(names, data, strict=True)), "points": product(grid[2:])}


class BilinearSamplerDataGradient(Op):
    """The gradient of BilinearSampler's data."""

    name = "_bilinear_sampler_data_gradient"
    inputs = ("grad", "grid")
    shape = Shape(doc="of the data")

    def output_shapes(self, p, ins):
        return [p.shape]

    def gradient(self, p, node, grads):
        grad, grid = node.inputs
        return [
            apply("BilinearSampler", [grads[0], grid]),
            apply("_bilinear_sampler_grid_gradient", [grad, grads[0], grid]),
        ]

    def lower(self, p, node, emit):
        grid = node.inputs[1]
        args = sampler_args(p.shape, grid.shape)
        emit("bilinear_sampler_data_gradient", grid.dtype, args, node.inputs, node.outputs)


class BilinearSamplerGridGradient(Op):
    """The gradient of BilinearSampler's grid."""

    name = "_bilinear_sampler_grid_gradient"
    inputs = ("grad", "data", "grid")

    def output_shapes(self, p, ins):
        return [ins[2]]

    def lower(self, p, node, emit):
        _, data, grid = node.inputs
        args = sampler_args(data.shape, grid.shape)
        emit("bilinear_sampler_grid_gradient", data.dtype, args, node.inputs, node.outputs)


class SpatialTransformer(Op):
    """Reads every image through an affine map of its own: a GridGenerator and a BilinearSampler."""

    inputs = ("data", "loc")
    target_shape = Shape((0, 0), doc="height and width of the output", min=0)
    transform_type = Enum(("affine",), doc="accepted when affine: what loc holds")
    sampler_type = Enum(("bilinear",), doc="accepted when bilinear: how the image is read")
    cudnn_off = Bool(None, doc="accepted for MXNet's sake")

    def complete_shapes(self, p, ins, outs):
        ins[1] = unify(ins[1], (-1 if ins[0] is None else ins[0][0], 6), "loc and (batch, 6):")

    def output_shapes(self, p, ins):
        data = image(ins[0])
        if len(p.target_shape) != 2 or min(p.target_shape) < 1:
            raise ShapeError(f"target_shape must be a height and a width, got {p.target_shape}")
        return [(*data[:2], *p.target_shape)]

    def expand(self, p, node, train):
        data, loc = node.inputs
        grid = apply("GridGenerator", [loc], transform_type="affine", target_shape=p.target_shape)
        return [apply("BilinearSampler", [data, grid])]
