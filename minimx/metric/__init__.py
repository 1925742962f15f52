"""mx.metric: how good predictions are."""

from .classification import *  # noqa: F403
from .metric import *  # noqa: F403
from .regression import *  # noqa: F403
