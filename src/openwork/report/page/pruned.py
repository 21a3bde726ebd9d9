"""How pruning went: every candidate of the searches, the stages, and which layers are sensitive."""

from collections.abc import Mapping
from typing import Any

from openwork.report.page.bars import sparks, table
from openwork.report.page.chart import Curve, Row, dots, lines
from openwork.report.page.markup import Markup, joined, tag
from openwork.report.page.record import RunRecord
from openwork.report.page.section import Section, number, percent
from openwork.report.page.trained import training_charts


def search_charts(record: RunRecord) -> list[Markup]:
    """For each search, a row of dots for each share of the data that candidates were scored on."""
    charts = []
    for stage, scores in record.searches.items():
        shares = sorted({share for _, share, _ in scores})
        # Scored on all data, the least error wins; among equals the one drawn first.
        best = min((error, candidate) for candidate, share, error in scores if share == shares[-1])
        rows = [
            Row(
                f"{percent(share)}",
                [(_label(c, error), error) for c, at, error in scores if at == share],
                _label(best[1], best[0]) if share == shares[-1] else None,
            )
            for share in shares
        ]
        title = f"{stage.removesuffix('.jsonl')}: share of the data, and error of each candidate"
        charts.append(dots(title, rows, "error on held-out data", number))
    return charts


def _label(candidate: int, error: float) -> str:
    return f"candidate {candidate}: {error:.6g}"


def search(record: RunRecord) -> Section | None:
    """All candidates of the searches."""
    if not record.searches:
        return None
    drawn = sum(len({c for c, _, _ in scores}) for scores in record.searches.values())
    note = (
        f"{drawn:,} masks were drawn at random and scored without retraining; the better ones were "
        "scored again on more of the held-out data. The marked one was cut."
    )
    lists = [
        tag(
            "details",
            tag("summary", f"{name}: all {len(scores):,} scores"),
            table(("candidate", "share of data", "error"), [(str(c), s, e) for c, s, e in scores]),
        )
        for name, scores in record.searches.items()
    ]
    charts = tag("div", *search_charts(record), class_="charts")
    return Section("search", "Candidates of the search", joined(tag("p", note), charts, *lists))


def stage_chart(record: RunRecord) -> Markup | None:
    """The error after each step of each stage."""
    words = {"cut": "after the cut", "recalibrated": "after measuring batch normalisation again",
             "retrained": "after retraining"}  # fmt: skip
    found = [
        Curve(
            name,
            [(k, s[key]) for k, s in enumerate(record.stages, 1) if s.get(key) is not None],
        )
        for key, name in words.items()
    ]
    return lines("error on held-out data", found, "stage", number)


def stages(record: RunRecord) -> Section | None:
    """The stages of a pruning, and the retraining in each."""
    if not record.stages and not record.retrained:
        return None
    keys = ("granularity", "ratio", "parameters", "cut", "recalibrated", "retrained")
    heads = ("stage", "cut", "ratio", "parameters", "error: cut", "recalibrated", "retrained")
    rows = [(str(k), *(s.get(key) for key in keys)) for k, s in enumerate(record.stages, 1)]
    chart = stage_chart(record) if len(rows) > 1 else None
    retraining = [
        joined(tag("h4", f"Retraining of {name}"),
               tag("div", *training_charts(epochs), class_="charts"))
        for name, epochs in record.retrained.items()
        if epochs
    ]  # fmt: skip
    body = joined(
        table(heads, rows) if rows else None,
        tag("div", chart, class_="charts") if chart else None,
        *retraining,
    )
    return Section("stages", "Stages of the pruning", body)


def sensitivity(record: RunRecord) -> Section | None:
    """The error of the network with each layer cut alone, over the ratio of the cut."""
    layers = _sensitivities(record.documents.get("sensitivity") or {})
    if not layers:
        return None
    highest = max(error for points in layers.values() for _, error in points)
    rows = [
        (
            name,
            [error for _, error in sorted(points)],
            " → ".join(number(error) for _, error in (min(points), max(points))),
        )
        for name, points in layers.items()
    ]
    note = "Error with this layer cut alone, from the least ratio to the largest."
    parts = [tag("p", note, class_="note"), sparks(rows, highest)]
    return Section("sensitivity", "Sensitivity of each layer", joined(*parts))


def _sensitivities(held: Mapping[str, Any]) -> dict[str, list[tuple[float, float]]]:
    """Layers that are cut together -> (ratio, error) of each cut in `sensitivity.json`."""
    found: dict[str, list[tuple[float, float]]] = {}
    for name, error in held.get("errors", {}).items():
        item, _, ratio = name.partition(" ")
        if ratio:
            layers = ", ".join(held["run"]["layers"][int(item)])
            found.setdefault(layers, []).append((float(ratio), float(error)))
    return found
