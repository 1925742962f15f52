"""Module: parameters, checkpoints, rebinding, sharing, fixed parameters and other optimizers."""

import logging
import pickle

import numpy as np
import pytest
from recorded import GOLDEN
from small_training import SGD, X, Y, assert_same, bound, first_values, mlp, rows, run, values

import minimx as mx
from minimx.base import ShapeError


def test_parameters_are_copies_and_can_be_set():
    module = bound()
    args, states = module.get_params()
    before = args["fc1_weight"].asnumpy()
    run(module, "fused", 1)
    np.testing.assert_array_equal(args["fc1_weight"].asnumpy(), before)
    module.set_params(args, states)
    assert_same(values(module), {n: a.asnumpy() for n, a in args.items()})
    with pytest.raises(RuntimeError, match="fc2_bias is not presented"):
        module.set_params({n: a for n, a in args.items() if n != "fc2_bias"}, states)
    module.set_params({"fc2_bias": mx.nd.array([5, 6])}, {}, allow_missing=True)
    assert module.get_params()[0]["fc2_bias"].asnumpy().tolist() == [5, 6]
    np.testing.assert_array_equal(values(module)["fc1_weight"], before)
    with pytest.raises(ValueError, match="no parameter fc9_bias"):
        module.set_params({**args, "fc9_bias": mx.nd.ones(2)}, states)
    module.set_params({**args, "fc9_bias": mx.nd.ones(2)}, states, allow_extra=True)
    with pytest.raises(ShapeError, match=r"fc2_bias has shape \(2,\) in the network, but \(3,\)"):
        module.set_params({**args, "fc2_bias": mx.nd.ones(3)}, states)
    with pytest.warns(UserWarning, match="init_params call ignored"):
        module.init_params()


