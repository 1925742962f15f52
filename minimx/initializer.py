"""mx.init: what parameters hold before training. `initializer(InitDesc("fc1_weight"), array)` fills an array in place.

Which rule fills an array depends on its name: an initializer's own rule is for weights, the rest has fixed starting
values. The attribute `__init__` of a variable comes before that. Random numbers come from mx.random, so a seed gives the
same parameters on any machine and number of threads.
"""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from . import random
from .base import ShapeError
from .ndarray import NDArray, array, load
from .registry import get_alias_func, get_create_func, get_register_func

__all__ = [
    "Bilinear",
    "Constant",
    "FusedRNN",
    "InitDesc",
    "Initializer",
    "LSTMBias",
    "Load",
    "MSRAPrelu",
    "Mixed",
    "Normal",
    "One",
    "Orthogonal",
    "Uniform",
    "Xavier",
    "Zero",
    "alias",
    "create",
    "register",
]


class InitDesc(str):
    """The name of a parameter with the attributes of its variable and the initializer of the whole network."""

    attrs: dict[str, str]
    global_init: Initializer | None

    def __new__(cls, name: str, attrs: Mapping[str, str] | None = None, global_init: Initializer | None = None):
        self = super().__new__(cls, name)
        self.attrs = dict(attrs or {})
        self.global_init = global_init
        return self


# Ends of names and the methods that fill such arrays.
_RULES = {
    "weight": "_init_weight",
    "bias": "_init_bias",
    "gamma": "_init_gamma",
    "beta": "_init_beta",
    "moving_mean": "_init_zero",
    "moving_var": "_init_one",
    "moving_inv_var": "_init_zero",
    "moving_avg": "_init_zero",
    "min": "_init_zero",
    "max": "_init_one",
    "weight_quantize": "_init_quantized_weight",
    "bias_quantize": "_init_zero",
}


class Initializer:
    """Base of all initializers. One of your own overrides `_init_weight(name, array)`."""

    def __init__(self, **kwargs: Any):
        self._kwargs = kwargs
        self._verbose = False
        self._print_func: Callable[[NDArray], Any] = _mean_size

    def set_verbosity(self, verbose: bool = False, print_func: Callable[[NDArray], Any] | None = None) -> Initializer:
        """Logs what is filled, with what `print_func` says about the array (its mean absolute value by default)."""
        self._verbose = verbose
        self._print_func = print_func or _mean_size
        return self

    def dumps(self) -> str:
        """The initializer as text, as it stands in an `__init__` attribute."""
        return json.dumps([type(self).__name__.lower(), self._kwargs])

    def __call__(self, desc: str, arr: NDArray) -> None:
        """Fills an array by the rule for its name."""
        if not isinstance(desc, str):
            raise TypeError(f"an initializer is called with a name and an array, got {type(desc).__name__}")
        rule: Callable[[str, NDArray], None]
        own = desc.attrs.get("__init__", "") if isinstance(desc, InitDesc) else ""
        if isinstance(desc, InitDesc) and desc.global_init is None:
            desc.global_init = self
        if own:
            rule, by = create(own)._init_weight, own
        elif not isinstance(desc, InitDesc) and desc.startswith("upsampling"):
            rule, by = Bilinear()._init_weight, "bilinear"
        elif not isinstance(desc, InitDesc) and desc.startswith("stn_loc") and desc.endswith(("weight", "bias")):
            rule, by = (self._init_zero, "stn_loc") if desc.endswith("weight") else (self._init_loc_bias, "stn_loc")
        else:
            end = max((e for e in _RULES if desc.endswith(e)), key=len, default="")
            rule, by = getattr(self, _RULES.get(end, "_init_default")), end
        rule(desc, arr)
        if self._verbose:
            logging.info("Initialized %s as %s: %s", desc, by, self._print_func(arr))

    def _init_weight(self, name: str, arr: NDArray) -> None:
        raise NotImplementedError(f"{type(self).__name__} must define _init_weight(name, array)")

    def _init_bias(self, _: str, arr: NDArray) -> None:
        arr[:] = 0.0

    def _init_gamma(self, _: str, arr: NDArray) -> None:
        arr[:] = 1.0

    def _init_beta(self, _: str, arr: NDArray) -> None:
        arr[:] = 0.0

    def _init_zero(self, _: str, arr: NDArray) -> None:
        arr[:] = 0.0

    def _init_one(self, _: str, arr: NDArray) -> None:
        arr[:] = 1.0

    def _init_quantized_weight(self, _: str, arr: NDArray) -> None:
        arr[:] = random.randint(-127, 127, arr.shape, dtype="int32")

    def _init_loc_bias(self, name: str, arr: NDArray) -> None:
        if arr.shape != (6,):
            raise ShapeError(f"{name}: the bias of a spatial transformer has shape (6,), got {arr.shape}")
        arr[:] = np.array([1.0, 0, 0, 0, 1.0, 0])

    def _init_default(self, name: str, _: NDArray) -> None:
        raise ValueError(
            f"Unknown initialization pattern for {name}. Names that end in {', '.join(_RULES)} have a rule; give other "
            "variables one with mx.sym.Variable(..., init=mx.init.One())"
        )


