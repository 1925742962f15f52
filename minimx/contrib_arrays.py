"""Functions of mx.nd.contrib that take arrays only: updates of weights in lists, and a sampler of classes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .api import array_function
from .context import Context, current_context
from .ndarray import NDArray
from .ndarray.creation import full

Arrays = Sequence[NDArray]


def _factor(rescale_grad: NDArray | float, like: NDArray) -> NDArray:
    """The factor of the gradient as an array of one element."""
    if isinstance(rescale_grad, NDArray):
        return rescale_grad.reshape((1,))
    return full((1,), rescale_grad, ctx=like.ctx)


def _call(name: str, *arrays: NDArray, **kwargs: Any) -> Any:
    return array_function(name)(*arrays, **kwargs)


def _side_by_side(*lists: Arrays) -> list[NDArray]:
    """weight, grad, ... of the first weight, then those of the next."""
    return [array for each in zip(*lists, strict=True) for array in each]


def adamw_update(
    weight: NDArray,
    grad: NDArray,
    mean: NDArray,
    var: NDArray,
    rescale_grad: NDArray | float,
    lr: float,
    eta: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    wd: float = 0,
    clip_gradient: float = -1,
    out: NDArray | None = None,
    name: str | None = None,
    **kwargs: Any,
) -> NDArray:
    """Adam with weight decay apart from the gradient. Nothing changes where rescale_grad is 0, NaN or infinite."""
    kwargs |= {"lr": lr, "eta": eta, "beta1": beta1, "beta2": beta2, "epsilon": epsilon, "wd": wd}
    kwargs |= {"clip_gradient": clip_gradient, "out": out}
    return _call("_adamw_update", weight, grad, mean, var, _factor(rescale_grad, weight), **kwargs)


def mp_adamw_update(
    weight: NDArray,
    grad: NDArray,
    mean: NDArray,
    var: NDArray,
    weight32: NDArray,
    rescale_grad: NDArray | float,
    lr: float,
    eta: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    wd: float = 0,
    clip_gradient: float = -1,
    out: NDArray | None = None,
    name: str | None = None,
    **kwargs: Any,
) -> NDArray:
    """`adamw_update` of a half precision weight with a float32 copy."""
    kwargs |= {"lr": lr, "eta": eta, "beta1": beta1, "beta2": beta2, "epsilon": epsilon, "wd": wd}
    kwargs |= {"clip_gradient": clip_gradient, "out": out}
    return _call("_mp_adamw_update", weight, grad, mean, var, weight32, _factor(rescale_grad, weight), **kwargs)


def multi_adamw_update(
    weights: Arrays,
    grads: Arrays,
    mean: Arrays,
    var: Arrays,
    rescale_grad: NDArray | float,
    lrs: Sequence[float],
    wds: Sequence[float],
    etas: Sequence[float],
    out: Any = None,
    name: str | None = None,
    size: int = 0,
    **kwargs: Any,
) -> Any:
    """`adamw_update` of several weights."""
    arrays = [*_side_by_side(weights, grads, mean, var), _factor(rescale_grad, weights[0])]
    kwargs |= {"lrs": lrs, "wds": wds, "etas": etas, "num_weights": size or len(weights), "out": out}
    return _call("_multi_adamw_update", *arrays, **kwargs)


def multi_mp_adamw_update(
    weights: Arrays,
    grads: Arrays,
    mean: Arrays,
    var: Arrays,
    weights32: Arrays,
    rescale_grad: NDArray | float,
    lrs: Sequence[float],
    wds: Sequence[float],
    etas: Sequence[float],
    out: Any = None,
    name: str | None = None,
    size: int = 0,
    **kwargs: Any,
) -> Any:
    """`mp_adamw_update` of several weights."""
    arrays = [*_side_by_side(weights, grads, mean, var, weights32), _factor(rescale_grad, weights[0])]
    kwargs |= {"lrs": lrs, "wds": wds, "etas": etas, "num_weights": size or len(weights), "out": out}
    return _call("_multi_mp_adamw_update", *arrays, **kwargs)


def multi_lamb_update(
    weights: Arrays,
    grads: Arrays,
    mean: Arrays,
    var: Arrays,
    step_count: Sequence[int],
    lrs: Sequence[float],
    wds: Sequence[float],
    out: Any = None,
    num_tensors: int = 0,
    **kwargs: Any,
) -> Any:
    """LAMB's step of several weights; step_count says for each how many there have been, this one included."""
    kwargs |= {"learning_rates": lrs, "wds": wds, "step_count": step_count, "out": out}
    arrays = _side_by_side(weights, grads, mean, var)
    return _call("_multi_lamb_update", *arrays, num_tensors=num_tensors or len(weights), **kwargs)


def multi_mp_lamb_update(
    weights: Arrays,
    grads: Arrays,
    mean: Arrays,
    var: Arrays,
    weights32: Arrays,
    step_count: Sequence[int],
    lrs: Sequence[float],
    wds: Sequence[float],
    out: Any = None,
    num_tensors: int = 0,
    **kwargs: Any,
) -> Any:
    """`multi_lamb_update` of half precision weights with float32 copies."""
    kwargs |= {"learning_rates": lrs, "wds": wds, "step_count": step_count, "out": out}
    arrays = _side_by_side(weights, grads, mean, var, weights32)
    return _call("_multi_mp_lamb_update", *arrays, num_tensors=num_tensors or len(weights), **kwargs)


def rand_zipfian(
    true_classes: NDArray, num_sampled: int, range_max: int, ctx: Context | None = None
) -> tuple[NDArray, NDArray, NDArray]:
    """Draws classes of which class c has the probability log((c + 2) / (c + 1)) / log(range_max + 1).

    Returns them, and how often each of `true_classes` and of those drawn is expected among so many.
    """
    whole = math.log(range_max + 1)
    ctx = ctx or current_context()
    uniform = array_function("_random_uniform")(
        low=0.0, high=whole, shape=(num_sampled,), dtype="float64", ctx=str(ctx)
    )
    drawn = (uniform.exp() - 1).astype("int64") % range_max

    def expected(classes: NDArray) -> NDArray:
        wide = classes.as_in_context(ctx).astype("float64")
        return ((wide + 2) / (wide + 1)).log() * (num_sampled / whole)

    return drawn, expected(true_classes), expected(drawn)


FUNCTIONS = {
    f.__name__: f
    for f in (
        adamw_update,
        mp_adamw_update,
        multi_adamw_update,
        multi_lamb_update,
        multi_mp_adamw_update,
        multi_mp_lamb_update,
        rand_zipfian,
    )
}
