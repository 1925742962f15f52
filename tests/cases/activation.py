"""Cases of activation functions and Dropout: see tests/cases/__init__.py."""

import numpy as np
from scipy import special

from . import Case, real

SHAPE = (3, 4, 5)
KINK = real(*SHAPE, away_from=(0,))
SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772


def softrelu(x):
    return np.log1p(np.exp(-np.abs(x))) + np.maximum(x, 0)


def leaky(x, slope=0.25):
    return np.where(x > 0, x, slope * x)


def elu(x, slope=0.25):
    return np.where(x > 0, x, slope * np.expm1(x))


def selu(x):
    return SELU_SCALE * np.where(x > 0, x, SELU_ALPHA * np.expm1(x))


def selu_gradient(x, g):
    """MXNet's, which is not the derivative."""
    return [g * SELU_SCALE * np.where(x > 0, 1, selu(x) + SELU_ALPHA)]


CASES = [
    Case("Activation", [KINK], {"act_type": "relu"}, lambda x: np.maximum(x, 0)),
    Case("Activation", [real(*SHAPE)], {"act_type": "sigmoid"}, special.expit),
    Case("Activation", [real(*SHAPE)], {"act_type": "tanh"}, np.tanh),
    Case("Activation", [real(*SHAPE)], {"act_type": "softrelu"}, softrelu),
    Case("Activation", [KINK], {"act_type": "softsign"}, lambda x: x / (1 + np.abs(x))),
    Case("LeakyReLU", [KINK], {}, leaky),
    Case("LeakyReLU", [KINK], {"slope": 0.1}, lambda x: leaky(x, 0.1)),
    Case("LeakyReLU", [KINK], {"act_type": "elu"}, elu),
    Case("LeakyReLU", [KINK], {"act_type": "elu", "slope": 1.5}, lambda x: elu(x, 1.5)),
    Case("LeakyReLU", [KINK], {"act_type": "selu"}, selu, gradient=selu_gradient),
    Case("LeakyReLU", [real(*SHAPE)], {"act_type": "gelu"}, lambda x: x * special.ndtr(x)),
    Case("LeakyReLU", [KINK, real(4)], {"act_type": "prelu"}, lambda x, g: leaky(x, g[:, None]), length=15),
    Case("LeakyReLU", [KINK, real(1)], {"act_type": "prelu"}, leaky, length=60),
    Case("LeakyReLU", [KINK], {"act_type": "rrelu"}, lambda x: leaky(x, 0.2295), grads=()),
    Case(
        "LeakyReLU",
        [KINK],
        {"act_type": "rrelu", "lower_bound": 0.3, "upper_bound": 0.3},
        lambda x: leaky(x, 0.3),
        train=True,
    ),
    Case("Dropout", [real(*SHAPE)], {}, lambda x: x, grads=()),
    Case("Dropout", [real(*SHAPE)], {"p": 0.0, "axes": (1,), "cudnn_off": True}, lambda x: x, train=True),
    Case("Dropout", [real(*SHAPE)], {"p": 1.0, "mode": "always"}, np.zeros_like),
]
