"""`openwork compile`."""

from pathlib import Path
from typing import Annotated

import typer

from openwork import engine, io
from openwork._files import writable_folder
from openwork.cli import options
from openwork.cli.run import example_for, model_path, use_threads
from openwork.cli.say import say


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
    use_threads(threads)
    target = out or path.with_name("compiled.safetensors")
    writable_folder(target.parent, "out")
    compiled = engine.compile(io.load(path), example_for(path, batch), optimize=optimize)
    io.save(compiled, target, metrics=io.info(path).metrics)
    compiled.layers.print()
    say(f"compiled: {target}")
