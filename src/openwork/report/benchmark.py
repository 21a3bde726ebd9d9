"""How fast a compiled network runs, per layer and as a whole, and why it is not faster."""

import os
import statistics
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from openwork._arguments import check_model
from openwork._copy import copied
from openwork._files import atomic_path, writing
from openwork._json import write_json
from openwork._terminal import counted, visible
from openwork.engine import CompiledModel, compile
from openwork.errors import OpenworkError
from openwork.interchange import export_onnx
from openwork.interchange.onnx_runtime import OnnxRuntime
from openwork.nn import Table, count_macs, densify_
from openwork.nn.layers import Dense
from openwork.report.latency import Latency, measure_latency
from openwork.report.rate import best_rate


@dataclass(frozen=True)
class Benchmark:
    """A network measured in three ways in one run.

    Attributes:
        layers: one row per layer: its kernel, its time, and torch's time for the dense layer.
        dense: the network with plain dense layers, in torch; None if a compiled network was timed,
            which does not say what they were.
        dense_compiled: the dense network, compiled, or None.
        compiled: the network itself, compiled.
        batch, threads: images per call, and threads used.
        difference: largest difference between compiled and original outputs, relative to the
            largest output.
        macs, dense_macs: multiply-adds per call, of live weights and of the dense network, or None.
        best_rate: multiply-adds per second of torch's matrix product on this machine.
        model: the compiled network, for `save`.
        steps: (layer or operator, kernel or kind, seconds) of each step within a call of the
            compiled network, in order; empty if unknown.
        dense_onnx: the dense network in ONNX Runtime, or None.
        left_out: why it is not there, if it was asked for; else "".
    """

    layers: Table
    dense: Latency | None
    dense_compiled: Latency | None
    compiled: Latency
    batch: int
    threads: int
    difference: float
    macs: int | None
    dense_macs: int | None
    best_rate: float
    model: CompiledModel
    steps: tuple[tuple[str, str, float], ...] = ()
    dense_onnx: Latency | None = None
    left_out: str = ""

    @property
    def networks(self) -> dict[str, Latency]:
        """What was timed as a whole, by name."""
        timed = {
            "dense, torch": self.dense,
            "dense, ONNX Runtime": self.dense_onnx,
            "dense, compiled": self.dense_compiled,
            "as it is, compiled": self.compiled,
        }
        return {name: latency for name, latency in timed.items() if latency is not None}

    def table(self) -> Table:
        """The whole network: milliseconds, spread, speed-ups over the dense network, and rates.

        "speed-up" is over torch, "over ORT" over ONNX Runtime, where that was timed.
        "GFLOP/s" counts two operations per multiply-add of a live weight, "as dense" those of the
        dense network in the same time; "% of best" is the first relative to torch's matrix product.
        """
        onnx = self.dense_onnx
        rows = [
            (
                name,
                *self._times(t),
                *([] if onnx is None else [onnx.median / t.median]),
                *self._rates(self._macs_of(t), t.median),
            )
            for name, t in self.networks.items()
        ]
        left_out = [f"ONNX Runtime left out: {self.left_out}"] if self.left_out else []
        notes = (
            f"batch {self.batch}, {counted(self.threads, 'thread')}, median and deciles of "
            f"{counted(self.compiled.passes, 'pass', 'passes')} in turns; outputs differ "
            f"by {self.difference:.1e}",
            f"best: torch's matrix product, {2e-9 * self.best_rate:.0f} GFLOP/s; Winograd kernels "
            "need fewer operations than are counted",
            *left_out,
        )
        over = [] if onnx is None else ["over ORT"]
        times = ("network", "ms", "low", "high", "speed-up", *over)
        return Table((*times, "GFLOP/s", "as dense", "% of best"), tuple(rows), notes=notes)

    def _macs_of(self, t: Latency) -> int | None:
        return self.macs if t is self.compiled else self.dense_macs

    def _times(self, t: Latency) -> tuple[float, float, float, float | None]:
        speed_up = None if self.dense is None else self.dense.median / t.median
        return 1e3 * t.median, 1e3 * t.low, 1e3 * t.high, speed_up

    def _rates(self, macs: int | None, seconds: float) -> tuple[float | None, ...]:
        if macs is None or self.dense_macs is None:
            return None, None, None
        live, dense = macs / seconds, self.dense_macs / seconds
        return 2e-9 * live, 2e-9 * dense, 100 * live / self.best_rate

    def why(self) -> str:
        """One paragraph: where the time is spent, and what would help."""
        # A layer whose kernel was prescribed was not timed.
        timed = [row for row in self.layers.rows if row[5] is not None]
        rows = sorted(timed, key=lambda row: -row[5])
        total = sum(row[5] for row in rows) or 1.0
        network = 1e3 * self.compiled.median
        first = ", ".join(f"{row[0]} ({row[5] / total:.0%})" for row in rows[:3])
        text = [
            f"One call takes {network:.2f} ms."
            + (f" Most of the layers' time is spent in {first}." if first else "")
        ]
        if self.dense is not None and self.dense_compiled is not None:
            text.append(
                "Compiling alone, with all weights live, gives a speed-up of "
                f"{self.dense.median / self.dense_compiled.median:.1f}x."
            )
        dense = sum(row[5] for row in rows if row[3] > 0.9)
        if dense > 0.2 * total:
            text.append(
                f"{dense / total:.0%} of the layers' time is spent in dense layers: make them "
                "sparse too, or narrower."
            )
        poor = [row for row in rows if row[3] <= 0.9 and row[7] < 0.5 / row[3]]
        slow = sum(row[5] for row in poor)
        if slow > 0.2 * total:
            text.append(
                f"{slow / total:.0%} is spent in sparse layers whose speed-up is less than half of "
                f"1 / density ({', '.join(row[0] for row in poor[:3])}): small feature maps and "
                "few channels give kernels little work; block patterns or a larger batch help."
            )
        if self.steps:
            text += self._whole_and_parts(sum(row[5] for row in rows))
        elif network > 1.5 * total:
            text.append(
                f"{1 - total / network:.0%} of the time is outside the layers: pooling, sums and "
                "operators left to torch (see the notes below the table)."
            )
        return " ".join(text)

    def _whole_and_parts(self, alone: float) -> Iterator[str]:
        """Why the whole differs from the sum of its parts, `alone` milliseconds."""
        kernels = set(self.layers.column("kernel"))
        spent = dict.fromkeys(("layers", "left", "other"), 0.0)
        for _, kind, seconds in self.steps:
            part = "layers" if kind in kernels else "left" if kind == "fallback" else "other"
            spent[part] += 1e3 * seconds
        if alone:
            yield (
                f"The layers sum up to {alone:.2f} ms, each timed alone, again and again on the "
                f"same numbers, which are then in cache; within a call they take "
                f"{spent['layers']:.2f} ms."
            )
        else:
            yield f"Within a call the layers take {spent['layers']:.2f} ms."
        rest = 1e3 * self.compiled.median - sum(spent.values())
        parts = [
            f"{milliseconds:.2f} ms {what}"
            for milliseconds, what in (
                (spent["other"], "for pooling, sums and other operators with kernels"),
                (spent["left"], "for operators left to torch"),
                (max(rest, 0.0), "between the steps: checks, memory and the call itself"),
            )
            if milliseconds >= 0.005
        ]
        if parts:
            yield f"To these come {', '.join(parts)}."

    def to_json(self, path: str | os.PathLike[str]) -> None:
        """Write every measured number to `path`, for `openwork.report.html`.

        Raises:
            OpenworkError: `path` cannot be written; an earlier file there is unharmed.
        """
        names = ("ms", "low", "high", "speed_up")
        networks = [
            {"name": name, **dict(zip(names, self._times(t), strict=True))}
            for name, t in self.networks.items()
        ]
        held = {
            "batch": self.batch,
            "threads": self.threads,
            "networks": networks,
            "layers": self.layers.plain(),
            "steps": [list(step) for step in self.steps],
            "difference": self.difference,
            "why": self.why(),
        }
        write_json(path, held)

    def picture(self, path: str | os.PathLike[str]) -> None:
        """Write a picture (PNG) to `path`: each layer's time, and torch's for the dense layer.

        Raises:
            OpenworkError: `path` cannot be written.
        """
        from matplotlib.figure import Figure

        names = [visible(row[0]) for row in self.layers.rows][::-1]
        places = range(len(names))
        figure = Figure(figsize=(9, 1.5 + 0.28 * len(names)), layout="constrained")
        axes = figure.add_subplot()
        for column, height, color in ((6, 0.8, "#cfd8dc"), (5, 0.45, "#1b4965")):
            axes.barh(places, [r[column] or 0 for r in self.layers.rows][::-1], height, color=color)
        axes.set_yticks(places, names, fontsize=8, parse_math=False)
        axes.set_xlabel("ms (grey: torch, dense; blue: the chosen kernel)")
        axes.margins(y=0.01)
        what = f"{1e3 * self.compiled.median:.2f} ms"
        if self.dense is not None:
            what = f"{self.dense.median / self.compiled.median:.1f}x over dense torch"
        axes.set_title(f"{what}, batch {self.batch}, {counted(self.threads, 'thread')}")
        with writing(path), atomic_path(path) as temporary:
            figure.savefig(temporary, format="png", dpi=110)


