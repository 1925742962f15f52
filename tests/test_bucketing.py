"""BucketingModule: one set of parameters for several lengths, with the numbers of MXNet."""

import logging

import numpy as np
import pytest
from small_training import assert_same, values
from test_module import assert_logged

import minimx as mx
from minimx.base import GraphError

LENGTHS = (3, 5, 7)


def unrolled(steps):
    """A small recurrent network that predicts the next word."""
    words = mx.sym.Embedding(mx.sym.Variable("data"), input_dim=20, output_dim=4, name="embed")
    outs = mx.sym.SliceChannel(words, num_outputs=steps, axis=1, squeeze_axis=True, name="slice")
    weight, bias = mx.sym.Variable("i2h_weight"), mx.sym.Variable("i2h_bias")
    state, found = None, []
    for t in range(steps):
        fresh = mx.sym.FullyConnected(outs[t], weight=weight, bias=bias, num_hidden=5, name=f"t{t}")
        state = mx.sym.Activation(fresh if state is None else fresh + state * 0.5, act_type="tanh", name=f"a{t}")
        found.append(mx.sym.expand_dims(state, axis=1))
    rows = mx.sym.Reshape(mx.sym.Concat(*found, dim=1), shape=(-1, 5))
    scores = mx.sym.FullyConnected(rows, num_hidden=20, name="pred")
    label = mx.sym.Reshape(mx.sym.Variable("softmax_label"), shape=(-1,))
    return mx.sym.SoftmaxOutput(scores, label, name="softmax"), ("data",), ("softmax_label",)


class Sentences(mx.io.DataIter):
    default_bucket_key = 7
    provide_data = [mx.io.DataDesc("data", (4, 7))]
    provide_label = [mx.io.DataDesc("softmax_label", (4, 7))]

    def __init__(self, random):
        super().__init__(4)
        self.batches = [random.randint(0, 20, (4, LENGTHS[i % 3])).astype("f") for i in (0, 2, 1) * 4]
        self.at = 0

    def reset(self):
        self.at = 0

    def next(self):
        if self.at == len(self.batches):
            raise StopIteration
        words = self.batches[self.at]
        self.at += 1
        return mx.io.DataBatch(
            [mx.nd.array(words)],
            [mx.nd.array(np.roll(words, -1, 1))],
            pad=0,
            bucket_key=words.shape[1],
            provide_data=[mx.io.DataDesc("data", words.shape)],
            provide_label=[mx.io.DataDesc("softmax_label", words.shape)],
        )


def prepared():
    """The data and the first parameters, from one stream of numbers."""
    random = np.random.RandomState(0)
    data = Sentences(random)
    shapes = {
        "embed_weight": (20, 4),
        "i2h_weight": (5, 4),
        "i2h_bias": (5,),
        "pred_weight": (20, 5),
        "pred_bias": (20,),
    }
    return data, {n: mx.nd.array(random.randn(*s) * 0.3) for n, s in shapes.items()}


def trained(**options):
    data, args = prepared()
    module = mx.mod.BucketingModule(unrolled, default_bucket_key=7, **options)
    module.fit(
        data,
        data,
        eval_metric=mx.metric.Perplexity(None),
        optimizer_params={"learning_rate": 0.05, "momentum": 0.9},
        arg_params=args,
        aux_params={},
        num_epoch=3,
        batch_end_callback=mx.callback.Speedometer(4, 5),
    )
    return module, data


# What MXNet 1.9.1 logs and finds.
LOG = """Epoch[0] Batch [0-5]\tperplexity=21.338033
Epoch[0] Batch [5-10]\tperplexity=21.197164
Epoch[0] Train-perplexity=21.175614
Epoch[0] Time cost
Epoch[0] Validation-perplexity=19.264096
Epoch[1] Batch [0-5]\tperplexity=19.518893
Epoch[1] Batch [5-10]\tperplexity=18.857913
Epoch[1] Train-perplexity=19.310279
Epoch[1] Time cost
Epoch[1] Validation-perplexity=18.650401
Epoch[2] Batch [0-5]\tperplexity=19.197899
Epoch[2] Batch [5-10]\tperplexity=17.990765
Epoch[2] Train-perplexity=18.670796
Epoch[2] Time cost
Epoch[2] Validation-perplexity=17.654463"""
FOUND = {
    "embed_weight": [0.35162523, 0.77023816, 0.4768668, 0.39031005],
    "i2h_bias": [0.02253994, -0.29585618, -0.09321412, -0.05488038],
    "i2h_weight": [-0.44551173, -0.43007714, -0.40220925, -0.28083542],
    "pred_bias": [0.1677827, -0.21836011, 0.04897007, 0.5349595],
    "pred_weight": [0.10768341, -0.25755262, -0.08317149, 0.01246624],
}


