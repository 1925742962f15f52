"""winograd: windows of 3 x 3 are multiplied in Winograd's way where that is less work.

Tiles of 2 x 2 outputs take 2.25 times fewer products and are as exact as a sum. Tiles of 4 x 4 take four times fewer, and their
rounding errors are about twice a sum's. `largest` (MINIMX_WINOGRAD) is 4, 2, or 0 for neither.
"""

from __future__ import annotations

from ..graph import Graph, Node, apply_op, made_for, rewrite
from ..ops import last

# What a tile's number costs to transform, in products, by the size of tiles; and a window of weights that is not kept or a
# window of sums, where 0 is the direct way: twice that where all of them are more than the third-level cache holds.
# And for how many tiles transformed weights must be used, once read from beyond the second-level cache, to be worth
# their way. A direct product takes DIRECT times as long as one of Winograd's, whose operands come in longer pieces.
# Measured.
TRANSFORM = {2: 17, 4: 25}
DIRECT = 1.15
WINDOW = {0: 400, 2: 400, 4: 700}
SUMS = {0: 500, 2: 500, 4: 1000}
READ_ONCE_FOR = 16
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
    windows = inputs * outputs
    elements = (tile + 2) ** 2 if tile else 9
    beyond = 2 if 4 * elements * windows > THIRD_LEVEL else 1
    moved = beyond * windows * (SUMS[tile] if sums else 0 if keeps else WINDOW[tile])
    if tile == 0:
        return DIRECT * elements * windows * n * height * width + moved
    plain = p.kernel == (3, 3) and p.stride == (1, 1) and p.dilate == (1, 1)
    if not plain or node.outputs[0].dtype != "float32":
        return float("inf")
    tiles = used = n * -(-height // tile) * -(-width // tile)
    if not sums and 4 * elements * windows > SECOND_LEVEL:
        used = max(tiles, READ_ONCE_FOR * -(-tiles // last.winograd_tiles(tile, inputs)))
    return elements * (windows * used + TRANSFORM[tile] * tiles * (inputs + outputs)) + moved
