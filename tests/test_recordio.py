"""RecordIO: the same bytes as MXNet's, from both readers, and what is left of damaged files."""

import json
import multiprocessing
import os
import pickle
import random
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import minimx as mx
from minimx import _core, recordio_plain
from minimx.base import FileFormatError
from minimx.recordio import IRHeader, MXIndexedRecordIO, MXRecordIO, build_index, open_reader, pack, unpack

REC = Path(__file__).parent / "golden" / "rec"
INDEX = json.loads((REC / "index.json").read_text())
MAGIC = b"\x0a\x23\xd7\xce"
PAYLOADS = [bytes.fromhex(text) for text in INDEX["magic.rec"]["payloads_hex"]]
MODULES = pytest.mark.parametrize("module", [_core, recordio_plain], ids=["compiled", "plain"])
FILES = ["images_jpg.rec", "images_png.rec", "multilabel.rec"]


def records_of(reader):
    found = []
    while (record := reader.read()) is not None:
        found.append(record)
    return found


def written(path, payloads, module=_core):
    writer = module.RecordWriter(str(path))
    offsets = [writer.write(p) for p in payloads]
    assert writer.tell() == (offsets[-1] if offsets else 0) + sizes_of(payloads[-1:])
    writer.close()
    return offsets


def sizes_of(payloads):
    """Bytes in the file of payloads that hold no magic."""
    return sum(8 + (len(p) + 3 & ~3) for p in payloads)


@MODULES
def test_golden_files(module):
    assert records_of(module.RecordReader([str(REC / "magic.rec")])) == PAYLOADS
    for name in FILES:
        content = (REC / name).read_bytes()
        chunks = INDEX[name]["chunks"]
        want = [content[at + 8 : at + 8 + size] for at, _, size in chunks]
        reader = module.RecordReader([str(REC / name)], strict=True)
        assert records_of(reader) == want
        reader.reset()
        assert reader.scan() == [at for at, _, _ in chunks]
        assert [reader.read_at(at) for at, _, _ in reversed(chunks)] == want[::-1]
        reader.seek(chunks[1][0])
        assert reader.read_many(2) == want[1:3]
        assert reader.tell() == chunks[3][0]


@MODULES
def test_written_files_are_those_of_mxnet(module, tmp_path):
    for name, payloads in [("magic.rec", PAYLOADS), *((n, records_of(open_reader([str(REC / n)]))) for n in FILES)]:
        writer = module.RecordWriter(str(tmp_path / "copy.rec"))
        for payload in payloads:
            writer.write(payload)
        writer.close()
        assert (tmp_path / "copy.rec").read_bytes() == (REC / name).read_bytes()


def random_payloads(generator, count):
    """Records of pieces that like to be the magic, or a part of it."""
    words = [MAGIC, b"\x0a", b"\x0a\x23\xd7", bytes(4), b"abcd", b"\xce"]
    return [b"".join(generator.choices(words, k=generator.randrange(12))) for _ in range(count)]


def test_random_records_come_back(tmp_path):
    payloads = random_payloads(random.Random(5), 300) + [os.urandom(3 << 20), MAGIC * 20_000]
    for module in (_core, recordio_plain):
        writer = module.RecordWriter(str(tmp_path / f"{module.__name__}.rec"))
        for payload in payloads:
            writer.write(payload)
        writer.close()
    files = [str(tmp_path / f"{module.__name__}.rec") for module in (_core, recordio_plain)]
    assert Path(files[0]).read_bytes() == Path(files[1]).read_bytes()
    assert all(records_of(m.RecordReader(files[:1])) == payloads for m in (_core, recordio_plain))
    # Several files are one behind the other; parts have every record once, whatever their number.
    for module in (_core, recordio_plain):
        for parts in (1, 2, 3, 7, 50):
            found = [records_of(module.RecordReader(files, k, parts)) for k in range(parts)]
            assert sum(found, []) == payloads * 2


