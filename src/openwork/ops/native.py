"""The native kernels behind the operators: patterns packed once, kernels chosen by measurement.

A layer's packing depends on its pattern and its map's size; calls find it by the `gaps` tensor
itself, or by its contents where the tensor is another one.
"""

import hashlib
import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch.utils.weak import WeakIdKeyDictionary

from openwork.kernels.live_taps import LiveTaps, live_taps
from openwork.kernels.native import extension as _C
from openwork.kernels.native import reason_missing
from openwork.kernels.problem import Geometry
from openwork.kernels.training import Direction, TrainingKernel, kernels
from openwork.ops import choices as remembered
from openwork.ops.choices import REFERENCE, Call, choices
from openwork.ops.workspace import workspace
from openwork.patterns import Pattern

_FORMAT = 2
# Below so many multiply-adds of the dense layer, calling a kernel costs more than it saves.
LEAST_WORK = 4_000_000
# Images that kernels are measured on, and outputs of one filter: larger batches take longer and
# give the same order, smaller ones do not fill the tiles.
_MEASURED_IMAGES = 16
_MEASURED_PIXELS = 512
# Packed layers that are kept; the least recently used goes first.
_MOST_LAYERS = 256


@dataclass(frozen=True)
class ConvSizes:
    """A convolution without its pattern. Pairs are (vertical, horizontal)."""

    shape: tuple[int, ...]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int
    size: tuple[int, int]

    def geometry(self) -> Geometry:
        """The geometry of one image."""
        return Geometry(
            in_channels=self.shape[1] * self.groups,
            out_channels=self.shape[0],
            size=self.size,
            kernel=(self.shape[2], self.shape[3]),
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
        )


