"""winograd: small windows are multiplied in Winograd's way where that is less work.

For windows of 3 x 3, tiles of 2 x 2 outputs take 2.25 times fewer products and are as exact as a sum. Tiles of 4 x 4 take four
times fewer, and 2.56 times fewer for windows of 4 x 4 with a stride of two; their rounding errors are two to three times a
sum's, four to five times in gradients of weights. `largest` (MINIMX_WINOGRAD) is 4, 2, or 0 for neither.
"""

from __future__ import annotations

from ..graph import Graph, Node, apply_op, made_for, rewrite
from ..ops import last

# Measured: what a tile's number costs to transform, in products, by the size of tiles; what a weight costs that is not
# kept, and a sum, in the direct way and as an element of Winograd's (twice that where all of them are more than the
# third-level cache holds); and for how many tiles transformed weights must be used, once read from beyond the
# second-level cache, to be worth their way. A direct product takes DIRECT times as long as one of Winograd's, whose
# operands come in longer pieces.
TRANSFORM = {2: 17, 4: 25}
WEIGHT, WEIGHT_ELEMENT = 45, 22
SUM, SUM_ELEMENT = 55, 30
READ_ONCE_FOR = 16
DIRECT = 1.15
SECOND_LEVEL, THIRD_LEVEL = 1 << 20, 24 << 20
CONVOLUTIONS = {last.CONV, last.DATA_GRADIENT, last.WEIGHT_GRADIENT}


def winograd(graph: Graph, largest: int, keeps: bool) -> Graph:
    """`keeps`: transformed weights last from run to run."""
    sizes = [tile for tile in (2, 4) if tile <= largest]
    if not sizes or graph.operators.isdisjoint(CONVOLUTIONS):
        return graph

    def change(node: Node, inputs):
        if node.op not in CONVOLUTIONS:
            return None
        tile = min((0, *sizes), key=lambda size: _work(node, size, keeps))
        if tile == 0:
            return None
        operands = list(inputs)
        with made_for(node):
            if node.op is not last.WEIGHT_GRADIENT:
                packed = inputs[1].node
                operands[1] = apply_op(packed.op, packed.inputs, packed.params._replace(tile=tile)).outputs[0]
            made = apply_op(node.op, operands, node.params._replace(tile=tile))
        made.late = node.late
        return made.outputs

    return rewrite(graph, change)


def _work(node: Node, tile: int, keeps: bool) -> float:
    """Products for one convolution, transforms and reading included."""
    sums = node.op is last.WEIGHT_GRADIENT
    p, inputs = node.params, node.inputs[0].shape[3]
    n, height, width, outputs = (node.inputs[1] if sums else node.outputs[0]).shape
    # How often one sweep of the kernel is made, and over how many channels: a gradient of data is one for every phase.
    way = last.tiling(p, tile)
    sweeps, depth = (way.phases, inputs) if node.op is last.DATA_GRADIENT else (1, way.phases * inputs)
    weights = sweeps * depth * outputs * (way.elements if tile else last.product(p.kernel) / way.phases)
    beyond = 2 if 4 * weights > THIRD_LEVEL else 1
    if tile == 0:
        pixels = last.product(node.inputs[0].shape[:3] if node.op is last.DATA_GRADIENT else (n, height, width))
        return weights * (DIRECT * pixels + beyond * (SUM if sums else 0 if keeps else WEIGHT))
    if not _suits(p, tile) or node.outputs[0].dtype != "float32":
        return float("inf")
    moved = weights * beyond * (SUM_ELEMENT if sums else 0 if keeps else WEIGHT_ELEMENT)
    if node.op is last.DATA_GRADIENT:
        height, width = -(-height // p.stride[0]), -(-width // p.stride[1])
    tiles = used = n * -(-height // tile) * -(-width // tile)
    if not sums and 4 * weights > SECOND_LEVEL:
        used = max(tiles, READ_ONCE_FOR * -(-tiles // last.winograd_tiles(way.elements, depth, outputs)))
    return weights * used + sweeps * way.elements * TRANSFORM[tile] * tiles * (depth + outputs) + moved


def _suits(p, tile: int) -> bool:
    kernel, stride = p.kernel[0], p.stride[0]
    square = p.kernel == (kernel, kernel) and p.stride == (stride, stride) and p.dilate == (1, 1)
    return square and (kernel, stride, tile) in {(3, 1, 2), (3, 1, 4), (2, 1, 4), (4, 2, 4)}
