"""`openwork compile` and `openwork quantize`."""

import itertools
from pathlib import Path
from typing import Annotated

import typer

from openwork import engine, io
from openwork._arguments import check_count
from openwork._files import writable_file, writable_folder
from openwork._identity import digest_of
from openwork.cli import options
from openwork.cli.build import Sizes
from openwork.cli.normalise import Normalisation
from openwork.cli.result_path import result_path
from openwork.cli.run import images_for, locate, sizes_for, use_threads
from openwork.cli.say import say
from openwork.cli.trained import trained
from openwork.data import Batches
from openwork.engine.compile import OPTIMIZE, PRECISIONS
from openwork.errors import ArgumentError
from openwork.quantize import quantize as quantize_model
from openwork.quantize.ranges import METHODS
from openwork.train import evaluate
from openwork.train.run_folder import trained_on


def compile(
    run: options.Run = None,
    out: Annotated[
        Path | None,
        typer.Option(help="File for the result; default compiled.safetensors beside the model."),
    ] = None,
    batch: Annotated[int, typer.Option(help="Images per measured call.")] = 1,
    threads: Annotated[int | None, typer.Option(help="Threads of torch; default all.")] = None,
    optimize: Annotated[str, typer.Option(help=f"{' or '.join(OPTIMIZE)}.")] = "speed",
    precision: Annotated[
        str, typer.Option(help=f"{' or '.join(PRECISIONS)}, which is taken where it is faster.")
    ] = "float32",
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
    place.refuse_compiled("compiled again", quantised=False)
    use_threads(threads)
    target = out or (place.path or Path()).with_name("compiled.safetensors")
    writable_file(target, "out")
    own = sizes_for(place, Sizes(classes, channels, image_size))
    network = place.load(own)
    example = images_for(network, own, batch)
    compiled = engine.compile(
        network,
        example,
        sizes=_sizes(sizes),
        optimize=optimize,
        precision=precision,
        retune=retune,
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


def quantize(
    out: Annotated[Path, typer.Option(help="Folder for the network in int8.")],
    run: options.Run = None,
    data: options.OtherData = None,
    data_root: options.DataRoot = None,
    images: Annotated[int, typer.Option(help="Training images to find ranges with.")] = 256,
    calibrate: Annotated[str, typer.Option(help=f"{options.one_of(METHODS)}.")] = METHODS[0],
    percentile: Annotated[
        float, typer.Option(help="With --calibrate percentile: how many percent lie within.")
    ] = 99.99,
    tolerance: Annotated[
        float, typer.Option(help="How much test accuracy may be lost, as in 0.01.")
    ] = 0.02,
    model: options.OwnModel = None,
    weights: options.Weights = None,
    image_size: options.ImageSize = None,
    mean: options.Mean = None,
    std: options.Std = None,
) -> None:
    """Make a network compute in int8; refused if it loses more test accuracy than allowed."""
    place = locate(run, model, weights)
    found = trained(
        run, data, data_root, model=model, weights=weights, image_size=image_size,
        asked=Normalisation(mean, std), refuse_compiled="quantised",
    )  # fmt: skip
    check_count("images", images)
    dataset, network = found.dataset, found.model
    settings = {"images": images, "calibrate": calibrate, "percentile": percentile}
    by = {"command": "quantize", "model": digest_of(network), "data": dataset.name} | settings
    target = result_path(out, place.path or Path(), by)
    writable_folder(out, "out")
    size = min(images, 128)
    order = Batches(dataset.train, size, dataset.mean, dataset.std, shuffle=True, seed=0)
    narrow, report = quantize_model(
        network,
        [batch.images for batch in itertools.islice(order.epoch(0), -(-images // size))],
        calibrate=calibrate,
        percentile=percentile,
        evaluate=lambda each: evaluate(each, dataset).accuracy,
        tolerance=tolerance,
    )
    metrics = {**place.metrics, **trained_on(dataset), "test_accuracy": report.scores[1], "by": by}
    io.save(narrow, target, metrics=metrics)
    report.to_json(target.with_name("quantize.json"))
    report.print()
    say(f"saved: {target}")
