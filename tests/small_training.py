"""A small classification with fixed data and first parameters, which the tests of modules train in every possible way."""

import numpy as np

import minimx as mx

_random = np.random.RandomState(0)
X = _random.randn(43, 6).astype("float32")
Y = (X[:, 0] + 0.5 * X[:, 1] ** 2 > 0.3).astype("float32")
SGD = {"learning_rate": 0.1, "momentum": 0.9, "wd": 1e-3}


def mlp(hidden=8, norm=False):
    net = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=hidden, name="fc1")
    if norm:
        net = mx.sym.BatchNorm(net, fix_gamma=False, name="bn")
    net = mx.sym.Activation(net, act_type="relu", name="relu1")
    return mx.sym.SoftmaxOutput(mx.sym.FullyConnected(net, num_hidden=2, name="fc2"), name="softmax")


def first_values(net, seed=1, **shapes):
    """Parameters and states that depend on the seed only."""
    random = np.random.RandomState(seed)
    shapes = {"data": (10, 6), **shapes}
    found, _, states = net.infer_shape(**shapes)
    args = dict(zip(net.list_arguments(), found, strict=True))
    names = [n for n in args if n not in shapes and not n.endswith("label")]
    values = {n: mx.nd.array(random.randn(*args[n]) * 0.3) for n in names}
    aux = {n: mx.nd.ones(s) for n, s in zip(net.list_auxiliary_states(), states, strict=True)}
    return values, aux


def bound(net=None, batch=10, optimizer="sgd", params=None, bind=None, **options):
    """A module that is ready to be trained."""
    net = mlp() if net is None else net
    module = mx.mod.Module(net, **options)
    module.bind([("data", (batch, 6))], [("softmax_label", (batch,))], **(bind or {}))
    module.init_params(None, *first_values(net))
    module.init_optimizer("local", optimizer, SGD if params is None else params)
    return module


def rows(size=10, count=43, **options):
    return mx.io.NDArrayIter(X[:count], Y[:count], size, **options)


def values(module):
    """All parameters and states, as NumPy arrays by name."""
    return {n: a.asnumpy() for part in module.get_params() for n, a in part.items()}


def assert_same(got, want, rtol=1e-5, atol=1e-6):
    assert got.keys() == want.keys()
    for name, value in want.items():
        np.testing.assert_allclose(got[name], value, rtol=rtol, atol=atol, err_msg=name)


def run(module, way, steps=8):
    """Takes steps in a way of its own; returns the values after them and the last outputs."""
    batches = list(rows())
    for i in range(steps):
        batch = batches[i % len(batches)]
        if way in ("fused", "looked at"):
            module.forward_backward(batch)
        else:
            module.forward(batch, is_train=True)
            module.backward()
        if way == "looked at" and i % 2:
            assert module.get_outputs()[0].shape == (10, 2)
        module.update()
    return values(module), module.get_outputs()[0].asnumpy()
