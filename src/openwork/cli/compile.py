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
        typer.Option(help="File for the result; default compiled.safetensors beside the model."),
    ] = None,
    batch: Annotated[int, typer.Option(help="Images per measured call.")] = 1,
    threads: Annotated[int | None, typer.Option(help="Threads of torch; default all.")] = None,
    optimize: Annotated[str, typer.Option(help="speed or memory.")] = "speed",
) -> None:
    """Compile a trained network with the best kernels on this machine, for openwork.load."""
    path = model_path(run)
    use_threads(threads)
    target = out or path.with_name("compiled.safetensors")
    writable_folder(target.parent, "out")
    compiled = engine.compile(io.load(path), example_for(path, batch), optimize=optimize)
    io.save(compiled, target, metrics=io.info(path).metrics)
    compiled.layers.print()
    say(f"compiled: {target}")
