import os

import pytest

from minimx import _core

# Before the first question about gpus: two emulated devices, unless the run is meant for real ones.
if not os.environ.get("MINIMX_REAL_GPU"):
    os.environ.setdefault("MINIMX_EMULATE", "2")


@pytest.fixture
def gpu():
    if not _core.device_count("gpu"):
        pytest.skip("no gpu, emulated or real")
    return _core.device("gpu", 0)
