"""What the studies of coarse pruning share: a trained network, its cuts, and the retraining.

Source: "Compact Deep CNNs With Coarse Pruning" (Anwar, Sung, arXiv 1610.09639): CNN_small, a fifth
of the training images held out to choose masks, batches of 128, retraining after each cut. Our
reading: Adam where the paper has RMSProp, normalised images where it whitens them, epochs and
rates.

ResNet-56 was trained by others (akamaster/pytorch_resnet_cifar10) on all training images, so those
that are held out to choose masks are none that it has not seen; the test images are. Its maps are
cut within the blocks, where no shortcut adds them to others. Its weights lie in the folder
`pretrained` beside that of the data.
"""

import copy
import dataclasses
import sys
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from _grid import Desk, Settings
from _study import first_samples, loaded, parameters
from safetensors.torch import load_file
from torch import nn

import openwork as ow
from openwork.data import Batches, DataSet
from openwork.prune import Stage

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from cifar_resnets import PRETRAINED, ResNet  # type: ignore[import-not-found]

# Convolutions 2 to 6; the first one is never pruned, and ratios are counted over these.
_CNN_SMALL = ("features.3", "features.7", "features.10", "features.14", "features.17")
# Network -> granularity -> layers that are cut. Shares are counted over those of "kernel".
LAYERS: dict[str, dict[str, Any]] = {
    "cnn_small": {"feature_map": _CNN_SMALL, "kernel": _CNN_SMALL},
    "resnet56": {"feature_map": "layer*.conv1", "kernel": "layer*"},
}
RECIPES = {
    "cnn_small": ow.train.Recipe(optimizer="adam", flip=True),
    "resnet56": ow.train.Recipe(optimizer="sgd", l2=1e-4, flip=True, crop_padding=4),
}
# What the weights of the ResNets were trained with.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# Settings that determine the network before it is cut, where it is trained here.
_START = ("network", "width", "train", "held_out", "test", "epochs", "batch", "lr", "seed")


def pretrained(depth: int) -> nn.Module:
    """The ResNet of this depth for CIFAR-10 that others trained."""
    model = ResNet(depth)
    model.load_state_dict(load_file(PRETRAINED / f"resnet{depth}-cifar10.safetensors"))
    return model.eval()


def run(settings: Settings, desk: Desk) -> dict[str, Any]:
    """Cut and retrain a trained network.

    Args:
        settings: `stages`: (granularity, ratio) of each cut, none for the whole network, which is
            retrained alike; `by`: "search" or a criterion; `teacher`: whether the whole network
            teaches the cut one; `candidates` of a search; `retrain`: epochs after each cut.
        desk: where to work.

    Returns:
        `accuracy` on the test split in the end; errors there of the network as it was `trained`,
        after the last `cut`, with its normalisation `recalibrated`, and `retrained`;
        `conv_sparsity`, the share of the weights that was removed, and the `parameters` left.
    """
    data, held = images(settings)
    model = _start(settings, data, desk)
    test_error = ow.prune.error_on(data)
    trained = test_error(model, 1.0)
    teacher = copy.deepcopy(model) if settings["teacher"] else None

    def retrain(cut: nn.Module, index: int) -> None:
        recipe = _recipe(settings, settings["retrain"], 1 + index)
        desk.fit(cut, data, recipe, f"retraining {index}", teacher)

    errors: dict[str, float] = {}
    if settings["stages"]:
        batches = _batches(settings, data)
        results = ow.prune.in_stages_(
            model,
            _Chooser(settings, desk, held, batches),
            retrain,
            test_error,
            stages=[Stage(granularity, ratio) for granularity, ratio in settings["stages"]],
            batches=batches,
            out=desk.folder / "stages",
            progress=False,
        )
        last = dataclasses.asdict(results[-1])
        errors = {name: last[name] for name in ("cut", "recalibrated", "retrained")}
    else:
        retrain(model, 0)
        errors["retrained"] = test_error(model, 1.0)
    return {
        "accuracy": 1 - errors["retrained"],
        "trained": trained,
        **errors,
        "conv_sparsity": removed(model, settings["network"]),
        "parameters": parameters(model),
    }


def images(settings: Settings) -> tuple[DataSet, DataSet]:
    """What to train and test on, and a data set whose `test` was held out to judge masks by."""
    whole = loaded("cifar10")
    if settings["network"] != "cnn_small":
        whole = dataclasses.replace(whole, mean=_MEAN, std=_STD)
    held = ow.prune.hold_out(whole)
    data = dataclasses.replace(held, test=whole.test)
    return (
        first_samples(data, settings["train"], settings["test"]),
        first_samples(held, test=settings["held_out"]),
    )


def removed(model: nn.Module, network: str) -> float:
    """Share of the weights of the layers that are cut that was removed."""
    chosen = LAYERS[network]["kernel"]
    globs = [chosen] if isinstance(chosen, str) else chosen
    live = total = 0
    for name, layer in model.named_modules():
        if not isinstance(layer, nn.Conv2d | ow.SparseConv2d):
            continue
        if any(fnmatchcase(name, glob) for glob in globs):
            live += layer.weight.numel()
            sparse = isinstance(layer, ow.SparseConv2d)
            total += layer.pattern.taps.size if sparse else layer.weight.numel()
    return 1 - live / total


def _start(settings: Settings, data: DataSet, desk: Desk) -> nn.Module:
    """The trained network."""
    name = settings["network"]
    if name != "cnn_small":
        return pretrained(int(name.removeprefix("resnet")))
    torch.manual_seed(settings["seed"])
    model = ow.models.build(name, depth_multiplier=settings["width"])
    what = {part: settings[part] for part in _START}
    desk.trained(what, model, data, _recipe(settings, settings["epochs"], 0))
    return model


def _recipe(settings: Settings, epochs: int, offset: int) -> ow.train.Recipe:
    return dataclasses.replace(
        RECIPES[settings["network"]],
        epochs=epochs,
        batch_size=settings["batch"],
        lr=settings["lr"],
        seed=1000 * settings["seed"] + offset,
    )


def _batches(settings: Settings, data: DataSet) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The first ten training batches."""
    batches = Batches(data.train, settings["batch"], data.mean, data.std, shuffle=True, seed=0)
    pairs = ((images, labels) for images, labels, _ in batches.epoch(0))
    return [pair for pair, _ in zip(pairs, range(10), strict=False)]


class _Chooser:
    """Makes the plan of a cut as the settings say."""

    def __init__(
        self,
        settings: Settings,
        desk: Desk,
        held: DataSet,
        batches: list[tuple[torch.Tensor, torch.Tensor]],
    ) -> None:
        self._settings, self._desk, self._batches = settings, desk, batches
        # Masks are judged on the held-out images; reported errors are on the test split.
        self._judge = ow.prune.error_on(held)

    def __call__(self, model: nn.Module, stage: Stage, index: int) -> ow.Plan:
        self._desk.check()
        settings = self._settings
        same: dict[str, Any] = {
            "granularity": stage.granularity,
            "ratio": stage.ratio,
            "layers": LAYERS[settings["network"]][stage.granularity],
            "example": self._batches[0][0][:2],
            "seed": settings["seed"],
            "progress": False,
        }
        if settings["by"] == "search":
            log = self._desk.folder / f"masks {index}"
            candidates = settings["candidates"]
            return ow.prune.search(model, self._judge, candidates=candidates, log=log, **same)
        return ow.prune.by_criterion(
            model, settings["by"], batches=self._batches[:8], loss=F.cross_entropy, **same
        )
