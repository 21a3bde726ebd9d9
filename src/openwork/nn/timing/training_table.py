"""`training_table`: run a network once, and time each direction of its sparse layers."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from openwork._call import call_of
from openwork._unchanged import unchanged
from openwork._unwrap import unwrapped
from openwork.errors import ArgumentError, OpenworkError, first_line
from openwork.kernels.training.candidates import Direction
from openwork.nn.layers import sparse_layers
from openwork.nn.sparse_layer import SparseLayer
from openwork.nn.timing.training_times import LayerDirection, LayerTimes, TrainingTimes
from openwork.ops.timed import OperatorCall, TimedDirection, catch_calls, time_directions


def training_table(model: nn.Module, example: Any) -> TrainingTimes:
    """What runs each sparse layer in training, how fast, and why it is not faster.

    The network runs once in training mode, under the autocast of the caller. Kernels that a step
    would measure are measured now. On the CPU in float32, with convolutions of some size, native
    kernels run wherever they are faster; `OPENWORK_TRAIN_KERNELS=reference` turns them off.

    Args:
        model: any network with sparse layers; its state, gradients, mode and random numbers are
            left as they were.
        example: a batch `(N, ...)` as in training, or several inputs, as in `openwork.compile`.

    Returns:
        Layers with kernels and times; `print` shows them as a table.

    Raises:
        ArgumentError: no sparse layer, or `example` is not accepted by the model.

    >>> from openwork.nn import SparseConv2d
    >>> from openwork.patterns import random
    >>> model = nn.Sequential(SparseConv2d(random(16, 16, 3, density=0.25)))
    >>> training_table(model, torch.zeros(2, 16, 6, 6)).layers[0].forward.kernel
    'reference'
    """
    model = unwrapped(model)
    layers = sparse_layers(model)
    if not layers:
        raise ArgumentError("`model` has no sparse layer to time; sparsify_ it first")
    call = call_of(model, example).map(torch.Tensor.clone)
    found: list[LayerTimes] = []
    try:
        # Hooks last, or what they record would be put back too.
        with unchanged(model), _timed(layers, found), torch.enable_grad():
            call.run(model.train())
    except OpenworkError:
        raise
    except Exception as error:
        # Any kind: it is the model's own code that raises.
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in call)
        raise ArgumentError(
            f"`example` of shape {shapes} is not accepted by the model in training mode: "
            f"{first_line(error)}; pass a batch as in training"
        ) from error
    ran = {each.layer for each in found}
    idle = tuple(name for name in layers if name not in ran)
    return TrainingTimes(tuple(found), torch.get_num_threads(), idle)


@contextlib.contextmanager
def _timed(layers: Mapping[str, SparseLayer], found: list[LayerTimes]) -> Iterator[None]:
    """Let each of `layers` add to `found` after it has run within the block."""
    with contextlib.ExitStack() as hooks:
        for name, layer in layers.items():

            def after(layer: Any, args: Any, kwargs: Any, _: Any, name: str = name) -> None:
                found.extend(_times_of(name, layer, *args, **kwargs))

            hook = layer.register_forward_hook(after, with_kwargs=True)
            hooks.callback(hook.remove)
        yield


def _times_of(name: str, layer: SparseLayer, input: torch.Tensor) -> Iterator[LayerTimes]:
    needed: list[Direction] = ["forward"]
    if input.requires_grad:
        needed.append("input")
    if layer.weight.requires_grad:
        needed.append("weight")
    # The layer has chosen its kernels: it runs again only for the operator's arguments.
    with catch_calls() as calls:
        layer.forward(input)
    for call in calls:
        timed = time_directions(call, needed, _dense_dtype(call, input))
        ways = {direction: _reported(way) for direction, way in timed.items()}
        yield LayerTimes(
            name,
            type(layer).__name__,
            tuple(layer.shape),
            tuple(input.shape),
            layer.pattern.density,
            ways["forward"],
            ways.get("input"),
            ways.get("weight"),
        )


def _dense_dtype(call: OperatorCall, input: torch.Tensor) -> torch.dtype:
    kind = input.device.type
    if torch.is_autocast_enabled(kind) and input.dtype != torch.float64:
        return torch.get_autocast_dtype(kind)
    return call.arguments[0].dtype


def _reported(way: TimedDirection) -> LayerDirection:
    return LayerDirection(way.kernel, way.why, 1e3 * way.seconds, 1e3 * way.dense_seconds)
