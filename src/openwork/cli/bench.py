"""`openwork bench`."""

from pathlib import Path
from typing import Annotated

import typer

from openwork import io
from openwork._files import writable_file
from openwork.cli import options
from openwork.cli.build import Sizes
from openwork.cli.run import Located, images_for, locate, sizes_for, use_threads
from openwork.cli.say import say
from openwork.nn import training_table
from openwork.report import benchmark


def bench(
    run: options.Run = None,
    batch: Annotated[
        int | None, typer.Option(help="Images per call; default 1, with --training 64.")
    ] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of torch; default all.")] = None,
    passes: Annotated[int, typer.Option(help="Timed forward passes.")] = 50,
    picture: Annotated[
        Path | None, typer.Option(help="File for the picture; default bench.png in the run.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File for the compiled network.")] = None,
    training: Annotated[
        bool,
        typer.Option("--training", help="Time the sparse layers of a training step instead."),
    ] = False,
    onnx_runtime: Annotated[
        bool, typer.Option(help="Also time the dense network in ONNX Runtime.")
    ] = True,
    model: options.OwnModel = None,
    weights: options.Weights = None,
    classes: options.Classes = 10,
    channels: options.Channels = 3,
    image_size: options.Side = 32,
) -> None:
    """Time a compiled network, per layer and as a whole, against its dense counterpart.

    A file that holds a compiled network is timed as it is; an ONNX file is compiled. Without
    --weights, weights are random. With --training, each sparse layer's output and gradients:
    kernels, times, and why not faster.
    """
    place = locate(run, model, weights, bare=True, onnx=True)
    use_threads(threads)
    if training:
        place.refuse_compiled("trained")
        _bench_training(place, Sizes(classes, channels, image_size), 64 if batch is None else batch)
        return
    target = picture or (place.path or Path("bench.png")).with_name("bench.png")
    writable_file(target, "picture")
    if out is not None:
        writable_file(out, "out")
    sizes = sizes_for(place, Sizes(classes, channels, image_size))
    network = place.load(sizes)
    result = benchmark(
        network,
        images_for(network, sizes, 1 if batch is None else batch),
        passes=passes,
        onnx_runtime=onnx_runtime,
    )
    result.layers.print()
    result.table().print()
    result.picture(target)
    # The page of `openwork report` reads it.
    result.to_json(target.with_name("bench.json"))
    say(result.why())
    say(f"picture: {target}")
    if out is not None:
        io.save(result.model, out, metrics=place.metrics)
        say(f"compiled: {out}")


def _bench_training(place: Located, asked: Sizes, batch: int) -> None:
    sizes = sizes_for(place, asked)
    network = place.load(sizes)
    training_table(network, images_for(network, sizes, batch)).table().print()
