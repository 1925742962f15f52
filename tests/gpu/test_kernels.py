"""Every kernel of the emulated gpu gives what the CPU's kernel of the same name gives, whatever order threads run in."""

import cases
import pytest
from running import Running, differentiable, inputs_of

import minimx as mx
from minimx import _core
from minimx.base import FLOATS

from .kernel_cases import all_cases

CASES = list(all_cases())
ORDERS = ("ascending", "descending", "shuffled")


@pytest.fixture(params=ORDERS)
def order(request, monkeypatch):
    monkeypatch.setenv("MINIMX_EMULATE_ORDER", request.param)
    return request.param


def families():
    return sorted({case.kernel.split(".")[0] for case in CASES})


@pytest.mark.parametrize("kernel", families())
def test_agrees_with_the_cpu(kernel, order, gpu):
    for case in CASES:
        if case.kernel.split(".")[0] != kernel:
            continue
        for got, want in zip(case.run(gpu), case.run(_core.device("cpu", 0)), strict=True):
            error = case.error(got, want)
            assert error <= 1, f"{case.kernel}, {case.label}: {error:.1f} times the tolerance"


def test_every_kernel_is_run(gpu):
    missing = set(gpu.kernels()) - {case.kernel for case in CASES}
    if missing:  # the sweep over operators may run it
        missing -= kernels_of_operators()
    assert not missing


def kernels_of_operators():
    found = set()
    for case in cases.all_cases():
        for dtype in case.dtypes:
            inputs = inputs_of(case, dtype)
            names = differentiable(case, inputs) if dtype in FLOATS else []
            executor = Running(case.op, case.params, inputs, names, ctx=mx.gpu(0)).executor
            executor.forward(is_train=bool(names))
            found |= {call.kernel for compiled in executor._programs.values() for call in compiled.lowered.calls}
    return found


def test_every_kernel_is_on_the_cpu_with_the_same_arguments(gpu):
    cpu = _core.device("cpu", 0)
    for name in gpu.kernels():
        assert gpu.kernel_args(name) == cpu.kernel_args(name)
