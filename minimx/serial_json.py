"""Symbol files: reading every spelling since MXNet 0.5, writing what MXNet 1.9.1 writes, byte for byte.

Old files are upgraded while they are read, as MXNet does: what a file of today would say is what the symbol holds.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from .attribute import HIDDEN
from .base import FileFormatError, GraphError, ParameterError
from .op import REGISTRY
from .symbol_graph import Head, SymbolNode, depth_first, missing_input, rebuild

VERSION = 10901  # MXNet 1.9.1, whose files these are
ASSUMED_VERSION = 800  # of files that do not say


# ---- writing ------------------------------------------------------------------------------------------------------------


def write_symbol(heads: Sequence[Head], remove_amp_cast: bool = True) -> str:
    return format_document(to_document(without_casts(heads) if remove_amp_cast else heads))


def without_casts(heads: Sequence[Head]) -> list[Head]:
    """The graph without the casts that automatic mixed precision has put in."""

    def change(node: SymbolNode, inputs: tuple[Head, ...]) -> Sequence[Head] | None:
        return inputs if node.op is not None and node.op.name in ("amp_cast", "amp_multicast") else None

    return rebuild(heads, change)


def to_document(heads: Sequence[Head]) -> dict[str, Any]:
    return {**_graph(heads), "attrs": {"mxnet_version": ["int", VERSION]}}


def _graph(heads: Sequence[Head]) -> dict[str, Any]:
    nodes = depth_first(heads)
    number = {node: i for i, node in enumerate(nodes)}
    changes: dict[SymbolNode, int] = {}  # how often each auxiliary state was changed so far: its "version"
    row_ptr = [0]
    entries = []
    for node in nodes:
        row_ptr.append(row_ptr[-1] + node.output_count)
        entry: dict[str, Any] = {"op": node.op.name if node.op else "null", "name": node.name}
        if node.attrs:
            entry["attrs"] = dict(sorted(node.attrs.items(), key=lambda item: item[0].encode()))
        entry["inputs"] = []
        names = node.op.input_names(node.params) if node.op else ()
        written = (*node.op.aux_names(node.params), *node.op.mutates) if node.op else ()
        for i, (child, output) in enumerate(node.inputs):
            version = 0
            if i < len(names) and names[i] in written:
                version = changes[child] = changes.get(child, 0) + 1
            entry["inputs"].append([number[child], output, version])
        subgraphs = getattr(node.params, "subgraphs", ())
        if subgraphs:
            entry["subgraphs"] = [_graph(heads) for heads in subgraphs]
        entries.append(entry)
    return {
        "nodes": entries,
        "arg_nodes": [i for i, node in enumerate(nodes) if node.op is None],
        "node_row_ptr": row_ptr,
        "heads": [[number[node], output, 0] for node, output in heads],
    }


def format_document(document: dict[str, Any]) -> str:
    """The document in MXNet's own layout."""
    return _format(document, 0, always_multiline=True)


def _format(value: Any, depth: int, always_multiline: bool = False) -> str:
    """Containers of a certain kind or length have a line for each element; entry triples never have."""
    if isinstance(value, dict):
        parts = []
        for key, item in value.items():
            multiline = key in ("nodes", "subgraphs") or (isinstance(item, dict) and "op" in item)
            parts.append(f"{_quote(key)}: {_format(item, depth + 1, multiline)}")
        return _brackets("{}", parts, depth, always_multiline or len(parts) > 1)
    if isinstance(value, list):
        parts = [_format(item, depth + 1, isinstance(item, dict)) for item in value]
        return _brackets("[]", parts, depth, bool(parts) and (always_multiline or len(parts) > 10))
    return _quote(value) if isinstance(value, str) else str(value)


def _brackets(pair: str, parts: list[str], depth: int, multiline: bool) -> str:
    if not multiline:
        return pair[0] + ", ".join(parts) + pair[1]
    indent = "\n" + "  " * (depth + 1)
    return pair[0] + indent + (", " + indent).join(parts) + "\n" + "  " * depth + pair[1]


