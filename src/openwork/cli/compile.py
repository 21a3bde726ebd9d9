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
from openwork.errors import ArgumentError


def compile(
    run: options.Run = None,
    out: Annotated[
        Path | None,
        typer.Option(help="File for the result; default compiled.safetensors beside the model."),
    ] = None,
    batch: Annotated[int, typer.Option(help="Images per measured call.")] = 1,
    threads: Annotated[int | None, typer.Option(help="Threads of torch; default all.")] = None,
    optimize: Annotated[str, typer.Option(help=f"{' or '.join(OPTIMIZE)}.")] = "speed",
    sizes: Annotated[
        str | None,
        typer.Option(help="Other sizes of images to take: any, or such as 240x320,480x640."),
    ] = None,
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
    own = sizes_for(place, Sizes(classes, channels, image_size))
    network = place.load(own)
    example = images_for(network, own, batch)
    compiled = engine.compile(
        network, example, sizes=_sizes(sizes), optimize=optimize, retune=retune
    )
    io.save(compiled, target, metrics=place.metrics)
    compiled.layers.print()
    say(f"compiled: {target}")


def _sizes(text: str | None) -> str | list[tuple[int, int]] | None:
    if text is None or text == "any":
        return text
    found: list[tuple[int, int]] = []
    for item in text.split(","):
        height, _, width = item.partition("x")
        if not (height.isdecimal() and width.isdecimal()):
            raise ArgumentError(
                f"`sizes`={text!r} must be any, or heights and widths such as 240x320,480x640"
            )
        found.append((int(height), int(width)))
    return found
