"""`Section`: a part of a page, and numbers in words as its parts write them."""

import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from openwork.report.page.markup import Markup
from openwork.report.page.record import Checkpoint


class Section(NamedTuple):
    """A part of a page.

    Attributes:
        key: what links and tests call it.
        title: its heading.
        body: what is below the heading.
    """

    key: str
    title: str
    body: Markup


class Density(NamedTuple):
    """The weights of a layer.

    Attributes:
        live, all: how many are stored, and how many the dense layer has.
    """

    live: int
    all: int


def densities(held: Checkpoint) -> dict[str, Density]:
    """Layer -> its weights, for each layer whose weight has an input and an output."""
    sparse: Mapping[str, Any] = held.header["layers"]
    found: dict[str, Density] = {}
    for name, (shape, _) in held.layout.items():
        layer, _, kind = name.rpartition(".")
        if kind != "weight":
            continue
        live = math.prod(shape)
        if layer in sparse:
            found[layer] = Density(live, math.prod(sparse[layer]["shape"]))
        elif len(shape) > 1:
            found[layer] = Density(live, live)
    return {layer: found[layer] for layer in sorted(found, key=_counting)}


def _counting(name: str) -> list[tuple[int, str]]:
    """Files list their tensors by name; people count, and 10 comes after 9."""
    return [
        (int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)
    ]


def percent(value: float) -> str:
    """A share in words.

    >>> percent(0.9314), percent(1.0), percent(0.0004)
    ('93.14 %', '100 %', '0.04 %')
    """
    return f"{100 * value:.2f}".rstrip("0").rstrip(".") + " %"


def number(value: float) -> str:
    """A number in words, as short as it can be."""
    return f"{value:.4g}"


def kilobytes(count: float) -> str:
    """Bytes in words.

    >>> kilobytes(1_234_567), kilobytes(800)
    ('1,235 KB', '0.8 KB')
    """
    return f"{count / 1e3:,.0f} KB" if count >= 10_000 else f"{count / 1e3:.1f} KB"
