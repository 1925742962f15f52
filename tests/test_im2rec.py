"""im2rec against the real one's lists and records, and what it says when something is wrong."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from minimx.image import codec
from minimx.recordio import IRHeader, MXIndexedRecordIO, MXRecordIO, pack_img, unpack, unpack_img
from minimx.tools import im2rec, rec2idx
from minimx.tools.image_list import class_names, read_list_part
from minimx.tools.progress import Progress

REC = Path(__file__).parent / "golden" / "rec"
LISTS = json.loads((REC / "im2rec_list.json").read_text())
PACKS = json.loads((REC / "im2rec_pack.json").read_text())
SIZES = json.loads((REC / "index.json").read_text())["images_png.rec"]["sizes"]
needs_jpeg = pytest.mark.skipif(not codec.find_jpeg(), reason="needs a JPEG library: the system's or Pillow's")


def picture(i, height, width):
    """Blue, green and red of the golden files' images."""
    y, x = np.mgrid[0:height, 0:width].astype(float)
    blue = 127 + 100 * np.sin((x + 3 * i) / 7)
    green = 127 + 100 * np.cos((y - 2 * i) / 9)
    red = 40 + 15 * i + 0.5 * x + 0.5 * y
    return np.clip(np.stack([blue, green, red], 2), 0, 255).astype("uint8")


@pytest.fixture
def images(tmp_path):
    """A folder with four images, and a list of them with two labels each."""
    (tmp_path / "img").mkdir()
    for i in range(4):
        (tmp_path / "img" / f"p{i}.png").write_bytes(codec.encode(picture(i, *SIZES[i + 1]), ".png", 3, bgr=True))
    lines = [f"{7 + i}\t{i:f}\t{i + 0.5:f}\tp{i}.png\n" for i in range(4)]
    (tmp_path / "d.lst").write_text("".join(lines))
    return tmp_path


def pack(folder, *options, prefix="d"):
    return im2rec.main([str(folder / prefix), str(folder / "img"), *options])


def records(folder, name="d"):
    with MXIndexedRecordIO(folder / f"{name}.idx", folder / f"{name}.rec", "r", strict=True) as file:
        return [(key, file.read_idx(key)) for key in file.keys]


# ---- lists ----


@pytest.fixture
def tree(tmp_path):
    for path in LISTS["tree"]:
        (tmp_path / "img" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "img" / path).touch()
    return tmp_path


@pytest.mark.parametrize("case", LISTS["cases"])
def test_lists_are_those_of_mxnet(case, tree, capsys):
    want = LISTS["cases"][case]
    assert im2rec.main([str(tree / "out"), str(tree / "img"), *want["args"][2:]]) == 0
    assert {p.name: p.read_text() for p in tree.glob("*.lst")} == want["files"]
    assert capsys.readouterr().out == want["stdout"]
    classes = [line.split()[0] for line in want["stdout"].splitlines()]
    assert not classes or (tree / "out.classes.txt").read_text().split() == classes


@pytest.mark.parametrize(
    "spelling",
    [
        "--list --recursive --no-shuffle",
        "--list True --recursive True --shuffle False",
        "--list=1 --recursive=1 --no-shuffle=1",
        "--li --rec --no-shuf true --train-ratio 1.0",
    ],
)
def test_spellings(spelling, tree, capsys, monkeypatch):
    want = LISTS["cases"]["recursive_noshuffle"]["files"]["out.lst"]
    for order in ("{0} out img", "out img {0}", "out {0} img"):
        monkeypatch.chdir(tree)
        assert im2rec.main(order.format(spelling).split()) == 0
        assert (tree / "out.lst").read_text() == want
        (tree / "out.lst").unlink()


