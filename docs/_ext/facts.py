"""What pages state about the library, read from its code and its records. Knows nothing of Sphinx.

Each function gives tables or lists of plain strings: `code` in backticks, **bold** in asterisks.
"""

import ast
import importlib
import inspect
import json
import operator
import pkgutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import typer.main

import openwork
from openwork import errors, patterns
from openwork._terminal import counted
from openwork.capture.operators import NotUnderstood
from openwork.cli.app import app
from openwork.engine.lower import lower
from openwork.engine.lower.norms import NORMS, REDUCTIONS
from openwork.engine.lower.pointwise import POINTWISE
from openwork.engine.lower.spatial import MAPS
from openwork.engine.lower.weights import LAYERS
from openwork.flow import analysis
from openwork.flow.handle.movement import MOVEMENT
from openwork.flow.handle.pointwise import is_pointwise
from openwork.flow.handle.spatial import SPATIAL
from openwork.flow.handle.weights import WEIGHTS
from openwork.kernels.dispatch import FAMILIES
from openwork.nn.budget import RULES
from openwork.patterns.spec import parameters_of
from openwork.prune.criteria import CRITERIA, FEATURE_MAP_CRITERIA
from openwork.prune.units.granularity import GRANULARITIES

DOCS = Path(__file__).parent.parent
BENCHMARKS = DOCS.parent / "benchmarks"


@dataclass(frozen=True)
class Grid:
    """A table.

    Attributes:
        head: its column headings.
        rows: its cells, one per heading.
        note: a line below it.
    """

    head: tuple[str, ...]
    rows: list[tuple[str, ...]]
    note: str = ""


# Operators ---------------------------------------------------------------------------------------

COMPACT: dict[Any, Any] = vars(analysis)["_HANDLERS"]
COMPILE: dict[Any, Any] = vars(lower)["_HANDLERS"]
KINDS = {
    "Layers and norms": {**WEIGHTS, **LAYERS, **NORMS},
    "Pools, padding, resizing, reductions": {**SPATIAL, **REDUCTIONS},
    "Shapes, channels and places": MOVEMENT,
    "Arithmetic and activations": POINTWISE,
}


def plain_name(target: Any) -> str:
    """What users call an operator: `conv2d` for aten.conv2d.padding, `relu` for aten.relu_."""
    name = getattr(target, "_opname", None) or getattr(target, "__name__", str(target))
    return name.lstrip("_").rstrip("_") if not name.startswith("__") else name


def operators() -> dict[str, Grid]:
    """By kind, every operator that `compact` follows or `compile` runs natively, and by which."""
    kind_of = {target: kind for kind, table in reversed(KINDS.items()) for target in table}
    rows: dict[str, dict[str, list[bool]]] = {kind: {} for kind in KINDS}
    for target in (*COMPACT, *COMPILE):
        kind = kind_of.get(target)
        if kind is None:
            kind = "Shapes, channels and places" if target in MAPS else "Arithmetic and activations"
        seen = rows[kind].setdefault(plain_name(target), [False, False])
        # Items of tuples are followed without a handler.
        seen[0] |= target in COMPACT or is_pointwise(target) or target is operator.getitem
        seen[1] |= target in COMPILE
    head = ("operator", "compact, pruning", "compile")
    return {
        kind: Grid(head, [(f"`{n}`", _yes(a), _yes(b)) for n, (a, b) in sorted(of_kind.items())])
        for kind, of_kind in rows.items()
    }


def pointwise_operators() -> list[str]:
    """The operators of torch that `compact` follows number by number, by torch's own tag.

    Without those that no network calls by name: gradients, and the functions of torch.special.
    """
    found: set[str] = set()
    for name in dir(torch.ops.aten):
        packet = getattr(torch.ops.aten, name)
        overloads = packet.overloads() if hasattr(packet, "overloads") else []
        if any(is_pointwise(getattr(packet, overload)) for overload in overloads):
            found.add(plain_name(getattr(packet, overloads[0])))
    return sorted(n for n in found if not n.startswith(("_", "special_")) and "backward" not in n)


