"""Checks of symbols: forward, backward, against finite differences, and across contexts.

Expected gradients come from finite differences in float64, whatever dtype the checked gradient is computed in, so that a
tolerance can be as tight as the dtype allows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..context import Context, current_context
from ..ndarray import NDArray, array
from ..symbol import Symbol
from .compare import as_numpy, assert_almost_equal, default_dtype, default_numeric_eps
from .generate import no_sparse

# ---- running symbols -------------------------------------------------------------------------------------------------


def _by_name(names: Sequence[str], given: Any, what: str, ctx: Context, dtype: Any) -> dict[str, NDArray]:
    """Arrays along `names`, from a list in that order or a dict."""
    if given is None:
        return {}
    if isinstance(given, Mapping):
        unknown = set(given) - set(names)
        if unknown:
            raise ValueError(f"{what}: there is no {', '.join(sorted(unknown))}; the symbol has {', '.join(names)}")
    else:
        if len(given) != len(names):
            raise ValueError(f"{what}: {len(names)} arrays are needed ({', '.join(names)}), got {len(given)}")
        given = dict(zip(names, given, strict=True))
    return {n: _on(v, ctx, dtype) for n, v in given.items() if v is not None}


def _on(value: Any, ctx: Context, dtype: Any) -> NDArray:
    """The array on `ctx`; floating ones, and ones without a dtype of their own, in `dtype`."""
    kind = np.dtype(getattr(value, "dtype", np.float64))
    if isinstance(dtype, str) and dtype in ("asnumpy", "default"):
        return array(as_numpy(value), ctx, kind)
    return array(as_numpy(value), ctx, dtype if kind.kind == "f" else kind)


def _is_float(value: NDArray) -> bool:
    return np.dtype(value.dtype).kind == "f"


def simple_forward(sym: Symbol, ctx: Context | None = None, is_train: bool = False, **inputs: Any) -> Any:
    """The outputs of a symbol as NumPy arrays (one alone when there is one)."""
    ctx = ctx or current_context()
    args = {n: array(v, ctx, default_dtype()) for n, v in inputs.items()}
    executor = sym.bind(ctx, args=args)
    outputs = [o.asnumpy() for o in executor.forward(is_train=is_train)]
    return outputs[0] if len(outputs) == 1 else outputs


def check_symbolic_forward(
    sym: Symbol,
    location: Any,
    expected: Any,
    rtol: Any = None,
    atol: Any = None,
    aux_states: Any = None,
    ctx: Context | None = None,
    equal_nan: bool = False,
    dtype: Any = np.float32,
) -> list[np.ndarray]:
    """Runs a symbol on the arrays of `location` and compares its outputs with `expected`; both are lists or dicts."""
    ctx = ctx or current_context()
    args = _by_name(sym.list_arguments(), location, "location", ctx, dtype)
    aux = _by_name(sym.list_auxiliary_states(), aux_states, "aux_states", ctx, dtype)
    names = sym.list_outputs()
    wanted = [expected[n] for n in names] if isinstance(expected, Mapping) else expected
    executor = sym.bind(ctx, args=args, aux_states=aux, grad_req="null")
    outputs = [o.asnumpy() for o in executor.forward(is_train=False)]
    for name, output, value in zip(names, outputs, wanted, strict=True):
        _compare(output, value, rtol, atol, ("forward " + name, "expected " + name), equal_nan, dtype)
    return outputs


def check_symbolic_backward(
    sym: Symbol,
    location: Any,
    out_grads: Any,
    expected: Any,
    rtol: Any = None,
    atol: Any = None,
    aux_states: Any = None,
    grad_req: Any = "write",
    ctx: Context | None = None,
    grad_stypes: Any = None,
    equal_nan: bool = False,
    dtype: Any = np.float32,
) -> dict[str, np.ndarray]:
    """Runs a symbol forward and backward and compares the gradients named in `expected`.

    With grad_req 'add' the gradients start from random numbers; with 'null' they must stay what they were.
    """
    _dense_only("check_symbolic_backward", grad_stypes)
    ctx = ctx or current_context()
    names = sym.list_arguments()
    args = _by_name(names, location, "location", ctx, dtype)
    aux = _by_name(sym.list_auxiliary_states(), aux_states, "aux_states", ctx, dtype)
    wanted = dict(expected) if isinstance(expected, Mapping) else dict(zip(names, expected, strict=True))
    before = {n: np.random.normal(size=np.shape(as_numpy(v))) for n, v in wanted.items()}
    grads = {n: array(v, ctx, args[n].dtype) for n, v in before.items()}
    before = {n: g.asnumpy() for n, g in grads.items()}
    if isinstance(grad_req, str):
        reqs = dict.fromkeys(wanted, grad_req)
    else:
        reqs = dict(grad_req) if isinstance(grad_req, Mapping) else dict(zip(names, grad_req, strict=True))
    executor = sym.bind(
        ctx, args=args, args_grad=grads, grad_req={n: reqs.get(n, "null") for n in names}, aux_states=aux
    )
    executor.forward(is_train=True)
    if isinstance(out_grads, Mapping):
        out_grads = [out_grads[n] for n in sym.list_outputs()]
    elif isinstance(out_grads, (NDArray, np.ndarray)):
        out_grads = [out_grads]
    executor.backward(None if out_grads is None else [_on(g, ctx, dtype) for g in out_grads])
    result = {n: g.asnumpy() for n, g in grads.items()}
    for name, value in wanted.items():
        request = reqs.get(name, "null")
        if request == "null":
            expected_grad = before[name]
        else:
            expected_grad = as_numpy(value) + (before[name] if request == "add" else 0)
        labels = (f"gradient of {name}", f"expected gradient of {name}")
        _compare(result[name], expected_grad, rtol, atol, labels, equal_nan, dtype)
    return result


def _compare(a: Any, b: Any, rtol: Any, atol: Any, names: tuple[str, str], equal_nan: bool, dtype: Any) -> None:
    """assert_almost_equal where the tolerance is that of the dtype that was computed in."""
    b = as_numpy(b)
    kind = a.dtype if isinstance(dtype, str) else np.dtype(dtype)
    b = b.astype(kind) if b.dtype.kind == "f" else b
    assert_almost_equal(a, b, rtol, atol, names, equal_nan)


def _dense_only(name: str, stypes: Any) -> None:
    for stype in (stypes.values() if isinstance(stypes, Mapping) else stypes) or ():
        if stype not in (None, "default"):
            raise no_sparse(name, stype)


# ---- gradients and speed ---------------------------------------------------------------------------------------------


def numeric_grad(
    executor: Any,
    location: Mapping[str, Any],
    aux_states: Mapping[str, Any] | None = None,
    eps: float = 1e-4,
    use_forward_train: bool = True,
    dtype: Any = np.float32,
) -> dict[str, np.ndarray]:
    """Central differences of the sum of an executor's first output by every element of the arrays of `location`."""
    return _differences(executor, location, aux_states or {}, eps, use_forward_train, lambda outputs: outputs[0].sum())


