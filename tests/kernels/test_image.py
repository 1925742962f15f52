"""image_row: two rows of pixels to one row of a batch."""

import os
import subprocess
import sys

import numpy as np
import pytest
from test_ops import other_levels

from minimx import _core

STEP, UNIT = 16, 1 << 14
KINDS = {"float32": np.float32, "float16": np.float16, "uint8": np.uint8, "int8": np.int8}


def stretch(width, columns, mirror=False):
    """Places and weights that stretch `columns` pixels to `width`."""
    at = np.clip((np.arange(width) + 0.5) * columns / width - 0.5, 0, columns - 1)
    left = np.minimum(at.astype(np.int32), columns - 1)
    right = np.where(left < columns - 1, np.rint((at - left) * UNIT), 0).astype(np.int16)
    order = slice(None, None, -1 if mirror else 1)
    places = np.zeros(-(-width // STEP) * STEP, np.int32)
    weights = np.zeros((len(places), 4, 2), np.int16)
    places[:width] = left[order]
    weights[:width, :, 0], weights[:width, :, 1] = (UNIT - right[order])[:, None], right[order, None]
    return places, weights


def run(kind, rows, places, weights, width, lower, planes=3, mean=(0,) * 4, scale=(1,) * 4, add=(0,) * 4):
    columns = rows.shape[1]
    plane = width + 5  # planes need not touch
    line = np.zeros(4 * (columns + 8), np.int16)
    out = np.full(4 * width + 4 if kind == "pixels" else planes * plane, 77, KINDS.get(kind, np.uint8))
    args = {"width": width, "columns": columns, "lower": lower, "planes": planes, "plane": plane}
    args |= {name: [float(v) for v in value] for name, value in (("mean", mean), ("scale", scale), ("add", add))}
    _core.run_kernel(f"image_row.{kind}", args, [rows[0], rows[1], places, weights, line, out])
    if kind == "pixels":
        assert (out[4 * width :] == 77).all()
        return out[: 4 * width].reshape(width, 4)
    out = out.reshape(planes, plane)
    assert (out[:, width:] == 77).all()
    return out[:, :width]


def twin(rows, places, weights, width, lower):
    """Exact blends, rounded to whole numbers: (width, 4)."""
    line = (rows[0].astype(np.int64) * (256 - lower) + rows[1].astype(np.int64) * lower) / 256
    w = weights[:width, 0].astype(float) / UNIT
    right = np.minimum(places[:width] + 1, len(line) - 1)
    return line[places[:width]] * w[:, :1] + line[right] * w[:, 1:]


@pytest.mark.parametrize("planes", [1, 3, 4])
@pytest.mark.parametrize("width, columns", [(1, 1), (3, 5), (16, 16), (17, 40), (33, 20), (224, 300), (64, 1)])
@pytest.mark.parametrize("kind", [*KINDS, "pixels"])
def test_rows(kind, width, columns, planes):
    state = np.random.default_rng(width)
    rows = state.integers(0, 256, (2, columns, 4), np.uint8)
    for lower in (0, 1, 100, 255):
        places, weights = stretch(width, columns, mirror=lower == 100)
        want = twin(rows, places, weights, width, lower)
        got = run(
            kind, rows, places, weights, width, lower, planes, mean=(3, 4, 5, 6), scale=(0.5, 2, 1, 3), add=(1, 2, 3, 4)
        )
        if kind == "pixels":
            assert np.abs(got - want).max() <= 0.51
            continue
        want = want[:, :planes].T
        mean = np.array([3, 4, 5, 6])[:planes, None]
        if kind == "uint8":
            assert np.abs(got - want).max() <= 0.51
        elif kind == "int8":
            assert np.abs(got - np.clip(want - mean, -128, 127)).max() <= 0.51
        else:
            scale, add = np.array([0.5, 2, 1, 3])[:planes, None], np.array([1, 2, 3, 4])[:planes, None]
            whole = (got.astype(float) - add) / scale + mean
            assert np.abs(whole - want).max() <= (0.51 if kind == "float32" else 0.9)


def test_without_weights_nothing_is_rounded():
    rows = np.arange(4 * 256, dtype=np.int64).reshape(1, 256, 4).astype(np.uint8).repeat(2, 0)
    places, weights = stretch(256, 256)
    got = run("float32", rows, places, weights, 256, 0, 4, mean=(100.25,) * 4, scale=(1 / 64,) * 4)
    assert np.array_equal(got, ((rows[0].T.astype(np.float32) - np.float32(100.25)) / 64))


@pytest.mark.skipif("MINIMX_ISA" in os.environ, reason="runs one level already")
def test_every_level():
    for level in other_levels():
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", __file__]
        done = subprocess.run(command, env={**os.environ, "MINIMX_ISA": level}, capture_output=True, text=True)
        assert done.returncode == 0, f"level {level}:\n{done.stdout[-4000:]}"
