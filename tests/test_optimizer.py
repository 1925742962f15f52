"""Optimizers: MXNet's updates and states, in eager updates and inside of training steps; rates, decays, states."""

import json
from pathlib import Path

import numpy as np
import pytest

import minimx as mx
from minimx.optimizer.optimizer import flat
from minimx.optimizer.program import program_of

GOLDEN = Path(__file__).parent / "golden/optim"
INDEX = json.loads((GOLDEN / "index.json").read_text())
INPUTS = np.load(GOLDEN / "inputs.npz")
NAMES = INDEX["names"]
CASES = INDEX["cases"]
RECORDED = [name for name, case in CASES.items() if "error_in_real_mxnet" not in case]


def made(case, **more):
    options = {**case["kwargs"], **more}
    if "lr_scheduler" in case:
        options["lr_scheduler"] = eval(case["lr_scheduler"].split(";")[0], vars(mx.lr_scheduler))
    if "lr_mult" in case:
        factors = {n: {k: case[k][n] for k in ("lr_mult", "wd_mult") if n in case[k]} for n in NAMES}
        options["sym"] = mx.sym.Group([mx.sym.Variable(n, **factors[n]) for n in NAMES])
    return mx.optimizer.create(case["optimizer"], param_idx2name=dict(enumerate(NAMES)), **options)


def compare(case, got, want, what):
    np.testing.assert_allclose(got.asnumpy(), want, rtol=case["rtol"], atol=case["atol"], err_msg=what)


def compare_states(case, record, states):
    """Every state that MXNet has, in its place."""
    got = {}
    for i, name in enumerate(NAMES):
        parts = states[i] if isinstance(states[i], tuple) else (states[i],)
        got |= {f"state{j}_{name}": part for j, part in enumerate(parts)}
    for key in record.files:
        if key.startswith("state"):
            compare(case, got[key], record[key], key)


@pytest.mark.parametrize("name", RECORDED)
def test_updates(name):
    case, record = CASES[name], np.load(GOLDEN / f"{name}.npz")
    optimizer = made(case)
    updater = mx.optimizer.get_updater(optimizer)
    weights = [mx.nd.array(INPUTS[f"w0_{n}"]) for n in NAMES]
    for t in range(INDEX["steps"]):
        for i, n in enumerate(NAMES):
            updater(i, mx.nd.array(INPUTS[f"g{t}_{n}"]), weights[i])
            compare(case, weights[i], record[f"w{t + 1}_{n}"], f"{n} after step {t + 1}")
    compare_states(case, record, updater.states)
    for i, n in enumerate(NAMES):
        assert optimizer._get_wd(i) == pytest.approx(case["effective_wd"][n])
        assert optimizer._get_lr(i) == pytest.approx(case["effective_lr"][n])


def recorded_gradients():
    """A network whose gradients are the numbers fed into it, and the executor of it at the recorded weights."""
    terms = [mx.sym.sum(mx.sym.Variable(n) * mx.sym.Variable(f"slope_{n}")) for n in NAMES]
    net = mx.sym.MakeLoss(mx.sym.add_n(*terms))
    shapes = {n: INPUTS[f"w0_{n}"].shape for n in NAMES}
    shapes |= {f"slope_{n}": s for n, s in shapes.items()}
    reqs = {n: "write" if n in NAMES else "null" for n in net.list_arguments()}
    executor = net.simple_bind(mx.cpu(), grad_req=reqs, **shapes)
    for n in NAMES:
        executor.arg_dict[n][:] = INPUTS[f"w0_{n}"]
    return executor


@pytest.mark.parametrize("name", RECORDED)
def test_updates_inside_of_a_step(name):
    case, record = CASES[name], np.load(GOLDEN / f"{name}.npz")
    executor = recorded_gradients()
    step = mx.optimizer.OptimizerStep(executor, made(case))
    for t in range(INDEX["steps"]):
        step(**{f"slope_{n}": INPUTS[f"g{t}_{n}"] for n in NAMES})
        for n in NAMES:
            compare(case, executor.arg_dict[n], record[f"w{t + 1}_{n}"], f"{n} after step {t + 1}")
    compare_states(case, record, step.optimizer_states)


