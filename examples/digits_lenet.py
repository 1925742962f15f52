"""Trains a LeNet on the built-in digits, saves it, draws its graph, and classifies a few images.

python examples/digits_lenet.py [--epochs 3] [--count 6000] [--out DIRECTORY]
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np

import minimx as mx
from minimx.digits import digits

BATCH = 100
INPUTS = ("data", "softmax_label")


def lenet(classes: int = 10) -> mx.sym.Symbol:
    net = mx.sym.Variable("data")
    for i, filters in enumerate((20, 50), 1):
        net = mx.sym.Convolution(net, kernel=(5, 5), num_filter=filters, name=f"conv{i}")
        net = mx.sym.Activation(net, act_type="tanh", name=f"tanh{i}")
        net = mx.sym.Pooling(net, pool_type="max", kernel=(2, 2), stride=(2, 2), name=f"pool{i}")
    net = mx.sym.FullyConnected(mx.sym.Flatten(net), num_hidden=500, name="fc1")
    net = mx.sym.Activation(net, act_type="tanh", name="tanh3")
    net = mx.sym.FullyConnected(net, num_hidden=classes, name="fc2")
    return mx.sym.SoftmaxOutput(net, name="softmax")


def initialize(executor: mx.executor.Executor, seed: int = 0) -> None:
    """Weights by Xavier's rule; biases stay zero."""
    random = np.random.default_rng(seed)
    for name, value in executor.arg_dict.items():
        if name.endswith("_weight"):
            fan_out, fan_in = value.shape[0], int(np.prod(value.shape[1:]))
            limit = np.sqrt(6 / (fan_in + fan_out))
            value[:] = random.uniform(-limit, limit, value.shape)


def show_progress(epoch: int, done: int, total: int, loss: float, start: float) -> None:
    rate = done * BATCH / (time.perf_counter() - start)
    filled = 30 * done // total
    text = f"epoch {epoch} [{'=' * filled}{' ' * (30 - filled)}] {rate:7.0f} images/s  loss {loss:.4f}"
    print("\r" + text if sys.stdout.isatty() else text, end="" if sys.stdout.isatty() and done < total else "\n")


def train(executor, images, labels, epochs: int, learning_rate: float = 0.05, momentum: float = 0.9) -> None:
    weights = [n for n in executor.arg_dict if n not in INPUTS]
    states = {n: mx.nd.zeros(executor.arg_dict[n].shape) for n in weights}
    total = len(images) // BATCH
    for epoch in range(epochs):
        start, loss = time.perf_counter(), 0.0
        order = np.random.default_rng(epoch).permutation(len(images))
        for i in range(total):
            chosen = order[i * BATCH : (i + 1) * BATCH]
            (out,) = executor.forward(is_train=True, data=images[chosen], softmax_label=labels[chosen])
            executor.backward()
            for name in weights:
                weight, grad = executor.arg_dict[name], executor.grad_dict[name]
                mx.nd.sgd_mom_update(
                    weight, grad, states[name], out=weight, lr=learning_rate, momentum=momentum, rescale_grad=1 / BATCH
                )
            picked = out.asnumpy()[np.arange(BATCH), labels[chosen].astype(int)]
            loss += (float(-np.log(np.maximum(picked, 1e-10)).mean()) - loss) / (i + 1)
            if sys.stdout.isatty() or i + 1 == total:
                show_progress(epoch, i + 1, total, loss, start)


def classify(executor, images: np.ndarray) -> np.ndarray:
    """The most likely digit of every image."""
    found = []
    for i in range(0, len(images), BATCH):
        batch = images[i : i + BATCH]
        padded = np.concatenate([batch, np.zeros((BATCH - len(batch), *batch.shape[1:]), batch.dtype)])
        (out,) = executor.forward(is_train=False, data=padded)
        found.append(out.asnumpy()[: len(batch)].argmax(1))
    return np.concatenate(found)


def picture(image: np.ndarray) -> list[str]:
    """An image as lines of text, two pixels high each."""
    shades = " .:-=+*#%@"
    halves = (image[0, 0::2] + image[0, 1::2]) / 2
    return ["".join(shades[min(9, int(v * 9.99))] for v in row) for row in halves]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--count", type=int, default=6000, help="training images")
    parser.add_argument("--out", type=Path, default=Path("build/demo"), help="where the model and its picture go")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)

    print(f"drawing {options.count} digits")
    images, labels = digits(options.count, seed=1)
    test_images, test_labels = digits(1000, seed=2)

    net = lenet()
    wanted = {n: "null" if n in INPUTS else "write" for n in net.list_arguments()}
    executor = net.simple_bind(mx.cpu(), grad_req=wanted, data=(BATCH, 1, 28, 28))
    initialize(executor)
    train(executor, images, labels, options.epochs)
    accuracy = (classify(executor, test_images) == test_labels).mean()
    print(f"accuracy on 1000 new digits: {accuracy:.1%}")

    prefix = options.out / "lenet"
    net.save(f"{prefix}-symbol.json")
    weights = {f"arg:{n}": a for n, a in executor.arg_dict.items() if n not in INPUTS}
    mx.nd.save(f"{prefix}-{options.epochs:04d}.params", weights)
    graph = mx.viz.plot_network(net, shape={"data": (1, 1, 28, 28)}, save_format="svg")
    Path(f"{prefix}.dot").write_text(graph.source)
    print(f"saved {prefix}-symbol.json, {prefix}-{options.epochs:04d}.params and {prefix}.dot")
    try:
        print(f"drew {graph.render(str(prefix), cleanup=True)}")
    except mx.MXNetError as error:  # a picture needs the `dot` program
        print(f"no picture: {error}")

    again = mx.sym.load(f"{prefix}-symbol.json").simple_bind(mx.cpu(), grad_req="null", data=(BATCH, 1, 28, 28))
    saved = mx.nd.load(f"{prefix}-{options.epochs:04d}.params")
    again.copy_params_from({name.removeprefix("arg:"): value for name, value in saved.items()})
    for lines in zip(*(picture(image) for image in test_images[:4]), strict=True):
        print("  ".join(lines))
    guesses = classify(again, test_images[:4])
    print(
        "the loaded model says:",
        ", ".join(map(str, guesses)),
        "- truth:",
        ", ".join(f"{t:.0f}" for t in test_labels[:4]),
    )


if __name__ == "__main__":
    main()
