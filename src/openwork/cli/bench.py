"""`openwork bench`."""

from pathlib import Path
from typing import Annotated

import typer

from openwork import io
from openwork._files import writable_folder
from openwork.cli import options
from openwork.cli.run import example_for, model_path, use_threads
from openwork.cli.say import say
from openwork.report import benchmark


def bench(
    run: options.Run,
    batch: Annotated[int, typer.Option(help="Images per call.")] = 1,
    threads: Annotated[int | None, typer.Option(help="Threads of torch; default all.")] = None,
    passes: Annotated[int, typer.Option(help="Timed forward passes.")] = 50,
    picture: Annotated[
        Path | None, typer.Option(help="File for the picture; default bench.png in the run.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File for the compiled network.")] = None,
) -> None:
    """Time a compiled network, per layer and as a whole, against its dense counterpart."""
    path = model_path(run)
    use_threads(threads)
    target = picture or path.with_name("bench.png")
    writable_folder(target.parent, "picture")
    if out is not None:
        writable_folder(out.parent, "out")
    result = benchmark(io.load(path), example_for(path, batch), passes=passes)
    result.layers.print()
    result.table().print()
    result.picture(target)
    say(result.why())
    say(f"picture: {target}")
    if out is not None:
        io.save(result.model, out)
        say(f"compiled: {out}")
