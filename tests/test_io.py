"""Iterators: MXNet's batches, all ways to end an epoch, files, prefetching, and what is refused."""

import gzip
import json
import logging
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest

import minimx as mx

GOLDEN = json.loads((Path(__file__).parent / "golden/misc/iterators.json").read_text())
X, Y = np.arange(14, dtype="f").reshape(7, 2), np.arange(7, dtype="f")


@pytest.fixture
def folder(tmp_path):
    """The files that MXNet's iterators were run on."""
    np.savetxt(tmp_path / "d.csv", X, delimiter=",")
    np.savetxt(tmp_path / "l.csv", Y, delimiter=",")
    (tmp_path / "images").write_bytes(struct.pack(">IIII", 2051, 5, 2, 2) + bytes(range(0, 200, 10)))
    (tmp_path / "labels").write_bytes(struct.pack(">II", 2049, 5) + bytes(range(5)))
    return tmp_path


def made(text, folder):
    if text.startswith("CSVIter"):
        files = {"data_csv": str(folder / "d.csv"), "label_csv": str(folder / "l.csv")}
        return mx.io.CSVIter(data_shape=(2,), batch_size=3, **files)
    if text.startswith("MNISTIter"):
        files = {"image": str(folder / "images"), "label": str(folder / "labels")}
        return mx.io.MNISTIter(batch_size=2, shuffle=False, flat="flat=True" in text, silent=True, **files)
    if "'b': y" in text:
        return mx.io.NDArrayIter([X, 2 * X], {"b": Y, "a": Y + 10}, batch_size=4)
    if "batch_size=9" in text:
        return mx.io.NDArrayIter(X, batch_size=9, last_batch_handle="pad")
    return mx.io.NDArrayIter(X, Y, 3, last_batch_handle=text.split("'")[1])


def flat(arrays):
    return [a.asnumpy().ravel().tolist() for a in arrays]


def epoch(batches):
    return [{"data": flat(b.data), "label": flat(b.label), "pad": b.pad} for b in batches]


@pytest.mark.parametrize("case", GOLDEN, ids=lambda c: c["iter"].replace(" ", ""))
def test_batches(case, folder):
    batches = made(case["iter"], folder)
    assert [[d.name, list(d.shape)] for d in batches.provide_data] == case["provide_data"]
    assert [[d.name, list(d.shape)] for d in batches.provide_label] == case["provide_label"]
    for number, want in enumerate(case["epochs"]):
        if number:
            batches.reset()
        assert epoch(batches) == want


@pytest.mark.parametrize("handle", ["pad", "discard", "roll_over"])
@pytest.mark.parametrize("given", [{"seed": 3}, {}])
@pytest.mark.parametrize("seed", [np.random.seed, mx.random.seed])
def test_shuffling_keeps_rows_and_labels_together(handle, given, seed):
    def run():
        seed(3)
        batches = mx.io.NDArrayIter(X, Y, 3, shuffle=True, last_batch_handle=handle, **given)
        epochs = []
        for _ in range(5):
            epochs.append(epoch(batches))
            batches.reset()
        return epochs

    epochs = run()
    assert epochs == run()
    orders = [[n for b in one for n in b["label"][0]] for one in epochs]
    assert orders[0] != sorted(orders[0])
    assert orders[0] != orders[1]
    for one in epochs:
        for batch in one:
            np.testing.assert_array_equal(np.reshape(batch["data"][0], (3, 2)), X[np.int64(batch["label"][0])])
    if handle == "roll_over":
        assert sorted(orders[0] + orders[1] + orders[2])[:3] == [0, 0, 0]  # 21 rows: every one three times
        assert np.bincount(np.int64(orders[0] + orders[1] + orders[2])).tolist() == [3] * 7
    elif handle == "pad":
        assert all(sorted(order[:7]) == Y.tolist() for order in orders)


def test_hard_reset_forgets_rolled_rows():
    batches = mx.io.NDArrayIter(X, Y, 3, last_batch_handle="roll_over")
    first = epoch(batches)
    batches.hard_reset()
    assert epoch(batches) == first


