"""Pictures and tables of networks. `plot_network` and `graph_viz` write Graphviz text; drawing it needs the `dot` program."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .base import MXNetError, ShapeError
from .op import product
from .symbol import Symbol
from .symbol_graph import Head, SymbolNode, auxiliary_nodes, depth_first

PALETTE = ("#8dd3c7", "#fb8072", "#ffffb3", "#bebada", "#80b1d3", "#fdb462", "#b3de69", "#fccde5")
PARAMETER_INPUTS = frozenset({"weight", "bias", "gamma", "beta", "parameters"})
PARAMETER_ENDINGS = (
    "_weight",
    "_bias",
    "_gamma",
    "_beta",
    "_moving_mean",
    "_moving_var",
    "_running_mean",
    "_running_var",
)
Shapes = Mapping[Head, Any]


class Drawing:
    """Graphviz text of a graph. `source` and `save` work everywhere; `render`, `view` and notebooks need `dot`."""

    def __init__(self, title: str, format: str, **attributes: str):
        self.title = title
        self.format = format
        self._lines = [f"{key}={_quote(value)};" for key, value in attributes.items()]

    def node(self, name: str, label: str, **attributes: str) -> None:
        self._lines.append(f"{_quote(name)} [{_attributes(label=label, **attributes)}];")

    def edge(self, tail: str, head: str, **attributes: str) -> None:
        self._lines.append(f"{_quote(tail)} -> {_quote(head)} [{_attributes(**attributes)}];")

    @property
    def source(self) -> str:
        return "\n".join([f"digraph {_quote(self.title)} {{", *(f"\t{line}" for line in self._lines), "}", ""])

    def __str__(self) -> str:
        return self.source

    def save(self, filename: str | os.PathLike | None = None) -> str:
        """Writes the text to `<title>.gv` or another file."""
        filename = os.fspath(filename or f"{self.title}.gv")
        with open(filename, "w", encoding="utf-8") as file:
            file.write(self.source)
        return filename

    def pipe(self, format: str | None = None) -> bytes:
        """The picture as bytes."""
        dot = shutil.which("dot")
        if dot is None:
            raise MXNetError(
                "drawing needs the program `dot` of Graphviz, which is not installed; save() writes its input"
            )
        command = [dot, f"-T{format or self.format}"]
        done = subprocess.run(command, input=self.source.encode(), capture_output=True)
        if done.returncode:
            raise MXNetError(f"dot failed: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout

    def render(
        self,
        filename: str | os.PathLike | None = None,
        view: bool = False,
        cleanup: bool = False,
        format: str | None = None,
    ) -> str:
        """Draws to `<filename>.<format>`; the text is written beside it, to `<filename>`, and removed by `cleanup`."""
        picture = f"{os.fspath(filename or f'{self.title}.gv')}.{format or self.format}"
        data = self.pipe(format)
        with open(picture, "wb") as file:
            file.write(data)
        if not cleanup:
            self.save(filename)
        if view:
            import webbrowser

            webbrowser.open(f"file://{os.path.abspath(picture)}")
        return picture

    def view(self, filename: str | os.PathLike | None = None) -> str:
        return self.render(filename, view=True)

    def _repr_svg_(self) -> str:
        return self.pipe("svg").decode()


def plot_network(
    symbol: Symbol,
    title: str = "plot",
    save_format: str = "pdf",
    shape: Mapping[str, Sequence[int]] | None = None,
    dtype: Mapping[str, Any] | None = None,
    node_attrs: Mapping[str, str] | None = None,
    hide_weights: bool = True,
) -> Drawing:
    """The network from the output down to the data. Edges carry shapes (without the batch) when `shape` gives those of
    the inputs; `node_attrs` are Graphviz attributes of all nodes."""
    shapes = _shapes(symbol, shape)
    look = {"shape": "box", "fixedsize": "true", "width": "1.3", "height": "0.8034", "style": "filled"}
    look.update(node_attrs or {})
    drawing = Drawing(title, save_format)
    nodes = depth_first(symbol._heads)
    hidden = _parameters(nodes) if hide_weights else set()
    names = _unique_names(nodes)
    for node in nodes:
        if node.op is None:
            if node not in hidden:
                drawing.node(names[node], node.name, **{**look, "shape": "oval", "fillcolor": PALETTE[0]})
            continue
        label, color = _appearance(node)
        drawing.node(names[node], label, **{**look, "fillcolor": color})
        for child, output in node.inputs:
            if child not in hidden:
                told = _shape_label(shapes, (child, output), "x", 1)
                drawing.edge(names[node], names[child], dir="back", arrowtail="open", **told)
    return drawing


def _appearance(node: SymbolNode) -> tuple[str, str]:
    """The label and the colour of an operator."""
    name, p = node.op.name, node.params
    if name in ("Convolution", "Deconvolution"):
        stride = _by_x(p.stride) if p.stride else "1"
        return f"{name}\n{_by_x(p.kernel)}/{stride}, {p.num_filter}", PALETTE[1]
    if name == "FullyConnected":
        return f"{name}\n{p.num_hidden}", PALETTE[1]
    if name in ("Activation", "LeakyReLU"):
        return f"{name}\n{p.act_type}", PALETTE[2]
    if name == "BatchNorm":
        return node.name, PALETTE[3]
    if name == "Pooling":
        stride = _by_x(p.stride) if p.stride else "1"
        window = "global" if p.global_pool else f"{_by_x(p.kernel)}/{stride}"
        return f"{name}\n{p.pool_type}, {window}", PALETTE[4]
    if name in ("Concat", "Flatten", "Reshape"):
        return node.name, PALETTE[5]
    if name.lower().startswith("softmax"):
        return node.name, PALETTE[6]
    return (node.attrs["op_type"] if name == "Custom" else node.name), PALETTE[7]


def graph_viz(
    symbol: Symbol, shape: Mapping[str, Sequence[int]] | None = None, direction: str = "TD", title: str = "graph"
) -> Drawing:
    """The operators of a network as MXNet's R package draws them: with their parameters, from the data to the output.
    `direction` is TD (top down) or LR (left to right)."""
    shapes = _shapes(symbol, shape)
    drawing = Drawing(title, "pdf", rankdir={"TD": "TB"}.get(direction, direction))
    nodes = [node for node in depth_first(symbol._heads) if node.op is not None]
    names = _unique_names(nodes)
    for node in nodes:
        name = node.op.name
        outline = "oval" if name in ("Pooling", "Flatten", "Reshape", "Concat") else "box"
        label = "\n".join([name, node.name, *_details(node)])
        drawing.node(names[node], label, shape=outline, style="filled", fillcolor=_color(name))
        for child, output in node.inputs:
            if child.op is not None:
                drawing.edge(names[child], names[node], **_shape_label(shapes, (child, output), "X", 0))
    return drawing


def _color(op_name: str) -> str:
    groups = {
        1: ("FullyConnected", "Convolution"),
        2: ("LeakyReLU", "Activation"),
        3: ("BatchNorm",),
        4: ("Pooling",),
        5: ("Flatten", "Reshape", "Concat"),
    }
    for number, group in groups.items():
        if op_name in group:
            return PALETTE[number]
    return PALETTE[6 if op_name.endswith("Output") or op_name == "MakeLoss" else 7]


def _details(node: SymbolNode) -> list[str]:
    """What R writes below the name of a layer: `5X5 / 1X1, 20`."""
    p = node.params
    for key in ("num_hidden", "act_type", "pool_type", "kernel"):
        value = getattr(p, key, None)
        if not value:
            continue
        text = _by_x(value, "X") if key == "kernel" else str(value)
        if getattr(p, "stride", None):
            text += f" / {_by_x(p.stride, 'X')}"
        if getattr(p, "num_filter", None):
            text += f", {p.num_filter}"
        return [text]
    return []


def print_summary(
    symbol: Symbol,
    shape: Mapping[str, Sequence[int]] | None = None,
    line_length: int = 120,
    positions: Sequence[float] = (0.44, 0.64, 0.74, 1.0),
) -> None:
    """Prints a table of the layers: names, output shapes (without the batch), numbers of parameters, connections."""
    shapes = _shapes(symbol, shape)
    columns = [int(line_length * p) for p in positions] if positions[-1] <= 1 else [int(p) for p in positions]
    nodes = depth_first(symbol._heads)
    parameters = _parameters(nodes) - auxiliary_nodes(nodes)
    rows = [node for i, node in enumerate(nodes) if node.op is not None or i == 0]
    counted: set[SymbolNode] = set()
    total = 0
    print("_" * line_length)
    print(_row(["Layer (type)", "Output Shape", "Param #", "Previous Layer"], columns))
    print("=" * line_length)
    for node in rows:
        own = {child for child, _ in node.inputs if child in parameters}
        count = sum(_size(shapes.get((child, 0))) for child in own - counted)
        counted |= own
        total += count
        # MXNet shows the first node of the graph, too, although it is no layer.
        previous = [child.name for child, _ in node.inputs if child.op is not None or child is nodes[0]] or [""]
        kind = node.op.name if node.op else "null"
        out_shape = "x".join(map(str, (shapes.get((node, 0)) or ())[1:]))
        print(_row([f"{node.name}({kind})", out_shape, count, previous[0]], columns))
        for name in previous[1:]:
            print(_row(["", "", "", name], columns))
        print(("=" if node is rows[-1] else "_") * line_length)
    print(f"Total params: {total}")
    print("_" * line_length)


def _row(fields: Iterable[Any], columns: Sequence[int]) -> str:
    line = ""
    for field, column in zip(fields, columns, strict=True):
        line = f"{line}{field}"[:column].ljust(column)
    return line


def _shapes(symbol: Symbol, given: Mapping[str, Sequence[int]] | None) -> Shapes:
    """The shape of every output inside the symbol; nothing when no shapes are given."""
    if not isinstance(symbol, Symbol):
        raise TypeError(f"a Symbol is needed, got {type(symbol).__name__}")
    if given is None:
        return {}
    inside = symbol.get_internals()
    shapes = inside.infer_shape_partial(**given)[1]
    unknown = [n for n, s in zip(inside.list_outputs(), shapes, strict=True) if not s or 0 in s]
    if unknown:
        raise ShapeError(f"the given shapes do not determine those of {', '.join(unknown[:5])}")
    return dict(zip(inside._heads, shapes, strict=True))


def _parameters(nodes: Iterable[SymbolNode]) -> set[SymbolNode]:
    """The variables that hold what a network has learnt."""
    found = set()
    for node in nodes:
        if node.op is None:
            if node.name.endswith(PARAMETER_ENDINGS):
                found.add(node)
            continue
        for name, (child, _) in zip(node.op.input_names(node.params), node.inputs, strict=True):
            if child.op is None and (name in PARAMETER_INPUTS or name in node.op.aux_names(node.params)):
                found.add(child)
    return found


def _unique_names(nodes: Iterable[SymbolNode]) -> dict[SymbolNode, str]:
    names: dict[SymbolNode, str] = {}
    taken: set[str] = set()
    for i, node in enumerate(nodes):
        names[node] = f"{node.name}#{i}" if node.name in taken else node.name
        taken.add(node.name)
    return names


def _shape_label(shapes: Shapes, head: Head, between: str, first: int) -> dict[str, str]:
    return {"label": between.join(map(str, shapes[head][first:]))} if head in shapes else {}


def _by_x(numbers: Iterable[int], between: str = "x") -> str:
    return between.join(map(str, numbers))


def _size(shape: Sequence[int] | None) -> int:
    return 0 if shape is None else product(shape)


_ESCAPES = str.maketrans({'"': '\\"', "\\": "\\\\", "\n": "\\n"})


def _quote(text: str) -> str:
    return f'"{str(text).translate(_ESCAPES)}"'


def _attributes(**attributes: str) -> str:
    return " ".join(f"{key}={_quote(value)}" for key, value in attributes.items())
