"""Which room may import which names of which other, how long files are, what code must not do."""

import ast
import functools
import statistics
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pytest

import openwork

ROOT = Path(__file__).parent.parent
SOURCE = Path(openwork.__file__).parent
# A room imports rooms above it in this list only.
ROOMS = [
    "errors",
    "_version",
    "_locks",
    "_files",
    "_foreign",
    "_json",
    "_terminal",
    "_yaml",
    "_arguments",
    "_machine",
    "_processes",
    "_mode",
    "_copy",
    "walk",
    "_unchanged",
    "_unwrap",
    "_identity",
    "_nested",
    "_call",
    "cluster",
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
    "interchange",
    "flow",
    "compact",
    "observe",
    "prune",
    "engine",
    "quantize",
    "train",
    "report",
    "integrations",
    "predict",
    "demo",
    "cli",
    "__init__",
    "__main__",
]


# Sub-rooms of a room, and their order: one imports only those before it, and files of the room.
SUBROOMS = {
    "engine": ["lower", "passes", "tune", "narrow", "dynamo"],
    "flow": ["handle"],
    "interchange": ["handle"],
    "kernels": ["narrow", "training"],
    "nn": ["kinds", "ssc", "change", "norms", "timing"],
    "prune": ["units", "search", "stages"],
    "report": ["page"],
    "runtime": ["nodes", "packed"],
}
# Rooms that must run where torch is not installed.
WITHOUT_TORCH = ["kernels", "runtime"]


def _files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def _module(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {_module(path): path for path in _files(SOURCE)}
TREES = {module: ast.parse(path.read_text()) for module, path in MODULES.items()}


def _room(module: str) -> str:
    """The room of a module; "__init__" for the package itself."""
    return module.split(".")[1] if "." in module else "__init__"


def _subroom(module: str) -> str | None:
    """The sub-room of a module, None for what lies in no sub-room."""
    parts = MODULES[module].relative_to(SOURCE).parts
    return parts[1] if len(parts) > 2 else None


@functools.cache
def _imports(module: str) -> set[tuple[str, str | None]]:
    """(module, name) of all that a module imports, for types and inside functions too."""
    found: set[tuple[str, str | None]] = set()
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Import):
            found |= {(alias.name, None) for alias in node.names if alias.name in MODULES}
        elif isinstance(node, ast.ImportFrom) and node.module in MODULES:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                # A function may bear the name of its file, and a room offers the function.
                named_alike = node.module != "openwork" and alias.name in _offered(node.module)
                if whole in MODULES and not named_alike:
                    found.add((whole, None))
                else:
                    found.add((node.module, alias.name))
    return found


@functools.cache
def _offered(module: str) -> set[str]:
    """What a module lists in its `__all__`."""
    for node in TREES[module].body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(target, ast.Name) and target.id == "__all__":
            return set(ast.literal_eval(node.value))  # type: ignore[attr-defined]
    return set()


@functools.cache
def _taken(module: str) -> set[tuple[str, str]]:
    """(module, name) of what a module takes from other modules, attributes of modules too."""
    taken = {(source, name) for source, name in _imports(module) if name is not None}
    called = _called(module)
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Attribute):
            source = called.get(ast.unparse(node.value))
            if source is not None and f"{source}.{node.attr}" not in MODULES:
                taken.add((source, node.attr))
    return taken


