"""What was measured of a network: channels, time, memory, and how far results are apart."""

from collections.abc import Iterator, Mapping
from typing import Any

from openwork.report.page.bars import bars, facts, stored_table, table
from openwork.report.page.markup import Markup, joined, tag
from openwork.report.page.record import RunRecord
from openwork.report.page.section import Section, densities, kilobytes, number

_LAYERS = ("layer", "weight", "map", "density", "kernel", "ms", "torch ms", "ratio")


def channels(record: RunRecord) -> Section | None:
    """What `observe` saw: dead channels, and how universal the others are."""
    held = record.documents.get("channels")
    if not held:
        return None
    return Section("channels", "Channels, over the training images", stored_table(held["table"]))


def removed(record: RunRecord) -> Section | None:
    """What `compact` removed."""
    held = record.documents.get("compact")
    if not held:
        return None
    return Section("compact", "Channels that were removed", stored_table(held["layers"]))


def latency(record: RunRecord) -> Section | None:
    """The whole network and each layer, against dense torch and whatever else was timed."""
    held = record.documents.get("bench")
    if held:
        parts = [
            tag("p", f"Batch {held['batch']:,}, {_threads(held['threads'])}. Bars: milliseconds."),
            _networks(held["networks"]),
            tag("p", held["why"]),
            _layers(held["layers"]),
        ]
        return Section("latency", "Latency", joined(*parts))
    if record.compiled:
        rows = [dict(zip(_LAYERS, row, strict=True)) for row in record.compiled.header["rows"]]
        layers = _layers({"columns": list(_LAYERS), "rows": [list(r.values()) for r in rows]})
        note = "Times of when the network was compiled; openwork bench times it as a whole."
        return Section("latency", "Latency", joined(tag("p", note, class_="note"), layers))
    if comparison := record.documents.get("comparison"):
        rows = [
            (f"{which}{', compiled' if kind == 'compiled' else ', torch'}", 1e3 * held["median"])
            for which in ("dense", "sparse")
            for kind in ("latency", "compiled")
            if (held := comparison[which].get(kind))
        ]
        return Section("latency", "Latency", _whole(rows))
    return None


def _threads(count: int) -> str:
    return f"{count:,} thread{'' if count == 1 else 's'}"


def _networks(rows: list[Mapping[str, Any]]) -> Markup:
    columns = ("network", "ms", "first decile", "ninth decile", "speed-up over dense torch")
    numbers = [(r["name"], r["ms"], r["low"], r["high"], r.get("speed_up")) for r in rows]
    return joined(_whole([(r["name"], r["ms"]) for r in rows]), table(columns, numbers))


def _whole(rows: list[tuple[str, float]]) -> Markup:
    highest = max(ms for _, ms in rows)
    return bars([(name, [ms], f"{number(ms)} ms") for name, ms in rows], highest)


def _layers(held: Mapping[str, Any]) -> Markup:
    rows = [dict(zip(held["columns"], row, strict=True)) for row in held["rows"]]
    timed = [r for r in rows if r["ms"] is not None]
    highest = max([*(r["ms"] for r in timed), *(r["torch ms"] or 0 for r in timed)], default=1.0)
    drawn = [
        (r["layer"], [r["torch ms"], r["ms"]], f"{number(r['ms'])} of {number(r['torch ms'] or 0)}")
        for r in timed
    ]
    key = tag(
        "p",
        tag("span", class_="key", style="background:var(--c0);margin-left:0"),
        "the chosen kernel",
        tag("span", class_="key", style="background:var(--back)"),
        "torch, dense (ms, each layer alone)",
        class_="note",
    )
    numbers = tag("details", tag("summary", "Kernels and numbers"), stored_table(held))
    shown = joined(key, bars(drawn, highest)) if drawn else None
    return joined(tag("h4", "Each layer"), shown, numbers)


def memory(record: RunRecord) -> Section | None:
    """Bytes of the tensors in the files, against those of the dense network."""
    if record.model is None or "layers" not in record.model.header:
        return None
    layout = record.model.layout
    held = densities(record.model)
    gaps = sum(size for name, (_, size) in layout.items() if name.rpartition(".")[2] == "gaps")
    weights = sum(size for name, (_, size) in layout.items() if _layer(name) in held)
    dense = sum(
        size * held[layer].all / max(held[layer].live, 1)
        for name, (_, size) in layout.items()
        if (layer := _layer(name)) in held
    )
    rest = sum(size for _, size in layout.values()) - gaps - weights
    rows: list[tuple[str, float]] = [("weights, were they dense", dense), ("live weights", weights)]
    rows += [("indices of live weights", gaps)] if gaps else []
    rows += [("all other tensors", rest)] if rest else []
    if record.state:
        states = record.state.layout.items()
        kept = sum(size for name, (_, size) in states if name.startswith("optimizer."))
        rows += [("state of the optimiser", kept)]
    highest = max(size for _, size in rows)
    note = "Counted from the tensors in the files."
    drawn = bars([(name, [size], kilobytes(size)) for name, size in rows], highest)
    files = facts(
        (name, kilobytes(each.size))
        for name, each in (
            ("model.safetensors", record.model),
            ("state.safetensors", record.state),
            ("compiled.safetensors", record.compiled),
        )
        if each
    )
    whole = joined(tag("p", note, class_="note"), drawn, tag("h4", "Files"), files)
    return Section("memory", "Memory", whole)


def _layer(name: str) -> str:
    layer, _, kind = name.rpartition(".")
    return layer if kind == "weight" else "\0"


def proof(record: RunRecord) -> Section | None:
    """How far outputs are from the original's, for each rewrite that was checked."""
    parts = list(_proofs(record))
    if not parts:
        return None
    words = (
        "Every rewrite runs beside the original on the same inputs, and is refused if the outputs "
        "differ by more than a tolerance. Differences are relative to the largest output."
    )
    return Section("proof", "The same network?", joined(tag("p", words), *parts))


def _proofs(record: RunRecord) -> Iterator[Markup]:
    if compact := record.documents.get("compact"):
        columns = ("compacted: inputs", "shape", "largest difference", "relative", "in float64")
        rows = [
            (c["what"], "x".join(map(str, c["shape"])), c["absolute"], c["relative"],
             c["in_float64"])
            for c in compact["cases"]
        ]  # fmt: skip
        yield joined(table(columns, rows), tag("p", compact["training"], class_="note"))
    rows = []
    if bench := record.documents.get("bench"):
        rows.append(("compiled by openwork bench", number(bench["difference"])))
    if record.compiled and isinstance(record.compiled.header.get("difference"), float):
        rows.append(("compiled.safetensors", number(record.compiled.header["difference"])))
    if rows:
        yield facts((name, f"outputs differ by at most {value}") for name, value in rows)


def compared(record: RunRecord) -> Section | None:
    """The dense and the sparse network of a demo, side by side."""
    held = record.documents.get("comparison")
    if not held:
        return None
    measures = (("test accuracy", "accuracy"), ("live parameters", "parameters"),
                ("multiply-adds per image", "macs"), ("checkpoint, bytes", "checkpoint"),
                ("seconds of an epoch", "epoch"))  # fmt: skip
    rows = [
        (name, held["dense"][key], held["sparse"][key])
        for name, key in measures
        if held["dense"].get(key) is not None
    ]
    whole = table(("", "dense", "sparse"), rows)
    return Section("comparison", "Dense and sparse side by side", whole)
