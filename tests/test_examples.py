"""What the documents and examples show is what happens."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def test_readme_code_runs():
    names = {}
    for block in re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S):
        exec(compile(block, "README.md", "exec"), names)


def test_wrong_input_says_what_the_readme_says():
    import minimx as mx

    with pytest.raises(mx.base.ParameterError, match=r"kernel must be a tuple of integers.*got '3x3'"):
        mx.sym.Convolution(mx.sym.Variable("x"), kernel="3x3", num_filter=1)


def test_demo_trains_saves_and_classifies(tmp_path):
    command = [
        sys.executable,
        str(ROOT / "examples/digits_lenet.py"),
        "--count=1000",
        "--epochs=2",
        f"--out={tmp_path}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    accuracy = float(re.search(r"accuracy on 1000 new digits: ([\d.]+)%", done.stdout).group(1))
    assert accuracy > 85
    assert (tmp_path / "lenet-symbol.json").exists() and (tmp_path / "lenet-0002.params").exists()
    said, truth = re.search(r"says: (.*) - truth: (.*)", done.stdout).groups()
    assert len(said.split(", ")) == len(truth.split(", ")) == 4
