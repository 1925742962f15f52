"""What the engine costs around the kernels: a small training step, and one eager operation.

    python benchmarks/overhead.py [--json FILE]

The step is the 13-64-64-1 regression network of the tutorials at batch 50: feed a batch from NumPy, forward, backward, update
by RMSProp (as the peers were measured) or SGD. The eager operation is `a + 1` on a 2x2 array. Peers run in the same process,
one after the other within each repetition, when they are installed.
"""

import argparse
import json
import statistics
import time

import numpy as np

import minimx as mx
from minimx.graph import apply

BATCH, INPUTS, HIDDEN = 50, 13, 64


def network():
    net = mx.sym.Variable("data")
    for i in (1, 2):
        net = mx.sym.FullyConnected(net, num_hidden=HIDDEN, name=f"fc{i}")
        net = mx.sym.Activation(net, act_type="relu", name=f"relu{i}")
    net = mx.sym.FullyConnected(net, num_hidden=1, name="fc3")
    return mx.sym.LinearRegressionOutput(net, mx.sym.Variable("label"), name="out")


def sgd(step, name, weight, grad):
    return weight - step.scalar("lr") * grad


def rmsprop(step, name, weight, grad):
    mean = step.state(f"{name}_mean", weight)
    new = mean * 0.9 + grad * grad * 0.1
    step.change(mean, new)
    return weight - step.scalar("lr") * grad / apply("sqrt", [new + 1e-8])


def minimx_step(rule):
    executor = network().simple_bind(
        mx.cpu(),
        grad_req={n: "null" if n in ("data", "label") else "write" for n in network().list_arguments()},
        data=(BATCH, INPUTS),
        label=(BATCH, 1),
    )
    random = np.random.default_rng(0)
    for name, value in executor.arg_dict.items():
        if name.endswith("weight"):
            value[:] = random.normal(0, 0.1, value.shape)
    step = mx.TrainStep(executor, rule)
    step.scalars["lr"][:] = 1e-8  # weights stay where they are: no run drifts into tiny, slow numbers
    data = random.normal(size=(8, BATCH, INPUTS)).astype(np.float32)
    label = random.normal(size=(8, BATCH, 1)).astype(np.float32)

    def run(count):
        for i in range(count):
            step(data=data[i & 7], label=label[i & 7])

    return run


def torch_step():
    import torch

    torch.set_num_threads(1)
    net = torch.nn.Sequential(
        torch.nn.Linear(INPUTS, HIDDEN),
        torch.nn.ReLU(),
        torch.nn.Linear(HIDDEN, HIDDEN),
        torch.nn.ReLU(),
        torch.nn.Linear(HIDDEN, 1),
    )
    optimizer = torch.optim.RMSprop(net.parameters(), lr=1e-4, alpha=0.9)
    data, label = np.random.rand(BATCH, INPUTS).astype("f"), np.random.rand(BATCH, 1).astype("f")

    def run(count):
        for _ in range(count):
            optimizer.zero_grad()
            loss = ((net(torch.from_numpy(data)) - torch.from_numpy(label)) ** 2).mean()
            loss.backward()
            optimizer.step()

    return run


def eager(array):
    def run(count):
        for _ in range(count):
            array + 1

    return run


def torch_array():
    import torch

    return torch.ones(2, 2)


def candidates():
    yield "step, rmsprop", "minimx", lambda: minimx_step(rmsprop), 2000
    yield "step, sgd", "minimx", lambda: minimx_step(sgd), 2000
    yield "step, rmsprop", "torch", torch_step, 200
    yield "eager a + 1", "minimx", lambda: eager(mx.nd.ones((2, 2))), 50000
    yield "eager a + 1", "numpy", lambda: eager(np.ones((2, 2), np.float32)), 50000
    yield "eager a + 1", "torch", lambda: eager(torch_array()), 50000


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", help="also write the figures to this file")
    parser.add_argument("--repeat", type=int, default=9)
    options = parser.parse_args()
    runs = []
    for what, who, make, count in candidates():
        try:
            runs.append((what, who, make(), count, []))
        except ImportError:
            print(f"{who} is not installed here")
    for _, _, run, count, _ in runs:
        run(count // 10)
    for _ in range(options.repeat):
        for _, _, run, count, times in runs:
            start = time.perf_counter()
            run(count)
            times.append((time.perf_counter() - start) / count * 1e6)
    figures = []
    print(f"{'':16}{'':8}{'median us':>10}{'best':>8}{'per second':>12}")
    for what, who, _, _, times in runs:
        median = statistics.median(times)
        figures.append({"what": what, "who": who, "median_us": median, "best_us": min(times)})
        print(f"{what:16}{who:8}{median:10.2f}{min(times):8.2f}{1e6 / median:12.0f}")
    if options.json:
        with open(options.json, "w") as file:
            json.dump(figures, file, indent=1)


if __name__ == "__main__":
    main()
