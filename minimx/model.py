"""mx.model: FeedForward, and checkpoints of a symbol and its parameters."""

from .checkpoint import BatchEndParam, load_checkpoint, load_params, save_checkpoint
from .optimizer import get_updater

__all__ = ["BatchEndParam", "get_updater", "load_checkpoint", "load_params", "save_checkpoint"]
