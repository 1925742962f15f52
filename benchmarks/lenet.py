"""LeNet training, batch 100: images per second, beside MXNet 1.9.1 and PyTorch.

    python benchmarks/lenet.py [--mxnet PYTHON] [--torch PYTHON] [--activation tanh] [--profile] [--json FILE]

A peer lives in an interpreter of its own, where it is installed: give its path. All take turns in the same run, a round
of steps each, and the best round of each counts, with the median beside it. The step is SGD with momentum on images that are
fed from host memory.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np

BATCH, BATCHES = 100, 4
RATE, MOMENTUM = 0.01, 0.9


def batches() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    images = random.random((BATCHES, BATCH, 1, 28, 28), np.float32)
    return images, random.integers(0, 10, (BATCHES, BATCH)).astype(np.float32)


def lenet(mx, activation: str):
    """The network in the words that MXNet and minimx share."""
    net = mx.sym.Variable("data")
    for i, filters in enumerate((20, 50), 1):
        net = mx.sym.Convolution(net, kernel=(5, 5), num_filter=filters, name=f"conv{i}")
        net = mx.sym.Activation(net, act_type=activation)
        net = mx.sym.Pooling(net, pool_type="max", kernel=(2, 2), stride=(2, 2))
    net = mx.sym.FullyConnected(mx.sym.Flatten(net), num_hidden=500, name="fc1")
    net = mx.sym.Activation(net, act_type=activation)
    net = mx.sym.FullyConnected(net, num_hidden=10, name="fc2")
    return mx.sym.SoftmaxOutput(net, name="softmax")


def minimx_step(activation: str) -> Callable[[int], None]:
    import minimx as mx

    symbol = lenet(mx, activation)
    inputs = ("data", "softmax_label")
    executor = symbol.simple_bind(
        mx.cpu(),
        grad_req={n: "null" if n in inputs else "write" for n in symbol.list_arguments()},
        data=(BATCH, 1, 28, 28),
    )
    random = np.random.default_rng(1)
    for name, value in executor.arg_dict.items():
        if name.endswith("weight"):
            value[:] = random.normal(0, 0.05, value.shape)

    def sgd(step, name, weight, grad):
        velocity = step.state(f"{name}_velocity", weight)
        new = velocity * MOMENTUM - step.scalar("lr") * grad
        step.change(velocity, new)
        return weight + new

    step = mx.TrainStep(executor, sgd)
    step.scalars["lr"][:] = RATE / BATCH
    images, labels = batches()

    def run(count: int) -> None:
        for i in range(count):
            step(data=images[i % BATCHES], softmax_label=labels[i % BATCHES])

    run.step = step  # type: ignore[attr-defined]
    return run


def mxnet_step(activation: str) -> Callable[[int], None]:
    import mxnet as mx

    module = mx.mod.Module(lenet(mx, activation), context=mx.cpu())
    module.bind([("data", (BATCH, 1, 28, 28))], [("softmax_label", (BATCH,))])
    module.init_params(mx.init.Normal(0.05))
    module.init_optimizer(kvstore=None, optimizer_params={"learning_rate": RATE, "momentum": MOMENTUM})
    feeds = [mx.io.DataBatch([mx.nd.array(x)], [mx.nd.array(y)]) for x, y in zip(*batches(), strict=True)]

    def run(count: int) -> None:
        for i in range(count):
            module.forward_backward(feeds[i % BATCHES])
            module.update()
        mx.nd.waitall()

    return run


def torch_step(activation: str) -> Callable[[int], None]:
    import torch
    from torch import nn

    act = {"tanh": nn.Tanh, "relu": nn.ReLU}[activation]
    net = nn.Sequential(
        *[nn.Conv2d(1, 20, 5), act(), nn.MaxPool2d(2), nn.Conv2d(20, 50, 5), act(), nn.MaxPool2d(2)],
        *[nn.Flatten(), nn.Linear(800, 500), act(), nn.Linear(500, 10)],
    )
    rule = torch.optim.SGD(net.parameters(), RATE, MOMENTUM)
    loss = nn.CrossEntropyLoss()
    images, labels = (torch.from_numpy(a) for a in batches())
    labels = labels.long()

    def run(count: int) -> None:
        for i in range(count):
            rule.zero_grad()
            loss(net(images[i % BATCHES]), labels[i % BATCHES]).backward()
            rule.step()

    return run


STEPS = {"minimx": minimx_step, "mxnet": mxnet_step, "torch": torch_step}


def serve(name: str, activation: str) -> None:
    """The peer's side: runs as many steps as each line says, and answers with the seconds."""
    run = STEPS[name](activation)
    run(3)
    for line in sys.stdin:
        start = time.perf_counter()
        run(int(line))
        print(f"took {time.perf_counter() - start}", flush=True)


class Peer:
    def __init__(self, name: str, python: str, activation: str):
        command = [python, __file__, "--serve", name, "--activation", activation]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def __call__(self, count: int) -> float:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(f"{count}\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("took "):
                return float(line.split()[1])
        raise RuntimeError(f"the peer ended: {' '.join(map(str, self.process.args))}")  # type: ignore[arg-type]


def timed(run: Callable[[int], None]) -> Callable[[int], float]:
    def measure(count: int) -> float:
        start = time.perf_counter()
        run(count)
        return time.perf_counter() - start

    return measure


def profile(step, repeat: int = 20) -> None:
    """Milliseconds of every call, the best of `repeat` runs."""
    compiled = step._compiled
    best = [float("inf")] * compiled.end
    for _ in range(repeat):
        for i in range(compiled.end):
            start = time.perf_counter()
            compiled.program.run(i, i + 1)
            best[i] = min(best[i], time.perf_counter() - start)
    print(f"{sum(best) * 1e3:8.3f} ms in {compiled.end} calls")
    for seconds, call in sorted(zip(best, compiled.lowered.calls, strict=True), key=lambda pair: -pair[0])[:24]:
        print(f"{seconds * 1e3:8.3f} ms  {call.kernel:32} {call.node}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mxnet", metavar="PYTHON")
    parser.add_argument("--torch", metavar="PYTHON")
    parser.add_argument("--activation", choices=("tanh", "relu"), default="tanh")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=10, help="steps of a round")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--serve", choices=STEPS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        return serve(options.serve, options.activation)
    run = minimx_step(options.activation)
    runners = {"minimx": timed(run)}
    for name in ("mxnet", "torch"):
        if getattr(options, name):
            runners[name] = Peer(name, getattr(options, name), options.activation)
    times: dict[str, list[float]] = {name: [] for name in runners}
    for round_number in range(options.rounds + 1):
        for name, measure in runners.items():
            seconds = measure(options.steps)
            if round_number:  # the first one warms up
                times[name].append(seconds)
    rows = {
        name: {"best": options.steps * BATCH / min(t), "median": options.steps * BATCH / statistics.median(t)}
        for name, t in times.items()
    }
    print(f"{'LeNet, ' + options.activation:16}{'best':>10}{'median':>10} images/s")
    for name, row in rows.items():
        print(f"{name:16}{row['best']:10.0f}{row['median']:10.0f}")
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"activation": options.activation, "images per second": rows}, file, indent=1)
    if options.profile:
        profile(run.step)  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
