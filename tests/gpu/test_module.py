"""Modules on gpus do what they do on the host: fused steps, single steps, several devices, loaded states."""

import pytest
from small_training import assert_same, bound, mlp, rows, values

import minimx as mx


def trained(contexts, way, tmp_path):
    module = bound(mlp(norm=True), context=contexts)
    for epoch in range(2):
        for batch in rows():
            module.forward_backward(batch)
            if way == "looked at":
                module.get_outputs()
            module.update()
        if epoch == 0:
            module.save_optimizer_states(str(tmp_path / "states"))
            module.load_optimizer_states(str(tmp_path / "states"))
    return values(module), module.predict(rows()).asnumpy(), module


@pytest.mark.parametrize("way", ["fused", "looked at"])
def test_one_gpu(way, gpu, tmp_path):
    want, predicted, _ = trained([mx.cpu()], "fused", tmp_path)
    got, found, module = trained([mx.gpu(0)], way, tmp_path)
    assert_same(got, want, rtol=1e-4, atol=1e-5)
    assert abs(found - predicted).max() < 1e-4
    states = module._updater.states.values()
    assert all(state.context == mx.gpu(0) for state in states)


@pytest.mark.parametrize("kvstore", ["local", "device"])
def test_two_gpus(kvstore, gpu):
    if mx.context.num_gpus() < 2:
        pytest.skip("one gpu only")
    found = []
    for contexts in ([mx.cpu(0), mx.cpu(1)], [mx.gpu(0), mx.gpu(1)]):
        module = bound(mlp(norm=True), context=contexts)
        module.init_optimizer(kvstore, optimizer_params={"learning_rate": 0.1, "momentum": 0.9}, force_init=True)
        module.fit(rows(), num_epoch=2)
        found.append(values(module))
    assert_same(found[1], found[0], rtol=1e-4, atol=1e-5)
