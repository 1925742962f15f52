"""Choosing rows by a condition: the one operator whose result has a shape that depends on values."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..base import ParameterError, ShapeError
from ..eager import invoke
from .creation import array
from .ndarray import NDArray


def boolean_mask(data: NDArray, index: NDArray, axis: int = 0, out: NDArray | None = None, name: Any = None) -> NDArray:
    """The rows of data for which index is not 0.

    The values of index are waited for. While autograd records, the rows that were chosen are what is differentiated.
    """
    if axis != 0:
        raise ParameterError(f"boolean_mask: axis must be 0, got {axis}")
    if index.ndim != 1 or data.ndim < 1 or index.shape[0] != data.shape[0]:
        raise ShapeError(
            f"boolean_mask: index must have one element for each row of data, {data.shape}, got {index.shape}"
        )
    rows = np.flatnonzero(index.asnumpy())
    return invoke("take", [data, array(rows, ctx=data.context, dtype="int64")], {"axis": 0}, out=out)
