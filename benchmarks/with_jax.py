"""Pieces of work done by JAX, jitted; each function returns something that runs so many steps."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numbers_for import INPUTS, batches, first_results, matrices, operands, parameters, repeated
from symbol_file import Layer, read

ACTIVATIONS = {"relu": jax.nn.relu, "tanh": jnp.tanh, "sigmoid": jax.nn.sigmoid}
STATES = ("_moving_mean", "_moving_var")


class Network:
    """A symbol file as a function of weights and images, with channels last inside, as XLA likes it on a CPU."""

    def __init__(self, symbol: str):
        self.layers, heads = read(symbol)
        self.loss = self.layers[heads[0]].op
        self.fixed = {
            self.layers[layer.inputs[1][0]].name
            for layer in self.layers
            if layer.op == "BatchNorm" and layer.attrs.get("fix_gamma", True)
        }

    def __call__(self, weights: dict, x, train: bool, key=None):
        """What the loss layer reads, and the new moving statistics."""
        values: list = [None] * len(self.layers)
        states: dict = {}
        for i, layer in enumerate(self.layers):
            if layer.op == "null":
                if layer.name in INPUTS:
                    values[i] = None if layer.name.endswith("label") else _last(x)
                else:
                    values[i] = weights[layer.name]
                continue
            ins = [values[j] for j, _ in layer.inputs]
            if layer.op == "BatchNorm":
                names = [self.layers[j].name for j, _ in layer.inputs]
                values[i] = _batch_norm(layer, ins, names, states, train)
            elif layer.op == "Dropout":
                values[i] = _dropout(layer, ins[0], jax.random.fold_in(key, i)) if train else ins[0]
            else:
                values[i] = apply(layer, ins)
        return values[-1], states

    def outputs(self, weights: dict, x):
        y, _ = self(weights, x, train=False)
        if self.loss == "SoftmaxOutput":
            return jax.nn.softmax(y)
        return jax.nn.sigmoid(y) if self.loss == "LogisticRegressionOutput" else y

    def cost(self, y, label):
        if self.loss == "SoftmaxOutput":
            scores = jax.nn.log_softmax(y)
            return -jnp.mean(jnp.take_along_axis(scores, label.astype(jnp.int32)[:, None], 1))
        return 0.5 * jnp.mean((y - label) ** 2)


def _last(x):
    return x.transpose(0, 2, 3, 1) if x.ndim == 4 else x


def _batch_norm(layer: Layer, ins: list, names: list[str], states: dict, train: bool):
    x, gamma, beta, mean, var = ins
    if train:
        axes = tuple(range(x.ndim - 1))
        batch_mean, batch_var = x.mean(axes), x.var(axes)
        m = layer.attrs.get("momentum", 0.9)
        states[names[3]], states[names[4]] = m * mean + (1 - m) * batch_mean, m * var + (1 - m) * batch_var
        mean, var = batch_mean, batch_var
    scale = gamma * lax.rsqrt(var + layer.attrs.get("eps", 1e-3))
    return x * scale + (beta - mean * scale)


def _dropout(layer: Layer, x, key):
    keep = 1 - layer.attrs.get("p", 0.5)
    return jnp.where(jax.random.bernoulli(key, keep, x.shape), x / keep, 0)


def apply(layer: Layer, ins: list):
    op, a, x = layer.op, layer.attrs, ins[0]
    if op == "Convolution":
        pads = [(p, p) for p in a.get("pad", (0, 0))]
        y = lax.conv_general_dilated(
            x,
            ins[1],
            a.get("stride", (1, 1)),
            pads,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=a.get("num_group", 1),
        )
        return y + ins[2] if len(ins) > 2 else y
    if op == "FullyConnected":
        return _flat(x) @ ins[1].T + (ins[2] if len(ins) > 2 else 0)
    if op == "Activation":
        return ACTIVATIONS[a["act_type"]](x)
    if op == "LeakyReLU":
        return jax.nn.leaky_relu(x, a.get("slope", 0.25))
    if op == "Pooling":
        return _pool(a, x)
    if op == "Concat":
        return jnp.concatenate(ins, -1 if x.ndim == 4 else 1)
    if op in ("elemwise_add", "_plus", "broadcast_add"):
        return x + ins[1]
    if op == "Flatten":
        return _flat(x)
    if op.endswith("Output"):
        return x
    raise SystemExit(f"no translation of {op}")


def _flat(x):
    return x.transpose(0, 3, 1, 2).reshape(x.shape[0], -1) if x.ndim == 4 else x.reshape(x.shape[0], -1)


def _pool(a: dict, x):
    most = a["pool_type"] == "max"
    if a.get("global_pool"):
        return x.max((1, 2), keepdims=True) if most else x.mean((1, 2), keepdims=True)
    kernel, stride, pad = a["kernel"], a.get("stride", (1, 1)), a.get("pad", (0, 0))
    ends = []
    for size, k, s, p in zip(x.shape[1:3], kernel, stride, pad, strict=True):
        left = (size + 2 * p - k) % s
        more = s - left if left and a.get("pooling_convention") == "full" else 0
        ends.append((p, p + more))
    window = ((1, *kernel, 1), (1, *stride, 1), [(0, 0), *ends, (0, 0)])
    if most:
        return lax.reduce_window(x, -jnp.inf, lax.max, *window)
    return lax.reduce_window(x, 0.0, lax.add, *window) / (kernel[0] * kernel[1])


def _weights(shapes: dict[str, list[int]]) -> dict:
    """Convolutions' weights as height, width, in, out."""
    found = parameters(shapes)
    return {n: jnp.asarray(w.transpose(2, 3, 1, 0) if w.ndim == 4 else w) for n, w in found.items()}


