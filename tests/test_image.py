"""mx.image: what MXNet 1.9.1 returned, formats, and what is refused."""

import shutil
import struct
import subprocess
import zlib
from pathlib import Path

import image_cases
import numpy as np
import pytest

import minimx as mx
from minimx import _core
from minimx.image import codec

GOLDEN = np.load(Path(__file__).parent / "golden/image.npz")
needs_jpeg = pytest.mark.skipif(not codec.find_jpeg(), reason="needs libjpeg-turbo")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return image_cases.run(mx, tmp_path_factory.mktemp("det"))


@pytest.mark.parametrize("name", GOLDEN.files)
def test_golden(name, results):
    got, want = results[name], GOLDEN[name]
    if want.dtype.kind == "U":
        assert str(got) == str(want)
        return
    if name == "ImageIter roll_over pad":  # MXNet calls rows that were kept padding
        assert not got.any()
        return
    assert got.shape == want.shape and got.dtype == want.dtype
    difference = np.abs(got.astype(float) - want.astype(float))
    if name in ("imresize 2", "resize_short 2", "imresize 4", "resize_short 4") or name.startswith("ImageDetRec"):
        assert difference.max() <= 1
    elif name.startswith("imrotate"):
        assert difference.max() < 0.02  # coordinates in float32 there
    else:
        assert difference.max() <= 1e-4 * max(1, np.abs(want).max() / 100)


# ---- formats ------------------------------------------------------------------------------------------------------------