def test_a_step_goes_on_from_an_updaters_states():
    case = CASES["adam"]
    executor = recorded_gradients()
    optimizer = made(case)
    updater = mx.optimizer.get_updater(optimizer)
    for i, n in enumerate(NAMES):
        updater(i, mx.nd.array(INPUTS[f"g0_{n}"]), executor.arg_dict[n])
    step = mx.optimizer.OptimizerStep(executor, optimizer)
    step.share_states(updater.states)
    step(**{f"slope_{n}": INPUTS[f"g1_{n}"] for n in NAMES})
    record = np.load(GOLDEN / "adam.npz")
    for n in NAMES:
        compare(case, executor.arg_dict[n], record[f"w2_{n}"], n)


def test_a_step_notices_every_change_of_its_optimizer():
    """Numbers are written again only when something changes, and then always."""

    def moved():
        before = executor.arg_dict[name].asnumpy()
        step(**{f"slope_{n}": np.ones(INPUTS[f"w0_{n}"].shape, np.float32) for n in NAMES})
        return float((before - executor.arg_dict[name].asnumpy()).mean())

    name = NAMES[0]
    executor = recorded_gradients()
    optimizer = mx.optimizer.create("sgd", learning_rate=0.5, param_idx2name=dict(enumerate(NAMES)), wd=0.0)
    step = mx.optimizer.OptimizerStep(executor, optimizer)
    assert moved() == pytest.approx(0.5, rel=1e-5)
    assert moved() == pytest.approx(0.5, rel=1e-5)
    optimizer.set_learning_rate(0.25)
    assert moved() == pytest.approx(0.25, rel=1e-5)
    optimizer.lr_mult[name] = 2.0
    assert moved() == pytest.approx(0.5, rel=1e-5)
    optimizer.rescale_grad = 0.5
    assert moved() == pytest.approx(0.25, rel=1e-5)
    assert optimizer.num_update == 5
    optimizer.lr_scheduler = mx.lr_scheduler.FactorScheduler(1, 0.5, base_lr=1.0)
    first = moved()
    assert moved() == pytest.approx(first / 2, rel=1e-5)


FUSED = [n for n in RECORDED if not n.startswith(("lamb", "lars", "dcasgd"))]


@pytest.mark.parametrize("name", FUSED)
def test_an_update_is_one_pass_and_a_new_rate_needs_no_new_program(name):
    optimizer = made(CASES[name])
    weight, grad = mx.nd.ones((3, 4)), mx.nd.ones((3, 4))
    state = optimizer.create_state(0, weight)
    optimizer.update(0, weight, grad, state)
    program = program_of(optimizer, weight, grad, False)
    assert program.kernels() == ["ewise.float32"]
    optimizer.wd, optimizer.rescale_grad = 0.1, 0.25
    if optimizer.lr_scheduler is None:
        optimizer.set_learning_rate(0.5)
    optimizer.update(0, weight, grad, state)
    assert program_of(optimizer, weight, grad, False) is program


def test_dcasgd_with_momentum_which_mxnet_cannot_run():
    optimizer = mx.optimizer.create("dcasgd", learning_rate=0.1, momentum=0.9, lamda=0.5, wd=0.05)
    weight = mx.nd.array([1.0, -2.0])
    w, mom, previous = weight.asnumpy(), np.zeros(2, "f"), weight.asnumpy()
    state = optimizer.create_state(0, weight)
    for g in (np.array([0.5, 1.0], "f"), np.array([-1.0, 0.25], "f")):
        optimizer.update(0, weight, mx.nd.array(g), state)
        mom = 0.9 * mom - 0.1 * (g + 0.05 * w + 0.5 * g * g * (w - previous))
        previous, w = w, w + mom
        np.testing.assert_allclose(weight.asnumpy(), w, rtol=1e-6)


