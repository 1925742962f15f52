"""The gradients of the Hawkes likelihood, which the state that comes out does not share in."""

import numpy as np
from cases import Case
from cases.hawkes import INPUTS, process

import minimx as mx


def likelihoods(arrays):
    return process(*arrays)[0]


def test_gradients():
    arrays = Case("_contrib_hawkesll", INPUTS).typed("float64")
    operands = [mx.nd.array(a, dtype=a.dtype) for a in arrays]
    for x in operands[:3]:
        x.attach_grad()
    heads = np.array([1.0, -2.0, 0.5])
    with mx.autograd.record():
        likelihood, _ = mx.nd.contrib.hawkesll(*operands)
    likelihood.backward(mx.nd.array(heads, dtype="float64"))
    for i in range(3):
        for place in np.ndindex(arrays[i].shape):
            both = []
            for step in (1e-5, -1e-5):
                moved = [a.copy() for a in arrays]
                moved[i][place] += step
                both.append(heads @ likelihoods(moved))
            numeric = (both[0] - both[1]) / 2e-5
            assert abs(operands[i].grad.asnumpy()[place] - numeric) < 1e-6 * max(1, abs(numeric))


def test_a_mark_out_of_range_means_the_nearest():
    arrays = Case("_contrib_hawkesll", INPUTS).typed("float64")
    far = [a.copy() for a in arrays]
    far[5][...] = 7
    arrays[5][...] = 1
    results = [mx.nd.contrib.hawkesll(*(mx.nd.array(a, dtype=a.dtype) for a in x))[0].asnumpy() for x in (far, arrays)]
    np.testing.assert_array_equal(*results)
