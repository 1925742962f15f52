"""mx.io: where batches come from."""

from .arrays import NDArrayIter
from .files import CSVIter, MNISTIter, MXDataIter
from .iterator import DataBatch, DataDesc, DataIter, PrefetchingIter, ResizeIter

__all__ = [
    "CSVIter",
    "DataBatch",
    "DataDesc",
    "DataIter",
    "MNISTIter",
    "MXDataIter",
    "NDArrayIter",
    "PrefetchingIter",
    "ResizeIter",
]
