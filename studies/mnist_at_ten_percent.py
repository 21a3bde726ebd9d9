"""Claim: at 10 % density a channel-wise random network classifies MNIST nearly as well as dense.

    python studies/mnist_at_ten_percent.py [--epochs 5] [--seeds 3]

Needs MNIST (`OPENWORK_DATA` or the hub). Three networks, same recipe, full training set: dense; the
same with every convolution but the first at 10 % density; and the dense network narrowed by the
depth multiplier to the number of parameters of the sparse one, the paper's baseline.

Source: "The Power of Sparsity in Convolutional Neural Networks" (2017), which reports 99.5 % for
its full network and about one point between 2,000 and 2 million parameters.

Result: in mnist_at_ten_percent.json beside this file: accuracy per seed, parameters, MACs,
hardware, versions and time.
"""

import argparse
import dataclasses
import json
import platform
import statistics
import time
from pathlib import Path

import torch
from torch import nn

import openwork as ow
from openwork.nn import Table, count_macs

PLAN = {"conv:*": {"pattern": "random", "density": 0.1}, "features.0": "dense"}
RECIPE = ow.train.Recipe(batch_size=64, optimizer="adam", lr=2e-3, warmup=0.05)


def build(kind: str, seed: int, alpha: float) -> nn.Module:
    torch.manual_seed(seed)
    shape = {"in_channels": 1, "image_size": 28}
    if kind == "depth multiplier":
        return ow.models.build("mnist_3conv", depth_multiplier=alpha, **shape)
    model = ow.models.build("mnist_3conv", **shape)
    return ow.sparsify_(model, ow.Plan(PLAN, seed=seed)) if kind == "sparse" else model


def equal_alpha(target: int) -> float:
    """The depth multiplier, in steps of 1/128, that comes closest to `target` parameters."""
    candidates = [n / 128 for n in range(8, 129)]
    return min(candidates, key=lambda a: abs(count(build("depth multiplier", 0, a)) - target))


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    data = ow.data.load("mnist")
    alpha = equal_alpha(count(build("sparse", 0, 1.0)))
    began = time.perf_counter()
    results = {}
    for kind in ("dense", "sparse", "depth multiplier"):
        accuracies = []
        for seed in range(options.seeds):
            model = build(kind, seed, alpha)
            recipe = dataclasses.replace(RECIPE, epochs=options.epochs, seed=seed)
            history = ow.train.fit(model, data, recipe)
            accuracies.append(history[-1].test_accuracy)
        untrained = build(kind, 0, alpha)
        results[kind] = {
            "accuracies": accuracies,
            "parameters": count(untrained),
            "macs": sum(count_macs(untrained, torch.zeros(1, 1, 28, 28)).values()),
        }
    record = {
        "results": results,
        "alpha": alpha,
        "epochs": options.epochs,
        "recipe": RECIPE.to_dict(),
        "machine": f"{platform.platform()}, {torch.get_num_threads()} threads",
        "versions": {"openwork": ow.__version__, "torch": torch.__version__},
        "seconds": round(time.perf_counter() - began),
    }
    Path(__file__).with_suffix(".json").write_text(json.dumps(record, indent=2) + "\n")
    rows = tuple(
        (
            kind,
            f"{statistics.mean(r['accuracies']):.2%}",
            " ".join(f"{a:.2%}" for a in r["accuracies"]),
            r["parameters"],
            r["macs"],
        )
        for kind, r in results.items()
    )
    Table(("network", "mean accuracy", "seeds", "parameters", "MACs"), rows).print()


if __name__ == "__main__":
    main()