@pytest.mark.parametrize("parts", [2, 3, 5])
def test_parts_of_golden_file(parts):
    """Part k begins at the first head behind k * step bytes."""
    heads = [at for at, _, _ in INDEX["images_png.rec"]["chunks"]]
    path = str(REC / "images_png.rec")
    total = os.path.getsize(path)
    step = -(-total // parts) + 3 & ~3
    for module in (_core, recordio_plain):
        for k in range(parts):
            reader = module.RecordReader([path], k, parts)
            assert reader.scan() == [at for at in heads if k * step <= at < (k + 1) * step]
    with pytest.raises(ValueError, match="part_index must be between 0 and num_parts - 1, got 2 of 2"):
        _core.RecordReader([path], 2, 2)


@MODULES
def test_order(module):
    heads = [at for at, _, _ in INDEX["images_jpg.rec"]["chunks"]]
    path = str(REC / "images_jpg.rec")
    total = os.path.getsize(path)
    reader = module.RecordReader([path, path])
    reader.set_order([heads[3] + total, heads[5], heads[3]])
    first, second, third = records_of(reader)
    assert first == third != second
    reader.reset()
    assert reader.read_many(9) == [first, second, third]
    reader.seek(0)
    assert len(records_of(reader)) == 24


# ---- damage ----

GOOD = [b"one" * 5, b"two" * 8, b"three" * 7, b"four" * 9, b"five" * 6]
HEADS = [sizes_of(GOOD[:i]) for i in range(len(GOOD) + 1)]


def changed(**bytes_at):
    content = bytearray(b"".join(MAGIC + len(p).to_bytes(4, "little") + p + bytes(-len(p) % 4) for p in GOOD))
    for at, value in bytes_at.items():
        content[int(at[1:])] = value
    return bytes(content)


DAMAGE = {
    "magic": (changed(**{f"_{HEADS[1]}": 0}), [0, 2, 3, 4], "no record begins here"),
    "too long": (changed(**{f"_{HEADS[1] + 6}": 255}), [0, 2, 3, 4], "are left in the file"),
    "over the next": (changed(**{f"_{HEADS[1] + 4}": 45}), [0, 2, 3, 4], "leads past the next record"),
    "flag": (changed(**{f"_{HEADS[2] + 7}": 3 << 5}), [0, 1, 3, 4], "without the first one"),
    "unfinished": (changed(**{f"_{HEADS[2] + 7}": 1 << 5}), [0, 1, 3, 4], "a piece of this record is missing"),
    "cut": (changed()[:-5], [0, 1, 2, 3], "24 bytes are announced, 19 are left"),
    "cut in a head": (changed()[: HEADS[4] + 6], [0, 1, 2, 3], "within the head"),
    "bytes missing": (changed()[: HEADS[1] + 9] + changed()[HEADS[1] + 12 :], [0, 2, 3, 4], "leads past"),
    "bytes too many": (changed()[: HEADS[2]] + b"xyz" + changed()[HEADS[2] :], range(5), "begins here"),
    "zeros": (changed()[: HEADS[1]] + bytes(50_000) + changed()[HEADS[2] :], [0, 2, 3, 4], "begins here"),
    "end missing": (
        changed()[: HEADS[4]] + MAGIC + (1 << 29 | 4).to_bytes(4, "little") + b"abcd",
        range(4),
        "last piece",
    ),
}


@MODULES
@pytest.mark.parametrize("name", DAMAGE)
def test_damage(module, name, tmp_path):
    content, left, text = DAMAGE[name]
    path = tmp_path / "damaged.rec"
    path.write_bytes(content)
    reader = module.RecordReader([str(path)])
    found = records_of(reader)
    assert found == [GOOD[i] for i in left]
    assert reader.lost == 1 and text in reader.damage and str(path) in reader.damage
    assert 0 < reader.lost_bytes <= 50_100
    strict = module.RecordReader([str(path)], strict=True)
    with pytest.raises(ValueError, match=text):
        records_of(strict)
    assert found[-1] == GOOD[4] or records_of(strict) == []


def test_both_readers_agree_about_damage(tmp_path):
    generator = random.Random(11)
    path = tmp_path / "mutated.rec"
    for _ in range(250):
        written(path, random_payloads(generator, 12) + [b"end"])
        content = bytearray(path.read_bytes())
        for _ in range(generator.randrange(1, 4)):
            at = generator.randrange(len(content))
            kind = generator.randrange(4)
            if kind == 0:
                content[at] = generator.randrange(256)
            elif kind == 1:
                del content[at : at + generator.randrange(9)]
            elif kind == 2:
                content[at:at] = generator.choice([MAGIC, b"\0" * 5, MAGIC + b"\1\0\0\x20"])
            else:
                content[at] ^= 1 << generator.randrange(8)
        path.write_bytes(content)
        readers = [m.RecordReader([str(path)]) for m in (_core, recordio_plain)]
        found = [records_of(r) for r in readers]
        assert found[0] == found[1]
        assert len({(r.lost, r.lost_bytes, r.damage) for r in readers}) == 1


def test_damage_is_said_and_counted(tmp_path, caplog):
    payloads = [b"%03d" % i for i in range(40)]
    offsets = written(tmp_path / "a.rec", payloads)
    content = bytearray((tmp_path / "a.rec").read_bytes())
    for offset in offsets[1::4]:
        content[offset] = 0
    (tmp_path / "a.rec").write_bytes(content)
    with MXRecordIO(tmp_path / "a.rec", "r") as file:
        assert list(file) == [p for i, p in enumerate(payloads) if i % 4 != 1]
        assert file.lost == 10 and file.lost_bytes == 120
    assert len(caplog.messages) == 5
    assert caplog.messages[0].endswith(f"a.rec, offset {offsets[1]}: no record begins here; went on at the next record")
    assert caplog.messages[4].endswith("what follows is only counted")
    with (
        pytest.raises(FileFormatError, match=rf"a\.rec, offset {offsets[1]}"),
        MXRecordIO(tmp_path / "a.rec", "r", strict=True) as file,
    ):
        list(file)


# ---- the classes ----


def test_what_files_say(tmp_path):
    path = tmp_path / "a.rec"
    with MXRecordIO(path, "w") as file:
        file.write(b"abc")
        file.write("text")
        file.write(np.arange(3, dtype="int32"))
        file.write(memoryview(b"view"))
        assert file.tell() == 56 and file.lost == 0
        with pytest.raises(ValueError, match='opened to be written; open it with "r"'):
            file.read()
        with pytest.raises(TypeError, match="must be bytes, got int"):
            file.write(3)
        with pytest.raises(ValueError, match="contiguous"):
            file.write(np.arange(9)[::2])
        with pytest.raises(TypeError, match="would be emptied"):
            pickle.dumps(file)
    with pytest.raises(ValueError, match="is closed"):
        file.write(b"")
    with MXRecordIO(f"file://{path}", "r") as file:
        assert file.read_many(2) == [b"abc", b"text"]
        assert file.read() == np.arange(3, dtype="<i4").tobytes()
        with pytest.raises(ValueError, match='opened to be read; open it with "w"'):
            file.write(b"")
        copy = pickle.loads(pickle.dumps(file))
        assert file.read() == b"view" and file.read() is None and file.read() is None
        assert copy.read() == b"abc"
        file.reset()
        assert file.tell() == 0 and next(iter(file)) == b"abc"
    with pytest.raises(ValueError, match="is closed"):
        file.read()
    file.open()
    assert file.read() == b"abc"
    with pytest.raises(ValueError, match="flag must be"):
        MXRecordIO(path, "a")
    with pytest.raises(FileNotFoundError, match="none.rec"):
        MXRecordIO(tmp_path / "none.rec", "r")
    with pytest.raises(FileFormatError, match="not a file of records but a folder"):
        MXRecordIO(tmp_path, "r")
    with pytest.raises(FileNotFoundError, match="cannot be written"):
        MXRecordIO(tmp_path / "no" / "a.rec", "w")
    writer = MXRecordIO(path, "w")
    writer.write(b"x")
    writer.reset()
    writer.close()
    assert path.read_bytes() == b""
    assert mx.recordio.MXRecordIO is MXRecordIO


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_full_disk():
    with (
        pytest.raises(OSError, match="/dev/full: cannot be written at offset 0") as caught,
        MXRecordIO("/dev/full", "w") as file,
    ):
        file.write(b"abc")
    assert caught.value.errno == 28


@MODULES
def test_records_have_a_limit(module, tmp_path):
    writer = module.RecordWriter(str(tmp_path / "a.rec"))
    with pytest.raises(ValueError, match="at most 536870911 bytes, this one has 536870912"):
        writer.write(np.zeros(1 << 29, "uint8"))
    assert writer.tell() == 0


@pytest.mark.parametrize("key_type", [int, str])
def test_index(tmp_path, key_type):
    names = [str(tmp_path / "a.idx"), str(tmp_path / "a.rec")]
    with MXIndexedRecordIO(*names, "w", key_type) as file:
        positions = []
        for i in range(5):
            positions.append(file.tell())
            file.write_idx(10 * i, b"record_%d" % i)
        file.flush()
        assert Path(names[0]).read_text() == "".join(f"{10 * i}\t{16 * i + 0}\n" for i in range(5))
    assert positions == [0, 16, 32, 48, 64]
    with MXIndexedRecordIO(*names, "r", key_type) as file:
        keys = [key_type(10 * i) for i in range(5)]
        assert file.keys == keys and file.idx == dict(zip(keys, positions, strict=True))
        assert [file.read_idx(k) for k in keys[::-1]] == [b"record_%d" % i for i in (4, 3, 2, 1, 0)]
        file.seek(keys[3])
        assert file.read() == b"record_3"
        assert file.read() == b"record_4"
        with pytest.raises(KeyError, match="has no record 'x' among its 5"):
            file.read_idx("x")
        assert pickle.loads(pickle.dumps(file)).read_idx(keys[2]) == b"record_2"
        file.idx[keys[0]] = 4
        with pytest.raises(FileFormatError, match="offset 4: no record begins here"):
            file.read_idx(keys[0])
    assert build_index(names[1], names[0]) == 5
    with MXIndexedRecordIO(*names, "r") as file:
        assert file.read_idx(3) == b"record_3"
    Path(names[0]).write_text("0\t0\n1 16\n")
    with pytest.raises(FileFormatError, match="a.idx, line 2: a key, a tab and an offset"):
        MXIndexedRecordIO(*names, "r")
    os.remove(names[0])
    with pytest.raises(FileNotFoundError, match="rec2idx"):
        MXIndexedRecordIO(*names, "r")


def test_golden_indexes():
    for name in ("images_jpg", "images_png", "multilabel"):
        with MXIndexedRecordIO(REC / f"{name}.idx", REC / f"{name}.rec", "r") as file:
            for key in file.keys[::-1]:
                assert unpack(file.read_idx(key))[0].id == key


def _in_child(file, queue):
    queue.put(list(file))


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
def test_fork(tmp_path):
    payloads = [b"%d" % i for i in range(50_000)]
    written(tmp_path / "a.rec", payloads)
    file = MXRecordIO(tmp_path / "a.rec", "r")
    assert file.read_many(10) == payloads[:10]
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_in_child, args=(file, queue))
    child.start()
    assert list(file) == payloads[10:]
    assert queue.get(timeout=60) == payloads[10:]
    child.join()
    # What the parent has not yet written is the parent's.
    writer = MXRecordIO(tmp_path / "b.rec", "w")
    writer.write(b"parent")
    if (pid := os.fork()) == 0:
        try:
            writer.write(b"x" * (2 << 20))
            os._exit(1)
        except ValueError as error:
            writer.close()
            os._exit(0 if "another process" in str(error) else 2)
    assert os.waitpid(pid, 0)[1] == 0
    writer.close()
    assert list(MXRecordIO(tmp_path / "b.rec", "r")) == [b"parent"]


