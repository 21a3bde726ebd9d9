"""What several commands need from a trained run."""

from pathlib import Path

import torch

from openwork import io
from openwork._arguments import check_count
from openwork.errors import ArgumentError
from openwork.train.run_folder import MODEL

_MOST_THREADS = 1024


def model_path(run: Path) -> Path:
    """The checkpoint of a run's folder, or `run` itself if it is a file."""
    return run / MODEL if run.is_dir() else run


def example_for(path: Path, batch: int) -> torch.Tensor:
    """Random images `(batch, C, H, W)` of the size that the network at `path` takes.

    Raises:
        ArgumentError: the file does not state that size, or as for `random_images`.
    """
    source = io.info(path).source
    if source is None:
        raise ArgumentError(
            f"`run`={str(path)!r} holds a model that openwork cannot build by name; load it with "
            "openwork.load and use openwork from Python"
        )
    return random_images(batch, source.in_channels, source.image_size)


def random_images(batch: int, channels: int, image_size: int) -> torch.Tensor:
    """Random images `(batch, channels, image_size, image_size)`.

    Raises:
        ArgumentError: `batch` is below 1, or the images do not fit into memory.
    """
    check_count("batch", batch)
    try:
        return torch.randn(batch, channels, image_size, image_size)
    except (RuntimeError, TypeError) as error:
        raise ArgumentError(
            f"`batch`={batch} images of {channels}x{image_size}x{image_size} do not fit into "
            "memory; use fewer or smaller ones"
        ) from error


def use_threads(count: int | None) -> None:
    """Let torch use `count` threads; None changes nothing.

    Raises:
        ArgumentError: `count` is not a number from 1 to 1,024.
    """
    if count is None:
        return
    if not 1 <= count <= _MOST_THREADS:
        raise ArgumentError(f"`threads`={count} must be a number from 1 to {_MOST_THREADS:,}")
    torch.set_num_threads(count)
