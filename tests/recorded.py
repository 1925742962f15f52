"""The trainings that MXNet 1.9.1 has recorded in golden/train, run again by simple_bind. Needs no pytest."""

import json
from pathlib import Path

import numpy as np

import minimx as mx

GOLDEN = Path(__file__).parent / "golden"
RUNS = json.loads((GOLDEN / "train/index.json").read_text())


def optimizer_of(run, executor):
    """MXNet's optimizer of the run; the parameters' indices follow the executor's arguments."""
    names = [n for n, grad in executor.grad_dict.items() if grad is not None]
    options = {**run["optimizer_params"], "rescale_grad": run["rescale_grad"]}
    return mx.optimizer.create(run["optimizer"], param_idx2name=dict(enumerate(names)), **options)


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


def loss_of(probabilities, labels):
    """The mean of -log of the labels' probabilities."""
    flat = labels.reshape(-1).astype(int)
    picked = probabilities.asnumpy()[np.arange(len(flat)), flat]
    return -np.log(np.maximum(picked, 1e-10)).mean()


def feeds(run, data, label, step):
    """The batch of a step, by name."""
    batch = run["batch_size"]
    at = step % run["batches_cycle"] * batch
    return {"data": data["data"][at : at + batch], label: data["label"][at : at + batch]}


def train(name, steps, ctx=None, **options):
    """Trains by forward, backward and an updater."""
    run, data, executor, label = bound(name, ctx, **options)
    optimizer = optimizer_of(run, executor)
    updater = mx.optimizer.get_updater(optimizer)
    losses = []
    for step in range(steps):
        fed = feeds(run, data, label, step)
        (out,) = executor.forward(is_train=True, **fed)
        losses.append(loss_of(out, fed[label]))
        executor.backward()
        for index, param in optimizer.idx2name.items():
            updater(index, executor.grad_dict[param], executor.arg_dict[param])
    return run, data, executor, label, np.array(losses)


def train_by_steps(name, steps, ctx=None, **options):
    """Trains by steps that are one program each."""
    run, data, executor, label = bound(name, ctx, **options)
    step = mx.optimizer.OptimizerStep(executor, optimizer_of(run, executor))
    losses = []
    for number in range(steps):
        fed = feeds(run, data, label, number)
        (out,) = step(**fed)
        losses.append(loss_of(out, fed[label]))
    return run, data, executor, label, np.array(losses)