@pytest.mark.parametrize("devices", [1, 2])
def test_fit(devices, caplog):
    caplog.set_level(logging.INFO)
    module, _ = trained(context=[mx.cpu(i) for i in range(devices)])
    assert_logged(caplog.messages, LOG)
    assert_same({n: a.reshape(-1)[:4] for n, a in values(module).items()}, FOUND, rtol=1e-4, atol=1e-6)


def test_one_set_of_everything():
    module, _ = trained()
    assert sorted(module._buckets) == list(LENGTHS)
    owner = module._buckets[7]._first.execs[0]
    for other in module._buckets.values():
        executor = other._first.execs[0]
        assert all(executor.arg_dict[n] is owner.arg_dict[n] for n in other._param_names)
        assert executor.arena_owner() is owner.arena_owner()
        assert other._updater is module._default._updater
    assert len(module._default._updater.states) == 5


def test_files(tmp_path):
    prefix = str(tmp_path / "net")
    module, data = trained()
    metric = mx.metric.Perplexity(None)
    want = module.score(data, metric)
    module.save_checkpoint(prefix, 3, save_optimizer_states=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "net-0003.params",
        "net-0003.states",
        *(f"net-{n}-symbol.json" for n in LENGTHS),
        "net.buckets",
    ]
    for given in ({}, {"sym_gen": unrolled, "default_bucket_key": 7}):
        again = mx.mod.BucketingModule.load(prefix, 3, **given)
        again.bind(data.provide_data, data.provide_label)
        assert again.score(data, metric) == want
        again.init_optimizer(optimizer_params={"learning_rate": 0.05, "momentum": 0.9})
        again.load_optimizer_states(f"{prefix}-0003.states")
        assert len(again._default._updater.states) == 5


def test_buckets_are_bound_when_they_come():
    data, args = prepared()
    module = mx.mod.BucketingModule(unrolled, default_bucket_key=7, fixed_param_names=["embed_*"])
    module.bind(data.provide_data, data.provide_label)
    module.init_params(None, args, {})
    module.init_optimizer()
    monitor = mx.mon.Monitor(1, pattern="softmax_output")
    module.install_monitor(monitor)
    assert sorted(module._buckets) == [7]
    for batch, length in zip(data, (3, 7, 5), strict=False):
        monitor.tic()
        module.forward_backward(batch)
        module.update()
        assert [name for _, name, _ in monitor.toc()] == ["softmax_output"]
        assert module.data_shapes[0].shape == (4, length)
        assert module.get_outputs()[0].shape == (4 * length, 20)
        assert module.output_shapes == [("softmax_output", (4 * length, 20))]
    np.testing.assert_array_equal(values(module)["embed_weight"], args["embed_weight"].asnumpy())
    assert not np.array_equal(values(module)["pred_bias"], args["pred_bias"].asnumpy())
    module.switch_bucket(3, None)
    assert module.data_shapes[0].shape == (4, 3)


def test_what_goes_wrong():
    def growing(key):
        net = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=2, name=f"fc{key}")
        return mx.sym.SoftmaxOutput(net, name="softmax"), ("data",), ("softmax_label",)

    module = mx.mod.BucketingModule(growing, default_bucket_key=7)
    module.bind([("data", (4, 7))], [("softmax_label", (4,))])
    module.init_params()
    batch = mx.io.DataBatch([mx.nd.ones((4, 3))], [mx.nd.ones((4,))], bucket_key=3)
    with pytest.raises(ValueError, match="must say its shapes in provide_data"):
        module.forward(batch)
    batch.provide_data, batch.provide_label = [("data", (4, 3))], [("softmax_label", (4,))]
    with pytest.raises(
        GraphError, match="bucket 3 has parameters that the default bucket 7 lacks: fc3_weight, fc3_bias"
    ):
        module.forward(batch)
    with pytest.raises(ValueError, match="default_bucket_key"):
        mx.mod.BucketingModule(growing)
    with pytest.raises(ValueError, match="networks are needed"):
        mx.mod.BucketingModule.load_dict(default_bucket_key=3)
