"""The commands that only show: `openwork info`, `openwork report` and `openwork preview`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from openwork import io
from openwork.cli import options
from openwork.cli.build import Sizes, build_named
from openwork.cli.run import locate, random_images
from openwork.cli.say import say
from openwork.engine import CompiledModel
from openwork.models import ModelSource
from openwork.nn import Plan, Table
from openwork.report import html

_KINDS = {"model": "a network", "compiled": "a compiled network", "quantized": "a network in int8"}
# Kept for the commands; too long to read.
_HIDDEN = ("by", "classes", "mean", "std")


def info(
    run: Annotated[Path, typer.Argument(help="A run's folder, or a file that openwork wrote.")],
) -> None:
    """Show what a file says of its network, compiled or not, without building it."""
    place = locate(run)
    path, found = place.path, place.info
    if path is None or found is None:
        return
    rows = [
        ("file", f"{path}, {path.stat().st_size / 1e3:,.0f} KB"),
        ("holds", _KINDS[found.kind]),
        ("written by", f"openwork {found.version}"),
        *_built(found.source),
        ("plan", _summary(found.plan)),
        *_measured(found.metrics),
    ]
    compiled = io.load(path) if place.is_compiled else None
    if isinstance(compiled, CompiledModel):
        inputs = (f"{n} ({', '.join(map(str, s))})" for n, s in compiled.shapes.items())
        rows.append(("inputs", f"{', '.join(inputs)}; batch: {compiled.batches}"))
    Table(("what", "found"), tuple(rows), justify="left").print()
    if isinstance(compiled, CompiledModel):
        compiled.layers.print()


def report(
    runs: Annotated[list[Path], typer.Argument(help="Folders that openwork wrote to.")],
    out: Annotated[
        Path | None,
        typer.Option(help="File for the page; default report.html in the run, or here."),
    ] = None,
) -> None:
    """Write a page about one or several runs: all that was measured. It opens offline."""
    target = out or (runs[0] if len(runs) == 1 else Path()) / "report.html"
    html(*runs, out=target)
    say(f"report: {target}")


def preview(
    model: options.Model,
    plan: Annotated[
        Path, typer.Option(help="YAML: layer globs to patterns, or a budget for the network.")
    ],
    classes: Annotated[int, typer.Option(help="Outputs of the network.")] = 10,
    channels: Annotated[int, typer.Option(help="Channels of its images.")] = 3,
    image_size: Annotated[int, typer.Option(help="Height and width of its images.")] = 32,
    depth_multiplier: options.Depth = 1.0,
) -> None:
    """Show what a plan would do to a network, layer by layer."""
    network = build_named(model, Sizes(classes, channels, image_size), depth_multiplier)
    example = random_images(1, channels, image_size)
    Plan.from_yaml(plan, network, example).preview(network, example)


def _built(source: ModelSource | None) -> list[tuple[str, str]]:
    if source is None:
        return [("model", "not named: --model builds it")]
    width = "" if source.depth_multiplier == 1 else f", widths times {source.depth_multiplier:g}"
    side = source.image_size
    return [
        ("model", f"{source.name}{width}"),
        ("images", f"{source.in_channels}x{side}x{side}"),
        ("outputs", f"{source.num_classes:,}"),
    ]


def _summary(plan: Plan | None) -> str:
    if plan is None:
        return "none recorded"
    names = list(plan.layers)
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more}"


def _measured(metrics: Mapping[str, Any]) -> list[tuple[str, str]]:
    shown = {name: value for name, value in metrics.items() if name not in _HIDDEN}
    rows = [(name.replace("_", " "), _text(value)) for name, value in shown.items()]
    if isinstance(classes := metrics.get("classes"), list):
        rows.append(("classes", f"{len(classes):,}: {', '.join(map(str, classes[:5]))}..."))
    return rows


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)[:200]
