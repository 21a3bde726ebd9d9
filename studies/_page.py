"""The page of the documentation with every claim, and its pictures, from the rows alone."""

import math
from pathlib import Path
from types import ModuleType
from typing import Any

import coarse_pruning_cifar10
import fully_connected
import harvest
import implicit_sparsity
import incremental_training
import mask_search_vs_criteria
import mnist_at_ten_percent
import run_time
import scatter
import shared_inputs
import sparse_vs_depth_multiplier
import ssc_vs_others
from _claims import ORDER, Claim, together
from _grid import FOLDER, SCALES, Row, read_rows, rows_path
from _study import curve, figure, interval

from openwork._files import atomic_path, write_text

STUDIES: dict[str, ModuleType] = {
    module.STUDY.name: module
    for module in (
        *(fully_connected, scatter, coarse_pruning_cifar10, mask_search_vs_criteria),
        *(sparse_vs_depth_multiplier, mnist_at_ten_percent, incremental_training),
        *(ssc_vs_others, implicit_sparsity, harvest, shared_inputs, run_time),
    )
}
DOCS = FOLDER.parent / "docs"
# Scale -> its rows, the largest first; scales without rows are left out.
ByScale = dict[str, list[Row]]
_HEAD = """\
# Evidence

The papers' claims, run again with openwork. This page and its pictures are made from committed
rows, one per network and seed, by `python -m studies report`; nothing on it is written by hand.
`python -m studies NAME` runs what is missing, in several sessions and on several machines if need
be.

A verdict follows from the 95 % interval over seeds: *held* and *did not hold* need an interval that
lies on one side of the bound, and two seeds at least. Everything else is undecided. What did not
hold comes first. Each line is drawn from the largest scale that has two seeds for it, and says what
was cut there in comparison with the paper. One rule was added after the first rows: the slides'
figures for MNIST are after 30 epochs, so networks trained for fewer cannot refute them.

| verdict | claim | measured | n | value, 95 % interval | cut |
|---|---|---|---|---|---|
"""

_MISSING = """
Not measured yet:

"""


def write(rows: Path = FOLDER / "rows", docs: Path = DOCS) -> None:
    """Write the page `evidence.md` and a picture per study and scale into `docs`."""
    import matplotlib as mpl

    # The same rows give the same file.
    mpl.rcParams["svg.hashsalt"] = "openwork"
    found = {name: rows_of(name, rows) for name in STUDIES}
    write_text(docs / "evidence.md", page(found))
    for name, by_scale in found.items():
        for scale, its_rows in by_scale.items():
            drawn = picture(STUDIES[name], its_rows)
            # A run that is killed while it draws leaves the earlier picture whole.
            with atomic_path(docs / f"evidence-{name}-{scale}.svg") as temporary:
                drawn.savefig(temporary, format="svg", metadata={"Date": None})


def rows_of(name: str, folder: Path) -> ByScale:
    """The rows of each scale of a study, the largest scale first."""
    found = {s: read_rows(rows_path(name, s, folder)) for s in reversed(SCALES[1:])}
    return {scale: rows for scale, rows in found.items() if rows}


def page(found: dict[str, ByScale]) -> str:
    """The text of the page."""
    lines = [line for name, by_scale in found.items() for line in claims_of(name, by_scale)]
    lines.sort(key=lambda line: ORDER.index(line[0].finding.verdict))
    table = "".join(_line(claim, cut) for claim, cut in lines if claim.finding.n)
    missing = "".join(
        f"* {claim.text}: {claim.measure}\n" for claim, _ in lines if not claim.finding.n
    )
    sections = [_section(name, *pair) for name in found for pair in found[name].items()]
    return _HEAD + table + (_MISSING + missing if missing else "") + "".join(sections)


def claims_of(name: str, by_scale: ByScale) -> list[tuple[Claim, str]]:
    """Each claim of a study with what was cut, from the largest scale with two seeds for it."""
    module = STUDIES[name]
    best: dict[tuple[str, str], tuple[Claim, str]] = {}
    for scale, rows in (by_scale or {SCALES[1]: []}).items():
        cut = module.STUDY.cut[scale] or "nothing"
        for claim in module.claims(rows):
            key = (claim.text, claim.about)
            if key not in best or best[key][0].finding.n < min(2, claim.finding.n):
                best[key] = (claim, cut)
    cuts = {id(claim): cut for claim, cut in best.values()}
    made = together([claim for claim, _ in best.values()])
    return [(claim, cuts.get(id(claim), "as said for each")) for claim in made]


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
            # Below, where it covers no curve.
            by_name[panel].legend(loc="upper center", bbox_to_anchor=(0.5, -0.15))
    lines = max(len(ax.get_legend().get_texts()) if ax.get_legend() else 0 for ax in axes)
    drawn.set_figheight(drawn.get_figheight() + 0.22 * lines)
    return drawn


def _line(claim: Claim, cut: str) -> str:
    finding = claim.finding
    number = "-" if math.isnan(finding.value) else f"{finding.value:.2f} {claim.unit}".strip()
    if not math.isnan(finding.low):
        number += f", {finding.low:.2f} to {finding.high:.2f}"
    cells = (f"**{finding.verdict}**", claim.text, claim.measure, finding.n, number, cut)
    return f"| {' | '.join(map(str, cells))} |\n"


def _section(name: str, scale: str, rows: list[Row]) -> str:
    machines = sorted({row["gpu"] or row["processor"] for row in rows})
    versions = sorted({f"{k} {v}" for row in rows for k, v in row["versions"].items()})
    cells = len(STUDIES[name].STUDY.cells(scale))
    contended = sum(row["contended"] for row in rows)
    brought = sum(row.get("imported", False) for row in rows)
    imported = (
        f" {brought} were imported from the study's first form, without seconds." if brought else ""
    )
    across, up, curves = STUDIES[name].points(rows)
    table = "".join(
        f"| {curve_} | {x:.3g} | {_mean(group)} | {len(group)} |\n"
        for curve_, points in curves.items()
        for x, group in points
    )
    return f"""
## {name.replace("_", " ").capitalize()}, scale "{scale}"

{len(rows)} of {cells} rows; threads: {rows[0]["threads"]};
{", ".join(machines)};
{", ".join(versions)}. {contended} of the rows were made beside other work, so their seconds say
little.{imported}

![{up} against {across}](evidence-{name}-{scale}.svg)

| curve | {across} | {up} | n |
|---|---|---|---|
{table}"""


def _mean(group: list[float]) -> str:
    mean, half = interval(group)
    return f"{mean:.2f}" if math.isnan(half) else f"{mean:.2f} ± {half:.2f}"
