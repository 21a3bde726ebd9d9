"""`openwork bench`."""

from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console

from openwork import io
from openwork.cli import options
from openwork.cli.run import example_for, model_path
from openwork.report import benchmark


def bench(
    run: options.Run,
    batch: Annotated[int, typer.Option(help="Images in a call.")] = 1,
    threads: Annotated[int | None, typer.Option(help="Of torch's pool; default all.")] = None,
    passes: Annotated[int, typer.Option(help="Timed forward passes.")] = 50,
    picture: Annotated[
        Path | None, typer.Option(help="Where the picture goes; default bench.png in the run.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Save the compiled network here.")] = None,
) -> None:
    """How fast a network runs compiled, by layer and whole, against its dense self."""
    path = model_path(run)
    if threads is not None:
        torch.set_num_threads(threads)
    result = benchmark(io.load(path), example_for(path, batch), passes=passes)
    result.layers.print()
    result.table().print()
    target = picture or path.with_name("bench.png")
    result.picture(target)
    console = Console()
    console.print(result.why())
    console.print(f"picture: {target}", soft_wrap=True)
    if out is not None:
        io.save(result.model, out)
        console.print(f"compiled: {out}", soft_wrap=True)