def test_sgld_is_half_a_step_and_noise():
    mx.random.seed(4)
    optimizer = mx.optimizer.create("sgld", learning_rate=0.04)
    weight = mx.nd.full((100, 100), 2.0)
    optimizer.update(0, weight, mx.nd.ones((100, 100)), None)
    moved = weight.asnumpy() - 2.0
    assert moved.mean() == pytest.approx(-0.02, abs=0.01)
    assert moved.std() == pytest.approx(0.2, rel=0.05)
    again = mx.nd.full((100, 100), 2.0)
    optimizer.update(0, again, mx.nd.ones((100, 100)), None)
    assert (again.asnumpy() != weight.asnumpy()).any()


def test_group_adagrad_has_a_rate_per_row():
    optimizer = mx.optimizer.create("groupadagrad", learning_rate=0.5)
    weight, grad = mx.nd.ones((2, 3)), mx.nd.array([[1, 2, 3], [0, 0, 1]])
    state = optimizer.create_state(0, weight)
    optimizer.update(0, weight, grad, state)
    history = (grad.asnumpy() ** 2).mean(axis=1, keepdims=True)
    np.testing.assert_allclose(state.asnumpy(), history, rtol=1e-6)
    np.testing.assert_allclose(weight.asnumpy(), 1 - 0.5 * grad.asnumpy() / np.sqrt(history + 1e-5), rtol=1e-6)
    optimizer.wd = 0.1
    with pytest.raises(ValueError, match="wd"):
        optimizer.update(0, weight, grad, state)


def test_lars_momentum_follows_the_rate():
    rates = {1: 0.1, 2: 0.05, 3: 0.05}
    optimizer = mx.optimizer.create("lars", learning_rate=0.1, momentum=0.9, param_idx2name={0: "a_bias"})
    weight = mx.nd.ones((2,))
    state = optimizer.create_state(0, weight)
    mom = 0.0
    last = rates[1]
    for t in (1, 2, 3):
        optimizer.set_learning_rate(rates[t])
        optimizer.update(0, weight, mx.nd.ones((2,)), state)
        mom = 0.9 * mom * rates[t] / last - rates[t]
        last = rates[t]
        np.testing.assert_allclose(state.asnumpy(), mom, rtol=1e-6)


def test_lars_leaves_the_rate_where_a_norm_is_zero():
    optimizer = mx.optimizer.create("lars", learning_rate=0.5, eta=0.1, wd=0.2)
    for weight, grad, ratio in (([0.0, 0.0], [3.0, 4.0], 1.0), ([3.0, 4.0], [0.0, 2.0], 0.1 * 5 / (2 + 0.2 * 5))):
        array = mx.nd.array(weight)
        optimizer.update(0, array, mx.nd.array(grad), None)
        want = np.array(weight) - 0.5 * ratio * (np.array(grad) + 0.2 * np.array(weight))
        np.testing.assert_allclose(array.asnumpy(), want, rtol=1e-6)


@pytest.mark.parametrize("strategy", ["power2", "sqrt", "lars"])
def test_lbsgd_collects_gradients_and_warms_up(strategy):
    optimizer = mx.optimizer.create(
        "lbsgd",
        learning_rate=0.1,
        wd=0.2,
        warmup_strategy=strategy,
        batch_scale=2,
        warmup_epochs=2,
        updates_per_epoch=3,
    )
    weight, want = mx.nd.array([3.0, -4.0]), np.array([3.0, -4.0])
    state = optimizer.create_state(0, weight)
    gradients = [np.array([0.5, 1.0]) * k for k in range(1, 9)]
    for n, grad in enumerate(gradients, 1):
        optimizer.update(0, weight, mx.nd.array(grad), state)
        if n % 2 == 0:
            mean = (gradients[n - 2] + grad) / 2
            done = min(n / 6, 1.0)
            factor = {"power2": 1 + done**2, "sqrt": 1 + done**0.5}.get(
                strategy, np.clip(np.sqrt((want @ want) / (mean @ mean + 0.2 * (want @ want))), 0.01, 100)
            )
            want = want - 0.1 * factor * (mean + 0.2 * want)
        np.testing.assert_allclose(weight.asnumpy(), want, rtol=1e-5, err_msg=str(n))