def test_links_in_a_circle(tree, capsys):
    (tree / "img" / "d" / "again").symlink_to(tree / "img")
    (tree / "img" / "e").symlink_to(tree / "img" / "b")
    assert im2rec.main([str(tree / "out"), str(tree / "img"), "--list", "--recursive"]) == 0
    assert capsys.readouterr().out == LISTS["cases"]["recursive"]["stdout"] + "e 5\n"


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["out", "none"], "there is no folder"),
        (["out", "img"], r"there is no list .*out\*.lst; --list makes one"),
        (["out", "img/a", "--list", "--exts", ".gif"], "has no images that end in .gif; --recursive also looks"),
        (["out", "img", "--list", "--chunks", "0"], "at least 1, got 0"),
        (["out", "img", "--list", "--train-ratio", "1.5"], "from 0 to 1, got 1.5"),
        (["out", "img", "--quality", "101"], "--quality is from 0 to 100"),
        (["out", "img", "--resize", "-1"], "--resize is a number of pixels"),
    ],
)
def test_what_is_wrong_with_arguments(arguments, message, tree, capsys, monkeypatch):
    monkeypatch.chdir(tree)
    assert im2rec.main(arguments) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.search(message, error)


# ---- packing ----


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("case", PACKS["cases"])
def test_records_are_those_of_mxnet(case, threads, images, capsys):
    want = PACKS["cases"][case]
    assert pack(images, *want["args"], "--num-thread", str(threads), "--verify") == 0
    found = records(images)
    assert [key for key, _ in found] == [int(line.split()[0]) for line in want["idx"].splitlines()]
    for (_, record), expected in zip(found, want["records"], strict=True):
        header, image = unpack_img(record)
        assert np.atleast_1d(header.label).tolist() == expected["label"]
        assert (header.flag, header.id, header.id2) == (expected["flag"], expected["id"], expected["id2"])
        assert list(image.shape) == expected["image_shape"]
        assert image.astype(int).sum() == expected["pixel_sum"]
    out = capsys.readouterr()
    assert out.out.splitlines()[0] == f"Creating .rec file from {images / 'd.lst'} in {images}"
    assert "d.rec: 4 images packed" in out.out and "every record is good" in out.out
    assert sorted(p.name for p in images.iterdir()) == ["d.idx", "d.lst", "d.rec", "img"]


@needs_jpeg
def test_jpeg(images):
    assert pack(images, "--resize=20", "--center-crop", "--num-thread=2") == 0
    coded = records(images)
    assert pack(images, "--resize", "20", "--center-crop", "1", "--encoding", ".png") == 0
    for (_, one), (_, other) in zip(coded, records(images), strict=True):
        assert unpack(one)[1][:2] == b"\xff\xd8"
        a, b = unpack_img(one)[1].astype(int), unpack_img(other)[1].astype(int)
        assert a.shape == b.shape == (20, 20, 3) and abs(a - b).mean() < 4
    assert pack(images, "--color", "0") == 0
    assert unpack_img(records(images)[0][1])[1].shape == tuple(SIZES[1])
    # Quality changes sizes; alpha is left out.
    transparent = np.full((9, 9, 4), 128, "uint8")
    (images / "img" / "p0.png").write_bytes(codec.encode(transparent, ".png", 3))
    assert pack(images, "--color", "-1") == 0
    assert unpack_img(records(images)[0][1])[1].shape == (9, 9, 3)
    large = (images / "d.rec").stat().st_size
    assert pack(images, "--color", "-1", "--quality", "30") == 0
    assert (images / "d.rec").stat().st_size < large


def test_order_with_many_files_and_threads(images, capsys):
    lines = []
    for i in range(300):
        (images / "img" / f"n{i}").write_bytes(b"%d" % i * 50)
        lines.append(f"{i}\t{i % 3}\tn{i}\n")
    (images / "many.lst").write_text("".join(lines))
    for threads in ("1", "4"):
        assert pack(images, "--pass-through", "--num-threads", threads, prefix="many") == 0
        found = [unpack(record) for _, record in records(images, "many")]
        assert [h.id for h, _ in found] == list(range(300)) and all(c == b"%d" % h.id * 50 for h, c in found)
    assert "300 of 300 images" in capsys.readouterr().err