def _called(module: str) -> dict[str, str]:
    """What a module calls the modules that it imports -> their names."""
    called: dict[str, str] = {}
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Import):
            called |= {alias.asname or alias.name: alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                called[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    imported = {source for source, name in _imports(module) if name is None}
    return {name: source for name, source in called.items() if source in imported}


def _looked_up(module: str) -> set[str]:
    """Modules of ours that a module imports by a text."""
    return {
        node.value
        for node in ast.walk(TREES[module])
        if isinstance(node, ast.Constant) and node.value in MODULES and node.value != "openwork"
    }


def _is_common(module: str) -> bool:
    """Whether it is common ground: a file beside the rooms, all of which others may use."""
    return MODULES[module].parent == SOURCE


# One test for all modules rather than one for each: two thousand tests that take no time cost 20 s.


def test_rooms_import_only_downwards() -> None:
    assert [
        (module, source)
        for module in MODULES
        for source, _ in _imports(module)
        if ROOMS.index(_room(source)) > ROOMS.index(_room(module))
    ] == []


def test_rooms_take_only_what_others_offer() -> None:
    assert [
        (module, source, name)
        for module in MODULES
        for source, name in _taken(module)
        if _room(source) != _room(module)
        and not _is_common(source)
        and name not in _offered(source)
    ] == []


def test_names_with_an_underscore_stay_in_their_file() -> None:
    assert [
        (module, name)
        for module in MODULES
        for _, name in _taken(module)
        if name[0] == "_" and name[:2] != "__"
    ] == []


def test_files_offer_only_what_other_rooms_take() -> None:
    taken: dict[str, set[str]] = defaultdict(set)
    for module in MODULES:
        for source, name in _taken(module):
            if _room(source) != _room(module):
                taken[source].add(name)
    assert {
        module: untaken
        for module, path in MODULES.items()
        if path.name != "__init__.py" and not _is_common(module)
        if (untaken := _offered(module) - taken[module])
    } == {}


def test_imports_by_text_are_few_and_known() -> None:
    found = {module: _looked_up(module) for module in MODULES if _looked_up(module)}
    assert found == {
        # Rooms that are imported when a user first asks for them.
        "openwork": set(found["openwork"]),
        # What needs torch, when a user first asks for it.
        "openwork.data": {"openwork.data.augment", "openwork.data.batches", "openwork.data.fits"},
        # A compiled network's file needs the room that registers its kind.
        "openwork.io.kinds": {"openwork.engine", "openwork.quantize"},
        # A budget in milliseconds needs the room that registers the clock.
        "openwork.nn.timing.clock": {"openwork.engine"},
    }


def test_every_file_belongs_to_a_room() -> None:
    assert {_room(module) for module in MODULES} == set(ROOMS)


def test_every_folder_in_a_room_is_a_subroom() -> None:
    found: dict[str, set[str]] = defaultdict(set)
    for module in MODULES:
        subroom = _subroom(module)
        if subroom is not None:
            found[_room(module)].add(subroom)
    assert found == {room: set(subrooms) for room, subrooms in SUBROOMS.items()}


def test_subrooms_import_only_those_before_them() -> None:
    found = []
    for module in MODULES:
        room, own = _room(module), _subroom(module)
        order = SUBROOMS.get(room, [])
        used = {_subroom(source) for source, _ in _imports(module) if _room(source) == room}
        found += [
            (module, name) for name in used if own and name and order.index(name) > order.index(own)
        ]
    assert found == []


def test_no_file_is_private_by_its_name() -> None:
    names = [m for m in MODULES if not _is_common(m) and m.rpartition(".")[2].startswith("_")]
    assert names == []


def test_no_two_classes_bear_one_name() -> None:
    names = Counter(
        node.name
        for tree in TREES.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    )
    assert [name for name, count in names.items() if count > 1] == []


def test_no_imports_go_in_a_circle() -> None:
    left = {(source, module) for module in MODULES for source, _ in _imports(module)}
    while True:
        # Whatever imports nothing that is left, or is imported by nothing, is in no circle.
        imported, importing = ({pair[end] for pair in left} for end in (0, 1))
        kept = {(a, b) for a, b in left if a in importing and b in imported}
        if kept == left:
            break
        left = kept
    assert left == set()


def test_no_folder_holds_more_than_a_newcomer_can_read() -> None:
    files = Counter(path.parent for path in MODULES.values() if path.name != "__init__.py")
    lines: Counter[Path] = Counter()
    for path in MODULES.values():
        lines[path.parent] += len(path.read_text().splitlines())
    assert max(files.values()) <= 20, files.most_common(1)
    assert max(lines.values()) <= 2200, lines.most_common(1)


def test_rooms_without_torch_import_it_for_types_only() -> None:
    found = []
    for module in MODULES:
        if _room(module) not in WITHOUT_TORCH:
            continue
        tree = ast.parse(MODULES[module].read_text())
        tree.body = [node for node in tree.body if "TYPE_CHECKING" not in ast.unparse(node)[:20]]
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            found += [module for name in names if name.partition(".")[0] == "torch"]
    assert found == []


@pytest.mark.parametrize("room", WITHOUT_TORCH)
def test_runs_where_torch_is_not_installed(room: str) -> None:
    modules = sorted(module for module in MODULES if _room(module) == room)
    code = "import importlib, sys; sys.modules['torch'] = None\n"
    code += f"for name in {modules}: importlib.import_module(name)\n"
    code += "print(sorted(n for n in sys.modules if n.partition('.')[0] == 'torch'))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout.strip()) == (0, "['torch']"), ran.stderr


def test_files_are_short() -> None:
    folders = (SOURCE, ROOT / "tests", ROOT / "benchmarks", ROOT / "studies")
    lengths = {p: len(p.read_text().splitlines()) for folder in folders for p in _files(folder)}
    assert statistics.median(lengths.values()) <= 170
    assert max(lengths.values()) <= 600, max(lengths, key=lambda path: lengths[path])


def _is_unsafe(node: ast.AST) -> bool:
    """Whether it is an assert, an unpickler, or a call that runs what a file or text says."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        names = {alias.name for alias in node.names}
        module = getattr(node, "module", None)
        pickles = {"pickle", "_pickle", "dill", "joblib", "marshal", "shelve"}
        loads = module in ("torch", "numpy", "yaml") and bool(names & {"load", "save"})
        return bool((names | {module}) & pickles) or loads
    if isinstance(node, ast.Call):
        called = ast.unparse(node.func)
        if called == "yaml.load":
            return "_StrictLoader" not in ast.unparse(node)
        if called == "torch.load":
            # Tensors and plain data only; any other object is refused.
            return "weights_only=True" not in ast.unparse(node)
        first, _, last = called.rpartition(".")
        libraries = ("torch", "np", "numpy", "builtins")
        loads = first.partition(".")[0] in libraries and last in {"load", "save", "eval", "exec"}
        return loads or called in {"eval", "exec"}
    return isinstance(node, ast.Assert)


def test_no_assert_no_pickle_no_eval_in_the_library() -> None:
    assert [
        (module, node.lineno, ast.unparse(node))
        for module, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.stmt | ast.expr) and _is_unsafe(node)
    ] == []


@pytest.mark.parametrize(
    "code",
    [
        "assert x",
        "import pickle",
        "from dill import loads",
        "from torch import load",
        "yaml.load(x)",
        "yaml.load(x, Loader=yaml.Loader)",
        "torch.load(x)",
        "torch.load(x, weights_only=False)",
        "numpy.load(x)",
        "np.save(x)",
        "builtins.eval(x)",
        "torch.serialization.load(x)",
        "eval(x)",
        "exec(x)",
    ],
)
def test_what_is_unsafe_is_found(code: str) -> None:
    assert any(map(_is_unsafe, ast.walk(ast.parse(code))))


@pytest.mark.parametrize(
    "code", ["yaml.load(x, _StrictLoader)", "torch.load(x, weights_only=True)", "io.load(x)"]
)
def test_what_is_safe_is_not(code: str) -> None:
    assert not any(map(_is_unsafe, ast.walk(ast.parse(code))))


_CHECKS = {"check", "raises", "warns", "gradcheck", "gradgradcheck"}
# Functions of other files that raise if something is wrong.
_HELPERS = {"check_native", "check_node"}


def _checks_something(function: ast.FunctionDef, helpers: set[str]) -> bool:
    for node in ast.walk(function):
        if isinstance(node, ast.Assert):
            return True
        if isinstance(node, ast.Attribute) and (
            node.attr in _CHECKS or node.attr.startswith("assert_")
        ):
            return True
        if isinstance(node, ast.Name) and node.id in helpers | _HELPERS:
            return True
    return False


def test_every_test_checks_something() -> None:
    found: list[tuple[str, str]] = []
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        nodes = ast.walk(ast.parse(path.read_text()))
        functions = [node for node in nodes if isinstance(node, ast.FunctionDef)]
        tests = [function for function in functions if function.name.startswith("test_")]
        helpers = {f.name for f in functions if f not in tests and _checks_something(f, set())}
        assert tests, path
        found += [(path.stem, t.name) for t in tests if not _checks_something(t, helpers)]
    assert found == []
