"""Builds minimx/_core: every kernel family once per instruction-set level, in parallel, only what changed.

Metadata lives in pyproject.toml. Environment: MINIMX_BUILD_JOBS (parallel compilers), MINIMX_EMULATE_BUILD=0 (leave out
the emulated second device), MINIMX_CUDA=1 (also build minimx/_cuda for real GPUs; needs nvcc), MINIMX_CUDA_ARCHS
(compute capabilities, "80 90"), CXX, NVCC.
"""

import os
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
SOURCES = ROOT / "csrc"

X86 = platform.machine().lower() in ("x86_64", "amd64")
AVX2 = ["-mavx2", "-mfma", "-mf16c", "-mbmi", "-mbmi2"]
AVX512 = [*AVX2, "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mprefer-vector-width=512"]
LEVELS = {"baseline": [], "avx2": AVX2, "avx512": AVX512} if X86 else {"neon": []}
# Levels that differ from another one in the families named *_bfloat alone, which are all that is compiled for them.
BFLOAT_LEVELS = {"avx512bf16": ("avx512", [*AVX512, "-mavx512bf16"])} if X86 else {}
if X86 and os.environ.get("MINIMX_WIDE"):
    # The 64-byte code paths on 32-byte registers: tests AVX-512's logic on machines without it.
    LEVELS["wide"] = [*AVX2, "-DMINIMX_VECTOR_BYTES=64", "-Wno-psabi"]

COMMON = ["-std=c++17", "-O3", "-fPIC", "-fvisibility=hidden", "-Wall", "-Wextra", "-I" + str(SOURCES)]
KERNEL = [
    "-fno-exceptions",
    "-fno-rtti",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-ffp-contract=fast",
    "-Wno-psabi",
    "-fno-asynchronous-unwind-tables",
]

EMULATE = os.environ.get("MINIMX_EMULATE_BUILD", "1") != "0"
CUDA = os.environ.get("MINIMX_CUDA", "0") not in ("", "0")
# Random numbers must be the same at every level, so nothing may be rounded differently.
FAMILY = {"random": ["-ffp-contract=off"]}