@MODULES
def test_threads_share_a_reader(module, tmp_path):
    payloads = [b"%05d" % i for i in range(4000)]
    offsets = written(tmp_path / "a.rec", payloads)
    reader = module.RecordReader([str(tmp_path / "a.rec")])
    parts = [[] for _ in range(4)]

    def take(mine):
        while some := reader.read_many(7):
            mine.extend(some)
            if (one := reader.read()) is not None:
                mine.append(one)

    def jump(mine):
        for offset in offsets[::7]:
            mine.append(reader.read_at(offset) == b"%05d" % (offset // 16))

    for body in (take, jump):
        threads = [threading.Thread(target=body, args=(mine,)) for mine in parts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if body is take:
            assert sorted(sum(parts, [])) == payloads
            parts = [[] for _ in range(4)]
    assert all(sum(parts, []))


def test_a_file_deleted_or_cut_while_it_is_read(tmp_path):
    payloads = [bytes([i]) * 100_000 for i in range(50)]
    written(tmp_path / "a.rec", payloads)
    reader = open_reader([str(tmp_path / "a.rec")])
    assert reader.read() == payloads[0]
    os.remove(tmp_path / "a.rec")
    assert records_of(reader) == payloads[1:]
    written(tmp_path / "b.rec", payloads)
    reader = open_reader([str(tmp_path / "b.rec")])
    assert reader.read() == payloads[0]
    os.truncate(tmp_path / "b.rec", 2_000_000)
    assert records_of(reader) == payloads[1:19] and reader.lost == 1


def test_offsets_past_four_gigabytes(tmp_path):
    """A sparse file: a record, five gigabytes that are nothing, a record."""
    path = tmp_path / "large.rec"
    written(path, [b"first"])
    far = 5 << 30
    with open(path, "r+b") as file:
        file.seek(far)
        file.write(MAGIC + (4).to_bytes(4, "little") + b"last")
    reader = _core.RecordReader([str(path)])
    assert reader.read_at(far) == b"last"
    reader.set_order([far, 0])
    assert records_of(reader) == [b"last", b"first"]
    names = [str(tmp_path / "large.idx"), str(path)]
    Path(names[0]).write_text(f"0\t0\n1\t{far}\n")
    with MXIndexedRecordIO(*names, "r") as file:
        assert file.read_idx(1) == b"last" and file.tell() == far + 12


def test_works_without_the_compiled_part(tmp_path):
    code = (
        "import sys; sys.modules['minimx._core'] = None\n"
        "from minimx import recordio\n"
        "assert recordio.RecordReader.__module__ == 'minimx.recordio_plain'\n"
        f"print(len(list(recordio.MXRecordIO({str(REC / 'magic.rec')!r}, 'r'))))\n"
        f"f = recordio.MXIndexedRecordIO({str(tmp_path / 'a.idx')!r}, {str(tmp_path / 'a.rec')!r}, 'w')\n"
        "f.write_idx(3, b'abc'); f.close()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REC.parents[2])
    assert (done.stdout, done.stderr) == (f"{len(PAYLOADS)}\n", "")
    assert MXRecordIO(tmp_path / "a.rec", "r").read() == b"abc"


# ---- headers of image records ----


def test_pack():
    header, image = unpack(pack(IRHeader(0, 4, 2574, 0), b"image"))
    assert header == (0, 4.0, 2574, 0) and image == b"image"
    assert repr(header) == "HEADER(flag=0, label=4.0, id=2574, id2=0)"
    assert pack((7, np.float32(2), 1, 2), b"") == pack((0, 2.0, 1, 2), b"")
    for labels in ([1, 2, 3], np.array([1, 2, 3]), mx.nd.array([1, 2, 3])):
        header, image = unpack(pack(IRHeader(0, labels, 2**63, 2**64 - 1), b"x"))
        assert header.label.tolist() == [1, 2, 3] and header.label.dtype == np.float32
        assert header._replace(label=None) == (3, None, 2**63, 2**64 - 1) and image == b"x"
    assert unpack(pack((0, [], 1, 0), b"x"))[0].flag == 0
    record = records_of(open_reader([str(REC / "multilabel.rec")]))[3]
    header, image = unpack(record)
    assert header.label.tolist() == [3, 1.5, -1]
    assert pack(header, image) == record
    with pytest.raises(FileFormatError, match="24 bytes of header, this one has 5"):
        unpack(b"short")
    with pytest.raises(FileFormatError, match="announces 3 labels, 8 bytes follow"):
        unpack(record[:32])


COMPILER = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")


@pytest.mark.skipif(not COMPILER, reason="needs a C++ compiler")
def test_random_damage_under_the_sanitizers(tmp_path):
    root = REC.parents[2]
    program = tmp_path / "fuzz"
    sources = [str(root / "tests/fuzz/recordio.cpp"), *map(str, sorted((root / "csrc").glob("recordio*.cpp")))]
    flags = ["-std=c++17", "-O0", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", f"-I{root / 'csrc'}"]
    built = subprocess.run([COMPILER, *flags, *sources, "-o", str(program)], capture_output=True, text=True)
    if "sanitize" in built.stderr or "asan" in built.stderr:
        pytest.skip("the compiler has no sanitizers")
    assert built.returncode == 0, built.stderr
    done = subprocess.run([str(program), str(tmp_path / "input.rec"), "500", "3"], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("500 inputs\n", "")
