"""fold: a BatchNorm that uses its moving statistics becomes part of the convolution before it.

It multiplies every channel by a number and adds another. The convolution's kernel does both while it stores its sums, and
takes activations and residuals along (ride) as before.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..graph import Graph, Node, Value, apply, made_for, rewrite
from ..op import normalize_axis


def fold(graph: Graph) -> Graph:
    if graph.train:
        return graph
    uses = graph.uses()

    def change(node: Node, inputs: Sequence[Value]) -> Sequence[Value] | None:
        if node.op is None or node.op.name != "BatchNorm" or uses[node.inputs[0]] != 1 or not _foldable(node):
            return None
        from ..ops.norm import scale_and_shift

        conv = inputs[0].node
        data, weight, *bias = conv.inputs
        gamma, beta, mean, variance = inputs[1:]
        with made_for(node):
            inverse = apply("rsqrt", [variance + node.params.eps])
            scale, shift = scale_and_shift(node.params, gamma, beta, mean, inverse)
            if bias:
                exact = bias[0] if bias[0].dtype == scale.dtype else apply("Cast", bias, dtype=scale.dtype)
                shift = shift + exact * scale
            out = apply("_scaled_convolution", [data, weight, shift, scale], **conv.op.own(conv.params))
        return [out, mean, inverse]

    return rewrite(graph, change)


def _foldable(node: Node) -> bool:
    data = node.inputs[0]
    conv = data.node
    return (
        conv.op is not None
        and conv.op.name == "Convolution"
        and not conv.op.channels_last_given(conv.params)
        and normalize_axis(node.params.axis, data.ndim) == 1
        and data.dtype in ("float32", "float64", "bfloat16")
    )
