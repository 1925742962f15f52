"""mx.Predictor: the executor's answers, from many threads, for any batch size."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import minimx as mx
from minimx.base import GraphError, MXNetError, ShapeError


def network():
    body = mx.sym.Convolution(mx.sym.var("data"), kernel=(3, 3), num_filter=8, name="conv")
    body = mx.sym.Activation(mx.sym.BatchNorm(body, fix_gamma=False, name="bn"), act_type="relu", name="act")
    body = mx.sym.Pooling(mx.sym.Dropout(body), kernel=(2, 2), stride=(2, 2), pool_type="max", name="pool")
    return mx.sym.SoftmaxOutput(mx.sym.FullyConnected(body, num_hidden=5, name="fc"), name="softmax")


def parameters(net, **shapes):
    rng = np.random.RandomState(1)
    args, _, aux = net.infer_shape(**shapes)
    known = zip(net.list_arguments() + net.list_auxiliary_states(), args + aux, strict=True)
    return {n: mx.nd.array(rng.uniform(0.5, 1.5, s)) for n, s in known if n not in ("data", "softmax_label")}


@pytest.fixture(scope="module")
def model():
    net = network()
    return net, parameters(net, data=(2, 1, 12, 12))


def images(count, seed=0):
    return np.random.RandomState(seed).uniform(-1, 1, (count, 1, 12, 12)).astype(np.float32)


def expected(net, params, data):
    executor = net.simple_bind(mx.cpu(), grad_req="null", data=data.shape)
    states = net.list_auxiliary_states()
    executor.copy_params_from({n: a for n, a in params.items() if n not in states}, {n: params[n] for n in states})
    return executor.forward(data=data)[0].asnumpy()


def test_any_batch_size(model):
    net, params = model
    predictor = mx.Predictor(net, params)
    assert predictor.input_names == ["data"] and predictor.output_names == ["softmax_output"]
    for count in (1, 7, 4, 7):
        data = images(count, count)
        assert (predictor.predict(data) == expected(net, params, data)).all()
    assert len(predictor._programs) == 3


def test_sixteen_threads_give_the_same_bits(model):
    net, params = model
    predictor = mx.Predictor(net, params)
    batches = [images(1 + i % 5, i) for i in range(40)]
    alone = [predictor.predict(b) for b in batches]
    shared = mx.Predictor(net, params)  # compiles while it is being asked
    wrong = []
    start = threading.Barrier(16)

    def ask(first):
        start.wait()
        for i in range(len(batches)):
            k = (first * 7 + i) % len(batches)
            shared.forward(data=batches[k])
            if not (shared.get_output(0) == alone[k]).all():
                wrong.append(k)

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(16)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong
    assert len(shared._programs) == 5


def test_files_and_texts(model, tmp_path):
    net, params = model
    prefix = str(tmp_path / "net")
    states = net.list_auxiliary_states()
    args = {n: a for n, a in params.items() if n not in states}
    mx.model.save_checkpoint(prefix, 7, net, args, {n: params[n] for n in states})
    data = images(3)
    want = mx.Predictor(net, params).predict(data)
    file = tmp_path / "net-0007.params"
    for predictor in (
        mx.Predictor(prefix, epoch=7),
        mx.Predictor(f"{prefix}-symbol.json", str(file)),
        mx.Predictor(net.tojson(), file.read_bytes(), {"data": data.shape}, "cpu", 0),
    ):
        assert (predictor(data) == want).all()


def test_layers_inside(model):
    net, params = model
    predictor = mx.Predictor(net, params, outputs=["pool_output", "softmax_output"])
    pool, out = predictor.predict(images(2))
    assert pool.shape == (2, 8, 5, 5)
    assert (out == mx.Predictor(net, params).predict(images(2))).all()


def test_reshape_compiles_ahead(model):
    net, params = model
    predictor = mx.Predictor(net, params, {"data": (4, 1, 12, 12)})
    assert len(predictor._programs) == 1
    predictor.reshape([("data", (2, 1, 12, 12))])
    assert len(predictor._programs) == 2
    predictor.predict(images(2))
    assert len(predictor._programs) == 2


def test_inputs_are_converted(model):
    net, params = model
    predictor = mx.Predictor(net, params)
    data = images(2)
    want = predictor.predict(data)
    assert (predictor.predict(data.astype(np.float64)) == want).all()
    assert (predictor.predict(mx.nd.array(data)) == want).all()
    assert (predictor.predict(data.tolist()) == want).all()


def test_several_inputs():
    a, b = mx.sym.var("a"), mx.sym.var("b")
    predictor = mx.Predictor(mx.sym.broadcast_add(a, b) * 2)
    assert (predictor.predict(np.ones((2, 3)), b=np.ones((1, 3))) == 4).all()


def test_bad_input(model):
    net, params = model
    predictor = mx.Predictor(net, params)
    with pytest.raises(GraphError, match="no input 'image'; inputs are data"):
        predictor.predict(image=images(1))
    with pytest.raises(TypeError, match="twice"):
        predictor.predict(images(1), data=images(1))
    with pytest.raises(ShapeError, match="fc.: weight must have shape"):
        predictor.predict(np.zeros((1, 1, 20, 20)))
    without = {n: a for n, a in params.items() if n != "fc_weight"}
    with pytest.raises(GraphError, match="fc_weight is neither"):
        mx.Predictor(net, without).predict(images(1))
    with pytest.raises(MXNetError, match="bn_moving_mean"):
        mx.Predictor(net, {n: a for n, a in params.items() if n != "bn_moving_mean"})
    with pytest.raises(MXNetError, match="call forward"):
        predictor.get_output()
    predictor.forward(images(1))
    with pytest.raises(IndexError, match="1 outputs"):
        predictor.get_output(3)


def test_packed_weights_are_shared_and_follow_the_parameters():
    """Weights of convolutions are packed once for all threads, and again when they have changed."""
    net = mx.sym.Convolution(mx.sym.var("data"), kernel=(3, 3), pad=(1, 1), num_filter=32, no_bias=True, name="conv")
    weight = mx.nd.random.normal(shape=(32, 16, 3, 3))
    predictor = mx.Predictor(net, {"conv_weight": weight})
    data = np.random.default_rng(0).normal(size=(2, 16, 12, 12)).astype("f")

    def expected():
        return net.bind(mx.cpu(), {"data": mx.nd.array(data), "conv_weight": weight}).forward()[0].asnumpy()

    for factor in (1, -2):
        weight *= factor
        with ThreadPoolExecutor(4) as threads:
            for found in threads.map(lambda _: predictor.predict(data), range(8)):
                np.testing.assert_array_equal(found, expected())
