"""A trained network and its data set, as several commands need them."""

from dataclasses import dataclass
from pathlib import Path

from openwork import data as datasets
from openwork import io
from openwork.cli.run import model_path
from openwork.data import DataSet
from openwork.errors import ArgumentError
from openwork.models import ModelSource


@dataclass(frozen=True, eq=False)
class Trained:
    """The checkpoint of a run, how its network is built, and its data set."""

    path: Path
    source: ModelSource
    dataset: DataSet


def trained(run: Path, data: str | None, data_root: Path | None) -> Trained:
    """The network in the folder or checkpoint `run`, with its data set or the one named `data`.

    Raises:
        ArgumentError: the checkpoint does not say what it was trained on.
        CheckpointError: the checkpoint does not exist.
    """
    path = model_path(run)
    info = io.info(path)
    name = data or info.metrics.get("data")
    if name is None or info.source is None:
        raise ArgumentError(
            f"`run`={str(run)!r} does not say what it was trained on; pass --data. Load a model "
            "that openwork did not build from Python, with openwork.load"
        )
    size = info.source.image_size if name.startswith("folder:") else None
    return Trained(path, info.source, datasets.load(name, data_root, image_size=size))
