"""What runs each direction of one operator call, how long it takes, and why it is not faster."""

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from openwork.kernels.training.candidates import Direction
from openwork.ops import native
from openwork.ops.choices import REFERENCE, Call
from openwork.ops.expand import expand
from openwork.ops.sparse_conv2d import conv2d_sizes
from openwork.ops.sparse_linear import linear_sizes

__all__ = ["OperatorCall", "TimedDirection", "catch_calls", "time_directions"]

# Each of two takes turns for so long, and so many times.
_SECONDS = 0.1
_LEAST, _MOST = 3, 15


@dataclass(frozen=True)
class OperatorCall:
    """A call of one of our operators.

    Attributes:
        operator: `openwork::sparse_conv2d` or `openwork::sparse_linear`.
        arguments: input `(N, ...)`, live weights `(live,)`, gaps `(units,)`, bias, and numbers.
    """

    operator: Any
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class TimedDirection:
    """What runs one direction of a call.

    Attributes:
        kernel: its name, "reference" for torch's dense operator on expanded weights.
        why: why the reference runs; empty for a native kernel.
        seconds: of one call.
        dense_seconds: of torch's operator with a dense weight.
    """

    kernel: str
    why: str
    seconds: float
    dense_seconds: float


class _Catch(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[OperatorCall] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _WAYS:
            self.calls.append(OperatorCall(func, args))
        return func(*args, **(kwargs or {}))


@contextlib.contextmanager
def catch_calls() -> Iterator[list[OperatorCall]]:
    """The calls of our operators within the block, as they are after autocast."""
    with torch.no_grad(), _Catch() as caught:
        yield caught.calls


def time_directions(
    call: OperatorCall, directions: Sequence[Direction], dense_dtype: torch.dtype
) -> dict[Direction, TimedDirection]:
    """Run and time each of `directions`, ours and torch's in turns.

    Args:
        call: on plain tensors.
        directions: the ones that a training step runs. Kernels for gradients are chosen now, where
            they are not known yet.
        dense_dtype: the type that torch computes the dense layer in.
    """
    found: dict[Direction, TimedDirection] = {}
    tensors = (t.detach() if isinstance(t, torch.Tensor) else t for t in call.arguments)
    kind = call.arguments[0].device.type
    with torch.no_grad(), torch.autocast(kind, enabled=False):
        layer, why, batch, ways = _WAYS[call.operator](dense_dtype, *tensors)
        for direction in directions:
            seconds, dense_seconds = _in_turns(*ways[direction])
            kernel, reason = REFERENCE, why
            if layer is not None:
                threads = torch.get_num_threads()
                kernel = layer.name(direction, batch, threads)
                reason = layer.why_reference(direction, batch, threads)
            found[direction] = TimedDirection(kernel, reason, seconds, dense_seconds)
    return found


# The layer's kernels or None, why None, its images, and our and torch's call in each direction.
Ways = tuple[native.NativeLayer | None, str, int, Mapping[Direction, tuple[Call, Call]]]


def _conv2d(
    dtype: torch.dtype,
    input: torch.Tensor,
    weight: torch.Tensor,
    gaps: torch.Tensor,
    bias: torch.Tensor | None,
    *geometry: Any,
) -> Ways:
    operator = torch.ops.openwork.sparse_conv2d.default
    gradients = torch.ops.openwork.sparse_conv2d_gradients.default
    shape, stride, padding, dilation, groups = geometry
    gradient = torch.randn_like(operator(input, weight, gaps, bias, *geometry))
    dense, to, shift = _dense(dtype, expand(weight, gaps, shape), input, gradient, bias)

    def ours(*wanted: bool) -> Call:
        return lambda: gradients(gradient, input, weight, gaps, *geometry, wanted)

    def torchs(*wanted: bool) -> Call:
        rest = (None, stride, padding, dilation, False, [0, 0], groups, wanted)
        return lambda: torch.ops.aten.convolution_backward(to[1], to[0], dense, *rest)

    ways: dict[Direction, tuple[Call, Call]] = {
        "forward": (
            lambda: operator(input, weight, gaps, bias, *geometry),
            lambda: F.conv2d(to[0], dense, shift, stride, padding, dilation, groups),
        ),
        "input": (ours(True, False, False), torchs(True, False, False)),
        "weight": (ours(False, True, False), torchs(False, True, False)),
    }
    sizes, batch = conv2d_sizes(input, geometry)
    why = native.why_not(input, weight, gaps, sizes, batch)
    layer = native.find_layer(input, weight, gaps, sizes, batch)
    return layer, why or "", batch, ways


def _linear(
    dtype: torch.dtype,
    input: torch.Tensor,
    weight: torch.Tensor,
    gaps: torch.Tensor,
    bias: torch.Tensor | None,
    shape: Sequence[int],
) -> Ways:
    operator = torch.ops.openwork.sparse_linear.default
    gradients = torch.ops.openwork.sparse_linear_gradients.default
    gradient = torch.randn_like(operator(input, weight, gaps, bias, shape))
    dense, to, shift = _dense(dtype, expand(weight, gaps, shape), input, gradient, bias)
    rows, columns = (tensor.reshape(-1, tensor.shape[-1]) for tensor in to)

    def ours(*wanted: bool) -> Call:
        return lambda: gradients(gradient, input, weight, gaps, shape, wanted)

    ways: dict[Direction, tuple[Call, Call]] = {
        "forward": (
            lambda: operator(input, weight, gaps, bias, shape),
            lambda: F.linear(to[0], dense, shift),
        ),
        "input": (ours(True, False, False), lambda: to[1] @ dense),
        "weight": (ours(False, True, False), lambda: columns.t() @ rows),
    }
    sizes, batch = linear_sizes(input, shape)
    why = native.why_not(input, weight, gaps, sizes, batch)
    layer = native.find_layer(input, weight, gaps, sizes, batch)
    return layer, why or "", batch, ways


def _dense(
    dtype: torch.dtype,
    weight: torch.Tensor,
    input: torch.Tensor,
    gradient: torch.Tensor,
    bias: torch.Tensor | None,
) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor], torch.Tensor | None]:
    """What torch's operators take: weight, input and gradient, and bias."""
    shift = None if bias is None else bias.to(dtype)
    return weight.to(dtype), (input.to(dtype), gradient.to(dtype)), shift


_WAYS: dict[Any, Callable[..., Ways]] = {
    torch.ops.openwork.sparse_conv2d.default: _conv2d,
    torch.ops.openwork.sparse_linear.default: _linear,
}


def _in_turns(one: Call, two: Call) -> tuple[float, float]:
    """Median seconds of each."""
    for call in (one, two):
        call()
    times: list[tuple[float, float]] = []
    until = time.perf_counter() + 2 * _SECONDS
    while len(times) < _LEAST or (time.perf_counter() < until and len(times) < _MOST):
        times.append((_seconds(one), _seconds(two)))
    return statistics.median(a for a, _ in times), statistics.median(b for _, b in times)


def _seconds(call: Call) -> float:
    _wait()
    began = time.perf_counter()
    call()
    _wait()
    return time.perf_counter() - began


def _wait() -> None:
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