def _mean_size(arr: NDArray) -> float:
    return float(np.abs(arr.asnumpy().astype("float64")).mean())


register = get_register_func(Initializer, "initializer")
alias = get_alias_func(Initializer, "initializer")
_create = get_create_func(Initializer, "initializer")


def create(initializer: Any, *args: Any, **kwargs: Any) -> Initializer:
    """An initializer from its name, from what `dumps` wrote, or itself."""
    return _create(initializer, *args, **kwargs)


class Load:
    """Fills arrays from saved ones, a dict or the name of a file; others by `default_init`."""

    def __init__(
        self,
        param: str | Mapping[str, NDArray],
        default_init: Callable[[str, NDArray], Any] | None = None,
        verbose: bool = False,
    ):
        saved: Any = load(param) if isinstance(param, str) else param
        self.param = {name.removeprefix("arg:").removeprefix("aux:"): value for name, value in saved.items()}
        self.default_init = default_init
        self.verbose = verbose

    def __call__(self, name: str, arr: NDArray) -> None:
        if name in self.param:
            saved = self.param[name]
            if saved.shape != arr.shape:
                raise ShapeError(f"Load: {name} has shape {arr.shape}, the saved one {saved.shape}")
            arr[:] = saved
            source = "loading"
        elif self.default_init is None:
            raise ValueError(f"Load: {name} is not among the saved parameters and there is no default_init")
        else:
            self.default_init(name, arr)
            source = "default"
        if self.verbose:
            logging.info("Initialized %s by %s", name, source)


class Mixed:
    """Several initializers by patterns: the first regular expression that matches the name's beginning decides."""

    def __init__(self, patterns: Sequence[str], initializers: Sequence[Callable[[str, NDArray], Any]]):
        if len(patterns) != len(initializers):
            raise ValueError(f"Mixed: {len(patterns)} patterns need as many initializers, got {len(initializers)}")
        self.map = [(re.compile(p), i) for p, i in zip(patterns, initializers, strict=True)]

    def __call__(self, name: str, arr: NDArray) -> None:
        for pattern, initializer in self.map:
            if pattern.match(name):
                initializer(name, arr)
                return
        raise ValueError(f'Mixed: no pattern matches {name}; add ".*" at the end with a default initializer')


@register
@alias("zeros")
class Zero(Initializer):
    """Weights of 0."""

    def __init__(self):
        super().__init__()

    def _init_weight(self, name, arr):
        arr[:] = 0.0


@register
@alias("ones")
class One(Initializer):
    """Weights of 1."""

    def __init__(self):
        super().__init__()

    def _init_weight(self, name, arr):
        arr[:] = 1.0


@register
class Constant(Initializer):
    """Weights of one value, or of the values of an array."""

    def __init__(self, value: Any):
        super().__init__(value=value)
        self.value = value

    def _init_weight(self, name, arr):
        arr[:] = self.value if np.isscalar(self.value) or isinstance(self.value, NDArray) else np.asarray(self.value)

    def dumps(self):
        value = self.value.asnumpy() if isinstance(self.value, NDArray) else self.value
        return json.dumps(
            [type(self).__name__.lower(), {"value": value.tolist() if hasattr(value, "tolist") else value}]
        )


@register
class Uniform(Initializer):
    """Weights between -scale and scale."""

    def __init__(self, scale: float = 0.07):
        super().__init__(scale=scale)
        self.scale = scale

    def _init_weight(self, name, arr):
        random.uniform(-self.scale, self.scale, out=arr)


@register
class Normal(Initializer):
    """Normal weights of mean 0 and standard deviation sigma."""

    def __init__(self, sigma: float = 0.01):
        super().__init__(sigma=sigma)
        self.sigma = sigma

    def _init_weight(self, name, arr):
        random.normal(0, self.sigma, out=arr)


