"""CIFAR-10 from JPEG files: lists, packs them into records, trains a network on them, and validates it.

python examples/cifar10_records.py [--data DIRECTORY] [--work DIRECTORY] [--epochs 10] [--count 50000]

The directory (or MINIMX_DATA) has cifar10-jpeg.tar.xz, with the directories train and test and in them one for each class. It
is unpacked, listed and packed by the commands of the tutorial, which are printed; what is there already is not made again.
"""

import argparse
import logging
import os
import shlex
import subprocess
import sys
import tarfile
from pathlib import Path

import minimx as mx


def run(*command: object) -> None:
    words = [str(word) for word in command]
    print("$", shlex.join(words))
    subprocess.run([sys.executable, *words[1:]] if words[0] == "python" else words, check=True)


def make_records(archive: Path, work: Path) -> None:
    """train.rec and test.rec, with their indexes and lists."""
    if not (work / "cifar10").exists():
        print(f"unpacking {archive}")
        with tarfile.open(archive) as tar:
            tar.extractall(work, filter="data")
    for part in ("train", "test"):
        prefix, root = work / part, work / "cifar10" / part
        if not prefix.with_suffix(".lst").exists():
            run("python", "-m", "minimx.tools.im2rec", "--list", "--recursive", prefix, root)
        if not prefix.with_suffix(".rec").exists():
            run(
                "python",
                "-m",
                "minimx.tools.im2rec",
                "--pass-through",
                "--num-thread",
                os.cpu_count() or 1,
                prefix,
                root,
            )


def unit(data: mx.sym.Symbol, filters: int, name: str, stride: int = 1) -> mx.sym.Symbol:
    """A convolution, normalised, with a ReLU."""
    net = mx.sym.Convolution(
        data, num_filter=filters, kernel=(3, 3), stride=(stride, stride), pad=(1, 1), no_bias=True, name=f"{name}_conv"
    )
    net = mx.sym.BatchNorm(net, fix_gamma=False, name=f"{name}_bn")
    return mx.sym.Activation(net, act_type="relu", name=f"{name}_relu")


def network(classes: int = 10) -> mx.sym.Symbol:
    net = mx.sym.Variable("data")
    for i, filters in enumerate((32, 64, 128)):
        net = unit(net, filters, f"stage{i}_a")
        net = unit(net, filters, f"stage{i}_b", stride=2)
    net = mx.sym.Pooling(net, kernel=(4, 4), pool_type="avg", global_pool=True, name="pool")
    net = mx.sym.FullyConnected(mx.sym.Flatten(net), num_hidden=classes, name="fc")
    return mx.sym.SoftmaxOutput(net, name="softmax")


COLOURS = dict(mean_r=125.3, mean_g=123.0, mean_b=113.9, std_r=63.0, std_g=62.1, std_b=66.7)


def iterators(work: Path, batch: int) -> tuple[mx.io.ImageRecordIter, mx.io.ImageRecordIter]:
    """Training images padded, cropped anywhere and mirrored; test images as they are."""
    common = dict(data_shape=(3, 32, 32), batch_size=batch, preprocess_threads=os.cpu_count() or 1, **COLOURS)
    train = mx.io.ImageRecordIter(
        path_imgrec=work / "train.rec",
        path_imgidx=work / "train.idx",
        shuffle=True,
        pad=4,
        fill_value=127,
        rand_crop=True,
        rand_mirror=True,
        **common,
    )
    return train, mx.io.ImageRecordIter(path_imgrec=work / "test.rec", **common)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("MINIMX_DATA"), help="where cifar10-jpeg.tar.xz is")
    parser.add_argument("--work", type=Path, default=Path("cifar10-work"), help="for the images and records")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--count", type=int, help="images of an epoch, if not all of them")
    options = parser.parse_args()
    archive = Path(options.data or ".") / "cifar10-jpeg.tar.xz"
    if not archive.exists() and not (options.work / "train.rec").exists():
        print(f"there is no {archive}; say by --data or MINIMX_DATA where cifar10-jpeg.tar.xz is")
        return
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options.work.mkdir(parents=True, exist_ok=True)
    make_records(archive, options.work)
    train, test = iterators(options.work, options.batch)
    batches = (options.count or 50000) // options.batch
    mx.random.seed(0)
    model = mx.mod.Module(network())
    model.fit(
        mx.io.ResizeIter(train, batches, reset_internal=False) if options.count else train,
        eval_data=test,
        optimizer="sgd",
        optimizer_params={
            "learning_rate": 0.1,
            "momentum": 0.9,
            "wd": 5e-4,
            "lr_scheduler": mx.lr_scheduler.FactorScheduler(step=max(1, batches), factor=0.8),
        },
        initializer=mx.init.Xavier(rnd_type="gaussian", factor_type="in", magnitude=2),
        batch_end_callback=mx.callback.Speedometer(options.batch, 50),
        num_epoch=options.epochs,
    )
    print(f"validation accuracy: {dict(model.score(test, 'acc'))['accuracy']:.3f}")
    if train.skipped + test.skipped:
        print(f"{train.skipped + test.skipped} images could not be read")


if __name__ == "__main__":
    main()
