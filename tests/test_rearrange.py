"""Operators that rearrange: what Reshape's codes mean, what costs nothing, and what is said about mistakes."""

import numpy as np
import pytest

import minimx as mx
from minimx import test_utils
from minimx.base import ParameterError, ShapeError
from minimx.graph import Graph, apply, apply_all, variable
from minimx.op import find
from minimx.ops.shape import reshaped
from minimx.passes.expand import expand
from minimx.passes.lower import lower
from minimx.strided import Walk, contiguous


def x(*shape, name="x"):
    return variable(name, shape, "float32", ("cpu", 0))


def kernels(*outputs):
    """The calls that computing the values takes."""
    arguments = {}
    for value in outputs:
        stack = [value.node]
        while stack:
            node = stack.pop()
            if node.op is None:
                arguments[node.name] = node.outputs[0]
            stack += [v.node for v in node.inputs]
    graph = Graph(arguments, {}, list(outputs), [f"out{i}" for i in range(len(outputs))])
    return [call.kernel for call in lower(expand(graph)).calls]


# ---- the codes of Reshape --------------------------------------------------------------------------------------------

CODES = [
    ((2, 3, 4), (4, 0, 2), (4, 3, 2)),
    ((2, 3, 4), (2, 0, 0), (2, 3, 4)),
    ((2, 3, 4), (6, 1, -1), (6, 1, 4)),
    ((2, 3, 4), (3, -1, 8), (3, 1, 8)),
    ((2, 3, 4), (-1,), (24,)),
    ((2, 3, 4), (-2,), (2, 3, 4)),
    ((2, 3, 4), (2, -2), (2, 3, 4)),
    ((2, 3, 4), (-2, 1, 1), (2, 3, 4, 1, 1)),
    ((2, 3, 4), (-3, 4), (6, 4)),
    ((2, 3, 4, 5), (-3, -3), (6, 20)),
    ((2, 3, 4), (0, -3), (2, 12)),
    ((2, 3, 4), (-3, -2), (6, 4)),
    ((2, 3, 4), (-4, 1, 2, -2), (1, 2, 3, 4)),
    ((2, 3, 4), (2, -4, -1, 3, -2), (2, 1, 3, 4)),
    ((8, 3, 3, 3, 4, 4), (-4, 4, 2, 0, 0, -3, -1), (4, 2, 3, 3, 12, 4)),
]


@pytest.mark.parametrize("shape, codes, expected", CODES)
def test_codes(shape, codes, expected):
    assert reshaped(shape, codes, False) == expected


@pytest.mark.parametrize(
    "shape, codes, expected",
    [
        ((10, 5, 4), (-1, 0), (50, 4)),
        ((8, 3, 3, 3, 4, 4), (-1, -3, 0, 0), (24, 9, 4, 4)),
        ((2, 3, 4), (-2, 0), (2, 3, 4)),
        ((2, 3, 8), (0, 0, -4, 2, -1), (2, 3, 2, 4)),
    ],
)
def test_codes_from_the_right(shape, codes, expected):
    assert reshaped(shape, codes, True) == expected


def test_unknown_dimensions_stay_unknown():
    assert reshaped((-1, 3, 4), (0, -1), False) == (-1, -1)
    assert reshaped((-1, 3, 4), (0, -3), False) == (-1, 12)
    assert reshaped((-1, 3, 4), (-1, 12), False) == (-1, 12)
    assert reshaped((-1, 6), (0, -4, 2, 3), False) == (-1, 2, 3)


def test_an_unknown_dimension_follows_from_the_output():
    op = find("Reshape")
    ins, outs = [(-1, 3, 4)], [(5, 24)]
    op.complete_shapes(op.parse({"shape": (-1, 24)}), ins, outs)
    assert ins == [(10, 3, 4)]
    with pytest.raises(ShapeError, match="no multiple"):
        op.complete_shapes(op.parse({"shape": (-1, 5)}), [(-1, 3)], [(1, 5)])


