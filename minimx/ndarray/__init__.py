"""mx.nd: arrays and what is done with them at once. Operators come from api.py."""

from typing import Any

from ..api import open_namespace
from ..context import current_context
from ..util import is_np_array
from .arithmetic import *  # noqa: F403
from .creation import *  # noqa: F403
from .indexing import indexing_key_expand_implicit_axes
from .ndarray import NDArray
from .utils import load, load_frombuffer, save, save_tobuffer

__all__ = [
    "NDArray",
    "current_context",
    "indexing_key_expand_implicit_axes",
    "is_np_array",
    "load",
    "load_frombuffer",
    "save",
    "save_tobuffer",
]


def _written(namespace: str) -> dict[str, Any]:
    """The functions of mx.nd's namespaces that are not derived from one operator."""
    if namespace == "op":
        from ..operator import Custom

        return {"Custom": Custom}
    if namespace == "_internal":
        from ..image import functions as image

        return {
            "_cvcopyMakeBorder": image.copyMakeBorder,
            "_cvimdecode": image.imdecode,
            "_cvimread": image.imread,
            "_cvimresize": image.imresize,
        }
    if namespace == "random":
        from .. import random

        functions = {name: getattr(random, name) for name in random.__all__ if name != "seed"}
        return {**functions, "current_context": current_context}
    if namespace == "contrib":
        from ..contrib_functions import FUNCTIONS

        return FUNCTIONS
    return {}


__getattr__, __dir__ = open_namespace(__name__, _written)
