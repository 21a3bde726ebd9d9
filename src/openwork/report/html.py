"""`html`: one page about one or several runs, which needs nothing but itself."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from openwork._files import check_path, not_there, write_text, writing
from openwork._version import __version__
from openwork.errors import ArgumentError, first_line
from openwork.report.page import asked, measured, pruned, trained
from openwork.report.page.bars import table
from openwork.report.page.markup import Markup, tag
from openwork.report.page.record import RunRecord, read_record
from openwork.report.page.section import Section
from openwork.report.page.style import CHART, PAGE

_PARTS: tuple[Callable[[RunRecord], Section | None], ...] = (
    asked.reached,
    asked.asked,
    measured.compared,
    trained.training,
    trained.density,
    trained.dead,
    measured.channels,
    measured.removed,
    pruned.search,
    pruned.stages,
    pruned.sensitivity,
    measured.latency,
    measured.memory,
    measured.proof,
)
# What reading a file of ours raises that others edited; the rest of the page is still of use.
_MALFORMED = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError)
# Nothing may be fetched or run, whatever the files hold.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_WIDTH = "width=device-width, initial-scale=1"


def html(*runs: str | os.PathLike[str], out: str | os.PathLike[str]) -> None:
    """Write a page (HTML) about `runs`: what was asked, what was reached, what was measured.

    The page is one file without scripts; it opens anywhere, offline, in light and dark. It shows
    what the folders hold: of training, pruning, `openwork observe`, `compact`, `bench` and
    `compile`. Several runs are compared first. Nothing is loaded or run.

    Args:
        runs: folders that openwork wrote to; of a folder of such folders, all of those in it.
        out: path of the page.

    Raises:
        ArgumentError: no run is given, one is not a folder, or holds nothing of openwork's.
        OpenworkError: `out` cannot be written; an earlier file there is unharmed.
    """
    if not runs:
        raise ArgumentError("`runs`=() must name at least one folder that openwork wrote to")
    check_path(out, "out")
    for run in runs:
        check_path(run, "runs")
    records = [record for run in runs for record in _records(Path(run))]
    with writing(out):
        write_text(out, _page(records))


def _records(path: Path) -> list[RunRecord]:
    """The record of the folder `path`, unless it has none, and those of folders in it."""
    if not os.path.isdir(path):
        raise ArgumentError(
            f"`runs`={str(path)!r} {not_there(path, 'a folder')}; give the folder of a run"
        )
    own = read_record(path)
    found = [] if own.is_empty else [own]
    # What lies in the folder of a run belongs to it, such as stages of a pruning.
    if own.is_empty or own.documents.keys() == {"comparison"}:
        within = [read_record(each) for each in sorted(path.iterdir()) if each.is_dir()]
        found += [record for record in within if not record.is_empty]
    if not found:
        raise ArgumentError(
            f"`runs`={str(path)!r} holds no file that openwork wrote; give the folder of a run"
        )
    return found


def _page(records: Sequence[RunRecord]) -> str:
    several = len(records) > 1
    names = _names(records)
    title = f"{len(records):,} runs" if several else names[0]
    runs = [
        _run(f"run-{k}", name, r, several)
        for k, (name, r) in enumerate(zip(names, records, strict=True))
    ]
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name_="viewport", content=_WIDTH),
        tag("title", f"{title} - openwork"),
        tag("style", Markup(CHART + PAGE)),
    )
    body = tag(
        "body",
        tag("h1", title),
        tag("p", f"Report of openwork {__version__}", class_="note"),
        _compare(names, records) if several else None,
        *runs,
    )
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n"


def _names(records: Sequence[RunRecord]) -> list[str]:
    """The folders' own names where they differ, else their paths."""
    short = [record.path.resolve().name for record in records]
    return short if len(set(short)) == len(short) else [str(record.path) for record in records]


def _run(key: str, name: str, record: RunRecord, several: bool) -> Markup:
    problems = list(record.problems)
    sections = [_attempt(part, record, problems) for part in _PARTS]
    shown = [section for section in sections if section is not None]
    links = [tag("a", s.title, href=f"#{key}-{s.key}") for s in shown]
    parts = [tag("section", tag("h3", s.title), s.body, id=f"{key}-{s.key}") for s in shown]
    warnings = [tag("p", problem, class_="warn") for problem in problems]
    head = tag("h2", name) if several else None
    where = tag("p", str(record.path), class_="note")
    return tag("article", head, where, *warnings, tag("nav", *links), *parts, id=key)


def _attempt(
    part: Callable[[RunRecord], Section | None], record: RunRecord, problems: list[str]
) -> Section | None:
    try:
        return part(record)
    except _MALFORMED as error:
        what = part.__name__.replace("_", " ")
        problems.append(f"{what}: a file does not hold what openwork writes ({first_line(error)})")
        return None


def _compare(names: Sequence[str], records: Sequence[RunRecord]) -> Markup:
    headlines = [_headline(record) for record in records]
    columns = list(dict.fromkeys(name for each in headlines for name in each))
    rows = [
        (tag("a", name, href=f"#run-{k}"), *(each.get(column, "") for column in columns))
        for k, (name, each) in enumerate(zip(names, headlines, strict=True))
    ]
    charts = trained.all_curves(names, records)
    return tag(
        "section",
        table(("run", *columns), rows),
        tag("div", *charts, class_="charts") if charts else None,
        id="compared",
    )


def _headline(record: RunRecord) -> dict[str, str]:
    try:
        return asked.headline(record)
    except _MALFORMED:
        return {}
