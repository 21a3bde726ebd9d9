"""Hooks that see each layer's channels after its activation, whatever code applies it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from openwork.errors import ArgumentError
from openwork.nn import SparseConv2d, SparseLinear

# As torch's own functions are called, in place or not, less underscores.
_ACTIVATIONS = frozenset(
    (
        *("relu", "relu6", "leaky_relu", "prelu", "rrelu", "elu", "selu", "celu", "threshold"),
        *("silu", "mish", "gelu", "softplus", "sigmoid", "log_sigmoid", "tanh", "softsign"),
        *("hardsigmoid", "hardswish", "hardtanh", "hardshrink", "softshrink", "tanhshrink"),
        *("clamp", "clamp_min", "clip"),
    )
)
# relu as some write it: the larger of a tensor and one number.
_LARGER = frozenset(("maximum", "max"))
# Between a layer and its activation these change nothing of which channel is which.
_PASSING = frozenset(
    (
        *("dropout", "dropout1d", "dropout2d", "dropout3d"),
        *("alpha_dropout", "feature_alpha_dropout"),
        *(f"{kind}_pool{n}d" for kind in ("max", "avg", "lp") for n in (1, 2, 3)),
        *(f"adaptive_{kind}_pool{n}d" for kind in ("max", "avg") for n in (1, 2, 3)),
    )
)
_NORMS = nn.modules.batchnorm._BatchNorm
_LAYERS = (nn.modules.conv._ConvNd, nn.Linear, SparseConv2d, SparseLinear)


@dataclass(eq=False)
class _Waiting:
    """A layer whose activation may yet come.

    Attributes:
        name: qualified name of the layer.
        norm: whether it is a batch norm.
        axis: of the channels in what it gives.
        largest: (N, C) of what it gave.
        outputs: what it gave, and what pooling made of that; held, so that the ids are theirs.
    """

    name: str
    norm: bool
    axis: int
    largest: torch.Tensor
    outputs: list[torch.Tensor]


# Called with a layer's name and the largest |number| of each channel of each image, (N, C).
Record = Callable[[str, torch.Tensor], None]


@final
class Watch(TorchFunctionMode):
    """`with Watch(model, record): model(batch)`.

    Batch norms are layers, and convolutions and linear layers that an activation follows, at once
    or behind pooling and dropout. Where an activation follows, its result counts, else the batch
    norm's own. Layers that give something else than a tensor of at least two axes are left out.

    Raises:
        ArgumentError: a convolution is given one image without a batch axis.
    """

    def __init__(self, model: nn.Module, record: Record) -> None:
        super().__init__()
        self._record = record
        # By the identity of an output of the layer.
        self._waiting: dict[int, _Waiting] = {}
        self.order: dict[str, None] = {}
        self._handles = []
        for name, module in model.named_modules():
            if isinstance(module, _NORMS):
                forget = module.register_forward_pre_hook(self._forget, with_kwargs=True)
                self._handles.append(forget)
            if isinstance(module, (_NORMS, *_LAYERS)):
                self._handles.append(module.register_forward_hook(self._keep(name)))

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        name = getattr(func, "__name__", "").strip("_")
        first, *rest = args or (kwargs.get("input"),)
        if name in _LARGER:
            first = _but_a_number(first, *rest, *kwargs.values())
        if name in _ACTIVATIONS or name in _LARGER:
            self._activated(id(first), output)
        elif name in _PASSING:
            self._passed(id(first), output)
        elif output is first:
            # A sum written in its place: what follows is no longer this layer's.
            self._settle(id(output))
        return output

    def __exit__(self, *details: Any) -> None:
        super().__exit__(*details)
        for handle in self._handles:
            handle.remove()

    def flush(self) -> None:
        """Record the layers of this batch that no activation followed."""
        for key in list(self._waiting):
            self._settle(key)

    def _activated(self, key: int, output: torch.Tensor) -> None:
        layer = self._pop(key)
        if layer is not None:
            self._record(layer.name, _largest(output, layer.axis))

    def _passed(self, key: int, output: Any) -> None:
        layer = self._waiting.get(key)
        if layer is None or not isinstance(output, torch.Tensor):
            return
        axis, channels = layer.axis, layer.largest.shape[1]
        # Pooling of tokens goes along the channels.
        if output.dim() >= abs(axis) and output.shape[axis] == channels:
            layer.outputs.append(output)
            self._waiting[id(output)] = layer

    def _settle(self, key: int) -> None:
        """The layer itself counts, not what follows."""
        layer = self._pop(key)
        if layer is not None and layer.norm:
            self._record(layer.name, layer.largest)

    def _pop(self, key: int) -> _Waiting | None:
        layer = self._waiting.get(key)
        if layer is not None:
            for output in layer.outputs:
                self._waiting.pop(id(output), None)
        return layer

    def _forget(self, _: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        """The batch norm counts, not the layer before it."""
        for value in (*inputs, *named.values()):
            self._settle(id(value))

    def _keep(self, name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            axis = _axis(module)
            if not isinstance(output, torch.Tensor) or output.dim() < 2 or not output.numel():
                return
            self.order.setdefault(name)
            if output.dim() < 1 - axis:
                raise ArgumentError(
                    f"layer {name!r} is given one image without a batch axis; `batches` must give "
                    "images (N, ...), as a DataLoader does"
                )
            # Now, since what comes after may write to it.
            largest, norm = _largest(output, axis), isinstance(module, _NORMS)
            self._waiting[id(output)] = _Waiting(name, norm, axis, largest, [output])

        return hook


def _but_a_number(*values: Any) -> Any:
    """The one tensor among `values` beside single numbers; None if there is another kind."""
    tensors = [v for v in values if isinstance(v, torch.Tensor)]
    large = [t for t in tensors if t.numel() > 1]
    return large[0] if len(large) == 1 and len(tensors) == len(values) == 2 else None


def _axis(module: Any) -> int:
    """Of the channels, in what `module` gives."""
    if isinstance(module, _NORMS):
        return 1
    if isinstance(module, nn.Linear | SparseLinear):
        return -1
    return -1 - len(module.kernel_size)


def _largest(output: torch.Tensor, axis: int) -> torch.Tensor:
    """(N, C) the largest |number| of each channel of each image."""
    magnitude = output.detach().abs().float().movedim(axis, -1)
    return magnitude.flatten(1, -2).amax(1) if magnitude.dim() > 2 else magnitude
