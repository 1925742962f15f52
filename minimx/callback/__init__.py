"""mx.callback: what is done during a training, at the ends of batches and epochs."""

from .base import Callback
from .classic import (
    LogValidationMetricsCallback,
    ProgressBar,
    Speedometer,
    do_checkpoint,
    log_train_metric,
    module_checkpoint,
    save_checkpoint,
)
from .tensorboard import TensorBoard
from .training import (
    CSVLogger,
    EarlyStopping,
    ModelCheckpoint,
    ReduceLROnPlateau,
    TerminateOnNaN,
    TrainingCheckpoint,
)

__all__ = [
    "CSVLogger",
    "Callback",
    "EarlyStopping",
    "LogValidationMetricsCallback",
    "ModelCheckpoint",
    "ProgressBar",
    "ReduceLROnPlateau",
    "Speedometer",
    "TensorBoard",
    "TerminateOnNaN",
    "TrainingCheckpoint",
    "do_checkpoint",
    "log_train_metric",
    "module_checkpoint",
    "save_checkpoint",
]
