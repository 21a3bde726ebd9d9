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

NETWORK = "the network's output"


@dataclass
class Uses:
    """What was seen in one run.

    Attributes:
        calls: how often each module ran.
        users: norm -> the innermost module that took its output and the function it called there,
            once for each call; None is the network's own code.
    """

    calls: Counter[nn.Module] = field(default_factory=Counter)
    users: dict[nn.Module, list[tuple[nn.Module | None, str]]] = field(default_factory=dict)


class _Watch(TorchFunctionMode):
    """Records which functions take the outputs of norms; hooks tell it which module runs."""

    def __init__(self) -> None:
        super().__init__()
        self.uses = Uses()
        self.running: list[nn.Module] = []
        # The outputs are kept, so that no later tensor has the same identity.
        self.outputs: dict[int, tuple[nn.Module, torch.Tensor]] = {}

    def enter(self, module: nn.Module, _: Any) -> None:
        self.uses.calls[module] += 1
        self.running.append(module)

    def leave(self, module: nn.Module, _: Any, output: Any) -> None:
        self.running.pop()
        if isinstance(module, nn.BatchNorm2d) and isinstance(output, torch.Tensor):
            self.outputs[id(output)] = (module, output)
            self.uses.users.setdefault(module, [])
        elif type(module) is nn.ReLU:
            # One that works in place gives the norm's own tensor; what takes that is its user.
            self.outputs.pop(id(output), None)

    def take(self, values: Any, user: str) -> None:
        for value in flatten(values)[0]:
            if id(value) in self.outputs:
                norm = self.outputs[id(value)][0]
                self.uses.users[norm].append((self.running[-1] if self.running else None, user))

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.take((args, kwargs), getattr(func, "__name__", str(func)))
        return func(*args, **(kwargs or {}))


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
