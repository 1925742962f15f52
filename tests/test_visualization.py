"""Drawings and summaries of networks."""

import shutil

import pytest

import minimx as mx
from minimx.base import MXNetError, ShapeError


def mlp():
    x = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=8, name="fc1")
    x = mx.sym.Activation(x, act_type="relu", name="relu1")
    return mx.sym.SoftmaxOutput(mx.sym.FullyConnected(x, num_hidden=3, name="fc2"), name="softmax")


def test_plot_network():
    text = mx.viz.plot_network(mlp(), title="net", shape={"data": (5, 4)}).source
    lines = [line.strip() for line in text.splitlines()]
    assert lines[0] == 'digraph "net" {'
    assert lines[-1] == "}"
    assert (
        '"fc1" [label="FullyConnected\\n8" shape="box" fixedsize="true" width="1.3" height="0.8034" style="filled" '
        'fillcolor="#fb8072"];' in lines
    )
    assert '"fc1" -> "data" [dir="back" arrowtail="open" label="4"];' in lines
    assert '"softmax" -> "softmax_label" [dir="back" arrowtail="open" label=""];' in lines
    assert "fc1_weight" not in text
    assert "fc1_weight" in mx.viz.plot_network(mlp(), hide_weights=False).source
    assert 'color="red"' in mx.viz.plot_network(mlp(), node_attrs={"color": "red"}).source


def test_plot_network_needs_shapes_that_suffice():
    with pytest.raises(ShapeError, match="do not determine"):
        mx.viz.plot_network(mlp(), shape={"softmax_label": (3,)})
    with pytest.raises(TypeError):
        mx.viz.plot_network("net")


def test_equal_names_are_told_apart():
    x = mx.sym.Variable("x")
    text = mx.viz.plot_network(mx.sym.exp(mx.sym.exp(x, name="e"), name="e")).source
    assert text.count('label="e"') == 2
    assert '"e#2" -> "e"' in text


def test_graph_viz():
    text = mx.viz.graph_viz(mlp(), shape={"data": (5, 4)}, direction="LR").source
    assert 'rankdir="LR"' in text
    assert '"fc1" [label="FullyConnected\\nfc1\\n8" shape="box" style="filled" fillcolor="#fb8072"];' in text
    assert '"fc1" -> "relu1" [label="5X8"];' in text
    assert "data" not in text


def test_print_summary(capsys):
    mx.viz.print_summary(mlp(), shape={"data": (5, 4)}, line_length=100)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["Layer", "(type)", "Output", "Shape", "Param", "#", "Previous", "Layer"]
    assert lines[5].split() == ["fc1(FullyConnected)", "8", "40", "data"]
    assert lines[7].split() == ["relu1(Activation)", "8", "0", "fc1"]
    assert lines[-2] == "Total params: 67"
    assert {len(line) for line in lines if line != lines[-2]} == {100}


def test_shared_weights_are_counted_once(capsys):
    w = mx.sym.Variable("w")
    x = mx.sym.FullyConnected(mx.sym.Variable("data"), weight=w, num_hidden=4, no_bias=True)
    x = mx.sym.FullyConnected(x, weight=w, num_hidden=4, no_bias=True)
    mx.viz.print_summary(x, shape={"data": (5, 4)})
    assert "Total params: 16\n" in capsys.readouterr().out


def test_save_and_render(tmp_path):
    drawing = mx.viz.plot_network(mlp(), save_format="svg")
    file = drawing.save(tmp_path / "net.gv")
    assert (tmp_path / "net.gv").read_text() == drawing.source == str(drawing)
    if shutil.which("dot") is None:
        with pytest.raises(MXNetError, match="dot"):
            drawing.render(file)
    else:
        assert b"<svg" in drawing.pipe()
        assert drawing.render(file, cleanup=True) == f"{file}.svg"
