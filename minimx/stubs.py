"""Type stubs of the package, mx.sym and mx.nd, for editors and type checkers: `python -m minimx.stubs [directory]`.

The operators of these modules appear at run time, where such tools cannot see them. By default the stubs are written beside
the modules they describe.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import keyword
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from .api import NAMESPACES, annotation_text, operator_names
from .op import REGISTRY, Op
from .params import REQUIRED
from .serial import write_file

PACKAGE = Path(__file__).parent
HEADER = '"""Written by `python -m minimx.stubs`."""\n\n# mypy: disable-error-code=override\nimport builtins\n'
# Functions of mx.sym.random and mx.nd.random that stand in place of the operators.
WRITTEN = {"Symbol": {"random": "symbol_random.py"}, "NDArray": {"random": "random.py"}}


def write_stubs(directory: Path = PACKAGE) -> list[Path]:
    """Writes the stubs and returns their paths."""
    files = {
        directory / "__init__.pyi": package_stub(),
        directory / "symbol.pyi": symbol_stub(),
        directory / "ndarray" / "__init__.pyi": ndarray_stub(),
    }
    for path, text in files.items():
        path.parent.mkdir(exist_ok=True)
        write_file(path, text.encode())
    return list(files)


def package_stub() -> str:
    """What the package gives at once, and what it loads when a program first names it."""
    package = sys.modules[__package__]
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    lines = ["__version__: str"]
    for statement in tree.body:
        if isinstance(statement, ast.ImportFrom) and statement.level:
            lines += [f"from .{statement.module} import {name.name} as {name.name}" for name in statement.names]
    lines += [f"from . import {module} as {name}" for name, module in sorted(package._MODULES.items())]
    lines += [f"from .{module} import {name} as {name}" for name, module in sorted(package._NAMES.items())]
    return HEADER + "\n".join(lines) + "\n"


def symbol_stub() -> str:
    """What symbol.py and symbol_functions.py define, without bodies, and the operators as functions and methods."""
    tree = outline(PACKAGE / "symbol.py")
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == "Symbol":
            own = {n.name for n in node.body if isinstance(n, ast.FunctionDef)}
            methods = (method(n, REGISTRY[n]) for n in sorted(operator_names()) if n not in own)
            node.body += [ast.parse(m).body[0] for m in methods if m]
    tree.body += functions(PACKAGE / "symbol_functions.py").values()
    taken = {n.name for n in tree.body if isinstance(n, (ast.FunctionDef, ast.ClassDef))}
    text = ast.unparse(ast.fix_missing_locations(_Qualify().visit(tree)))
    return HEADER + text + "\n\n" + "\n".join(operators("Symbol", taken)) + "\n"


def ndarray_stub() -> str:
    """The imports of the package, and the operators."""
    tree = ast.parse((PACKAGE / "ndarray" / "__init__.py").read_text())
    lines: list[str] = []
    taken: set[str] = set()
    for statement in (n for n in tree.body if isinstance(n, ast.ImportFrom)):
        if statement.names[0].name == "*":
            given = written_out(str(statement.module))
        else:
            given = {
                n.name: f"from {'.' * statement.level}{statement.module} import {n.name} as {n.name}"
                for n in statement.names
            }
        lines += given.values()
        taken |= set(given)
    return HEADER + "\n".join([*lines, "", *operators("NDArray", taken)]) + "\n"


def written_out(module: str) -> dict[str, str]:
    """What `from .module import *` brings, name by name. Functions that the module makes while it is imported are
    unknown to type checkers and described by their signature."""
    found = import_module(f"{__package__}.ndarray.{module}")
    seen = {
        n.name
        for n in outline(PACKAGE / "ndarray" / f"{module}.py").body
        if isinstance(n, (ast.FunctionDef, ast.ClassDef))
    }
    lines = {}
    for name in found.__all__:
        if name in seen:
            lines[name] = f"from .{module} import {name} as {name}"
        else:
            operands = ", ".join(f"{p}: Any" for p in inspect.signature(getattr(found, name)).parameters)
            lines[name] = f"def {name}({operands}) -> Any: ..."
    return lines


def outline(path: Path) -> ast.Module:
    """The imports, classes and functions of a source file, functions without their bodies."""
    tree = ast.parse(path.read_text())
    kinds = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)
    tree.body = [n for n in tree.body if isinstance(n, kinds) and not isinstance(getattr(n, "value", 0), ast.Call)]
    tree.body = [n for n in tree.body if getattr(n, "module", "") != "__future__"]  # stubs look ahead anyway
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.body = [ast.Expr(ast.Constant(...))]
            node.decorator_list = [d for d in node.decorator_list if isinstance(d, ast.Name)]
    return tree


def functions(path: Path) -> dict[str, ast.FunctionDef]:
    """The public functions of a source file, without bodies."""
    found = (n for n in outline(path).body if isinstance(n, ast.FunctionDef))
    return {f.name: f for f in found if not f.name.startswith("_") and f.name != "seed"}


class _Qualify(ast.NodeTransformer):
    """Types whose names are also operators' names (slice) must be looked up in builtins inside a stub."""

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if isinstance(getattr(builtins, node.id, None), type) and node.id in REGISTRY:
            return ast.Attribute(ast.Name("builtins", ast.Load()), node.id, ast.Load())
        return node


