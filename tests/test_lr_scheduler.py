"""Learning rate schedulers: MXNet's series, what is logged, what is refused."""

import json
import logging
from pathlib import Path

import pytest

import minimx as mx
from minimx import lr_scheduler

GOLDEN = json.loads((Path(__file__).parent / "golden/misc/lr_scheduler.json").read_text())


@pytest.mark.parametrize("case", GOLDEN, ids=lambda c: c["scheduler"].replace(" ", ""))
def test_series(case):
    scheduler = eval(case["scheduler"], vars(lr_scheduler))
    assert [scheduler(n) for n in case["num_update"]] == pytest.approx(case["lr"], rel=1e-9)


def test_changes_are_logged(caplog):
    scheduler = mx.lr_scheduler.FactorScheduler(step=1, factor=0.1, stop_factor_lr=0.05, base_lr=1.0)
    with caplog.at_level(logging.INFO):
        scheduler(2)
        scheduler(3)
    assert [r.getMessage() for r in caplog.records] == [
        "Update[2]: Change learning rate to 1.00000e-01",
        "Update[3]: now learning rate arrived at 5.00000e-02, will not change in the future",
    ]


@pytest.mark.parametrize(
    "make",
    [
        lambda: mx.lr_scheduler.FactorScheduler(step=0),
        lambda: mx.lr_scheduler.FactorScheduler(step=1, factor=1.5),
        lambda: mx.lr_scheduler.MultiFactorScheduler(step=[3, 3]),
        lambda: mx.lr_scheduler.MultiFactorScheduler(step=[]),
        lambda: mx.lr_scheduler.PolyScheduler(max_update=0),
        lambda: mx.lr_scheduler.CosineScheduler(max_update=3, warmup_steps=3),
        lambda: mx.lr_scheduler.LRScheduler(warmup_steps=-1),
        lambda: mx.lr_scheduler.LRScheduler(base_lr=0.1, warmup_begin_lr=0.2),
        lambda: mx.lr_scheduler.LRScheduler(warmup_mode="cubic"),
    ],
)
def test_refused(make):
    with pytest.raises(ValueError):
        make()


def test_a_scheduler_without_a_rate_says_so():
    with pytest.raises(NotImplementedError, match="LRScheduler"):
        mx.lr_scheduler.LRScheduler()(0)
