"""What was asked of a run, and what it reached."""

from collections.abc import Iterator, Mapping
from typing import Any

from openwork.report.page.bars import facts, table
from openwork.report.page.markup import joined, tag
from openwork.report.page.record import RunRecord
from openwork.report.page.section import Section, densities, kilobytes, number, percent

# Rules of a plan that are shown before a click.
_SHOWN = 12


def asked(record: RunRecord) -> Section | None:
    """The command, the network, the data, the recipe and the plan."""
    rows = [*_command(record), *_network(record), *_data(record), *_recipe(record)]
    plan = record.model.header.get("plan") if record.model else None
    if not rows and not plan:
        return None
    body = joined(facts(rows) if rows else None, _plan(plan) if plan else None)
    return Section("asked", "What was asked", body)


def reached(record: RunRecord) -> Section | None:
    """The numbers that one looks for first."""
    found = [tag("div", tag("b", value), tag("span", what), class_="tile")
             for what, value in headline(record).items()]  # fmt: skip
    if not found:
        return None
    return Section("reached", "What was reached", tag("div", *found, class_="tiles"))


def headline(record: RunRecord) -> dict[str, str]:
    """Name -> value of what one compares runs by, of what the folder holds."""
    found: dict[str, str] = {}
    if (accuracy := _accuracy(record)) is not None:
        found["test accuracy"] = percent(accuracy)
    if record.epochs:
        found["best test accuracy"] = percent(max(row["test_accuracy"] for row in record.epochs))
        found["epochs"] = f"{len(record.epochs):,}"
        found["training"] = _duration(sum(row["seconds"] for row in record.epochs))
    if record.model and (layers := densities(record.model)):
        live, everything = (sum(x) for x in zip(*layers.values(), strict=True))
        found["live weights"] = f"{live:,}"
        found["density"] = percent(live / everything)
        found["model file"] = kilobytes(record.model.size)
    if record.dead and sum(record.dead[-1].channels.values()):
        last = record.dead[-1]
        found["dead channels"] = percent(sum(last.dead.values()) / sum(last.channels.values()))
    for row in record.documents.get("bench", {}).get("networks", ()):
        if row["name"] == "as it is, compiled":
            found["one call, compiled"] = f"{number(row['ms'])} ms"
            if row.get("speed_up") is not None:
                found["over dense torch"] = f"{row['speed_up']:.2f}x"
    return found


def _accuracy(record: RunRecord) -> float | None:
    if "test_accuracy" in record.metrics:
        return float(record.metrics["test_accuracy"])
    return record.epochs[-1]["test_accuracy"] if record.epochs else None


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _command(record: RunRecord) -> Iterator[tuple[str, object]]:
    by = record.metrics.get("by")
    if not isinstance(by, dict):
        return
    yield "command", f"openwork {by.get('command')}"
    for name, value in dict(by.get("settings") or {}).items():
        if name not in ("recipe", "data") and value is not None:
            yield name.replace("_", " "), _words(value)
    if recipe := dict(by.get("settings") or {}).get("recipe"):
        yield "retraining", _settings(recipe)


def _network(record: RunRecord) -> Iterator[tuple[str, object]]:
    source = record.model.header.get("model") if record.model else None
    source = source or record.identity.get("model")
    if isinstance(source, str):
        yield "network", source
    elif source:
        width = source.get("depth_multiplier", 1)
        yield "network", f"{source['name']}{'' if width == 1 else f', widths times {width:g}'}"
        side = source["image_size"]
        yield (
            "images",
            f"{source['in_channels']} x {side} x {side}, {source['num_classes']} classes",
        )


def _data(record: RunRecord) -> Iterator[tuple[str, object]]:
    data = record.identity.get("data")
    if isinstance(data, dict):
        counts = f"{data['train']:,} training and {data['test']:,} test images"
        yield "data", f"{data['name']}, {counts}"
    elif "data" in record.metrics:
        yield "data", record.metrics["data"]


def _recipe(record: RunRecord) -> Iterator[tuple[str, object]]:
    if recipe := record.identity.get("recipe"):
        yield "recipe", _settings(recipe)


def _settings(recipe: Mapping[str, Any]) -> str:
    # What is off says nothing.
    kept = {name: v for name, v in recipe.items() if v is not None and v is not False and v != 0}
    kept |= {"seed": recipe["seed"]} if "seed" in recipe else {}
    return ", ".join(f"{name.replace('_', ' ')} {_words(value)}" for name, value in kept.items())


def _plan(plan: Mapping[str, Any]) -> object:
    rules = [(glob, _rule(rule)) for glob, rule in plan["layers"].items()]
    shown = table(("layers", "pattern"), rows=rules[:_SHOWN])
    rest = rules[_SHOWN:]
    if not rest:
        return joined(tag("h4", "Plan"), shown)
    more = tag("summary", f"{len(rest):,} more")
    return joined(tag("h4", "Plan"), shown,
                  tag("details", more, table(("layers", "pattern"), rest)))  # fmt: skip


def _rule(rule: Any) -> str:
    """A pattern in words; one that lists its weights by its size alone."""
    if not isinstance(rule, dict):
        return str(rule)
    if "gaps" in rule or "shape" in rule:
        return f"listed weights of {'x'.join(map(str, rule.get('shape', ())))}"
    rest = ", ".join(f"{k} {_words(v)}" for k, v in rule.items() if k != "pattern")
    return f"{rule.get('pattern', '')}{', ' if rest else ''}{rest}"


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name.replace('_', ' ')} {_words(v)}" for name, v in value.items())
    if isinstance(value, list):
        return "; ".join(_words(each) for each in value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)
