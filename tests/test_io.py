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
def test_shuffling_keeps_rows_and_labels_together(handle, given):
    def run():
        np.random.seed(3)
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


# ---- rows of LibSVM ----


LIBSVM = "1.0 0:0.5 2:1.2\n-2.0\n-3.0 0:0.6 1:2.4 2:1.2  # said of it\n\n4 2:-1.2\n5 1:1\n"
DENSE = np.array([[0.5, 0, 1.2], [0, 0, 0], [0.6, 2.4, 1.2], [0, 0, -1.2], [0, 1, 0]], "f")


def test_libsvm(tmp_path):
    """What MXNet 1.9.1 gives for these rows, with its sparse arrays made dense."""
    (tmp_path / "data").write_text(LIBSVM)
    batches = mx.io.LibSVMIter(str(tmp_path / "data"), (3,), batch_size=3)
    assert batches.provide_data == [("data", (3, 3))] and batches.provide_label == [("softmax_label", (3,))]
    rows = [[[0, 1, 2], [3, 4, 0]], [[1, 2, 3], [4, 0, 1]], [[2, 3, 4]]]
    pads = [[0, 1], [0, 2], [0]]
    for numbers, pad in zip(rows, pads, strict=True):
        found = list(batches)
        assert [b.pad for b in found] == pad and [b.index.tolist() for b in found] == numbers
        for batch, expected in zip(found, numbers, strict=True):
            assert np.array_equal(batch.data[0].asnumpy(), DENSE[expected])
            assert batch.label[0].asnumpy().tolist() == [[1, -2, -3, 4, 5][i] for i in expected]
        batches.reset()
    (tmp_path / "label").write_text("1\n-2 0:0.125\n-3 2:1.2\n4 1:1.0 2:-1.2\n5 0:3\n")
    files = {"data_libsvm": str(tmp_path / "data"), "label_libsvm": str(tmp_path / "label")}
    batches = mx.io.LibSVMIter(**files, data_shape=3, label_shape=(3,), batch_size=5, dtype="float64")
    assert batches.next().label[0].asnumpy().tolist() == [
        [0, 0, 0],
        [0.125, 0, 0],
        [0, 0, 1.2],
        [0, 1, -1.2],
        [3, 0, 0],
    ]
    halves = [
        mx.io.LibSVMIter(**files, data_shape=(3,), label_shape=(3,), num_parts=2, part_index=k, round_batch=False)
        for k in (0, 1)
    ]
    assert [b.data[0].asnumpy()[0].tolist() for half in halves for b in half] == DENSE.tolist()
    halves[1].reset()
    assert [b.label[0].asnumpy()[0, 0] for b in halves[1]] == [0, 3] and halves[0].num_data == 3


def test_the_same_batch_again(tmp_path):
    (tmp_path / "data").write_text(LIBSVM)
    batches = mx.io.LibSVMIter(str(tmp_path / "data"), (3,), batch_size=2)
    batches.debug_skip_load()
    assert [batches.next().index.tolist() for _ in range(9)] == [[0, 1]] * 9


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "has no rows"),
        ("1 0:1 3:1\n", r"index 3 does not fit shape \(3,\), whose indices are 0 to 2"),
        ("1 -1:1\n", "index -1 does not fit"),
        ("1 a:1\n", "a label and pairs index:value are needed, got '1 a:1'"),
        ("x 1:1\n", "got 'x 1:1'"),
    ],
)
def test_libsvm_files_that_do_not_fit(tmp_path, text, message):
    (tmp_path / "a.t").write_text(text)
    with pytest.raises(ValueError, match=f"a.t.*{message}"):
        mx.io.LibSVMIter(str(tmp_path / "a.t"), (3,))


def test_an_empty_csv_file(tmp_path):
    (tmp_path / "a.csv").write_text("\n")
    with pytest.raises(ValueError, match="a.csv has no rows"):
        mx.io.CSVIter(str(tmp_path / "a.csv"), (3,))


# ---- going on where another one was ----


HANDLES = [f"{handle}, {seed}" for handle in ("pad", "discard", "roll_over") for seed in (None, 5)]
KINDS = [*HANDLES, "csv", "csv without rounding", "libsvm", "mnist", "resize", "prefetching", "both"]


def iterators(folder):
    """Each kind, made anew at each call."""
    csv = {"data_csv": str(folder / "d.csv"), "label_csv": str(folder / "l.csv"), "data_shape": (2,), "batch_size": 3}
    mnist = {"image": str(folder / "images"), "label": str(folder / "labels"), "batch_size": 2, "silent": True}
    (folder / "s").write_text(LIBSVM)
    found = {
        f"{handle}, {seed}": lambda handle=handle, seed=seed: mx.io.NDArrayIter(
            X, Y, 3, shuffle=seed is not None, last_batch_handle=handle, seed=seed
        )
        for handle in ("pad", "discard", "roll_over")
        for seed in (None, 5)
    }
    found["csv"] = lambda: mx.io.CSVIter(**csv)
    found["csv without rounding"] = lambda: mx.io.CSVIter(**csv, round_batch=False)
    found["libsvm"] = lambda: mx.io.LibSVMIter(str(folder / "s"), (3,), batch_size=2)
    found["mnist"] = lambda: mx.io.MNISTIter(**mnist, seed=3)
    found["resize"] = lambda: mx.io.ResizeIter(mx.io.NDArrayIter(X, Y, 3, shuffle=True, seed=1), 5)
    found["prefetching"] = lambda: mx.io.PrefetchingIter(found["roll_over, 5"]())
    assert [*found, "both"] == KINDS
    found["both"] = lambda: mx.io.ResizeIter(found["prefetching"](), 2, reset_internal=False)
    return found


