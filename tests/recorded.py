"""The trainings that MXNet 1.9.1 has recorded in golden/train, run again by simple_bind. Needs no pytest."""

import json
from pathlib import Path

import numpy as np

import minimx as mx

GOLDEN = Path(__file__).parent / "golden"
RUNS = json.loads((GOLDEN / "train/index.json").read_text())


class Sgd:
    """Momentum in an array of its own, as MXNet's sgd keeps it."""

    def __init__(self, rescale, learning_rate, momentum, wd):
        self.options = dict(rescale_grad=rescale, lr=learning_rate, momentum=momentum)
        self.wd = wd
        self.states = {}

    def step(self, name, weight, grad):
        state = self.states.setdefault(name, mx.nd.zeros(weight.shape, ctx=weight.context))
        wd = self.wd if name.endswith(("_weight", "_gamma")) else 0.0
        mx.nd.sgd_mom_update(weight, grad, state, out=weight, wd=wd, **self.options)


class Adam:
    def __init__(self, rescale, learning_rate, wd):
        self.rescale, self.rate, self.wd = rescale, learning_rate, wd
        self.states = {}

    def step(self, name, weight, grad):
        t, m, v = self.states.get(name, (0, 0.0, 0.0))
        t += 1
        wd = self.wd if name.endswith(("_weight", "_gamma")) else 0.0
        g = grad.asnumpy() * self.rescale + wd * weight.asnumpy()
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g * g
        self.states[name] = (t, m, v)
        rate = self.rate * np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        weight[:] = weight.asnumpy() - rate * m / (np.sqrt(v) + 1e-8)


def bound(name, ctx=None, **options):
    """The run's executor with MXNet's initial parameters, its data, and its description."""
    run = RUNS[name]
    data = np.load(GOLDEN / run["data"])
    net = mx.sym.load(str(GOLDEN / run["symbol"]))
    label = next(n for n in net.list_arguments() if n.endswith("label"))
    batch = run["batch_size"]
    shapes = {"data": (batch, *data["data"].shape[1:]), label: (batch, *data["label"].shape[1:])}
    executor = net.simple_bind(
        ctx or mx.cpu(),
        grad_req={n: "null" if n in shapes else "write" for n in net.list_arguments()},
        **options,
        **shapes,
    )
    split = {"arg": {}, "aux": {}}
    for key, value in mx.nd.load(str(GOLDEN / run["initial_params"])).items():
        kind, param = key.split(":", 1)
        split[kind][param] = value
    executor.copy_params_from(split["arg"], split["aux"])
    return run, data, executor, label


def train(name, steps, ctx=None, **options):
    run, data, executor, label = bound(name, ctx, **options)
    batch = run["batch_size"]
    kind = {"sgd": Sgd, "adam": Adam}[run["optimizer"]]
    optimizer = kind(run["rescale_grad"], **run["optimizer_params"])
    losses = []
    for step in range(steps):
        at = step % run["batches_cycle"] * batch
        labels = data["label"][at : at + batch]
        (out,) = executor.forward(is_train=True, **{"data": data["data"][at : at + batch], label: labels})
        probabilities = out.asnumpy()
        flat = labels.reshape(-1)
        picked = probabilities[np.arange(len(probabilities)), flat.astype(int)]
        losses.append(-np.log(np.maximum(picked, 1e-10)).mean())
        executor.backward()
        for param, grad in executor.grad_dict.items():
            if grad is not None:
                optimizer.step(param, executor.arg_dict[param], grad)
    return run, data, executor, label, np.array(losses)
