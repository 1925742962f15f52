"""Layers that end a network: their gradient is that of a loss, whatever arrives at the output."""

import numpy as np

from . import Case, real, whole
from .softmax import softmax


def columns(x, multi_output=False, preserve_shape=False):
    """The data as (outer, classes, inner)."""
    if multi_output:
        return x.reshape(x.shape[0], x.shape[1], -1)
    return x.reshape(-1, x.shape[-1], 1) if preserve_shape else x.reshape(x.shape[0], -1, 1)


def softmax_output(**params):
    shape = {k: params[k] for k in ("multi_output", "preserve_shape") if k in params}

    def forward(x, label):
        return softmax(columns(x, **shape), 1).reshape(x.shape)

    def gradient(x, label, head):
        p = forward(x, label)
        scale = params.get("grad_scale", 1.0)
        if label.shape == x.shape:
            dx = (p - label) * scale
        else:
            dx = loss_gradient(columns(p, **shape), label, params).reshape(x.shape)
        return [dx * head if params.get("out_grad") else dx]

    return {"twin": forward, "gradient": gradient, "grads": ["data"]}


def loss_gradient(p, label, params):
    outer, classes, inner = p.shape
    label = label.reshape(outer, 1, inner)
    ignored = label == params.get("ignore_label", -1)
    alpha = params.get("smooth_alpha", 0.0)
    target = np.where(np.arange(classes)[:, None] == label, 1 - alpha, alpha / (classes - 1))
    normalization = params.get("normalization", "null")
    count = {"null": inner, "batch": outer * inner, "valid": max(1, (~ignored).sum())}[normalization]
    dx = (p - target) * params.get("grad_scale", 1.0) / count
    return np.where(ignored, 0, dx) if params.get("use_ignore") else dx


def softmax_case(data, label, **params):
    return Case("SoftmaxOutput", [data, label], params, **softmax_output(**params), length=data.shape[-1])


def output_grad_case(output, label, *head, **params):
    """The backward operator by itself: on any numbers, not only probabilities."""
    shape = {k: params[k] for k in ("multi_output", "preserve_shape") if k in params}

    def twin(p, label, head=1.0):
        return loss_gradient(columns(p, **shape), label, params).reshape(p.shape) * head

    return Case("_softmax_output_grad", [output, label, *head], params, twin, grads=())


def regression(op, forward, slope, data, label, grad_scale=1.0):
    def gradient(x, y, head):
        return [slope(forward(x), y.reshape(x.shape)) * grad_scale / np.prod(x.shape[1:])]

    params = {} if grad_scale == 1.0 else {"grad_scale": grad_scale}
    return Case(op, [data, label], params, lambda x, y: forward(x), gradient=gradient, grads=["data"])


def regressions(op, forward, slope):
    return [
        regression(op, forward, slope, real(4, 3), real(4, 3)),
        regression(op, forward, slope, real(4, 1), real(4), grad_scale=0.25),
        regression(op, forward, slope, real(2, 3, 2, 2), real(2, 3, 2, 2), grad_scale=-2.0),
        regression(op, forward, slope, real(2, 3, 2), real(2, 6)),
        regression(op, forward, slope, real(4, 3), whole(4, 3, high=2, dtype="int32")),
    ]


def same(x):
    return x


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def svm(data, label, **params):
    def gradient(x, y, head):
        side = np.where(np.arange(x.shape[-1]) == y[..., None], 1, -1)
        slack = params.get("margin", 1.0) - side * x
        c = params.get("regularization_coefficient", 1.0)
        return [-side * c * ((slack > 0) if params.get("use_linear") else 2 * np.maximum(slack, 0))]

    return Case("SVMOutput", [data, label], params, lambda x, y: x, gradient=gradient, grads=["data"])


def cross_entropy(x, y):
    return -np.log(softmax(x))[np.arange(len(x)), y].sum(keepdims=True)


MATRIX, LABELS = real(5, 4), whole(5, low=-1, high=4)
IMAGE = real(2, 3, 2, 4)

