"""Trains a LeNet on the built-in digits, saves it, draws its graph, and classifies a few images.

python examples/digits_lenet.py [--epochs 3] [--count 6000] [--out DIRECTORY]
"""

import argparse
from pathlib import Path

import numpy as np

import minimx as mx
from minimx.digits import digits

BATCH = 100


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
    prefix = str(options.out / "lenet")

    print(f"drawing {options.count} digits")
    images, labels = digits(options.count, seed=1)
    new_images, new_labels = digits(1000, seed=2)

    mx.random.seed(0)
    net = lenet()
    module = mx.mod.Module(net, context=mx.cpu())
    module.fit(
        mx.io.NDArrayIter(images, labels, BATCH, shuffle=True),
        num_epoch=options.epochs,
        initializer=mx.init.Xavier(),
        optimizer_params={"learning_rate": 0.05, "momentum": 0.9},
    )
    module.save_checkpoint(prefix, options.epochs)
    print(f"saved {prefix}-symbol.json and {prefix}-{options.epochs:04d}.params")
    ((_, accuracy),) = module.score(mx.io.NDArrayIter(new_images, new_labels, BATCH), "acc")
    print(f"accuracy on 1000 new digits: {accuracy:.1%}")

    graph = mx.viz.plot_network(net, shape={"data": (1, 1, 28, 28)}, save_format="svg")
    Path(f"{prefix}.dot").write_text(graph.source)
    try:
        print(f"drew {graph.render(prefix, cleanup=True)}")
    except mx.MXNetError as error:  # a picture needs the `dot` program
        print(f"wrote {prefix}.dot, but no picture: {error}")

    model = mx.model.FeedForward.load(prefix, options.epochs)
    guesses = model.predict(new_images[:4]).argmax(1)
    for lines in zip(*map(picture, new_images[:4]), strict=True):
        print("  ".join(lines))
    print(
        f"the loaded model says: {', '.join(map(str, guesses))} - truth: {', '.join(f'{t:.0f}' for t in new_labels[:4])}"
    )


if __name__ == "__main__":
    main()