def test_files_that_cannot_be_packed(images, capsys):
    (images / "img" / "empty.png").touch()
    (images / "img" / "text.png").write_text("this is no image")
    (images / "img" / "cut.png").write_bytes((images / "img" / "p1.png").read_bytes()[:200])
    with open(images / "d.lst", "a") as file:
        file.write(
            "20\t0\tempty.png\n21\t0\ttext.png\n22\t0\tcut.png\n23\t0\tnone.png\n24\t0\n25\tx\tp1.png\n-1\t0\tp1.png\n"
        )
        file.write("\n26\t9\tp3.png\n27\t9\t.\n")
    for encoding in [".png"] + [".jpg"] * bool(codec.find_jpeg()):
        assert pack(images, "--encoding", encoding) == 0
        assert [key for key, _ in records(images)] == [7, 8, 9, 10, 26]
        out, err = capsys.readouterr()
        assert (
            "5 images packed" in out and "; 5 skipped, for the reasons above; 3 lines of the list were unusable" in out
        )
        for name in ("empty.png", "text.png", "cut.png", "none.png: No such file", ".: Is a directory"):
            assert f"im2rec: skipped {name}" in err
        assert "line 9: a number, a label and a path" in err and "line 10: could not convert" in err
        assert "line 11: numbers of images are from 0" in err
    assert pack(images, "--pass-through") == 0
    assert [key for key, _ in records(images)] == [7, 8, 9, 10, 21, 22, 26]
    assert pack(images, "--pass-through", "--verify") == 1
    err = capsys.readouterr().err
    assert "d.rec, record 21: " in err and "d.rec, record 22: " in err and "record 26" not in err


def test_an_empty_list_and_several_lists(images, capsys):
    for name in ("e_train", "e_val"):
        (images / f"{name}.lst").write_text("0\t0\tp0.png\n")
    (images / "e_test.lst").touch()
    assert pack(images, "--pass-through", prefix="e") == 1
    assert "e_test.lst lists no images; nothing was packed" in capsys.readouterr().err
    assert sorted(p.name for p in images.glob("e*.rec")) == ["e_train.rec", "e_val.rec"]
    assert im2rec.main([str(images), str(images / "img"), "--pass"]) == 1  # a folder: all lists in it
    assert (images / "d.rec").exists()


@pytest.mark.skipif(sys.platform == "darwin", reason="names of files are UTF-8 there")
def test_names_that_are_no_text(images, capsys):
    odd = os.fsdecode(b"\xff\xfe")
    folder = images / f"img{odd}"
    (images / "img").rename(folder)
    (folder / f"{odd}1").mkdir()
    for i in range(4):
        (folder / f"p{i}.png").rename(folder / f"{odd}1" / f"p{i}{odd}.png")
    (folder / "broken.png").write_text("not an image")
    assert im2rec.main([str(images / f"o{odd}"), str(folder), "--list", "--recursive", "--no-shuffle"]) == 0
    assert (
        (images / f"o{odd}.lst")
        .read_bytes()
        .startswith(b"0\t0.000000\tbroken.png\n1\t1.000000\t\xff\xfe1/p0\xff\xfe.png\n")
    )
    for options in (["--encoding", ".png", "--verify"], ["--pass-through", "--exts", ".png"]):
        assert im2rec.main([str(images / f"o{odd}"), str(folder), *options]) == 0
    assert [key for key, _ in records(images, f"o{odd}")] == [0, 1, 2, 3, 4]
    with pytest.raises(FileNotFoundError):
        MXRecordIO(images / f"none{odd}", "r")
    (images / f"bad{odd}").write_text("no records")
    with MXRecordIO(images / f"bad{odd}", "r") as file:
        assert file.read() is None and f"bad{odd}, offset 0" in file.handle.damage


