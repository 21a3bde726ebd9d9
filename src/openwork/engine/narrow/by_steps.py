"""Whether a network of bytes is the original: value by value, each on the original's own bytes.

Two correct runs of a quantised network drift apart: where sums round differently, one number in
some thousands is a byte larger or smaller, each layer makes more of them, and after ten layers the
outputs differ by as much as quantisation itself costs. No tolerance of outputs tells that from a
fault. So the steps run one by one. Where the original has bytes, those of the step must be the
original's numbers, rounded: nearly half a step away at most. Then the next step is given the
original's bytes. Floats must be within the tolerance. At last the whole program must give exactly
what its steps give one by one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.fx import Node as FxNode
from torch.fx.node import map_arg

from openwork._call import as_call
from openwork.capture import Captured
from openwork.engine.compiled import CompiledModel
from openwork.engine.lower.context import Lowering
from openwork.engine.lower.quantised import Bytes, form_of
from openwork.engine.runners import Runners
from openwork.engine.segment import Environment, Segment
from openwork.engine.segments import segments
from openwork.errors import VerificationError
from openwork.runtime.graph import Graph
from openwork.runtime.values import Value, root
from openwork.verify import Inputs, OutputDifference, largest_difference, outputs

# Steps of the scale, beyond the half that rounding takes. Sums in another order are some 0.001 off,
# and those of Winograd, which a float32 layer may run on, 0.003.
_SLACK = 0.02


@dataclass(frozen=True, eq=False)
class _Narrow:
    """What the original makes bytes of, `(N, ...)`, the bytes, and how they hold the numbers."""

    numbers: torch.Tensor
    bytes: torch.Tensor
    form: Bytes


class BySteps:
    """A compiled network of bytes, step by step.

    Args:
        captured: the original.
        known: what its exported nodes became.
        graph: the compiled network.
        runners: what runs its convolutions.
        isa: instruction set.
    """

    def __init__(
        self, captured: Captured, known: Lowering, graph: Graph, runners: Runners, isa: str
    ) -> None:
        self._captured, self._known, self._graph = captured, known, graph
        self._steps: list[tuple[Segment, Value]] = []
        for node in graph.nodes:
            alone = Graph(node.inputs, [node.output], [node])
            (segment,) = segments(alone, runners, isa)
            self._steps.append((segment, root(node.output)))

    @torch.no_grad()
    def compare(
        self, model: nn.Module, compiled: CompiledModel, inputs: Inputs, tolerance: float
    ) -> OutputDifference:
        """How far results are apart whose steps are given the original's bytes.

        Args:
            model: the original, in evaluation mode.
            compiled: the network of the same graph.
            inputs: tensors `(N, ...)` of one call.
            tolerance: what the difference may be at most.

        Raises:
            VerificationError: bytes are not the original's numbers, rounded, or the network gives
                other results than its steps.
        """
        call = as_call(inputs)
        given = list(self._captured.form.tensors(call.args, call.kwargs))
        bytes_of, expected = self._original(given)
        found = self._run(given, bytes_of)
        alone = self._run(given, {})
        whole = outputs(compiled, inputs)
        self._check_whole(whole, alone)
        computed = [each for each in outputs(model, inputs) if isinstance(each, torch.Tensor)]
        pairs = (computed[: len(expected)], expected), (expected, found)
        absolute, relative = max(largest_difference(*pair) for pair in pairs)
        kept = inputs if relative > tolerance else ()
        shape = tuple(inputs[0].shape)
        return OutputDifference("given", shape, absolute, relative, None, kept)

    def _original(self, given: Sequence[torch.Tensor]) -> tuple[dict[Value, _Narrow], list[Any]]:
        """The original's bytes, and its results, as torch computes them."""
        constants, values = self._known.constants, self._known.bytes
        bytes_of: dict[Value, _Narrow] = {}
        results: dict[FxNode, Any] = {}
        left = iter(given)
        for fx in self._captured.program.graph.nodes:
            if fx.name in constants:
                results[fx] = constants[fx.name]
            elif fx.op == "placeholder":
                results[fx] = next(left)
            elif fx.op == "call_function":
                args, kwargs = map_arg((fx.args, fx.kwargs), results.__getitem__)
                results[fx] = fx.target(*args, **kwargs)
                if fx in values:
                    order = self._known.orders[fx]
                    numbers, held = (_in_order(results[n], order) for n in (fx.args[0], fx))
                    bytes_of[values[fx]] = _Narrow(numbers, held, form_of(fx))
        return bytes_of, self._outputs(results)

    def _outputs(self, results: Mapping[FxNode, Any]) -> list[Any]:
        (output,) = (fx for fx in self._captured.program.graph.nodes if fx.op == "output")
        leaves = [leaf for leaf in output.args[0] if isinstance(leaf, FxNode)]
        return [results[leaf] for leaf in leaves if leaf in self._known.values]

    def _run(
        self, given: Sequence[torch.Tensor], original: Mapping[Value, _Narrow]
    ) -> list[torch.Tensor]:
        """The results of the steps one by one, which continue with the original's bytes."""
        batch, threads = len(given[0]), torch.get_num_threads()
        tensors: Environment = dict(zip(self._graph.inputs, given, strict=True))
        for segment, value in self._steps:
            segment.run(tensors, batch, threads)
            if value in original:
                tensors[value] = _checked(value, tensors[value], original[value])
        return [tensors[root(value)].reshape(batch, *value.shape) for value in self._graph.outputs]

    def _check_whole(self, whole: Sequence[Any], alone: Sequence[torch.Tensor]) -> None:
        pairs = zip([each for each in whole if isinstance(each, torch.Tensor)], alone, strict=False)
        for one, other in pairs:
            if not torch.equal(one.nan_to_num(), other.nan_to_num()):
                raise VerificationError(
                    "the compiled network gives other numbers than its steps one by one; the "
                    "original is unchanged"
                )


def _in_order(tensor: torch.Tensor, order: tuple[int, ...]) -> torch.Tensor:
    """The tensor with its axes as memory has them."""
    return tensor.permute(0, *(1 + order.index(axis) for axis in range(len(order)))).contiguous()


def _checked(value: Value, found: torch.Tensor, original: _Narrow) -> torch.Tensor:
    """The original's bytes as the engine holds them.

    Raises:
        VerificationError: those that were found are others.
    """
    form, images = original.form, len(found)
    wanted = original.bytes.numpy().reshape(images, -1)
    if wanted.dtype == np.int8:
        wanted = (wanted.astype(np.int16) + 128).astype(np.uint8)
    count = wanted.shape[1]
    own = found.numpy().reshape(images, -1).view(np.uint8)[:, :count]
    exact = original.numbers.double().numpy().reshape(images, -1) / form.scale + form.zero
    off = np.abs(own - exact.clip(form.least, form.most))
    wrong = int(np.count_nonzero(off > 0.5 + _SLACK))
    if wrong:
        raise VerificationError(
            f"{wrong} of {off.size} int8 numbers of {value.name!r} are not the original's, "
            f"rounded: one is {off.max():.2f} steps away. The original is unchanged"
        )
    padded = np.pad(wanted, ((0, 0), (0, -count % 4)))
    return torch.from_numpy(padded.view(np.float32)).reshape(found.shape)
