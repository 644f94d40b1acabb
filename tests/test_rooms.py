"""The order of the rooms: who may import whom, and how large a room's furniture may be. Nothing is run, only read.

A module imports from its own room and from those below it in `ROOMS`, wherever the import stands: at the top, in a
function, for a type.
"""

from __future__ import annotations

import ast
import tokenize
from collections.abc import Iterable, Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1] / "simfarm"

ROOMS = (
    ("errors", "version", "resources", "settings"),
    ("text",),
    ("data",),
    ("statistics",),
    ("ranking",),
    ("agreement",),
    ("backends",),
    ("judges",),
    ("engine",),
    ("runs",),
    ("selection",),
    ("methods",),
    ("report",),
    ("web",),
    ("api",),
    ("cli",),
    ("simfarm", "__main__"),
)
"""From the ground up; rooms of one floor are each other's neighbours. `simfarm` is the package's own face."""

FLOORS = {room: floor for floor, rooms in enumerate(ROOMS) for room in rooms}

MOST_LINES = {"function": 60, "module": 350, "verb": 120}


class Import(NamedTuple):
    """One import: which module does it, of which, on which line, and whether it is done as the module is loaded."""

    module: str
    imported: str
    line: int
    at_load: bool


@cache
def _trees() -> dict[str, ast.Module]:
    """Module, as simfarm itself names it (`data.frames`; `simfarm` is the package) -> what its file says."""
    made = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        with tokenize.open(path) as file:
            made[".".join(parts).removesuffix("__init__").rstrip(".") or "simfarm"] = ast.parse(file.read())
    return made


def _room(module: str) -> str:
    return module.partition(".")[0]


def _names(node: ast.AST, module: str) -> Iterator[str]:
    """The full names of what an import may load: of `from a import b` both a and a.b."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        if node.level:
            package = ["simfarm", *module.split(".")]
            inside = ROOT.joinpath(*module.split(".")).is_dir()
            base = ".".join([*package[: len(package) - node.level + inside], *filter(None, [node.module])])
        else:
            base = node.module or ""
        yield from (f"{base}.{alias.name}" for alias in node.names)
        yield base
    elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "." in node.value:
        # import_module("simfarm.…"); the package's name alone is a logger's too
        yield node.value


def _walk(tree: ast.Module) -> Iterator[tuple[ast.AST, bool]]:
    """Every node of a module, and whether it is reached when the module is loaded."""
    waiting: list[tuple[ast.AST, bool]] = [(tree, True)]
    while waiting:
        node, at_load = waiting.pop()
        yield node, at_load
        typing = isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        later = typing or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        waiting += [(child, at_load and not later) for child in ast.iter_child_nodes(node)]


@cache
def _imports() -> tuple[Import, ...]:
    made = []
    for module, tree in _trees().items():
        for node, at_load in _walk(tree):
            full = [name for name in _names(node, module) if name.partition(".")[0] == "simfarm"]
            ours = [name.removeprefix("simfarm.") for name in full]
            loaded = [name for name in ours if name in _trees() and name != module]
            # `from a import b` loads a for b's sake where b is a module of its own
            loaded = [name for name in loaded if not any(other.startswith(f"{name}.") for other in loaded)]
            said = at_load and not isinstance(node, ast.Constant)
            made += [Import(module, name, node.lineno, said) for name in dict.fromkeys(loaded)]  # type: ignore[attr-defined]
    return tuple(made)


def _path(module: str) -> Path:
    path = ROOT if module == "simfarm" else ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _where(module: str, line: int) -> str:
    return f"{_path(module).relative_to(ROOT.parent)}:{line}"


def _fail_with(lines: list[str]) -> None:
    """One line for each offence; none, no failure."""
    if lines:
        pytest.fail("\n" + "\n".join(lines), pytrace=False)


def test_every_module_has_a_room() -> None:
    strangers = {room for room in map(_room, _trees()) if room not in FLOORS}
    assert not strangers, f"say in ROOMS where {', '.join(sorted(strangers))} stands"


def test_no_import_climbs() -> None:
    _fail_with(
        [
            f"{_where(i.module, i.line)}: {_room(i.module)} must not import {i.imported}"
            for i in _imports()
            if FLOORS[_room(i.imported)] > FLOORS[_room(i.module)]
        ]
    )


def test_no_module_waits_for_itself() -> None:
    graph: dict[str, set[str]] = {module: set() for module in _trees()}
    lines = {}
    for i in _imports():
        if i.at_load:
            graph[i.module].add(i.imported)
            lines[i.module, i.imported] = _where(i.module, i.line)
    circle: list[str] = []
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = error.args[1][::-1]
    _fail_with([f"{lines[a, b]}: {a} imports {b}" for a, b in pairwise(circle)])


def _functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    yield from (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_functions_fit_on_a_screen() -> None:
    _fail_with(
        [
            f"{_where(module, function.lineno)}: {function.name} has {lines} lines"
            for module, tree in _trees().items()
            for function in _functions(tree)
            if (lines := (function.end_lineno or 0) - function.lineno + 1) > MOST_LINES["function"]
        ]
    )


def _too_long(kind: str, modules: Iterable[str]) -> list[str]:
    lengths = {module: len(_path(module).read_text("utf-8").splitlines()) for module in modules}
    return [
        f"{_where(module, length)}: {MOST_LINES[kind]} lines are the most of a {kind}"
        for module, length in lengths.items()
        if length > MOST_LINES[kind]
    ]


def test_modules_can_be_read_at_a_sitting() -> None:
    _fail_with(_too_long("module", _trees()))


def _verbs() -> list[str]:
    """The modules that have the two functions of a verb."""
    wanted = {"add_arguments", "run"}
    return [
        module
        for module, tree in _trees().items()
        if _room(module) == "cli" and wanted <= {function.name for function in _functions(tree)}
    ]


def test_verbs_are_thin() -> None:
    assert {"cli.annotate", "cli.evaluate", "cli.setup_local"} <= set(_verbs())
    _fail_with(_too_long("verb", _verbs()))
