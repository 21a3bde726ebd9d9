"""A demo: train a dense and a sparse network, and tabulate what sparsity saves."""

import os
import statistics
from pathlib import Path

import torch
from torch import nn

from openwork import data, models
from openwork._files import writable_folder
from openwork.nn import Plan, sparsify_
from openwork.report import Comparison, compare
from openwork.train import Recipe, fit

MODEL = "vgg-small"
PLAN = Plan({"conv:*": {"pattern": "random", "density": 0.1}, "features.0": "dense"})
RECIPE = Recipe(epochs=4, batch_size=64, optimizer="adam", lr=3e-3, warmup=0.1)


def demo(
    out: str | os.PathLike[str],
    *,
    recipe: Recipe = RECIPE,
    plan: Plan = PLAN,
    progress: bool = True,
) -> Comparison:
    """Train a VGG-style network dense and sparse on the MNIST subset, and compare them.

    Both networks start from the same seed and see the same batches. Checkpoints, metrics and
    `comparison.json` are written to `out`; a demo that was stopped is resumed.

    Args:
        out: the folder; it is created if needed.
        recipe: how both networks are trained; by default 4 epochs of Adam.
        plan: plan of the sparse network; by default random 10 % of the connections, with the first
            convolution and the classifier dense.
        progress: show bars on standard error, default True.

    Raises:
        OpenworkError: `out` cannot be written to, or holds a demo with another recipe or plan.
    """
    folder = writable_folder(out, "out")
    dataset = data.load("mnist-subset")
    networks: dict[str, nn.Module] = {}
    accuracies: list[float] = []
    epochs: list[float] = []
    for name in ("dense", "sparse"):
        torch.manual_seed(recipe.seed)
        model = models.build(MODEL, in_channels=dataset.channels, image_size=dataset.image_size[0])
        of_this = plan if name == "sparse" else None
        if of_this is not None:
            sparsify_(model, of_this)
        history = fit(
            model,
            dataset,
            recipe,
            out=folder / name,
            resume=True,
            plan=of_this,
            device="cpu",
            progress=progress,
        )
        networks[name] = model
        accuracies.append(history[-1].test_accuracy)
        # The median: the first epoch of a sparse network may measure its kernels.
        epochs.append(statistics.median(row.seconds for row in history))
    example = torch.zeros(8, dataset.channels, *dataset.image_size)
    comparison = compare(
        networks["dense"],
        networks["sparse"],
        example,
        accuracies=(accuracies[0], accuracies[1]),
        epochs=(epochs[0], epochs[1]),
    )
    comparison.to_json(Path(folder) / "comparison.json")
    return comparison
