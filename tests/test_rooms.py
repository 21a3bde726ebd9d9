"""The shape of the house: who may import whom, how long files are, what code must not do."""

import ast
import statistics
from pathlib import Path

import pytest

import openwork

ROOT = Path(__file__).parent.parent
SOURCE = Path(openwork.__file__).parent
# A room imports rooms above it in this list only.
ROOMS = [
    "errors",
    "_version",
    "_files",
    "_yaml",
    "_arguments",
    "_machine",
    "_processes",
    "_mode",
    "_identity",
    "patterns",
    "kernels",
    "runtime",
    "ops",
    "nn",
    "capture",
    "verify",
    "data",
    "models",
    "io",
    "flow",
    "compact",
    "observe",
    "prune",
    "engine",
    "train",
    "report",
    "demo",
    "cli",
    "__init__",
    "__main__",
]


def _files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def _room(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def _imported(tree: ast.AST) -> set[str]:
    """Rooms that a file imports, also inside functions."""
    modules = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules.add(node.module)
            modules |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.split(".")[1] for name in modules if name.startswith("openwork.")}


@pytest.mark.parametrize("path", _files(SOURCE), ids=lambda p: str(p.relative_to(SOURCE)))
def test_rooms_import_only_downwards(path: Path) -> None:
    own = ROOMS.index(_room(path))
    imported = _imported(ast.parse(path.read_text())) & set(ROOMS)
    above = {room for room in imported if ROOMS.index(room) > own}
    assert not above


def test_every_file_belongs_to_a_room() -> None:
    assert {_room(path) for path in _files(SOURCE)} == set(ROOMS)


def test_files_are_short() -> None:
    folders = (SOURCE, ROOT / "tests", ROOT / "benchmarks", ROOT / "studies")
    lengths = {p: len(p.read_text().splitlines()) for folder in folders for p in _files(folder)}
    assert statistics.median(lengths.values()) <= 170
    assert max(lengths.values()) <= 600, max(lengths, key=lambda path: lengths[path])


@pytest.mark.parametrize("path", _files(SOURCE), ids=lambda p: str(p.relative_to(SOURCE)))
def test_no_assert_no_pickle_no_eval_in_the_library(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        assert not isinstance(node, ast.Assert)
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {alias.name for alias in node.names} | {getattr(node, "module", None)}
            assert not names & {"pickle", "dill", "joblib", "marshal"}
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in {
                "eval",
                "exec",
                "torch.load",
                "torch.save",
                "np.load",
                "yaml.load",
            } or (called == "yaml.load" and "_StrictLoader" in ast.unparse(node))


_CHECKS = {"check", "raises", "warns", "gradcheck", "gradgradcheck"}


def _checks_something(function: ast.FunctionDef, helpers: set[str]) -> bool:
    for node in ast.walk(function):
        if isinstance(node, ast.Assert):
            return True
        if isinstance(node, ast.Attribute) and (
            node.attr in _CHECKS or node.attr.startswith("assert_")
        ):
            return True
        if isinstance(node, ast.Name) and node.id in helpers:
            return True
    return False


@pytest.mark.parametrize("path", sorted((ROOT / "tests").rglob("test_*.py")), ids=lambda p: p.stem)
def test_every_test_checks_something(path: Path) -> None:
    functions = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.FunctionDef)]
    tests = [function for function in functions if function.name.startswith("test_")]
    helpers = {f.name for f in functions if f not in tests and _checks_something(f, set())}
    assert tests
    assert [test.name for test in tests if not _checks_something(test, helpers)] == []