def declined() -> dict[str, list[str]]:
    """Part of the code -> the reasons for which its handlers leave a use of an operator alone."""
    parts = {"compact": "openwork.flow.handle", "compile": "openwork.engine.lower"}
    return {part: sorted(set(_reasons(package))) for part, package in parts.items()}


def _reasons(package: str) -> Iterator[str]:
    folder = Path(inspect.getfile(importlib.import_module(package))).parent
    marker = f'{NotUnderstood.__name__}("'
    for path in folder.glob("*.py"):
        for piece in path.read_text(encoding="utf-8").split(marker)[1:]:
            yield piece.partition('"')[0]


def kernel_families() -> Grid:
    """The families of kernels for compiled convolutions, and what each one cannot run."""
    rows = [(f"`{family.name}`", _why(family.refusal)) for family in FAMILIES]
    return Grid(("family", "does not run"), rows)


def _why(refusal: Callable[[Any], str | None]) -> str:
    """The conditions in the source of a refusal, as they are written there."""
    source = inspect.getsource(refusal)
    found = [piece.partition('"')[0] for piece in source.split('return f"')[1:]]
    found += [piece.partition('"')[0] for piece in source.split('return "')[1:]]
    return "; ".join(found) or "nothing"


def _yes(holds: bool) -> str:
    return "yes" if holds else "–"


# Pruning and plans -------------------------------------------------------------------------------


def criteria() -> Grid:
    """Every criterion of `prune.by_criterion`."""
    rows = [
        (
            f"`{name}`",
            _sentence(function),
            "feature maps" if name in FEATURE_MAP_CRITERIA else "every granularity",
        )
        for name, function in CRITERIA.items()
    ]
    return Grid(("criterion", "scores a part by", "for"), rows)


def granularities() -> list[str]:
    """Every granularity of pruning."""
    return [f"`{name}`" for name in GRANULARITIES]


def pattern_kinds() -> Grid:
    """Every pattern that a plan can name, with the parameters that it takes."""
    rows = []
    for kind, generator in patterns.KINDS.items():
        taken = ", ".join(
            f"`{name}`" + ("" if p.default is inspect.Parameter.empty else f" = {p.default}")
            for name, p in parameters_of(kind).items()
        )
        summary = (inspect.getdoc(generator) or "").partition("\n\n")[0].replace("\n", " ")
        rows.append((f"`{kind}`", summary, taken or "none"))
    return Grid(("pattern", "what it draws", "parameters = default"), rows)


def budget_rules() -> list[str]:
    """The rules by which a budget is spread."""
    return [f"`{name}`" for name in RULES]


# Errors ------------------------------------------------------------------------------------------


def error_family() -> dict[str, type[Exception]]:
    """Every error class of the library, by name."""
    return {
        name: value
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, errors.OpenworkError)
    }


def error_table() -> Grid:
    """Every error class: what it is, what else catches it, and which public names raise it."""
    raised = _raised()
    rows = []
    for name, error in error_family().items():
        bases = [b.__name__ for b in error.__bases__ if b is not Exception]
        rows.append(
            (
                f"`{name}`",
                _sentence(error),
                ", ".join(f"`{base}`" for base in bases) or "–",
                _names(raised[name]),
            )
        )
    return Grid(("error", "what it says", "is also", "raised by"), rows)


def _names(raising: set[str]) -> str:
    if len(raising) > 20:
        return f"{len(raising)} public names: whatever takes arguments"
    return ", ".join(f"`{who}`" for who in sorted(raising)) or "–"


def _raised() -> dict[str, set[str]]:
    """Error -> public functions and methods whose docstring says that they raise it."""
    found: dict[str, set[str]] = defaultdict(set)
    for module, name in public_names():
        value = getattr(importlib.import_module(module), name)
        members = [value, *vars(value).values()] if inspect.isclass(value) else [value]
        for member in members:
            _, _, after = (inspect.getdoc(member) or "").partition("\nRaises:\n")
            block = after.partition("\n\n")[0]
            for error in error_family():
                if f"{error}:" in block or f"{error}," in block:
                    found[error].add(name)
    return found


