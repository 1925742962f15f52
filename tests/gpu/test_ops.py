"""The sweep over all operators and their cases on the gpu: outputs and gradients equal the cpu's."""

import pytest
from cases import all_cases

import minimx as mx

from .sweep import operator_error, operator_results

ORDERS = ("ascending", "descending", "shuffled")
CASES = [(case, ORDERS[i % 3]) for i, case in enumerate(all_cases())]


@pytest.mark.parametrize("case, order", CASES, ids=[case.id for case, _ in CASES])
def test_equals_the_cpu(case, order, gpu, monkeypatch):
    monkeypatch.setenv("MINIMX_EMULATE_ORDER", order)
    got = operator_results(case, mx.gpu(0))
    error = operator_error(case, got, operator_results(case, mx.cpu()))
    assert error <= 1, f"{error:.1f} times the tolerance"
