"""Hooks that see each layer's channels after its activation, whatever code applies it."""

from collections.abc import Callable
from typing import Any, final

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

# As torch's own functions are called, in place or not.
_ACTIVATIONS = frozenset(
    (
        *("relu", "relu6", "leaky_relu", "prelu", "elu", "silu", "mish", "gelu"),
        *("sigmoid", "hardsigmoid", "hardswish", "hardtanh"),
    )
)
_NORMS = nn.modules.batchnorm._BatchNorm
_LAYERS = (nn.modules.conv._ConvNd, nn.Linear)

# Name, whether it is a batch norm, largest numbers, and the output itself.
_Waiting = tuple[str, bool, torch.Tensor, torch.Tensor]
# Called with a layer's name and the largest |number| of each channel of each image, (N, C).
Record = Callable[[str, torch.Tensor], None]


@final
class Watch(TorchFunctionMode):
    """`with Watch(model, record): model(batch)`.

    Batch norms are layers, and convolutions and linear layers that an activation follows. Where an
    activation follows, its result counts, else the batch norm's own.
    """

    def __init__(self, model: nn.Module, record: Record) -> None:
        super().__init__()
        self._record = record
        # By the identity of a layer's output; the output is held, so that nothing else has it.
        self._waiting: dict[int, _Waiting] = {}
        self.order: dict[str, None] = {}
        self._handles = []
        for name, module in model.named_modules():
            if isinstance(module, _NORMS):
                self._handles.append(module.register_forward_pre_hook(self._forget))
                self._handles.append(module.register_forward_hook(self._keep(name, norm=True)))
            elif isinstance(module, _LAYERS):
                self._handles.append(module.register_forward_hook(self._keep(name, norm=False)))

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "").rstrip("_")
        if name in _ACTIVATIONS and args and id(args[0]) in self._waiting:
            layer, *_ = self._waiting.pop(id(args[0]))
            self._record(layer, _largest(output))
        elif args and output is args[0]:
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

    def _settle(self, key: int) -> None:
        """The layer itself counts, not what follows."""
        if key in self._waiting:
            name, norm, largest, _ = self._waiting.pop(key)
            if norm:
                self._record(name, largest)

    def _forget(self, _: nn.Module, inputs: tuple[Any, ...]) -> None:
        self._waiting.pop(id(inputs[0]), None)

    def _keep(self, name: str, norm: bool) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_: nn.Module, inputs: Any, output: Any) -> None:
            self.order.setdefault(name)
            # Now, since what comes after may write to it.
            self._waiting[id(output)] = (name, norm, _largest(output), output)

        return hook


def _largest(output: torch.Tensor) -> torch.Tensor:
    """(N, C) the largest |number| of each channel of each image."""
    magnitude = output.detach().abs().float()
    return magnitude.flatten(2).amax(2) if magnitude.dim() > 2 else magnitude