_ESCAPES = str.maketrans({'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"})


def _quote(text: str) -> str:
    return f'"{text.translate(_ESCAPES)}"'


# ---- reading ------------------------------------------------------------------------------------------------------------


def read_symbol(data: bytes, source: str) -> list[Head]:
    """The heads of the graph that a file describes, upgraded to the present."""
    try:
        document = json.loads(data.decode())
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{source}: not a symbol file, byte {error.start} is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise FileFormatError(f"{source}: not a symbol file, {error.msg} at offset {error.pos}") from None
    if not isinstance(document, dict) or not all(isinstance(document.get(k), list) for k in ("nodes", "heads")):
        raise FileFormatError(f"{source}: not a symbol file, it has no lists 'nodes' and 'heads'")
    try:
        version = _version(document)
        heads = [_output(head) for head in document["heads"]]
    except _DAMAGE as error:
        raise FileFormatError(f"{source}: the heads or the version are damaged ({error})") from None
    if not heads:
        raise FileFormatError(f"{source}: the symbol has no outputs")
    if version > VERSION:
        warnings.warn(f"{source} was written by a newer MXNet ({version}); reading it as if by {VERSION}", stacklevel=3)
    return _Reader(document["nodes"], version, source).read(heads)


# What reading something of another shape than expected raises.
_DAMAGE = (AttributeError, IndexError, KeyError, TypeError, ValueError)


def _version(document: dict[str, Any]) -> int:
    entry = document.get("attrs", {}).get("mxnet_version", ["int", ASSUMED_VERSION])
    return int(entry[1])


def _output(entry: Sequence[int]) -> tuple[int, int]:
    """Node number and output number of an input or head; older files have two numbers, newer three."""
    node, output = entry[0], entry[1]
    if type(node) is not int or type(output) is not int:
        raise TypeError(f"{entry} does not name an output")
    return node, output


class _Entry:
    """A node of the file: operator name, name, attributes and inputs as (node number, output number)."""

    def __init__(self, raw: dict[str, Any]):
        self.op_name: str = raw["op"]
        self.op = None if self.op_name == "null" else REGISTRY.get(self.op_name)
        self.name: str = raw["name"]
        # Of 'attr' and 'attrs' the later one in the file wins; 'param' only fills gaps.
        self.attrs: dict[str, str] = {}
        for key, attrs in raw.items():
            if key in ("attr", "attrs"):
                self.attrs.update(attrs)
        self.attrs = {**raw.get("param", {}), **self.attrs}
        self.inputs = [_output(entry) for entry in raw["inputs"]]
        self.backward_source = int(raw.get("backward_source_id", -1))
        # Of operators for control flow: nodes and heads of their sub-graphs.
        self.subgraphs = [(g["nodes"], [_output(head) for head in g["heads"]]) for g in raw.get("subgraphs", ())]
        # Attributes of old files that are no parameters although they have no underscores, such as weight_lr_mult.
        self.aside: dict[str, str] = {}
        for text in (self.op_name, self.name, *self.attrs.values()):
            if not isinstance(text, str):
                raise TypeError(f"{text!r} should be a string")


class _Reader:
    def __init__(self, raw_nodes: Sequence[dict[str, Any]], version: int, source: str):
        self.version = version
        self.source = source
        self.entries: list[_Entry] = []
        for i, raw in enumerate(raw_nodes):
            try:
                self.entries.append(_Entry(raw))
            except _DAMAGE as error:
                raise FileFormatError(f"{source}: node {i} is damaged ({type(error).__name__}: {error})") from None
        self._check_entries()

    def _check_entries(self) -> None:
        missing = dict.fromkeys(e.op_name for e in self.entries if e.op is None and e.op_name != "null")
        if missing:
            raise GraphError(f"{self.source} needs operators that do not exist here: {', '.join(missing)}")
        for i, entry in enumerate(self.entries):
            if entry.backward_source >= 0:
                raise FileFormatError(
                    f"{self.source}: node {i} ({entry.name}) is a saved backward node, which only MXNet 0.8 could read"
                )
            for child, _ in entry.inputs:
                self._check_number(child, f"node {i} ({entry.name})")

    def _check_number(self, number: int, where: str) -> None:
        if not 0 <= number < len(self.entries):
            raise FileFormatError(f"{self.source}: {where} refers to node {number} of {len(self.entries)}")

    def read(self, heads: Sequence[tuple[int, int]]) -> list[Head]:
        for number, _ in heads:
            self._check_number(number, "a head")
        order = list(self._depth_first(number for number, _ in heads))
        if self.version < VERSION:
            for number in order:
                self._move_hidden_keys(self.entries[number])
        made: dict[int, SymbolNode] = {}
        for number in order:
            made[number] = self._make(self.entries[number], made)
        if self.version < 904:
            self._give_initializers(made.values())
        return [self._head(made[number], output, "a head") for number, output in heads]

    def _head(self, node: SymbolNode, output: int, where: str) -> Head:
        if not 0 <= output < node.output_count:
            raise FileFormatError(
                f"{self.source}: {where} reads output {output} of {node.title()}, which has {node.output_count}"
            )
        return node, output

    def _depth_first(self, roots: Iterable[int]) -> Iterator[int]:
        done: set[int] = set()
        for root in roots:
            stack = [(root, iter(self.entries[root].inputs))] if root not in done else []
            active = {root}
            while stack:
                number, rest = stack[-1]
                for child, _ in rest:
                    if child in active:
                        raise FileFormatError(f"{self.source}: node {child} ({self.entries[child].name}) needs itself")
                    if child not in done:
                        active.add(child)
                        stack.append((child, iter(self.entries[child].inputs)))
                        break
                else:
                    stack.pop()
                    active.discard(number)
                    done.add(number)
                    yield number

    def _move_hidden_keys(self, entry: _Entry) -> None:
        """lr_mult becomes __lr_mult__; weight_lr_mult of an operator becomes __lr_mult__ of its weight."""
        taken = {k: v for k, v in entry.attrs.items() if k.startswith(HIDDEN) or k.endswith(HIDDEN)}
        entry.attrs = {k: v for k, v in entry.attrs.items() if k not in taken}
        for key, value in taken.items():
            word = next((w for w in HIDDEN if key == w or key.endswith(f"_{w}")), None)
            if key == word:
                entry.attrs[f"__{word}__"] = value
                continue
            variable = self._variable_input(entry, key.removesuffix(f"_{word}")) if word else None
            if variable is not None:
                variable.attrs[f"__{word}__"] = value
            else:
                entry.aside[key] = value

    def _variable_input(self, entry: _Entry, input_name: str) -> _Entry | None:
        if entry.op is None:
            return None
        names = entry.op.input_names(self._parse(entry))
        if input_name in names and names.index(input_name) < len(entry.inputs):
            child = self.entries[entry.inputs[names.index(input_name)][0]]
            return child if child.op is None else None
        return None

    def _parse(self, entry: _Entry) -> Any:
        try:
            return entry.op.parse(entry.attrs, entry.name, count=len(entry.inputs))  # type: ignore[union-attr]
        except ParameterError as error:
            raise ParameterError(f"{self.source}: {error}") from None

    def _make(self, entry: _Entry, made: dict[int, SymbolNode]) -> SymbolNode:
        if entry.op is None:
            return SymbolNode(None, entry.name, {**entry.attrs, **entry.aside})
        if self.version < 905 and entry.op.name in ("argmax", "argmin") and entry.attrs.get("axis") == "-1":
            del entry.attrs["axis"]  # -1 meant all axes then
        params = self._parse(entry)
        if hasattr(entry.op, "with_subgraphs"):
            where = f"{self.source}: in {entry.name}"
            graphs = [_Reader(nodes, self.version, where).read(heads) for nodes, heads in entry.subgraphs]
            params = entry.op.with_subgraphs(params, graphs)
        names = entry.op.input_names(params)
        inputs = [self._head(made[child], output, entry.name) for child, output in entry.inputs]
        attrs = {**entry.attrs, **entry.aside}
        if self.version < 900:
            # Files of that time leave auxiliary states out.
            for name in names[len(inputs) :]:
                inputs.append((missing_input(entry.op, params, entry.name, name, attrs), 0))
        if len(inputs) != len(names):
            raise GraphError(
                f"{self.source}: {entry.op.name}({entry.name}) has {len(inputs)} inputs and needs {len(names)}: "
                f"{', '.join(names)}"
            )
        return SymbolNode(entry.op, entry.name, attrs, params, inputs)

    def _give_initializers(self, nodes: Iterable[SymbolNode]) -> None:
        """Default initializers of moving statistics and slopes, which files before 0.9.4 do not name."""
        for node in nodes:
            if node.op is None:
                continue
            for name, (child, _) in zip(node.op.input_names(node.params), node.inputs, strict=True):
                if child.op is None:
                    for key, value in node.op.key_variable_attrs(node.params, name).items():
                        child.attrs.setdefault(key, value)
