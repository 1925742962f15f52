"""Control flow on arrays: mx.nd.contrib.foreach, while_loop and cond. Python's own, so recording and gradients are those of
the operators inside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..base import GraphError
from ..nested import flatten, rebuild_like
from .ndarray import NDArray


def foreach(body: Callable[..., Any], data: Any, init_states: Any) -> tuple[Any, Any]:
    """Calls `body(entry, states)`, which returns (outputs, new states), for every entry along the first axis of `data`.

    The outputs of all steps, joined along a new first axis, and the states after the last one. Data, states and outputs may
    be arrays or lists of them.
    """
    arrays = [_array(a, "foreach: data") for a in flatten(data)]
    if not arrays:
        raise GraphError("foreach: there must be data to walk along")
    lengths = {a.shape[0] for a in arrays}
    if len(lengths) > 1:
        raise GraphError(f"foreach: the first axes of data must have one size, got {sorted(lengths)}")
    states, form, steps = init_states, None, []
    for i in range(lengths.pop()):
        form, states = body(rebuild_like(data, [a[i] for a in arrays]), states)
        steps.append([_array(o, "foreach: an output") for o in flatten(form)])
    return _joined(form, steps), states


def while_loop(
    cond: Callable[..., Any], func: Callable[..., Any], loop_vars: Any, max_iterations: int | None = None
) -> tuple[Any, Any]:
    """Calls `func(*loop_vars)`, which returns (outputs, new loop variables), while `cond(*loop_vars)` is not 0, at most
    `max_iterations` times.

    The outputs of all steps, joined along a first axis of max_iterations entries (0 where a step did not happen), and the
    loop variables after the last one. Without any step there are no outputs.
    """
    if max_iterations is None:
        raise GraphError("while_loop: max_iterations must be given")
    single = isinstance(loop_vars, NDArray)
    loop_vars = [loop_vars] if single else list(loop_vars)
    if not loop_vars:
        raise GraphError("while_loop: there must be a loop variable")
    form: Any = None
    steps: list[list[NDArray]] = []
    while len(steps) < max_iterations and _true(cond(*loop_vars)):
        outputs, after = func(*loop_vars)
        form = [] if outputs is None else outputs
        after = [after] if isinstance(after, NDArray) else list(after)
        if len(flatten(after)) != len(flatten(loop_vars)):
            raise GraphError(
                f"while_loop: func got {len(flatten(loop_vars))} loop variables and returned {len(flatten(after))}"
            )
        loop_vars = after
        steps.append([_array(o, "while_loop: an output") for o in flatten(form)])
    return _joined(form, steps, max_iterations), loop_vars


def cond(pred: Any, then_func: Callable[[], Any], else_func: Callable[[], Any]) -> Any:
    """`then_func()` where the number `pred` is not 0, else `else_func()`."""
    return then_func() if _true(pred) else else_func()


def _array(value: Any, what: str) -> NDArray:
    if not isinstance(value, NDArray):
        raise GraphError(f"{what} must be an NDArray, got {type(value).__name__} {value!r}")
    return value


def _true(value: Any) -> bool:
    if not isinstance(value, NDArray):
        return bool(value)
    if value.size != 1:
        raise GraphError(f"a condition must be one number, got shape {value.shape}")
    return bool(value.asscalar())


def _joined(form: Any, steps: list[list[NDArray]], size: int | None = None) -> Any:
    """The outputs of all steps, with zeros behind them up to `size` entries."""
    from . import concat, stack, zeros

    if not steps:
        return []
    results = []
    for outputs in zip(*steps, strict=True):
        whole = stack(*outputs, axis=0)
        missing = (size or len(steps)) - len(steps)
        if missing:
            rest = zeros((missing, *outputs[0].shape), outputs[0].context, outputs[0].dtype)
            whole = concat(whole, rest, dim=0)
        results.append(whole)
    return rebuild_like(form, results)


FUNCTIONS = {f.__name__: f for f in (cond, foreach, while_loop)}
