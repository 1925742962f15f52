"""Methods of arrays and symbols that forward to the operator of their name."""

import pytest

import minimx as mx

WORDS = """
abs arccos arccosh arcsin arcsinh arctan arctanh argmax argmax_channel argmin argsort broadcast_axes
broadcast_like broadcast_to cbrt ceil clip cos cosh degrees depth_to_space diag exp expand_dims expm1 fix
flatten flip floor log log10 log1p log2 log_softmax max mean min nanprod nansum norm one_hot ones_like pad
pick prod radians rcbrt reciprocal relu repeat reshape reshape_like rint round rsqrt shape_array sigmoid sign
sin sinh size_array slice slice_axis slice_like softmax softmin sort space_to_depth split split_v2 sqrt square
squeeze sum swapaxes take tan tanh tile topk transpose trunc zeros_like
"""
NAMES = WORDS.split()


@pytest.mark.parametrize("name", NAMES)
def test_arrays_and_symbols_have_the_method(name):
    assert callable(getattr(mx.nd.ones((2, 2)), name))
    assert callable(getattr(mx.sym.Variable("x"), name))


def test_sorting_methods():
    x = mx.nd.array([[3, 1, 2]])
    assert x.sort().asnumpy().tolist() == [[1, 2, 3]]
    assert x.argsort(is_ascend=False).asnumpy().tolist() == [[0, 2, 1]]
    values, places = x.topk(k=2, ret_typ="both")
    assert values.asnumpy().tolist() == [[3, 2]] and places.asnumpy().tolist() == [[0, 2]]
    net = mx.sym.Variable("x").topk(k=1, ret_typ="value")
    assert net.list_outputs() == ["topk0_output0"]
    assert net.bind(mx.cpu(), {"x": x}).forward()[0].asnumpy().tolist() == [[3]]


def test_the_gradient_of_sorting_goes_back_to_where_values_came_from():
    x = mx.nd.array([[3, 1, 2], [5, 9, 4]])
    x.attach_grad()
    with mx.autograd.record():
        y = x.sort(axis=0) * mx.nd.array([[1, 2, 3], [4, 5, 6]])
        total = y.sum() + 10 * x.topk(k=2, axis=1, ret_typ="value").sum()
    total.backward()
    assert x.grad.asnumpy().tolist() == [[11, 2, 13], [14, 15, 6]]


def test_positions_that_a_dtype_cannot_hold_are_refused():
    x = mx.nd.zeros((300,))
    with pytest.raises(mx.MXNetError, match="uint8 cannot hold the positions of 300 elements"):
        x.topk(dtype="uint8")
    with pytest.raises(mx.MXNetError, match="k = 301 is more than the 300 elements"):
        x.topk(k=301)
    with pytest.raises(mx.MXNetError, match="uint8 cannot hold the positions of 300 elements"):
        x.astype("uint8").argmax(axis=0)
