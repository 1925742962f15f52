"""The calls of benchmarks/ops.py, for minimx and MXNet alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numbers_for import definite, operands, repeated


def operator(mx: Any, op: str, shape: Sequence[int]) -> Callable[[int], None]:
    """Runs the operator so many times; its arrays are made here."""
    nd = mx.nd
    numbers, _ = operands(shape)
    n, last = shape[0], shape[-1]
    random = np.random.default_rng(1)

    def array(a: Any) -> Any:
        return nd.array(a, dtype=a.dtype)

    x, y = array(numbers), array(numbers[::-1].copy())
    square = len(shape) == 3 and shape[-1] == shape[-2]
    m = array(definite(shape)) if square else None

    def triangle() -> Any:
        return nd.linalg.potrf(m)

    def updates(states: int) -> list[Any]:
        return [x.copy(), y, *(nd.zeros(shape) for _ in range(states))]

    calls: dict[str, Callable[[], Callable[[], Any]]] = {
        **{name: lambda f=name: lambda: getattr(nd, f)(x) for name in ("exp", "log", "tanh", "sigmoid", "erf", "sqrt")},
        "gammaln": lambda: lambda: nd.gammaln(x),
        "clip": lambda: lambda: nd.clip(x, 0.2, 0.8),
        "x**1.5": lambda: lambda: x**1.5,
        "x*2": lambda: lambda: x * 2,
        "add": lambda: lambda: x + y,
        "maximum": lambda: lambda: nd.maximum(x, y),
        "x > y": lambda: lambda: x > y,
        "where": lambda: given(x > 0.5, lambda c: nd.where(c, x, y)),
        "to float16": lambda: lambda: nd.cast(x, "float16"),
        "to float64": lambda: lambda: nd.cast(x, "float64"),
        "sum rows": lambda: lambda: nd.sum(x, axis=1),
        "sum columns": lambda: lambda: nd.sum(x, axis=0),
        "max rows": lambda: lambda: nd.max(x, axis=1),
        "argmax rows": lambda: lambda: nd.argmax(x, axis=1),
        "argmax columns": lambda: lambda: nd.argmax(x, axis=0),
        "norm": lambda: lambda: nd.norm(x),
        "cumsum rows": lambda: lambda: nd.cumsum(x, axis=1),
        "cumsum columns": lambda: lambda: nd.cumsum(x, axis=0),
        "softmax rows": lambda: lambda: nd.softmax(x, axis=1),
        "softmax columns": lambda: lambda: nd.softmax(x, axis=0),
        "log_softmax rows": lambda: lambda: nd.log_softmax(x, axis=1),
        "transpose": lambda: lambda: nd.transpose(x),
        "transpose bytes": lambda: given((x * 255).astype("uint8"), lambda b: nd.transpose(b)),
        "swap inner axes": lambda: lambda: nd.transpose(x, (0, 2, 1, 3)),
        "concat": lambda: lambda: nd.concat(x, y, dim=1),
        "slice": lambda: lambda: nd.slice_axis(x, axis=1, begin=1, end=last // 2 + 1),
        "tile": lambda: lambda: nd.tile(x, (1, 2)),
        "repeat": lambda: lambda: nd.repeat(x, 2, axis=1),
        "flip": lambda: lambda: nd.flip(x, axis=1),
        "pad": lambda: lambda: nd.pad(x, mode="constant", pad_width=(0, 0, 0, 0, 1, 1, 1, 1)),
        "take rows": lambda: given(array(random.integers(0, n, n).astype("float32")), lambda i: nd.take(x, i)),
        "take numbers": lambda: given(array(random.integers(0, n, n).astype("int32")), lambda i: nd.take(x, i)),
        "gather_nd": lambda: given(array(random.integers(0, n, (1, n)).astype("int32")), lambda i: nd.gather_nd(x, i)),
        "pick": lambda: given(array(random.integers(0, last, n).astype("float32")), lambda i: nd.pick(x, i)),
        "one_hot": lambda: given(array(random.integers(0, last, n).astype("float32")), lambda i: nd.one_hot(i, last)),
        "sort": lambda: lambda: nd.sort(x),
        "argsort": lambda: lambda: nd.argsort(x),
        "sort rows": lambda: lambda: nd.sort(x, axis=1),
        "argsort short rows": lambda: lambda: nd.argsort(x, axis=1),
        "topk 5 of rows": lambda: lambda: nd.topk(x, k=5, ret_typ="both")[0],
        "topk 100": lambda: lambda: nd.topk(x, k=100, ret_typ="both")[0],
        "uniform": lambda: lambda: nd.random.uniform(shape=tuple(shape)),
        "normal": lambda: lambda: nd.random.normal(shape=tuple(shape)),
        "gamma": lambda: lambda: nd.random.gamma(2.5, 1, shape=tuple(shape)),
        "shuffle": lambda: lambda: nd.random.shuffle(x),
        "multinomial": lambda: given(nd.softmax(x), lambda p: nd.random.multinomial(p)),
        "sgd_mom_update": lambda: given(
            updates(1), lambda a: nd.sgd_mom_update(*a, lr=1e-9, momentum=0.9, wd=1e-4, out=a[0])
        ),
        "adam_update": lambda: given(updates(2), lambda a: nd.adam_update(*a, lr=1e-9, wd=1e-4, out=a[0])),
        "batch_dot": lambda: lambda: nd.batch_dot(x, y),
        "syrk": lambda: lambda: nd.linalg.syrk(x),
        "potrf": lambda: lambda: nd.linalg.potrf(m),
        "trsm": lambda: given(triangle(), lambda t: nd.linalg.trsm(t, x)),
        "inverse": lambda: lambda: nd.linalg.inverse(m),
        "det": lambda: lambda: nd.linalg.det(m),
        "syevd": lambda: lambda: nd.linalg.syevd(m)[1],
        **network(mx, x, y),
        **around_networks(mx, x),
    }
    if op == "embedding gradient":
        return gradient(mx, x, array(random.integers(0, n, n).astype("float32")))
    call = calls[op]()
    return repeated(lambda: call().wait_to_read())


def network(mx: Any, x: Any, y: Any) -> dict[str, Callable[[], Callable[[], Any]]]:
    """Layers with weights, activations, pooling, normalisation."""
    nd = mx.nd
    last = x.shape[-1]
    axis = x.shape[1] if len(x.shape) == 4 else last

    def weight(*shape: int) -> Any:
        return nd.array(np.random.default_rng(2).standard_normal(shape, np.float32))

    def per_channel(count: int) -> list[Any]:
        return [nd.ones((axis,)) for _ in range(count)]

    def lstm() -> Callable[[], Any]:
        size = 4 * last * (2 * last + 2)
        state = [nd.zeros((1, x.shape[1], last)) for _ in range(2)]
        return given(weight(size) * 0.02, lambda w: nd.RNN(x, w, *state, mode="lstm", state_size=last, num_layers=1))

    return {
        "fully connected": lambda: given(
            weight(2048, last), lambda w: nd.FullyConnected(x, w, no_bias=True, num_hidden=2048)
        ),
        "convolution": lambda: given(
            weight(64, axis, 3, 3),
            lambda w: nd.Convolution(x, w, kernel=(3, 3), pad=(1, 1), num_filter=64, no_bias=True),
        ),
        "deconvolution": lambda: given(
            weight(axis, 64, 4, 4),
            lambda w: nd.Deconvolution(x, w, kernel=(4, 4), stride=(2, 2), pad=(1, 1), num_filter=64, no_bias=True),
        ),
        "lstm": lstm,
        "attention scores": lambda: lambda: nd.contrib.interleaved_matmul_selfatt_qk(x, heads=8),
        "relu": lambda: lambda: nd.relu(x),
        "leaky relu": lambda: lambda: nd.LeakyReLU(x, slope=0.1),
        "gelu": lambda: lambda: nd.LeakyReLU(x, act_type="gelu"),
        "softsign": lambda: lambda: nd.softsign(x),
        "dropout": lambda: lambda: nd.Dropout(x, p=0.5, mode="always"),
        "max pool": lambda: lambda: nd.Pooling(x, kernel=(2, 2), stride=(2, 2), pool_type="max"),
        "average pool": lambda: lambda: nd.Pooling(x, kernel=(2, 2), stride=(2, 2), pool_type="avg"),
        "global average pool": lambda: lambda: nd.Pooling(x, global_pool=True, pool_type="avg", kernel=(1, 1)),
        "batch norm": lambda: given(per_channel(4), lambda p: nd.BatchNorm(x, *p, fix_gamma=False)),
        "layer norm": lambda: given(per_channel(2), lambda p: nd.LayerNorm(x, *p)),
        "instance norm": lambda: given(per_channel(2), lambda p: nd.InstanceNorm(x, *p)),
        "local response": lambda: lambda: nd.LRN(x, nsize=5),
        "l2 normalisation": lambda: lambda: nd.L2Normalization(x),
    }


def around_networks(mx: Any, x: Any) -> dict[str, Callable[[], Callable[[], Any]]]:
    """Losses, sequences, images and boxes, densities, arrays out of nothing."""
    nd = mx.nd
    shape = x.shape
    random = np.random.default_rng(1)

    def numbers(high: int, *size: int) -> Any:
        return nd.array(random.integers(1, high, size).astype("float32"))

    def lengths(call: Callable[..., Any]) -> Callable[[], Any]:
        return given(numbers(shape[0] + 1, shape[1]), lambda n: call(x, n, use_sequence_length=True))

    def regions(call: Callable[..., Any]) -> Callable[[], Any]:
        corners = random.random((64, 2)) * 28
        boxes = np.concatenate([random.integers(0, shape[0], (64, 1)), corners, corners + 20], 1)
        return given(nd.array(boxes.astype("float32")), lambda b: call(x, b, (7, 7)))

    def iou() -> Callable[[], Any]:
        corners = random.random((shape[0], 2), np.float32)
        boxes = nd.array(np.concatenate([corners, corners + 0.2], 1))
        return lambda: nd.contrib.box_iou(boxes, boxes)

    return {
        "softmax output": lambda: given(numbers(shape[-1], shape[0]), lambda l: nd.SoftmaxOutput(x, l)),
        "smooth l1": lambda: lambda: nd.smooth_l1(x, scalar=1.0),
        "ctc loss": lambda: given(numbers(shape[-1], shape[1], 20), lambda l: nd.ctc_loss(x, l)),
        "sequence mask": lambda: lengths(nd.SequenceMask),
        "sequence reverse": lambda: lengths(nd.SequenceReverse),
        "sequence last": lambda: lengths(nd.SequenceLast),
        "resize": lambda: lambda: nd.contrib.BilinearResize2D(x, height=2 * shape[2], width=2 * shape[3]),
        "upsample": lambda: lambda: nd.UpSampling(x, scale=2, sample_type="nearest"),
        "sample on a grid": lambda: given(
            nd.array(random.random((shape[0], 2, *shape[2:]), np.float32) * 2 - 1), lambda g: nd.BilinearSampler(x, g)
        ),
        "roi pool": lambda: regions(lambda d, b, size: nd.ROIPooling(d, b, pooled_size=size, spatial_scale=1.0)),
        "roi align": lambda: regions(
            lambda d, b, size: nd.contrib.ROIAlign(d, b, pooled_size=size, spatial_scale=1.0, sample_ratio=2)
        ),
        "box iou": iou,
        "normal density": lambda: given(
            (nd.zeros(shape[:1]), nd.ones(shape[:1])), lambda p: nd.random_pdf_normal(x, *p)
        ),
        "zeros": lambda: lambda: nd.zeros(shape),
        "arange": lambda: lambda: nd.arange(shape[0]),
    }


def given(value: Any, call: Callable[[Any], Any]) -> Callable[[], Any]:
    """The call on something that is made once."""
    return lambda: call(value)


def gradient(mx: Any, weight: Any, rows: Any) -> Callable[[int], None]:
    weight.attach_grad()

    def call() -> None:
        with mx.autograd.record():
            found = mx.nd.Embedding(rows, weight, *weight.shape)
        found.backward()
        weight.grad.wait_to_read()

    return repeated(call)