def benchmark(
    model: nn.Module, example: torch.Tensor, *, passes: int = 50, onnx_runtime: bool = False
) -> Benchmark:
    """Compile `model` and its dense counterpart, and time all of them in turns.

    Args:
        model: a network on the CPU; it is not changed. One that is compiled already is timed alone,
            and its layers have the times of when their kernels were chosen.
        example: images `(batch, C, H, W)`, float32.
        passes: timed forward passes of each network, default 50.
        onnx_runtime: also time the dense network in ONNX Runtime, with as many threads; default
            False. Where that cannot be, `left_out` of the result says why.

    Raises:
        CaptureError, VerificationError: as for `openwork.compile`.
    """
    check_model(model)
    if isinstance(model, CompiledModel):
        return _of_compiled(model, example, passes)
    dense = _all_live_(densify_(copied(model)).eval())
    compiled, dense_compiled = compile(model, example), compile(dense, example)
    models: list[nn.Module] = [dense, dense_compiled, compiled]
    left_out = ""
    if onnx_runtime:
        try:
            models.append(_in_onnx_runtime(dense, example))
        except OpenworkError as error:
            left_out = str(error)
    plain, plain_compiled, fast, *onnx = measure_latency(models, example, passes=passes)
    return Benchmark(
        layers=compiled.layers,
        dense=plain,
        dense_compiled=plain_compiled,
        compiled=fast,
        batch=len(example),
        threads=torch.get_num_threads(),
        difference=compiled.difference,
        macs=len(example) * sum(count_macs(model, example[:1]).values()),
        dense_macs=len(example) * sum(count_macs(dense, example[:1]).values()),
        best_rate=best_rate(),
        model=compiled,
        steps=_steps(compiled, example, passes),
        dense_onnx=onnx[0] if onnx else None,
        left_out=left_out,
    )


