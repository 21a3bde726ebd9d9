"""A dense network and its sparse counterpart side by side: measured savings."""

import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from openwork._copy import copied
from openwork._json import write_json
from openwork._terminal import counted
from openwork._unchanged import unchanged
from openwork.engine import compile
from openwork.io import save
from openwork.kernels.native import reason_missing
from openwork.nn import MemoryUse, Table, count_macs, memory_use
from openwork.nn.cost import live_weights
from openwork.report.latency import Latency, measure_latency


@dataclass(frozen=True)
class NetworkCost:
    """What one network costs; bytes are measured from tensors and files.

    Attributes:
        accuracy: accuracy on the test split, in [0, 1].
        parameters: number of live parameters.
        memory: bytes in memory after one step of Adam.
        macs: multiply-adds per image.
        checkpoint: size of the saved file in bytes.
        latency: time of one image in torch.
        compiled: time of one image after `openwork.compile`; None without compiled kernels.
        epoch: seconds of one epoch of training, or None.
    """

    accuracy: float
    parameters: int
    memory: MemoryUse
    macs: int
    checkpoint: int
    latency: Latency
    compiled: Latency | None
    epoch: float | None = None


@dataclass(frozen=True)
class Comparison:
    """A dense network and its sparse counterpart.

    Attributes:
        dense, sparse: what each costs.
        threads: number of threads that latencies were measured with.
    """

    dense: NetworkCost
    sparse: NetworkCost
    threads: int

    def table(self) -> Table:
        """One row per measure: dense, sparse, and the ratio of the two."""
        dense, sparse = self.dense, self.sparse
        points = 100 * (sparse.accuracy - dense.accuracy)
        rows = [
            ("test accuracy", f"{dense.accuracy:.2%}", f"{sparse.accuracy:.2%}", f"{points:+.2f}"),
            _row("live parameters", dense.parameters, sparse.parameters, "{:,}"),
            _row("parameters + gradients + Adam, KB", *_kilobytes(self), "{:,.0f}"),
            _row("MACs per image", dense.macs, sparse.macs, "{:,}"),
            *_epoch_rows(dense.epoch, sparse.epoch),
            _row("checkpoint, KB", dense.checkpoint / 1e3, sparse.checkpoint / 1e3, "{:,.0f}"),
            _latency_row("latency in torch, ms", dense.latency, sparse.latency),
        ]
        if dense.compiled is not None and sparse.compiled is not None:
            rows.append(_latency_row("latency compiled, ms", dense.compiled, sparse.compiled))
        note = (
            f"latency: one image, {counted(self.threads, 'thread')}, median of "
            f"{counted(sparse.latency.passes, 'pass', 'passes')} "
            "taken in turns; accuracy: difference in points; ratios: sparse / dense"
        )
        return Table(("", "dense", "sparse", "ratio"), tuple(rows), notes=(note,))

    def to_json(self, path: str | os.PathLike[str]) -> None:
        """Write every measured number to `path`.

        Raises:
            OpenworkError: `path` cannot be written.
        """
        write_json(path, asdict(self))


def compare(
    dense: nn.Module,
    sparse: nn.Module,
    example: torch.Tensor,
    *,
    accuracies: tuple[float, float],
    epochs: tuple[float, float] | None = None,
    passes: int = 50,
) -> Comparison:
    """Measure both networks in one run.

    Args:
        dense, sparse: classifiers `(N, C, H, W) -> (N, classes)`; they are not changed.
        example: images `(N, C, H, W)` with N >= 2, on the networks' device.
        accuracies: accuracies of the two on the test split, in [0, 1].
        epochs: seconds of an epoch of training of the two, or None (default).
        passes: timed forward passes of each network, default 50.
    """
    one = example[:1]
    contenders = [dense, sparse]
    if reason_missing is None and one.device.type == "cpu":
        contenders += [compile(dense, one), compile(sparse, one)]
    latencies: list[Latency | None] = [*measure_latency(contenders, one, passes=passes)]
    latencies += [None] * (4 - len(latencies))
    costs = [
        NetworkCost(
            accuracy=accuracy,
            parameters=live_weights(model),
            memory=_memory_after_a_step(model, example),
            macs=sum(count_macs(model, one).values()),
            checkpoint=_checkpoint_size(model),
            latency=latency,
            compiled=compiled,
            epoch=epoch,
        )
        for model, accuracy, latency, compiled, epoch in zip(
            (dense, sparse),
            accuracies,
            latencies[:2],
            latencies[2:],
            epochs or (None, None),
            strict=True,
        )
        if latency is not None
    ]
    return Comparison(costs[0], costs[1], torch.get_num_threads())


def _memory_after_a_step(model: nn.Module, example: torch.Tensor) -> MemoryUse:
    twin = copied(model).train()
    optimizer = torch.optim.Adam(twin.parameters())
    classes = torch.zeros(len(example), dtype=torch.int64, device=example.device)
    # The copy shares its classes, and what it cannot copy, with the original.
    with unchanged(model):
        F.cross_entropy(twin(example), classes).backward()
        optimizer.step()
    return memory_use(twin, optimizer)


def _checkpoint_size(model: nn.Module) -> int:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        save(model, path)
        return path.stat().st_size


def _kilobytes(comparison: Comparison) -> tuple[float, float]:
    return comparison.dense.memory.training / 1e3, comparison.sparse.memory.training / 1e3


def _epoch_rows(dense: float | None, sparse: float | None) -> list[tuple[str, str, str, str]]:
    if dense is None or sparse is None:
        return []
    return [_row("seconds per epoch of training", dense, sparse, "{:.1f}")]


def _latency_row(name: str, dense: Latency, sparse: Latency) -> tuple[str, str, str, str]:
    return _row(name, 1e3 * dense.median, 1e3 * sparse.median, "{:.3f}")


def _row(name: str, dense: float, sparse: float, form: str) -> tuple[str, str, str, str]:
    return name, form.format(dense), form.format(sparse), f"{sparse / dense:.3f}"
