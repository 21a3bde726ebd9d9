"""Train small sparse networks on some embedded digits, in a separate process."""

import argparse
import os
import sys
from pathlib import Path

import torch
from torch import nn

from openwork.data import DataSet, Split, load
from openwork.nn import Plan, sparsify_
from openwork.train import GrowthSchedule, Recipe, fit


class Stopped(BaseException):
    """What Ctrl-C would raise, without its exit code."""


def _some(split: Split, count: int) -> Split:
    return Split(split.images[:count].copy(), split.labels[:count].copy())


def _data(count: int) -> DataSet:
    whole = load()
    train, test = _some(whole.train, count), _some(whole.test, 51)
    return DataSet("digits", train, test, whole.classes, whole.mean, whole.std)


def _model(dropout: float) -> nn.Sequential:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, stride=2, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, stride=2, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(8 * 49, 16),
        nn.BatchNorm1d(16),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(16, 10),
    )
    return sparsify_(model, Plan({"*": {"pattern": "random", "density": 0.4}}))


def _stop_after(model: nn.Module, calls: int) -> None:
    count = 0

    def hook(module: nn.Module, inputs: object) -> None:
        nonlocal count
        count += module.training
        if count > calls:
            raise Stopped

    model.register_forward_pre_hook(hook)


def _note_writes(path: Path) -> None:
    """Append to `path` the files that this process opens for writing by name, or renames to."""

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event == "os.rename":
            written = arguments[1]
        elif event == "open" and isinstance(arguments[0], str) and "w" in str(arguments[1]):
            written = arguments[0]
        else:
            return
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(descriptor, f"{written}\n".encode())
        os.close(descriptor)

    sys.addaudithook(hook)


def _growth(text: str) -> GrowthSchedule | None:
    return None if text == "never" else GrowthSchedule.from_text(text)


def main() -> None:
    parser = argparse.ArgumentParser()
    # Starting takes longer than training: a network into each folder, one after another.
    parser.add_argument("out", type=Path, nargs="+")
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--optimizer", default="sgd")
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--grow", type=_growth, nargs="+", default=[None])
    parser.add_argument("--stop-after", type=int)
    parser.add_argument("--note-writes", type=Path)
    parser.add_argument("--resume", action="store_true")
    options = parser.parse_args()
    if options.note_writes is not None:
        _note_writes(options.note_writes / os.environ["RANK"])
    for out, growth in zip(options.out, options.grow, strict=True):
        _train(options, out, growth)


def _train(options: argparse.Namespace, out: Path, growth: GrowthSchedule | None) -> None:
    data, model = _data(options.images), _model(options.dropout)
    if options.stop_after is not None:
        _stop_after(model, options.stop_after)
    recipe = Recipe(
        epochs=options.epochs,
        batch_size=19,
        optimizer=options.optimizer,
        lr=0.01,
        flip=True,
        crop_padding=2,
        growth=growth,
    )
    try:
        fit(
            model,
            data,
            recipe,
            out=out,
            resume=options.resume,
            device="cpu",
            progress=False,
        )
    except Stopped:
        sys.stdout.write("stopped\n")


if __name__ == "__main__":
    main()
