"""`openwork compile`."""

from pathlib import Path
from typing import Annotated

import typer

from openwork import engine, io
from openwork._files import writable_folder
from openwork.cli import options
from openwork.cli.build import Sizes
from openwork.cli.run import images_for, locate, sizes_for, use_threads
from openwork.cli.say import say
from openwork.engine.compile import OPTIMIZE


def compile(
    run: options.Run = None,
    out: Annotated[
        Path | None,
        typer.Option(help="File for the result; default compiled.safetensors beside the model."),
    ] = None,
    batch: Annotated[int, typer.Option(help="Images per measured call.")] = 1,
    threads: Annotated[int | None, typer.Option(help="Threads of torch; default all.")] = None,
    optimize: Annotated[str, typer.Option(help=f"{' or '.join(OPTIMIZE)}.")] = "speed",
    retune: Annotated[bool, typer.Option(help="Measure remembered kernels again.")] = False,
    model: options.OwnModel = None,
    weights: options.Weights = None,
    classes: options.Classes = 10,
    channels: options.Channels = 3,
    image_size: options.Side = 32,
) -> None:
    """Compile a trained network, or an ONNX file, with the best kernels here, for openwork.load."""
    place = locate(run, model, weights, onnx=True)
    place.refuse_compiled("compiled again")
    use_threads(threads)
    target = out or (place.path or Path()).with_name("compiled.safetensors")
    writable_folder(target.parent, "out")
    sizes = sizes_for(place, Sizes(classes, channels, image_size))
    network = place.load(sizes)
    example = images_for(network, sizes, batch)
    compiled = engine.compile(network, example, optimize=optimize, retune=retune)
    io.save(compiled, target, metrics=place.metrics)
    compiled.layers.print()
    say(f"compiled: {target}")
