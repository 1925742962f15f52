"""Random operators: distributions, seeds, masks. The kernels' own tests are in kernels/test_random.py."""

import numpy as np
import pytest
from scipy import stats

import minimx as mx
from minimx import _core

N = 20_000


@pytest.fixture(autouse=True)
def seeded():
    _core.seed(11)


def drawn(op, **params):
    return getattr(mx.nd._internal, op)(shape=(N,), **params).asnumpy()


CONTINUOUS = [
    ("_random_uniform", {"low": -1.0, "high": 4.0}, stats.uniform(-1, 5)),
    ("_random_normal", {"loc": 2.0, "scale": 0.5}, stats.norm(2, 0.5)),
    ("_random_exponential", {"lam": 4.0}, stats.expon(scale=0.25)),
    ("_random_gamma", {"alpha": 3.0, "beta": 0.5}, stats.gamma(3, scale=0.5)),
]
DISCRETE = [
    ("_random_poisson", {"lam": 4.0}, stats.poisson(4)),
    ("_random_negative_binomial", {"k": 3, "p": 0.4}, stats.nbinom(3, 0.4)),
    ("_random_generalized_negative_binomial", {"mu": 2.0, "alpha": 0.5}, stats.nbinom(2, 0.5)),
    ("_random_randint", {"low": -3, "high": 9}, stats.randint(-3, 9)),
]


@pytest.mark.parametrize("op, params, distribution", CONTINUOUS)
def test_continuous(op, params, distribution):
    assert stats.kstest(drawn(op, **params), distribution.cdf).pvalue > 1e-3


@pytest.mark.parametrize("op, params, distribution", DISCRETE)
def test_discrete(op, params, distribution):
    x = drawn(op, **params)
    error = np.sqrt(distribution.var() / N)
    assert abs(x.mean() - distribution.mean()) < 4 * error
    for value in (-1, 0, 2, 5):
        p = distribution.cdf(value)
        assert abs((x <= value).mean() - p) <= 4 * np.sqrt(p * (1 - p) / N)


@pytest.mark.parametrize("op", ["uniform", "normal", "exponential", "gamma"])
def test_like_takes_shape_and_dtype(op):
    data = mx.nd.zeros((30, 40), dtype="float64")
    got = getattr(mx.nd._internal, f"_random_{op}_like")(data)
    assert got.shape == (30, 40) and got.dtype == np.float64
    assert len(np.unique(got.asnumpy())) == 1200


def test_parameters_as_arrays():
    low, high = mx.nd.array([[0, 1], [2, 3]]), mx.nd.array([[1, 3], [5, 7]])
    x = mx.nd.sample_uniform(low, high, shape=(50, 60)).asnumpy()
    assert x.shape == (2, 2, 50, 60)
    for i in np.ndindex(2, 2):
        a, b = low.asnumpy()[i], high.asnumpy()[i]
        assert stats.kstest(x[i].ravel(), stats.uniform(a, b - a).cdf).pvalue > 1e-3
    x = mx.nd.sample_normal(mx.nd.array([-3, 5]), mx.nd.array([1, 0.1]), shape=(4000,)).asnumpy()
    assert stats.kstest(x[0], stats.norm(-3, 1).cdf).pvalue > 1e-3
    assert stats.kstest(x[1], stats.norm(5, 0.1).cdf).pvalue > 1e-3
    x = mx.nd.sample_gamma(mx.nd.array([1, 8]), mx.nd.array([2, 0.5]), shape=(4000,)).asnumpy()
    assert stats.kstest(x[1], stats.gamma(8, scale=0.5).cdf).pvalue > 1e-3
    x = mx.nd.sample_poisson(mx.nd.array([0, 2, 40]), shape=(4000,)).asnumpy()
    np.testing.assert_allclose(x.mean(axis=1), [0, 2, 40], atol=0.4)
    assert mx.nd.sample_exponential(mx.nd.array([2.0])).shape == (1,)


def test_an_empty_range_is_refused():
    with pytest.raises(mx.MXNetError, match="high, 3, must be larger than low, 3"):
        mx.nd.random_randint(low=3, high=3, shape=(2,))


def test_seed_repeats_and_runs_differ():
    first, second = drawn("_random_normal"), drawn("_random_normal")
    assert not np.array_equal(first, second)
    _core.seed(11)
    np.testing.assert_array_equal(drawn("_random_normal"), first)
    _core.seed(12)
    assert not np.array_equal(drawn("_random_normal"), first)


