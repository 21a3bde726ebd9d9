"""A native program while the nodes add their steps to it."""

from collections.abc import Callable, Mapping
from typing import Any

from openwork.kernels.native import extension as _C
from openwork.kernels.problem import Activation
from openwork.kernels.to_native import native_activation
from openwork.runtime.values import Value, View, root

__all__ = ["Emission"]


class Emission:
    """What `Node.emit` writes to.

    Args:
        native: the extension's program. A node adds its step by a call of one of its methods.
        slots: the program's number for each value that has one so far.
        layers: the packed layer of each convolution.
        view: where a value lies.

    Attributes:
        native, layers: as above.
    """

    def __init__(
        self,
        native: "_C.Program",
        slots: dict[Value, int],
        layers: Mapping[Any, "_C.Layer"],
        view: Callable[[Value], View],
    ) -> None:
        self.native = native
        self.layers = layers
        self._slots = slots
        self._view = view

    def slot(self, value: Value) -> int:
        """The program's number for the memory of `value`."""
        return self._slots[root(value)]

    def part(self, value: Value, first: int, floats: int) -> int:
        """A number for `floats` floats of each image of `value`, from `first` on."""
        return self.native.part(self.slot(value), first, floats)

    def lies_at(self, inner: Value, whole: Value, first: int) -> bool:
        """Whether `inner` lies in `whole` from float `first` on, so that a copy is not needed."""
        view = self._view(whole)
        return self._view(inner) == View(view.whole, view.first + first)

    def activation(self, name: Activation) -> "_C.Activation":
        """The extension's activation of that name."""
        return native_activation(name)
