"""mx.runtime: what this build can do."""

from __future__ import annotations

import platform
from typing import NamedTuple

from . import _core
from .context import num_gpus


class Feature(NamedTuple):
    name: str
    enabled: bool

    def __repr__(self) -> str:
        return f"[{'✔' if self.enabled else '✖'} {self.name}]"


class Features(dict[str, Feature]):
    """Features by name. Names are MXNet's; those that cannot exist here are off."""

    def __init__(self) -> None:
        super().__init__((f.name, f) for f in feature_list())

    def is_enabled(self, feature_name: str) -> bool:
        try:
            return self[feature_name.upper()].enabled
        except KeyError:
            raise RuntimeError(f"there is no feature {feature_name!r}; features are {', '.join(self)}") from None

    def __repr__(self) -> str:
        return str(list(self.values()))


def feature_list() -> list[Feature]:
    """What is on depends on this machine as well: the instruction set in use, the devices found."""
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    level = _core.cpu_level()
    vector = {"baseline": 0, "avx2": 2, "wide": 2, "avx512": 3, "avx512bf16": 3}.get(level, 0)
    enabled = {
        "CUDA": num_gpus() > 0,
        "CUDNN": False,
        "NCCL": False,
        "TENSORRT": False,
        "CPU_SSE": x86,
        "CPU_SSE2": x86,
        "CPU_AVX": vector >= 2,
        "CPU_AVX2": vector >= 2,
        "CPU_AVX512": vector >= 3,
        "CPU_NEON": level == "neon",
        "F16C": vector >= 2,
        "OPENMP": False,
        "BLAS_OPEN": False,
        "BLAS_MKL": False,
        "LAPACK": False,
        "MKLDNN": False,
        "OPENCV": False,
        "DIST_KVSTORE": False,
        "INT64_TENSOR_SIZE": True,
        "SIGNAL_HANDLER": False,
    }
    return [Feature(name, on) for name, on in enabled.items()]
