"""Calls of mx.image and what MXNet 1.9.1 returned for them.

`python tests/image_cases.py` with MXNet 1.9.1 writes golden/image.npz; the tests make the same calls here. Both draw the
same random numbers, those of Python and NumPy.
"""

import random
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
REC = HERE / "golden/rec"
BOXES = np.array([[0, 0.1, 0.2, 0.5, 0.6], [1, 0.4, 0.3, 0.9, 0.8], [2, 0.7, 0.7, 0.95, 0.9]], np.float32)


def picture(h=30, w=40):
    y, x = np.mgrid[0:h, 0:w][..., None]
    waves = 127 + 80 * np.sin(x / 9.0) * [1, 0.5, 0.2] + 60 * np.cos(y / 7.0) * [0.2, 1, 0.6]
    noise = (x * 7 + y * 13 + x * y) % 17 - 8
    return np.clip(waves + noise, 0, 255).astype(np.uint8)


def detection_records(mx, folder):
    """A record file with one to three objects in each image."""
    path = str(Path(folder) / "det")
    images = (REC / "images_png.rec").read_bytes()
    writer = mx.recordio.MXIndexedRecordIO(path + ".idx", path + ".rec", "w")
    at = 0
    for i in range(6):
        size = int.from_bytes(images[at + 4 : at + 8], "little")
        label = [2, 5]
        for j in range(1 + i % 3):
            label += [float(i), 0.1 + 0.05 * j, 0.2, 0.6 + 0.05 * j, 0.7]
        payload = images[at + 8 + 24 : at + 8 + size]
        writer.write_idx(i, mx.recordio.pack(mx.recordio.IRHeader(0, np.array(label, "f"), i, 0), payload))
        at += 8 + (size + 3) // 4 * 4
    writer.close()
    return path


def functions(mx):
    image, src = mx.image, mx.nd.array(picture(), dtype="uint8")
    out = {}
    for interp in range(5):
        out[f"imresize {interp}"] = image.imresize(src, 17, 21, interp)
        out[f"resize_short {interp}"] = image.resize_short(src, 45, interp)
    for kind in range(5):
        out[f"copyMakeBorder {kind}"] = image.copyMakeBorder(src, 3, 2, 5, 4, type=kind, values=(10, 20, 30))
    out["copyMakeBorder value"] = image.copyMakeBorder(src, 3, 2, 5, 4, type=0, value=7)
    out["scale_down"] = np.array(
        [
            image.scale_down((640, 480), (720, 120)),
            image.scale_down((30, 40), (50, 100)),
            image.scale_down((9, 9), (3, 2)),
        ]
    )
    out["fixed_crop"] = image.fixed_crop(src, 5, 6, 20, 15, (17, 19), 1)
    planes = mx.nd.array(picture().transpose(2, 0, 1).astype("f"))
    for zoom in ("none", "zoom_in", "zoom_out"):
        given = {} if zoom == "none" else {zoom: True}
        out[f"imrotate {zoom}"] = image.imrotate(planes, 33, **given)
        out[f"imrotate {zoom} batch"] = image.imrotate(mx.nd.stack(planes, planes), mx.nd.array([10, -70]), **given)
    png = (REC / "images_png.rec").read_bytes()[8 + 24 : 8 + 275]
    for flag in (0, 1):
        for rgb in (0, 1):
            out[f"imdecode {flag} {rgb}"] = image.imdecode(png, flag=flag, to_rgb=rgb)
    return out