# Public names ------------------------------------------------------------------------------------


def module_names() -> list[str]:
    """Every public module, as it is imported: the package, and its rooms that export something."""
    rooms = [room.name for room in pkgutil.iter_modules(openwork.__path__) if room.ispkg]
    found = [f"openwork.{room}" for room in sorted(rooms) if room != "cli"]
    return ["openwork", *(n for n in found if importlib.import_module(n).__all__)]


def module_page(module: str) -> str:
    """The page of a module in the reference, in reStructuredText."""
    about = (inspect.getdoc(importlib.import_module(module)) or "").partition("\n\n")[0]
    about = "``import openwork as ow``" if module == "openwork" else about
    return f"{module}\n{'=' * len(module)}\n\n{about}\n\n.. public-names:: {module}\n"


def public_names() -> list[tuple[str, str]]:
    """Every (module, public name); a name that `openwork` itself has is not repeated."""
    top = set(importlib.import_module("openwork").__all__)
    found = []
    for module in module_names():
        names = importlib.import_module(module).__all__
        found += [(module, n) for n in sorted(names) if module == "openwork" or n not in top]
    return found


def constant_text(module: str, name: str) -> str:
    """What the string behind the assignment of a public constant says of it."""
    folder = Path(inspect.getfile(importlib.import_module(module))).parent
    for path in folder.rglob("*.py"):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        for assigned, text in pairwise(body):
            targets = getattr(assigned, "targets", [getattr(assigned, "target", None)])
            named = any(isinstance(each, ast.Name) and each.id == name for each in targets)
            if named and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                return inspect.cleandoc(str(text.value.value))
    return ""


# The command line --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Command:
    """A command.

    Attributes:
        name: as it is typed.
        help: its description.
        parameters: its arguments and options.
    """

    name: str
    help: str
    parameters: Grid = field(repr=False)


def commands() -> list[Command]:
    """Every command of `openwork`, as `--help` describes it."""
    group: Any = typer.main.get_command(app)
    return [
        Command(name, " ".join((command.help or "").split()), _parameters(command))
        for name, command in group.commands.items()
    ]


def _parameters(command: Any) -> Grid:
    rows = []
    for parameter in command.params:
        if parameter.name == "help":
            continue
        is_argument = parameter.param_type_name == "argument"
        names = [parameter.name.upper()] if is_argument else parameter.opts
        default = "required" if parameter.required else _shown(parameter.default)
        rows.append((", ".join(f"`{n}`" for n in names), parameter.help or "", default))
    return Grid(("option", "meaning", "default"), rows)


def _shown(default: Any) -> str:
    return "–" if default in (None, False, (), []) or callable(default) else f"`{default}`"


# Measurements ------------------------------------------------------------------------------------


def atlases() -> dict[str, Grid]:
    """Where measured -> speed-up of each layer over dense torch, by density; losses are bold."""
    found = {}
    for path in sorted(BENCHMARKS.glob("atlas-*.json")):
        record = _read(path)
        times: dict[str, dict[float, float]] = defaultdict(dict)
        for cell in record["layers"]:
            ratio = cell["torch_seconds"] / cell["seconds"]
            times[cell["layer"]][cell["density"]] = ratio
        densities = sorted({d for of_layer in times.values() for d in of_layer}, reverse=True)
        rows = [
            (f"`{layer}`", *(_ratio(of_layer[d]) for d in densities), _pays_from(of_layer))
            for layer, of_layer in times.items()
        ]
        head = ("layer", *(f"{d:.0%}" for d in densities), "2x from")
        found[_where(record, path)] = Grid(head, rows)
    return found