@pytest.mark.parametrize(
    "shape, codes, message",
    [
        ((2, 3), (4, 2), r"\(2, 3\) \(6 elements\) cannot become shape=\(4, 2\)"),
        ((2, 3), (-1, 4), "cannot become"),
        ((2, 3), (-1, -1), "more than one -1"),
        ((2, 3), (0, 0, 0), "more dimensions"),
        ((2, 3), (-4, 2), "needs two numbers"),
        ((2, 3), (-4, 2, 2, 0), "cannot split a dimension of 2"),
        ((2, 3), (-4, -1, -1, 0), "only one"),
        ((2, 3), (-5,), "means nothing"),
    ],
)
def test_wrong_codes(shape, codes, message):
    with pytest.raises(ShapeError, match=message):
        apply("Reshape", [x(*shape)], shape=codes)


# ---- what costs nothing ----------------------------------------------------------------------------------------------


def test_walks_in_order():
    assert contiguous((2, 3, 4)) == (12, 4, 1) and contiguous(()) == ()
    assert Walk((3, 4), (4, 1)).in_order and Walk((3, 1, 4), (4, 99, 1), 8).in_order
    assert not Walk((4, 3), (1, 4)).in_order and not Walk((3, 2), (4, 1)).in_order
    assert Walk((0, 5), (7, 9)).in_order


@pytest.mark.parametrize(
    "make",
    [
        lambda v: apply("Reshape", [v], shape=(-1, 2)),
        lambda v: apply("Flatten", [v]),
        lambda v: apply("expand_dims", [v], axis=1),
        lambda v: apply("slice_axis", [v], axis=0, begin=1, end=3),
        lambda v: apply("slice", [v], begin=(2,), end=(3,)),
        lambda v: apply("transpose", [apply("expand_dims", [v], axis=1)], axes=(1, 0, 2, 3)),
        lambda v: apply_all("SliceChannel", [v], num_outputs=2, axis=0)[1],
        lambda v: apply_all("_split_v2", [v], indices=(0, 1), axis=0)[1],
    ],
)
def test_views_cost_nothing(make):
    assert kernels(apply("sin", [make(apply("sin", [x(4, 6, 5)]))])) == ["ewise.float32"] * 2


def test_transposes_are_one_call():
    assert "strided_copy.4" in kernels(apply("transpose", [x(4, 6)]))


def sine(value):
    return apply("sin", [value])


def test_joining_on_the_leading_axis_costs_nothing_for_temporaries():
    a, b = sine(x(2, 5, name="a")), sine(x(3, 5, name="b"))
    assert kernels(apply("Concat", [a, b], dim=0)) == ["ewise.float32"] * 2
    assert kernels(apply("stack", [a, sine(a)])) == ["ewise.float32"] * 2
    twice = kernels(apply("Concat", [a, b, a], dim=0))
    assert sorted(twice) == ["ewise.float32"] * 2 + ["strided_copy.4"]
    arguments = kernels(apply("Concat", [x(2, 5, name="a"), x(3, 5, name="b")], dim=0))
    assert arguments == ["strided_copy.4"] * 2
    inner = kernels(apply("Concat", [a, a], dim=1))
    assert sorted(inner) == ["ewise.float32"] + ["strided_copy.4"] * 2


def joined_symbol():
    """Pieces that live inside of joins, of joins of joins, that are used again, and that are outputs themselves."""
    a, b = mx.sym.Variable("a"), mx.sym.Variable("b")
    s, c = mx.sym.sin(a), mx.sym.FullyConnected(b, num_hidden=3, no_bias=True, name="fc")
    inner = mx.sym.concat(s, c, s, dim=0)
    outer = mx.sym.concat(mx.sym.reshape(inner, shape=(1, -1, 3)), mx.sym.expand_dims(mx.sym.exp(c), axis=0), dim=1)
    again = mx.sym.stack(s * 2, s, mx.sym.slice_axis(mx.sym.squeeze(outer), axis=0, begin=1, end=3))
    one = mx.sym.concat(mx.sym.tanh(c), dim=0)
    return mx.sym.Group([inner, s, outer * 2, again, one, mx.sym.tanh(one), c])


def joined_twin(a, b, w):
    s, c = np.sin(a), b @ w.T
    inner = np.concatenate([s, c, s])
    outer = np.concatenate([inner, np.exp(c)])[None]
    return inner, s, outer * 2, np.stack([s * 2, s, outer[0, 1:3]]), np.tanh(c), np.tanh(np.tanh(c)), c


