"""mx.nd: arrays and what is done with them at once. Operators come from api.py."""

from ..api import open_namespace
from ..context import current_context
from .arithmetic import *  # noqa: F403
from .creation import *  # noqa: F403
from .indexing import indexing_key_expand_implicit_axes
from .ndarray import NDArray

__all__ = ["NDArray", "current_context", "indexing_key_expand_implicit_axes"]

__getattr__, __dir__ = open_namespace(__name__, lambda namespace: {})
