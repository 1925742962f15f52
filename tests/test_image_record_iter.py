"""ImageRecordIter: what MXNet's returns, the same epoch on any number of threads, states, parts, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest

import minimx as mx

REC = Path(__file__).parent / "golden/rec"
GOLDEN = {k[5:]: v for k, v in json.loads((REC / "index.json").read_text()).items() if k.startswith("iter_")}
RESIZED = ("resize", "upscale_small", "crop_size")
needs_jpeg = pytest.mark.skipif(not mx.image.codec.find_jpeg(), reason="needs libjpeg-turbo")


def iterator(**kwargs):
    for name in ("path_imgrec", "path_imglist", "path_imgidx"):
        if name in kwargs:
            kwargs[name] = str(REC / kwargs[name])
    return mx.io.ImageRecordIter(**{"verbose": False, **kwargs})


def epoch(it):
    """Arrays of images, labels, pads of all batches."""
    batches = list(it)
    return (
        np.array([b.data[0].asnumpy() for b in batches]),
        np.array([b.label[0].asnumpy() for b in batches]),
        [b.pad for b in batches],
    )


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("case", GOLDEN)
def test_golden(case, threads, tmp_path):
    golden, p = GOLDEN[case], dict(GOLDEN[case]["params"], preprocess_threads=threads)
    if "mean_img" in p:
        p["mean_img"] = str(tmp_path / "mean.bin")
    it = iterator(**p)
    parts = []
    for i in range(golden["epochs"]):
        if i:
            it.reset()
        parts.append(epoch(it))
    data, label = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
    expected = np.load(REC / f"iter_{case}.npz")
    if case == "no_round":  # MXNet says 0 and leaves what was in memory
        assert [x for part in parts for x in part[2]] == [0, 0, 3, 0, 0, 3]
        assert not data[2::3, 2:].any()
    else:
        assert [x for part in parts for x in part[2]] == golden["pads"]
    want = expected["data"].astype(np.float32)
    assert data.shape == want.shape
    if case in RESIZED:
        assert np.abs(data - want).max() <= 1.01
    else:
        np.testing.assert_allclose(data.astype(np.float32), want, rtol=1e-6, atol=3e-5)  # float32 of pixels
    np.testing.assert_array_equal(label.reshape(expected["label"].shape), expected["label"])
    if "mean_img" in p:
        made, wanted = mx.nd.load(p["mean_img"]), mx.nd.load(str(REC / "mean_img.bin"))
        np.testing.assert_allclose(made["mean_img"].asnumpy(), wanted["mean_img"].asnumpy(), rtol=1e-6)
