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


def test_zipfian_classes():
    true = mx.nd.array([3, 0])
    drawn, expected_true, expected_drawn = mx.nd.contrib.rand_zipfian(true, N, 50)
    assert drawn.dtype == np.int64 and drawn.shape == (N,)
    classes = drawn.asnumpy()
    assert classes.min() == 0 and classes.max() == 49
    chances = np.log(np.arange(2, 52) / np.arange(1, 51)) / np.log(51)
    np.testing.assert_allclose(expected_true.asnumpy(), N * chances[[3, 0]], rtol=1e-12)
    np.testing.assert_allclose(expected_drawn.asnumpy(), N * chances[classes], rtol=1e-12)
    counts = np.bincount(classes, minlength=50)
    assert np.all(np.abs(counts - N * chances) < 5 * np.sqrt(N * chances))


LIKE = [
    ("_random_uniform_like", {"low": -1.0, "high": 4.0}, stats.uniform(-1, 5)),
    ("_random_normal_like", {"loc": 2.0, "scale": 0.5}, stats.norm(2, 0.5)),
    ("_random_exponential_like", {"lam": 4.0}, stats.expon(scale=0.25)),
    ("_random_gamma_like", {"alpha": 3.0, "beta": 0.5}, stats.gamma(3, scale=0.5)),
]


@pytest.mark.parametrize("op, params, distribution", LIKE)
def test_like_is_the_same_distribution(op, params, distribution):
    x = getattr(mx.nd._internal, op)(mx.nd.zeros((N,)), **params).asnumpy()
    assert stats.kstest(x, distribution.cdf).pvalue > 1e-3


SAMPLED = [
    ("sample_exponential", [0.5, 4.0], [], lambda lam: stats.expon(scale=1 / lam)),
    ("sample_gamma", [0.4, 3.0], [2.0, 0.5], lambda a, b: stats.gamma(a, scale=b)),
    ("sample_uniform", [-1.0, 2.0], [1.0, 2.5], lambda a, b: stats.uniform(a, b - a)),
    ("sample_normal", [-1.0, 2.0], [1.0, 2.5], stats.norm),
]


@pytest.mark.parametrize("op, first, second, distribution", SAMPLED)
def test_distributions_with_parameters_as_arrays(op, first, second, distribution):
    x = getattr(mx.nd, op)(*(mx.nd.array(v) for v in (first, second) if v), shape=(4000,)).asnumpy()
    for i, row in enumerate(x):
        parameters = [v[i] for v in (first, second) if v]
        assert stats.kstest(row, distribution(*parameters).cdf).pvalue > 1e-3


COUNTS = [
    ("sample_negative_binomial", [3.0, 2.0], [0.4, 0.7], stats.nbinom),
    ("sample_generalized_negative_binomial", [2.0, 5.0], [0.5, 0.2], lambda m, a: stats.nbinom(1 / a, 1 / (m * a + 1))),
    ("sample_poisson", [0.7, 9.0], [], stats.poisson),
]


@pytest.mark.parametrize("op, first, second, distribution", COUNTS)
def test_counts_with_parameters_as_arrays(op, first, second, distribution):
    x = getattr(mx.nd, op)(*(mx.nd.array(v) for v in (first, second) if v), shape=(N,)).asnumpy()
    for i, row in enumerate(x):
        found = distribution(*(v[i] for v in (first, second) if v))
        for value in range(12):
            p = found.cdf(value)
            assert abs((row <= value).mean() - p) <= 4.5 * np.sqrt(p * (1 - p) / N)


def test_streams_do_not_depend_on_threads():
    """Everything that is drawn, drawn again with another number of threads."""

    def everything():
        _core.seed(3)
        mean = mx.nd.array([0.5, 4.0])
        shuffled = mx.nd.random.shuffle(mx.nd.arange(3000))
        chosen = mx.nd.random.multinomial(mx.nd.softmax(mx.nd.arange(7)), shape=(5000,))
        drawn = [drawn_array(op, **params) for op, params, _ in (*CONTINUOUS, *DISCRETE)]
        return [*drawn, mx.nd.sample_poisson(mean, shape=(5000,)), shuffled, chosen]

    def drawn_array(op, **params):
        return getattr(mx.nd._internal, op)(shape=(N,), **params)

    before = _core.thread_count()
    try:
        results = []
        for threads in (before, 1, 3):
            _core.set_thread_count(threads)
            results.append([a.asnumpy() for a in everything()])
    finally:
        _core.set_thread_count(before)
    for first, *others in zip(*results, strict=True):
        for other in others:
            np.testing.assert_array_equal(first, other)
