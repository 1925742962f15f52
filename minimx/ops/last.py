"""Convolution and pooling of images with the channels last: what the layout pass turns those of users into.

Users never see these operators. They answer to kernels that only the CPU has (csrc/args/conv_last.h, pool_last.h).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..base import ITEM_SIZES
from ..graph import Node, Value, apply_op
from ..op import Op, product
from ..params import Bool, Int, Shape
from ..passes.lower import multiplies
from .linear import EXACT, emit_gemm

# Elements of input that a thread works on at once: a quarter of a large second-level cache.
BOX = 128 * 1024
# As in csrc/cpu/conv_last.cpp and conv_winograd_gradient.cpp.
STRIP, FILTERS_AT_ONCE = 256, 512
PARTS, SUMS_OF_A_PART, MANY_PIXELS = 8, 1 << 17, 4096
WIDE = BLOCK_CHANNELS = 16
# Numbers that transformed tiles of a weight gradient may take: a quarter of a third-level cache.
TILES = 2 * 1024 * 1024
# Transformed weights that take a good part of a third-level cache.
MANY_WEIGHTS = 4 * 1024 * 1024
LP = 3  # of enum PoolType in csrc/args/pool.h


def up(n: int, to: int = 64) -> int:
    return -(-n // to) * to


class _Windows(Op, abstract=True):
    kernel = Shape()
    stride = Shape()
    dilate = Shape()
    pad = Shape()


class _Convolving(_Windows, abstract=True):
    """Those of bfloat16 work on pairs of channels; their packed weights are pairs, their bias and scale float32."""

    tile = Int(0)  # of Winograd's way; 0 for the direct one

    def infer_types(self, p, ins, outs):
        outs[0] = ins[0]


def geometry(p: Any, data: Sequence[int], out: Sequence[int], scratch: int) -> dict[str, Any]:
    """The arguments for images of shape `data` that become images of shape `out`."""
    return {
        "batch": data[0],
        "channels": data[3],
        "filters": out[3],
        "in": list(data[1:3]),
        "out": list(out[1:3]),
        "kernel": list(p.kernel),
        "stride": list(p.stride),
        "dilate": list(p.dilate),
        "pad": list(p.pad),
        "activation": 0,
        "scratch": scratch,
        "tile": p.tile,
        "pitch": 0,
    }


def depth_of(images: Value) -> int:
    """What a sweep over images counts in a pixel: channels, or pairs of them."""
    channels = images.shape[3]
    return (channels + 1) // 2 if images.dtype == "bfloat16" else channels


def sweep_scratch(threads: int, rows: int, columns: int, depth: int, taps: int, whole: int) -> int:
    """Elements for boxes of an input that is `columns` wide: at least one row of output's, which sees `rows` of them.
    Elements of bfloat16 are pairs of channels."""
    pixel = depth + 2 * WIDE
    runs = up(2 * -(-depth // 64) * taps) + 64
    return threads * up(runs + up(max(rows * columns * pixel, min(BOX, whole * columns * pixel))))


class Tiling(NamedTuple):
    """Winograd's way of one convolution: tiles of `tile` x `tile` outputs for the windows that a stride makes of one, which
    have `taps` x `taps` taps, and of which there are `phases`."""

    tile: int
    taps: int
    phases: int

    @property
    def elements(self) -> int:
        """What a tile is transformed to."""
        return (self.tile + self.taps - 1) ** 2


def tiling(p: Any, tile: int) -> Tiling:
    return Tiling(tile, p.kernel[0] // p.stride[0], product(p.stride))


def winograd_tiles(elements: int, depth: int, width: int) -> int:
    """How many tiles one thread takes at once: what they are transformed to and their sums should stay in the second-level
    cache, unless there are so many weights that reading them again costs more. Measured. At the least they fill the tiles
    of products, of 6 or of 14 each."""
    room = 1_500_000 if elements * depth * width > MANY_WEIGHTS else 160_000
    return max(42, room // (elements * (depth + width)))


def winograd_sums_scratch(elements: int, depth: int, width: int, tiles: int) -> int:
    """Numbers for a weight gradient in Winograd's way: sums, and what `tiles` tiles of both operands become."""
    at_once = max(1, min(tiles, TILES // (elements * (depth + width))))
    return elements * (up(width, WIDE) * depth + 32 + at_once * (depth + 2 * WIDE + up(width, WIDE)))


def winograd_blocks_scratch(threads: int, way: Tiling, depth: int, width: int, tiles: int) -> int:
    """The same with a block of sums for every thread and all tiles at once."""
    block = way.phases * BLOCK_CHANNELS * 2 * WIDE + 32
    return way.elements * (32 + tiles * (depth + 2 * WIDE + up(width, WIDE)) + threads * block)


def winograd_scratch(threads: int, elements: int, depth: int, width: int) -> int:
    return threads * up(elements * (depth + width + width // 8 + 80) * winograd_tiles(elements, depth, width))


class PackedWeights(_Convolving, abstract=True):
    """Weights in the order in which the kernels read them; turned: those of the data gradient."""

    name = "_conv_last_weights"
    inputs = ("weight",)
    turned = Bool(False)
    pairs = Bool(False)  # of bfloat16, whatever the weights are

    def infer_types(self, p, ins, outs):
        outs[0] = "bfloat16" if p.pairs else ins[0]

    def output_shapes(self, p, ins):
        (filters, channels, *kernel) = ins[0]
        rows, width = (filters, channels) if p.turned else (channels, filters)
        rows = up(rows, 2) if p.pairs else rows
        way = tiling(p, p.tile)
        return [((way.elements * way.phases if p.tile else product(kernel)) * rows * up(width, WIDE),)]

    def lower(self, p, node, emit):
        (weight,), (out,) = node.inputs, node.outputs
        filters, channels = weight.shape[:2]
        # Any image will do that the window fits into once.
        args = geometry(p, (1, *p.kernel, channels), (1, 1, 1, filters), 0)
        args["pad"] = [0, 0]
        kernel = ("conv_winograd_" if p.tile else "conv_last_") + ("turned" if p.turned else "weights")
        kept = emit.keep(weight, out)
        dtype = weight.dtype if weight.dtype == out.dtype else f"{weight.dtype}.{out.dtype}"
        emit(kernel, dtype, args, [weight], [out])
        emit.calls[-1].kept = kept


class ConvLast(_Convolving, abstract=True):
    """The convolution itself."""

    name = "_conv_last"
    takes_riders = (*EXACT, "bfloat16")
    takes_gate = EXACT
    out = Shape()
    bias = Bool()
    scaled = Bool()

    def writes_rows_apart(self, p, node):
        return node.outputs[0].dtype in EXACT

    def input_names(self, p):
        return ("data", "weight", *(("bias",) if p.bias else ()), *(("scale",) if p.scaled else ()))

    def output_shapes(self, p, ins):
        return [p.out]

    def lower(self, p, node, emit):
        (data, weight, *rest), (out,) = node.inputs, node.outputs
        rows = (p.kernel[0] - 1) * p.dilate[0] + 1
        if p.tile:
            way = tiling(p, p.tile)
            elements = winograd_scratch(emit.threads, way.elements, way.phases * data.shape[3], out.shape[3])
        else:
            columns = data.shape[2] + 2 * p.pad[1]
            elements = sweep_scratch(
                emit.threads, rows, columns, depth_of(data), product(p.kernel), data.shape[1] + rows
            )
        if out.dtype == "bfloat16":
            rest = [emit.cast(v, "float32") for v in rest]
        bias, scale = [*rest, None, None][:2]
        emit(
            "conv_winograd_forward" if p.tile else "conv_last_forward",
            out.dtype,
            geometry(p, data.shape, out.shape, elements) | {"pitch": emit.pitch(out)},
            [data, weight, bias, None, scale],
            [out],
            scratch=elements * max(4, ITEM_SIZES[out.dtype]),
        )


class ConvLastDataGradient(_Convolving, abstract=True):
    name = "_conv_last_data_gradient"
    inputs = ("grad", "weight")
    takes_riders = takes_gate = EXACT
    shape = Shape()

    def output_shapes(self, p, ins):
        return [p.shape]

    def lower(self, p, node, emit):
        (grad, weight), (out,) = node.inputs, node.outputs
        rows = (p.kernel[0] - 1) * p.dilate[0] + 1
        columns = max(grad.shape[2], -(-out.shape[2] // p.stride[1])) + 2 * p.kernel[1] * p.dilate[1]
        whole = max(grad.shape[1], -(-out.shape[1] // p.stride[0])) + 2 * rows
        if p.tile:
            elements = winograd_scratch(emit.threads, tiling(p, p.tile).elements, grad.shape[3], out.shape[3])
        else:
            elements = sweep_scratch(emit.threads, rows, columns, depth_of(grad), product(p.kernel), whole)
        args = geometry(p, out.shape, grad.shape, elements)
        emit(
            "conv_winograd_data_gradient" if p.tile else "conv_last_data_gradient",
            out.dtype,
            args,
            [grad, weight, None, None, None],
            [out],
            scratch=elements * max(4, ITEM_SIZES[out.dtype]),
        )


class ConvLastWeightGradient(_Convolving, abstract=True):
    name = "_conv_last_weight_gradient"
    inputs = ("data", "grad")

    def output_shapes(self, p, ins):
        data, grad = ins
        return [(grad[3], data[3], *p.kernel)]

    def lower(self, p, node, emit):
        (data, grad), (out,) = node.inputs, node.outputs
        if out.dtype == "bfloat16" and data.shape[:3] == grad.shape[:3] and p.kernel == (1, 1) and not any(p.pad):
            # Pairs of pixels: a product of matrices. Other windows are summed up in float32.
            sizes = {"m": grad.shape[3], "n": data.shape[3], "k": product(data.shape[:3])}
            emit_gemm(emit, grad, data, out, transpose_a=True, **sizes)
            return
        terms, width = product(p.kernel) * data.shape[3], up(grad.shape[3], WIDE)
        if p.tile:
            tiles = grad.shape[0] * -(-grad.shape[1] // p.tile) * -(-grad.shape[2] // p.tile)
            way = tiling(p, p.tile)
            depth, filters = way.phases * data.shape[3], grad.shape[3]
            # Sums that are more than a cache takes, and more than all tiles, are made block by block.
            if way.elements * depth * filters > MANY_WEIGHTS and 2 * tiles * (depth + filters) < depth * filters:
                elements = winograd_blocks_scratch(emit.threads, way, depth, filters, tiles)
            else:
                elements = winograd_sums_scratch(way.elements, depth, filters, tiles)
        else:
            pixels = max(STRIP, grad.shape[2])
            per_thread = up(pixels * (min(width, FILTERS_AT_ONCE) + min(terms, 256) + 3 * WIDE) + 512)
            many = terms * width <= SUMS_OF_A_PART and product(grad.shape[:3]) >= MANY_PIXELS
            elements = (PARTS if many else 1) * up(terms * width) + emit.threads * per_thread
        args = geometry(p, data.shape, grad.shape, elements)
        emit(
            "conv_winograd_weight_gradient" if p.tile else "conv_last_weight_gradient",
            out.dtype,
            args,
            [data, grad],
            [out],
            scratch=elements * max(4, ITEM_SIZES[out.dtype]),
        )


class PoolLast(_Windows, abstract=True):
    name = "_pool_last"
    kind = Int()  # of enum PoolType
    count_include_pad = Bool()
    out = Shape()

    def output_shapes(self, p, ins):
        return [(ins[0][0], *p.out, ins[0][3])]

    @staticmethod
    def args(p: Any, data: Sequence[int]) -> dict[str, Any]:
        return {
            "batch": data[0],
            "channels": data[3],
            "in": list(data[1:3]),
            "out": list(p.out),
            "kernel": list(p.kernel),
            "stride": list(p.stride),
            "pad": list(p.pad),
            "type": p.kind,
            "count_include_pad": int(p.count_include_pad),
        }

    def lower(self, p, node, emit):
        (data,), (out,) = node.inputs, node.outputs
        emit("pool_last_forward", data.dtype, self.args(p, data.shape), [data], [out])


class PoolLastGradient(PoolLast, abstract=True):
    name = "_pool_last_gradient"
    shape = Shape()

    def input_names(self, p):
        return ("grad", "data") if p.kind == 0 else ("grad",)

    def output_shapes(self, p, ins):
        return [p.shape]

    def lower(self, p, node, emit):
        (grad, *data), (out,) = node.inputs, node.outputs
        emit("pool_last_backward", out.dtype, self.args(p, out.shape), [grad, (*data, None)[0]], [out])


PACKED, CONV, DATA_GRADIENT, WEIGHT_GRADIENT = (
    PackedWeights(),
    ConvLast(),
    ConvLastDataGradient(),
    ConvLastWeightGradient(),
)
POOL, POOL_GRADIENT = PoolLast(), PoolLastGradient()


def make(op: Op, inputs: Sequence[Value], **params: Any) -> Value:
    return apply_op(op, inputs, op.Params(**{name: op.params[name].default for name in op.params} | params)).outputs[0]


def suits(node: Node) -> bool:
    """Whether this convolution, or gradient of one, is worth moving the channels for."""
    p = node.params
    data, filters = _sizes(node)
    if len(p.kernel) != 2 or p.num_group != 1 or not multiplies(node.outputs[0].dtype, node.device):
        return False
    _, stride, dilate, pad = node.op.window(p)
    if max(stride) > 1 and max(dilate) > 1:
        return False
    if p.kernel == data[2:] and not any(pad):  # a matrix product
        return False
    # Vectors lie along the filters: what does not fill them is wasted.
    return filters >= WIDE and 4 * filters >= 3 * up(filters, WIDE)


def _sizes(node: Node) -> tuple[tuple[int, ...], int]:
    """The shape of the data, and the number of filters."""
    name = node.op.name
    if name == "_conv_data_gradient":
        return node.outputs[0].shape, node.inputs[1].shape[0]
    if name == "_conv_weight_gradient":
        return node.inputs[0].shape, node.inputs[1].shape[1]
    return node.inputs[0].shape, node.outputs[0].shape[1]


def _window(node: Node) -> dict[str, Any]:
    return dict(zip(("kernel", "stride", "dilate", "pad"), node.op.window(node.params), strict=True))


def moved(shape: Sequence[int]) -> tuple[int, ...]:
    """The shape of an image when its channels have moved to the end."""
    return (shape[0], *shape[2:], shape[1])


def _packed(weight: Value, plain: Any, turned: bool, window: dict[str, Any]) -> Value:
    """Weights for a kernel. Those that were float32 before a cast are rounded while they are packed, once in inference."""
    pairs, caster = weight.dtype == "bfloat16", weight.node
    if pairs and caster.op is not None and caster.op.name == "amp_cast" and caster.inputs[0].dtype == "float32":
        weight = caster.inputs[0]
    return make(PACKED, [plain(weight)], turned=turned, pairs=pairs, **window)


def convolution(node: Node, last: Any, plain: Any) -> list[Value]:
    data, weight, *rest = node.inputs
    window = _window(node)
    operands = [last(data), _packed(weight, plain, False, window), *map(plain, rest)]
    out = moved(node.outputs[0].shape)
    return [make(CONV, operands, out=out, bias=bool(rest), scaled=len(rest) == 2, **window)]


def data_gradient(node: Node, last: Any, plain: Any) -> list[Value]:
    grad, weight = node.inputs
    window = _window(node)
    packed = _packed(weight, plain, True, window)
    return [make(DATA_GRADIENT, [last(grad), packed], shape=moved(node.outputs[0].shape), **window)]


def weight_gradient(node: Node, last: Any, plain: Any) -> list[Value]:
    return [make(WEIGHT_GRADIENT, [last(v) for v in node.inputs], **_window(node))]


def pooling(op: Op, node: Node, data: Sequence[int], out: Sequence[int], kind: int, last: Any) -> list[Value] | None:
    """POOL of images of shape `data` to images of shape `out`, or POOL_GRADIENT of that; not for lp."""
    p = node.params
    if len(data) != 4 or kind == LP or not multiplies(node.outputs[0].dtype, node.device):
        return None
    kernel, stride, pad = map(tuple, node.op.window(p, data[2:]))
    common = {"kernel": kernel, "stride": stride, "dilate": (1, 1), "pad": pad, "kind": kind, "out": tuple(out[2:])}
    common["count_include_pad"] = p.count_include_pad is not False
    if op is POOL_GRADIENT:
        common["shape"] = moved(data)
    return [make(op, [last(v) for v in node.inputs], **common)]
