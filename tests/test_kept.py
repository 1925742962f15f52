"""Packed weights last from one inference run to the next, and are made anew when the weights change, however that happens."""

import numpy as np
import pytest

import minimx as mx


def conv(name, x):
    return mx.sym.Convolution(x, kernel=(3, 3), pad=(1, 1), num_filter=32, no_bias=True, name=name)


@pytest.fixture
def executor():
    symbol = conv("b", conv("a", mx.sym.Variable("data")))
    executor = symbol.simple_bind(mx.cpu(), grad_req="null", data=(1, 16, 8, 8))
    random = np.random.default_rng(3)
    for value in executor.arg_dict.values():
        value[:] = random.normal(size=value.shape)
    return executor


def expected(executor):
    """The same from a program that has seen nothing before."""
    fresh = executor._symbol.bind(mx.cpu(), {n: a.copy() for n, a in executor.arg_dict.items()}, grad_req="null")
    return fresh.forward()[0].asnumpy()


def assign(weight):
    weight[:] = 2


def assign_part(weight):
    weight[3] = 7.0


def add_in_place(weight):
    weight += 1


def update(weight):
    mx.nd.sgd_update(weight, mx.nd.ones(weight.shape), lr=0.5, out=weight)


def copy_to(weight):
    mx.nd.ones(weight.shape).copyto(weight)


def through_numpy(weight):
    np.from_dlpack(weight)[...] = 3


def sorted_in_place(weight):
    mx.nd.random.normal(shape=weight.shape, out=weight)


CHANGES = [assign, assign_part, add_in_place, update, copy_to, through_numpy, sorted_in_place]


@pytest.mark.parametrize("change", CHANGES)
def test_changes_are_seen(executor, change):
    before = executor.forward()[0].asnumpy()
    np.testing.assert_array_equal(executor.forward()[0].asnumpy(), before)
    change(executor.arg_dict["a_weight"])
    after = executor.forward()[0].asnumpy()
    assert not np.array_equal(after, before)
    np.testing.assert_array_equal(after, expected(executor))


def test_changes_through_a_borrowed_view_are_seen_for_ever(executor):
    view = np.asarray(np.from_dlpack(executor.arg_dict["b_weight"]))
    for value in (1, 2, 3):
        view[...] = value
        np.testing.assert_array_equal(executor.forward()[0].asnumpy(), expected(executor))


def test_weights_that_an_executor_of_their_own_trains_are_seen(executor):
    executor.forward()
    symbol = executor._symbol
    trainer = symbol.bind(mx.cpu(), executor.arg_dict, {"a_weight": mx.nd.zeros((32, 16, 3, 3))})
    step = mx.TrainStep(trainer, lambda step, name, weight, grad: weight - grad)
    step(data=np.ones((1, 16, 8, 8), "float32"))
    np.testing.assert_array_equal(executor.forward()[0].asnumpy(), expected(executor))


def test_packing_runs_once(executor):
    executor.forward()
    compiled = executor._programs[False]
    kept = [i for i, call in enumerate(compiled.lowered.calls) if call.kept]
    assert len(kept) == 2
    for i in kept:  # what lies there now would be overwritten by a run
        address = compiled.program.address(compiled.slots[compiled.lowered.calls[i].writes[0].bound])
        assert address
    before = executor.forward()[0].asnumpy()
    executor.arg_dict["data"][:] = 0
    assert not executor.forward()[0].asnumpy().any()
    assert before.any()