class NativeLayer:
    """One pattern at one size, with what has been packed for it."""

    def __init__(self, sizes: ConvSizes, gaps: np.ndarray, live: int) -> None:
        self.sizes = sizes
        self.gaps = gaps
        self.geometry = sizes.geometry()
        self.live = live
        self._built: dict[str, Any] = {}
        self._chosen: dict[tuple[Direction, int, int], Any] = {}

    @property
    def measured_images(self) -> int:
        """Images of a call that its kernels are measured on."""
        return max(_MEASURED_IMAGES, -(-_MEASURED_PIXELS // math.prod(self.geometry.out_size)))

    def _taps(self) -> LiveTaps:
        """The live taps. They are not kept: they take twice the memory of weights and Adam."""
        sizes = self.sizes
        whole = self.live != len(self.gaps)
        pattern = Pattern.from_gaps(sizes.shape, self.gaps, whole=whole, groups=sizes.groups)
        return live_taps(self.geometry, sizes.groups, pattern.positions)

    def chosen(self, direction: Direction, batch: int, threads: int) -> Any:
        """The packed kernel that runs `direction`, or None for the reference.

        Where nothing was measured for such a batch, the choice for another one counts.
        """
        key = (direction, _bucket(batch), threads)
        if key not in self._chosen:
            name = choices.get(self._key(*key))
            if name is None:
                others = [k for k in self._chosen if k[0] == direction and k[2] == threads]
                return self._chosen[others[-1]] if others else None
            self._chosen[key] = self._named(direction, name)
        return self._chosen[key]

    def decide(
        self,
        direction: Direction,
        batch: int,
        threads: int,
        reference: Call,
        call: Callable[[Any], object],
    ) -> None:
        """Measure the kernels for `direction`, unless that has been done.

        Args:
            direction: "forward", "input" or "weight".
            batch, threads: of the call.
            reference: the call without kernels.
            call: runs it with a packed kernel.
        """
        key = (direction, _bucket(batch), threads)
        if key in self._chosen:
            return
        candidates = kernels(self._taps(), direction, _C.chosen_isa())
        if remembered.mode() == "native":
            name = candidates[0].name if candidates else REFERENCE
        else:
            name = choices.get(self._key(*key))
            if name is None:
                name = choices.measure(self._key(*key), self._ways(candidates, reference, call))
        self._chosen[key] = self._named(direction, name)
        self._built.clear()

    def _ways(
        self,
        candidates: Sequence[TrainingKernel],
        reference: Call,
        call: Callable[[Any], object],
    ) -> Iterator[tuple[str, Callable[[], Call]]]:
        yield REFERENCE, lambda: reference
        for candidate in candidates:

            def prepare(candidate: TrainingKernel = candidate) -> Call:
                built = self._built[candidate.name] = candidate.build()
                return lambda: call(built)

            yield candidate.name, prepare

    def _named(self, direction: Direction, name: str) -> Any:
        if name in self._built:
            return self._built[name]
        for candidate in kernels(self._taps(), direction, _C.chosen_isa()):
            if candidate.name == name:
                return candidate.build()
        return None

    def _key(self, direction: Direction, bucket: int, threads: int) -> str:
        density = round(self.live / max(1, math.prod(self.sizes.shape)), 2)
        whole = self.live != len(self.gaps)
        parts = (_FORMAT, self.sizes, density, whole, direction, bucket, threads, _C.chosen_isa())
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:24]


def _bucket(batch: int) -> int:
    """Batches that share a choice: those of the same power of two."""
    return batch.bit_length()


@dataclass
class _Layers:
    """Packed layers by their sizes and pattern."""

    by_sizes: "OrderedDict[tuple[ConvSizes, int, int], list[NativeLayer]]" = field(
        default_factory=OrderedDict
    )
    by_tensor: Any = field(default_factory=WeakIdKeyDictionary)
    lock: Any = field(default_factory=threading.RLock)

    def find(self, sizes: ConvSizes, gaps: torch.Tensor, live: int) -> NativeLayer:
        """The layer of this pattern, packed now if it is new."""
        with self.lock:
            if gaps.is_inference():
                # torch does not count the changes of such tensors.
                return self._by_contents(sizes, gaps.numpy(), live)
            version, known = self.by_tensor.get(gaps, (None, {}))
            if version != gaps._version:
                known = {}
                self.by_tensor[gaps] = (gaps._version, known)
            if sizes not in known:
                known[sizes] = self._by_contents(sizes, gaps.numpy(), live)
            return known[sizes]

    def _by_contents(self, sizes: ConvSizes, gaps: np.ndarray, live: int) -> NativeLayer:
        key = (sizes, len(gaps), live)
        alike = self.by_sizes.setdefault(key, [])
        self.by_sizes.move_to_end(key)
        for layer in alike:
            if np.array_equal(layer.gaps, gaps):
                return layer
        layer = NativeLayer(sizes, gaps.copy(), live)
        alike.append(layer)
        if sum(map(len, self.by_sizes.values())) > _MOST_LAYERS:
            oldest = next(iter(self.by_sizes))
            self.by_sizes[oldest].pop(0)
            if not self.by_sizes[oldest]:
                del self.by_sizes[oldest]
        return layer


_layers = _Layers()


def in_functional_transform() -> bool:
    """Whether torch.func is at work, which takes operators of torch's own only."""
    return torch._C._are_functorch_transforms_active()  # type: ignore[attr-defined]


def may_measure(input: torch.Tensor, weight: torch.Tensor, gaps: torch.Tensor) -> bool:
    """Whether a call is a training step on plain tensors, which kernels may be timed on."""
    traced = torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None
    if traced or not torch.is_grad_enabled():
        return False
    plain = all(type(t) in (torch.Tensor, torch.nn.Parameter) for t in (input, weight, gaps))
    return plain and weight.requires_grad


def find_layer(
    input: torch.Tensor, weight: torch.Tensor, gaps: torch.Tensor, sizes: ConvSizes, batch: int
) -> NativeLayer | None:
    """The layer if native kernels can run this call, else None."""
    if reason_missing is not None or remembered.mode() == REFERENCE:
        return None
    plain = all(
        tensor.device.type == "cpu" and tensor.dtype == torch.float32 and tensor.is_contiguous()
        for tensor in (input, weight)
    )
    if not plain or gaps.device.type != "cpu" or not weight.numel() or not input.numel():
        return None
    height, width = sizes.geometry().out_size
    if min(height, width) < 1 or batch * height * width * math.prod(sizes.shape) < LEAST_WORK:
        return None
    return _layers.find(sizes, gaps, weight.shape[0])


def forward(
    layer: NativeLayer,
    kernel: Any,
    input: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
) -> torch.Tensor:
    """The convolution and bias of a (batch, channels, height, width) input."""
    geometry, batch = layer.geometry, input.shape[0]
    output = input.new_empty((batch, geometry.out_channels, *geometry.out_size))
    _run(kernel, weight, input, output, bias)
    return output


def input_gradient(
    layer: NativeLayer, kernel: Any, gradient: torch.Tensor, weight: torch.Tensor
) -> torch.Tensor:
    """The gradient of the input, from that of the output."""
    geometry, batch = layer.geometry, gradient.shape[0]
    output = gradient.new_empty((batch, geometry.in_channels, *geometry.size))
    _run(kernel, weight, gradient, output, None)
    return output


def weight_gradient(
    layer: NativeLayer, kernel: Any, input: torch.Tensor, gradient: torch.Tensor
) -> torch.Tensor:
    """(live,) of the live weights, in canonical order."""
    output = input.new_empty(layer.live)
    threads = torch.get_num_threads()
    memory = workspace(kernel.workspace(input.shape[0], threads))
    kernel.run(array(input), array(gradient), output.numpy(), memory, threads)
    return output


def _run(
    kernel: Any,
    weight: torch.Tensor,
    input: torch.Tensor,
    output: torch.Tensor,
    bias: torch.Tensor | None,
) -> None:
    threads = torch.get_num_threads()
    memory = workspace(kernel.workspace(input.shape[0], threads))
    shift = None if bias is None else bias.contiguous()
    kernel.run(array(weight), array(input), output.numpy(), array(shift), memory, threads)


def array(tensor: torch.Tensor | None) -> Any:
    """The same memory, as the kernels take it."""
    # Handed over in a third of the time that DLPack takes.
    return None if tensor is None else tensor.detach().numpy()
