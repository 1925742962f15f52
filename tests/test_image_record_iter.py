"""ImageRecordIter: what MXNet's returns, the same epoch on any number of threads, states, parts, and what is refused."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest

import minimx as mx
from minimx import _core
from minimx.image.codec import encode

REC = Path(__file__).parent / "golden/rec"
GOLDEN = {k[5:]: v for k, v in json.loads((REC / "index.json").read_text()).items() if k.startswith("iter_")}
RESIZED = ("resize", "upscale_small", "crop_size")
needs_jpeg = pytest.mark.skipif(not mx.image.codec.find_jpeg(), reason="needs libjpeg-turbo")


def iterator(**kwargs):
    for name in ("path_imgrec", "path_imglist", "path_imgidx"):
        if name in kwargs:
            kwargs[name] = str(REC / kwargs[name])
    return mx.io.ImageRecordIter(**{"verbose": False, **kwargs})


def epoch(it):
    """Arrays of images, labels, pads of all batches."""
    batches = list(it)
    return (
        np.array([b.data[0].asnumpy() for b in batches]),
        np.array([b.label[0].asnumpy() for b in batches]),
        [b.pad for b in batches],
    )


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("case", GOLDEN)
def test_golden(case, threads, tmp_path):
    golden, p = GOLDEN[case], dict(GOLDEN[case]["params"], preprocess_threads=threads)
    if "mean_img" in p:
        p["mean_img"] = str(tmp_path / "mean.bin")
    it = iterator(**p)
    parts = []
    for i in range(golden["epochs"]):
        if i:
            it.reset()
        parts.append(epoch(it))
    data, label = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
    expected = np.load(REC / f"iter_{case}.npz")
    if case == "no_round":  # MXNet says 0 and leaves what was in memory
        assert [x for part in parts for x in part[2]] == [0, 0, 3, 0, 0, 3]
        assert not data[2::3, 2:].any()
    else:
        assert [x for part in parts for x in part[2]] == golden["pads"]
    want = expected["data"].astype(np.float32)
    assert data.shape == want.shape
    if case in RESIZED:
        assert np.abs(data - want).max() <= 1.01
    else:
        np.testing.assert_allclose(data.astype(np.float32), want, rtol=1e-6, atol=3e-5)  # float32 of pixels
    np.testing.assert_array_equal(label.reshape(expected["label"].shape), expected["label"])
    if "mean_img" in p:
        made, wanted = mx.nd.load(p["mean_img"]), mx.nd.load(str(REC / "mean_img.bin"))
        np.testing.assert_allclose(made["mean_img"].asnumpy(), wanted["mean_img"].asnumpy(), rtol=1e-6)


# ---- a folder of records to make changes to -----------------------------------------------------------------------------


def photo(seed, h=75, w=100):
    """Something between a photo and noise."""
    state = np.random.default_rng(seed)
    coarse = state.integers(0, 256, (h // 8 + 2, w // 8 + 2, 3)).astype(np.float32)
    smooth = _core.image_resize(coarse, h, w, 2)
    return np.clip(smooth + state.normal(0, 4, (h, w, 1)), 0, 255).astype(np.uint8)


def write_records(path, payloads, labels=None):
    """A record file with its index; a payload is an encoded image or None for a record without one."""
    writer = mx.recordio.MXIndexedRecordIO(str(path) + ".idx", str(path) + ".rec", "w")
    for i, payload in enumerate(payloads):
        label = float(i) if labels is None else labels[i]
        writer.write_idx(i, mx.recordio.pack(mx.recordio.IRHeader(0, label, i, 0), payload))
    writer.close()
    return str(path) + ".rec", str(path) + ".idx"


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """23 photos of several sizes: JPEG where that can be written, every third a PNG."""
    jpeg = bool(mx.image.codec.find_jpeg())
    payloads = [
        encode(photo(i, 60 + i, 90 - i), ".jpg" if jpeg and i % 3 else ".png", 90 if jpeg and i % 3 else 3)
        for i in range(23)
    ]
    return write_records(tmp_path_factory.mktemp("photos") / "photos", payloads)


EVERYTHING = dict(
    data_shape=(3, 40, 32),
    batch_size=4,
    shuffle=True,
    rand_crop=True,
    rand_mirror=True,
    resize=50,
    max_rotate_angle=10,
    max_shear_ratio=0.1,
    max_aspect_ratio=0.1,
    max_random_scale=1.2,
    brightness=0.2,
    contrast=0.2,
    saturation=0.2,
    random_h=10,
    random_s=10,
    random_l=10,
    pca_noise=0.1,
    pad=2,
    max_random_contrast=0.1,
    max_random_illumination=5,
    inter_method=10,
)


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("indexed", [True, False])
def test_threads_and_seeds(photos, indexed):
    """Any number of threads makes the same epochs; another epoch or seed makes others."""
    given = EVERYTHING | dict(path_imgrec=photos[0], verbose=False) | (dict(path_imgidx=photos[1]) if indexed else {})
    runs = []
    for threads, seed in ((1, 3), (2, 3), (5, 3), (2, 4)):
        it = mx.io.ImageRecordIter(preprocess_threads=threads, seed=seed, prefetch_buffer=threads, **given)
        it._config["threads"] = threads  # more than this machine may have
        it._pipeline = it._open(it._config)
        first = epoch(it)
        it.reset()
        runs.append((first, epoch(it)))
    assert same(runs[0][0], runs[1][0]) and same(runs[0][1], runs[1][1])
    assert same(runs[0][0], runs[2][0]) and same(runs[0][1], runs[2][1])
    assert not np.array_equal(runs[0][0][0], runs[3][0][0])
    first, second = runs[0]
    assert sorted(first[1].ravel()[:23]) == list(range(23)), "every image comes once"
    assert list(first[1].ravel()) != list(second[1].ravel()[: first[1].size])
    assert np.isfinite(first[0]).all()


def test_new_crops_in_every_epoch(photos):
    it = mx.io.ImageRecordIter(
        path_imgrec=photos[0], data_shape=(3, 30, 30), batch_size=23, rand_crop=True, verbose=False
    )
    first = epoch(it)
    it.reset()
    second = epoch(it)
    assert np.array_equal(first[1], second[1]) and not np.array_equal(first[0], second[0])
    it.reset()
    next(it)
    it.reset()  # in the middle: one epoch further, from its start
    assert np.array_equal(epoch(it)[1], first[1])


@pytest.mark.parametrize("taken", [0, 2, 5, 6, 8])
@pytest.mark.parametrize("indexed", [True, False])
def test_state(photos, indexed, taken):
    """An iterator made alike goes on where the state was taken: same images, same changes, over ends of epochs."""
    given = EVERYTHING | dict(path_imgrec=photos[0], verbose=False) | (dict(path_imgidx=photos[1]) if indexed else {})

    def batches(it, count):
        out = []
        while len(out) < count:
            batch = next(it, None)
            if batch is None:
                it.reset()
            else:
                out.append((batch.data[0].asnumpy(), batch.label[0].asnumpy(), batch.pad))
        return out

    it = mx.io.ImageRecordIter(**given)
    batches(it, taken)
    state = json.loads(json.dumps(it.get_state()))
    want = batches(it, 9)
    other = mx.io.ImageRecordIter(**given)
    batches(other, 3)
    other.set_state(state)
    assert all(same(a[:2], b[:2]) and a[2] == b[2] for a, b in zip(batches(other, 9), want, strict=True))
    with pytest.raises(ValueError, match="the state's iterator is 'other'"):
        other.set_state({"iterator": "other"})


def test_parts_have_every_image_once(photos):
    for given in (dict(), dict(path_imgidx=photos[1]), dict(shuffle=True, path_imgidx=photos[1])):
        labels = []
        for part in range(3):
            it = mx.io.ImageRecordIter(
                path_imgrec=photos[0], data_shape=(3, 8, 8), batch_size=2, num_parts=3, part_index=part, verbose=False,
                round_batch=False, **given
            )  # fmt: skip
            labels += [v for b in it for v in b.label[0].asnumpy()[: 2 - b.pad]]
        assert sorted(labels) == list(range(23))


def test_pieces_in_random_order(photos, tmp_path):
    """Without an index, pieces of the file are read in an order that depends on the epoch."""
    it = mx.io.ImageRecordIter(path_imgrec=photos[0], data_shape=(3, 8, 8), batch_size=23, verbose=False)
    it._config["chunks_shuffled"] = 5
    it._pipeline = it._open(it._config)
    orders = []
    for _ in range(3):
        orders.append(list(epoch(it)[1].ravel()))
        it.reset()
    assert all(sorted(order) == list(range(23)) for order in orders)
    assert len({tuple(order) for order in orders}) == 3


def test_several_files_and_patterns(photos, tmp_path):
    for name in ("a1", "a2"):
        write_records(tmp_path / name, [encode(photo(i, 20, 20), ".png", 3) for i in range(3)])
    for paths in (f"{tmp_path}/a1.rec;{tmp_path}/a2.rec", rf"{tmp_path}/a\d\.rec"):
        it = mx.io.ImageRecordIter(path_imgrec=paths, data_shape=(3, 8, 8), batch_size=6, verbose=False)
        assert list(next(it).label[0].asnumpy()) == [0, 1, 2, 0, 1, 2]
    with pytest.raises(FileNotFoundError, match="there is no file .*b.rec"):
        mx.io.ImageRecordIter(path_imgrec=f"{tmp_path}/b.rec", data_shape=(3, 8, 8), batch_size=1)


@needs_jpeg
@pytest.mark.parametrize(
    "given", [dict(resize=50), dict(random_resized_crop=True, min_random_area=0.3, max_aspect_ratio=0.2)]
)
def test_windows_equal_whole_images(tmp_path, given):
    """What is decoded only in part has the pixels of the whole image, resized exactly, up to one grey level."""
    pixels = [photo(i, 75 + 8 * i, 120 - 9 * i) for i in range(6)]
    jpegs = [encode(p, ".jpg", 90) for p in pixels]
    lossless = [encode(mx.image.codec.decode(j), ".png", 1) for j in jpegs]
    common = dict(data_shape=(3, 40, 44), batch_size=6, rand_crop=True, rand_mirror=True, verbose=False, seed=5) | given
    parts = []
    for name, payloads in (("jpg", jpegs), ("png", lossless)):
        write_records(tmp_path / name, payloads)
        it = mx.io.ImageRecordIter(path_imgrec=str(tmp_path / name) + ".rec", **common)
        # Random numbers go by the record's offset, which differs: read both files at the same ones.
        it._pipeline.close()
        it._config |= {"records": [], "files": [], "offsets": []}
        files = []
        for i, payload in enumerate(payloads):
            files.append(str(tmp_path / f"{i}.{name}"))
            Path(files[-1]).write_bytes(payload)
        it._config |= {"files": files, "file_labels": [0.0] * 6}
        it._pipeline = it._open(it._config)
        parts.append(np.concatenate([epoch(it)[0], (it.reset(), epoch(it)[0])[1]]))
    assert np.abs(parts[0] - parts[1]).max() <= 1


# ---- what is wrong ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 4])
def test_unreadable_images_are_left_out(tmp_path, caplog, threads):
    good = [encode(photo(i, 30, 30), ".png", 3) for i in range(12)]
    payloads = list(good)
    payloads[2] = b""
    payloads[5] = b"this is text and no image at all"
    payloads[6] = good[6][:200]
    payloads[11] = good[11][:-30] + b"\0" * 30
    wrong = 4
    if mx.image.codec.find_jpeg():
        payloads[8] = encode(photo(8, 60, 60))[:700]
        wrong = 5
    rec, _ = write_records(tmp_path / "bad", payloads)
    it = mx.io.ImageRecordIter(
        path_imgrec=rec,
        data_shape=(3, 20, 20),
        batch_size=3,
        preprocess_threads=threads,
        round_batch=False,
        verbose=False,
    )
    kept = [i for i in range(12) if payloads[i] is good[i]]
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            labels = [v for b in it for v in b.label[0].asnumpy()[: 3 - b.pad]]
            assert labels == kept
            it.reset()
    assert it.skipped == wrong
    told = [r.getMessage() for r in caplog.records]
    assert len(told) == wrong and all("leaves out an image: " in t and f"{rec}, offset " in t for t in told)
    assert any("has no bytes" in t for t in told)
    assert any("begin with 74 68 69 73" in t for t in told)


@pytest.mark.parametrize("round_batch", [True, False])
def test_epoch_that_ends_with_unreadable_images(tmp_path, round_batch):
    payloads = [encode(photo(i, 30, 30), ".png", 3) for i in range(4)] + [b"no image"] * 4
    rec, _ = write_records(tmp_path / "bad", payloads)
    it = mx.io.ImageRecordIter(
        path_imgrec=rec, data_shape=(3, 20, 20), batch_size=2, round_batch=round_batch, prefetch_buffer=1, verbose=False
    )
    for _ in range(3):
        assert [list(b.label[0].asnumpy()) for b in it] == [[0, 1], [2, 3]]
        it.reset()
    assert it.skipped == 4


def test_no_readable_image(tmp_path):
    rec, _ = write_records(tmp_path / "bad", [b"no image"] * 5)
    it = mx.io.ImageRecordIter(path_imgrec=rec, data_shape=(3, 20, 20), batch_size=2, verbose=False)
    for _ in range(2):
        with pytest.raises(mx.MXNetError, match="none of the images can be read"):
            next(it)


def test_wrong_labels(photos, tmp_path):
    it = mx.io.ImageRecordIter(
        path_imgrec=photos[0], data_shape=(3, 20, 20), batch_size=2, label_width=3, verbose=False
    )
    with pytest.raises(mx.MXNetError, match="photos.rec, offset 0: the record has 1 label, label_width is 3"):
        next(it)
    (tmp_path / "l.lst").write_text("0\t1.0\tx.jpg\n")
    it = mx.io.ImageRecordIter(
        path_imgrec=photos[0], data_shape=(3, 20, 20), batch_size=2, path_imglist=str(tmp_path / "l.lst"), verbose=False
    )
    with pytest.raises(mx.MXNetError, match="path_imglist has no line for record id 1"):
        next(it)
    (tmp_path / "l.lst").write_text("0\t1.0\tx.jpg\nzero\t1\tx.jpg\n")
    with pytest.raises(mx.MXNetError, match="l.lst, line 2: an index, 1 labels and a name are needed"):
        mx.io.ImageRecordIter(
            path_imgrec=photos[0],
            data_shape=(3, 2, 2),
            batch_size=2,
            path_imglist=str(tmp_path / "l.lst"),
            verbose=False,
        )


def test_deleted_file(tmp_path):
    """A file that is deleted while it is read is read to the end, and again."""
    rec, _ = write_records(tmp_path / "gone", [encode(photo(i, 30, 30), ".png", 3) for i in range(10)])
    it = mx.io.ImageRecordIter(path_imgrec=rec, data_shape=(3, 20, 20), batch_size=5, prefetch_buffer=1, verbose=False)
    next(it)
    Path(rec).unlink()
    next(it)
    it.reset()
    assert len(list(it)) == 2


def test_damaged_record_file(tmp_path, caplog):
    rec, _ = write_records(tmp_path / "torn", [encode(photo(i, 30, 30), ".png", 3) for i in range(10)])
    data = bytearray(Path(rec).read_bytes())
    data[len(data) // 2 : len(data) // 2 + 4000] = bytes(4000)
    Path(rec).write_bytes(data)
    it = mx.io.ImageRecordIter(path_imgrec=rec, data_shape=(3, 20, 20), batch_size=2, round_batch=False, verbose=False)
    labels = [v for b in it for v in b.label[0].asnumpy()[: 2 - b.pad]]
    assert labels == sorted(set(labels)) and 0 < len(labels) < 10 and it.skipped > 0


@pytest.mark.parametrize(
    "given, message",
    [
        (dict(data_shape=(3, 20)), r"data_shape must be \(1, 3 or 4 channels, height, width\)"),
        (dict(data_shape=(2, 20, 20)), "data_shape must be"),
        (dict(batch_size=0), "batch_size must be an integer of at least 1"),
        (dict(num_parts=2, part_index=2), "part_index must be below num_parts 2"),
        (dict(dtype="float64"), "dtype must be one of"),
        (dict(rand_corp=True), "has no parameter 'rand_corp'; did you mean"),
        (dict(inter_method=11), "inter_method must be an integer between 0 and 10"),
        (dict(brightness="much"), "brightness must be a number"),
    ],
)
def test_wrong_parameters(photos, given, message):
    with pytest.raises(mx.MXNetError, match=message):
        mx.io.ImageRecordIter(
            **{"path_imgrec": photos[0], "data_shape": (3, 8, 8), "batch_size": 2, "verbose": False} | given
        )


def test_too_few_images(photos):
    it = mx.io.ImageRecordIter(path_imgrec=photos[0], data_shape=(3, 8, 8), batch_size=50, verbose=False)
    with pytest.raises(
        mx.MXNetError, match="number of images must be at least the batch size 50 if round_batch is set"
    ):
        next(it)
    it = mx.io.ImageRecordIter(
        path_imgrec=photos[0], data_shape=(3, 8, 8), batch_size=50, round_batch=False, verbose=False
    )
    assert next(it).pad == 27


def test_crop_larger_than_image(photos):
    it = mx.io.ImageRecordIter(
        path_imgrec=photos[0], data_shape=(3, 8, 8), batch_size=2, max_crop_size=500, min_crop_size=400, verbose=False
    )
    with pytest.raises(mx.MXNetError, match="max_crop_size 500 and min_crop_size 400 do not go with an image"):
        next(it)


# ---- kinds --------------------------------------------------------------------------------------------------------------


def test_dtypes(photos):
    common = dict(path_imgrec=photos[0], data_shape=(3, 16, 16), batch_size=4, verbose=False, resize=20)
    base = next(mx.io.ImageRecordIter(**common)).data[0].asnumpy()
    half = next(mx.io.ImageRecordIter(dtype="float16", **common)).data[0]
    assert half.dtype == np.float16 and np.array_equal(half.asnumpy(), base)
    for it in (mx.io.ImageRecordUInt8Iter(**common), mx.io.ImageRecordUInt8Iter_v1(**common)):
        assert it.provide_data[0].dtype == np.uint8
        got = next(it).data[0]
        assert got.dtype == np.uint8 and np.array_equal(got.asnumpy(), base)
    signed = next(mx.io.ImageRecordInt8Iter(mean_r=128, mean_g=127.6, mean_b=0, **common)).data[0]
    assert signed.dtype == np.int8
    want = base - np.array([128, 128, 0])[None, :, None, None]
    assert np.array_equal(signed.asnumpy(), np.clip(want, -128, 127))


def test_four_channels(tmp_path):
    pixels = [np.dstack([photo(i, 20, 24), np.full((20, 24), i, np.uint8)]) for i in range(3)]
    rec, _ = write_records(tmp_path / "rgba", [encode(p, ".png", 3) for p in pixels])
    got = (
        next(mx.io.ImageRecordIter(path_imgrec=rec, data_shape=(4, 20, 24), batch_size=3, verbose=False))
        .data[0]
        .asnumpy()
    )
    assert np.array_equal(got, np.stack(pixels).transpose(0, 3, 1, 2))
    it = mx.io.ImageRecordIter(
        path_imgrec=rec, data_shape=(1, 20, 24), batch_size=3, verbose=False, rand_mirror=True, pad=1
    )
    assert next(it).data[0].shape == (3, 1, 20, 24)


def test_rotation_and_borders(tmp_path):
    pixels = photo(0, 21, 21)
    rec, _ = write_records(tmp_path / "one", [encode(pixels, ".png", 3)])
    common = dict(path_imgrec=rec, data_shape=(3, 21, 21), batch_size=1, verbose=False)
    got = next(mx.io.ImageRecordIter(rotate=90, fill_value=7, **common)).data[0].asnumpy()[0].transpose(1, 2, 0)
    quarter = np.rot90(pixels)
    assert min(np.abs(got[1:-1, 1:-1] - turned[1:-1, 1:-1]).mean() for turned in (quarter, quarter[::-1, ::-1])) < 20
    got = next(mx.io.ImageRecordIter(rotate=45, fill_value=7, **common)).data[0].asnumpy()
    assert (got[0, :, 0, 0] == 7).all() and (got[0, :, -1, -1] == 7).all()
    for angles in ("45", "45,45", (45, 45), "(45, 45)"):
        same_angle = next(mx.io.ImageRecordIter(rotate_list=angles, fill_value=7, **common)).data[0].asnumpy()
        assert np.array_equal(same_angle, got)


def test_resized_crop_needs_a_range(photos):
    """Without one MXNet crops the middle."""
    common = dict(path_imgrec=photos[0], data_shape=(3, 30, 30), batch_size=23, verbose=False)
    plain, crop = (
        next(mx.io.ImageRecordIter(random_resized_crop=r, **common)).data[0].asnumpy() for r in (False, True)
    )
    assert np.array_equal(plain, crop)
    crop = next(mx.io.ImageRecordIter(random_resized_crop=True, min_random_area=0.5, **common)).data[0].asnumpy()
    assert not np.array_equal(plain, crop)


def test_batches_outlive_their_iterator(photos):
    it = mx.io.ImageRecordIter(path_imgrec=photos[0], data_shape=(3, 8, 8), batch_size=4, verbose=False)
    batches = list(it)
    values = [b.data[0].asnumpy() for b in batches]
    it.reset()
    list(it)
    it.close()
    del it
    assert all(np.array_equal(b.data[0].asnumpy(), v) for b, v in zip(batches, values, strict=True))


def test_forked_process_is_told(photos):
    import os

    it = mx.io.ImageRecordIter(path_imgrec=photos[0], data_shape=(3, 8, 8), batch_size=4, verbose=False)
    for _ in range(20):  # at some fork a thread of the iterator holds its lock
        it.reset()
        next(it)
        pid = os.fork()
        if pid == 0:
            try:
                next(it)
            except mx.MXNetError as error:
                del it
                os._exit(0 if "make a new one after a fork" in str(error) else 1)
            os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    next(it)


def test_memory_is_flat(photos):
    """Epoch after epoch uses the memory of the first ones."""
    it = mx.io.ImageRecordIter(**EVERYTHING, path_imgrec=photos[0], verbose=False, prefetch_buffer=2)

    def resident():
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 if Path("/proc/self/statm").exists() else 0

    sizes = []
    for _ in range(12):
        for _ in it:
            pass
        it.reset()
        sizes.append(resident())
    assert sizes[-1] - sizes[3] < 4 << 20


# ---- detection ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def boxes(tmp_path_factory):
    """Images that are black but for one white rectangle, which is the object."""
    payloads, labels = [], []
    for i in range(8):
        pixels = np.zeros((60, 80, 3), np.uint8)
        top, left = 10 + 2 * i, 12 + 3 * i
        pixels[top : top + 20, left : left + 30] = 255
        payloads.append(encode(pixels, ".png", 3))
        labels.append(np.array([2, 5, 1, left / 80, top / 60, (left + 30) / 80, (top + 20) / 60], "f"))
    return write_records(tmp_path_factory.mktemp("boxes") / "boxes", payloads, labels)[0]


@pytest.mark.parametrize(
    "given",
    [
        dict(),
        dict(rand_mirror_prob=0.5),
        dict(rand_pad_prob=0.8, max_pad_scale=2.0, fill_value=0),
        dict(rand_crop_prob=1.0, min_crop_scales=0.6, max_crop_scales=0.9, min_crop_object_coverages=0.5),
        dict(
            rand_crop_prob=1.0,
            num_crop_sampler=2,
            min_crop_scales=(0.6, 0.7),
            max_crop_scales=(0.9, 1.0),
            min_crop_aspect_ratios=(0.6, 0.9),
            max_crop_aspect_ratios=(1.6, 1.1),
            min_crop_overlaps=(0.1, 0.2),
            max_crop_trials=(25, 25),
            crop_emit_mode="overlap",
        ),
    ],
)
def test_boxes_move_with_their_images(boxes, given):
    it = mx.io.ImageDetRecordIter(
        path_imgrec=boxes, data_shape=(3, 60, 80), batch_size=4, verbose=False, seed=3, **given
    )
    assert it.provide_label[0].shape == (4, 11)
    moved = 0
    for _ in range(3):
        for batch in it:
            for image, label in zip(batch.data[0].asnumpy(), batch.label[0].asnumpy(), strict=True):
                assert list(label[:6]) == [3, 60, 80, 7, 2, 5]
                left, top, right, bottom = label[7:11]
                ys, xs = np.nonzero(image[0] > 127)
                assert abs(xs.min() / 80 - left) < 0.04 and abs((xs.max() + 1) / 80 - right) < 0.04
                assert abs(ys.min() / 60 - top) < 0.04 and abs((ys.max() + 1) / 60 - bottom) < 0.04
                moved += abs((right - left) - 30 / 80) > 0.01 or abs(left * 80 % 3) > 0.1
        it.reset()
    assert bool(moved) == bool(given)


def test_small_detection_images(boxes):
    """An image that keeps its aspect has its rows at the start of its place."""
    it = mx.io.ImageDetRecordIter(
        path_imgrec=boxes, data_shape=(3, 100, 60), batch_size=2, resize_mode="fit", label_pad_width=20, verbose=False
    )
    batch = next(it)
    data, label = batch.data[0].asnumpy(), batch.label[0].asnumpy()
    assert list(label[0, :3]) == [3, 45, 60] and label.shape == (2, 24) and (label[:, 11:] == -1).all()
    image = data[0].ravel()[: 3 * 45 * 60].reshape(3, 45, 60)
    assert image.max() == 255 and not data[0].ravel()[3 * 45 * 60 :].any()
    it = mx.io.ImageDetRecordIter(
        path_imgrec=boxes, data_shape=(3, 9, 9), batch_size=2, label_pad_width=3, verbose=False
    )
    with pytest.raises(mx.MXNetError, match="the record has 7 labels, label_pad_width is 3"):
        next(it)


# ---- directories --------------------------------------------------------------------------------------------------------


@pytest.fixture
def folders(tmp_path):
    for i in range(9):
        folder = tmp_path / "data" / ("cat", "dog", "eel")[i % 3]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{i}.png").write_bytes(encode(photo(i, 24, 28), ".png", 3))
    (folder / "notes.txt").write_text("no image")
    return tmp_path / "data"


def test_folder(folders, caplog):
    it = mx.io.ImageFolderIter(str(folders), data_shape=(3, 24, 28), batch_size=9, scale=1 / 255)
    assert it.classes == ["cat", "dog", "eel"] and len(it.files) == 9
    batch = next(it)
    assert list(batch.label[0].asnumpy()) == [0] * 3 + [1] * 3 + [2] * 3
    want = photo(0, 24, 28).transpose(2, 0, 1) / np.float32(255)
    np.testing.assert_allclose(batch.data[0].asnumpy()[0], want, rtol=1e-6)
    assert [list(p.label[0].asnumpy()) for p in (next(mx.io.ImageFolderIter(
        str(folders), data_shape=(3, 4, 4), batch_size=3, num_parts=3, part_index=k)) for k in range(3))
    ] == [[0] * 3, [1] * 3, [2] * 3]  # fmt: skip
    it = mx.io.ImageFolderIter(
        str(folders), data_shape=(3, 4, 4), batch_size=1, classes=["eel", "cat"], prefetch_buffer=1
    )
    Path(it.files[-1]).unlink()
    assert [b.label[0].asscalar() for b in it] == [0, 0, 0, 1, 1] and it.skipped == 1
    assert "the file cannot be opened" in caplog.text
    with pytest.raises(mx.MXNetError, match="there is no directory fox"):
        mx.io.ImageFolderIter(str(folders), data_shape=(3, 4, 4), batch_size=1, classes=["fox"])


def test_shifts_and_flips(folders):
    common = dict(data_shape=(3, 24, 28), batch_size=9, fill_value=0, inter_method=0)
    plain = next(mx.io.ImageFolderIter(str(folders), **common)).data[0].asnumpy()
    flipped = next(mx.io.ImageFolderIter(str(folders), rand_flip=True, **common)).data[0].asnumpy()
    turned = [np.array_equal(f, p[:, ::-1]) for f, p in zip(flipped, plain, strict=True)]
    assert (
        all(t or np.array_equal(f, p) for t, f, p in zip(turned, flipped, plain, strict=True)) and 0 < sum(turned) < 9
    )
    shifted = next(mx.io.ImageFolderIter(str(folders), width_shift_range=0.3, height_shift_range=0.2, **common))
    moved = 0
    for s, p in zip(shifted.data[0].asnumpy(), plain, strict=True):
        offsets = [
            (y, x)
            for y in range(-5, 6)
            for x in range(-9, 10)
            if np.array_equal(
                s[:, max(y, 0) : 24 + min(y, 0), max(x, 0) : 28 + min(x, 0)],
                p[:, max(-y, 0) : 24 + min(-y, 0), max(-x, 0) : 28 + min(-x, 0)],
            )
        ]
        assert len(offsets) == 1
        moved += offsets[0] != (0, 0)
    assert moved > 5