@register
class Orthogonal(Initializer):
    """Rows (or columns, if there are fewer) that are orthogonal and of length `scale`."""

    def __init__(self, scale: float = 1.414, rand_type: str = "uniform"):
        if rand_type not in ("uniform", "normal"):
            raise ValueError(f"rand_type must be uniform or normal, got {rand_type!r}")
        super().__init__(scale=scale, rand_type=rand_type)
        self.scale = scale
        self.rand_type = rand_type

    def _init_weight(self, name, arr):
        shape = (arr.shape[0], arr.size // arr.shape[0])
        drawn = random.uniform(-1.0, 1.0, shape) if self.rand_type == "uniform" else random.normal(0.0, 1.0, shape)
        left, _, right = np.linalg.svd(drawn.asnumpy().astype("float64"), full_matrices=False)
        arr[:] = self.scale * (left if left.shape == shape else right).reshape(arr.shape)


@register
class Xavier(Initializer):
    """Weights whose size keeps that of the signals through the layer: from the numbers of its inputs and outputs."""

    def __init__(self, rnd_type: str = "uniform", factor_type: str = "avg", magnitude: float = 3):
        if rnd_type not in ("uniform", "gaussian"):
            raise ValueError(f"rnd_type must be uniform or gaussian, got {rnd_type!r}")
        if factor_type not in ("avg", "in", "out"):
            raise ValueError(f"factor_type must be avg, in or out, got {factor_type!r}")
        super().__init__(rnd_type=rnd_type, factor_type=factor_type, magnitude=magnitude)
        self.rnd_type = rnd_type
        self.factor_type = factor_type
        self.magnitude = float(magnitude)

    def _init_weight(self, name, arr):
        if arr.ndim < 2:
            raise ValueError(
                f"{type(self).__name__} needs a weight of at least two dimensions; {name} has shape {arr.shape}"
            )
        field = math.prod(arr.shape[2:])
        inputs, outputs = arr.shape[1] * field, arr.shape[0] * field
        factor = {"avg": (inputs + outputs) / 2, "in": inputs, "out": outputs}[self.factor_type]
        scale = math.sqrt(self.magnitude / factor)
        if self.rnd_type == "uniform":
            random.uniform(-scale, scale, out=arr)
        else:
            random.normal(0, scale, out=arr)


@register
class MSRAPrelu(Xavier):
    """Normal weights for layers in front of a rectifier with the given slope on its negative side."""

    def __init__(self, factor_type: str = "avg", slope: float = 0.25):
        super().__init__("gaussian", factor_type, 2.0 / (1 + slope**2))
        self._kwargs = {"factor_type": factor_type, "slope": slope}


@register
class Bilinear(Initializer):
    """Kernels that interpolate when a Deconvolution enlarges an image."""

    def __init__(self):
        super().__init__()

    def _init_weight(self, name, arr):
        height, width = arr.shape[2:]
        half = math.ceil(width / 2.0)
        center = (2 * half - 1 - half % 2) / (2.0 * half)
        across, down = (1 - np.abs(np.arange(n) / half - center) for n in (width, height))
        arr[:] = np.broadcast_to(np.outer(down, across), arr.shape)


@register
class LSTMBias(Initializer):
    """The bias of an LSTM cell: `forget_bias` for its forget gates, the second of four, and 0 elsewhere."""

    def __init__(self, forget_bias: float = 1.0):
        super().__init__(forget_bias=forget_bias)
        self.forget_bias = forget_bias

    def _init_weight(self, name, arr):
        hidden = arr.shape[0] // 4
        arr[:] = 0.0
        arr[hidden : 2 * hidden] = self.forget_bias


@register
class FusedRNN(Initializer):
    """The one parameter array of a fused RNN: every gate's piece by `init` (by the global initializer if it is None)."""

    gates = {"rnn_relu": ("",), "rnn_tanh": ("",), "lstm": ("_i", "_f", "_c", "_o"), "gru": ("_r", "_z", "_o")}

    def __init__(
        self,
        init: Any,
        num_hidden: int,
        num_layers: int,
        mode: str,
        bidirectional: bool = False,
        forget_bias: float = 1.0,
    ):
        if mode not in self.gates:
            raise ValueError(f"mode must be one of {', '.join(self.gates)}, got {mode!r}")
        init = None if init is None else create(init)
        super().__init__(
            init=None if init is None else init.dumps(),
            num_hidden=num_hidden,
            num_layers=num_layers,
            mode=mode,
            bidirectional=bidirectional,
            forget_bias=forget_bias,
        )
        self._init = init
        self._num_hidden = num_hidden
        self._num_layers = num_layers
        self._mode = mode
        self._directions = "lr" if bidirectional else "l"
        self._forget_bias = forget_bias

    def _pieces(self, size: int) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Names and shapes of the pieces of an array of `size` elements, in their order: all weights, then all biases."""
        hidden, layers, sides = self._num_hidden, self._num_layers, len(self._directions)
        gates = self.gates[self._mode]
        per_unit, rest = divmod(size, sides * len(gates) * hidden)
        inputs = per_unit - (layers - 1) * (sides * hidden + hidden + 2) - hidden - 2
        if rest or inputs < 1:
            raise ShapeError(f"FusedRNN: no {self._mode} of {layers} layers of {hidden} has {size} parameters")
        for kind in ("weight", "bias"):
            for layer in range(layers):
                for side in self._directions:
                    for source, width in (("i2h", sides * hidden if layer else inputs), ("h2h", hidden)):
                        for gate in gates:
                            shape = (hidden, width) if kind == "weight" else (hidden,)
                            yield f"{side}{layer}_{source}{gate}_{kind}", shape

    def _init_weight(self, name, arr):
        filled, at = np.empty(arr.size, dtype="float64"), 0
        whole = name.global_init if isinstance(name, InitDesc) else None
        for piece, shape in self._pieces(arr.size):
            part = array(np.zeros(shape))
            if self._mode == "lstm" and piece.endswith("_f_bias"):
                part[:] = self._forget_bias
            else:
                (self._init or whole or Uniform())(InitDesc(piece, global_init=whole), part)
            filled[at : at + part.size] = part.asnumpy().ravel()
            at += part.size
        arr[:] = filled.reshape(arr.shape)
