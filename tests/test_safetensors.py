"""safetensors files: what is written is the format, everything comes back, damage is named."""

import json
import struct

import numpy as np
import pytest

import minimx as mx
from minimx.base import FileFormatError
from minimx.serial import record_of
from minimx.serial_safetensors import pack_tensors, read_tensors

DTYPES = ["float32", "float64", "float16", "bfloat16", "int8", "uint8", "int32", "int64", "bool"]


def arrays():
    rng = np.random.RandomState(0)
    made = {}
    for i, dtype in enumerate(DTYPES):
        made[f"a/{dtype}"] = mx.nd.array(rng.randint(0, 2 if dtype == "bool" else 90, (3, i + 1)), dtype=dtype)
    return made | {"scalar": mx.nd.array(2.5), "ünïcode": mx.nd.ones((2, 1, 3))}


def file_of(header, data=b"", length=None):
    text = json.dumps(header).encode() if not isinstance(header, bytes) else header
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def test_round_trip(tmp_path):
    path = tmp_path / "x.safetensors"
    made = arrays()
    mx.nd.save(str(path), made)
    back = mx.nd.load(str(path))
    assert list(back) == list(made)
    for name, array in made.items():
        assert back[name].dtype_name == array.dtype_name and back[name].shape == array.shape
        assert back[name].asnumpy().tobytes() == array.asnumpy().tobytes()
    assert [p.name for p in tmp_path.iterdir()] == ["x.safetensors"]
    assert list(mx.nd.load_frombuffer(path.read_bytes())) == list(made)


def test_the_bytes_of_a_file():
    data = pack_tensors([record_of(np.array([[1, 2]], np.int8)), record_of(np.float32([0.5]))], ["b", "w"], {"k": "v"})
    (length,) = struct.unpack_from("<Q", data)
    assert length % 8 == 0
    header = json.loads(data[8 : 8 + length])
    assert header == {
        "__metadata__": {"k": "v"},
        "b": {"dtype": "I8", "shape": [1, 2], "data_offsets": [4, 6]},  # wide numbers come first
        "w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
    }
    assert data[8 + length :] == np.float32([0.5]).tobytes() + b"\x01\x02"
    assert read_tensors(data)[2] == {"k": "v"}


def test_types_that_are_widened():
    for code, dtype, wide in (("I16", "<i2", "int32"), ("U16", "<u2", "int32"), ("U32", "<u4", "int64")):
        values = np.array([1, np.iinfo(dtype).max], dtype)
        entry = {"dtype": code, "shape": [2], "data_offsets": [0, values.nbytes]}
        (record,), _, _ = read_tensors(file_of({"x": entry}, values.tobytes()))
        assert record.dtype == wide and (record.data == values).all()


def test_nothing_and_empty_arrays():
    assert read_tensors(pack_tensors([], []))[:2] == ([], [])
    (record,), _, _ = read_tensors(pack_tensors([record_of(np.zeros((0, 3), np.float32))], ["x"]))
    assert record.data.shape == (0, 3)


def test_checkpoints(tmp_path):
    net = mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=2, name="fc")
    net.save(str(tmp_path / "m-symbol.json"))
    weight = mx.nd.array(np.arange(6).reshape(2, 3))
    saved = {"arg:fc_weight": weight, "aux:mean": mx.nd.ones(1)}
    mx.nd.save(str(tmp_path / "m-0003.safetensors"), saved)
    _, args, aux = mx.model.load_checkpoint(str(tmp_path / "m"), 3)
    assert (args["fc_weight"].asnumpy() == weight.asnumpy()).all() and list(aux) == ["mean"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x01\x02", "x.safetensors: the file ends .2 bytes. within the length of its header at offset 0"),
        (file_of({}, length=1 << 60), "a header of 1152921504606846976 bytes cannot be"),
        (file_of({}, length=40), "the file ends .10 bytes. within its header of 40 bytes at offset 8"),
        (file_of(b'{"a": }'), "the header is not JSON at offset 14"),
        (file_of(b'{"\xff": 1}'), "the header is not UTF-8 at offset 10"),
        (file_of(b"[1]"), "must be an object"),
        (file_of(b'{"a": 1, "a": 2}'), "twice"),
        (file_of({"w": {"dtype": "F32"}}), "array 'w'.*dtype, shape and data_offsets are needed"),
        (
            file_of({"w": {"dtype": "F8_E4M3", "shape": [1], "data_offsets": [0, 1]}}, b"0"),
            "'F8_E4M3' is not supported",
        ),
        (file_of({"w": {"dtype": "U8", "shape": [-1], "data_offsets": [0, 1]}}, b"0"), "not a shape"),
        (file_of({"w": {"dtype": "U8", "shape": [1], "data_offsets": [1, 0]}}, b"0"), "do not follow each other"),
        (file_of({"w": {"dtype": "U8", "shape": [1], "data_offsets": [0]}}, b"0"), "must be two numbers"),
        (file_of({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, b"0000"), "takes 8 bytes.* give it 4"),
        (file_of({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, b"0000"), "ends .*within array 'w'"),
        (
            file_of({"w": {"dtype": "U8", "shape": [1], "data_offsets": [1, 2]}}, b"00"),
            "leaves 1 bytes before it unused",
        ),
        (
            file_of({"w": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}, b"000"),
            "2 bytes that belong to no array",
        ),
        (
            file_of({n: {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]} for n in "ab"}, b"0"),
            "array 'b' .*overlaps",
        ),
        (file_of({"__metadata__": {"a": 1}}), "__metadata__ in the header"),
    ],
)
def test_damage(tmp_path, data, message):
    path = tmp_path / "x.safetensors"
    path.write_bytes(data)
    with pytest.raises(FileFormatError, match=message):
        mx.nd.load(str(path))


def test_every_truncation_is_found(tmp_path):
    data = pack_tensors([record_of(np.arange(5, dtype=np.float32))], ["x"])
    for size in range(len(data)):
        with pytest.raises(FileFormatError):
            read_tensors(data[:size])


def test_what_cannot_be_saved(tmp_path):
    path = str(tmp_path / "x.safetensors")
    with pytest.raises(FileFormatError, match="save a dict"):
        mx.nd.save(path, [mx.nd.ones(1)])
    with pytest.raises(FileFormatError, match="__metadata__"):
        mx.nd.save(path, {"__metadata__": mx.nd.ones(1)})
    assert not list(tmp_path.iterdir())
