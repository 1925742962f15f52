"""What every operator owes: cases in which each parameter takes several values, and kernels that exist."""

import re
from pathlib import Path

import pytest
from cases import all_cases
from running import Running, differentiable, inputs_of

from minimx import _core, ops
from minimx.op import OPERATORS, find
from minimx.params import Enum

CASES = all_cases()
# What only another operator can make has no case of its own; operators with sub-graphs have test_control_flow.py.
WITH_SUBGRAPHS = {"_foreach", "_while_loop", "_cond"}
MADE_BY_OTHERS = {"_backward_Custom", "_loop", "_loop_grad", "_choice", "_choice_grad", *WITH_SUBGRAPHS}
FOR_ARRAYS = {"_contrib_boolean_mask"}  # what no graph can hold
over_operators = pytest.mark.parametrize("name", [n for n in OPERATORS if n not in MADE_BY_OTHERS | FOR_ARRAYS])

# Values that a case cannot have: take refuses "raise", and a range that is inferred needs a neighbour.
WITHOUT_A_CASE = {("take", "mode"): {"raise"}, ("_arange", "infer_range"): {True}}
ACCEPTED = "accepted"  # how the documentation of parameters begins that are there for old programs only


# Kernels that no operator runs.
FOR_BENCHMARKS = {"peak"}
# Kernels of the pipeline that reads images: tests/test_image*.py.
FOR_IMAGES = {"image_row"}
# Kernels that only chains of operators run, or larger images than cases have: tests/test_layout.py.
FOR_CHAINS = {"pool_last_forward", "pool_last_backward"}
FOR_CHAINS |= {f"conv_winograd_{what}" for what in ("weights", "turned", "forward", "data_gradient", "weight_gradient")}


def cases_of(name):
    return [c for c in CASES if find(c.op).name == name]


@over_operators
def test_has_a_case(name):
    assert cases_of(name), f"no file of tests/cases has a case of {name}"


@over_operators
def test_every_parameter_takes_several_values(name):
    op = OPERATORS[name]
    cases = [op.parse(dict(c.params), count=len(c.inputs)) for c in cases_of(name)]
    for key, param in op.params.items():
        values = {getattr(p, key) for p in cases} | WITHOUT_A_CASE.get((name, key), set())
        if param.doc.startswith(ACCEPTED):
            continue
        assert len(values) >= 2, f"all cases have {key} = {values}"
        if isinstance(param, Enum):
            missing = set(param.choices) - values
            assert not missing, f"no case has {key} = {' or '.join(sorted(missing))}"


@over_operators
def test_defaults_are_allowed_values(name):
    for key, param in OPERATORS[name].params.items():
        if not param.required and param.default is not None:
            assert param.parse(param.default) == param.default, key
            assert param.parse(str(param.default)) == param.default, f"{key} from a file"


def test_every_kernel_has_an_operator():
    used = FOR_BENCHMARKS | FOR_IMAGES | FOR_CHAINS
    for case in CASES:
        for dtype in case.dtypes:
            inputs = inputs_of(case, dtype)
            running = Running(case.op, case.params, inputs, differentiable(case, inputs))
            running.forward(True)
            calls = running.executor._programs[True].lowered.calls
            used |= {call.kernel.split(".")[0] for call in calls}
    families = {kernel.split(".")[0] for kernel in _core.device("cpu", 0).kernels()}
    assert not families - used, f"nobody runs {', '.join(sorted(families - used))}"


def test_kernels_that_operators_name_exist():
    families = {kernel.split(".")[0] for kernel in _core.device("cpu", 0).kernels()}
    for file in Path(ops.__file__).parent.glob("*.py"):
        for kernel in re.findall(r'\bemit\(\s*"(\w+)"|\bkernel = "(\w+)"', file.read_text()):
            assert set(kernel) & families, f"{file.name} names the kernel {''.join(kernel)}, which does not exist"
