"""The operator reference: `python -m minimx.tools.operator_reference [docs/operators.md]` writes it from the operators."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator

from .. import ops  # noqa: F401  (registers every operator)
from ..api import default_text
from ..op import OPERATORS, Op
from ..serial import write_file

INTRODUCTION = """\
# Operators

Every operator of `mx.sym` and `mx.nd`, by family (the modules of `minimx/ops`). Names that begin with an underscore are
found in `mx.sym._internal`, or without their prefix in `mx.sym.contrib`, `.linalg`, `.image` and `.random`.
"""


def reference() -> str:
    """The whole text."""
    families: dict[str, list[Op]] = {}
    for op in OPERATORS.values():
        families.setdefault(type(op).__module__.rpartition(".")[2], []).append(op)
    parts = [INTRODUCTION]
    for family, members in sorted(families.items()):
        parts.append(f"## {family}\n")
        module = inspect.getdoc(sys.modules[type(members[0]).__module__])
        parts += [f"{module}\n"] if module else []
        for op in sorted(members, key=lambda op: op.name.lower()):
            parts.append("\n".join(section(op)) + "\n")
    return "\n".join(parts)


def section(op: Op) -> Iterator[str]:
    """One operator: what it does, what goes in and comes out, and its parameters."""
    yield f"### {op.name}\n"
    yield inspect.cleandoc(op.__doc__ or "") + "\n"
    inputs = [f"`{n}`" + (" (state)" if n in op.aux else "") for n in op.inputs]
    yield f"* inputs: {f'any number (`{op.count}`)' if op.count else ', '.join(inputs) or 'none'}"
    if op.outputs != ("output",):
        yield f"* outputs: {', '.join(f'`{n}`' for n in op.outputs)}"
    if op.aliases:
        yield f"* also called {', '.join(f'`{n}`' for n in op.aliases)}"
    if op.params:
        yield "\n| parameter | values | default | meaning |\n|---|---|---|---|"
        for name, param in op.params.items():
            default = default_text(param).removeprefix("default ")
            yield "| " + " | ".join(_cell(t) for t in (f"`{name}`", param.allowed(), default, param.doc)) + " |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main(arguments: list[str]) -> None:
    if arguments:
        write_file(arguments[0], reference().encode())
    else:
        print(reference())


if __name__ == "__main__":
    main(sys.argv[1:])