@pytest.mark.parametrize("name", ["sgd", "nag", "adam", "rmsprop", "lamb", "ftrl", "signum", "lars", "adagrad"])
def test_multi_precision_learns_in_a_float32_copy(name):
    options = {"momentum": 0.9} if name in ("sgd", "nag", "lars") else {}
    optimizers = [mx.optimizer.create(name, learning_rate=0.01, wd=0.01, **options, multi_precision=m) for m in (1, 0)]
    half, full = mx.nd.array([[1.0, -2.0, 0.5]], dtype="float16"), mx.nd.array([[1.0, -2.0, 0.5]])
    updaters = [mx.optimizer.get_updater(o) for o in optimizers]
    for t in range(4):
        grad = np.array([[0.5, 0.25, -1.0]]) / (t + 1)
        updaters[0](0, mx.nd.array(grad, dtype="float16"), half)
        updaters[1](0, mx.nd.array(np.float16(grad)), full)
    copy, inner = updaters[0].states[0]
    np.testing.assert_allclose(copy.asnumpy(), full.asnumpy(), rtol=1e-6)
    np.testing.assert_array_equal(half.asnumpy(), copy.asnumpy().astype("float16"))
    assert all(s.dtype == np.float32 for s in flat(inner))


def test_half_precision_without_a_copy():
    optimizer = mx.optimizer.create("adam", learning_rate=0.1)
    weight = mx.nd.array([1.0, 2.0], dtype="float16")
    with pytest.warns(UserWarning, match="multi_precision"):
        state = optimizer.create_state_multi_precision(0, weight)
    optimizer.update_multi_precision(0, weight, mx.nd.array([1.0, -1.0], dtype="float16"), state)
    assert all(s.dtype == np.float16 for s in state)
    np.testing.assert_allclose(weight.asnumpy(), [0.9, 2.1], rtol=1e-3)


def test_float64():
    optimizer = mx.optimizer.create("adam", learning_rate=0.1, rescale_grad=1 / 3, epsilon=1e-14)
    weight = mx.nd.array(np.array([1.0, 2.0]), dtype="float64")
    state = optimizer.create_state(0, weight)
    for _ in range(2):
        optimizer.update(0, weight, mx.nd.array(np.array([1.0, -1.0]), dtype="float64"), state)
    np.testing.assert_allclose(weight.asnumpy(), [0.8, 2.2], rtol=1e-9)


def test_factors_by_name_and_index():
    optimizer = mx.optimizer.create("sgd", learning_rate=1.0, wd=1.0, param_idx2name={0: "a_weight", 1: "a_bias"})
    assert [optimizer._get_wd(i) for i in (0, 1, 2)] == [1.0, 0.0, 1.0]
    optimizer.set_lr_mult({"a_weight": 0.5, 1: 2.0})
    optimizer.set_wd_mult({"a_bias": 3.0})
    assert optimizer._get_lrs([0, 1]) == [0.5, 2.0]
    assert optimizer._get_wds([0, 1]) == [1.0, 3.0]

    class Parameter:
        lr_mult, wd_mult = 4.0, 5.0

    optimizer = mx.optimizer.create("sgd", learning_rate=1.0, wd=1.0, param_dict={0: Parameter})
    assert (optimizer._get_lr(0), optimizer._get_wd(0)) == (4.0, 5.0)


def test_rates():
    optimizer = mx.optimizer.create("sgd", learning_rate=0.5)
    assert optimizer.learning_rate == 0.5
    optimizer.set_learning_rate(0.25)
    assert optimizer.learning_rate == 0.25
    scheduler = mx.lr_scheduler.FactorScheduler(step=1, factor=0.5, base_lr=0.1)
    optimizer = mx.optimizer.create("sgd", lr_scheduler=scheduler)
    assert optimizer.learning_rate == 0.1
    optimizer = mx.optimizer.create("sgd", lr_scheduler=scheduler, learning_rate=0.8, begin_num_update=3)
    optimizer._update_count(0)
    assert optimizer.num_update == 4
    assert optimizer.learning_rate == pytest.approx(0.1)
    with pytest.raises(UserWarning):
        optimizer.set_learning_rate(1.0)


