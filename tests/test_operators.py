"""The list of MXNet's operators: which are here, and what their parameters are."""

import json
import re
from pathlib import Path

import pytest

from minimx.op import OPERATORS, REGISTRY
from minimx.params import Enum
from minimx.tools import operators
from minimx.tools.operator_reference import reference

LISTED = json.loads((Path(__file__).parent / "golden/symbols/op_registry.json").read_text())
OFFERED = {n: entry["args"] for n, entry in LISTED.items() if n in REGISTRY and "args" in entry}

# Operators that say something else than MXNet about their parameters, on purpose.
OTHERWISE = {
    "slice_axis": "end may be left out",
    "smooth_l1": "scalar may be left out, as the documentation says",
    "_linspace": "takes what mx.sym.linspace writes into files: num and endpoint",
}


def is_input(kind):
    return kind.startswith(("NDArray", "Symbol"))


def test_the_list_is_that_of_mxnet():
    assert operators.public_names() == sorted(LISTED)


def test_the_count_and_the_reasons():
    text = operators.report()
    count, total = map(int, re.match(r"(\d+) of (\d+) public names offered\n", text).groups())
    absent = [n for n in LISTED if n not in REGISTRY]
    assert total == len(LISTED) == 491 and count == total - len(absent)
    assert sorted(n for names in operators.missing().values() for n in names) == sorted(absent)
    assert all(f"    {n}\n" in text + "\n" for n in absent)


def test_everything_is_listed_when_asked_for(capsys):
    operators.main(["--all"])
    lines = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith("    ")]
    assert sorted(lines) == sorted(LISTED)
    with pytest.raises(SystemExit, match="usage"):
        operators.main(["--none"])


def test_aliases_are_the_same_operator():
    for name, entry in LISTED.items():
        if name in REGISTRY and entry.get("alias_of") in REGISTRY:
            assert REGISTRY[name] is REGISTRY[entry["alias_of"]], name


@pytest.mark.parametrize("name", OFFERED)
def test_parameters_are_those_of_mxnet(name):
    """Every parameter of MXNet's is there, with the same default; they come in the same order."""
    op = REGISTRY[name]
    given = [(key, kind) for key, kind in OFFERED[name] if not is_input(kind)]
    known = [key for key, _ in given if key in op.params]
    if name not in OTHERWISE:
        assert known == [key for key, _ in given]
    assert known == [key for key in op.params if key in known], "order"
    for key, kind in given:
        if key not in op.params or name in OTHERWISE:
            continue
        param = op.params[key]
        default = re.search(r"default=(.*)$", kind)
        choices = re.match(r"\{(.*?)\}", kind)
        if default is None:
            assert param.required, f"{key} has the default {param.default}"
        elif default[1].strip("'") in ("None", "[]"):
            assert param.default in (None, ()), key
        else:
            assert param.default == pytest.approx(param.parse(default[1].strip("'"))), key
        if choices and isinstance(param, Enum) and key != "stype":
            assert {c.strip(" '") for c in choices[1].split(",")} - {"None"} <= set(param.choices), key


def test_the_reference_describes_every_operator():
    text = reference()
    for name in OPERATORS:
        assert f"### {name}\n" in text
