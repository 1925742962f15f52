"""mx.model: FeedForward, and checkpoints of a symbol and its parameters."""

from .checkpoint import BatchEndParam, load_checkpoint, load_params, save_checkpoint
from .context import cpu
from .feedforward import FeedForward
from .optimizer import get_updater

__all__ = [
    "BatchEndParam",
    "FeedForward",
    "cpu",
    "get_updater",
    "load_checkpoint",
    "load_params",
    "save_checkpoint",
]