def _differences(
    executor: Any,
    location: Mapping[str, Any],
    aux: Mapping[str, Any],
    eps: float,
    train: bool,
    value_of: Callable[[list[np.ndarray]], float],
) -> dict[str, np.ndarray]:
    def run() -> float:
        for name, state in aux.items():
            executor.aux_dict[name][:] = state
        return float(value_of([o.asnumpy().astype(np.float64) for o in executor.forward(is_train=train)]))

    grads = {}
    for name, value in location.items():
        target = executor.arg_dict[name]
        start = np.array(as_numpy(value), target.dtype)
        moved, grad = start.copy(), np.zeros(start.shape)
        for at in np.ndindex(start.shape):
            # What was really stepped: x + eps is rounded.
            moved[at] = start[at] + eps / 2
            high = float(moved[at])
            target[:] = moved
            above = run()
            moved[at] = start[at] - eps / 2
            low = float(moved[at])
            target[:] = moved
            grad[at] = (above - run()) / (high - low)
            moved[at] = start[at]
        target[:] = start
        grads[name] = grad
    return grads


def check_numeric_gradient(
    sym: Symbol,
    location: Any,
    aux_states: Any = None,
    numeric_eps: float | None = None,
    rtol: Any = None,
    atol: Any = None,
    grad_nodes: Any = None,
    use_forward_train: bool = True,
    ctx: Context | None = None,
    grad_stype_dict: Any = None,
    dtype: Any = np.float32,
) -> None:
    """Compares a symbol's gradients with finite differences, for all floating arguments or those in `grad_nodes`.

    The quantity that is differentiated is a random combination of all output elements. `grad_nodes` may also be a dict
    from name to grad_req.
    """
    _dense_only("check_numeric_gradient", grad_stype_dict)
    ctx = ctx or current_context()
    names = sym.list_arguments()
    args = _by_name(names, location, "location", ctx, dtype)
    aux = _by_name(sym.list_auxiliary_states(), aux_states, "aux_states", ctx, dtype)
    if grad_nodes is None:
        grad_nodes = [n for n in names if _is_float(args[n])]
    reqs = dict(grad_nodes) if isinstance(grad_nodes, Mapping) else dict.fromkeys(grad_nodes, "write")

    before = {n: np.random.normal(size=args[n].shape) for n, req in reqs.items() if req != "null"}
    grads = {n: array(v, ctx, args[n].dtype) for n, v in before.items()}
    before = {n: g.asnumpy() for n, g in grads.items()}
    executor = sym.bind(
        ctx,
        args={n: v.copy() for n, v in args.items()},
        args_grad=grads,
        grad_req={n: reqs.get(n, "null") for n in names},
        aux_states={n: v.copy() for n, v in aux.items()},
    )
    outputs = executor.forward(is_train=True)
    weights = [np.random.uniform(0.1, 1.0, o.shape).astype(o.dtype) for o in outputs]
    executor.backward([array(w, ctx, o.dtype) for w, o in zip(weights, outputs, strict=True)])

    def double(arrays: Mapping[str, NDArray]) -> dict[str, NDArray]:
        return {n: array(v.asnumpy(), ctx, np.float64 if _is_float(v) else v.dtype) for n, v in arrays.items()}

    exact_args, exact_aux = double(args), double(aux)
    exact = sym.bind(ctx, args=exact_args, aux_states=double(aux), grad_req="null")
    eps = default_numeric_eps()[np.dtype(np.float64)] if numeric_eps is None else numeric_eps
    expected = _differences(
        exact,
        {n: exact_args[n].asnumpy() for n in before},
        {n: v.asnumpy() for n, v in exact_aux.items()},
        eps,
        use_forward_train,
        lambda outs: sum((w * o).sum() for w, o in zip(weights, outs, strict=True)),
    )
    for name, value in expected.items():
        got = grads[name].asnumpy() - (before[name] if reqs[name] == "add" else 0)
        labels = (f"gradient of {name}", f"finite differences of {name}")
        _compare(got, value, rtol, atol, labels, False, dtype)