def test_classes_of_a_list(images):
    lines = [f"{i}\t{i % 2}\t{'cats' if i % 2 == 0 else 'dogs'}/p{i}.png\n" for i in range(4)]
    for i, name in enumerate(["cats", "dogs"] * 2):
        (images / "img" / name).mkdir(exist_ok=True)
        (images / "img" / f"p{i}.png").rename(images / "img" / name / f"p{i}.png")
    (images / "d.lst").write_text("".join(lines))
    assert pack(images, "--pass-through") == 0
    assert (images / "d.classes.txt").read_text() == "cats\ndogs\n"
    from minimx.tools.image_list import Listed

    assert class_names([Listed(0, "a/1", [0.0]), Listed(1, "b/1", [0.0])]) == []
    assert class_names([Listed(0, "a/1", [0.0]), Listed(1, "b/1", [2.0])]) == []
    assert class_names([Listed(0, "a/1", [0.0, 1.0])]) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_interrupted(images, number):
    """What was there before stays; only a killed one leaves a file, under another name."""
    slow = picture(1, 400, 500)
    (images / "img" / "large.png").write_bytes(codec.encode(slow, ".png", 1))
    assert pack(images, "--pass-through") == 0
    before = {p.name: p.read_bytes() for p in images.glob("d.*")}
    with open(images / "d.lst", "w") as file:
        file.writelines(f"{i}\t0\tlarge.png\n" for i in range(100_000))
    before["d.lst"] = (images / "d.lst").read_bytes()
    command = [
        sys.executable,
        "-m",
        "minimx.tools.im2rec",
        str(images / "d"),
        str(images / "img"),
        "--encoding",
        ".png",
    ]
    process = subprocess.Popen(
        command,
        cwd=REC.parents[2],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in the background ignores it otherwise
    )
    while not list(images.glob("d.rec.tmp*")):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert {p.name: p.read_bytes() for p in images.glob("d.*") if ".tmp" not in p.name} == before
    if number != signal.SIGKILL:
        assert process.returncode == 130 and "interrupted; unfinished files were removed" in error
        assert not list(images.glob("*tmp*"))


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs to mount a file system: only as root"
)
def test_full_disk(images, capsys):
    small = images / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)], capture_output=True).returncode:
        pytest.skip("cannot mount a small file system here")
    try:
        (images / "img" / "big").write_bytes(os.urandom(200_000))
        (small / "s.lst").write_text("0\t0\tbig\n")
        assert im2rec.main([str(small / "s"), str(images / "img"), "--pass-through"]) == 1
        assert "cannot be written at offset" in (error := capsys.readouterr().err) and "No space left" in error
        assert [p.name for p in small.iterdir()] == ["s.lst"]
    finally:
        subprocess.run(["umount", str(small)], check=True)


# ---- the older form ----


def test_older_form(images, capsys):
    arguments = [str(images / "d.lst"), str(images / "img"), str(images / "o.rec")]
    assert (
        im2rec.main([*arguments, "resize=20", "encoding=.png", "center_crop=1", "label_width=2", "pack_label=1"]) == 0
    )
    assert not (images / "o.idx").exists()
    found = list(MXRecordIO(images / "o.rec", "r"))
    want = PACKS["cases"]["resize_crop"]["records"]
    assert [int(unpack_img(r)[1].astype(int).sum()) for r in found] == [w["pixel_sum"] for w in want]
    assert unpack(found[2])[0].label.tolist() == [2, 2.5]
    assert np.frombuffer(found[2], "<f4", 1, 4)[0] == 2
    for part in range(3):
        options = ["unchanged=1", "label_width=2", "nsplit=3", f"part={part}"]
        assert im2rec.main([*arguments, *options]) == 0
    parts = [list(MXRecordIO(images / f"o.rec.part{k:03d}", "r")) for k in range(3)]
    assert [unpack(r)[0].id for p in parts for r in p] == [7, 8, 9, 10]
    assert unpack(parts[0][0])[1] == (images / "img" / "p0.png").read_bytes()
    for wrong, message in [
        (["size=3"], "there is no option 'size'"),
        (["resize=x"], "resize is a whole number, got 'x'"),
        (["nsplit=2", "part=2"], "part must be between 0 and nsplit - 1"),
        (["encoding=.gif"], "encoding is .jpg or .png"),
        (["label_width=4"], "a number, 4 labels and a path are needed"),
    ]:
        assert im2rec.main([*arguments, *wrong]) == 1
        assert message in capsys.readouterr().err


