"""`Interface`: which calls a quantised network takes, and how it nests what it returns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from openwork._nested import nest
from openwork.capture import BatchSizes
from openwork.capture.call_form import CallForm
from openwork.errors import ArgumentError


@dataclass(frozen=True, eq=False)
class Interface:
    """The calls and results of the network that was quantised.

    Attributes:
        form: of its calls.
        nesting: of its results, with the number of each.
        constants: number of a result -> what it is, where it is not computed.
        batches: the batch sizes that it takes.
        shapes: of its inputs, without the batch.
        any_size: whether it takes images of other heights and widths too.
    """

    form: CallForm
    nesting: Any
    constants: Mapping[int, Any]
    batches: BatchSizes
    shapes: tuple[tuple[int, ...], ...]
    any_size: bool

    def inputs(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Sequence[torch.Tensor]:
        """The tensors of a call, `(batch, ...)`.

        Raises:
            ArgumentError: it does not take them.
        """
        inputs = self.form.tensors(args, kwargs)
        if len(inputs) != len(self.shapes):
            raise ArgumentError(
                f"the network takes {len(self.shapes)} tensors, but was given {len(inputs)}"
            )
        for index, (given, shape) in enumerate(zip(inputs, self.shapes, strict=True)):
            self._check(index, given, shape)
        return inputs

    def _check(self, index: int, given: Any, shape: tuple[int, ...]) -> None:
        dtype = self.form.dtypes[index]
        if not isinstance(given, torch.Tensor) or given.dtype != dtype:
            what = given.dtype if isinstance(given, torch.Tensor) else type(given).__name__
            raise ArgumentError(f"input {index} is {what}, but must be a tensor of {dtype}")
        # Sizes are symbols while torch exports the network.
        fixed = shape[:1] if self.any_size else shape
        found = tuple(given.shape[1 : 1 + len(fixed)])
        if given.dim() != 1 + len(shape) or found != fixed:
            wanted = ", ".join(["batch", *map(str, shape)])
            raise ArgumentError(
                f"input {index} has shape {tuple(given.shape)}, but must have ({wanted}); quantise "
                "the network again with batches of this size"
            )
        size = given.shape[0]
        if isinstance(size, int) and size not in self.batches:
            raise ArgumentError(
                f"input {index} has a batch of {size}, but the network {self.batches.limits}"
            )

    def results(self, leaves: Sequence[Any]) -> Any:
        """Results `(batch, ...)` nested as the original nests them."""
        held = self.constants
        return nest(self.nesting, lambda n: held[n] if n in held else leaves[n])
