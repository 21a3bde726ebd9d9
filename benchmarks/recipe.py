"""A ResNet-56 that others trained on CIFAR-10 loses most of its kernels: accuracy and time.

    python benchmarks/recipe.py --ratio 0.7 [--epochs 4] [--out recipe.json] [--work runs/recipe]
    python benchmarks/recipe.py --ratio 0.6 --run runs/pruned --out recipe.json
    python benchmarks/recipe.py --latency --out recipe.json

The kernels with the smallest sums of weights go, batch norms are measured again, and the rest is
retrained on all 50,000 images but a tenth, with the whole network, compiled, as teacher. Stopped at
any moment, a second call resumes at the last whole epoch; then `seconds`, those of the retraining
alone, are of all calls. `--run` takes what `openwork prune` made instead, which had no teacher.
`--latency` times the networks of the rows, which lie in `work`, compiled, against the whole one in
ONNX Runtime, in turns.
"""

import argparse
import dataclasses
import itertools
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from baselines import Call, onnx_bytes, onnxruntime_call
from record import keep_rows, kept_rows
from torch import nn

import openwork as ow
from openwork.data import Batches, DataSet
from openwork.train.metrics import EpochMetrics
from openwork.train.run_state import read_state

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from cifar_resnets import CORRECT, trained  # type: ignore[import-not-found]

DEPTH = 56
RECIPE = ow.train.Recipe(
    batch_size=128,
    optimizer="sgd",
    lr=0.02,
    l2=1e-4,
    schedule="cosine",
    warmup=0.05,
    flip=True,
    crop_padding=4,
    clip_norm=5.0,
)


@dataclass(frozen=True)
class Row:
    """One network; accuracies are of the 10,000 test images, those of a run after retraining."""

    ratio: float
    taught: bool
    threads: int
    epochs: int
    seconds: float
    parameters: int
    whole: float
    retrained: float
    cut: float | None = None
    recalibrated: float | None = None
    milliseconds: float | None = None
    onnxruntime_milliseconds: float | None = None


def pruned(ratio: float, epochs: int, work: Path) -> Row:
    """Cut, retrain and save a network."""
    data = ow.data.load("cifar10").normalised((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    held = dataclasses.replace(ow.prune.hold_out(data, 0.1), test=data.test)
    order = Batches(held.train, 128, held.mean, held.std, shuffle=True, seed=0)
    batches = [(images, labels) for images, labels, _ in itertools.islice(order.epoch(0), 20)]
    model = trained(DEPTH)
    teacher = ow.compile(trained(DEPTH), batches[0][0])
    x = batches[0][0][:2]
    plan = ow.prune.by_criterion(
        model, "l1", ratio=ratio, layers="layer*", example=x, progress=False
    )
    ow.prune.apply_(model, plan)
    cut = _accuracy(model, data)
    ow.prune.recalibrate_(model, batches)
    recalibrated = _accuracy(model, data)
    recipe = dataclasses.replace(RECIPE, epochs=epochs)
    history = ow.train.fit(
        model, held, recipe, out=work / f"{ratio}", resume=True, teacher=teacher, fuse=True
    )
    ow.save(model, work / f"{ratio}.safetensors", plan=plan)
    row = _row(ratio, True, history, model)
    return dataclasses.replace(row, cut=cut, recalibrated=recalibrated)


def of_run(ratio: float, run: Path, work: Path) -> Row:
    """The network in the folder of `openwork prune`, copied to where others are saved."""
    work.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(run / "model.safetensors", work / f"{ratio}.safetensors")
    model = ow.load(run / "model.safetensors", lambda: trained(DEPTH))
    return _row(ratio, False, read_state(run / "stage-1" / "state.safetensors").history, model)


def timed(row: Row, work: Path) -> Row:
    """The row with the times of one image, in milliseconds."""
    x = torch.randn(1, 3, 32, 32)
    whole = trained(DEPTH)
    sparse = ow.load(work / f"{row.ratio}.safetensors", lambda: trained(DEPTH))
    dense = Caller(onnxruntime_call(onnx_bytes(whole, x), x, torch.get_num_threads()))
    ours, theirs = ow.report.measure_latency([ow.compile(sparse.eval(), x), dense], x, passes=300)
    return dataclasses.replace(
        row,
        milliseconds=round(1e3 * ours.median, 3),
        onnxruntime_milliseconds=round(1e3 * theirs.median, 3),
    )


class Caller(nn.Module):
    """Makes a call whatever its input is."""

    def __init__(self, call: Call) -> None:
        super().__init__()
        self.call = call

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.call()
        return x


def _row(ratio: float, taught: bool, history: Sequence[EpochMetrics], model: nn.Module) -> Row:
    return Row(
        ratio,
        taught,
        torch.get_num_threads(),
        len(history),
        round(sum(epoch.seconds for epoch in history)),
        sum(parameter.numel() for parameter in model.parameters()),
        CORRECT[DEPTH] / 10_000,
        history[-1].test_accuracy,
    )


def _accuracy(model: nn.Module, data: DataSet) -> float:
    return ow.train.evaluate(model, data).accuracy


def main() -> None:
    """Make one row, or time all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ratio", type=float)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--latency", action="store_true")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path)
    parser.add_argument("--work", type=Path, default=Path("runs/recipe"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = [Row(**row) for row in kept_rows(options.out)]
    if options.run is not None:
        rows.append(of_run(options.ratio, options.run, options.work))
    elif options.ratio is not None:
        rows.append(pruned(options.ratio, options.epochs, options.work))
    if options.latency:
        rows = [timed(row, options.work) for row in rows]
    for row in rows:
        print(row)
    keep_rows(options.out, rows)


if __name__ == "__main__":
    main()