class Build(build_ext):
    """Own compile loop: setuptools' cannot compile one source several times nor know what is up to date."""

    def build_extension(self, ext: Extension) -> None:
        # Beside the sources and not in setuptools' folder, which pip makes anew for every editable install.
        base = ROOT / "build" if os.access(ROOT, os.W_OK) else Path(self.build_temp).resolve()
        work = base / f"{sys.implementation.cache_tag}-{sysconfig.get_platform()}"
        target = Path(self.get_ext_fullpath(ext.name)).resolve()
        target.parent.mkdir(parents=True, exist_ok=True)
        if ext.name == "minimx._cuda":
            self.build_cuda(work, target)
        else:
            self.build_core(work, target)

    def build_core(self, work: Path, target: Path) -> None:
        cxx = shlex.split(os.environ.get("CXX", "c++"))
        families = sorted(p.stem for p in (SOURCES / "cpu").glob("*.cpp"))
        cuda_sources = sorted((SOURCES / "cuda").glob("*.cu"))
        self.write_families(work / "families.inc", "", families)
        self.write_families(work / "families_cuda.inc", "CUDA_", [p.stem for p in cuda_sources])
        common = [*COMMON, "-I" + str(work)]
        jobs = []
        import pybind11

        python = ["-I" + sysconfig.get_paths()["include"], "-I" + pybind11.get_include()]
        for source in sorted(SOURCES.glob("*.cpp")):
            binds = source.stem.startswith("bind") or source.stem in ("array", "dlpack", "eager", "feed", "plans")
            flags = [*common, *python] if binds else common
            if source.stem == "gpu" and not EMULATE:
                flags = [*flags, "-DMINIMX_NO_EMULATION"]
            jobs.append((source, work / f"{source.stem}.o", flags))
        levels = list(LEVELS.items())
        added = [(level, isa) for level, (_, isa) in BFLOAT_LEVELS.items()]
        for family in families:
            for level, isa in [*levels, *(added if family.endswith("_bfloat") else [])]:
                flags = [*common, *KERNEL, *FAMILY.get(family, []), *isa, f"-DMINIMX_LEVEL={level}"]
                jobs.append((SOURCES / "cpu" / f"{family}.cpp", work / f"{family}.{level}.o", flags))
        if EMULATE:
            for name in ("emulate", "emulated"):
                jobs.append((SOURCES / "cuda" / f"{name}.cpp", work / f"cuda.{name}.o", common))
            flags = [*common, "-O2", "-fno-math-errno", "-DMINIMX_EMULATE", "-DMINIMX_LEVEL=cuda"]
            flags += ["-Wno-unknown-pragmas", "-x", "c++"]
            for source in cuda_sources:
                jobs.append((source, work / f"cuda.{source.stem}.o", flags))
        link = ["-undefined", "dynamic_lookup"] if sys.platform == "darwin" else ["-Wl,-s"]
        self.build(cxx, jobs, target, ["-shared", "-pthread", "-ldl", *link])

    def build_cuda(self, work: Path, target: Path) -> None:
        """Machine code for each architecture, and for newer ones the last one's portable code."""
        nvcc = shlex.split(os.environ.get("NVCC", "")) or [shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc"]
        if not shutil.which(nvcc[0]):
            raise SystemExit("MINIMX_CUDA is set, but there is no nvcc (set NVCC to its path)")
        sources = [*sorted((SOURCES / "cuda").glob("*.cu")), SOURCES / "cuda" / "nvidia.cpp"]
        archs = os.environ.get("MINIMX_CUDA_ARCHS", "80 90").split()
        flags = ["-std=c++17", "-O3", "-x", "cu", "-DMINIMX_LEVEL=cuda", "-I" + str(SOURCES), "-I" + str(work)]
        flags += ["-Xcompiler", "-fPIC,-fvisibility=hidden,-Wall"]
        for arch in archs:
            flags += ["-gencode", f"arch=compute_{arch},code=sm_{arch}"]
        flags += ["-gencode", f"arch=compute_{archs[-1]},code=compute_{archs[-1]}"]
        jobs = [(source, work / f"nvidia.{source.stem}.o", flags) for source in sources]
        self.build(nvcc, jobs, target, ["-shared", "-cudart", "static"])

    def build(
        self, compiler: list[str], jobs: list[tuple[Path, Path, list[str]]], target: Path, link: list[str]
    ) -> None:
        workers = int(os.environ.get("MINIMX_BUILD_JOBS", 0)) or os.cpu_count() or 2
        with ThreadPoolExecutor(workers) as pool:
            changed = list(pool.map(lambda job: self.compile_one(compiler, *job), jobs))
        if any(changed) or not target.exists():
            objects = [str(job[1]) for job in jobs]
            self.execute([*compiler, *objects, "-o", str(target.with_suffix(".tmp")), *link])
            os.replace(target.with_suffix(".tmp"), target)

    def write_families(self, path: Path, prefix: str, families: list[str]) -> None:
        def define(name: str, entries: list[str]) -> str:
            return f"#define MINIMX_{prefix}{name} {' '.join(entries)}\n"

        text = define("FAMILIES(F)", [f"F({f})" for f in families if not f.endswith("_bfloat")])
        if not prefix:
            text += define("BFLOAT_FAMILIES(F)", [f"F({f})" for f in families if f.endswith("_bfloat")])
            text += define("LEVELS(L)", [f"L({name})" for name in LEVELS])
            text += define("BFLOAT_LEVELS(L)", [f"L({name}, {base})" for name, (base, _) in BFLOAT_LEVELS.items()])
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text() != text:
            path.write_text(text)

    def compile_one(self, compiler: list[str], source: Path, target: Path, flags: list[str]) -> bool:
        command = [*compiler, *flags, "-c", str(source), "-o", str(target), "-MMD", "-MF", str(target) + ".d"]
        stamp = Path(str(target) + ".cmd")
        if target.exists() and stamp.exists() and stamp.read_text() == shlex.join(command):
            built = target.stat().st_mtime
            depends = Path(str(target) + ".d").read_text().replace("\\\n", " ").split(":", 1)[1].split()
            if all(os.path.exists(d) and os.path.getmtime(d) < built for d in depends):
                return False
        self.execute(command)
        stamp.write_text(shlex.join(command))
        return True

    def execute(self, command: list[str]) -> None:
        done = subprocess.run(command, capture_output=True, text=True)
        if done.stderr.strip():
            print(done.stderr, file=sys.stderr)
        if done.returncode:
            raise SystemExit(f"failed: {shlex.join(command)}")


setup(
    # Only minimx/ is searched: build/ may hold links that lead around in circles.
    packages=["minimx", *(f"minimx.{name}" for name in find_packages(str(ROOT / "minimx")))],
    ext_modules=[Extension(name, sources=[]) for name in ["minimx._core", *(["minimx._cuda"] if CUDA else [])]],
    cmdclass={"build_ext": Build},
)