def operators(operand: str, taken: set[str]) -> Iterator[str]:
    """The functions of a module, then its namespaces as classes of static functions."""
    for public, registered in sorted(operator_names().items()):
        if public not in taken and not keyword.iskeyword(public):
            yield f"def {public}({arguments(REGISTRY[registered], operand)}) -> {operand}: ..."
    for space in (*NAMESPACES, "_internal"):
        file = WRITTEN[operand].get(space)
        written = functions(PACKAGE / file) if file else {}
        lines = [ast.unparse(ast.fix_missing_locations(_Qualify().visit(f))) for f in written.values()]
        for public, registered in sorted(operator_names(space).items()):
            if public not in written:
                lines.append(f"def {public}({arguments(REGISTRY[registered], operand)}) -> {operand}: ...")
        if lines:
            yield f"class {space}:"
        for line in lines:
            yield from ("    @staticmethod", *(f"    {part}" for part in line.splitlines()))


def arguments(op: Op, operand: str) -> str:
    parts = [f"*data: {operand}"] if op.count else [f"{n}: {operand} | None = ..." for n in op.inputs]
    parts += [f"{n}: {annotation_text(p)} = {_default(p.default)}" for n, p in op.params.items() if n not in op.inputs]
    return ", ".join([*parts, *_common(op, operand)])


def method(name: str, op: Op) -> str | None:
    """The operator as a method, its first input being the symbol; None when it has no input."""
    if op.count or not op.inputs:
        return None
    parts = ["self"] + [f"{n}: Symbol | None = ..." for n in op.inputs[1:]]
    parts += [f"{n}: {annotation_text(p)} = {_default(p.default)}" for n, p in op.params.items()]
    return f"def {name}({', '.join([*parts, *_common(op, 'Symbol')])}) -> Symbol: ..."


def _common(op: Op, operand: str) -> list[str]:
    """What every function takes besides its own arguments."""
    if operand == "Symbol":
        common = ["name: str | None = ...", "attr: Mapping[str, str] | None = ...", "**attributes: Any"]
    else:
        common = ["out: Any = ...", "ctx: Any = ...", "name: str | None = ..."]
    mine = [c for c in common if c.partition(":")[0] not in op.params]
    return mine if op.count else ["*", *mine]


def _default(value: Any) -> str:
    return "..." if value is REQUIRED else repr(value)


if __name__ == "__main__":
    for written in write_stubs(Path(sys.argv[1]) if len(sys.argv) > 1 else PACKAGE):
        print(written)