def test_pieces_inside_of_joins_are_right():
    a, b, w = test_utils.random_arrays((2, 3), (4, 5), (3, 5))
    net = joined_symbol()
    test_utils.check_symbolic_forward(net, {"a": a, "b": b, "fc_weight": w}, joined_twin(a, b, w))
    test_utils.check_numeric_gradient(net, {"a": a, "b": b, "fc_weight": w}, dtype=np.float64, rtol=1e-6, atol=1e-7)


# ---- mistakes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "op, inputs, params, message",
    [
        ("squeeze", [x(2, 3)], {"axis": 0}, "axis 0 has size 2"),
        ("transpose", [x(2, 3)], {"axes": (0, 0)}, "each of the 2 axes once"),
        ("SwapAxis", [x(2, 3)], {"dim1": 2}, "dim1 2 is out of range"),
        ("expand_dims", [x(2, 3)], {"axis": 4}, "out of range"),
        ("slice", [x(2, 3)], {"begin": (0, 0), "end": (1,)}, "equally many"),
        ("slice", [x(2, 3)], {"begin": (0,), "end": (1,), "step": (0,)}, "must not be 0"),
        ("slice", [x(2)], {"begin": (0, 0), "end": (1, 1)}, "more elements than data has dimensions"),
        ("slice_axis", [x(2, 3)], {"axis": 1, "begin": 1, "end": 4}, "no part of axis 1, which has size 3"),
        ("slice_axis", [x(2, 3)], {"axis": 0, "begin": 1, "end": -1}, "begin=1, end=-1 is no part of axis 0"),
        ("slice_like", [x(2, 3), x(3, 3, name="y")], {}, "smaller than shape_like along axis 0"),
        ("Crop", [x(1, 1, 4, 4)], {"num_args": 1, "h_w": (3, 3), "offset": (2, 0)}, "not inside"),
        ("_slice_assign", [x(4), x(3, name="y")], {"begin": (0,), "end": (2,)}, r"shape of the slice, \(2,\)"),
        ("SliceChannel", [x(2, 3)], {"num_outputs": 2}, "size 3 cannot be cut into 2"),
        ("SliceChannel", [x(2, 4)], {"num_outputs": 2, "squeeze_axis": True}, "pieces of size 1"),
        ("_split_v2", [x(2, 4)], {"indices": (0, 3, 2)}, "piece from 3 to 2"),
        ("Concat", [x(2, 3), x(3, 3, name="y")], {}, "differ"),
        ("Concat", [x(2, 3), x(3, name="y")], {}, "different numbers of dimensions"),
        ("stack", [x(2, 3), x(3, 2, name="y")], {}, "differ"),
        ("diag", [x(2, 3)], {"k": 3}, "no diagonal k=3"),
        ("diag", [x(2, 3, 4)], {"axis1": 1, "axis2": -2}, "must differ"),
        ("Pad", [x(2, 3)], {"mode": "edge", "pad_width": (1, 1)}, "two numbers for each of 2 dimensions"),
        ("Pad", [x(2, 3)], {"mode": "reflect", "pad_width": (0, 2, 0, 0)}, "too short for a border of 2"),
        ("depth_to_space", [x(1, 6, 2, 2)], {"block_size": 2}, "no multiple"),
        ("space_to_depth", [x(1, 1, 3, 2)], {"block_size": 2}, "multiples of block_size 2"),
        ("take", [x(3, 4), x(2, name="y")], {"mode": "raise"}, "not offered"),
        ("take", [x(0, 4), x(2, name="y")], {}, "nothing to take"),
        ("pick", [x(3, 4), x(4, name="y")], {}, r"index must have shape \(3,\) or \(3, 1\)"),
        ("gather_nd", [x(3, 4), x(3, 2, name="y")], {}, "at most the 2 dimensions"),
        ("scatter_nd", [x(3), x(2, 4, name="y")], {"shape": (3, 4)}, r"data must have shape \(4,\)"),
        ("fill_element_0index", [x(3, 4), x(3, name="y"), x(4, name="z")], {}, "one element per row"),
    ],
)
def test_mistakes_are_told(op, inputs, params, message):
    with pytest.raises(ShapeError, match=message):
        apply_all(op, inputs, **params)


