"""`openwork compact`."""

from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console

from openwork import io
from openwork._files import writable_folder
from openwork.channels import compact as compact_model
from openwork.cli.run import model_path
from openwork.errors import ArgumentError


def compact(
    run: Annotated[Path, typer.Argument(help="A run's folder, or a checkpoint.")],
    out: Annotated[Path, typer.Option(help="Folder for the smaller network.")],
    gamma_below: Annotated[
        float | None, typer.Option(help="Take smaller scales for zero; changes outputs.")
    ] = None,
    round_to: Annotated[
        int | None, typer.Option(help="Keep dead channels up to multiples of this.")
    ] = None,
) -> None:
    """A smaller network that computes the same, without dead channels."""
    path = model_path(run)
    info = io.info(path)
    if info.source is None:
        raise ArgumentError(
            f"`run`={str(run)!r} holds a model that openwork cannot build by name; use "
            "openwork.compact from Python"
        )
    source = info.source
    example = torch.randn(2, source.in_channels, source.image_size, source.image_size)
    small, proof = compact_model(io.load(path), example, gamma_below=gamma_below, round_to=round_to)
    target = writable_folder(out, "out") / "model.safetensors"
    io.save(small, target, plan=info.plan, metrics=info.metrics)
    proof.print()
    Console().print(f"saved: {target}", soft_wrap=True)
