"""The list of MXNet's operators: which are here. (test_api.py compares their parameters.)"""

import json
import re
from pathlib import Path

import pytest

from minimx.op import OPERATORS, REGISTRY
from minimx.tools import operators
from minimx.tools.operator_reference import reference

LISTED = json.loads((Path(__file__).parent / "golden/symbols/op_registry.json").read_text())


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


def test_the_reference_describes_every_operator():
    text = reference()
    for name in OPERATORS:
        assert f"### {name}\n" in text
