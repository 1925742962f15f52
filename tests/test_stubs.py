"""What is written from the operators for readers and editors: type stubs and the operator reference."""

import ast
import shutil
import subprocess
import sys

import pytest

from minimx import ops  # noqa: F401  (registers the operators)
from minimx.api import operator_names
from minimx.op import OPERATORS
from minimx.stubs import PACKAGE, write_stubs
from minimx.tools.operator_reference import main, reference


def functions(text):
    return {n.name: n for n in ast.parse(text).body if isinstance(n, ast.FunctionDef)}


def test_stubs_have_every_operator(tmp_path):
    package, symbol, ndarray = (path.read_text() for path in write_stubs(tmp_path))
    assert "from . import symbol as sym\n" in package
    for text in (symbol, ndarray):
        assert set(operator_names()) <= set(functions(text)) | {"Custom"}
        random = next(n for n in ast.parse(text).body if isinstance(n, ast.ClassDef) and n.name == "random")
        assert set(operator_names("random")) <= {f.name for f in random.body}
    assert {"Variable", "Group", "zeros", "load_json"} <= set(functions(symbol))
    layer = functions(symbol)["FullyConnected"]
    assert [a.arg for a in layer.args.args][:4] == ["data", "weight", "bias", "num_hidden"]
    methods = next(n for n in ast.parse(symbol).body if isinstance(n, ast.ClassDef) and n.name == "Symbol").body
    assert {"exp", "reshape", "list_arguments"} <= {m.name for m in methods if isinstance(m, ast.FunctionDef)}


def test_type_checker_reads_the_stubs(tmp_path):
    """A mistake in a call is found, a right call is not complained about."""
    pytest.importorskip("mypy")
    shutil.copytree(PACKAGE, tmp_path / "minimx", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    write_stubs(tmp_path / "minimx")
    program = "import minimx as mx\nx = mx.sym.Variable('x')\ny = mx.sym.FullyConnected(x, num_hidden=3).exp()\n"
    program += "a: mx.sym.Symbol = y\nb: mx.NDArray = mx.nd.exp(mx.nd.zeros((2, 2)))\nc = mx.nd.add(b, 1)\n"
    (tmp_path / "program.py").write_text(program + "z = mx.sym.FullyConnected(x, num_hiddn=3, num_hidden='a')\n")
    command = ["--ignore-missing-imports", "--follow-imports=silent", "--no-incremental", str(tmp_path / "program.py")]
    done = subprocess.run([sys.executable, "-m", "mypy", *command], cwd=tmp_path, capture_output=True, text=True)
    errors = [line for line in done.stdout.splitlines() if "program.py" in line and "error" in line]
    assert [line.split(":")[1] for line in errors] == ["7"] * len(errors)
    assert errors


def test_operator_reference(tmp_path):
    main([str(tmp_path / "operators.md")])
    text = (tmp_path / "operators.md").read_text()
    assert text == reference()
    for name in OPERATORS:
        assert f"### {name}\n" in text
    assert "| `num_hidden` | an integer of at least 1 | required | number of outputs per sample |" in text
