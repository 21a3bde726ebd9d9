"""The native kernels behind the operators: patterns packed once, kernels chosen by measurement.

A layer's packing depends on its pattern and its map's size; calls find it by the `gaps` tensor
itself, or by its contents where the tensor is another one.
"""

import hashlib
import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch.utils.weak import WeakIdKeyDictionary

from openwork.kernels.native import extension as _C
from openwork.kernels.native import reason_missing
from openwork.kernels.problem import Geometry
from openwork.kernels.to_native import geometry_refusal
from openwork.kernels.training.candidates import Direction, TrainingKernel, kernels
from openwork.kernels.training.live_taps import LiveTaps, live_kernels, live_taps
from openwork.ops import choices as remembered
from openwork.ops.choices import REFERENCE, Call, choices
from openwork.ops.large_pages import in_large_pages
from openwork.ops.workspace import workspace
from openwork.patterns import Pattern

_FORMAT = 3
# Types that autocast turns into float32 for the kernels.
CASTABLE = (torch.float32, torch.bfloat16, torch.float16)
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
        # As reported; by kernel, because one for another batch may run.
        self._names: dict[Any, str] = {None: REFERENCE}
        # Under autocast: by type, images and threads.
        self._wide: dict[tuple[str, int, int], bool] = {}

    @property
    def measured_images(self) -> int:
        """Images of a call that its kernels are measured on."""
        return max(_MEASURED_IMAGES, -(-_MEASURED_PIXELS // math.prod(self.geometry.out_size)))

    def _taps(self) -> LiveTaps:
        """The live taps. They are not kept: they take twice the memory of weights and Adam."""
        sizes = self.sizes
        whole = self.live != len(self.gaps)
        pattern = Pattern.from_gaps(sizes.shape, self.gaps, whole=whole, groups=sizes.groups)
        if whole:
            connections = np.cumsum(pattern.gaps, dtype=np.int64)
            return live_kernels(self.geometry, sizes.groups, connections)
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

    def name(self, direction: Direction, batch: int, threads: int) -> str:
        """The name of what runs `direction`."""
        return self._names[self.chosen(direction, batch, threads)]

    def why_reference(self, direction: Direction, batch: int, threads: int) -> str:
        """Why the reference runs `direction`; empty where a native kernel does."""
        if self.chosen(direction, batch, threads) is not None:
            return ""
        if not kernels(self._taps(), direction, _C.chosen_isa()):
            return geometry_refusal(self.geometry) or "no kernel takes this shape"
        if (direction, _bucket(batch), threads) not in self._chosen:
            return "not measured: it runs without gradients"
        return "measured: no kernel is faster"

    def is_wide(
        self,
        dtype: torch.dtype,
        batch: int,
        threads: int,
        ways: Iterable[tuple[str, Callable[[], Call]]] | None,
    ) -> bool:
        """Whether a call under autocast to `dtype` runs in float32 on these kernels.

        Args:
            dtype, batch, threads: of the call.
            ways: "float32" and the reference, to be measured; None outside training, where the
                choice for another batch counts.
        """
        if remembered.mode() == remembered.NATIVE:
            return True
        key = (str(dtype), _bucket(batch), threads)
        if key not in self._wide:
            name = choices.get(self._key(*key))
            if name is None and ways is None:
                return any(wide for known, wide in self._wide.items() if known[0] == key[0])
            if name is None and ways is not None:
                name = choices.measure(self._key(*key), ways)
            self._wide[key] = name == "float32"
        return self._wide[key]

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
        digest = self._key(*key)
        native = remembered.mode() == remembered.NATIVE
        name = None if native else choices.get(digest)
        if name is None:
            candidates = kernels(self._taps(), direction, _C.chosen_isa())
            if native:
                name = candidates[0].name if candidates else REFERENCE
            else:
                name = choices.measure(digest, self._ways(candidates, reference, call))
        self._chosen[key] = self._named(direction, name)
        self._built.clear()

    def _ways(
        self,
        candidates: Sequence[TrainingKernel],
        reference: Call,
        call: Callable[[Any], object],
    ) -> Iterator[tuple[str, Callable[[], Call]]]:
        for candidate in candidates:

            def prepare(candidate: TrainingKernel = candidate) -> Call:
                built = self._built[candidate.name] = candidate.build()
                return lambda: call(built)

            yield candidate.name, prepare
        # Last: against the best kernel, one call mostly shows that it is slower.
        yield REFERENCE, lambda: reference

    def _named(self, direction: Direction, name: str) -> Any:
        built = self._built.get(name)
        if built is None and name != REFERENCE:
            for candidate in kernels(self._taps(), direction, _C.chosen_isa(), every=True):
                if candidate.name == name:
                    built = candidate.build()
        if built is not None:
            self._names[built] = name
        return built

    def _key(self, direction: str, bucket: int, threads: int) -> str:
        # In steps of a fifth: the order of the kernels hardly changes within one, and a pattern
        # that grows is measured a few times only.
        density = round(4 * math.log2(max(1, self.live) / math.prod(self.sizes.shape)))
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


def needs_torchs_operators() -> bool:
    """Whether torch.func or torch.onnx is at work, which take operators of torch's own only."""
    if torch._C._are_functorch_transforms_active():  # type: ignore[attr-defined]
        return True
    traced = torch.compiler.is_exporting() or torch._C._get_tracing_state() is not None
    return traced and torch.onnx.is_in_onnx_export()


def may_measure(input: torch.Tensor, weight: torch.Tensor, gaps: torch.Tensor) -> bool:
    """Whether a call is a training step on plain tensors, which kernels may be timed on."""
    traced = torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None
    if traced or not torch.is_grad_enabled():
        return False
    if not are_plain(input, weight, gaps):
        return False
    return weight.requires_grad or input.requires_grad


def are_plain(*tensors: torch.Tensor) -> bool:
    """Whether all hold numbers that kernels can read: those of traces and wrappers do not."""
    return all(type(tensor) in (torch.Tensor, torch.nn.Parameter) for tensor in tensors)


def is_untraced(*tensors: torch.Tensor) -> bool:
    """Whether a call needs nothing of torch's dispatcher but autograd, and perhaps autocast."""
    return (
        not torch.compiler.is_compiling()
        and torch._C._get_tracing_state() is None
        and torch._C._len_torch_dispatch_stack() == 0
        and are_plain(*tensors)
    )


def is_eager(*tensors: torch.Tensor) -> bool:
    """Whether a call needs nothing of torch's dispatcher, which takes 0.2 ms of each step."""
    return is_untraced(*tensors) and not torch.is_autocast_enabled(tensors[0].device.type)


def find_layer(
    input: torch.Tensor,
    weight: torch.Tensor,
    gaps: torch.Tensor,
    sizes: ConvSizes,
    batch: int,
    dtypes: Sequence[torch.dtype] = (torch.float32,),
) -> NativeLayer | None:
    """The layer if native kernels can run this call, else None."""
    if why_not(input, weight, gaps, sizes, batch, dtypes) is not None:
        return None
    return _layers.find(sizes, gaps, weight.shape[0])


def why_not(
    input: torch.Tensor,
    weight: torch.Tensor,
    gaps: torch.Tensor,
    sizes: ConvSizes,
    batch: int,
    dtypes: Sequence[torch.dtype] = (torch.float32,),
) -> str | None:
    """Why native kernels cannot run this call; None if they can.

    `dtypes` are those that the caller makes float32 before it runs them.
    """
    if remembered.mode() == REFERENCE:
        return f"{remembered.VARIABLE}={REFERENCE}"
    if reason_missing is not None:
        return reason_missing
    for tensor in (input, weight):
        if tensor.device.type != "cpu":
            return f"{tensor.device.type}: kernels run on the CPU"
        if tensor.dtype not in dtypes:
            return f"{str(tensor.dtype).removeprefix('torch.')}: kernels compute float32"
        if not tensor.is_contiguous():
            return "not contiguous, as in channels_last"
    if gaps.device.type != "cpu":
        return f"{gaps.device.type}: kernels run on the CPU"
    if not weight.numel() or not input.numel():
        return "nothing to compute"
    if sizes.groups == 1 and weight.shape[0] == math.prod(sizes.shape):
        # torch's operator takes the weights as they are. Depthwise layers are such from the start.
        return "all connections are live"
    height, width = sizes.geometry().out_size
    if min(height, width) < 1:
        return "the output is empty"
    if batch * height * width * math.prod(sizes.shape) < LEAST_WORK:
        return f"under {LEAST_WORK / 1e6:g} million multiply-adds if dense: too small"
    return None


def forward(
    layer: NativeLayer,
    kernel: Any,
    input: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
) -> torch.Tensor:
    """The convolution and bias of a (batch, channels, height, width) input."""
    geometry, batch = layer.geometry, input.shape[0]
    output = in_large_pages(input.new_empty((batch, geometry.out_channels, *geometry.out_size)))
    _run(kernel, weight, input, output, bias)
    return output


def input_gradient(
    layer: NativeLayer, kernel: Any, gradient: torch.Tensor, weight: torch.Tensor
) -> torch.Tensor:
    """The gradient of the input, from that of the output."""
    geometry, batch = layer.geometry, gradient.shape[0]
    output = in_large_pages(gradient.new_empty((batch, geometry.in_channels, *geometry.size)))
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
    """The same memory, as the kernels take it: bfloat16 as its bits, for NumPy does not have it."""
    if tensor is None:
        return None
    tensor = tensor.detach()
    # Handed over in a third of the time that DLPack takes.
    return (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy()
