"""`CompiledModel`: a network that runs on the fast kernels."""

import copy
import inspect
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NoReturn, final

import numpy as np
import torch
from torch import nn

from openwork._call import check_dense
from openwork._nested import nest
from openwork.capture import BatchSizes
from openwork.capture.call_form import CallForm
from openwork.engine.segment import Environment, Segment
from openwork.engine.sizes import SizeCache
from openwork.engine.snapshot import Snapshot
from openwork.engine.tracing import refuse, refuse_tracing
from openwork.errors import ArgumentError
from openwork.nn import Table
from openwork.runtime.graph import Graph
from openwork.runtime.network import map_sizes
from openwork.runtime.values import Alias, Value, root


@final
class CompiledModel(nn.Module):
    """What `openwork.compile` gives: call it as you would the original, in evaluation mode.

    It takes the original's inputs on the CPU, `(batch, ...)` each, by position or by name and
    nested as in the example, and returns the original's outputs, nested in the same way: named
    tuples, dataclasses and dict subclasses too. Arguments other than tensors must be equal to the
    example's. Where the example is float32, float16 and bfloat16 inputs are taken too: they are
    widened to float32, which loses nothing, and the outputs are float32. Memory formats, such as
    channels last, do not matter.

    Several threads may call one compiled model at once. It has no parameters and does not train.
    `openwork.save` keeps it with the kernels chosen; a loaded one measures nothing on the same CPU.
    A copy shares what runs; pickle keeps what a file would.

    Attributes:
        layers: what runs each layer and how long it took when it was chosen.
        difference: largest difference from the original, relative to its largest output.
    """

    sealed = "is compiled"

    def __init__(
        self,
        graph: Graph,
        segments: Sequence[Segment],
        nesting: Any,
        form: CallForm,
        batches: BatchSizes,
        layers: Table,
        snapshot: Snapshot,
    ) -> None:
        super().__init__()
        self._inputs = graph.inputs
        self._results = graph.results
        self._steps = _with_last_reads(segments, graph.outputs)
        self._nesting, self._form = nesting, form
        self._batches = batches
        self._snapshot = snapshot
        self._sizes: SizeCache[CompiledModel] | None = None
        self.layers = layers
        self.difference = float("nan")

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        if torch.compiler.is_dynamo_compiling() and not torch.compiler.is_exporting():
            # As a decorator it would cost every import of this file 1.5 s.
            run: Any = torch.compiler.disable(self._call)
            return run(args, kwargs)
        return self._call(args, kwargs)

    @property
    def __signature__(self) -> inspect.Signature:
        return self._form.signature

    def __prepare_scriptable__(self) -> NoReturn:
        # torch.jit.script asks each module for this.
        refuse("torch.jit.script")

    def extra_repr(self) -> str:
        shapes = (f"({', '.join(['N', *map(str, value.shape)])})" for value in self._inputs)
        inputs = (f"{v.name} {shape}" for v, shape in zip(self._inputs, shapes, strict=True))
        kernels = Counter(str(kernel) for kernel in self.layers.column("kernel"))
        chosen = ", ".join(f"{count} x {name}" for name, count in kernels.most_common())
        left = sum(kind == "fallback" for each, _ in self._steps for _, kind in each.steps)
        others = "" if self._sizes is None else f"{self._served()}; "
        return (
            f"{', '.join(inputs)}; {others}{self._batches.limits or 'any batch size'}; "
            f"{len(self.layers.rows)} layers: {chosen or 'none'}; operators left to torch: {left}"
        )

    def __copy__(self) -> "CompiledModel":
        return self.__deepcopy__({})

    def __deepcopy__(self, memo: dict[int, Any]) -> "CompiledModel":
        # What runs is never written to, and several networks may run it at once.
        shared = {id(item): item for name, item in vars(self).items() if name in _SHARED}
        twin = memo[id(self)] = object.__new__(CompiledModel)
        twin.__dict__.update(copy.deepcopy(vars(self), {**shared, **memo}))
        return twin

    def step_times(self, *args: Any, **kwargs: Any) -> list[tuple[str, str, float]]:
        """What each step of one call takes, in order: (layer or operator, kernel, seconds).

        Steps are timed inside the call, so caches are as the step before left them.
        For a step that is not a layer, the kernel is its kind; "fallback" is an operator that torch
        runs.

        Args:
            args, kwargs: as for a call; tensors `(batch, ...)`.
        """
        model, inputs = self._prepared(args, kwargs)
        times = [np.zeros(len(segment.steps)) for segment, _ in model._steps]
        model._run(inputs, times)
        # Convolutions run in the order in which the table lists them.
        kernels = iter(model.layers.column("kernel"))
        return [
            (name, next(kernels) if kind in _LAYERS else kind, float(seconds))
            for (segment, _), own in zip(model._steps, times, strict=True)
            for (name, kind), seconds in zip(segment.steps, own, strict=True)
        ]

    def _call(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        model, inputs = self._prepared(args, kwargs)
        return model._run(inputs)

    @torch.no_grad()
    def _prepared(
        self, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> "tuple[CompiledModel, Sequence[torch.Tensor]]":
        """What runs a call, and its inputs."""
        refuse_tracing(args, kwargs)
        inputs = self._inputs_of(args, kwargs)
        return self._of_size(inputs), inputs

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
        return nest(self._nesting, leaves.__getitem__)

    def _inputs_of(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Sequence[torch.Tensor]:
        """The inputs of a call, of the types of the example's."""
        inputs = self._form.tensors(args, kwargs)
        self._check_kinds(inputs)
        pairs = list(zip(inputs, self._form.dtypes, strict=True))
        same = all(tensor.dtype == dtype for tensor, dtype in pairs)
        return inputs if same else [tensor.to(dtype) for tensor, dtype in pairs]

    def _of_size(self, inputs: Sequence[torch.Tensor]) -> "CompiledModel":
        """What runs inputs of such sizes: this, or the same network compiled for another size."""
        if self._sizes is None or not len(inputs):
            return self
        other = False
        for tensor, value in zip(inputs, self._inputs, strict=True):
            shape = tuple(tensor.shape[1:])
            if not tensor.dim() or len(tensor) != len(inputs[0]) or not len(tensor):
                return self
            if shape != value.shape:
                if len(shape) != 3 or shape[:1] != value.shape[:1] or 0 in shape:
                    return self
                other = True
        return (self._sizes.at(inputs) or self) if other else self

    def serve(self, sizes: "SizeCache[CompiledModel]") -> None:
        """Take images of other sizes from now on.

        Args:
            sizes: the network compiled for them; this one is among those known.
        """
        self._sizes = sizes

    @property
    def models(self) -> "list[CompiledModel]":
        """The network compiled for each size that is there now, this one first."""
        others = [] if self._sizes is None else self._sizes.models()
        return [self, *(model for model in others if model is not self)]

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """(height, width) of the images for which kernels and memory are laid out now.

        That is: of the first input that is a batch of maps; empty if there is none. With
        `sizes="any"` more are added as images of other sizes come.
        """
        return map_sizes(each.shapes for each in self.models)

    def _served(self) -> str:
        """The sizes of images that are taken, in words."""
        if self._sizes is not None and self._sizes.open:
            return "any size"
        return f"sizes {', '.join(f'{height}x{width}' for height, width in self.sizes)}"

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

    def _check_kinds(self, inputs: Sequence[Any]) -> None:
        """Require as many tensors as there are inputs, of types that they take, on the CPU."""
        if len(inputs) != len(self._inputs):
            raise ArgumentError(
                f"the network takes {len(self._inputs)} tensors, but {len(inputs)} were given"
            )
        for tensor, value, dtype in zip(inputs, self._inputs, self._form.dtypes, strict=True):
            if not isinstance(tensor, torch.Tensor):
                raise ArgumentError(
                    f"`{value.name}` is a {type(tensor).__name__}, but must be a tensor"
                )
            if tensor.is_nested or tensor.layout != torch.strided:
                check_dense(tensor, value.name)
            taken = tensor.dtype == dtype or (dtype == torch.float32 and tensor.dtype in _WIDENED)
            if not taken or tensor.device.type != "cpu":
                raise ArgumentError(
                    f"`{value.name}` is {tensor.dtype} on {tensor.device}, but a compiled network "
                    f"takes {str(dtype).removeprefix('torch.')} on the CPU"
                )

    def _check(self, inputs: Sequence[torch.Tensor]) -> int:
        for tensor, value in zip(inputs, self._inputs, strict=True):
            if not tensor.dim() or tuple(tensor.shape[1:]) != value.shape:
                way = "compile it for this size"
                if self._sizes is not None and self._sizes.open:
                    way = "only height and width may differ"
                elif self._sizes is not None:
                    way = f"it takes {self._served()}; compile it with this size among `sizes`"
                raise ArgumentError(f"{self._other(tensor, value)}; {way}")
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


def widened(tensor: torch.Tensor) -> torch.Tensor:
    """`tensor`, as float32 if its numbers are shorter floats."""
    return tensor.float() if tensor.dtype in _WIDENED else tensor


# Kinds of steps that the table lists.
_LAYERS = ("conv", "byteconv")
# What float32 inputs are made of without a loss.
_WIDENED = (torch.float16, torch.bfloat16)
_SHARED = {"_sizes", "_inputs", "_results", "_steps", "_nesting", "_form", "_snapshot"}


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
