"""Stores: sums over devices, updates of stored values, files, and what there is not."""

import numpy as np
import pytest

import minimx as mx
from minimx.base import MXNetError, ShapeError

SHAPE = (2, 3)


@pytest.fixture(params=["local", "device"])
def store(request):
    made = mx.kv.create(request.param)
    assert (made.type, made.rank, made.num_workers) == (request.param, 0, 1)
    return made


def ones(count=1, value=1.0):
    arrays = [mx.nd.full(SHAPE, value, ctx=mx.cpu(i)) for i in range(count)]
    return arrays if count > 1 else arrays[0]


def test_values_come_back(store):
    first = ones()
    store.init(3, first)
    first[:] = 7  # the store has a copy
    out = mx.nd.zeros(SHAPE)
    store.pull(3, out=out)
    assert (out.asnumpy() == 1).all()
    several = [mx.nd.zeros(SHAPE, ctx=mx.cpu(i)) for i in range(3)]
    store.pull(3, out=several)
    assert all((a.asnumpy() == 1).all() for a in several)


def test_pushes_are_sums(store):
    store.init("w", mx.nd.zeros(SHAPE))
    out = mx.nd.zeros(SHAPE)
    for pushed, want in ((ones(), 1), (ones(4), 4), (ones(2, 3.0), 6)):
        store.push("w", pushed)
        store.pull("w", out)
        assert (out.asnumpy() == want).all()
    arrays = ones(3)
    store.pushpull("w", arrays)
    assert all((a.asnumpy() == 3).all() for a in arrays)
    store.pushpull("w", ones(2), out=out)
    assert (out.asnumpy() == 2).all()


def test_several_keys(store):
    keys = [5, 7, 9]
    store.init(keys, [ones()] * 3)
    store.push(keys, [ones(2), ones(2, 2.0), ones(2, 3.0)])
    outs = [[mx.nd.zeros(SHAPE) for _ in range(2)] for _ in keys]
    store.pull(keys, out=outs)
    assert [[int(a.asnumpy()[0, 0]) for a in pair] for pair in outs] == [[2, 2], [4, 4], [6, 6]]
    store.broadcast(11, ones(), out=outs[0])
    assert outs[0][1].asnumpy()[0, 0] == 1


def test_updater(store):
    def double(key, pushed, stored):
        seen.append(key)
        stored += pushed * 2

    seen = []
    store.init("w", mx.nd.ones(SHAPE))
    store.set_updater(double)
    store.push("w", ones(4))
    out = mx.nd.zeros(SHAPE)
    store.pull("w", out)
    assert seen == ["w"] and (out.asnumpy() == 9).all()


def test_optimizer_and_its_states(store, tmp_path):
    file = str(tmp_path / "states")
    store.init(0, mx.nd.ones(SHAPE))
    with pytest.raises(MXNetError, match=r"before set_optimizer\(\)"):
        store.save_optimizer_states(file)
    store.set_optimizer(mx.optimizer.SGD(learning_rate=0.1, momentum=0.9))
    out = mx.nd.zeros(SHAPE)
    for _ in range(2):
        store.push(0, ones(2))
    store.pull(0, out)
    np.testing.assert_allclose(out.asnumpy(), 1 - 0.2 - 0.38, rtol=1e-6)
    store.save_optimizer_states(file)
    other = mx.kv.create("local")
    other.init(0, out)
    other.set_optimizer(mx.optimizer.SGD(learning_rate=0.1, momentum=0.9))
    other.load_optimizer_states(file)
    for s in (store, other):
        s.push(0, ones(2))
    again = mx.nd.zeros(SHAPE)
    store.pull(0, out)
    other.pull(0, again)
    np.testing.assert_array_equal(out.asnumpy(), again.asnumpy())
    store.save_optimizer_states(file, dump_optimizer=True)
    other.load_optimizer_states(file)
    assert other._own_updater().optimizer.momentum == 0.9


def test_a_store_of_ones_own():
    @mx.kv.KVStoreBase.register
    class Doubling(mx.kv.KVStoreBase):
        calls = 0

        def pushpull(self, key, value, out=None, priority=0):
            Doubling.calls += 1
            total = sum((v.asnumpy() for v in value), np.zeros(value[0].shape, "f"))
            for target in out:
                target[:] = total

    from small_training import SGD, assert_same, first_values, mlp, rows, values

    found = []
    for kvstore in ("doubling", "local", None):
        module = mx.mod.Module(mlp(), context=[mx.cpu(0), mx.cpu(1)])
        module.fit(
            rows(), num_epoch=1, kvstore=kvstore, optimizer_params=SGD, arg_params=first_values(mlp())[0], aux_params={}
        )
        found.append(values(module))
    assert Doubling.calls == 5 * 4
    assert_same(found[0], found[1])
    assert_same(found[2], found[1])


def test_what_goes_wrong(store):
    store.init("w", ones())
    out = mx.nd.zeros((3,))
    for error, message, call in (
        (MXNetError, "has a value already", lambda: store.init("w", ones())),
        (MXNetError, "all integers or all strings", lambda: store.init(3, ones())),
        (MXNetError, r"'v' has no value; call init\(\) first", lambda: store.push("v", ones())),
        (ShapeError, r"'w' has shape \(2, 3\), out has \(3,\)", lambda: store.pull("w", out)),
        (ShapeError, r"but \(3,\) was pushed", lambda: store.push("w", out)),
        (ValueError, "needs out", lambda: store.pull("w")),
        (TypeError, "keys are integers or strings", lambda: store.init(1.5, ones())),
        (TypeError, "values are NDArrays", lambda: store.push("w", 3.0)),
        (ValueError, "2 keys need as many values, got 1", lambda: store.push(["w", "v"], [ones()])),
        (MXNetError, "arrays are dense", lambda: store.row_sparse_pull("w", out=out)),
        (MXNetError, "gradient compression", lambda: store.set_gradient_compression({"type": "2bit"})),
        (TypeError, "an Optimizer is needed", lambda: store.set_optimizer("sgd")),
        (MXNetError, "needs several machines", lambda: mx.kv.create("dist_sync")),
        (MXNetError, "there is no kvstore 'remote'", lambda: mx.kv.create("remote")),
        (TypeError, "a name is needed", lambda: mx.kv.create(3)),
        (MXNetError, "no server", lambda: mx.kv.KVStoreServer(store).run()),
        (MXNetError, "no capability", lambda: store.is_capable("flying")),
    ):
        with pytest.raises(error, match=message):
            call()
    assert store.is_capable(mx.kv.KVStoreBase.OPTIMIZER)
    assert mx.kv.create(store) is store