def drawn(mx, seed):
    """What depends on random numbers."""
    image, src, out = mx.image, mx.nd.array(picture(), dtype="uint8"), {}
    random.seed(seed)
    np.random.seed(seed)
    for name, (piece, place) in {
        "random_crop": image.random_crop(src, (30, 20), 1),
        "random_crop of small": image.random_crop(src, (60, 50), 1),
        "center_crop": image.center_crop(src, (31, 21)),
        "random_size_crop": image.random_size_crop(src, (20, 20), 0.3, (0.7, 1.3), 1),
        "random_size_crop range": image.random_size_crop(src, (20, 20), (0.2, 0.5), (0.7, 1.3), interp=3),
    }.items():
        out[name], out[name + " place"] = piece, np.array(place)
    axes = np.array([[0.5, 0.1, 0.2], [0.3, 0.9, 0.1], [0.0, 0.2, 0.7]])
    for name, augmenter in {
        "brightness": image.BrightnessJitterAug(0.4),
        "contrast": image.ContrastJitterAug(0.4),
        "saturation": image.SaturationJitterAug(0.4),
        "hue": image.HueJitterAug(0.4),
        "jitter": image.ColorJitterAug(0.3, 0.3, 0.3),
        "lighting": image.LightingAug(0.1, np.array([55.46, 4.794, 1.148]), axes),
        "gray": image.RandomGrayAug(0.7),
        "flip": image.HorizontalFlipAug(0.5),
        "normalize": image.ColorNormalizeAug(np.array([1.0, 2, 3]), np.array([2.0, 3, 4])),
        "cast": image.CastAug("int32"),
    }.items():
        out[name] = augmenter(mx.nd.array(picture().astype("f")))
        out[name + " dumps"] = np.array(str(augmenter.dumps()))
    colours = dict(
        mean=True, std=True, brightness=0.1, contrast=0.1, saturation=0.1, hue=0.1, pca_noise=0.1, rand_gray=0.2
    )
    steps = image.CreateAugmenter((3, 12, 16), 20, True, True, True, inter_method=1, **colours)
    for step in steps:
        src = step(src)
    out["CreateAugmenter"], out["CreateAugmenter dumps"] = src, np.array(str([step.dumps() for step in steps]))
    for name, augmenter in {
        "det crop": image.DetRandomCropAug(0.1, (0.75, 1.33), (0.3, 0.9), 0.3, 50),
        "det pad": image.DetRandomPadAug(),
        "det flip": image.DetHorizontalFlipAug(0.7),
        "det crops": image.CreateMultiRandCropAugmenter(
            [0.1, 0.3, 0.5], (0.75, 1.33), [(0.1, 1.0), (0.2, 0.9), (0.3, 0.8)], 0.3, 50, 0.2
        ),
    }.items():
        out[name], out[name + " label"] = augmenter(mx.nd.array(picture(), dtype="uint8"), BOXES.copy())
        out[name + " dumps"] = np.array(str(augmenter.dumps()))
    steps = image.CreateDetAugmenter((3, 12, 16), 20, 0.5, 0.5, inter_method=1, rand_mirror=True, **colours)
    src, label = mx.nd.array(picture(), dtype="uint8"), BOXES.copy()
    for step in steps:
        src, label = step(src, label)
    out["CreateDetAugmenter"], out["CreateDetAugmenter label"] = src, label
    out["CreateDetAugmenter dumps"] = np.array(str([step.dumps() for step in steps]))
    return out


def iterators(mx, folder):
    out = {}
    png, index = str(REC / "images_png.rec"), str(REC / "images_png.idx")
    cases = {
        "plain": {},
        "part": dict(path_imgidx=index, num_parts=2, part_index=1),
        "discard": dict(last_batch_handle="discard"),
        "roll_over": dict(last_batch_handle="roll_over"),
        "shuffle": dict(path_imgidx=index, shuffle=True, rand_crop=True, rand_mirror=True),
    }
    for name, given in cases.items():
        random.seed(5)
        it = mx.image.ImageIter(5, (3, 10, 12), path_imgrec=png, inter_method=1, **given)
        data, label, pads = [], [], []
        for _ in range(3):
            for batch in it:
                data.append(batch.data[0].asnumpy())
                label.append(batch.label[0].asnumpy())
                pads.append(batch.pad)
            it.reset()
        out[f"ImageIter {name}"], out[f"ImageIter {name} label"] = np.array(data), np.array(label)
        out[f"ImageIter {name} pad"] = np.array(pads)
    random.seed(5)
    path = detection_records(mx, folder)
    it = mx.image.ImageDetIter(
        4,
        (3, 10, 12),
        path_imgrec=path + ".rec",
        path_imgidx=path + ".idx",
        rand_mirror=True,
        rand_crop=0.5,
        inter_method=1,
    )
    batches = list(it)
    out["ImageDetIter"] = np.array([b.data[0].asnumpy() for b in batches])
    out["ImageDetIter label"] = np.array([b.label[0].asnumpy() for b in batches])
    out["ImageDetIter pad"] = np.array([b.pad for b in batches])
    for name, given in {
        "plain": {},
        "mirror": dict(rand_mirror_prob=1.0, mean_r=10, std_r=2, std_g=1, std_b=1),
    }.items():
        it = mx.io.ImageDetRecordIter(
            path_imgrec=path + ".rec", data_shape=(3, 32, 30), batch_size=4, label_pad_width=20, verbose=False, **given
        )
        batches = list(it)
        out[f"ImageDetRecordIter {name}"] = np.array([b.data[0].asnumpy() for b in batches])
        out[f"ImageDetRecordIter {name} label"] = np.array([b.label[0].asnumpy() for b in batches])
    return out


def run(mx, folder):
    """Every result as a NumPy array."""
    out = functions(mx)
    for seed in range(2):
        out.update({f"{name} seed {seed}": value for name, value in drawn(mx, seed).items()})
    out.update(iterators(mx, folder))
    return {name: value.asnumpy() if hasattr(value, "asnumpy") else value for name, value in out.items()}


if __name__ == "__main__":
    import mxnet

    np.savez_compressed(HERE / "golden/image.npz", **run(mxnet, sys.argv[1]))
