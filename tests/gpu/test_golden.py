"""Operators on the gpu against what MXNet 1.9.1 computed."""

import pytest
from test_golden_ops import CASES, compare

import minimx as mx

ORDERS = ("ascending", "descending", "shuffled")


@pytest.mark.parametrize("name, order", [(name, ORDERS[i % 3]) for i, name in enumerate(CASES)])
def test_golden(name, order, gpu, monkeypatch):
    monkeypatch.setenv("MINIMX_EMULATE_ORDER", order)
    compare(name, mx.gpu(0))
