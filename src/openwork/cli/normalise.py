"""Which normalisation the images get: the one asked for, of the training, of published weights."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import nn

from openwork.data import DataSet
from openwork.errors import ArgumentError
from openwork.models import normalisation_of


class Normalisation(NamedTuple):
    """The options --mean and --std, as they were typed."""

    mean: str | None = None
    std: str | None = None


AS_KNOWN = Normalisation()


def normalised(
    dataset: DataSet,
    asked: Normalisation,
    metrics: Mapping[str, Any],
    published: nn.Module | None,
) -> tuple[DataSet, str]:
    """`dataset` with the normalisation that its network wants, and whose that is, in words.

    Args:
        dataset: as it was loaded, with the statistics of its images.
        asked: comes first.
        metrics: of a run, which may say what it was trained with.
        published: a network whose weights were trained elsewhere, or None.

    Raises:
        ArgumentError: numbers that are not one per channel, or out of range.
    """
    known: Any = None
    whose = "the data"
    recorded = (metrics.get("mean"), metrics.get("std"))
    if all(isinstance(values, list) for values in recorded):
        known, whose = recorded, "the training"
    elif published is not None and (own := normalisation_of(published)) is not None:
        known, whose = own, "the published weights"
    if known is not None and len(known[0]) == len(known[1]) == dataset.channels:
        dataset = dataset.normalised(*known)
    else:
        whose = "the data"
    if asked.mean is None and asked.std is None:
        return dataset, whose
    mean, std = numbers("mean", asked.mean), numbers("std", asked.std)
    parts = [name for name, values in (("mean", mean), ("std", std)) if values is not None]
    rest = "" if len(parts) == 2 else f", the rest of {whose}"
    return dataset.normalised(mean, std), f"{' and '.join(parts)} as asked{rest}"


def numbers(argument: str, text: str | None) -> list[float] | None:
    """The numbers in an option such as 0.485,0.456,0.406; None where it is left out.

    Raises:
        ArgumentError: it holds something else.
    """
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise ArgumentError(
            f"`{argument}`={text!r} must be numbers with commas between them, one per channel, as "
            "in 0.485,0.456,0.406"
        ) from error
