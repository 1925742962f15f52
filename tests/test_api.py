"""mx.sym.NAME and mx.nd.NAME: derived functions have MXNet's names, signatures and defaults, and say what is wrong."""

import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minimx as mx
import minimx.ops  # registers the operators
from minimx.api import documentation, operator_names
from minimx.base import GraphError, MXNetError, ParameterError
from minimx.op import OPERATORS, REGISTRY

MXNET = json.loads((Path(__file__).parent / "golden" / "symbols" / "op_registry.json").read_text())

# Where the table of MXNet is wrong about MXNet: it lists these inputs or counts in another way than the functions take
# them, or lacks parameters that the functions have.
OTHER_ARGUMENTS = {"_linspace", "add_n", "fill_element_0index", "_CrossDeviceCopy", "Crop", "Custom", "khatri_rao"}
OTHER_ARGUMENTS |= {"all_finite", "_onehot_encode"}
BOTH = sorted(n for n in OPERATORS if n in MXNET and "args" in MXNET[n] and n not in OTHER_ARGUMENTS)


@pytest.mark.parametrize("name", BOTH)
def test_arguments_are_those_of_mxnet(name):
    op, args = OPERATORS[name], dict(MXNET[name]["args"])
    inputs = [n for n, kind in args.items() if "Symbol" in kind]
    stated = MXNET[name].get("variable_args_count_param")  # missing for some that take any number of inputs
    assert op.count == stated or (stated is None and "NDArray-or-Symbol[]" in args.values())
    without_states = [n for n in op.inputs if n not in op.aux]  # which the table leaves out for some
    assert op.count or inputs in (list(op.inputs), without_states)
    assert list(op.params) == [n for n in args if n not in inputs]


@pytest.mark.parametrize("name", BOTH)
def test_defaults_are_those_of_mxnet(name):
    op = OPERATORS[name]
    for key, kind in MXNET[name]["args"]:
        stated = re.search(r"default='?(.*?)'?$", kind)
        if key not in op.params or stated is None or name in OTHER_ARGUMENTS:
            continue  # a parameter may be optional here though MXNet wants it
        param, text = op.params[key], stated.group(1).replace("[", "(").replace("]", ")")
        assert not param.required, key
        if kind.startswith("Shape") and text == "None":
            assert not param.default, key
            continue
        expected = param.parse(text)
        if isinstance(expected, float):
            # MXNet's table shows the decimals of a float32
            assert param.default == pytest.approx(expected, rel=1e-6), key
        else:
            assert param.default == expected, key


@pytest.mark.parametrize("name", [n for n, entry in MXNET.items() if entry.get("alias_of") in REGISTRY])
def test_aliases_are_those_of_mxnet(name):
    assert name in REGISTRY, f"{MXNET[name]['alias_of']} is also called {name}"
    assert REGISTRY[name].name == MXNET[name]["alias_of"]


@pytest.mark.parametrize("module", [mx.sym, mx.nd], ids=["sym", "nd"])
def test_every_operator_is_a_function_with_a_signature(module):
    for public, registered in operator_names().items():
        if public == "Custom":
            continue  # takes what the registered class says
        function = getattr(module.op, public)
        op = REGISTRY[registered]
        names = list(inspect.signature(function).parameters)
        expected = ["data"] if op.count else list(op.inputs)
        assert names[: len(expected)] == expected
        assert set(op.params) <= set(names)
        assert function.__doc__ == documentation(op)
        assert function.__name__ == public


def test_every_operator_and_parameter_is_documented():
    silent = [n for n, op in OPERATORS.items() if not (op.__doc__ or "").strip()]
    silent += [f"{n}.{key}" for n, op in OPERATORS.items() for key, param in op.params.items() if not param.doc]
    assert not silent


def test_namespaces():
    assert mx.sym.op.FullyConnected is mx.sym.FullyConnected
    assert mx.sym._internal._plus_scalar(mx.sym.Variable("x"), scalar=2).name.startswith("_plus_scalar")
    assert "FullyConnected" in dir(mx.sym)
    assert "_plus_scalar" in dir(mx.nd._internal)
    assert mx.symbol is mx.sym
    assert mx.ndarray is mx.nd
    for name in ("contrib", "linalg", "image", "random"):
        for module in (mx.sym, mx.nd):
            assert getattr(module, name).__name__ == f"{module.__name__}.{name}"