def test_nodes_of_one_graph_differ_and_runs_advance():
    a, b = (mx.sym.random_uniform(shape=(50,), name=n) for n in "ab")
    executor = mx.sym.Group([a, b]).simple_bind(mx.cpu())
    runs = [[o.asnumpy() for o in executor.forward()] for _ in range(2)]
    flat = [x for run in runs for x in run]
    assert len({x.tobytes() for x in flat}) == 4


def test_multinomial():
    p = mx.nd.array([[0.2, 0.0, 0.8], [0.5, 0.5, 0.0]])
    x = mx.nd.sample_multinomial(p, shape=(N,)).asnumpy()
    assert x.dtype == np.int32 and x.shape == (2, N)
    np.testing.assert_allclose([(x == c).mean(axis=1) for c in range(3)], p.asnumpy().T, atol=0.02)
    assert mx.nd.sample_multinomial(p).shape == (2,)


def test_multinomial_gives_the_gradient_of_log_likelihood():
    p = mx.sym.Variable("p")
    drawn, log = mx.sym.sample_multinomial(p, shape=(5,), get_prob=True)
    executor = mx.sym.Group([mx.sym.BlockGrad(drawn), log]).simple_bind(mx.cpu(), p=(2, 3))
    executor.arg_dict["p"][:] = [[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]]
    chosen, logs = (o.asnumpy() for o in executor.forward(is_train=True))
    probabilities = executor.arg_dict["p"].asnumpy()
    np.testing.assert_allclose(logs, np.log(np.take_along_axis(probabilities, chosen.astype(int), 1)), rtol=1e-6)
    heads = np.arange(10.0).reshape(2, 5)
    executor.backward([mx.nd.array(np.zeros((2, 5)), dtype="int32"), mx.nd.array(heads)])
    want = np.zeros((2, 3))
    for row in range(2):
        for i, c in enumerate(chosen[row]):
            want[row, int(c)] += heads[row, i] / probabilities[row, int(c)]
    np.testing.assert_allclose(executor.grad_dict["p"].asnumpy(), want, rtol=1e-5)


def test_shuffle_keeps_rows():
    x = mx.nd.array(np.arange(300).reshape(100, 3))
    got = mx.nd.shuffle(x).asnumpy()
    assert not np.array_equal(got, x.asnumpy())
    np.testing.assert_array_equal(got[np.argsort(got[:, 0])], x.asnumpy())


def dropped(shape, **params):
    net = mx.sym.Dropout(mx.sym.Variable("x"), **params)
    executor = net.simple_bind(mx.cpu(), x=shape)
    executor.arg_dict["x"][:] = 1
    out = executor.forward(is_train=True)[0].asnumpy()
    executor.backward(mx.nd.ones(shape))
    return out, executor.grad_dict["x"].asnumpy(), executor


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout(p):
    out, grad, executor = dropped((100, 200), p=p)
    np.testing.assert_array_equal(out, grad)  # the gradient sees the mask of the forward pass
    assert abs((out == 0).mean() - p) < 4 * np.sqrt(p * (1 - p) / out.size)
    np.testing.assert_allclose(out[out != 0], 1 / (1 - p), rtol=1e-6)
    again = executor.forward(is_train=True)[0].asnumpy()
    assert not np.array_equal(out, again)
    np.testing.assert_array_equal(executor.forward(is_train=False)[0].asnumpy(), np.ones((100, 200)))


def test_dropout_shares_its_mask_along_axes():
    out, grad, _ = dropped((50, 4, 6), p=0.5, axes=(1, 2))
    np.testing.assert_array_equal(out, grad)
    np.testing.assert_array_equal(out, np.broadcast_to(out[:, :1, :1], out.shape))
    assert 5 < (out[:, 0, 0] == 0).sum() < 45


def test_dropout_always():
    net = mx.sym.Dropout(mx.sym.Variable("x"), p=0.5, mode="always")
    executor = net.simple_bind(mx.cpu(), x=(1000,))
    executor.arg_dict["x"][:] = 1
    assert 300 < (executor.forward(is_train=False)[0].asnumpy() == 0).sum() < 700


def test_rrelu_slopes():
    net = mx.sym.LeakyReLU(mx.sym.Variable("x"), act_type="rrelu", lower_bound=0.2, upper_bound=0.6)
    executor = net.simple_bind(mx.cpu(), x=(N,))
    executor.arg_dict["x"][:] = -1
    slopes = -executor.forward(is_train=True)[0].asnumpy()
    assert stats.kstest(slopes, stats.uniform(0.2, 0.4).cdf).pvalue > 1e-3
    executor.backward(mx.nd.ones((N,)))
    np.testing.assert_array_equal(executor.grad_dict["x"].asnumpy(), slopes)
    np.testing.assert_allclose(executor.forward(is_train=False)[0].asnumpy(), -0.4, rtol=1e-6)