def png(samples, depth, colour, interlaced=False, palette=None, alphas=None, filters=(0, 1, 2, 3, 4)):
    """A PNG file of samples (height, width, channels), with the row filters in turn."""
    height, width, channels = samples.shape

    def packed(rows):
        if depth == 16:
            return rows.astype(">u2").view(np.uint8).reshape(len(rows), -1)
        flat = rows.reshape(len(rows), -1)
        if depth == 8:
            return flat.astype(np.uint8)
        bits = (flat[:, :, None] >> np.arange(depth - 1, -1, -1) & 1).reshape(len(rows), -1).astype(np.uint8)
        return np.packbits(bits, axis=1)

    def filtered(rows):
        step, out = max(1, channels * depth // 8), b""
        above = np.zeros(rows.shape[1] + step, int)
        for i, row in enumerate(rows.astype(int)):
            kind = filters[i % len(filters)]
            here = np.concatenate([np.zeros(step, int), row])
            left, up, corner = here[:-step], above[step:], above[:-step]
            estimate = left + up - corner
            distances = np.abs(estimate - np.array([left, up, corner]))
            nearest = np.where(
                (distances[0] <= distances[1]) & (distances[0] <= distances[2]),
                left,
                np.where(distances[1] <= distances[2], up, corner),
            )
            guess = (0 * left, left, up, (left + up) // 2, nearest)[kind]
            out += bytes([kind]) + ((row - guess) % 256).astype(np.uint8).tobytes()
            above = here
        return out

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    if interlaced:
        passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
        parts = [samples[y::dy, x::dx] for y, x, dy, dx in passes]
        data = b"".join(filtered(packed(p)) for p in parts if p.size)
    else:
        data = filtered(packed(samples))
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    chunks = [chunk(b"IHDR", header)]
    if palette is not None:
        chunks.append(chunk(b"PLTE", palette.astype(np.uint8).tobytes()))
    if alphas is not None:
        chunks.append(chunk(b"tRNS", alphas.astype(np.uint8).tobytes()))
    compressed = zlib.compress(data, 6)
    half = len(compressed) // 2
    chunks += [chunk(b"IDAT", compressed[:half]), chunk(b"IDAT", compressed[half:]), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


KINDS = [(0, d) for d in (1, 2, 4, 8, 16)] + [
    (2, 8),
    (2, 16),
    (3, 1),
    (3, 2),
    (3, 4),
    (3, 8),
    (4, 8),
    (4, 16),
    (6, 8),
    (6, 16),
]


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("colour, depth", KINDS)
def test_every_png(colour, depth, interlaced):
    state = np.random.default_rng(depth * 8 + colour)
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    for height, width in ((13, 11), (1, 1), (3, 2)):
        samples = state.integers(0, 2**depth, (height, width, channels))
        palette = state.integers(0, 256, (2**depth, 3)) if colour == 3 else None
        alphas = state.integers(0, 256, 2**depth) if colour == 3 and depth > 1 else None
        got = _core.image_decode(png(samples, depth, colour, interlaced, palette, alphas), 0)
        if colour == 3:
            want = palette[samples[:, :, 0]]
            if alphas is not None:
                want = np.dstack([want, alphas[samples[:, :, 0]]])
        else:
            want = samples >> 8 if depth == 16 else samples * 255 // (2**depth - 1)
            if colour == 4:
                want = want[:, :, [0, 0, 0, 1]]
        assert got.shape == want.shape and np.array_equal(got, want)


@pytest.mark.parametrize("level", [0, 1, 6, 9])
def test_png_round_trip(level):
    state = np.random.default_rng(level)
    for shape in ((40, 50, 1), (33, 20, 3), (20, 31, 4)):
        pixels = state.integers(0, 256, shape, np.uint8) // (level + 1)
        data = codec.encode(pixels, ".png", level)
        assert np.array_equal(codec.decode(data, 0), pixels)
        if shape[2] == 3:
            assert np.array_equal(codec.decode(codec.encode(pixels, ".png", level, bgr=True), 3), pixels[:, :, ::-1])


def test_bmp():
    pixels = image_cases.picture(5, 7)
    for bits, head in ((24, 5), (24, -5), (32, 5), (8, 5)):
        rows = pixels[:, :, ::-1] if bits != 32 else np.dstack([pixels[:, :, ::-1], pixels[:, :, :1]])
        palette = b""
        want = pixels
        if bits == 8:
            rows = np.arange(35, dtype=np.uint8).reshape(5, 7, 1)
            palette = bytes(v for i in range(256) for v in (i, 255 - i, i // 2, 0))
            want = np.stack([rows[:, :, 0] // 2, 255 - rows[:, :, 0], rows[:, :, 0]], axis=2)
        stride = (7 * bits + 31) // 32 * 4
        order = rows if head < 0 else rows[::-1]
        body = b"".join(r.tobytes().ljust(stride, b"\0") for r in order)
        info = struct.pack("<IiiHHIIiiII", 40, 7, head, 1, bits, 0, 0, 0, 0, 0, 0)
        start = 14 + len(info) + len(palette)
        data = b"BM" + struct.pack("<IHHI", start + len(body), 0, 0, start) + info + palette + body
        assert np.array_equal(codec.decode(data), want)


@needs_jpeg
def test_jpeg_round_trip_and_orientation():
    pixels = image_cases.picture(48, 64)
    data = codec.encode(pixels, ".jpg", 95)
    got = codec.decode(data)
    assert np.abs(got.astype(int) - pixels).mean() < 6
    assert np.array_equal(codec.decode(data, bgr=True), got[:, :, ::-1])
    assert codec.decode(data, 1).shape == (48, 64, 1)
    assert codec.decode(codec.encode(pixels[:, :, :1], ".jpeg", 95), 0).shape == (48, 64, 1)
    turned = [got, got[:, ::-1], got[::-1, ::-1], got[::-1]]
    turned += [t.transpose(1, 0, 2) for t in (got, got[::-1], got[::-1, ::-1], got[:, ::-1])]
    for orientation, want in enumerate(turned, 1):
        tiff = b"II*\0\x08\0\0\0" + struct.pack("<HHHIHHI", 1, 0x112, 3, 1, orientation, 0, 0)
        exif = b"\xff\xe1" + struct.pack(">H", len(tiff) + 8) + b"Exif\0\0" + tiff
        assert np.array_equal(codec.decode(data[:2] + exif + data[2:]), want)
        assert np.array_equal(codec.decode(data[:2] + exif + data[2:], upright=False), got)


@needs_jpeg
@pytest.mark.parametrize("cut", [3, 20, 300, 0.5, 0.9, -3])
def test_short_jpeg(cut):
    data = codec.encode(image_cases.picture(48, 64), ".jpg", 90)
    with pytest.raises(mx.MXNetError, match="x.jpg: the (JPEG data ends early|image is neither)"):
        codec.decode(data[: cut if isinstance(cut, int) else int(cut * len(data))], where="x.jpg")


def test_files(tmp_path):
    pixels = image_cases.picture()
    (tmp_path / "a.png").write_bytes(codec.encode(pixels, ".png", 3))
    assert np.array_equal(mx.image.imread(tmp_path / "a.png").asnumpy(), pixels)
    assert np.array_equal(mx.img.imread(str(tmp_path / "a.png"), to_rgb=0).asnumpy(), pixels[:, :, ::-1])
    (tmp_path / "b.jpg").write_text("no image")
    with pytest.raises(
        mx.MXNetError, match="b.jpg: the image is neither JPEG, PNG nor BMP: its 8 bytes begin with 6e 6f 20 69"
    ):
        mx.image.imread(tmp_path / "b.jpg")
    (tmp_path / "c.jpg").write_bytes(b"")
    with pytest.raises(mx.MXNetError, match="c.jpg: the image has no bytes"):
        mx.image.imread(tmp_path / "c.jpg")
    with pytest.raises(FileNotFoundError):
        mx.image.imread(tmp_path / "d.jpg")
    with pytest.raises(ValueError, match="bytes are needed, got str"):
        mx.image.imdecode("text")
    assert np.array_equal(mx.nd._internal._cvimread(str(tmp_path / "a.png"), flag=1).asnumpy(), pixels)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda x: mx.image.imresize(x, 0, 5), "the new size must be from 1x1"),
        (lambda x: mx.image.imresize(x, 5, 5, 7), "interp must be 0 to 4, 9 or 10, got 7"),
        (lambda x: mx.image.imresize(x[0], 5, 5), r"must have the axes \(height, width, channels\)"),
        (lambda x: mx.image.copyMakeBorder(x, 1, 1, 1, 1, 9), "type must be 0 to 4"),
        (lambda x: mx.image.CreateAugmenter((3, 5, 5), rand_resize=True), "rand_resize needs rand_crop"),
        (lambda x: mx.image.CreateAugmenter((3, 5, 5), mean=3), "mean must be True or an array of 1 or 3"),
        (lambda x: mx.image.CreateMultiRandCropAugmenter([0.1, 0.2], area_range=[(0, 1)] * 3), "lists must have equal"),
        (lambda x: mx.image.ImageIter(2, (3, 5, 5)), "one of path_imgrec, path_imglist and imglist"),
        (lambda x: mx.image.ImageIter(2, (1, 5, 5), imglist=[]), r"data_shape must be \(3, height, width\)"),
        (lambda x: codec.encode(np.zeros((2, 2, 2)), ".png", 3), "PNG takes 1, 3 or 4 channels"),
        (lambda x: codec.encode(np.zeros((2, 2, 3)), ".gif"), "written as .jpg or .png, got '.gif'"),
        (lambda x: codec.encode(np.zeros((2, 2, 3)), ".png", 95), "compression level must be 0 to 9"),
    ],
)
def test_wrong_calls(call, message):
    with pytest.raises((mx.MXNetError, ValueError), match=message):
        call(mx.nd.array(image_cases.picture(), dtype="uint8"))


def test_image_iter_on_files(tmp_path, caplog):
    names = []
    for i in range(5):
        names.append(f"{i}.png")
        (tmp_path / names[-1]).write_bytes(codec.encode(image_cases.picture(20 + i, 24), ".png", 3))
    (tmp_path / "2.png").write_bytes(b"damage")
    (tmp_path / "l.lst").write_text("".join(f"{i}\t{i}.0\t{2 * i}.0\t{n}\n" for i, n in enumerate(names)))
    it = mx.image.ImageIter(2, (3, 8, 9), 2, path_imglist=str(tmp_path / "l.lst"), path_root=str(tmp_path))
    for _ in range(2):
        labels = [b.label[0].asnumpy().tolist() for b in it]
        assert labels == [[[0, 0], [1, 2]], [[3, 6], [4, 8]]]
        it.reset()
    assert it.skipped == 2 and "2.png: the image is neither" in caplog.text
    it = mx.image.ImageIter(
        4, (3, 8, 9), imglist=[[7, "0.png"], [8, "1.png"]], path_root=str(tmp_path), rand_mirror=True
    )
    batch = next(it)
    assert batch.pad == 2 and batch.label[0].asnumpy().tolist() == [7, 8, 7, 8]
    state = it.get_state()
    it.reset()
    assert next(it).pad == 2
    it.set_state(state)
    assert next(it, None) is None


def test_drawn_boxes(tmp_path):
    path = image_cases.detection_records(mx, tmp_path)
    it = mx.image.ImageDetIter(2, (3, 30, 40), path_imgrec=path + ".rec")
    other = mx.image.ImageDetIter(2, (3, 30, 40), path_imgrec=path + ".rec")
    other.reshape(label_shape=(9, 5))
    it.sync_label_shape(other)
    assert it.provide_label[0].shape == (2, 9, 5)
    drawn = list(it.draw_next(color=(255, 0, 1), thickness=1))
    assert len(drawn) == 6 and drawn[0].shape == (30, 40, 3)
    assert (drawn[0][6, 4:24] == [1, 0, 255]).all()


COMPILER = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")


@needs_jpeg
@pytest.mark.skipif(not COMPILER, reason="needs a C++ compiler")
def test_random_damage_under_the_sanitizers(tmp_path):
    root = Path(__file__).parents[1]
    names = [
        *(root / "csrc").glob("image*.cpp"),
        *(root / "csrc" / f"{n}.cpp" for n in ("jpeg", "png", "inflate", "storage")),
    ]
    sources = [
        root / "tests/fuzz/image.cpp",
        root / "csrc/cpu/image.cpp",
        *(n for n in names if "pipeline" not in n.name),
    ]
    flags = [
        "-std=c++17",
        "-O0",
        "-fsanitize=address,undefined",
        "-fno-sanitize-recover=all",
        "-DMINIMX_LEVEL=baseline",
    ]
    program = tmp_path / "fuzz"
    command = [COMPILER, *flags, "-Wno-psabi", f"-I{root / 'csrc'}", *map(str, sources), "-o", str(program), "-ldl"]
    built = subprocess.run(command, capture_output=True, text=True)
    if "sanitize" in built.stderr or "asan" in built.stderr:
        pytest.skip("the compiler has no sanitizers")
    assert built.returncode == 0, built.stderr
    images = []
    for i, (kind, quality) in enumerate(((".jpg", 90), (".png", 6), (".jpg", 40))):
        images.append(tmp_path / f"{i}{kind}")
        images[-1].write_bytes(codec.encode(image_cases.picture(40 + i, 50), kind, quality))
    samples = np.random.default_rng(0).integers(0, 16, (20, 20, 1))
    images.append(tmp_path / "interlaced.png")
    images[-1].write_bytes(png(samples, 4, 3, True, np.arange(48).reshape(16, 3)))
    done = subprocess.run(
        [str(program), str(tmp_path / "input"), "400", "3", *map(str, images)], capture_output=True, text=True
    )
    assert done.stdout.startswith("400 inputs, ") and not done.stderr
