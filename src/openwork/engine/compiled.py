"""`CompiledModel`: a network that runs on the fast kernels."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NoReturn, final

import numpy as np
import torch
from torch import nn
from torch.utils import _pytree

from openwork.capture import BatchSizes
from openwork.engine.segment import Environment, Segment
from openwork.engine.snapshot import Snapshot
from openwork.errors import ArgumentError
from openwork.nn import Table
from openwork.runtime.graph import Graph
from openwork.runtime.values import Alias, Value, root


@final
class CompiledModel(nn.Module):
    """What `openwork.compile` gives: call it as you would the original, in evaluation mode.

    It takes the original's inputs, `(batch, ...)` float32 on the CPU, and returns the original's
    outputs, nested in the same way.

    Several threads may call one compiled model at once. It has no parameters and does not train.
    `openwork.save` keeps it with the kernels chosen; a loaded one measures nothing on the same CPU.
    A copy shares what runs; pickle keeps what a file would.

    Attributes:
        layers: what runs each layer and how long it took when it was chosen.
        difference: largest difference from the original, relative to its largest output.
    """

    def __init__(
        self,
        graph: Graph,
        segments: Sequence[Segment],
        out_spec: Any,
        batches: BatchSizes,
        layers: Table,
        snapshot: Snapshot,
    ) -> None:
        super().__init__()
        self._inputs = graph.inputs
        self._results = graph.results
        self._steps = _with_last_reads(segments, graph.outputs)
        self._out_spec = out_spec
        self._batches = batches
        self._snapshot = snapshot
        self.layers = layers
        self.difference = float("nan")

    def forward(self, *inputs: torch.Tensor) -> Any:
        if torch.compiler.is_dynamo_compiling():
            # As a decorator it would cost every import of this file 1.5 s.
            run: Any = torch.compiler.disable(self._run)
            return run(inputs)
        return self._run(inputs)

    def __copy__(self) -> "CompiledModel":
        return self.__deepcopy__({})

    def __deepcopy__(self, memo: dict[int, Any]) -> "CompiledModel":
        # What runs is never written to, and several networks may run it at once.
        shared = {id(item): item for name, item in vars(self).items() if name in _SHARED}
        twin = memo[id(self)] = object.__new__(CompiledModel)
        twin.__dict__.update(copy.deepcopy(vars(self), {**shared, **memo}))
        return twin

    def step_times(self, *inputs: torch.Tensor) -> list[tuple[str, str, float]]:
        """What each step of one call takes, in order: (layer or operator, kernel, seconds).

        Steps are timed inside the call, so caches are as the step before left them.
        For a step that is not a layer, the kernel is its kind; "fallback" is an operator that torch
        runs.

        Args:
            inputs: as for a call.
        """
        times = [np.zeros(len(segment.steps)) for segment, _ in self._steps]
        self._run(inputs, times)
        # Convolutions run in the order in which the table lists them.
        kernels = iter(self.layers.column("kernel"))
        return [
            (name, next(kernels) if kind == "conv" else kind, float(seconds))
            for (segment, _), own in zip(self._steps, times, strict=True)
            for (name, kind), seconds in zip(segment.steps, own, strict=True)
        ]

    @torch.no_grad()
    def _run(
        self, inputs: Sequence[torch.Tensor], times: Sequence[np.ndarray] | None = None
    ) -> Any:
        batch = self._check(inputs)
        if torch.is_autocast_enabled("cpu"):
            # The kernels are float32, so what lies between them must be as well.
            with torch.autocast("cpu", enabled=False):
                return self._run(inputs, times)
        threads = torch.get_num_threads()
        tensors: Environment = dict(zip(self._inputs, inputs, strict=True))
        for index, (segment, finished) in enumerate(self._steps):
            segment.run(tensors, batch, threads, None if times is None else times[index])
            for value in finished:
                del tensors[value]
        leaves = [_shaped(tensors, result, batch) for result in self._results]
        return _pytree.tree_unflatten(leaves, self._out_spec)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name of each input -> the shape of one image, such as `(channels, height, width)`."""
        return {value.name: value.shape for value in self._inputs}

    @property
    def batch(self) -> int | None:
        """The only batch size that may be given; None for any."""
        return self._batches.only

    @property
    def batches(self) -> BatchSizes:
        """The batch sizes that may be given."""
        return self._batches

    def limit(self, batches: BatchSizes, why: str) -> None:
        """Refuse other batches than `batches` from now on, and add `why` to the notes."""
        self._batches = batches
        self.layers = replace(self.layers, notes=(*self.layers.notes, why))

    @property
    def snapshot(self) -> Snapshot:
        """The network as a file holds it."""
        return self._snapshot

    def _check(self, inputs: Sequence[torch.Tensor]) -> int:
        if len(inputs) != len(self._inputs):
            raise ArgumentError(
                f"the network takes {len(self._inputs)} tensors, but {len(inputs)} were given"
            )
        for tensor, value in zip(inputs, self._inputs, strict=True):
            if not isinstance(tensor, torch.Tensor):
                raise ArgumentError(
                    f"`{value.name}` is a {type(tensor).__name__}, but must be a tensor"
                )
            if not tensor.dim() or tuple(tensor.shape[1:]) != value.shape:
                raise ArgumentError(f"{self._other(tensor, value)}; compile it for this size")
            if tensor.dtype != torch.float32 or tensor.device.type != "cpu":
                raise ArgumentError(
                    f"`{value.name}` is {tensor.dtype} on {tensor.device}, but a compiled network "
                    "takes float32 on the CPU"
                )
        batch = len(inputs[0]) if inputs else 0
        for tensor, value in zip(inputs, self._inputs, strict=True):
            if len(tensor) != batch:
                raise ArgumentError(
                    f"`{value.name}` holds {len(tensor)} images, but `{self._inputs[0].name}` "
                    f"holds {batch}; the inputs of one call must be batches of one size"
                )
        if batch not in self._batches:
            self._refuse(inputs[0], batch)
        return batch

    def _refuse(self, input: torch.Tensor, batch: int) -> NoReturn:
        """Raise the error for a batch of `batch` images."""
        if batch < 1:
            raise ArgumentError(f"`{self._inputs[0].name}` holds no images; give at least one")
        unmet = self._batches.unmet(batch)
        why = "" if unmet is None else f" where {unmet}"
        raise ArgumentError(
            f"{self._other(input, self._inputs[0])}{why}: other batches may take a different code "
            "path; give such a batch, or compile it with an example of this size"
        )

    def _other(self, tensor: torch.Tensor, value: Value) -> str:
        shape = ", ".join([str(self._batches), *map(str, value.shape)])
        return (
            f"`{value.name}` has shape {tuple(tensor.shape)}, but the network was compiled for "
            f"({shape})"
        )


_SHARED = {"_inputs", "_results", "_steps", "_out_spec", "_snapshot"}


def _with_last_reads(
    segments: Sequence[Segment], outputs: Sequence[Value]
) -> list[tuple[Segment, list[Value]]]:
    """Each segment, and the values that nothing after it reads."""
    later = {root(value) for value in outputs}
    steps: list[tuple[Segment, list[Value]]] = []
    for segment in reversed(segments):
        finished = list(dict.fromkeys(value for value in segment.reads if value not in later))
        later.update(finished)
        steps.append((segment, finished))
    return steps[::-1]


def _shaped(tensors: Environment, result: Any, batch: int) -> Any:
    if not isinstance(result, Value):
        # The caller may write to a constant.
        return result.clone() if isinstance(result, torch.Tensor) else result
    tensor = tensors[root(result)]
    return tensor.reshape(batch, *result.shape) if isinstance(result, Alias) else tensor
