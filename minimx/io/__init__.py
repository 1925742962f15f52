"""mx.io: where batches come from."""

from .arrays import NDArrayIter
from .checks import check_first_batch
from .files import CSVIter, LibSVMIter, MNISTIter, MXDataIter
from .iterator import DataBatch, DataDesc, DataIter, PrefetchingIter, ResizeIter

__all__ = [
    "CSVIter",
    "DataBatch",
    "DataDesc",
    "DataIter",
    "LibSVMIter",
    "MNISTIter",
    "MXDataIter",
    "NDArrayIter",
    "PrefetchingIter",
    "ResizeIter",
    "check_first_batch",
]
