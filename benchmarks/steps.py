"""What surrounds the kernels: training steps of tiny networks, the step of a DCGAN, and one operation on a tiny array.

python benchmarks/steps.py [--only mlp] [--json FILE]
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import harness
import networks
from harness import Row

import minimx as mx

TRAINERS = ("minimx", "mxnet", "mxnet naive", "torch", "torch compiled", "jax")


def regression() -> mx.sym.Symbol:
    """13-64-64-1, for house prices."""
    x = mx.sym.Variable("data")
    for i in (1, 2):
        x = mx.sym.FullyConnected(x, num_hidden=64, name=f"fc{i}")
        x = mx.sym.Activation(x, act_type="relu", name=f"relu{i}")
    x = mx.sym.FullyConnected(x, num_hidden=1, name="fc3")
    return mx.sym.LinearRegressionOutput(x, mx.sym.Variable("label"), name="out")


def classification() -> mx.sym.Symbol:
    """60-10-2, for sonar echoes."""
    return mx.models.mlp(2, (10,), "tanh")


def mlp(folder: Path, title: str, net: mx.sym.Symbol, shapes: dict, optimizer: dict) -> Row:
    file = folder / f"{title.split()[1]}-symbol.json"
    net.save(str(file))
    every = networks.every_shape(net, shapes)
    work = {"kind": "train", "symbol": str(file), "shapes": every, "optimizer": optimizer}
    return Row(title, work, TRAINERS, "steps/s", 1, group="steps")


def dcgan(folder: Path, batch: int = 32) -> Row:
    make, tell = mx.models.dcgan_generator(), mx.models.dcgan_discriminator()
    files = [str(folder / f"dcgan-{who}-symbol.json") for who in ("generator", "judge")]
    noise, image = {"rand": (batch, 100, 1, 1)}, {"data": (batch, 3, 64, 64), "label": (batch, 1)}
    shapes = networks.every_shape(make, noise) | networks.every_shape(tell, image)
    for net, file in zip((make, tell), files, strict=True):
        net.save(file)
    adam = {"name": "adam", "learning_rate": 1e-5, "beta1": 0.5}
    work = {
        "kind": "gan",
        "generator": files[0],
        "judge": files[1],
        "shapes": shapes,
        "batch": batch,
        "optimizer": adam,
    }
    # The generator goes forward and back once, the judge three times, once without its own gradients.
    flops = 3 * networks.forward_flops(make, noise) + 9 * networks.forward_flops(tell, image)
    return Row(
        f"dcgan step 64x64, batch {batch}", work, ("minimx", "mxnet", "torch"), "images/s", batch, flops, "networks"
    )


def rows(folder: Path) -> list[Row]:
    sgd = {"name": "sgd", "learning_rate": 1e-5, "momentum": 0.9}
    rmsprop = {"name": "rmsprop", "learning_rate": 1e-6, "gamma1": 0.9}
    house = {"data": (50, 13), "label": (50, 1)}
    return [
        mlp(folder, "mlp 13-64-64-1 sgd, batch 50", regression(), house, sgd),
        mlp(folder, "mlp 13-64-64-1 rmsprop, batch 50", regression(), house, rmsprop),
        mlp(folder, "mlp 60-10-2 sgd, batch 15", classification(), {"data": (15, 60)}, sgd),
        Row(
            "eager a + 1, 2x2",
            {"kind": "eager_add"},
            ("minimx", "mxnet", "torch", "jax", "numpy"),
            "calls/s",
            1,
            group="steps",
        ),
        dcgan(folder),
    ]


def main() -> None:
    options = harness.parser(__doc__).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = harness.measure(rows(Path(folder)), options)
    if options.json:
        harness.write(options.json, results)


if __name__ == "__main__":
    main()
