"""Every kernel of the emulated gpu gives what the CPU's kernel of the same name gives, whatever order threads run in."""

import pytest

from minimx import _core

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


def test_every_kernel_has_a_case(gpu):
    assert set(gpu.kernels()) == {case.kernel for case in CASES}


def test_every_kernel_is_on_the_cpu_with_the_same_arguments(gpu):
    cpu = _core.device("cpu", 0)
    for name in gpu.kernels():
        assert gpu.kernel_args(name) == cpu.kernel_args(name)