def test_dtypes_and_layout():
    batches = mx.io.NDArrayIter(
        {"a": X.astype("float64"), "b": mx.nd.array(X, dtype="uint8")}, batch_size=7, layout="NT"
    )
    assert [np.dtype(d.dtype).name for d in batches.provide_data] == ["float32", "uint8"]
    assert [d.layout for d in batches.provide_data] == ["NT", "NT"]
    (batch,) = list(batches)
    assert [a.dtype.name if hasattr(a.dtype, "name") else np.dtype(a.dtype).name for a in batch.data] == [
        "float32",
        "uint8",
    ]
    shuffled = mx.io.NDArrayIter(mx.nd.array(X, dtype="uint8"), batch_size=7, shuffle=True, seed=0)
    assert next(shuffled).data[0].dtype == np.uint8


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: mx.io.NDArrayIter(X, Y, 3, last_batch_handle="drop"), "last_batch_handle"),
        (lambda: mx.io.NDArrayIter(X, Y[:3], 3), "softmax_label has 3"),
        (lambda: mx.io.NDArrayIter(None), "at least one"),
        (lambda: mx.io.NDArrayIter([]), "at least one"),
        (lambda: mx.io.NDArrayIter(X, Y, 8, last_batch_handle="discard"), "batch_size"),
        (lambda: mx.io.NDArrayIter(X, Y, 0), "batch_size"),
        (lambda: mx.io.PrefetchingIter([]), "at least one"),
    ],
)
def test_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_what_is_no_array_is_refused():
    with pytest.raises(TypeError, match="data"):
        mx.io.NDArrayIter("x")
    with pytest.raises(TypeError, match="list"):
        mx.io.DataBatch(mx.nd.zeros(2))


def test_descriptions():
    desc = mx.io.DataDesc("data", [2, 3], "int32", "TN")
    assert tuple(desc) == ("data", (2, 3))
    assert repr(desc) == "DataDesc[data,(2, 3),int32,TN]"
    again = pickle.loads(pickle.dumps(desc))
    assert (again, again.dtype, again.layout) == (desc, "int32", "TN")
    assert [mx.io.DataDesc.get_batch_axis(layout) for layout in (None, "NCHW", "TNC", "")] == [0, 0, 1, -1]
    with_types = mx.io.DataDesc.get_list([("a", (1,)), ("b", (2,))], [("b", "int8"), ("a", "uint8")])
    assert [(d.name, d.dtype) for d in with_types] == [("a", "uint8"), ("b", "int8")]
    assert mx.io.DataDesc.get_list([("a", (1,))], None)[0].dtype == np.float32
    batch = mx.io.DataBatch([mx.nd.zeros((2, 3))], [mx.nd.zeros(2)])
    assert str(batch) == "DataBatch: data shapes: [(2, 3)] label shapes: [(2,)]"


def test_resize():
    batches = mx.io.ResizeIter(mx.io.NDArrayIter(X, Y, 3), 5)
    assert batches.provide_data == batches.data_iter.provide_data
    labels = [b["label"][0] for b in epoch(batches)]
    assert labels == [[0, 1, 2], [3, 4, 5], [6, 0, 1], [0, 1, 2], [3, 4, 5]]
    batches.reset()
    assert [b["label"][0] for b in epoch(batches)] == labels
    onward = mx.io.ResizeIter(mx.io.NDArrayIter(X, Y, 3), 2, reset_internal=False)
    epoch(onward)
    onward.reset()
    assert onward.next().pad == 2
    assert flat(onward.getlabel()) == [[6, 0, 1]]
    assert (onward.getpad(), onward.getindex(), len(onward.getdata())) == (2, None, 1)


def test_prefetching_gives_the_same_batches():
    plain = mx.io.NDArrayIter(X, Y, 3)
    batches = mx.io.PrefetchingIter(mx.io.NDArrayIter(X, Y, 3))
    want = epoch(plain)
    for _ in range(3):
        assert epoch(batches) == want
        with pytest.raises(StopIteration):
            batches.next()
        batches.reset()
    next(batches)
    batches.reset()  # in the middle
    assert epoch(batches) == want
    assert batches.batch_size == 3


def test_prefetching_from_several():
    both = mx.io.PrefetchingIter(
        [mx.io.NDArrayIter(X, Y, 3), mx.io.NDArrayIter(2 * X, 2 * Y, 3)],
        rename_data=[{"data": "a"}, {"data": "b"}],
        rename_label=[{"softmax_label": "p"}, {"softmax_label": "q"}],
    )
    assert [d.name for d in both.provide_data + both.provide_label] == ["a", "b", "p", "q"]
    first = both.next()
    assert flat(first.label) == [[0, 1, 2], [0, 2, 4]]
    assert [d.name for d in first.provide_data] == ["a", "b"]
    uneven = mx.io.PrefetchingIter([mx.io.NDArrayIter(X, batch_size=3), mx.io.NDArrayIter(X[:6], batch_size=3)])
    with pytest.raises(ValueError, match="fewer batches|padding"):
        epoch(uneven)


