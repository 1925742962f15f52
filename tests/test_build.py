"""What must hold for the built library, whatever the kernels compute."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minimx import _core

ROOT = Path(__file__).parent.parent
OBJECTS = [
    path
    for level in ("baseline", "avx2", "avx512", "avx512bf16", "wide", "neon")
    for path in (ROOT / "build").rglob(f"*.{level}.o")
]


@pytest.mark.skipif(not OBJECTS or not shutil.which("nm"), reason="needs the object files of a developer build, and nm")
def test_kernel_objects_share_nothing():
    """A weak symbol in an AVX-512 object could become everybody's copy; a static initialiser would run at import."""
    for path in OBJECTS:
        symbols = subprocess.run(["nm", str(path)], capture_output=True, text=True, check=True).stdout.splitlines()
        shared = [s for s in symbols if s.split()[-2] in "WVuw" and "__gxx_personality" not in s]
        assert not shared, f"{path.name}: {shared[:3]}"
        sections = subprocess.run(["objdump", "-h", str(path)], capture_output=True, text=True, check=True).stdout
        assert ".init_array" not in sections and ".ctors" not in sections, path.name


@pytest.mark.skipif(not OBJECTS or not shutil.which("objdump"), reason="needs object files, and objdump")
def test_one_level_multiplies_pairs_by_an_instruction():
    for path in OBJECTS:
        if path.stem.startswith(("gemm_bfloat", "conv_last_bfloat")):
            code = subprocess.run(["objdump", "-d", str(path)], capture_output=True, text=True, check=True).stdout
            assert ("vdpbf16ps" in code) == ("avx512bf16" in path.name), path.name


CROSS = shutil.which("aarch64-linux-gnu-g++")


@pytest.mark.skipif(not CROSS, reason="needs the cross compiler g++-aarch64-linux-gnu")
@pytest.mark.parametrize("source", sorted(p.name for p in (ROOT / "csrc/cpu").glob("*.cpp")))
def test_kernels_compile_for_arm(source):
    command = [
        CROSS,
        "-std=c++17",
        "-fsyntax-only",
        "-fno-exceptions",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-DMINIMX_LEVEL=neon",
    ]
    subprocess.run([*command, f"-I{ROOT / 'csrc'}", str(ROOT / "csrc/cpu" / source)], check=True)


def run_python(code, **environment):
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **environment}, timeout=120
    )
    return done.returncode, done.stdout.strip(), done.stderr


def test_level_can_be_lowered():
    assert run_python("import minimx._core as c; print(c.cpu_level())", MINIMX_ISA="baseline")[1] in (
        "baseline",
        "neon",
    )


def test_unknown_level_is_an_error():
    code, _, error = run_python("import minimx._core as c; c.device('cpu', 0)", MINIMX_ISA="sse9")
    assert code == 1 and "MINIMX_ISA=sse9" in error and "baseline" in error


def test_import_is_light():
    """Nothing that a program does not use is imported with minimx."""
    code = "import sys, minimx; print([m for m in ('graphviz', 'scipy', 'ast', 'minimx.ops') if m in sys.modules])"
    assert "minimx.ops" not in run_python(code)[1] and "graphviz" not in run_python(code)[1]


def test_fork_with_running_pool():
    """A child that is forked from a process with a pool gets its own, and computes the same."""
    code = """
import os
import numpy as np
import minimx as mx
a = mx.nd.array(np.random.rand(600, 600))
expected = mx.nd.dot(a, a).asnumpy()
pid = os.fork()
if pid == 0:
    os._exit(0 if np.array_equal(mx.nd.dot(a, a).asnumpy(), expected) else 1)
_, status = os.waitpid(pid, 0)
assert np.array_equal(mx.nd.dot(a, a).asnumpy(), expected)
print(os.waitstatus_to_exitcode(status))
"""
    code, out, error = run_python(code)
    assert (code, out) == (0, "0"), error


@pytest.mark.parametrize("threads", ["1", "2", "3", "7"])
def test_results_do_not_depend_on_thread_count(threads):
    code = """
import hashlib
import numpy as np
import minimx as mx
state = np.random.default_rng(0)
a = mx.nd.array(state.normal(size=(301, 517)))
mx.random.seed(3)
parts = [mx.nd.dot(a, a, transpose_b=True), mx.nd.softmax(a), a.sum(axis=0), a.sum(axis=1), a.mean(),
         mx.nd.random.normal(shape=(100000,)), mx.nd.exp(a)]
print(hashlib.sha256(b"".join(p.asnumpy().tobytes() for p in parts)).hexdigest())
"""
    one = run_python(code, MINIMX_NUM_THREADS="1")
    many = run_python(code, MINIMX_NUM_THREADS=threads)
    assert one[0] == 0, one[2]
    assert one[1] == many[1]


def test_missing_argument_is_named():
    with pytest.raises(ValueError, match="kernel strided_copy.4: argument 'in_offset' of StridedCopyArgs is missing"):
        x = np.zeros(3, np.float32)
        _core.run_kernel(
            "strided_copy.4", {"shape": [3], "in_strides": [1], "out_strides": [1], "out_offset": 0}, [x, x]
        )


def test_wrong_argument_type_is_named():
    args = {"shape": 3, "in_strides": [1], "out_strides": [1], "in_offset": 0, "out_offset": 0}
    with pytest.raises(ValueError, match="argument 'shape' must be a list of integers"):
        _core.run_kernel("strided_copy.4", args, [np.zeros(3, np.float32)] * 2)
