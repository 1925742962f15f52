"""Sentences in buckets, and networks as the R front end builds them."""

import json
import random
from pathlib import Path

import numpy as np
import pytest

import minimx as mx

R = mx.rnn
SYMBOLS = Path(__file__).parent / "golden/symbols"


# ---- sentences -----------------------------------------------------------------------------------------------------------


def sentences(count=120):
    generator = np.random.default_rng(0)
    return [generator.integers(1, 9, generator.integers(1, 12)).tolist() for _ in range(count)]


def test_encode_sentences():
    words = [["a", "b", "c"], ["c", "d", "a"]]
    coded, vocab = R.encode_sentences(words)
    assert coded == [[0, 1, 2], [2, 3, 0]] and vocab == {"\n": -1, "a": 0, "b": 1, "c": 2, "d": 3}
    coded, vocab = R.encode_sentences(words, invalid_label=1, invalid_key="", start_label=0)
    assert coded == [[0, 2, 3], [3, 4, 0]] and vocab[""] == 1
    assert R.encode_sentences(words, vocab={"a": 5, "b": 6, "c": 7, "?": 1}, unknown_token="?")[0] == [
        [5, 6, 7],
        [7, 1, 5],
    ]
    with pytest.raises(KeyError, match="'b'"):
        R.encode_sentences(words, vocab={"a": 1})


@pytest.mark.parametrize("layout", ["NT", "TN"])
def test_bucket_sentence_iter(layout, caplog):
    data = sentences()
    batches = R.BucketSentenceIter(data, 4, buckets=[9, 3, 6], invalid_label=0, layout=layout, dtype="int32")
    assert "discarded" in caplog.text
    assert batches.default_bucket_key == 9 and batches.buckets == [3, 6, 9]
    assert batches.provide_data[0].shape == ((4, 9) if layout == "NT" else (9, 4))
    left = {}
    for s in data:
        for bucket in (3, 6, 9):
            if len(s) <= bucket:
                left.setdefault(bucket, []).append([*s, *[0] * (bucket - len(s))])
                break
    for batch in batches:
        rows, labels = (a.asnumpy() if layout == "NT" else a.asnumpy().T for a in (batch.data[0], batch.label[0]))
        assert rows.dtype == np.int32 and batch.pad == 0
        assert batch.provide_label[0].shape == batch.label[0].shape and batch.provide_data[0].layout == layout
        for row, label in zip(rows.tolist(), labels.tolist(), strict=True):
            left[batch.bucket_key].remove(row)
            assert label == [*row[1:], 0]
    assert all(len(rest) < 4 for rest in left.values())


def test_buckets_are_the_lengths_that_occur_often_enough():
    data = [[1] * 3] * 5 + [[2] * 4] * 2 + [[3] * 7] * 4
    batches = R.BucketSentenceIter(data, 4)
    assert batches.buckets == [3, 7]
    assert sorted(b.bucket_key for b in batches) == [3, 7]
    assert len(list(batches)) == 0
    batches.reset()
    assert len(list(batches)) == 2
    with pytest.raises(ValueError, match="no length occurs"):
        R.BucketSentenceIter(data, 40)
    with pytest.raises(ValueError, match="layout"):
        R.BucketSentenceIter(data, 4, layout="NTC")


def test_epochs_differ_in_order():
    random.seed(1)
    np.random.seed(1)
    batches = R.BucketSentenceIter(sentences(), 4, buckets=[12])
    first = [b.data[0].asnumpy() for b in batches]
    batches.reset()
    second = [b.data[0].asnumpy() for b in batches]
    assert not all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert sum(a.sum() for a in first) > 0


def masked_buckets():
    generator = np.random.default_rng(0)
    buckets = {}
    for length, count in ((4, 5), (6, 8)):
        data = generator.integers(1, 9, (count, length))
        ends = generator.integers(1, length + 1, count)
        data[np.arange(length) >= ends[:, None]] = 0
        buckets[length] = {"data": data, "label": ends}
    return buckets


@pytest.mark.parametrize("shuffle", [False, True])
def test_bucket_iter(shuffle):
    buckets = masked_buckets()
    batches = R.BucketIter(buckets, 3, shuffle=shuffle)
    first = list(batches)
    assert sorted((b.bucket_key, b.pad) for b in first) == [(4, 0), (4, 1), (6, 0), (6, 0), (6, 1)]
    for b in first:
        data, lengths = (a.asnumpy() for a in b.data)
        assert data.shape == (3, b.bucket_key) == b.provide_data[0].shape
        np.testing.assert_array_equal(lengths, b.label[0].asnumpy())
        np.testing.assert_array_equal((data > 0).sum(axis=1), lengths)
    batches.reset()
    for a, b in zip(first, batches, strict=True):
        np.testing.assert_array_equal(a.data[0].asnumpy(), b.data[0].asnumpy())
    if not shuffle:
        np.testing.assert_array_equal(first[1].data[0].asnumpy()[2], buckets[4]["data"][0])
    with pytest.raises(ValueError, match="bucket 5 must have data"):
        R.BucketIter({5: buckets[4]}, 3)


def test_graphs_of_buckets_train():
    def sym_gen(length):
        state = mx.sym.zeros((1, 0, 8))
        kind = {"config": "seq-to-one", "cell_type": "gru", "masking": True}
        graph = R.rnn_graph(1, 9, 4, 8, 7, loss_output="softmax", rnn_state=state, **kind)
        return graph, ("data", "seq.mask"), ("label",)

    np.random.seed(0)
    mx.random.seed(0)
    batches = R.BucketIter(masked_buckets(), 3, shuffle=True)
    model = mx.mod.BucketingModule(sym_gen, default_bucket_key=6)
    model.fit(
        batches,
        eval_metric="acc",
        initializer=mx.init.Uniform(0.3),
        optimizer="adam",
        optimizer_params={"learning_rate": 0.05},
        num_epoch=25,
    )
    batches.reset()
    assert dict(model.score(batches, "acc"))["accuracy"] > 0.8  # how many words there are


