"""Metrics: MXNet's values, names, local and global results, and what goes wrong."""

import json
from pathlib import Path

import numpy as np
import pytest

import minimx as mx

GOLDEN = json.loads((Path(__file__).parent / "golden/misc/metrics.json").read_text())
SPECIAL = {
    "Accuracy() same shape": lambda: mx.metric.Accuracy(),
    "Accuracy(axis=1) 3d": lambda: mx.metric.Accuracy(axis=1),
    "MSE() label 1d": lambda: mx.metric.MSE(),
    "Perplexity(ignore_label=-1, 2d label)": lambda: mx.metric.Perplexity(ignore_label=-1),
    "CustomMetric(lambda l,p: abs(l-p).sum())": lambda: mx.metric.CustomMetric(lambda l, p: float(abs(l - p).sum())),
    "np(f) returning (sum, n)": lambda: mx.metric.np(lambda l, p: (float(abs(l - p).sum()), l.shape[0])),
    "empty": lambda: mx.metric.Accuracy(),
}


def made(text):
    return SPECIAL[text]() if text in SPECIAL else eval(text, vars(mx.metric))


def array(numbers):
    return mx.nd.array(np.array(numbers, dtype="float32"))


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda c: c["metric"].replace(" ", ""))
def test_values(case):
    metric = made(case["metric"])
    for batch in case["batches"]:
        metric.update([array(batch["label"])], [array(batch["pred"])])
    for name, value in (metric.get(), metric.get_global()):
        assert name == case["reported_name"]
        assert value == pytest.approx(np.array(case["value"], dtype=float), rel=1e-6, nan_ok=True)
    if case["num_inst"] is not None:
        assert metric.num_inst == case["num_inst"]


@pytest.mark.parametrize("name", GOLDEN["create_names"])
def test_created_by_name(name):
    needed = {"perplexity": {"ignore_label": None}}.get(name, {"top_k": 2} if name.startswith("top") else {})
    metric = mx.metric.create(name, **needed)
    assert type(metric).__name__ == GOLDEN["create_names"][name]
    assert type(mx.metric.create(name.upper(), **needed)) is type(metric)


LABELS = [np.array([0, 1, 1, 0], "f"), np.array([1, 1, 0], "f")]
SCORES = [
    np.array([[0.7, 0.3], [0.4, 0.6], [0.8, 0.2], [0.1, 0.9]], "f"),
    np.array([[0.3, 0.7], [0.6, 0.4], [0.9, 0.1]], "f"),
]


@pytest.mark.parametrize(
    "make",
    [
        mx.metric.Accuracy,
        lambda: mx.metric.TopKAccuracy(top_k=2),
        mx.metric.F1,
        lambda: mx.metric.F1(average="micro"),
        mx.metric.MCC,
        lambda: mx.metric.MCC(average="micro"),
        mx.metric.PCC,
        mx.metric.CrossEntropy,
        lambda: mx.metric.Perplexity(None),
        lambda: mx.metric.create(["acc", "ce"]),
        mx.metric.Loss,
    ],
)
def test_local_results_begin_again_and_global_ones_go_on(make):
    both, second, metric = make(), make(), make()
    for label, scores in zip(LABELS, SCORES, strict=True):
        metric.reset_local()
        metric.update([array(label)], [array(scores)])
        both.update([array(label)], [array(scores)])
    second.update([array(LABELS[1])], [array(SCORES[1])])
    assert metric.get() == second.get()
    assert metric.get_global() == both.get_global() == both.get()
    metric.reset()
    assert np.isnan(metric.get_global()[1]).all()


@pytest.mark.parametrize("average", ["macro", "micro"])
def test_local_pearson(average):
    generator = np.random.default_rng(0)
    batches = [(generator.normal(size=(5, 2)), generator.normal(size=(5, 2))) for _ in range(3)]
    metric, second = mx.metric.PearsonCorrelation(average=average), mx.metric.PearsonCorrelation(average=average)
    for label, pred in batches:
        metric.reset_local()
        metric.update([array(label)], [array(pred)])
    second.update([array(batches[-1][0])], [array(batches[-1][1])])
    assert metric.get() == second.get()
    if average == "micro":
        pooled = np.corrcoef(*(np.concatenate([b[i].ravel() for b in batches]) for i in (0, 1)))[0, 1]
        assert metric.get_global()[1] == pytest.approx(pooled, rel=1e-5)


