"""Reading and writing records, packing images with im2rec, decoding: images or records per second.

    python benchmarks/io.py [--mxnet PYTHON] [--threads 2] [--images 1000] [--rounds 3] [--json FILE]

It makes its own images: 500x375, JPEG of quality 90, with the gradients, edges and grain of photos. MXNet is measured by an
interpreter that has it (and OpenCV), in turns with minimx; of each figure the best round counts. What it takes to start im2rec
is measured with one image and taken off.
"""

import argparse
import functools
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

SMALL = 200_000  # records of 100 bytes
DISTINCT = 100  # images; more files are copies of them
TRAINING = 2000  # images in the record file of the training iterator


def photo(generator, height=375, width=500):
    """Smooth light, some objects with edges, and grain."""
    y, x = np.mgrid[0:height, 0:width]
    image = np.full((height, width, 3), 128.0)
    for _ in range(6):
        steep, phase, power = (
            generator.uniform(0.005, 0.05, 2),
            generator.uniform(0, 6, 3),
            generator.uniform(10, 40, 3),
        )
        image += power * np.sin(steep[0] * x + steep[1] * y)[:, :, None] * np.cos(phase)
    for _ in range(25):
        at_y, at_x, radius = generator.uniform(0, height), generator.uniform(0, width), generator.uniform(8, 90)
        image[(y - at_y) ** 2 + (x - at_x) ** 2 < radius**2] += generator.uniform(-60, 60, 3)
    return np.clip(image + generator.normal(0, 4, image.shape), 0, 255).astype("uint8")


def make_images(folder, count):
    from minimx.image import codec

    generator = np.random.default_rng(0)
    coded = [codec.encode(photo(generator), ".jpg", 90) for _ in range(min(DISTINCT, count))]
    for i in range(count):
        (folder / f"{i:05d}.jpg").write_bytes(coded[i % len(coded)])
    return sum(map(len, coded)) / len(coded)


def seconds(body):
    begin = time.perf_counter()
    body()
    return time.perf_counter() - begin


def read_all(record):
    while record.read() is not None:
        pass


def record_figures(recordio, folder):
    """Small records written and read one at a time; the same with MXNet and with minimx."""
    path, index = str(folder / "small.rec"), str(folder / "small.idx")
    payload = b"x" * 100

    def write():
        record = recordio.MXIndexedRecordIO(index, path, "w")
        for i in range(SMALL):
            record.write_idx(i, payload)
        record.close()

    figures = {"records written with an index": SMALL / seconds(write)}
    record = recordio.MXRecordIO(path, "r")
    figures["records read one at a time"] = SMALL / seconds(lambda: read_all(record))
    record = recordio.MXIndexedRecordIO(index, path, "r")
    keys = random.Random(0).sample(record.keys, 50_000)
    figures["records read by key, at random"] = len(keys) / seconds(lambda: [record.read_idx(k) for k in keys])
    return figures


def minimx_figures(folder, images, threads):
    import minimx as mx
    from minimx import recordio, recordio_plain
    from minimx.image import codec

    figures = record_figures(recordio, folder)
    path = str(folder / "small.rec")
    record = recordio.MXRecordIO(path, "r")

    def read_many():
        while record.read_many(1000):
            pass

    figures["records read by thousands"] = SMALL / seconds(read_many)
    plain = recordio_plain.RecordReader([path])
    figures["records read in plain Python"] = 20_000 / seconds(lambda: [plain.read() for _ in range(20_000)])
    if codec.find_jpeg():
        coded = [p.read_bytes() for p in sorted(images.glob("*.jpg"))[:DISTINCT]]
        figures["images decoded, one thread"] = len(coded) / seconds(lambda: [codec.decode(c) for c in coded])
        figures["images decoded and no more, by threads"] = decoded_by_threads(codec.decode, coded, threads)
        figures |= iterator_figures(mx.io, recordio, folder, coded, threads)
    return figures


