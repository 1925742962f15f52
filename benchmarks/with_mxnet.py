"""Pieces of work done by MXNet 1.9.1; each function returns something that runs so many steps."""

from __future__ import annotations

import deep
import mxnet as mx
import ops_mxnet
from numbers_for import INPUTS, batches, first_results, matrices, operands, parameters, repeated


def infer(symbol, shapes):
    net = mx.sym.load(symbol)
    executor = net.simple_bind(mx.cpu(), grad_req="null", **{n: tuple(s) for n, s in shapes.items()})
    weights = parameters(shapes)
    states = net.list_auxiliary_states()
    for name, array in weights.items():
        (executor.aux_dict if name in states else executor.arg_dict)[name][:] = array
    feeds = [{"data": mx.nd.array(b["data"])} for b in batches({"data": shapes["data"]})]

    def run(count: int) -> None:
        for i in range(count):
            executor.forward(is_train=False, **feeds[i % len(feeds)])
        mx.nd.waitall()

    run(1)
    run.check = first_results(executor.outputs[0].asnumpy())
    return run


def train(symbol, shapes, optimizer, checked=True):
    net = mx.sym.load(symbol)
    names = [n for n in net.list_arguments() if n in INPUTS]
    data, labels = [n for n in names if not n.endswith("label")], [n for n in names if n.endswith("label")]
    module = mx.mod.Module(net, data, labels, context=mx.cpu())
    module.bind([(n, tuple(shapes[n])) for n in data], [(n, tuple(shapes[n])) for n in labels])
    weights = {n: mx.nd.array(a) for n, a in parameters(shapes).items()}
    states = net.list_auxiliary_states()
    module.init_params(
        arg_params={n: a for n, a in weights.items() if n not in states},
        aux_params={n: a for n, a in weights.items() if n in states},
    )
    options = dict(optimizer)
    module.init_optimizer(kvstore=None, optimizer=options.pop("name"), optimizer_params=options)
    feeds = [
        mx.io.DataBatch([mx.nd.array(b[n]) for n in data], [mx.nd.array(b[n]) for n in labels]) for b in batches(shapes)
    ]
    check = None
    if checked:
        module.forward(feeds[0], is_train=False)
        check = first_results(module.get_outputs()[0].asnumpy())

    def run(count: int) -> None:
        for i in range(count):
            module.forward_backward(feeds[i % len(feeds)])
            module.update()
        mx.nd.waitall()

    run.check = check
    return run


def gan(generator, judge, shapes, batch, optimizer):
    def module(symbol, data, labels, inputs_need_grad):
        net = mx.sym.load(symbol)
        made = mx.mod.Module(net, [data], labels, context=mx.cpu())
        label_shapes = [(n, (batch, 1)) for n in labels] or None
        made.bind([(data, tuple(shapes[data]))], label_shapes, inputs_need_grad=inputs_need_grad)
        weights = {n: mx.nd.array(a) for n, a in parameters(shapes).items()}
        states = net.list_auxiliary_states()
        args = {n: weights[n] for n in net.list_arguments() if n in weights}
        made.init_params(arg_params=args, aux_params={n: weights[n] for n in states})
        options = dict(optimizer)
        made.init_optimizer(kvstore=None, optimizer=options.pop("name"), optimizer_params=options)
        return made

    make = module(generator, "rand", [], False)
    tell = module(judge, "data", ["label"], True)
    (feed,) = batches(shapes, 1)
    noise, real = (mx.nd.array(feed[n]) for n in ("rand", "data"))
    zeros, ones = mx.nd.zeros((batch, 1)), mx.nd.ones((batch, 1))

    def run(count: int) -> None:
        for _ in range(count):
            make.forward(mx.io.DataBatch([noise], None), is_train=True)
            (fake,) = make.get_outputs()
            tell.forward(mx.io.DataBatch([fake], [zeros]), is_train=True)
            tell.backward()
            kept = [[g.copyto(g.context) for g in grads] for grads in tell._exec_group.grad_arrays]
            tell.forward(mx.io.DataBatch([real], [ones]), is_train=True)
            tell.backward()
            for grads, old in zip(tell._exec_group.grad_arrays, kept, strict=True):
                for g, o in zip(grads, old, strict=True):
                    g += o
            tell.update()
            tell.forward(mx.io.DataBatch([fake], [ones]), is_train=True)
            tell.backward()
            make.backward(tell.get_input_grads())
            make.update()
        mx.nd.waitall()

    make.forward(mx.io.DataBatch([noise], None), is_train=False)
    run.check = first_results(make.get_outputs()[0].asnumpy())
    return run


def gemm(m, n, k, trans_a, trans_b, dtype):
    a, b = (mx.nd.array(x, dtype=dtype) for x in matrices(m, n, k, trans_a, trans_b, dtype))
    out = mx.nd.empty((m, n), dtype=dtype)

    def call():
        mx.nd.dot(a, b, transpose_a=trans_a, transpose_b=trans_b, out=out)
        out.wait_to_read()

    return repeated(call)


def array(op, shape, held):
    x, b = (mx.nd.array(v) for v in operands(shape))
    y = mx.nd.empty(shape[::-1] if op == "transpose" else shape)

    def linear(out):
        if out is None:
            return x * 2.5 + 1.5
        mx.nd.broadcast_mul(x, mx.nd.array([2.5]), out=out)
        out += 1.5
        return out

    todo = {
        "a*x+b": linear,
        "broadcast add": lambda out: mx.nd.broadcast_add(x, b.reshape((1, -1)), out=out),
        "sum": lambda out: mx.nd.sum(x),
        "softmax": lambda out: mx.nd.softmax(x, axis=1, out=out),
        "transpose": lambda out: mx.nd.transpose(x, out=out),
    }[op]
    return repeated(lambda: todo(y if held else None).wait_to_read())


def eager_add():
    a = mx.nd.ones((2, 2))
    return repeated(lambda: a + 1, lambda found: mx.nd.waitall())


def operator(op, shape):
    return ops_mxnet.operator(mx, op, shape)


def binding(graph, nodes, train):
    return deep.binding(mx, graph, nodes, train)
