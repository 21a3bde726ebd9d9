"""How training went: curves over epochs, and what of each layer lives."""

from collections.abc import Mapping, Sequence

from openwork.report.page.bars import bars, sparks
from openwork.report.page.chart import Curve, lines
from openwork.report.page.markup import Markup, joined, tag
from openwork.report.page.record import Epochs, RunRecord
from openwork.report.page.section import Section, densities, number, percent


def curves(runs: Mapping[str, Epochs], measure: str) -> list[Curve]:
    """`measure` of each run over its epochs."""
    return [
        Curve(name, [(row["epoch"], row[measure]) for row in epochs])
        for name, epochs in runs.items()
    ]


def training_charts(epochs: Epochs) -> list[Markup]:
    """Accuracy and loss over the epochs, on training and test images."""
    charts = []
    for what, form in (("accuracy", percent), ("loss", number)):
        pair = [
            Curve(f"{images} images", [(row["epoch"], row[f"{part}_{what}"]) for row in epochs])
            for part, images in (("train", "training"), ("test", "test"))
        ]
        charts.append(lines(what, pair, "epoch", form))
    return [chart for chart in charts if chart is not None]


def training(record: RunRecord) -> Section | None:
    """Accuracy and loss over epochs."""
    charts = training_charts(record.epochs)
    if not charts:
        return None
    rates = [Curve("", [(row["epoch"], row["lr"]) for row in record.epochs])]
    rate = lines("learning rate at the end of the epoch", rates, "epoch", number)
    return Section("training", "Accuracy and loss", tag("div", *charts, rate, class_="charts"))


def density(record: RunRecord) -> Section | None:
    """The share of each layer's weights that lives."""
    if record.model is None or "layers" not in record.model.header:
        return None
    held = densities(record.model)
    if not held:
        return None
    rows = [
        (name, [x.live / max(x.all, 1)], f"{percent(x.live / max(x.all, 1))} of {x.all:,}")
        for name, x in held.items()
    ]
    return Section("density", "Density of each layer", joined(_growth(record), bars(rows, 1.0)))


def _growth(record: RunRecord) -> Markup | None:
    growth = dict(record.identity.get("recipe") or {}).get("growth")
    if not growth:
        return None
    words = (
        f"The network grew: it started at a density of {number(growth['start'])}, which doubled "
        f"every {growth['every']:,} steps. The bars show the densities at the end."
    )
    return tag("p", words)


def dead(record: RunRecord) -> Section | None:
    """Dead channels of each layer over epochs."""
    if not record.dead:
        return None
    names = dict.fromkeys(name for row in record.dead for name in row.channels)
    total = [sum(r.dead.values()) / max(sum(r.channels.values()), 1) for r in record.dead]
    epochs = [row.epoch for row in record.dead]
    if not names:
        words = "The network has no batch normalisation, whose scales would show dead channels."
        return Section("dead", "Dead channels over time", tag("p", words))
    note = (
        f"Share of channels whose scale in batch normalisation is nearly zero, after epochs "
        f"{epochs[0]:,} to {epochs[-1]:,}. Full height is all channels of the layer."
    )
    rows = [("all layers", total, percent(total[-1]))]
    rows += [
        (
            name,
            [row.dead.get(name, 0) / max(row.channels.get(name, 1), 1) for row in record.dead],
            _last(name, record),
        )
        for name in names
    ]
    return Section("dead", "Dead channels over time", joined(tag("p", note, class_="note"),
                   sparks(rows)))  # fmt: skip


def _last(name: str, record: RunRecord) -> str:
    last = record.dead[-1]
    return f"{last.dead.get(name, 0):,} of {last.channels.get(name, 0):,}"


def all_curves(names: Sequence[str], records: Sequence[RunRecord]) -> list[Markup]:
    """Test accuracy and loss of several runs, in one chart each."""
    runs = {name: r.epochs for name, r in zip(names, records, strict=True) if r.epochs}
    charts = [
        lines("test accuracy", curves(runs, "test_accuracy"), "epoch", percent),
        lines("test loss", curves(runs, "test_loss"), "epoch", number),
    ]
    return [chart for chart in charts if chart is not None]
