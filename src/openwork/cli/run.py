"""What several commands need of a trained run."""

from pathlib import Path

import torch

from openwork import io
from openwork.errors import ArgumentError


def model_path(run: Path) -> Path:
    """The checkpoint of a run's folder, or `run` itself if it is a file."""
    return run / "model.safetensors" if run.is_dir() else run


def example_for(path: Path, batch: int) -> torch.Tensor:
    """Random images of the size that the network at `path` takes.

    Raises:
        ArgumentError: the file does not say which size that is.
    """
    source = io.info(path).source
    if source is None:
        raise ArgumentError(
            f"`run`={str(path)!r} holds a model that openwork cannot build by name; load it with "
            "openwork.load and use openwork from Python"
        )
    return torch.randn(batch, source.in_channels, source.image_size, source.image_size)
