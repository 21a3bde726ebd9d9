"""`openwork eval`."""

import torch
from rich.console import Console
from torch import nn

from openwork.cli import options
from openwork.cli.normalise import Normalisation
from openwork.cli.trained import trained
from openwork.engine import CompiledModel
from openwork.nn import Table
from openwork.nn.cost import live_weights
from openwork.train import evaluate as evaluate_model


def evaluate(
    run: options.Run = None,
    data: options.OtherData = None,
    data_root: options.DataRoot = None,
    model: options.OwnModel = None,
    weights: options.Weights = None,
    image_size: options.ImageSize = None,
    mean: options.Mean = None,
    std: options.Std = None,
    device: options.Device = "cpu",
) -> None:
    """Measure the test accuracy and count the live weights of a network: plain, compiled, int8."""
    network = trained(
        run,
        data,
        data_root,
        model=model,
        weights=weights,
        image_size=image_size,
        asked=Normalisation(mean, std),
        device=device,
    )
    result = evaluate_model(network.model, network.dataset)
    source = network.source
    name = source.name if source else type(network.model).__name__
    numbers = zip(network.dataset.mean, network.dataset.std, strict=True)
    pixels = ", ".join(f"{m:.4g} +- {s:.4g}" for m, s in numbers)
    rows = (
        ("model", name),
        ("data", f"{network.dataset.name}, {result.count:,} test images"),
        ("normalisation", f"{pixels} ({network.normalisation})"),
        ("test accuracy", f"{result.accuracy:.2%}"),
        ("test loss", f"{result.loss:.4f}"),
        ("live parameters", f"{_live(network.model):,}"),
        ("checkpoint", f"{network.path.stat().st_size / 1e3:,.0f} KB"),
    )
    Table(("what", "measured"), rows, justify="left").print(Console())


def _live(model: nn.Module) -> int:
    if isinstance(model, CompiledModel):
        # A compiled network has no parameters; the file's floats are its weights and biases.
        tensors = model.snapshot.tensors.values()
        return sum(t.numel() for t in tensors if t.dtype == torch.float32)
    narrow = [each for each in model.buffers() if each.dtype == torch.int8]
    # So has one in int8: what is not zero, without biases.
    return live_weights(model) + sum(int(each.count_nonzero()) for each in narrow)
