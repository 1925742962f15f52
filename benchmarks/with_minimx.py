"""Pieces of work done by minimx; each function returns something that runs so many steps."""

from __future__ import annotations

import deep
import ops_mxnet
from numbers_for import INPUTS, batches, first_results, matrices, operands, parameters, repeated

import minimx as mx


def held_bytes() -> int:
    """The most bytes that arrays and programs have held at one time."""
    return mx.memory_stats(mx.cpu())["peak"]


def bound(symbol: str, shapes: dict[str, list[int]], train: bool, grad_of: tuple[str, ...] = ()):
    """The executor of a symbol file, with the weights that every contender has."""
    net = mx.sym.load(symbol)
    reqs = {n: "null" if n in INPUTS and n not in grad_of or not train else "write" for n in net.list_arguments()}
    names = net.list_arguments() + net.list_auxiliary_states()
    shapes = {n: tuple(s) for n, s in shapes.items() if n in names}
    executor = net.simple_bind(mx.cpu(), grad_req=reqs, **shapes)
    every = executor.arg_dict | executor.aux_dict
    for name, array in parameters(shapes).items():
        every[name][:] = array
    return executor


def infer(symbol, shapes):
    executor = bound(symbol, shapes, train=False)
    feeds = batches({"data": shapes["data"]})

    def run(count: int) -> None:
        for i in range(count):
            executor.forward(is_train=False, **feeds[i % len(feeds)])

    run(1)
    run.check = first_results(executor.outputs[0].asnumpy())
    run.profiled = lambda: executor._programs[False]
    return run


def train(symbol, shapes, optimizer, checked=True):
    executor = bound(symbol, shapes, train=True)
    feeds = batches(shapes)
    check = first_results(executor.forward(is_train=False, **feeds[0])[0].asnumpy()) if checked else None
    options = dict(optimizer)
    rule = mx.optimizer.create(options.pop("name"), rescale_grad=1 / shapes["data"][0], **options)
    step = mx.optimizer.OptimizerStep(executor, rule)

    def run(count: int) -> None:
        for i in range(count):
            step.run(feeds[i % len(feeds)])

    run.check = check
    run.profiled = lambda: step._compiled
    return run


def gan(generator, judge, shapes, batch, optimizer):
    make = bound(generator, shapes, train=True)
    tell = bound(judge, shapes, train=True, grad_of=("data",))
    options = dict(optimizer)
    name = options.pop("name")
    updaters = [
        mx.optimizer.get_updater(mx.optimizer.create(name, rescale_grad=1 / batch, **options)) for _ in range(2)
    ]
    (feed,) = batches(shapes, 1)
    noise, real = (mx.nd.array(feed[n]) for n in ("rand", "data"))
    zeros, ones = mx.nd.zeros((batch, 1)), mx.nd.ones((batch, 1))

    def update(executor, updater):
        for i, (name, grad) in enumerate(executor.grad_dict.items()):
            if grad is not None and name not in INPUTS:
                updater(i, grad, executor.arg_dict[name])

    def run(count: int) -> None:
        for _ in range(count):
            (fake,) = make.forward(is_train=True, rand=noise)
            tell.forward(is_train=True, data=fake, label=zeros)
            tell.backward()
            kept = {n: g.copy() for n, g in tell.grad_dict.items() if g is not None}
            tell.forward(is_train=True, data=real, label=ones)
            tell.backward()
            for n, grad in kept.items():
                tell.grad_dict[n] += grad
            update(tell, updaters[1])
            tell.forward(is_train=True, data=fake, label=ones)
            tell.backward()
            make.backward([tell.grad_dict["data"]])
            update(make, updaters[0])

    run.check = first_results(make.forward(is_train=False, rand=noise)[0].asnumpy())
    return run


def gemm(m, n, k, trans_a, trans_b, dtype):
    a, b = (mx.nd.array(x, dtype=dtype) for x in matrices(m, n, k, trans_a, trans_b, dtype))
    out = mx.nd.empty((m, n), dtype=dtype)
    return repeated(lambda: mx.nd.dot(a, b, transpose_a=trans_a, transpose_b=trans_b, out=out))


def array(op, shape, held):
    x, b = (mx.nd.array(v) for v in operands(shape))
    y = mx.nd.empty(shape[::-1] if op == "transpose" else shape)
    if op == "a*x+b" and held:
        data = mx.sym.Variable("x")
        executor = (data * 2.5 + 1.5).bind(mx.cpu(), {"x": x}, grad_req="null")
        return repeated(executor.forward)
    todo = {
        "a*x+b": lambda out: x * 2.5 + 1.5,
        "broadcast add": lambda out: mx.nd.broadcast_add(x, b.reshape((1, -1)), out=out),
        "sum": lambda out: mx.nd.sum(x),
        "softmax": lambda out: mx.nd.softmax(x, axis=1, out=out),
        "transpose": lambda out: mx.nd.transpose(x, out=out),
    }[op]
    return repeated(lambda: todo(y if held else None))


def eager_add():
    a = mx.nd.ones((2, 2))
    return repeated(lambda: a + 1)


def operator(op, shape):
    return ops_mxnet.operator(mx, op, shape)


def binding(graph, nodes, train):
    return deep.binding(mx, graph, nodes, train)