def test_errors_of_prefetched_iterators_arrive():
    class Broken(mx.io.DataIter):
        provide_data = [mx.io.DataDesc("data", (1,))]
        provide_label = []

        def next(self):
            raise OSError("no such disk")

    with pytest.raises(OSError, match="no such disk"):
        mx.io.PrefetchingIter(Broken()).next()
    with pytest.raises(ValueError, match="before"):
        mx.io.PrefetchingIter(mx.io.NDArrayIter(X)).getdata()


def test_an_iterator_of_ones_own():
    class Twice(mx.io.DataIter):
        count = 0

        def iter_next(self):
            self.count += 1
            return self.count <= 2

        def getdata(self):
            return [mx.nd.array([self.count])]

        def getlabel(self):
            return []

        def getpad(self):
            return 0

    assert [b.data[0].asscalar() for b in Twice(1)] == [1, 2]
    for method in ("iter_next", "getdata", "getlabel", "getpad"):
        with pytest.raises(NotImplementedError, match="DataIter"):
            getattr(mx.io.DataIter(), method)()


def test_csv_without_rounding(folder):
    batches = mx.io.CSVIter(str(folder / "d.csv"), (2, 1), batch_size=3, round_batch=False, dtype="float64")
    for _ in range(2):
        pads = [(b.pad, b.data[0].shape, b.label[0].asnumpy().tolist()) for b in batches]
        assert pads == [(0, (3, 2, 1), [0, 0, 0])] * 2 + [(2, (3, 2, 1), [0, 0, 0])]
        assert batches.getdata()[0].asnumpy()[:, 0, 0].tolist() == [12, 8, 10]  # the last two are left from before
        batches.reset()
    assert batches.provide_data[0].dtype == np.float64


def test_csv_files_that_do_not_fit(folder):
    with pytest.raises(ValueError, match="rows have 2 values"):
        mx.io.CSVIter(str(folder / "d.csv"), (3,))
    with pytest.raises(ValueError, match="has 5"):
        np.savetxt(folder / "short.csv", Y[:5])
        mx.io.CSVIter(str(folder / "d.csv"), (2,), str(folder / "short.csv"))
    (folder / "words.csv").write_text("1,two\n")
    with pytest.raises(ValueError, match="words.csv"):
        mx.io.CSVIter(str(folder / "words.csv"), (2,))


def test_mnist_parts_seeds_and_compression(folder, caplog):
    files = {"image": str(folder / "images"), "label": str(folder / "labels")}
    parts = [
        mx.io.MNISTIter(**files, batch_size=1, shuffle=False, silent=True, num_parts=2, part_index=k) for k in (0, 1)
    ]
    assert [[b["label"][0][0] for b in epoch(p)] for p in parts] == [[0, 1], [2, 3, 4]]
    orders = [
        [b["label"][0][0] for b in epoch(mx.io.MNISTIter(**files, batch_size=1, seed=s, silent=True))]
        for s in (1, 1, 2)
    ]
    assert orders[0] == orders[1] != orders[2]
    for name, path in files.items():
        with open(path, "rb") as plain, gzip.open(f"{path}.gz", "wb") as packed:
            packed.write(plain.read())
        files[name] = f"{path}.gz"
    with caplog.at_level(logging.INFO):
        batches = mx.io.MNISTIter(**files, batch_size=2, flat=True)
    assert caplog.messages == ["MNISTIter: load 5 images, shuffle=1, shape=(2,4)"]
    assert len(epoch(batches)) == 2


def test_damaged_mnist_files(folder):
    good = {"image": str(folder / "images"), "label": str(folder / "labels")}
    (folder / "short").write_bytes(struct.pack(">IIII", 2051, 5, 2, 2))
    (folder / "empty").write_bytes(b"")
    (folder / "few").write_bytes(struct.pack(">II", 2049, 2) + bytes(2))
    for wrong, message in (
        ({"image": "short"}, "20 bytes"),
        ({"label": "empty"}, "header"),
        ({"label": "few"}, "5 images"),
    ):
        with pytest.raises(ValueError, match=message):
            mx.io.MNISTIter(**good | {k: str(folder / v) for k, v in wrong.items()})
    with pytest.raises(ValueError, match="part_index"):
        mx.io.MNISTIter(**good, num_parts=2, part_index=2)