def infer(symbol, shapes):
    net, weights = Network(symbol), _weights(shapes)
    call = jax.jit(net.outputs)
    feeds = [b["data"] for b in batches({"data": shapes["data"]})]

    def run(count: int):
        for i in range(count):
            y = call(weights, feeds[i % len(feeds)])
        return y.block_until_ready()

    run.check = first_results(np.asarray(run(1)))
    return run


def train(symbol, shapes, optimizer, checked=True):
    net = Network(symbol)
    every = _weights(shapes)
    states = {n: w for n, w in every.items() if n.endswith(STATES) or n in net.fixed}
    weights = {n: w for n, w in every.items() if n not in states}
    memory = jax.tree.map(jnp.zeros_like, weights)
    rate = optimizer["learning_rate"]

    def loss(weights, states, x, label, key):
        y, new = net({**weights, **states}, x, True, key)
        return net.cost(y, label), new

    def changed(weight, grad, memory):
        if optimizer["name"] == "rmsprop":
            memory = optimizer["gamma1"] * memory + (1 - optimizer["gamma1"]) * grad * grad
            return weight - rate * grad / jnp.sqrt(memory + 1e-8), memory
        memory = optimizer.get("momentum", 0) * memory - rate * grad
        return weight + memory, memory

    def step(weights, states, memory, x, label, key):
        grads, new = jax.grad(loss, has_aux=True)(weights, states, x, label, key)
        pairs = {n: changed(weights[n], grads[n], memory[n]) for n in weights}
        return {n: p[0] for n, p in pairs.items()}, {**states, **new}, {n: p[1] for n, p in pairs.items()}

    feeds = batches(shapes)
    data = next(n for n in feeds[0] if not n.endswith("label"))
    labels = next(n for n in feeds[0] if n.endswith("label"))
    check = first_results(np.asarray(jax.jit(net.outputs)(every, feeds[0][data]))) if checked else None
    call = jax.jit(step, donate_argnums=(0, 1, 2))
    key = jax.random.key(0)
    current = [weights, states, memory]

    def run(count: int) -> None:
        for i in range(count):
            batch = feeds[i % len(feeds)]
            current[:] = call(*current, batch[data], batch[labels], key)
        jax.block_until_ready(current)

    run.check = check
    return run


def gemm(m, n, k, trans_a, trans_b, dtype):
    if dtype == "float64":
        jax.config.update("jax_enable_x64", True)
    a, b = (jnp.asarray(x) for x in matrices(m, n, k, trans_a, trans_b, dtype))
    call = jax.jit(lambda a, b: (a.T if trans_a else a) @ (b.T if trans_b else b))
    return repeated(lambda: call(a, b).block_until_ready())


def array(op, shape, held):
    x, b = (jnp.asarray(v) for v in operands(shape))
    todo = {
        "a*x+b": lambda x, b: x * 2.5 + 1.5,
        "broadcast add": lambda x, b: x + b,
        "sum": lambda x, b: jnp.sum(x),
        "softmax": lambda x, b: jax.nn.softmax(x, 1),
        "transpose": lambda x, b: x.T.copy(),
    }[op]
    if held:
        # The memory of an operand that is given away is what the result is written to.
        call = jax.jit(lambda old, x, b: todo(x, b), donate_argnums=0, keep_unused=True)
        old = [jax.jit(todo)(x, b)]

        def again():
            old[0] = call(old[0], x, b)
            return old[0].block_until_ready()

        return repeated(again)
    call = jax.jit(todo)
    return repeated(lambda: call(x, b).block_until_ready())


def eager_add():
    a = jnp.ones((2, 2))
    return repeated(lambda: a + 1, lambda found: found.block_until_ready())
