"""What sparse convolutions over one and two axes share: geometry, padding and conversion."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal, Self, TypeVar, cast, get_args

import torch
import torch.nn.functional as F
from torch import nn
from torch.fx import Proxy

from openwork._arguments import check_choice
from openwork.errors import ArgumentError
from openwork.nn.sparse_layer import SparseLayer
from openwork.patterns import Pattern

PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]

ConvType = TypeVar("ConvType", nn.Conv1d, nn.Conv2d)


class SparseConv(SparseLayer):
    """A convolution over `axes` axes that stores only its live weights."""

    axes: ClassVar[int]

    def _set_geometry(
        self,
        pattern: Pattern,
        stride: int | Sequence[int],
        padding: int | Sequence[int] | str,
        dilation: int | Sequence[int],
        padding_mode: PaddingMode,
    ) -> None:
        self.in_channels = pattern.in_channels
        self.out_channels = pattern.out_channels
        self.kernel_size = pattern.kernel[-self.axes :]
        self.stride = self._numbers("stride", stride, least=1)
        self.dilation = self._numbers("dilation", dilation, least=1)
        check_choice("padding_mode", padding_mode, get_args(PaddingMode))
        self.padding_mode: PaddingMode = padding_mode
        self.padding = self._check_padding(padding)

    def _numbers(self, argument: str, value: int | Sequence[int], least: int) -> tuple[int, ...]:
        given: Any = value
        numbers = tuple(given) if isinstance(given, Sequence) else (given,) * self.axes
        if len(numbers) != self.axes or any(not isinstance(n, int) or n < least for n in numbers):
            pair = " or a pair of them" if self.axes == 2 else ""
            raise ArgumentError(
                f"`{argument}`={value!r} must be a whole number of at least {least}{pair}"
            )
        return numbers

    def _check_padding(self, padding: int | Sequence[int] | str) -> tuple[int, ...] | str:
        if not isinstance(padding, str):
            return self._numbers("padding", padding, least=0)
        check_choice("padding", padding, ("valid", "same"))
        if padding == "same" and any(n != 1 for n in self.stride):
            found, way_out = self.stride, "numbers"
            if self.axes == 1:
                (found,), way_out = self.stride, "a number"
            raise ArgumentError(
                f"`padding`='same' needs stride 1, not {found}; pass the padding as {way_out}"
            )
        return padding

    def _sides(self) -> list[tuple[int, int]]:
        """Padding (before, after) of each axis."""
        if self.padding == "valid":
            return [(0, 0)] * self.axes
        if isinstance(self.padding, str):
            # An odd sum puts the extra one after, as in torch.
            sums = [d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True)]
            return [(total // 2, -(-total // 2)) for total in sums]
        return [(n, n) for n in self.padding]

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        # torch.fx traces batches: a proxy does not know how many axes it has.
        if not isinstance(input, Proxy) and input.dim() == self.axes + 1:
            return self.forward(input.unsqueeze(0)).squeeze(0)
        sides = self._sides()
        padding = (0,) * self.axes
        # F.pad begins with the last axis.
        if self.padding_mode != "zeros":
            input = F.pad(input, [n for side in sides[::-1] for n in side], mode=self.padding_mode)
        else:
            padding = tuple(before for before, _ in sides)
            more = [n for before, after in sides[::-1] for n in (0, after - before)]
            if any(more):
                input = F.pad(input, more)
        return self._convolve(input, padding)

    @abstractmethod
    def _convolve(self, input: torch.Tensor, padding: tuple[int, ...]) -> torch.Tensor:
        """The convolution of a batch, with zeros on both sides of each axis."""

    def _dense(self, kind: Callable[..., ConvType]) -> ConvType:
        """The `kind` that computes the same, with bit-equal weights."""
        dense = kind(
            self.in_channels,
            self.out_channels,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
            self.bias is not None,
            self.padding_mode,
            device="meta",
        )
        self._give(dense)
        return dense

    @classmethod
    def _from(cls, module: nn.Conv1d | nn.Conv2d, pattern: Pattern, init: str) -> Self:
        # The arguments are those of the classes below this one.
        make: Any = cls
        layer: Self = make(
            pattern,
            module.stride,
            module.padding,
            module.dilation,
            module.bias is not None,
            cast(PaddingMode, module.padding_mode),
            device=module.weight.device,
            dtype=module.weight.dtype,
        )
        return layer._take(module, init)

    def extra_repr(self) -> str:
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"
        text += f", stride={self.stride}, padding={self.padding!r}, dilation={self.dilation}"
        text += f", groups={self.groups}, bias={self.bias is not None}"
        return f"{text}, padding_mode={self.padding_mode!r}, density={self.pattern.density:.4g}"
