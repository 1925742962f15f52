"""Pieces of work done by minimx; each function returns something that runs so many steps."""

from __future__ import annotations

from numbers_for import batches, first_results, value_of

import minimx as mx

INPUTS = ("data", "softmax_label", "label", "rand")


def bound(symbol: str, shapes: dict[str, list[int]], train: bool):
    """The executor of a symbol file, with the weights that every contender has."""
    net = mx.sym.load(symbol)
    shapes = {n: tuple(s) for n, s in shapes.items() if n in net.list_arguments()}
    reqs = {n: "null" if n in INPUTS or not train else "write" for n in net.list_arguments()}
    executor = net.simple_bind(mx.cpu(), grad_req=reqs, **shapes)
    for name, array in (executor.arg_dict | executor.aux_dict).items():
        if name not in INPUTS:
            array[:] = value_of(name, array.shape)
    return executor


def infer(symbol, shapes, **_):
    executor = bound(symbol, shapes, train=False)
    feeds = batches({"data": shapes["data"]})

    def run(count: int) -> None:
        for i in range(count):
            executor.forward(is_train=False, **feeds[i % len(feeds)])

    run(1)
    run.check = first_results(executor.outputs[0].asnumpy())
    run.profiled = lambda: executor._programs[False]
    return run


def train(symbol, shapes, optimizer, **_):
    executor = bound(symbol, shapes, train=True)
    feeds = batches({n: s for n, s in shapes.items() if n in executor.arg_dict})
    executor.forward(is_train=False, **feeds[0])
    check = first_results(executor.outputs[0].asnumpy())
    options = dict(optimizer)
    rule = mx.optimizer.create(options.pop("name"), rescale_grad=1 / shapes["data"][0], **options)
    step = mx.optimizer.OptimizerStep(executor, rule)

    def run(count: int) -> None:
        for i in range(count):
            step(**feeds[i % len(feeds)])

    run.check = check
    run.profiled = lambda: step._compiled
    return run