# ---- graphs of the R front end -------------------------------------------------------------------------------------------


def same_as_golden(symbol, name):
    got, wanted = json.loads(symbol.tojson()), json.loads((SYMBOLS / f"{name}.json").read_text())
    del got["node_row_ptr"], wanted["node_row_ptr"]
    assert got == wanted


def test_rnn_graph_is_that_of_the_r_front_end():
    with mx.name.NameManager():
        lstm = R.rnn_graph(
            2, 11, 6, 8, 5, ignore_label=0, loss_output="softmax", output_last_state=True, config="one-to-one"
        )
    same_as_golden(lstm, "rnn_graph_one_to_one_lstm")
    with mx.name.NameManager():
        gru = R.rnn_graph(2, 11, 6, 8, 5, loss_output="softmax", config="seq-to-one", cell_type="gru", masking=True)
    same_as_golden(gru, "rnn_graph_seq_to_one_gru_masked")


@pytest.mark.parametrize("loss", ["linear", "logistic", "MAE", None])
def test_rnn_graph_losses(loss):
    symbol = R.rnn_graph(1, num_hidden=4, num_decode=1, loss_output=loss, config="seq-to-one", cell_type="rnn_tanh")
    assert "embed.weight" not in symbol.list_arguments()
    shapes = {"data": (3, 5, 2)}
    assert symbol.infer_shape(**shapes)[1] == [(3, 4) if loss is None else (3, 1)]


def test_rnn_graph_refuses_what_it_does_not_know():
    with pytest.raises(mx.MXNetError, match="config must be"):
        R.rnn_graph(1, config="one-to-many")
    with pytest.raises(mx.MXNetError, match="loss_output must be"):
        R.rnn_graph(1, loss_output="hinge", num_decode=2)
    with pytest.raises(mx.MXNetError, match="num_decode"):
        R.rnn_graph_unroll(1, 3, loss_output="softmax")
    with pytest.raises(mx.MXNetError, match="cell_type must be"):
        R.rnn_graph_unroll(1, 3, cell_type="rnn_tanh")


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def stepwise(cell, args, x, layers, hidden):
    """NumPy twin of the unrolled graph's hidden states; x is (batch, time, inputs)."""
    for i in range(1, layers + 1):

        def get(name, i=i):
            return args[f"l{i}.{name}.weight"].T, args[f"l{i}.{name}.bias"]

        h = c = None
        outputs = []
        for t in range(x.shape[1]):
            if cell == "lstm":
                w, b = get("i2h")
                gates = x[:, t] @ w + b
                if h is not None:
                    w, b = get("h2h")
                    gates = gates + h @ w + b
                keep, value, forget, show = np.split(gates, 4, axis=1)
                c = sigmoid(keep) * np.tanh(value) + (0 if c is None else sigmoid(forget) * c)
                h = sigmoid(show) * np.tanh(c)
            else:
                w, b = get("gates.i2h")
                gates = x[:, t] @ w + b
                if h is not None:
                    w, b = get("gates.h2h")
                    gates = gates + h @ w + b
                update, reset = (sigmoid(g) for g in np.split(gates, 2, axis=1))
                w, b = get("trans.i2h")
                before = np.zeros((len(x), hidden)) if h is None else h
                u, v = get("trans.h2h")
                value = np.tanh(x[:, t] @ w + b + (reset * before) @ u + v)
                h = before + update * (value - before)
            outputs.append(h)
        x = np.stack(outputs, axis=1)
    return x


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("states", [False, True])
def test_unrolled_graphs_compute_their_equations(cell, states):
    symbol = R.rnn_graph_unroll(2, 3, num_hidden=4, cell_type=cell, output_last_state=states)
    begin = {n: (2, 4) for n in symbol.list_arguments() if n.startswith("init_")}
    executor = symbol.simple_bind(mx.cpu(), data=(2, 3, 5), **begin)
    generator = np.random.default_rng(0)
    args = {n: generator.uniform(-1, 1, a.shape) for n, a in executor.arg_dict.items() if not n.startswith("init_")}
    for name, value in args.items():
        executor.arg_dict[name][:] = value
    outputs = [o.asnumpy() for o in executor.forward()]
    if states:  # states of zeros, and the biases of the products with them
        assert sorted(begin) == sorted(
            f"init_{i}_{k}" for i in (1, 2) for k in ("h", "c")[: 2 if cell == "lstm" else 1]
        )
        np.testing.assert_allclose(outputs[0][:, -1], outputs[-2 if cell == "lstm" else -1], rtol=1e-6)
    else:
        np.testing.assert_allclose(outputs[0], stepwise(cell, args, args["data"], 2, 4), rtol=1e-5, atol=1e-6)


def test_unrolled_graphs_learn():
    symbol = R.rnn_graph_unroll(
        1, 4, 6, 3, 8, 6, loss_output="softmax", config="one-to-one", cell_type="gru", dropout=0.1, masking=True
    )
    assert symbol.list_arguments()[0] == "data"
    executor = symbol.simple_bind(mx.cpu(), **{"data": (5, 4), "label": (5, 4), "seq.mask": (5,)})
    executor.arg_dict["seq.mask"][:] = 4
    executor.forward(is_train=True)
    executor.backward()
    assert executor.outputs[0].shape == (20, 6)
    assert np.abs(executor.grad_dict["cls.bias"].asnumpy()).sum() > 0