@pytest.mark.parametrize(
    "op, params",
    [("repeat", {"repeats": 0}), ("one_hot", {"depth": 0}), ("Embedding", {"input_dim": 5, "output_dim": -1})],
)
def test_parameters_out_of_range(op, params):
    with pytest.raises(ParameterError):
        find(op).parse(params)


# ---- shapes that follow from others ----------------------------------------------------------------------------------


def completed(op, params, ins, outs):
    op = find(op)
    ins, outs = list(ins), list(outs)
    op.complete_shapes(op.parse(params, count=len(ins)), ins, outs)
    return ins


def test_inputs_follow_from_outputs():
    assert completed("Embedding", {"input_dim": 9, "output_dim": 4}, [None, None], [(5, 6, 4)]) == [(5, 6), (9, 4)]
    assert completed("Concat", {"dim": 1}, [(2, 3), (-1, -1)], [(2, 8)]) == [(2, 3), (2, 5)]
    assert completed("Concat", {"dim": -1}, [(2, 3), None], [None]) == [(2, 3), (2, -1)]
    assert completed("transpose", {"axes": (2, 0, 1)}, [None], [(4, 2, 3)]) == [(2, 3, 4)]
    assert completed("SwapAxis", {"dim1": 0, "dim2": 2}, [(-1, 3, -1)], [(4, -1, 2)]) == [(2, 3, 4)]
    assert completed("SliceChannel", {"num_outputs": 2}, [None], [(2, 3), None]) == [(2, 6)]
    whole = completed("SliceChannel", {"num_outputs": 2, "squeeze_axis": True}, [None], [(2, 3), None])
    assert whole == [(2, 2, 3)]
    assert completed("stack", {"axis": 1}, [None, (2, -1)], [(2, 2, 5)]) == [(2, 5), (2, 5)]
    assert completed("expand_dims", {"axis": 1}, [(-1, 3)], [(2, 1, 3)]) == [(2, 3)]
    assert completed("reverse", {"axis": 0}, [None], [(2, 3)]) == [(2, 3)]
    assert completed("pick", {}, [(4, 5), None], [None]) == [(4, 5), (4,)]
    assert completed("batch_take", {}, [(4, 5), None], [None]) == [(4, 5), (4,)]


def test_shapes_of_unknown_batches():
    def shapes(op, params, *ins):
        op = find(op)
        return op.output_shapes(op.parse(params, count=len(ins)), list(ins))[0]

    assert shapes("slice_axis", {"axis": 1, "begin": 0, "end": 2}, (-1, 5)) == (-1, 2)
    assert shapes("slice", {"begin": (0,), "end": (2,)}, (-1, 5)) == (-1, 5)
    assert shapes("Concat", {}, (-1, 5), (-1, 3)) == (-1, 8)
    assert shapes("take", {}, (7, 3), (-1, 4)) == (-1, 4, 3)
    assert shapes("Flatten", {}, (-1, 4, 3)) == (-1, 12)
    assert shapes("one_hot", {"depth": 3}, (-1,)) == (-1, 3)


def test_second_derivatives_are_operators():
    """The gradient of a slice is a write with strides, whose gradient is a read with strides."""
    value = apply("slice", [x(4, 6)], begin=(1, 0), end=(3, 5), step=(1, 2))
    (grad,) = value.node.op.gradient(value.node.params, value.node, [x(2, 3, name="g")])
    (again,) = grad.node.op.gradient(grad.node.params, grad.node, [x(4, 6, name="h")])
    assert grad.shape == (4, 6) and again.shape == value.shape
    walk = again.node.op.walk(again.node.params, (4, 6))
    numbers = np.arange(24).reshape(4, 6)
    steps = [s * numbers.itemsize for s in walk.strides]
    picked = np.lib.stride_tricks.as_strided(numbers.ravel()[walk.offset :], walk.shape, steps)
    np.testing.assert_array_equal(picked, numbers[1:3, 0:5:2])