@torch.no_grad()
def _all_live_(dense: nn.Module) -> nn.Module:
    """Fill in dead weights: `compile` would skip them, and time a sparse network as the dense one.

    The values are small, so that activations stay as they are, roughly.
    """
    draw = torch.Generator().manual_seed(0)
    for layer in dense.modules():
        if isinstance(layer, Dense):
            filled = 1e-3 * torch.randn(layer.weight.shape, generator=draw)
            layer.weight.copy_(torch.where(layer.weight == 0, filled, layer.weight))
    return dense


def _in_onnx_runtime(dense: nn.Module, example: torch.Tensor) -> OnnxRuntime:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "dense.onnx"
        export_onnx(dense, example, path)
        return OnnxRuntime(path.read_bytes())


def _of_compiled(model: CompiledModel, example: torch.Tensor, passes: int) -> Benchmark:
    (fast,) = measure_latency([model], example, passes=passes)
    return Benchmark(
        layers=model.layers,
        dense=None,
        dense_compiled=None,
        compiled=fast,
        batch=len(example),
        threads=torch.get_num_threads(),
        difference=model.difference,
        macs=None,
        dense_macs=None,
        best_rate=best_rate(),
        model=model,
        steps=_steps(model, example, passes),
    )


def _steps(
    model: CompiledModel, example: torch.Tensor, passes: int
) -> tuple[tuple[str, str, float], ...]:
    """The median of each step within a call, over at most 20 calls."""
    calls = [model.step_times(example) for _ in range(min(passes, 20))]
    return tuple(
        (turns[0][0], turns[0][1], statistics.median(seconds for _, _, seconds in turns))
        for turns in zip(*calls, strict=True)
    )