def check_consistency(
    sym: Any,
    ctx_list: Sequence[Mapping[str, Any]],
    scale: float = 1.0,
    grad_req: Any = "write",
    arg_params: Mapping[str, Any] | None = None,
    aux_params: Mapping[str, Any] | None = None,
    rtol: Any = None,
    atol: Any = None,
    raise_on_err: bool = True,
    ground_truth: Mapping[str, Any] | None = None,
    equal_nan: bool = False,
    use_uniform: bool = False,
    rand_type: Any = np.float64,
) -> dict[str, np.ndarray]:
    """Runs a symbol (or one per entry) in several contexts and dtypes and compares outputs and gradients.

    Each entry of `ctx_list` holds `ctx`, a shape for each input and optionally `type_dict`. The entry with the most
    accurate dtype is the ground truth, unless one is given; it is returned as a dict of arrays.
    """
    syms = [sym] * len(ctx_list) if isinstance(sym, Symbol) else list(sym)
    executors = []
    for one, entry in zip(syms, ctx_list, strict=True):
        shapes = {k: v for k, v in entry.items() if k not in ("ctx", "type_dict")}
        executors.append(one.simple_bind(entry["ctx"], grad_req=grad_req, type_dict=entry.get("type_dict"), **shapes))
    given_args, given_aux = dict(arg_params or {}), dict(aux_params or {})
    for name, value in executors[0].arg_dict.items():
        if name not in given_args:
            draw = np.random.uniform if use_uniform else np.random.normal
            sizes = (-0.5 * scale, 0.5 * scale) if use_uniform else (0.0, scale)
            given_args[name] = draw(*sizes, value.shape).astype(rand_type)
    for name in executors[0].aux_dict:
        given_aux.setdefault(name, 0)

    found = []
    for executor in executors:
        for name, value in executor.arg_dict.items():
            value[:] = given_args[name]
        for name, value in executor.aux_dict.items():
            value[:] = given_aux[name]
        for grad in executor.grad_arrays:
            if grad is not None:
                grad[:] = 0
        found.append(_results(executor, syms[0].list_outputs(), grad_req))

    sizes = [min(np.dtype(o.dtype).itemsize for o in executor.outputs) for executor in executors]
    truth = dict(ground_truth) if ground_truth else found[int(np.argmax(sizes))]
    for number, result in enumerate(found):
        for name, value in result.items():
            try:
                assert_almost_equal(
                    value, truth[name].astype(value.dtype), rtol, atol, (f"{name} of {number}", "truth"), equal_nan
                )
            except AssertionError as error:
                if raise_on_err:
                    raise AssertionError(f"{ctx_list[number]['ctx']}: {error}") from None
                print(f"{ctx_list[number]['ctx']}: {error}")
    return truth


