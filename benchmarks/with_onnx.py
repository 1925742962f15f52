"""Inference by ONNX Runtime, on a graph that is written here from the symbol file."""

from __future__ import annotations

import numpy as np
import onnxruntime
from numbers_for import INPUTS, batches, first_results, parameters
from onnx import TensorProto, helper, numpy_helper
from symbol_file import Layer, read

ACTIVATIONS = {"relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid"}


def nodes_of(layer: Layer, ins: list[str], out: str) -> list:
    """The operators of ONNX that one layer becomes."""
    a = layer.attrs

    def one(kind: str, inputs=None, **options):
        return [helper.make_node(kind, ins if inputs is None else inputs, [out], **options)]

    window = {"strides": list(a.get("stride", (1, 1))), "pads": [*a.get("pad", (0, 0)), *a.get("pad", (0, 0))]}
    if layer.op in ("Convolution", "Deconvolution"):
        kind = "Conv" if layer.op == "Convolution" else "ConvTranspose"
        return one(kind, kernel_shape=list(a["kernel"]), group=a.get("num_group", 1), **window)
    if layer.op == "FullyConnected":
        flat = f"{out}_flat"
        return [helper.make_node("Flatten", ins[:1], [flat]), *one("Gemm", [flat, *ins[1:]], transB=1)]
    if layer.op == "BatchNorm":
        return one("BatchNormalization", epsilon=a.get("eps", 1e-3))
    if layer.op == "Activation":
        return one(ACTIVATIONS[a["act_type"]])
    if layer.op == "LeakyReLU":
        return one("LeakyRelu", alpha=a.get("slope", 0.25))
    if layer.op == "Pooling":
        kind = "MaxPool" if a["pool_type"] == "max" else "AveragePool"
        if a.get("global_pool"):
            return one("Global" + kind)
        options = {} if kind == "MaxPool" else {"count_include_pad": 1}
        ceil = int(a.get("pooling_convention") == "full")
        return one(kind, kernel_shape=list(a["kernel"]), ceil_mode=ceil, **window, **options)
    if layer.op == "LRN":
        return one("LRN", size=a["nsize"], alpha=a["alpha"], beta=a["beta"], bias=float(a["knorm"]))
    if layer.op == "Concat":
        return one("Concat", axis=a.get("dim", 1))
    if layer.op in ("elemwise_add", "_plus", "broadcast_add"):
        return one("Add")
    if layer.op == "Flatten":
        return one("Flatten")
    if layer.op == "Dropout":
        return one("Identity")
    if layer.op == "SoftmaxOutput":
        return one("Softmax", ins[:1], axis=1)
    if layer.op == "LogisticRegressionOutput":
        return one("Sigmoid", ins[:1])
    if layer.op == "LinearRegressionOutput":
        return one("Identity", ins[:1])
    raise SystemExit(f"no translation of {layer.op}")


def model_of(symbol: str, shapes: dict[str, list[int]]) -> bytes:
    layers, heads = read(symbol)
    names = [layer.name if layer.op == "null" else f"{layer.name}_output" for layer in layers]
    nodes, inputs = [], []
    for i, layer in enumerate(layers):
        if layer.op != "null":
            nodes += nodes_of(layer, [names[j] for j, _ in layer.inputs], names[i])
        elif layer.name in INPUTS and not layer.name.endswith("label"):
            inputs.append(helper.make_tensor_value_info(layer.name, TensorProto.FLOAT, shapes[layer.name]))
    weights = [numpy_helper.from_array(np.ascontiguousarray(w), n) for n, w in parameters(shapes).items()]
    outputs = [helper.make_tensor_value_info(names[h], TensorProto.FLOAT, None) for h in heads]
    graph = helper.make_graph(nodes, "symbol", inputs, outputs, weights)
    # 17 is old enough for any runtime and new enough for all of the above.
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def infer(symbol, shapes):
    session = onnxruntime.InferenceSession(model_of(symbol, shapes), providers=["CPUExecutionProvider"])
    feeds = batches({"data": shapes["data"]})

    def run(count: int):
        for i in range(count):
            found = session.run(None, feeds[i % len(feeds)])
        return found

    run.check = first_results(run(1)[0])
    return run
