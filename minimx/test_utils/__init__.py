"""What programs use to test themselves: comparing arrays, making random ones, and checking operators and their gradients."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ..base import MXNetError
from ..context import Context, current_context, num_gpus
from .check import (
    check_consistency,
    check_numeric_gradient,
    check_speed,
    check_symbolic_backward,
    check_symbolic_forward,
    numeric_grad,
    same_symbol_structure,
    simple_forward,
)
from .compare import (
    almost_equal,
    almost_equal_ignore_nan,
    assert_allclose,
    assert_almost_equal,
    assert_almost_equal_ignore_nan,
    assert_almost_equal_with_err,
    assert_exception,
    compare_ndarray_tuple,
    default_atols,
    default_dtype,
    default_numeric_eps,
    default_rtols,
    effective_dtype,
    find_max_violation,
    get_atol,
    get_etol,
    get_rtol,
    get_tolerance,
    get_tols,
    np_reduce,
    same,
    same_array,
)
from .generate import (
    chi_square_check,
    gen_buckets_probs_with_ppf,
    mean_check,
    rand_coord_2d,
    rand_ndarray,
    rand_shape_2d,
    rand_shape_3d,
    rand_shape_nd,
    rand_sparse_ndarray,
    random_arrays,
    random_sample,
    random_uniform_arrays,
    var_check,
    verify_generator,
)

__all__ = [
    "DummyIter",
    "almost_equal",
    "almost_equal_ignore_nan",
    "assert_allclose",
    "assert_almost_equal",
    "assert_almost_equal_ignore_nan",
    "assert_almost_equal_with_err",
    "assert_exception",
    "check_consistency",
    "check_numeric_gradient",
    "check_speed",
    "check_symbolic_backward",
    "check_symbolic_forward",
    "chi_square_check",
    "compare_ndarray_tuple",
    "default_atols",
    "default_context",
    "default_dtype",
    "default_numeric_eps",
    "default_rtols",
    "download",
    "effective_dtype",
    "environment",
    "find_max_violation",
    "gen_buckets_probs_with_ppf",
    "get_atol",
    "get_cifar10",
    "get_etol",
    "get_mnist",
    "get_mnist_iterator",
    "get_mnist_ubyte",
    "get_rtol",
    "get_tolerance",
    "get_tols",
    "list_gpus",
    "mean_check",
    "np_reduce",
    "numeric_grad",
    "rand_coord_2d",
    "rand_ndarray",
    "rand_shape_2d",
    "rand_shape_3d",
    "rand_shape_nd",
    "rand_sparse_ndarray",
    "random_arrays",
    "random_sample",
    "random_uniform_arrays",
    "retry",
    "same",
    "same_array",
    "same_symbol_structure",
    "set_default_context",
    "set_env_var",
    "simple_forward",
    "var_check",
    "verify_generator",
]


def default_context() -> Context:
    """Where the functions of this module compute when they are not told."""
    return current_context()


def set_default_context(ctx: Context) -> None:
    """Makes `ctx` the context that arrays are made in when none is named, outside of `with` blocks."""
    Context.default_ctx = Context(ctx)


def list_gpus() -> list[int]:
    """The numbers of the gpu devices."""
    return list(range(num_gpus()))


def retry(n: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator for a test that draws random numbers: it fails when it fails `n` times in a row."""
    if n < 1:
        raise ValueError(f"retry needs at least one try, got {n}")

    def decorate(test: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(test)
        def repeated(*args: Any, **kwargs: Any) -> Any:
            for left in reversed(range(n)):
                try:
                    return test(*args, **kwargs)
                except AssertionError:
                    if not left:
                        raise

        return repeated

    return decorate


def set_env_var(key: str, val: str, default_val: str = "") -> str:
    """Sets an environment variable and returns what it was."""
    old = os.environ.get(key, default_val)
    os.environ[key] = val
    return old


@contextmanager
def environment(*args: Any) -> Iterator[None]:
    """`with environment("NAME", "value")`, or with a dict: sets variables inside the block; None removes one."""
    changes = dict(args[0]) if len(args) == 1 else {args[0]: args[1]}
    before = {name: os.environ.get(name) for name in changes}
    _set_all(changes)
    try:
        yield
    finally:
        _set_all(before)


def _set_all(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = str(value)


class DummyIter:
    """Gives the first batch of an iterator again and again: for measuring without reading."""

    def __init__(self, real_iter: Any):
        self.real_iter = real_iter
        self.provide_data = real_iter.provide_data
        self.provide_label = real_iter.provide_label
        self.batch_size = real_iter.batch_size
        self.the_batch = next(real_iter)

    def __iter__(self) -> DummyIter:
        return self

    def next(self) -> Any:
        return self.the_batch

    __next__ = next

    def reset(self) -> None:
        """Does nothing: there is no end to come back from."""


def _needs_download(name: str) -> Callable[..., Any]:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise MXNetError(
            f"test_utils.{name} would download files, which minimx does not; minimx.digits has digits built in"
        )

    refuse.__name__ = name
    return refuse


download = _needs_download("download")
get_mnist = _needs_download("get_mnist")
get_mnist_ubyte = _needs_download("get_mnist_ubyte")
get_mnist_iterator = _needs_download("get_mnist_iterator")
get_cifar10 = _needs_download("get_cifar10")