def decoded_by_threads(decode, coded, threads):
    """The most that an iterator could do with whole images."""
    work = coded * (TRAINING // len(coded))
    with ThreadPoolExecutor(threads) as pool:
        return len(work) / seconds(lambda: list(pool.map(decode, work, chunksize=20)))


def iterator_figures(io, recordio, folder, coded, threads):
    """An epoch of the usual iterator for training, after one to warm up."""
    path = str(folder / "training.rec")
    record = recordio.MXRecordIO(path, "w")
    for i in range(TRAINING):
        record.write(recordio.pack(recordio.IRHeader(0, float(i % 10), i, 0), bytes(coded[i % len(coded)])))
    record.close()
    common = dict(path_imgrec=path, batch_size=32, data_shape=(3, 224, 224), preprocess_threads=threads, verbose=False)
    it = io.ImageRecordIter(resize=256, rand_crop=True, rand_mirror=True, **common)

    def epoch():
        for batch in it:
            batch.data[0].wait_to_read()

    epoch()
    it.reset()
    return {"training images: resize 256, crop 224, mirror": TRAINING / seconds(epoch)}


def mxnet_figures(folder, images, threads):
    import mxnet

    figures = record_figures(mxnet.recordio, folder)
    try:
        import cv2
    except ImportError:
        return figures
    cv2.setNumThreads(1)
    coded = [np.fromfile(p, "uint8") for p in sorted(images.glob("*.jpg"))[:DISTINCT]]
    figures["images decoded, one thread"] = len(coded) / seconds(lambda: [cv2.imdecode(c, 1) for c in coded])
    decode = functools.partial(cv2.imdecode, flags=1)
    figures["images decoded and no more, by threads"] = decoded_by_threads(decode, coded, threads)
    return figures | iterator_figures(mxnet.io, mxnet.recordio, folder, coded, threads)


def figures_of(python, folder, images, threads):
    """The figures of this script in another process."""
    command = [
        python,
        __file__,
        "--measure",
        "minimx" if python == sys.executable else "mxnet",
        str(folder),
        str(images),
        str(threads),
    ]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(python))
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def environment(python):
    path = {"PYTHONPATH": str(Path(__file__).parents[1])} if python == sys.executable else {}
    return {**{k: v for k, v in os.environ.items() if k != "PYTHONPATH"}, **path}


def im2rec_command(python):
    if python == sys.executable:
        return [python, "-m", "minimx.tools.im2rec"]
    code = "import mxnet, os; print(os.path.join(os.path.dirname(mxnet.__file__), 'tools', 'im2rec.py'))"
    found = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True, env=environment(python))
    return [python, found.stdout.strip()]


def pack(command, python, folder, name, images, threads, *options):
    (folder / f"{name}.rec").unlink(missing_ok=True)
    arguments = [str(folder / name), str(images), *options, "--num-thread", str(threads)]
    taken = seconds(
        lambda: subprocess.run([*command, *arguments], capture_output=True, check=True, env=environment(python))
    )
    if not (folder / f"{name}.rec").stat().st_size:
        raise SystemExit(f"{command} packed nothing")
    return taken


def im2rec_figures(python, folder, images, count, threads):
    command = im2rec_command(python)
    # Passing through takes so little that each file is packed several times, under different numbers.
    tasks = (("resized to 256", 1, ["--resize", "256"]), ("passed through", 20, ["--pass-through"]))
    (folder / "one.lst").write_text("0\t0\t00000.jpg\n")
    figures = {}
    for name, times, options in tasks:
        (folder / "all.lst").write_text("".join(f"{i}\t0\t{i % count:05d}.jpg\n" for i in range(times * count)))
        start = pack(command, python, folder, "one", images, threads, *options)
        whole = pack(command, python, folder, "all", images, threads, *options)
        figures[f"im2rec, {threads} threads, {name}"] = (times * count - 1) / max(whole - start, 1e-3)
    return figures


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mxnet", metavar="PYTHON", help="interpreter that has MXNet")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--measure", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        who, folder, images, threads = options.measure
        print(
            json.dumps(
                {"minimx": minimx_figures, "mxnet": mxnet_figures}[who](Path(folder), Path(images), int(threads))
            )
        )
        return
    pythons = {"minimx": sys.executable} | ({"mxnet": options.mxnet} if options.mxnet else {})
    best = {}
    with tempfile.TemporaryDirectory() as name:
        folder, images = Path(name), Path(name) / "images"
        images.mkdir()
        size = make_images(images, options.images)
        print(f"{options.images} images of {size / 1000:.0f} kB on average")
        for _ in range(options.rounds):
            for who, python in pythons.items():
                found = figures_of(python, folder, images, options.threads)
                found |= im2rec_figures(python, folder, images, options.images, options.threads)
                for what, rate in found.items():
                    row = best.setdefault(what, {})
                    row[who] = max(rate, row.get(who, 0))
    width = max(map(len, best))
    print(f"{'per second':{width}}", *(f"{who:>12}" for who in pythons))
    for what, row in best.items():
        print(f"{what:{width}}", *(f"{row[who]:12,.0f}" if who in row else " " * 12 for who in pythons))
    if options.json:
        options.json.write_text(
            json.dumps({k: {w: round(r, 1) for w, r in row.items()} for k, row in best.items()}, indent=1)
        )


if __name__ == "__main__":
    main()
