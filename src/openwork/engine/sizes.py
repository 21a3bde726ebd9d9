"""Other sizes of image: a compiled network for each, made when it is first needed."""

import contextlib
import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Generic, Protocol, TypeVar

import torch
import torch.nn.functional as F
from torch import nn

from openwork._call import Call
from openwork._mode import evaluation
from openwork._unchanged import alone, unchanged
from openwork.errors import ArgumentError, CaptureError, first_line

Size = tuple[int, int]
Shapes = tuple[tuple[int, ...], ...]


class OfShapes(Protocol):
    """A network for inputs of some shapes: name of each input -> the shape of one image."""

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]: ...


M = TypeVar("M", bound=OfShapes)

MOST_SIZES = 16
"""Sizes that are kept besides those known when the network was compiled."""

# What height and width are multiplied by, and what is added, to see whether a network takes another
# size: multiples come last, for networks that only take those of a stride.
_PROBES = ((1, (32, 32)), (1, (-16, 0)), (2, (0, 0)), (3, (0, 0)))


class SizeCache(Generic[M]):
    """Compiled networks of one network, by the shapes of their inputs.

    Several threads may ask at once; one at a time makes a network, and the others continue.

    Args:
        known: networks that are always kept.
        make: compiles for a call of another size; None if no others are served.
    """

    def __init__(
        self,
        known: Iterable[M],
        make: Callable[[Sequence[torch.Tensor]], M] | None = None,
    ) -> None:
        self.known = {tuple(model.shapes.values()): model for model in known}
        self._make = make
        self._recent: OrderedDict[Shapes, M] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def open(self) -> bool:
        """Whether sizes that are not known are compiled for."""
        return self._make is not None

    def models(self) -> list[M]:
        """The networks that are there now, the last used last."""
        with self._lock:
            return [*self.known.values(), *self._recent.values()]

    def at(self, inputs: Sequence[torch.Tensor]) -> M | None:
        """The network for such inputs; None if they are not served.

        Args:
            inputs: `(batch, ...)` each.
        """
        shapes = tuple(tuple(tensor.shape[1:]) for tensor in inputs)
        found = self._found(shapes)
        if found is not None or self._make is None:
            return found
        # Capturing patches torch for all threads, so that nothing else may be captured.
        with alone():
            found = self._found(shapes)
            if found is not None:
                return found
            made = self._make(inputs)
            with self._lock:
                self._recent[shapes] = made
                while len(self._recent) > MOST_SIZES:
                    self._recent.popitem(last=False)
            return made

    def _found(self, shapes: Shapes) -> M | None:
        if shapes in self.known:
            return self.known[shapes]
        with self._lock:
            if shapes in self._recent:
                self._recent.move_to_end(shapes)
            return self._recent.get(shapes)


def nearest(models: Iterable[M], inputs: Sequence[torch.Tensor]) -> M:
    """The network whose inputs have the most similar number of pixels.

    Which tile is fastest depends on how many vectors of pixels there are, and hardly on the shape.
    """
    pixels = sum(tensor[0].numel() for tensor in inputs)
    return min(
        models,
        key=lambda model: abs(math.log(pixels / sum(map(math.prod, model.shapes.values())))),
    )


def maps_of(call: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """The inputs whose height and width may vary: batches of maps."""
    return [tensor for tensor in call if tensor.dim() == 4]


def resized(call: Call, size: Size) -> Call:
    """The same call with maps of `size`, (height, width)."""
    return call.map(lambda tensor: _resized(tensor, size) if tensor.dim() == 4 else tensor)


def _resized(tensor: torch.Tensor, size: Size) -> torch.Tensor:
    if tuple(tensor.shape[2:]) == size:
        return tensor
    return F.interpolate(tensor.float(), size).to(tensor.dtype)


def check_takes_other_sizes(network: nn.Module, call: Call) -> None:
    """Require that the network takes maps of another size than those of `call`.

    Raises:
        ArgumentError: it takes none; the text names the layer that fails.
    """
    failed: str | None = None
    for factor, (more, wider) in _PROBES:
        sizes = [
            (max(1, factor * tensor.shape[2] + more), max(1, factor * tensor.shape[3] + wider))
            for tensor in maps_of(call)
        ]
        other = iter(sizes)
        probe = call.map(lambda t, other=other: _resized(t, next(other)) if t.dim() == 4 else t)
        reason = failure(network, probe)
        if reason is None:
            return
        failed = failed or f"at {sizes[0][0]}x{sizes[0][1]}, {reason}"
    raise ArgumentError(
        f"`sizes`='any' needs a network that takes other sizes than the example's, but {failed}. "
        "Pool to a fixed size before such a layer (nn.AdaptiveAvgPool2d), or leave `sizes` out"
    )


@torch.no_grad()
def failure(network: nn.Module, call: Call) -> str | None:
    """Which layer fails when `network` runs, and how; None if it runs."""
    running: list[str] = []
    # Hooks last, or what they record would be put back too.
    with unchanged(network), evaluation(network), _followed(network, running):
        try:
            call.map(torch.clone).run(network)
        except Exception as error:
            name = running[-1] if running else ""
            kind = type(network.get_submodule(name)).__name__
            where = f"layer {name!r} ({kind})" if name else f"the forward of {kind} itself"
            return f"{where} fails with {type(error).__name__}: {first_line(error)}"
    return None


@contextlib.contextmanager
def _followed(network: nn.Module, running: list[str]) -> Iterator[None]:
    """Within the block, `running` holds the names of the modules that are being called."""

    def enter(name: str) -> Callable[..., None]:
        return lambda module, args: running.append(name)

    def leave(module: Any, args: Any, output: Any) -> None:
        running.pop()

    hooks = [module.register_forward_pre_hook(enter(name)) for name, module in _modules(network)]
    hooks += [module.register_forward_hook(leave) for _, module in _modules(network)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _modules(network: nn.Module) -> list[tuple[str, nn.Module]]:
    return list(network.named_modules())


def refused_size(network: nn.Module, call: Call, error: CaptureError) -> Exception:
    """The error for a size that cannot be captured: that of the network itself, if it fails."""
    reason = failure(network, call)
    if reason is None:
        return error
    shapes = ", ".join(str(tuple(tensor.shape)) for tensor in call)
    return ArgumentError(f"the network does not take inputs of shape {shapes}: {reason}")