def _results(executor: Any, names: Sequence[str], grad_req: Any) -> dict[str, np.ndarray]:
    """Outputs and, when asked for, gradients of an executor by name. Head gradients are the outputs themselves."""
    outputs = executor.forward(is_train=grad_req != "null")
    result = {name: value.asnumpy() for name, value in zip(names, outputs, strict=True)}
    if grad_req != "null":
        executor.backward([o.copy() for o in outputs])
        result |= {f"{n}_grad": g.asnumpy() for n, g in executor.grad_dict.items() if g is not None}
    return result


def check_speed(
    sym: Symbol,
    location: Mapping[str, Any] | None = None,
    ctx: Context | None = None,
    N: int = 20,
    grad_req: Any = None,
    typ: str = "whole",
    **kwargs: Any,
) -> float:
    """Seconds for one forward and backward pass (typ 'whole') or one forward pass (typ 'forward'), the mean of N.

    Inputs are `location`, or random arrays of the shapes given as keyword arguments.
    """
    if typ not in ("whole", "forward"):
        raise ValueError(f"typ must be 'whole' or 'forward', got {typ!r}")
    ctx = ctx or current_context()
    shapes = {n: as_numpy(v).shape for n, v in location.items()} if location else kwargs
    executor = sym.simple_bind(ctx, grad_req=grad_req or "write", **shapes)
    for name, value in executor.arg_dict.items():
        value[:] = location[name] if location and name in location else np.random.normal(size=value.shape)

    def run() -> None:
        executor.forward(is_train=typ == "whole")
        if typ == "whole":
            executor.backward([o.copy() for o in executor.outputs])

    def finish() -> None:
        for value in (*executor.outputs, *(g for g in executor.grad_arrays if g is not None)):
            value.wait_to_read()

    run()
    finish()
    start = time.perf_counter()
    for _ in range(N):
        run()
    finish()
    return (time.perf_counter() - start) / N


def same_symbol_structure(sym1: Symbol, sym2: Symbol) -> bool:
    """Whether two symbols are the same operators connected in the same way, whatever their names."""
    first, second = sym1.get_internals(), sym2.get_internals()
    if len(first) != len(second):
        return False
    place1 = {name: i for i, name in enumerate(first.list_outputs())}
    place2 = {name: i for i, name in enumerate(second.list_outputs())}
    for one, other in zip(first, second, strict=True):
        inputs1, inputs2 = one.get_children(), other.get_children()
        if (inputs1 is None) != (inputs2 is None):
            return False
        if inputs1 is not None and [place1[n] for n in inputs1.list_outputs()] != [
            place2[n] for n in inputs2.list_outputs()
        ]:
            return False
    return True
