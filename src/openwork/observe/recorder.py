"""`ActivationRecorder`: how large each layer's channels are after its activation.

Activations are found as torch functions are called, whether modules or other code call them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from openwork.errors import ArgumentError
from openwork.nn import SparseLayer, SparseLinear

# Names of torch's functions, in place or not, without underscores around them.
_ACTIVATIONS = frozenset(
    (
        *("relu", "relu6", "leaky_relu", "prelu", "rrelu", "elu", "selu", "celu", "threshold"),
        *("silu", "mish", "gelu", "softplus", "sigmoid", "log_sigmoid", "tanh", "softsign"),
        *("hardsigmoid", "hardswish", "hardtanh", "hardshrink", "softshrink", "tanhshrink"),
        *("clamp", "clamp_min", "clip"),
    )
)
# relu is also written as the larger of a tensor and one number.
_LARGER = frozenset(("maximum", "max"))
# Between a layer and its activation these keep the order of channels.
_PASSING = frozenset(
    (
        *("dropout", "dropout1d", "dropout2d", "dropout3d"),
        *("alpha_dropout", "feature_alpha_dropout", "instance_norm", "group_norm"),
        *(f"{kind}_pool{n}d" for kind in ("max", "avg", "lp") for n in (1, 2, 3)),
        *(f"adaptive_{kind}_pool{n}d" for kind in ("max", "avg") for n in (1, 2, 3)),
    )
)
_NORMS = nn.modules.batchnorm._BatchNorm
_LAYERS = (nn.modules.conv._ConvNd, nn.Linear, SparseLayer)


@dataclass(eq=False)
class _Waiting:
    """A layer whose activation may still come.

    Attributes:
        name: qualified name of the layer.
        norm: whether it is a batch norm.
        axis: of the channels in its output.
        largest: (N, C) the largest |number| of each channel of each image of its output.
        outputs: its output, and what pooling made of it; held, so that their ids are not reused.
    """

    name: str
    norm: bool
    axis: int
    largest: torch.Tensor
    outputs: list[torch.Tensor]


# Called with a layer's name and the largest |number| of each channel of each image, (N, C).
Receiver = Callable[[str, torch.Tensor], None]


@final
class ActivationRecorder(TorchFunctionMode):
    """`with ActivationRecorder(model, receive) as recorder: model(batch); recorder.flush()`.

    Layers are batch norms, and convolutions and linear layers that an activation follows, directly
    or after pooling and dropout. Recorded is the activation's result, or the batch norm's own
    output where no activation follows. Layers whose output is not a tensor of at least two axes
    are left out.

    Args:
        model: whose layers are recorded.
        receive: called once for each call of a layer, with the layer's qualified name and the
            largest |number| of each channel of each image, (N, C).

    Attributes:
        order: names of layers, in the order in which they first ran.

    Raises:
        ArgumentError: a convolution is given one image without a batch axis.
    """

    def __init__(self, model: nn.Module, receive: Receiver) -> None:
        super().__init__()
        self._receive = receive
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
            # A sum written in place: an activation that follows is not this layer's.
            self._stop_waiting(id(output))
        return output

    def __exit__(self, *details: Any) -> None:
        super().__exit__(*details)
        for handle in self._handles:
            handle.remove()

    def flush(self) -> None:
        """Record the batch norms of this batch that no activation followed."""
        for key in list(self._waiting):
            self._stop_waiting(key)

    def _activated(self, key: int, output: torch.Tensor) -> None:
        layer = self._pop(key)
        if layer is not None:
            self._receive(layer.name, _largest(output, layer.axis))

    def _passed(self, key: int, output: Any) -> None:
        layer = self._waiting.get(key)
        if layer is None or not isinstance(output, torch.Tensor):
            return
        axis, channels = layer.axis, layer.largest.shape[1]
        # Pooling over tokens runs along the channels.
        if output.dim() >= abs(axis) and output.shape[axis] == channels:
            layer.outputs.append(output)
            self._waiting[id(output)] = layer

    def _stop_waiting(self, key: int) -> None:
        """Stop waiting for an activation: a batch norm's own output is recorded."""
        layer = self._pop(key)
        if layer is not None and layer.norm:
            self._receive(layer.name, layer.largest)

    def _pop(self, key: int) -> _Waiting | None:
        layer = self._waiting.get(key)
        if layer is not None:
            for output in layer.outputs:
                self._waiting.pop(id(output), None)
        return layer

    def _forget(self, _: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        """Before a batch norm: the layer that feeds it is not recorded."""
        for value in (*inputs, *named.values()):
            self._stop_waiting(id(value))

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
            # Measured now, since later code may write to the output.
            largest, norm = _largest(output, axis), isinstance(module, _NORMS)
            self._waiting[id(output)] = _Waiting(name, norm, axis, largest, [output])

        return hook


def _but_a_number(*values: Any) -> Any:
    """The larger of two tensors if the other is a single number; None otherwise."""
    tensors = [v for v in values if isinstance(v, torch.Tensor)]
    large = [t for t in tensors if t.numel() > 1]
    return large[0] if len(large) == 1 and len(tensors) == len(values) == 2 else None


def _axis(module: Any) -> int:
    """The axis of the channels in the output of `module`."""
    if isinstance(module, _NORMS):
        return 1
    if isinstance(module, nn.Linear | SparseLinear):
        return -1
    return -1 - len(module.kernel_size)


def _largest(output: torch.Tensor, axis: int) -> torch.Tensor:
    """(N, C) the largest |number| of each channel of each image."""
    magnitude = output.detach().abs().float().movedim(axis, -1)
    return magnitude.flatten(1, -2).amax(1) if magnitude.dim() > 2 else magnitude
