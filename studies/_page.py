"""The page of the documentation with every claim, and its pictures, from the rows alone."""

import math
from pathlib import Path
from types import ModuleType
from typing import Any

import fully_connected
import incremental_training
import run_time
import scatter
import sparse_vs_depth_multiplier
import ssc_vs_others
from _claims import ORDER, Claim
from _grid import FOLDER, SCALES, Row, read_rows, rows_path
from _study import curve, figure, interval

from openwork._files import write_text

STUDIES: dict[str, ModuleType] = {
    module.STUDY.name: module
    for module in (
        *(fully_connected, scatter, sparse_vs_depth_multiplier, incremental_training),
        *(ssc_vs_others, run_time),
    )
}
DOCS = FOLDER.parent / "docs"
_HEAD = """\
# Evidence

The papers' claims, run again with openwork. This page and its pictures are made from committed
rows, one per network and seed, by `python -m studies report`; nothing on it is written by hand.
`python -m studies NAME` runs what is missing, in several sessions and on several machines if need
be.

A verdict follows from the 95 % interval over seeds: *held* and *did not hold* need an interval that
lies on one side of the bound, and two seeds at least. Everything else is undecided. What did not
hold comes first. One rule was added after the first rows: the slides' figures for MNIST are after
30 epochs, so networks trained for fewer cannot refute them. By its interval alone the claim on 3 %
of the connections did not hold.

| verdict | claim | measured | n | value, 95 % interval | cut |
|---|---|---|---|---|---|
"""


def write(rows: Path = FOLDER / "rows", docs: Path = DOCS) -> None:
    """Write the page `evidence.md` and a picture per study into `docs`."""
    import matplotlib as mpl

    # The same rows give the same file.
    mpl.rcParams["svg.hashsalt"] = "openwork"
    found = {name: best_rows(name, rows) for name in STUDIES}
    write_text(docs / "evidence.md", page(found))
    for name, (_, its_rows) in found.items():
        if its_rows:
            picture(STUDIES[name], its_rows).savefig(
                docs / f"evidence-{name}.svg", metadata={"Date": None}
            )


def best_rows(name: str, folder: Path) -> tuple[str, list[Row]]:
    """The largest scale that has rows, and its rows."""
    for scale in reversed(SCALES[1:]):
        if rows := read_rows(rows_path(name, scale, folder)):
            return scale, rows
    return SCALES[1], []


def page(found: dict[str, tuple[str, list[Row]]]) -> str:
    """The text of the page."""
    lines = []
    for name, (scale, rows) in found.items():
        cut = STUDIES[name].STUDY.cut[scale] or "nothing"
        lines += [(claim, cut) for claim in STUDIES[name].claims(rows)]
    lines.sort(key=lambda line: ORDER.index(line[0].finding.verdict))
    table = "".join(_line(claim, cut) for claim, cut in lines)
    return _HEAD + table + "".join(_section(n, *found[n]) for n in found)


def picture(study: ModuleType, rows: list[Row]) -> Any:
    """The picture of a study: means with their intervals; curves named "A, b" share panel A."""
    across, up, curves = study.points(rows)
    panels = list(dict.fromkeys(name.partition(", ")[0] for name in curves))
    drawn, axes = figure(len(panels), study.STUDY.name.replace("_", " "))
    by_name = dict(zip(panels, axes, strict=True))
    for name, points in curves.items():
        panel, _, label = name.partition(", ")
        x, groups = zip(*points, strict=True)
        # `curve` plots in per cent.
        curve(by_name[panel], x, [[v / 100 for v in group] for group in groups], label or panel)
        by_name[panel].set(xlabel=across, ylabel=up, title=panel)
        if label:
            by_name[panel].legend()
    return drawn


def _line(claim: Claim, cut: str) -> str:
    finding = claim.finding
    number = "-" if math.isnan(finding.value) else f"{finding.value:.2f} {claim.unit}".strip()
    if not math.isnan(finding.low):
        number += f", {finding.low:.2f} to {finding.high:.2f}"
    cells = (f"**{finding.verdict}**", claim.text, claim.measure, finding.n, number, cut)
    return f"| {' | '.join(map(str, cells))} |\n"


def _section(name: str, scale: str, rows: list[Row]) -> str:
    if not rows:
        return ""
    machines = sorted({row["gpu"] or row["processor"] for row in rows})
    versions = sorted({f"{k} {v}" for row in rows for k, v in row["versions"].items()})
    cells = len(STUDIES[name].STUDY.cells(scale))
    contended = sum(row["contended"] for row in rows)
    across, up, curves = STUDIES[name].points(rows)
    table = "".join(
        f"| {curve_} | {x:.3g} | {_mean(group)} | {len(group)} |\n"
        for curve_, points in curves.items()
        for x, group in points
    )
    return f"""
## {name.replace("_", " ").capitalize()}

{len(rows)} of {cells} rows at the scale "{scale}"; threads: {rows[0]["threads"]};
{", ".join(machines)};
{", ".join(versions)}. {contended} of the rows were made beside other work, so their seconds say
little.

![{up} against {across}](evidence-{name}.svg)

| curve | {across} | {up} | n |
|---|---|---|---|
{table}"""


def _mean(group: list[float]) -> str:
    mean, half = interval(group)
    return f"{mean:.2f}" if math.isnan(half) else f"{mean:.2f} ± {half:.2f}"