def test_checkpoints_go_on_where_training_stopped(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    prefix = str(tmp_path / "net")
    one = bound()
    run(one, "fused", 5)
    one.save_checkpoint(prefix, 3, save_optimizer_states=True)
    assert caplog.messages == [
        f'Saved checkpoint to "{prefix}-0003.params"',
        f'Saved optimizer state to "{prefix}-0003.states"',
    ]
    two = mx.mod.Module.load(prefix, 3, load_optimizer_states=True)
    two.bind([("data", (10, 6))], [("softmax_label", (10,))])
    two.init_optimizer(optimizer_params=SGD)
    assert_same(run(two, "fused", 5)[0], run(one, "apart", 5)[0])
    one.save_params(f"{prefix}.params")
    two.load_params(f"{prefix}.params")
    assert_same(values(two), values(one), rtol=0, atol=0)


@pytest.mark.parametrize("names", [False, True])
def test_states_that_mxnet_wrote(tmp_path, names):
    one, two = bound(), bound()
    run(one, "fused", 5)
    # Its arrays pickle like ours, under another module's name; modules on several devices number states by names.
    written = {one._param_names[i] if names else i: a for i, a in one._updater.states.items()}
    text = pickle.dumps(written, protocol=0).replace(b"minimx.ndarray.ndarray", b"mxnet.ndarray.ndarray")
    assert b"mxnet" in text
    (tmp_path / "net.states").write_bytes(text)
    two.set_params(*one.get_params())
    two.load_optimizer_states(str(tmp_path / "net.states"))
    assert_same(run(two, "fused", 5)[0], run(one, "fused", 5)[0])


def test_what_programs_for_mxnet_look_up():
    module = bound(context=[mx.cpu(0), mx.cpu(1)])
    module.forward_backward(next(rows()))
    group = module._exec_group
    assert group.param_names == ["fc1_weight", "fc1_bias", "fc2_weight", "fc2_bias"]
    for arrays in (group.param_arrays, group.grad_arrays):
        assert [[a.shape for a in per_device] for per_device in arrays] == [
            [s] * 2 for s in ((8, 6), (8,), (2, 8), (2,))
        ]
    assert group.aux_arrays == []
    for grads in group.grad_arrays:
        for grad in grads:
            grad[:] = 0
    before = values(module)
    module.init_optimizer(optimizer_params={"learning_rate": 1.0}, force_init=True)
    module.update()
    assert_same(values(module), before, rtol=0, atol=0)


def test_a_checkpoint_of_mxnet(tmp_path):
    module = mx.mod.Module.load(str(GOLDEN / "params/module"), 3)
    saved = mx.nd.load(str(GOLDEN / "params/module-0003.params"))
    assert {f"arg:{n}" for n in module.get_params()[0]} | {f"aux:{n}" for n in module.get_params()[1]} == set(saved)
    prefix = str(tmp_path / "again")
    mx.model.save_checkpoint(prefix, 3, module.symbol, *module.get_params())
    for end in ("symbol.json", "0003.params"):
        assert (tmp_path / f"again-{end}").read_bytes() == (GOLDEN / f"params/module-{end}").read_bytes()


def test_a_checkpoint_that_lacks_something(tmp_path):
    prefix = str(tmp_path / "net")
    args, states = first_values(mlp())
    del args["fc2_bias"]
    mx.model.save_checkpoint(prefix, 1, mlp(), args, states)
    with pytest.raises(ValueError, match="the network wants fc2_bias, which is not among its loaded parameters"):
        mx.mod.Module.load(prefix, 1).bind([("data", (10, 6))])


def test_rebinding_keeps_what_was_learned(caplog):
    module = bound()
    run(module, "fused", 5)
    before = values(module)
    module.bind([("data", (4, 6))], [("softmax_label", (4,))])
    assert caplog.messages == ["Already bound, ignoring bind()"]
    module.bind([("data", (4, 6))], [("softmax_label", (4,))], force_rebind=True)
    assert module.data_shapes[0].shape == (4, 6)
    assert_same(values(module), before, rtol=0, atol=0)
    other = bound()
    run(other, "fused", 5)
    assert_same(run(module, "fused", 2)[0], run(other, "fused", 2)[0])  # with the momenta, too


def test_modules_share_parameters():
    one = bound()
    two = mx.mod.Module(mlp())
    two.bind([("data", (5, 6))], [("softmax_label", (5,))], shared_module=one)
    assert two.params_initialized and two.optimizer_initialized
    batch = mx.io.DataBatch([mx.nd.array(X[:5])], [mx.nd.array(Y[:5])])
    two.forward_backward(batch)
    two.update()
    assert_same(values(one), values(two), rtol=0, atol=0)
    run(one, "fused", 3)
    assert_same(values(one), values(two), rtol=0, atol=0)
    three = bound()
    three.borrow_optimizer(one)
    assert three._updater is one._updater


@pytest.mark.parametrize("pattern", ["fc1_weight", "fc1_*", "fc1_(weight|bias)", "fc.*_weight"])
def test_fixed_parameters(pattern):
    module = bound(fixed_param_names=[pattern])
    before = values(module)
    run(module, "fused", 2)
    run(module, "apart", 2)
    same = {n for n, a in values(module).items() if np.array_equal(a, before[n])}
    assert (
        same
        == {
            "fc1_weight": {"fc1_weight"},
            "fc1_*": {"fc1_weight", "fc1_bias"},
            "fc1_(weight|bias)": {"fc1_weight", "fc1_bias"},
            "fc.*_weight": {"fc1_weight", "fc2_weight"},
        }[pattern]
    )


def test_monitors_see_every_step():
    module = bound()
    monitor = mx.mon.Monitor(2, pattern="fc1_(output|weight)")
    batches = list(rows())
    seen = []
    module.install_monitor(monitor)
    for batch in batches[:4]:
        monitor.tic()
        module.forward_backward(batch)
        module.update()
        seen.append(sorted(name for _, name, _ in monitor.toc()))
    assert seen == [["fc1_output", "fc1_weight"], []] * 2


def test_another_optimizer():
    module = bound()
    module.init_optimizer(optimizer="adam")  # ignored, with a warning in the log
    assert type(module._optimizer).__name__ == "SGD"
    run(module, "fused", 1)
    module.init_optimizer(optimizer="adam", force_init=True)
    assert module._optimizer.rescale_grad == 0.1
    other = bound(optimizer="adam", params={"learning_rate": 0.01})
    other.set_params(*module.get_params())
    assert_same(run(module, "fused", 3)[0], run(other, "apart", 3)[0])
    module.init_optimizer(optimizer=module._optimizer, force_init=True)  # the same one, but without states
    assert np.isfinite(run(module, "fused", 1)[1]).all()
    own = mx.optimizer.SGD(learning_rate=0.1)
    with pytest.warns(UserWarning, match=r"rescale_grad is not normalized.*1.0 vs. 0.1"):
        module.init_optimizer(optimizer=own, force_init=True)
    assert own.idx2name == dict(enumerate(["fc1_weight", "fc1_bias", "fc2_weight", "fc2_bias"]))


def test_an_optimizer_that_works_on_arrays():
    class Own(mx.optimizer.Optimizer):
        def create_state(self, index, weight):
            return mx.nd.zeros(weight.shape)

        def update(self, index, weight, grad, state):
            state += grad * grad
            weight -= 0.1 * grad / (state.sqrt() + 1)

    one, two = (bound(optimizer=Own(rescale_grad=0.1)) for _ in range(2))
    assert_same(run(one, "fused")[0], run(two, "apart")[0])
    assert not np.allclose(values(one)["fc1_weight"], first_values(mlp())[0]["fc1_weight"].asnumpy())
