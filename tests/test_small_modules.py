"""mx.engine, mx.util and mx.runtime."""

import os

import pytest

import minimx as mx


def test_engine():
    former = mx.engine.set_bulk_size(7)
    with mx.engine.bulk(20):
        assert mx.engine.set_bulk_size(20) == 20
    assert mx.engine.set_bulk_size(former) == 7


def test_util():
    mx.util.setenv("MINIMX_TEST_VARIABLE", "x")
    assert mx.util.getenv("MINIMX_TEST_VARIABLE") == os.environ["MINIMX_TEST_VARIABLE"] == "x"
    mx.util.setenv("MINIMX_TEST_VARIABLE", None)
    assert mx.util.getenv("MINIMX_TEST_VARIABLE") is None
    assert mx.util.get_gpu_count() == mx.num_gpus()
    assert not mx.util.is_np_shape()
    assert not mx.util.is_np_array()


def test_runtime():
    features = mx.runtime.Features()
    assert features.is_enabled("int64_tensor_size")
    assert features.is_enabled("CUDA") == (mx.num_gpus() > 0)
    assert [f.name for f in mx.runtime.feature_list()] == list(features)
    assert repr(features["OPENMP"]) == "[✖ OPENMP]"
    with pytest.raises(RuntimeError, match="no feature"):
        features.is_enabled("PEACE")
