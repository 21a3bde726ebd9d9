"""Where the output of each batch norm goes, seen while the network runs."""

import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from openwork._call import Call
from openwork._nested import flatten
from openwork.nn.norms.activations import activation
from openwork.nn.norms.deferred import ADD_IN_PLACE, SUMS

NETWORK = "the network's output"


@dataclass(eq=False)
class Use:
    """One use of a norm's output.

    Attributes:
        module: the innermost module that took it; None is the network's own code.
        function: the function that it called.
        act: the activation that this is, such as "relu"; None for others.
        of_sum: if that is a sum, how its result was used; None for others.
    """

    module: nn.Module | None
    function: Any
    act: str | None = None
    of_sum: list["Use"] | None = None

    @property
    def name(self) -> str:
        """The name of the function."""
        return getattr(self.function, "__name__", str(self.function))


@dataclass
class Uses:
    """What was seen in one run.

    Attributes:
        calls: how often each norm ran.
        users: norm -> each use of its output.
    """

    calls: Counter[nn.Module] = field(default_factory=Counter)
    users: dict[nn.Module, list[Use]] = field(default_factory=dict)


class _Watch(TorchFunctionMode):
    """Records which functions take the outputs of norms; hooks tell it which module runs."""

    def __init__(self) -> None:
        super().__init__()
        self.uses = Uses()
        self.running: list[nn.Module] = []
        # The tensors are kept, so that no later one has the same identity.
        self.tracked: dict[int, tuple[list[Use], torch.Tensor]] = {}

    def enter(self, module: nn.Module, _: Any) -> None:
        self.running.append(module)

    def leave(self, module: nn.Module, _: Any, output: Any) -> None:
        self.running.pop()
        if isinstance(module, nn.BatchNorm2d) and isinstance(output, torch.Tensor):
            self.uses.calls[module] += 1
            self.tracked[id(output)] = (self.uses.users.setdefault(module, []), output)

    def take(self, values: Any, function: Any, act: str | None = None) -> list[list[Use]]:
        """Record a call; all uses so far of each output among `values`, this one the last."""
        found = []
        for value in flatten(values)[0]:
            if id(value) in self.tracked:
                users, _ = self.tracked[id(value)]
                users.append(Use(self.running[-1] if self.running else None, function, act))
                found.append(users)
        return found

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        act, _ = activation(func, args, kwargs) or (None, False)
        uses = self.take((args, kwargs), func, act)
        # A tensor that is added to in place cannot wait.
        waits = func != ADD_IN_PLACE or id(next(iter(args), None)) in self.tracked
        result = func(*args, **kwargs)
        if uses and act is not None:
            # One that works in place gives the norm's own tensor.
            self.tracked.pop(id(result), None)
        elif uses and func in SUMS and waits and all(_is_like(each, result) for each in args):
            # A sum of two norms is computed by the first of them that nothing else has used.
            summed = min(uses, key=len)[-1]
            summed.of_sum = []
            self.tracked[id(result)] = (summed.of_sum, result)
        return result


def _is_like(value: Any, result: torch.Tensor) -> bool:
    return isinstance(value, torch.Tensor) and value.shape == result.shape


def watch(model: nn.Module, inputs: Call) -> tuple[Uses, list[Any]]:
    """Run `model` once; what was seen, and its outputs as a flat list."""
    seen = _Watch()
    with _hooked(model, seen), seen:
        found = flatten(inputs.run(model))[0]
    seen.take(found, NETWORK)
    return seen.uses, found


@contextlib.contextmanager
def _hooked(model: nn.Module, seen: _Watch) -> Iterator[None]:
    handles = []
    for module in model.modules():
        handles.append(module.register_forward_pre_hook(seen.enter))
        handles.append(module.register_forward_hook(seen.leave))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