def walk(batches, count):
    """Batches, from epoch to epoch; None where one ends."""
    found = []
    for _ in range(count):
        try:
            batch = batches.next()
            found.append((flat(batch.data), flat(batch.label), batch.pad))
        except StopIteration:
            batches.reset()
            found.append(None)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_states(kind, folder):
    make = iterators(folder)[kind]
    want = walk(make(), 24)
    assert want.count(None) >= 3
    for before in (0, 1, 2, 4, 9):
        first = make()
        assert walk(first, before) == want[:before]
        state = pickle.loads(pickle.dumps(first.get_state()))
        second = make()
        walk(second, 3)
        second.set_state(state)
        assert walk(second, 24 - before) == want[before:]
        assert walk(first, 24 - before) == want[before:]  # asking disturbs nothing
        second.set_state(state)  # the state is still what it was
        assert walk(second, 24 - before) == want[before:]


def test_states_of_others(folder):
    made = {kind: make() for kind, make in iterators(folder).items()}
    for kind, other, message in [
        ("csv", "libsvm", "CSVIter: the state's iterator is 'LibSVMIter', here it is 'CSVIter'"),
        ("mnist", "csv", "iterator is 'CSVIter'"),
        ("resize", "both", "iterator is 'PrefetchingIter', here it is 'NDArrayIter'"),
    ]:
        with pytest.raises(ValueError, match=message):
            made[kind].set_state(made[other].get_state())
    with pytest.raises(ValueError, match="num_data is 6, here it is 7"):
        made["pad, 5"].set_state(mx.io.NDArrayIter(X[:6], Y[:6], 3).get_state())
    with pytest.raises(ValueError, match="batch_size is 2, here it is 3"):
        made["pad, 5"].set_state(mx.io.NDArrayIter(X, Y, 2).get_state())

    class Own(mx.io.DataIter):
        provide_data = [mx.io.DataDesc("data", (1,))]
        provide_label = []

        def next(self):
            raise StopIteration

    for iterator in (Own(), mx.io.PrefetchingIter(Own())):
        with pytest.raises(NotImplementedError, match="Own cannot save where it is: define get_state"):
            iterator.get_state()
    with pytest.raises(NotImplementedError, match="Own cannot go where it was"):
        Own().set_state({})


# ---- traps that do not show as errors ----


def test_labels_of_one_class(caplog):
    data, label = np.zeros((40, 2)), np.repeat([3, 1], 20)
    batches = mx.io.ResizeIter(mx.io.PrefetchingIter(mx.io.NDArrayIter(data, label, 20)), 4)
    said = mx.io.check_first_batch(batches, batches.next())
    assert said == caplog.messages and len(said) == 1
    assert said[0].startswith(
        "all 20 labels (softmax_label) of the first batch are 3, and the iterator does not shuffle"
    )
    batches = mx.io.ImageRecordIter(
        path_imgrec=str(Path(__file__).parent / "golden/rec/images_png.rec"), data_shape=(3, 8, 8), batch_size=12
    )
    batch = batches.next()
    batch.label[0][:] = 3
    assert "are 3, and the iterator does not shuffle" in mx.io.check_first_batch(batches, batch)[0]
    for quiet in (
        mx.io.NDArrayIter(data, label, 20, shuffle=True),
        mx.io.NDArrayIter(data, label, 40),
        mx.io.NDArrayIter(data, label, 5),  # may be chance
        mx.io.NDArrayIter(data, np.zeros(40), 20),  # there is no other class
        mx.io.NDArrayIter(data, label + 0.5, 20),  # not a class
        mx.io.NDArrayIter(data, label[:, None] + np.zeros((40, 3)), 20),
        mx.io.NDArrayIter(data, None, 20),
    ):
        assert mx.io.check_first_batch(quiet, quiet.next()) == []


def test_labels_without_an_output():
    net = mx.sym.SoftmaxOutput(mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=4, name="fc"), name="softmax")
    data, label = np.zeros((12, 2)), np.arange(12) % 5
    batches = mx.io.NDArrayIter(data, label, 12)
    said = mx.io.check_first_batch(batches, batches.next(), net)
    assert said == [
        "label 4 (softmax_label) of example 4 is none of the 4 classes, 0 to 3, that softmax has outputs for"
    ]
    batches = mx.io.NDArrayIter(data, label - 1, 12)
    assert "label -1 (softmax_label) of example 0" in mx.io.check_first_batch(batches, batches.next(), net)[0]
    ignoring = mx.sym.SoftmaxOutput(net.get_internals()["fc_output"], use_ignore=True, name="softmax")
    batches.reset()
    assert mx.io.check_first_batch(batches, batches.next(), ignoring) == []
    batches = mx.io.NDArrayIter(data, label % 4, 12)
    assert mx.io.check_first_batch(batches, batches.next(), net) == []
    regression = mx.sym.LinearRegressionOutput(net.get_internals()["fc_output"], name="softmax")
    batches = mx.io.NDArrayIter(data, label + 9, 12)
    assert mx.io.check_first_batch(batches, batches.next(), regression) == []
