"""`TrainingTimes`: what runs each sparse layer of a training step, and how long it takes."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from openwork._terminal import counted
from openwork.kernels.training.candidates import Direction
from openwork.nn.layers import by_reason
from openwork.nn.table import Table

_WORDS: dict[Direction, str] = {
    "forward": "forward",
    "input": "input's gradient",
    "weight": "weight's gradient",
}
_COLUMNS = (
    "layer",
    "weight",
    "input",
    "density",
    "direction",
    "kernel",
    "ms",
    "torch ms",
    "ratio",
)


@dataclass(frozen=True)
class LayerDirection:
    """One direction of one layer.

    Attributes:
        kernel: what runs it; "reference" is torch's dense operator on the expanded weights.
        why: why the reference runs; empty for a native kernel.
        milliseconds: of one call.
        dense_milliseconds: of torch's dense layer of the same shape.
    """

    kernel: str
    why: str
    milliseconds: float
    dense_milliseconds: float


@dataclass(frozen=True)
class LayerTimes:
    """One call of a sparse layer in a training step.

    Attributes:
        layer: qualified name; a layer that is called twice is listed twice.
        kind: "SparseConv1d", "SparseConv2d" or "SparseLinear".
        shape: of the dense weight.
        input: shape of the input `(N, ...)`.
        density: share of live weights.
        forward: the output.
        by_input, by_weight: the gradients; None where the step needs none, as for the input of the
            first layer and for frozen weights.
    """

    layer: str
    kind: str
    shape: tuple[int, ...]
    input: tuple[int, ...]
    density: float
    forward: LayerDirection
    by_input: LayerDirection | None
    by_weight: LayerDirection | None

    def directions(self) -> Iterator[tuple[Direction, LayerDirection]]:
        """Those that the step needs."""
        ways: tuple[tuple[Direction, LayerDirection | None], ...] = (
            ("forward", self.forward),
            ("input", self.by_input),
            ("weight", self.by_weight),
        )
        return ((name, way) for name, way in ways if way is not None)


@dataclass(frozen=True)
class TrainingTimes:
    """What a training step spends in its sparse layers.

    Attributes:
        layers: in the order in which they run.
        threads: number of threads.
        idle: names of the sparse layers that did not run.
    """

    layers: tuple[LayerTimes, ...]
    threads: int
    idle: tuple[str, ...] = ()

    @property
    def milliseconds(self) -> float:
        """All layers and directions together."""
        return sum(way.milliseconds for layer in self.layers for _, way in layer.directions())

    @property
    def dense_milliseconds(self) -> float:
        """The same layers dense, in torch."""
        return sum(way.dense_milliseconds for layer in self.layers for _, way in layer.directions())

    def table(self) -> Table:
        """One row per layer and direction, and the sum."""
        rows = [_row(layer, name, way) for layer in self.layers for name, way in layer.directions()]
        total = ("all", "", "", None, "", "", *_times(self.milliseconds, self.dense_milliseconds))
        notes = [
            f"{counted(self.threads, 'thread')}, median milliseconds of single calls, ours and "
            "torch's dense ones in turns"
        ]
        reasons = {
            f"{layer.layer} ({name})": way.why
            for layer in self.layers
            for name, way in layer.directions()
            if way.why
        }
        notes += [f"reference, {why}: {names}" for names, why in by_reason(reasons)]
        if self.idle:
            notes.append(f"did not run: {', '.join(self.idle)}")
        return Table(_COLUMNS, tuple(rows), total, tuple(notes))

    def __str__(self) -> str:
        return str(self.table())

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain data, for JSON."""
        return asdict(self)


def _row(layer: LayerTimes, name: Direction, way: LayerDirection) -> tuple[Any, ...]:
    weight, size = ("x".join(map(str, numbers)) for numbers in (layer.shape, layer.input))
    times = _times(way.milliseconds, way.dense_milliseconds)
    return layer.layer, weight, size, layer.density, _WORDS[name], way.kernel, *times


def _times(ours: float, dense: float) -> tuple[float, float, float | None]:
    return ours, dense, dense / ours if ours else None
