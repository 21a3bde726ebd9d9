"""`openwork compile`."""

from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console

from openwork import engine, io
from openwork.cli import options
from openwork.cli.run import example_for, model_path


def compile(
    run: options.Run,
    out: Annotated[
        Path | None,
        typer.Option(help="Where the compiled network goes; default compiled.safetensors beside."),
    ] = None,
    batch: Annotated[int, typer.Option(help="Images in the calls that are measured.")] = 1,
    threads: Annotated[int | None, typer.Option(help="Of torch's pool; default all.")] = None,
    optimize: Annotated[str, typer.Option(help="speed or memory.")] = "speed",
) -> None:
    """Choose a trained network's kernels on this machine and save it, for openwork.load."""
    path = model_path(run)
    if threads is not None:
        torch.set_num_threads(threads)
    compiled = engine.compile(io.load(path), example_for(path, batch), optimize=optimize)
    target = out or path.with_name("compiled.safetensors")
    io.save(compiled, target, metrics=io.info(path).metrics)
    compiled.layers.print()
    Console().print(f"compiled: {target}", soft_wrap=True)