CASES = [
    softmax_case(MATRIX, whole(5, high=4)),
    softmax_case(MATRIX, LABELS, grad_scale=0.3),
    softmax_case(MATRIX, LABELS, use_ignore=True),
    softmax_case(MATRIX, LABELS, use_ignore=True, ignore_label=0),
    softmax_case(MATRIX, LABELS, normalization="batch"),
    softmax_case(MATRIX, LABELS, normalization="valid"),
    softmax_case(MATRIX, LABELS, normalization="valid", use_ignore=True, ignore_label=2, grad_scale=2.0),
    softmax_case(MATRIX, LABELS, smooth_alpha=0.1),
    softmax_case(MATRIX, LABELS, smooth_alpha=0.2, use_ignore=True, normalization="batch"),
    softmax_case(MATRIX, LABELS, out_grad=True),
    softmax_case(MATRIX, real(5, 4, low=0, high=1)),
    softmax_case(MATRIX, real(5, 4, low=0, high=1), grad_scale=0.5, normalization="batch", out_grad=True),
    softmax_case(real(30, 257), whole(30, high=257), normalization="batch"),
    softmax_case(IMAGE, whole(2, 8, low=-1, high=3), multi_output=True),
    softmax_case(IMAGE, whole(2, 8, low=-1, high=3), multi_output=True, use_ignore=True, normalization="batch"),
    softmax_case(IMAGE, whole(2, 2, 4, low=-1, high=3), multi_output=True, normalization="valid", out_grad=True),
    softmax_case(IMAGE, whole(2, 1, 2, 4, high=3), multi_output=True, smooth_alpha=0.1, grad_scale=3.0),
    softmax_case(real(2, 3, 4), whole(2, 3, high=4), preserve_shape=True),
    softmax_case(real(2, 3, 4), whole(2, 3, low=-1, high=4), preserve_shape=True, normalization="batch"),
    softmax_case(real(2, 3, 4), whole(2, high=12)),
    softmax_case(real(2, 1, 4), whole(2, 1, high=4)),
    output_grad_case(MATRIX, LABELS),
    output_grad_case(MATRIX, LABELS, use_ignore=True, ignore_label=1, normalization="valid", grad_scale=2.0),
    output_grad_case(MATRIX, LABELS, MATRIX, out_grad=True, smooth_alpha=0.3, normalization="batch"),
    output_grad_case(IMAGE, whole(2, 8, low=-1, high=3), IMAGE, multi_output=True, out_grad=True),
    output_grad_case(real(2, 3, 4), whole(2, 3, high=4), preserve_shape=True),
    *regressions("LinearRegressionOutput", same, lambda out, y: out - y),
    *regressions("MAERegressionOutput", same, lambda out, y: np.sign(out - y)),
    *regressions("LogisticRegressionOutput", sigmoid, lambda out, y: out - y),
    svm(real(4, 3), whole(4, high=3)),
    svm(real(4, 3), whole(4, high=3), margin=0.7, regularization_coefficient=0.4),
    svm(real(4, 3), whole(4, high=3), use_linear=True, margin=0.5),
    svm(real(2, 3, 4), whole(2, 3, high=4), use_linear=True, regularization_coefficient=2.0),
    Case("softmax_cross_entropy", [real(5, 4), whole(5, high=4)], {}, cross_entropy, grads=["data"], length=20),
    Case("softmax_cross_entropy", [real(1, 9), whole(1, high=9, dtype="int32")], {}, cross_entropy, length=9),
]


def drawn(momentum=0.9, penalty=0.001, target=0.1):
    def gradient(x, moving, g):
        axes = (0, *range(2, x.ndim))
        average = (moving * momentum + x.mean(axes) * (1 - momentum)).reshape(1, -1, *[1] * (x.ndim - 2))
        return [g + penalty * ((1 - target) / (1 - average) - target / average)]

    return gradient


def average(momentum=0.9):
    return lambda x, moving: [moving * momentum + x.mean((0, *range(2, x.ndim))) * (1 - momentum)]


def settled(*shape):
    """Data whose averages the moving ones are already, so that a second step finds what the first one found. (A recorded
    step of MXNet's moves them.)"""
    x = np.random.default_rng(3).uniform(0.1, 0.9, shape)
    return [x, x.mean((0, *range(2, x.ndim)))]


CASES += [
    Case(
        "IdentityAttachKLSparseReg",
        settled(4, 5),
        {},
        lambda x, moving: x,
        ("data",),
        drawn(),
        states=average(),
    ),
    Case(
        "IdentityAttachKLSparseReg",
        settled(2, 3, 4),
        {"sparseness_target": 0.3, "penalty": 0.5, "momentum": 0.6},
        lambda x, moving: x,
        ("data",),
        drawn(0.6, 0.5, 0.3),
        states=average(0.6),
    ),
]
