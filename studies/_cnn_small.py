"""What the studies of coarse pruning share: CNN_small on CIFAR-10, its scales, its retraining.

Source: "Compact Deep CNNs With Coarse Pruning" (Anwar, Sung, arXiv 1610.09639): CNN_small, a fifth
of the training images held out to choose masks, batches of 128, retraining after each cut. Our
reading: Adam where the paper has RMSProp, normalised images where it whitens them, epochs and
rates. The "cpu" scale is a quarter as wide, with a tenth of the images and few epochs: it shows
that the method works and its trends, not the paper's figures.
"""

import copy
import dataclasses
from dataclasses import dataclass
from pathlib import Path

import torch
from _study import Options, first_samples, history
from torch import nn

import openwork as ow
from openwork.nn.layers import sparse_layers
from openwork.prune import Stage

# Convolutions 2 to 6; the first one is never pruned, and ratios are counted over these.
CONVOLUTIONS = ("features.3", "features.7", "features.10", "features.14", "features.17")


@dataclass(frozen=True)
class Scale:
    """The sizes of an experiment."""

    depth_multiplier: float
    train: int
    held_out: int
    test: int
    epochs: int
    retrain: int
    candidates: int
    batch_size: int = 128
    lr: float = 1e-3


SCALES = {
    "cpu": Scale(0.25, 4000, 1000, 4000, 12, 2, 100, batch_size=64, lr=2e-3),
    "paper": Scale(1.0, 40_000, 10_000, 10_000, 60, 20, 200),
}


class Experiment:
    """A trained network, its data, and what is done with both.

    Args:
        asked: the options of the study.
        seed: seed of the network, its batches and the masks.
        changes: changes to the scale.
    """

    def __init__(self, asked: Options, *, seed: int = 0, **changes: int) -> None:
        self.seed = seed
        self.scale = scale = dataclasses.replace(SCALES[asked.scale], **changes)
        whole = asked.data("cifar10")
        held = ow.prune.hold_out(whole)
        self.data = first_samples(
            dataclasses.replace(held, test=whole.test), scale.train, scale.test
        )
        held = first_samples(held, test=scale.held_out)
        # Masks are judged on the held-out images; reported errors are on the test split.
        self.judge = ow.prune.error_on(held)
        self.test_error = ow.prune.error_on(self.data)
        torch.manual_seed(seed)
        self.network = ow.models.build("cnn_small", depth_multiplier=scale.depth_multiplier)
        history(self.network, self.data, self._recipe(scale.epochs, 0))

    def _recipe(self, epochs: int, seed: int) -> ow.train.Recipe:
        scale = self.scale
        return ow.train.Recipe(
            epochs=epochs,
            batch_size=scale.batch_size,
            optimizer="adam",
            lr=scale.lr,
            flip=True,
            seed=1000 * self.seed + seed,
        )

    def copy(self) -> nn.Module:
        """A copy of the trained network, to be pruned."""
        return copy.deepcopy(self.network)

    def retrain(self, model: nn.Module, index: int) -> None:
        """Retrain `model`, in the same way after every cut and for the network without one."""
        history(model, self.data, self._recipe(self.scale.retrain, 1 + index))

    def search(
        self, model: nn.Module, stage: Stage, index: int, log: Path | None = None
    ) -> ow.Plan:
        """The best of N masks, as in the paper."""
        return ow.prune.search(
            model,
            self.judge,
            granularity=stage.granularity,
            ratio=stage.ratio,
            candidates=self.scale.candidates,
            layers=CONVOLUTIONS,
            seed=self.seed,
            log=log,
            progress=False,
        )

    def batches(self, count: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """The first `count` training batches, on the network's device."""
        device = next(self.network.parameters()).device
        batches = ow.data.Batches(
            self.data.train,
            self.scale.batch_size,
            self.data.mean,
            self.data.std,
            device=device,
            shuffle=True,
            seed=0,
        )
        pairs = ((images, labels) for images, labels, _ in batches.epoch(0))
        return [pair for pair, _ in zip(pairs, range(count), strict=False)]


def conv_sparsity(model: nn.Module) -> float:
    """Share of the weights of convolutions 2 to 6 that was removed."""
    layers = sparse_layers(model)
    live = total = 0
    for name in CONVOLUTIONS:
        weight = model.get_submodule(name).weight
        assert isinstance(weight, nn.Parameter)
        live += weight.numel()
        total += int(layers[name].pattern.taps.size) if name in layers else weight.numel()
    return 1 - live / total