def test_parts_of_a_list_are_the_whole(tmp_path):
    path = tmp_path / "a.lst"
    path.write_text("".join(f"{i} {i % 3}\tpath with blanks/{'x' * (i * 7 % 11)}{i}.png\n" for i in range(40)))
    whole = read_list_part(str(path), 1, 0, 1)
    assert len(whole) == 40 and whole[7].path.startswith("path with blanks/")
    for parts in (2, 3, 7, 100):
        assert sum((read_list_part(str(path), 1, k, parts) for k in range(parts)), []) == whole


# ---- around it ----


def test_images_in_records():
    image = picture(2, 20, 30)
    for gray in (False, True):
        pixels = image[:, :, 0] if gray else image
        record = pack_img(IRHeader(0, 1.0, 5, 0), pixels, quality=95, img_fmt=".png")
        header, back = unpack_img(record)
        assert header.id == 5 and np.array_equal(back, pixels)
        assert unpack_img(record, 1)[1].shape == (20, 30, 3) and unpack_img(record, 0)[1].shape == (20, 30)
    golden = list(MXRecordIO(REC / "images_png.rec", "r"))
    assert all(np.array_equal(unpack_img(r)[1], picture(i, *SIZES[i])) for i, r in enumerate(golden))
    with pytest.raises(ValueError, match="record 5"):
        unpack_img(record[:40])


@needs_jpeg
def test_jpeg_in_records():
    for i, record in enumerate(MXRecordIO(REC / "images_jpg.rec", "r")):
        assert abs(unpack_img(record)[1].astype(int) - picture(i, *SIZES[i])).mean() < 3
    header, back = unpack_img(pack_img((0, [1, 2], 5, 0), picture(1, 24, 24), 90))
    assert header.label.tolist() == [1, 2] and abs(back.astype(int) - picture(1, 24, 24)).mean() < 6


def test_rec2idx(tmp_path, capsys):
    (tmp_path / "a.rec").write_bytes((REC / "images_jpg.rec").read_bytes())
    assert rec2idx.main([str(tmp_path / "a.rec")]) == 0
    offsets = [line.split("\t")[1] for line in (REC / "images_jpg.idx").read_text().splitlines()]
    assert (tmp_path / "a.idx").read_text() == "".join(f"{i}\t{offset}\n" for i, offset in enumerate(offsets))
    assert "a.idx: 12 records" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        rec2idx.main([str(tmp_path / "none.rec")])
    assert "none.rec: cannot be opened" in capsys.readouterr().err


def test_progress():
    class Terminal:
        text = ""

        def isatty(self):
            return True

        def write(self, text):
            self.text += text

        def flush(self):
            pass

    terminal = Terminal()
    bar = Progress(4000, "images", terminal)
    for _ in range(4):
        bar.add(1000)
    bar.clear()
    assert "[##############################] 4000/4000 images, " in terminal.text and "0 s left" in terminal.text
    assert terminal.text.startswith("\r[#######") and terminal.text.endswith("\r\x1b[K")


def test_it_is_a_command(tmp_path):
    code = "import sys; from minimx.tools import im2rec; sys.exit(im2rec.main())"
    done = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True, cwd=REC.parents[2])
    assert done.returncode == 0 and "--pass-through" in done.stdout and "key=value" in done.stdout
    assert 'im2rec = "minimx.tools.im2rec:main"' in (REC.parents[2] / "pyproject.toml").read_text()
