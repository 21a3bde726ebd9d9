"""`predict`: a table of the classes of images, written while they are read."""

import csv
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from openwork._arguments import check_count
from openwork._files import atomic_path, check_path, writing
from openwork._terminal import visible
from openwork.errors import DataError
from openwork.kernels.threads import usable_threads
from openwork.predict.classifier import Classified, Classifier, Setup
from openwork.predict.found import found
from openwork.predict.runnable import runnable
from openwork.predict.workers import classified

COLUMNS = ("image", "class", "name", "probability")


@dataclass(frozen=True)
class Prediction:
    """What became of the images.

    Attributes:
        images: how many were classified.
        faults: (path, reason) of each that could not be read.
        seconds: from the first image to the last.
        normalisation: whose mean and deviation the images were normalised with, in words.
    """

    images: int
    faults: tuple[tuple[Path, str], ...]
    seconds: float
    normalisation: str


def predict(
    path: str | os.PathLike[str],
    images: Iterable[str | os.PathLike[str]],
    table: str | os.PathLike[str],
    *,
    batch: int = 32,
    workers: int = 1,
    threads: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Prediction:
    """Classify images with a compiled network, and write a table as CSV.

    Images are turned upright, resized on the shorter side and cropped to the network's size. The
    columns are the image's path, the number and name of its class, and its probability by softmax;
    an image that cannot be read has no row.

    Args:
        path: of a compiled network that `openwork.save` or `openwork.runtime.pack` wrote, or of an
            ONNX file, which is compiled.
        images: folders, searched with all folders in them, and files.
        table: path of the file to write, whole or not at all.
        batch: images per call, default 32; fewer or more if the network takes another number only.
        workers: processes, default 1. Several share the memory of one packed file.
        threads: of each process, default all processors divided by `workers`.
        mean, std: of the images, per channel in units of 0 to 1; default as the file says, else
            pixels are scaled to 0 to 1.
        progress: called with how many images are done and how many there are.

    Returns:
        How many images there were, which could not be read, and how long it took.

    Raises:
        CheckpointError: the file does not hold a network that runs without torch.
        ArgumentError: the network does not classify images, or a number is out of range.
        DataError: there are no images, or the table cannot be written.
    """
    check_path(table, "table")
    check_count("batch", batch)
    check_count("workers", workers)
    files = found(images)
    threads = max(1, usable_threads() // workers) if threads is None else threads
    with runnable(path, workers) as file:
        setup = Setup(file, threads, mean, std)
        classifier = Classifier(setup)
        step = classifier.images or min(batch, classifier.most or batch)
        batches = [files[first : first + step] for first in range(0, len(files), step)]
        start = time.perf_counter()
        faults: list[tuple[Path, str]] = []
        done = 0
        with (
            writing(table, DataError, "table"),
            atomic_path(table) as temporary,
            open(temporary, "w", newline="", encoding="utf-8", errors="surrogateescape") as text,
        ):
            rows = csv.writer(text, lineterminator="\n")
            rows.writerow(COLUMNS)
            for results in classified(classifier, setup, batches, min(workers, len(batches))):
                rows.writerows(_row(each, classifier.names) for each in results if not each.fault)
                faults += [(each.path, each.fault) for each in results if each.fault]
                done += len(results)
                if progress is not None:
                    progress(done, len(files))
    seconds = time.perf_counter() - start
    return Prediction(len(files) - len(faults), tuple(faults), seconds, classifier.normalisation)


def _row(each: Classified, names: Sequence[str]) -> tuple[str, int, str, str]:
    name = names[each.label] if each.label < len(names) else ""
    # A file must be found by its path, but a terminal must not obey what a network calls a class.
    return str(each.path), each.label, visible(name), f"{each.probability:.6f}"