def _pays_from(ratios: dict[float, float]) -> str:
    """The highest density at which, and below which, the layer takes half of torch's time."""
    best = None
    for density in sorted(ratios):
        if ratios[density] < 2:
            break
        best = density
    return "never" if best is None else f"{best:.0%}"


def networks() -> dict[str, Grid]:
    """Where measured -> speed-up of each network over dense ONNX Runtime; losses are bold."""
    found = {}
    for path in sorted(BENCHMARKS.glob("networks-*.json")):
        record = _read(path)
        columns = list(
            dict.fromkeys(
                name
                for of_network in record["results"].values()
                for name in of_network["seconds"]
                if name != "onnxruntime"
            )
        )
        rows = []
        for network, measured in record["results"].items():
            seconds = measured["seconds"]
            base = seconds["onnxruntime"]
            cells = [_ratio(base / seconds[c]) if c in seconds else "–" for c in columns]
            rows.append((f"`{network}`", f"{1e3 * base:.1f}", *cells))
        head = ("network", "ONNX Runtime, ms", *(_column(c) for c in columns))
        found[_where(record, path)] = Grid(head, rows)
    return found


def _column(name: str) -> str:
    named = {"openvino": "OpenVINO, its own precision", "openvino f32": "OpenVINO float32"}
    dense = dict.fromkeys(("openwork 1", "openwork 1.0"), "openwork dense")
    return (named | dense).get(name, name)


def linear_layers() -> dict[str, Grid]:
    """Where measured -> speed-up of linear layers over dense ONNX Runtime; losses are bold."""
    record = _read(BENCHMARKS / "linear.json")
    ways = sorted({(row["block"], -row["density"]) for row in record["rows"]})
    layers: dict[str, dict[tuple[int, float], float]] = defaultdict(dict)
    for row in record["rows"]:
        layer = f"`{row['inputs']}->{row['outputs']}`, batch {row['batch']}"
        ratio = row["onnxruntime_seconds"] / row["seconds"]
        layers[layer][row["block"], -row["density"]] = ratio
    rows = [
        (layer, *(_ratio(of_layer[way]) if way in of_layer else "–" for way in ways))
        for layer, of_layer in layers.items()
    ]
    head = [f"{-d:.0%}" + (f" `block({b}, 1)`" if b > 1 else "") for b, d in ways]
    where = f"{record['machine']['processor']}, 1 thread (`benchmarks/linear.json`)"
    return {where: Grid(("layer", *head), rows)}


def recipe() -> dict[str, Grid]:
    """Where measured -> a ResNet-56 that was cut, retrained and compiled, by the share cut."""
    record = _read(BENCHMARKS / "recipe.json")
    rows = []
    for row in sorted(record["rows"], key=lambda row: row["ratio"]):
        ours, theirs = row["milliseconds"], row["onnxruntime_milliseconds"]
        rows.append(
            (
                f"{row['ratio']:.0%}",
                f"{counted(row['epochs'], 'epoch')}, {row['seconds'] / 60:.0f} minutes, "
                + ("taught" if row["taught"] else "no teacher"),
                f"{row['parameters']:,}",
                f"{row['retrained']:.2%}",
                f"{100 * (row['whole'] - row['retrained']):.2f}",
                f"{ours:.2f} ms",
                _times(theirs / ours),
            )
        )
    head = ("kernels cut", "retrained", "parameters", "accuracy", "points lost", "one image")
    where = (
        f"CIFAR-10, ResNet-56 of {record['rows'][0]['whole']:.2%}; "
        f"{counted(record['rows'][0]['threads'], 'thread')} of "
        f"{record['machine']['processor']}, {record['machine']['vector instructions']} "
        "(`benchmarks/recipe.json`)"
    )
    return {where: Grid((*head, "over dense ONNX Runtime"), rows)}