def test_lists_of_parameters():
    optimizer = mx.optimizer.create("adam", learning_rate=0.1)
    updater = mx.optimizer.get_updater(optimizer)
    weights = [mx.nd.ones((2,)), mx.nd.ones((3,))]
    updater([0, 1], [mx.nd.ones((2,)), mx.nd.ones((3,))], weights)
    optimizer.update([0, 1], weights, [mx.nd.ones((2,)), mx.nd.ones((3,))], [updater.states[0], updater.states[1]])
    np.testing.assert_allclose(weights[1].asnumpy(), 0.8, rtol=1e-5)


@pytest.mark.parametrize("with_optimizer", [False, True])
def test_states_travel(with_optimizer):
    def run(updater, weight, steps):
        for _ in range(steps):
            updater(0, mx.nd.array([1.0, -0.5]), weight)
        return weight.asnumpy()

    first = mx.optimizer.get_updater(mx.optimizer.create("adam", learning_rate=0.1))
    weight = mx.nd.ones((2,))
    run(first, weight, 2)
    saved, at = first.get_states(dump_optimizer=with_optimizer), weight.copy()
    second = mx.optimizer.get_updater(mx.optimizer.create("adam", learning_rate=0.1))
    second.set_states(saved)
    if not with_optimizer:
        second.optimizer._index_update_count.update(first.optimizer._index_update_count)
    np.testing.assert_array_equal(run(second, at, 3), run(first, weight, 3))


def test_an_optimizer_of_ones_own():
    @mx.optimizer.register
    class Half(mx.optimizer.Optimizer):
        def create_state(self, index, weight):
            return mx.nd.zeros(weight.shape)

        def update(self, index, weight, grad, state):
            self._update_count(index)
            state += grad
            weight -= grad * (self._get_lr(index) / 2)

    optimizer = mx.optimizer.create("half", learning_rate=1.0, multi_precision=True)
    updater = mx.optimizer.get_updater(optimizer)
    for dtype in ("float32", "float16"):
        weight = mx.nd.ones((2,), dtype=dtype)
        updater(dtype, mx.nd.ones((2,), dtype=dtype), weight)
        np.testing.assert_allclose(weight.asnumpy(), 0.5)
    with pytest.raises(ValueError, match="Half"):
        mx.optimizer.OptimizerStep(recorded_gradients(), optimizer)
    with pytest.raises(NotImplementedError, match="Bare"):
        type("Bare", (mx.optimizer.Optimizer,), {})().update(0, mx.nd.ones(2), mx.nd.ones(2), None)


def test_created_by_name():
    names = (
        "adadelta adagrad adam adamax ccsgd dcasgd ftml ftrl groupadagrad lamb lars lbsgd nadam nag rmsprop sgd sgld"
    )
    for name in [*names.split(), "signum", "test"]:
        optimizer = mx.opt.create(name)
        assert type(optimizer).__name__.lower() == name
        assert isinstance(mx.optimizer.Optimizer.create_optimizer(name.upper()), type(optimizer))
    with pytest.raises(ValueError, match="did you mean adam"):
        mx.optimizer.create("adma")
    with pytest.raises(ValueError, match="warmup_strategy"):
        mx.optimizer.create("lbsgd", warmup_strategy="cubic")


def test_what_does_not_fit_is_refused():
    optimizer = mx.optimizer.create("sgd", momentum=0.9)
    weight = mx.nd.ones((2, 3))
    state = optimizer.create_state(0, weight)
    with pytest.raises(mx.base.ShapeError, match="gradient"):
        optimizer.update(0, weight, mx.nd.ones((3, 2)), state)
    with pytest.raises(mx.base.ShapeError, match="state"):
        optimizer.update(0, weight, weight, mx.nd.ones((3,)))
