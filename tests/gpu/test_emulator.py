"""The emulated device notices what a gpu would punish: a missing barrier, divergence, foreign memory, writes too far.

The kernels with these mistakes are in tests/gpu/mistakes.cu, built here into an executable of its own.
"""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMPILER = shlex.split(os.environ.get("CXX", "c++"))

pytestmark = pytest.mark.skipif(shutil.which(COMPILER[0]) is None, reason="no compiler")


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    target = tmp_path_factory.mktemp("mistakes") / "mistakes"
    cuda = ROOT / "csrc" / "cuda"
    flags = [
        "-std=c++17",
        "-O1",
        "-DMINIMX_EMULATE",
        "-DMINIMX_LEVEL=cuda",
        "-Wno-unknown-pragmas",
        f"-I{ROOT / 'csrc'}",
    ]
    (target.parent / "families_cuda.inc").write_text("#define MINIMX_CUDA_FAMILIES(F) F(gemm)\n")
    sources = [
        "-x",
        "c++",
        Path(__file__).parent / "mistakes.cu",
        cuda / "gemm.cu",
        cuda / "emulate.cpp",
        cuda / "emulated.cpp",
    ]
    subprocess.run([*COMPILER, *flags, f"-I{target.parent}", *sources, "-o", target, "-pthread"], check=True)
    return target


def run(program, what, order="ascending"):
    done = subprocess.run(
        [program, what], env={**os.environ, "MINIMX_EMULATE_ORDER": order}, capture_output=True, text=True
    )
    return done.returncode, done.stdout.strip()


ORDERS = ("ascending", "descending", "shuffled")


@pytest.mark.parametrize("order", ORDERS)
def test_correct_kernels_give_the_right_result(program, order):
    for kernel in ("reverse", "reverse-dynamic", "rounds", "shuffle", "atomic"):
        assert run(program, kernel, order) == (0, "right")


@pytest.mark.parametrize("planted", ["reverse-without-barrier", "rounds-without-second-barrier"])
def test_a_missing_barrier_is_found(program, planted):
    assert "wrong" in {run(program, planted, order)[1] for order in ORDERS}


def test_a_warp_that_trusts_lockstep_is_found(program):
    assert "wrong" in {run(program, "lockstep", order)[1] for order in ORDERS}


@pytest.mark.parametrize(
    "mistake, message",
    [
        ("divergent-barrier", "divergent barrier"),
        ("early-return", "divergent barrier"),
        ("half-warp-shuffle", "divergent"),
        ("shared-overflow", "past the end of a shared array"),
        ("dynamic-overflow", "past the end of a shared array"),
        ("host-pointer", "not memory of its device"),
        ("too-many-threads", "threads per block"),
        ("block-overflow", "past the end of a block"),
    ],
)
@pytest.mark.parametrize("order", ORDERS)
def test_a_mistake_is_an_error(program, mistake, message, order):
    code, text = run(program, mistake, order)
    assert code == 1 and message in text


def test_host_access_to_device_memory_faults(program):
    assert run(program, "host-access")[0] < 0


def test_an_unknown_order_is_an_error(program):
    code, text = run(program, "reverse", "sideways")
    assert code == 1 and "sideways" in text