def tried() -> dict[str, str]:
    """Sentences on the networks that `compile` and `compact` were tried on."""
    timed = [row for row in _read(BENCHMARKS / "zoo-1t-64px.json")["rows"] if not row["error"]]
    dense = sorted(row["dense_ratio"] for row in timed)
    sparse = sorted(row["sparse_ratio"] for row in timed)
    zoo = [row for row in _read(BENCHMARKS / "zoo-64px.json")["rows"] if not row["error"]]
    whole = sum(not row["fallbacks"] for row in zoo)
    rows = _read(BENCHMARKS / "compact_zoo.json")["rows"]
    names = {row["name"] for row in rows}
    wrong = [row for row in rows if row["error"]]
    gone, removable = (sum(row[key] for row in rows) for key in ("gone", "removable"))
    # "left to torch, 8 times: aten.stack.default: not an operator that the engine has"
    left = Counter(op for row in zoo for op in {note.split(": ")[1] for note in row["fallbacks"]})
    often = ", ".join(f"`{name}` ({count})" for name, count in left.most_common(6))
    return {
        "compile": (
            f"{len(zoo)} networks of timm and torchvision compile to the same outputs. "
            f"{whole} of them run without torch; in the others these operators are left to torch "
            f"most often (number of networks): {often}. Over torch, {len(timed)} are "
            f"{dense[0]:.2f} to {dense[-1]:.1f} times as fast dense, and {sparse[0]:.1f} to "
            f"{sparse[-1]:.1f} times with 70 % of their kernels dead (64 x 64 pixels, one thread)."
        ),
        "compact": (
            f"{len(names)} networks of timm and torchvision, with dead channels put in: "
            f"{len(wrong)} of {len(rows)} runs failed, and {gone:,} of {removable:,} channels that "
            "can go were removed."
        ),
    }


def training_grids() -> dict[str, Grid]:
    """Whole training steps: the machine of each `benchmarks/training-step-*.json` -> a table."""
    grids = {}
    for path in sorted(BENCHMARKS.glob("training-step-*.json")):
        record = _read(path)
        speedups: dict[tuple[str, int, bool], dict[float, float]] = {}
        for row in record["rows"]:
            key = row["what"], row["batch"], row["fused"]
            speedups.setdefault(key, {})[row["density"]] = row["speedup"]
        densities = sorted({density for row in speedups.values() for density in row}, reverse=True)
        rows = [
            (
                f"`{what}`, batch {batch}{', fused' * fused}",
                *(_times(found.get(density)) for density in densities),
            )
            for (what, batch, fused), found in sorted(speedups.items(), key=_networks_first)
        ]
        machine, threads = record["machine"], record["rows"][0]["threads"]
        title = (
            f"{machine['processor']}, {machine['vector instructions']}, "
            f"{counted(threads, 'thread')}: dense torch over sparse, "
            f"by density (`benchmarks/{path.name}`)"
        )
        grids[title] = Grid(("step", *map(str, densities)), rows)
    return grids


def _networks_first(row: tuple[tuple[str, int, bool], Any]) -> tuple[bool, str, int, bool]:
    what = row[0][0]
    # A layer is named with its map's side, such as "3x3 64@32".
    return "@" in what, *row[0]


def _times(speedup: float | None) -> str:
    return "–" if speedup is None else f"{speedup:.1f}x"


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _where(record: dict[str, Any], path: Path) -> str:
    machine = record["machine"]
    threads, batch = (part.lstrip("tb") for part in path.stem.split("-")[1:3])
    threads = path.stem.split("-")[1].rstrip("t")
    return (
        f"{machine['processor']}, {machine['vector instructions']}, {threads} "
        f"{'thread' if threads == '1' else 'threads'}, batch {batch}, torch {machine['torch']} "
        f"(`benchmarks/{path.name}`)"
    )


def _ratio(ratio: float) -> str:
    text = f"{ratio:.1f}" if ratio < 9.95 else f"{ratio:.0f}"
    return f"**{text}**" if float(text) < 1 else text


def _sentence(value: Any) -> str:
    """The first sentence of a docstring, in one line."""
    text = " ".join((inspect.getdoc(value) or "").partition("\n\n")[0].split())
    return text.removesuffix(".")
