"""winograd: windows of 3 x 3 are multiplied in Winograd's way where that is less work.

Tiles of 2 x 2 outputs take 2.25 times fewer products and are as exact as a sum. Tiles of 4 x 4 take four times fewer, and their
rounding errors are a few times larger: they are for inference only. `largest` (MINIMX_WINOGRAD) is 4, 2, or 0 for neither.
"""

from __future__ import annotations

from ..graph import Graph, Node, apply_op, made_for, rewrite
from ..ops import last

# What transforming one number costs, in products, for tiles of 2 and of 4, and a window of weights that is not kept;
# and for how many tiles transformed weights must be used, once read from beyond the second-level cache, to be worth
# their way. Measured.
TRANSFORM = {2: 17, 4: 27}
WINDOW = {2: 500, 4: 1200}
READ_ONCE_FOR = 16
CACHE = 1 << 20
CONVOLUTIONS = {last.CONV, last.DATA_GRADIENT, last.WEIGHT_GRADIENT}


def winograd(graph: Graph, largest: int, keeps: bool) -> Graph:
    """`keeps`: transformed weights last from run to run."""
    sizes = [tile for tile in (2, 4) if tile <= (min(largest, 2) if graph.train else largest)]
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
    if tile == 0:
        return 9 * inputs * outputs * n * height * width
    plain = p.kernel == (3, 3) and p.stride == (1, 1) and p.dilate == (1, 1)
    if not plain or node.outputs[0].dtype != "float32" or (sums and tile > 2):
        return float("inf")
    tiles = n * -(-height // tile) * -(-width // tile)
    elements = (tile + 2) ** 2
    if sums:
        return (
            elements * tiles * (inputs * outputs + TRANSFORM[tile] * (inputs + outputs))
            + WINDOW[tile] * inputs * outputs
        )
    used = tiles
    if 4 * elements * inputs * outputs > CACHE:
        used = max(tiles, READ_ONCE_FOR * -(-tiles // last.winograd_tiles(tile, inputs)))
    made = 0 if keeps else WINDOW[tile] * inputs * outputs
    return elements * (inputs * outputs * used + TRANSFORM[tile] * tiles * (inputs + outputs)) + made
