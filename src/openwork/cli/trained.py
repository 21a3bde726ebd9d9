"""A trained network and its data set, as several commands need them."""

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from openwork import data as datasets
from openwork.cli.build import sizes_of
from openwork.cli.normalise import AS_KNOWN, Normalisation, normalised
from openwork.cli.run import Located, locate
from openwork.data import Batch, Batches, DataSet, check_fits
from openwork.errors import ArgumentError
from openwork.models import ModelSource, source_of
from openwork.prune import hold_out


@dataclass(frozen=True, eq=False)
class Trained:
    """A network with its weights, and the data set to run it on, which it fits.

    Attributes:
        path: the file that it was read from.
        source: how it is built, or None.
        dataset: normalised as the network wants it.
        model: the network.
        normalisation: whose mean and deviation the images are normalised with, in words.
    """

    path: Path
    source: ModelSource | None
    dataset: DataSet
    model: nn.Module
    normalisation: str

    def hold_out(
        self, share: float, seed: int, device: str, *, batches: int
    ) -> tuple[DataSet, list[Batch]]:
        """The data set with a part of its training images for tests, and some of the others.

        Args:
            share: of the training images that are held out.
            seed: of both choices.
            device: of the batches.
            batches: of 128 images, how many there are at most.
        """
        held = hold_out(self.dataset, share, seed=seed)
        order = Batches(
            held.train, 128, held.mean, held.std, device=device, shuffle=True, seed=seed
        )
        return held, list(itertools.islice(order.epoch(0), batches))


def trained(
    run: Path | None,
    data: str | None,
    data_root: Path | None,
    *,
    model: str | None = None,
    weights: Path | None = None,
    image_size: int | None = None,
    asked: Normalisation = AS_KNOWN,
    device: str = "cpu",
    refuse_compiled: str = "",
) -> Trained:
    """The network that the options name, with its data set or the one named `data`.

    Args:
        run, model, weights: as for `locate`.
        data, data_root: data set, if not the one it was trained on, and the folder of all.
        image_size: for a `folder:`, if the network does not say.
        asked: the options for the normalisation.
        device: of the network.
        refuse_compiled: what a compiled network cannot be, if that is not allowed.

    Raises:
        ArgumentError: nothing says what it was trained on, or network and data do not fit.
        CheckpointError: the file is missing or does not fit.
    """
    place = locate(run, model, weights)
    if refuse_compiled:
        place.refuse_compiled(refuse_compiled)
    name = data or place.metrics.get("data")
    if not isinstance(name, str):
        what = f"`run`={str(run)!r}" if run is not None else f"`weights`={str(weights)!r}"
        raise ArgumentError(
            f"{what} does not say what it was trained on; pass --data, or "
            "load it from Python with openwork.load"
        )
    source = place.source
    if image_size is None and source is not None and name.startswith("folder:"):
        image_size = source.image_size
    dataset = datasets.load(name, data_root, image_size=image_size)
    _check_classes(place, dataset)
    network = place.load(sizes_of(dataset), device)
    dataset, normalisation = normalised(
        dataset, asked, place.metrics, network if place.info is None else None
    )
    with _blaming(place, dataset):
        check_fits(network, dataset)
    path = place.path or Path()
    return Trained(path, source or source_of(network), dataset, network, normalisation)


@contextlib.contextmanager
def _blaming(place: Located, dataset: DataSet) -> Iterator[None]:
    """Say in the message which network is meant, and what it was trained on."""
    try:
        yield
    except ArgumentError as error:
        trained_on = place.metrics.get("data")
        more = f" (trained on {trained_on})" if trained_on and trained_on != dataset.name else ""
        model = f"the network in {str(place.path)!r}{more}"
        raise ArgumentError(str(error).replace("`model`", model, 1)) from error


def _check_classes(place: Located, dataset: DataSet) -> None:
    """Compare the names of the classes, where the file says what they were."""
    classes = place.metrics.get("classes")
    if not isinstance(classes, list) or classes == list(dataset.classes):
        return
    pairs = zip(classes, dataset.classes, strict=False)
    first = next(((n, a, b) for n, (a, b) in enumerate(pairs) if a != b), None)
    where = f": class {first[0]} was {first[1]!r} and is {first[2]!r}" if first else ""
    raise ArgumentError(
        f"`data`={dataset.name!r} has {len(dataset.classes)} classes, and the network in "
        f"{str(place.path)!r} was trained on {len(classes)} of {place.metrics.get('data')}{where}; "
        "choose a data set of the same classes"
    )