def test_arguments_by_position_and_by_name():
    x = mx.sym.Variable("x")
    assert mx.sym.clip(x, 0, 1).attr("a_max") == "1"
    assert mx.sym.clip(data=x, a_min=0, a_max=1).attr("a_max") == "1"
    assert mx.sym.FullyConnected(x, None, x, 5).list_arguments()[0] == "x"
    assert (mx.nd.clip(mx.nd.array([1, 5]), 2, 3).asnumpy() == [2, 3]).all()


# Methods that NDArray and Symbol have in MXNet, each the operator or function of that name.
METHODS = (
    "abs arccos arccosh arcsin arcsinh arctan arctanh argmax argmax_channel argmin argsort astype broadcast_axes "
    "broadcast_like broadcast_to cbrt ceil clip cos cosh degrees depth_to_space diag exp expand_dims expm1 fix flatten flip "
    "floor log log10 log1p log2 log_softmax max mean min nanprod nansum norm one_hot ones_like pad pick prod radians rcbrt "
    "reciprocal relu repeat reshape reshape_like rint round rsqrt shape_array sigmoid sign sin sinh size_array slice "
    "slice_axis slice_like softmax softmin sort space_to_depth split split_v2 sqrt square squeeze sum swapaxes take tan "
    "tanh tile topk transpose trunc zeros_like"
)


@pytest.mark.parametrize("name", METHODS.split())
def test_methods_of_mxnet(name):
    assert callable(getattr(mx.sym.Variable("x"), name))
    assert callable(getattr(mx.nd.zeros((2, 2)), name))


@pytest.mark.parametrize("name", ["isnan", "isinf", "isfinite"])
def test_contrib_functions(name):
    values = np.array([1, np.nan, np.inf, -np.inf, 0], np.float32)
    expected = getattr(np, name)(values)
    array = mx.nd.array(values)
    assert (getattr(mx.nd.contrib, name)(array).asnumpy() == expected).all()
    (result,) = getattr(mx.sym.contrib, name)(mx.sym.Variable("x")).eval(x=array)
    assert (result.asnumpy() == expected).all()


X = mx.sym.Variable("x")
WRONG = [
    (
        lambda: mx.sym.FullyConnected(X, num_hiden=3),
        ParameterError,
        "no parameter 'num_hiden'; did you mean num_hidden",
    ),
    (lambda: mx.sym.FullyConnected(X), ParameterError, "num_hidden .* is missing"),
    (lambda: mx.sym.FullyConnected(X, num_hidden="3.5"), ParameterError, "num_hidden must be an integer of at least 1"),
    (lambda: mx.sym.FullyConnected(X, num_hidden=0), ParameterError, "num_hidden must be an integer of at least 1"),
    (lambda: mx.sym.FullyConnected(3, num_hidden=3), GraphError, "the input data must be a Symbol, got 3"),
    (lambda: mx.sym.FullyConnected(X, num_hidden=3, foo=X), GraphError, "no input 'foo'"),
    (lambda: mx.sym.FullyConnected(X, data=X, num_hidden=3), ParameterError, "data was given twice"),
    (lambda: mx.sym.FullyConnected(X, no_bias=True, bias=X, num_hidden=3), GraphError, "no input 'bias'"),
    (lambda: mx.sym.clip(X, 1, 2, 3), ParameterError, "clip: takes at most 3 arguments"),
    (lambda: mx.sym.Concat(X, 3), ParameterError, "an input must be a Symbol, got 3"),
    (lambda: mx.sym.FullyConnected(mx.sym.Group([X, X]), num_hidden=3), GraphError, "must have one output"),
    (
        lambda: mx.nd.FullyConnected(mx.nd.zeros((2, 2)), num_hidden=2),
        GraphError,
        "3 inputs .data, weight, bias., got 1",
    ),
    (lambda: mx.nd.clip(mx.nd.zeros(2), a_min=0), ParameterError, "a_max .* is missing"),
    (lambda: mx.nd.clip(3, 0, 1), MXNetError, "must be an NDArray"),
    (lambda: mx.sym.FullyConected, AttributeError, "did you mean FullyConnected"),
    (lambda: mx.nd.FullyConected, AttributeError, "did you mean FullyConnected"),
]


@pytest.mark.parametrize("number", range(len(WRONG)))
def test_mistakes_are_one_clear_sentence(number):
    call, error, message = WRONG[number]
    with pytest.raises(error, match=message) as raised:
        call()
    assert "\n" not in str(raised.value)


def test_import_is_fast():
    """Operators are loaded when mx.sym or mx.nd is first used, functions when they are first asked for."""
    code = "import numpy, time; t = time.perf_counter(); import minimx; print(time.perf_counter() - t)"
    seconds = min(float(subprocess.check_output([sys.executable, "-c", code])) for _ in range(3))
    assert seconds < 0.2
