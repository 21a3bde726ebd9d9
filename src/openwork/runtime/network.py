"""`Network`: a compiled network that runs without torch."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn, cast, final

import numpy as np

from openwork._nested import nest
from openwork.errors import ArgumentError
from openwork.runtime.batch_sizes import BatchSizes
from openwork.runtime.graph import Graph
from openwork.runtime.memory import empty_floats
from openwork.runtime.program import Runs
from openwork.runtime.values import Value, root

__all__ = ["map_sizes"]


@final
class Network:
    """What `openwork.runtime.load` gives: call it with arrays.

    Several threads may call one network at once.

    Attributes:
        shapes: name of each input -> the shape of one image, such as `(channels, height, width)`.
        kernels: what runs each layer: (layer, kernel), in the order in which they run.
        batches: the batch sizes that it takes.
        metrics: what the file says of the network: mean and deviation of its images, names of its
            classes, and whatever else `openwork.save` was given.
        threads: of the OpenMP pool that a call uses; may be set.
    """

    def __init__(
        self,
        graph: Graph,
        program: Runs | None,
        nesting: Any,
        batches: BatchSizes,
        kernels: Sequence[tuple[str, str]],
        threads: int,
        metrics: Mapping[str, Any] | None = None,
    ) -> None:
        self._inputs = graph.inputs
        self._results = graph.results
        self._program = program
        self._nesting = nesting
        self.shapes = {value.name: value.shape for value in graph.inputs}
        self.kernels = tuple(kernels)
        self.batches = batches
        self.metrics = dict(metrics or {})
        self.threads = threads
        self._others: dict[tuple[tuple[int, ...], ...], Network] = {}

    def with_sizes(self, others: "Sequence[Network]") -> "Network":
        """This network, which now takes images of other sizes too.

        Args:
            others: the same network for them.
        """
        self._others = {tuple(other.shapes.values()): other for other in others}
        return self

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """(height, width) of the images that it takes, of the first input that has both."""
        return map_sizes(each.shapes for each in (self, *self._others.values()))

    def __repr__(self) -> str:
        inputs = ", ".join(f"{name}: {self._shape(shape)}" for name, shape in self.shapes.items())
        return f"Network({inputs})"

    def __call__(self, *inputs: np.ndarray, **named: np.ndarray) -> Any:
        """The network's results for a batch.

        Args:
            inputs: `(batch, *shape)` float32 for each of `shapes`, in order, however the original's
                arguments were nested. float16 is widened to float32.
            named: those that are not in `inputs`, by their names in `shapes`.

        Returns:
            What the original network returned, nested in the same tuples, lists and dicts, with
            an array `(batch, ...)` float32 in place of each tensor. A named tuple comes as a
            tuple, a dataclass as a dict of its fields.

        Raises:
            ArgumentError: the inputs are of another number, name, type, shape or batch size.
        """
        if named:
            inputs = self._in_order(inputs, named)
        shapes = tuple(tuple(np.shape(array)[1:]) for array in inputs)
        if (other := self._others.get(shapes)) is not None:
            return other._run(inputs, self.threads)
        return self._run(inputs, self.threads)

    def _in_order(
        self, inputs: Sequence[np.ndarray], named: Mapping[str, np.ndarray]
    ) -> tuple[np.ndarray, ...]:
        names = [value.name for value in self._inputs]
        unknown = sorted(named.keys() - set(names))
        if unknown:
            raise ArgumentError(
                f"the network has no input {unknown[0]!r}; it takes {', '.join(map(repr, names))}"
            )
        double = [name for name in names[: len(inputs)] if name in named]
        if double:
            raise ArgumentError(f"`{double[0]}` is given twice, by its place and by its name")
        missing = [name for name in names[len(inputs) :] if name not in named]
        if missing:
            raise ArgumentError(
                f"`{missing[0]}` is missing; the network takes {', '.join(map(repr, names))}"
            )
        return (*inputs, *(named[name] for name in names[len(inputs) :]))

    def _run(self, inputs: Sequence[np.ndarray], threads: int) -> Any:
        inputs = [_widened(array) for array in inputs]
        batch = self._check(inputs)
        arrays: dict[Value, np.ndarray] = dict(zip(self._inputs, inputs, strict=True))
        if self._program is not None:
            outputs = [empty_floats(batch, *value.shape) for value in self._program.outputs]
            read = [np.ascontiguousarray(arrays[value]) for value in self._program.reads]
            self._program.run(read, outputs, batch, threads)
            arrays.update(zip(self._program.outputs, outputs, strict=True))

        def result(number: int) -> Any:
            item = self._results[number]
            if isinstance(item, Value):
                return arrays[root(item)].reshape(batch, *item.shape)
            # The caller may write to a constant.
            return cast(np.ndarray, item).copy() if isinstance(item, np.ndarray) else item

        return nest(self._nesting, result)

    def _check(self, inputs: Sequence[np.ndarray]) -> int:
        if len(inputs) != len(self._inputs):
            raise ArgumentError(
                f"the network takes {len(self._inputs)} arrays, but {len(inputs)} were given"
            )
        batch = 0
        for index, (array, value) in enumerate(zip(inputs, self._inputs, strict=True)):
            if not _is_float32(array):
                dtype = getattr(array, "dtype", None)
                of_numpy = isinstance(dtype, np.dtype)
                kind = f"an array of {dtype}" if of_numpy else type(array).__name__
                raise ArgumentError(
                    f"`{value.name}` is {kind}, but must be a numpy array of float32"
                )
            if not array.ndim or array.shape[1:] != value.shape:
                self._refuse_shape(array, value)
            if index and len(array) != batch:
                raise ArgumentError(
                    f"`{value.name}` holds {len(array)} images, but `{self._inputs[0].name}` "
                    f"holds {batch}; the inputs of one call must be batches of one size"
                )
            batch = len(array)
        if inputs and batch not in self.batches:
            self._refuse_batch(inputs[0], batch)
        return batch

    def _refuse_shape(self, array: np.ndarray, value: Value) -> NoReturn:
        raise ArgumentError(
            f"`{value.name}` has shape {array.shape}, but the network was compiled for "
            f"{self._shape(value.shape)}{self._also()}; compile it for this size"
        )

    def _refuse_batch(self, array: np.ndarray, batch: int) -> NoReturn:
        value = self._inputs[0]
        if batch < 1:
            raise ArgumentError(f"`{value.name}` holds no images; give at least one")
        unmet = self.batches.unmet(batch)
        where = "" if unmet is None else f" where {unmet}"
        raise ArgumentError(
            f"`{value.name}` has shape {array.shape}, but the network was compiled for "
            f"{self._shape(value.shape)}{where}; give such a batch, or compile it with an example "
            "of this size"
        )

    def _also(self) -> str:
        sizes = ", ".join(f"{height}x{width}" for height, width in self.sizes)
        return f" and saved with the sizes {sizes}" if self._others else ""

    def _shape(self, shape: tuple[int, ...]) -> str:
        return f"({', '.join([str(self.batches), *map(str, shape)])})"


def _widened(given: np.ndarray) -> np.ndarray:
    return given.astype(np.float32) if getattr(given, "dtype", None) == np.float16 else given


def _is_float32(given: object) -> bool:
    return isinstance(given, np.ndarray) and cast(np.ndarray, given).dtype == np.float32


def map_sizes(
    networks: Iterable[Mapping[str, tuple[int, ...]]],
) -> tuple[tuple[int, int], ...]:
    """(height, width) of the images that each network takes, of the first input that has both.

    Args:
        networks: for each, name of each input -> the shape of one image.
    """
    maps = [[shape for shape in each.values() if len(shape) == 3][:1] for each in networks]
    return tuple((shape[1], shape[2]) for first in maps for shape in first)
