"""NDArray list files: what MXNet wrote is read exactly, and written again byte for byte; damage is reported."""

import json
from pathlib import Path

import numpy as np
import pytest

from minimx.base import FileFormatError, bfloat16
from minimx.serial import ArrayRecord, pack_array, pack_arrays, read_array, read_arrays, record_of, write_arrays

GOLDEN = Path(__file__).parent / "golden" / "params"
INDEX = json.loads((GOLDEN / "index.json").read_text())
FILES = [name for name, note in INDEX.items() if "entries" in note]
WRITTEN = ["dtypes", "list_no_keys", "single", "empty_list", "checkpoint-0007", "bool"]


@pytest.mark.parametrize("name", FILES)
def test_golden_file(name):
    records, names = read_arrays(GOLDEN / name)
    entries = list(INDEX[name]["entries"].values())
    assert len(records) == len(entries)
    assert names == [e["key"] for e in entries if e["key"] is not None]
    if not entries:
        return
    expected = np.load(GOLDEN / f"{name}.npz")
    for i, (record, entry) in enumerate(zip(records, entries, strict=True)):
        assert record.dtype == entry["dtype"]
        assert record.data.shape == tuple(entry["shape"])
        assert record.data.dtype == np.dtype(entry["dtype"])
        np.testing.assert_array_equal(record.data, expected[f"a{i}"])


@pytest.mark.parametrize("name", WRITTEN)
def test_written_again_byte_for_byte(name, tmp_path):
    file = GOLDEN / f"{name}.params"
    records, names = read_arrays(file)
    write_arrays(tmp_path / "again", records, names)
    assert (tmp_path / "again").read_bytes() == file.read_bytes()
    assert [p.name for p in tmp_path.iterdir()] == ["again"]


def test_device_is_told():
    records, _ = read_arrays(GOLDEN / "gpu_context.params")
    assert [r.device for r in records] == [("gpu", 3)]


def test_checkpoint_of_module():
    records, names = read_arrays((GOLDEN / "module-0003.params").read_bytes())
    assert sorted(names) == sorted(INDEX["module-0003.params"]["keys"])
    assert all(r.data.size for r in records)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "uint8", "int32", "int8", "int64", "bool"])
def test_round_trip(dtype):
    arrays = [np.arange(24).reshape(2, 3, 4).astype(dtype), np.array(3).astype(dtype), np.zeros((0, 3), dtype)]
    arrays.append(arrays[0].transpose(2, 0, 1))
    records, names = read_arrays(pack_arrays([record_of(a) for a in arrays], ["a", "b", "é", ""]))
    assert names == ["a", "b", "é", ""]
    for array, record in zip(arrays, records, strict=True):
        assert record.dtype == dtype
        np.testing.assert_array_equal(record.data, array)
        assert record.data.shape == array.shape


def test_bfloat16():
    values = np.arange(6, dtype=np.uint16).reshape(2, 3).view(bfloat16)
    record = read_array(pack_array(ArrayRecord(values, "bfloat16")))
    assert record.dtype == "bfloat16"
    assert record.data.dtype == bfloat16
    np.testing.assert_array_equal(record.data["bfloat16"], values["bfloat16"])


def test_every_truncation_is_reported():
    whole = (GOLDEN / "sparse.params").read_bytes() + b""
    for size in range(len(whole)):
        with pytest.raises(FileFormatError, match="offset"):
            read_arrays(whole[:size])


@pytest.mark.parametrize("name", FILES)
def test_damage_never_escapes(name):
    """Any byte may be wrong: the file is read, or a FileFormatError says where it breaks."""
    whole = (GOLDEN / name).read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(whole)
        for at in rng.integers(0, len(whole), 2):
            damaged[at] = rng.integers(0, 256)
        try:
            read_arrays(bytes(damaged))
        except FileFormatError as error:
            assert "offset" in str(error)


def test_error_names_file(tmp_path):
    file = tmp_path / "x.params"
    file.write_bytes(b"PK\x03\x04 this is a zip file")
    with pytest.raises(FileFormatError, match=r"x\.params.*offset 0"):
        read_arrays(file)


def test_rewriting_keeps_permissions(tmp_path):
    file = tmp_path / "x.params"
    write_arrays(file, [record_of(np.ones(3, np.float32))])
    file.chmod(0o600)
    write_arrays(file, [record_of(np.ones(4, np.float32))])
    assert file.stat().st_mode & 0o777 == 0o600


def test_failed_write_keeps_the_old_file(tmp_path):
    file = tmp_path / "x.params"
    write_arrays(file, [record_of(np.ones(3, np.float32))])
    before = file.read_bytes()
    with pytest.raises(KeyError):
        write_arrays(file, [ArrayRecord(np.ones(3), "complex64")])
    assert file.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["x.params"]