def test_a_metric_without_global_sums_reports_its_local_result():
    class Ones(mx.metric.EvalMetric):
        def update(self, labels, preds):
            self.sum_metric += 2.0
            self.num_inst += 1

    metric = Ones("ones")
    metric.update(None, None)
    assert metric.get_global() == ("ones", 2.0)
    assert metric.get_name_value() == [("ones", 2.0)]
    assert str(metric) == "EvalMetric: {'ones': 2.0}"


def test_made_again_from_its_config():
    metric = mx.metric.create("top_k_acc", top_k=3, name="best", label_names=["a"])
    assert mx.metric.create(metric.get_config()).get_config() == metric.get_config()
    several = mx.metric.create(["acc", metric])
    again = mx.metric.create(several.get_config())
    assert again.get()[0] == several.get()[0] == ["accuracy", "best_3"]
    with pytest.raises(NotImplementedError):
        mx.metric.np(lambda l, p: 0.0).get_config()


def test_arrays_by_name():
    labels = {"a": array([1, 0]), "b": array([0, 0])}
    preds = {"x_output": array([[0.1, 0.9], [0.2, 0.8]]), "y_output": array([[0.9, 0.1], [0.8, 0.2]])}
    chosen = mx.metric.Accuracy(output_names=["y_output"], label_names=["b"])
    chosen.update_dict(labels, preds)
    assert chosen.get()[1] == 1.0
    every = mx.metric.CompositeEvalMetric(["acc"])
    every.update_dict(labels, preds)
    assert every.get() == (["accuracy"], [0.75])
    assert every.get_metric(0).num_inst == 4
    with pytest.raises(ValueError, match="out of range"):
        every.get_metric(1)


def test_functions():
    def wrong(label, pred):
        return int((label != pred.argmax(axis=1)).sum()), len(label)

    metric = mx.metric.create(wrong)
    metric.update([array(LABELS[0])], [array(SCORES[0])])
    assert metric.get() == ("wrong", 0.5)
    extra = mx.metric.np(wrong, name="errors", allow_extra_outputs=True)
    extra.update([array(LABELS[0])], [array(SCORES[0]), array([0.0])])
    assert extra.get() == ("errors", 0.5)


def test_registered():
    @mx.metric.register
    class Nothing(mx.metric.EvalMetric):
        def __init__(self):
            super().__init__("nothing")

    assert type(mx.metric.create("nothing")) is Nothing
    with pytest.raises(ValueError, match="did you mean accuracy"):
        mx.metric.create("acuracy")
    with pytest.raises(TypeError, match="EvalMetric"):
        mx.metric.register(int)


def test_made_from_texts():
    assert mx.metric.create('{"metric": "acc", "name": "hits"}').name == "hits"
    assert mx.metric.create('["top_k_acc", {"top_k": 4}]').top_k == 4
    with pytest.raises(ValueError, match="already"):
        mx.metric.create(mx.metric.Accuracy(), name="hits")
    with pytest.raises(TypeError, match="name"):
        mx.metric.create(3)
    known = mx.registry.get_registry(mx.metric.EvalMetric)
    assert known["acc"] is known["accuracy"] is mx.metric.Accuracy


@pytest.mark.parametrize(
    "metric, label, pred",
    [
        (mx.metric.Accuracy(), [0, 1, 2], [[0.1, 0.9]]),
        (mx.metric.F1(), [0, 1, 2], [[0.1, 0.9]] * 3),
        (mx.metric.MSE(), [1, 2, 3], [[1, 2], [1, 2], [1, 2]]),
        (mx.metric.CrossEntropy(), [1, 0, 1], [[0.1, 0.9]]),
        (mx.metric.Perplexity(None), [1, 0, 1], [[0.1, 0.9]]),
        (mx.metric.TopKAccuracy(top_k=2), [1, 0, 1], [[0.1, 0.9]]),
    ],
)
def test_shapes_that_do_not_fit(metric, label, pred):
    with pytest.raises(ValueError):
        metric.update([array(label)], [array(pred)])
    with pytest.raises(ValueError, match="labels 2 .* predictions 1"):
        metric.update([array(label)] * 2, [array(pred)])


def test_only_sensible_options():
    with pytest.raises(ValueError, match="top_k"):
        mx.metric.TopKAccuracy()
    for kind in (mx.metric.F1, mx.metric.MCC, mx.metric.PearsonCorrelation):
        with pytest.raises(ValueError, match="average"):
            kind(average="mean")
