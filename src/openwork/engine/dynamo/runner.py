"""`Runner`: what torch.compile calls in the place of a graph."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

import torch
from torch import fx
from torch._guards import tracing

from openwork.engine.compile import compile
from openwork.engine.compiled import CompiledModel
from openwork.engine.dynamo.bound import Bound, Refused
from openwork.engine.dynamo.seen_weights import SeenWeights
from openwork.engine.dynamo.trial import Restore, trial
from openwork.errors import first_line

_log = logging.getLogger("openwork.torch_compile")
_MOST_COMPILED = 8


@final
class Runner:
    """A graph compiled for the engine, and again when its weights are written to.

    Args:
        graph: what torch.compile made.
        given: what it is called with first.
        options: for `openwork.compile`.

    Raises:
        Refused: the graph does not run on the engine.
        OpenworkError: it cannot be compiled.
    """

    def __init__(
        self, graph: fx.GraphModule, given: Sequence[Any], options: Mapping[str, Any]
    ) -> None:
        self._options = options
        self._bound = Bound(graph, given)
        self._left = _MOST_COMPILED
        self._said: set[str] = set()
        self._sizes = _sizes(self._bound, given)
        self._compile(given)

    def __call__(self, *given: Any) -> Sequence[Any]:
        bound = self._bound
        if not self._weights.are(bound.weights_in(given)) and not self._again(given):
            return bound.graph(*given)
        inputs = [given[index] for index in bound.inputs]
        if inputs[0].shape[0] not in self._compiled.batches:
            self._say(f"a batch of {inputs[0].shape[0]} takes another path through the network")
            return bound.graph(*given)
        outputs = self._compiled(*inputs)
        laid_out = [put(output) for put, output in zip(self._restores, outputs, strict=True)]
        return bound.results(given, laid_out)

    def _compile(self, given: Sequence[Any]) -> None:
        self._left -= 1
        bound = self._bound
        _refuse(bound, given)
        # A context of torch.compile would give the capture its fake tensors.
        with tracing(None), torch.inference_mode(False), torch.no_grad():
            inputs = [given[index].detach().clone() for index in bound.inputs]
            bound.bind(given)
            self._restores: list[Restore] = trial(bound, inputs)
            self._compiled: CompiledModel = compile(
                bound, tuple(inputs), sizes=self._sizes, **self._options
            )
        self._weights = SeenWeights(bound.weights_in(given))

    def _again(self, given: Sequence[Any]) -> bool:
        """Whether the graph was compiled with the weights that it has now."""
        if not self._left:
            if not self._said:
                self._say(f"its weights changed {_MOST_COMPILED} times")
            return False
        try:
            self._compile(given)
        except Exception as error:
            self._left = 0
            self._say(first_line(error))
            return False
        return True

    def _say(self, reason: str) -> None:
        if reason not in self._said:
            self._said.add(reason)
            _log.warning("a graph runs in eager mode: %s", reason)


def compiled_or_reason(
    graph: fx.GraphModule, given: Sequence[Any], options: Mapping[str, Any]
) -> Callable[..., Any] | str:
    """What runs `graph` on the engine, or why it does not."""
    try:
        return Runner(graph, given, options)
    except Exception as error:
        # Nothing that happens here may keep the network from running.
        return first_line(error)


def _refuse(bound: Bound, given: Sequence[Any]) -> None:
    weights = bound.weights_in(given)
    inputs = [given[index] for index in bound.inputs]
    if not any(isinstance(weight, torch.nn.Parameter) for weight in weights):
        raise Refused("it has no weights")
    tensors = [*weights, *inputs]
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
        raise Refused("gradients may be asked for; call the network under torch.no_grad()")
    if torch.is_autocast_enabled("cpu"):
        raise Refused("autocast is on, and the kernels are float32")
    if any(weight.is_inference() for weight in weights):
        raise Refused("its weights were made in inference mode, where changes are not counted")
    for tensor in tensors:
        if tensor.device.type != "cpu":
            raise Refused(f"a tensor is on {tensor.device}, not the CPU")
        if tensor.is_floating_point() and tensor.dtype != torch.float32:
            raise Refused(f"a tensor is {tensor.dtype}, not float32")


def _sizes(bound: Bound, given: Sequence[Any]) -> str | None:
    """What `openwork.compile` is told about sizes of images.

    Raises:
        Refused: something else than the batch size, height or width varies.
    """
    varies = {axis for _, axis in bound.varies}
    maps = all(given[bound.inputs[number]].dim() == 4 for number, axis in bound.varies if axis)
    if 1 in varies or not maps:
        raise Refused("the length of an axis varies that is not the batch, height or width")
    return "any" if varies & {2, 3} else None
