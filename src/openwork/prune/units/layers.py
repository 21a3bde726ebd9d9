"""Which layers a cut is made in, and what lives in them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import nn

from openwork.errors import ArgumentError, PlanError
from openwork.nn import Plan, SparseConv2d, SparseLayer
from openwork.nn.globs import check_glob, escape, matches, nothing_matched
from openwork.nn.layers import Dense, dense_layers, sparse_layers
from openwork.ops.expand import expand
from openwork.patterns import Pattern
from openwork.prune.units.run import Run

Layers = str | Sequence[str] | Callable[[str, nn.Module], bool] | None


@dataclass(frozen=True, eq=False)
class Layer:
    """A convolution or linear layer that can be cut, dense or sparse already.

    Attributes:
        name: qualified name in the model.
        module: the layer.
    """

    name: str
    module: Dense | SparseLayer

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the dense weight: (out, in / groups, kh, kw), or (out, in)."""
        module = self.module
        return module.shape if isinstance(module, SparseLayer) else tuple(module.weight.shape)

    @property
    def groups(self) -> int:
        """Groups of the convolution; 1 for a linear layer."""
        return 1 if isinstance(self.module, nn.Linear) else self.module.groups

    @cached_property
    def taps(self) -> np.ndarray:
        """What lives: boolean array of `shape`."""
        if isinstance(self.module, SparseLayer):
            return self.module.pattern.taps
        return np.ones(self.shape, dtype=bool)

    @cached_property
    def connections(self) -> np.ndarray:
        """Which connections have a live tap: boolean array (out, in / groups)."""
        return connected(self.taps)

    def dense(self, values: torch.Tensor) -> np.ndarray:
        """One value a weight, as `module.weight` has them, as a float64 array of `shape`."""
        values = values.detach().to("cpu", torch.float64)
        if isinstance(self.module, SparseLayer):
            values = expand(values, self.module.gaps.cpu(), self.shape)
        return values.numpy()

    def live(self, taps: np.ndarray) -> torch.Tensor:
        """The inverse of `dense` for a boolean array of `shape`: a mask as `module.weight` lies."""
        mask = torch.from_numpy(taps)
        if isinstance(self.module, SparseLayer):
            mask = mask.reshape(-1)[torch.from_numpy(self.module.pattern.positions)]
        return mask.to(self.module.weight.device)


def connected(taps: np.ndarray) -> np.ndarray:
    """Which connections (out, in / groups) have a live tap in `taps` (out, in / groups, ...)."""
    return np.logical_or.reduce(taps.reshape(*taps.shape[:2], -1), axis=2)


def all_layers(model: nn.Module) -> dict[str, Layer]:
    """Every layer of `model` that can be cut, in the order of its modules."""
    found: Mapping[str, Dense | SparseLayer] = dense_layers(model) | sparse_layers(model)
    order = [name for name, _ in model.named_modules() if name in found]
    return {name: Layer(name, found[name]) for name in order}


def chosen_layers(model: nn.Module, layers: Layers, run: Run | None = None) -> dict[str, Layer]:
    """The layers of `model` that `layers` means.

    Args:
        model: any module.
        layers: a glob or several, as in a `Plan`; a predicate `(name, module) -> bool`; or None:
            every convolution but the first and the heads.
        run: of the network, which shows the first convolution and the heads; without one they are
            the first convolution and the last layer in the order of the modules.

    Raises:
        PlanError: a glob, the predicate or the default means no layer.
        ArgumentError: `layers` is none of these.
    """
    known = all_layers(model)
    if layers is None:
        return _inner_convolutions(model, known, run)
    if callable(layers):
        chosen = {name: layer for name, layer in known.items() if layers(name, layer.module)}
        if not chosen:
            raise PlanError("`layers` holds for no layer of the model that can be cut")
        return chosen
    if not isinstance(layers, str | Sequence):
        raise ArgumentError(
            f"`layers`={layers!r} must be a glob such as 'features.*', a list of them, or a "
            "predicate (name, module) -> bool"
        )
    globs = [check_glob(g) for g in ([layers] if isinstance(layers, str) else layers)]
    if not globs:
        raise ArgumentError(f"`layers`={layers!r} must name at least one layer; None cuts most")
    for glob in globs:
        if not any(matches(glob, name, layer.module) for name, layer in known.items()):
            raise PlanError(nothing_matched(glob, model, known))
    return {
        name: layer
        for name, layer in known.items()
        if any(matches(glob, name, layer.module) for glob in globs)
    }


def _inner_convolutions(
    model: nn.Module, known: Mapping[str, Layer], run: Run | None
) -> dict[str, Layer]:
    order = tuple(known) if run is None else run.order
    heads = frozenset(order[-1:]) if run is None else run.heads
    convolutions = {
        n: x for n, x in known.items() if isinstance(x.module, nn.Conv2d | SparseConv2d)
    }
    first = next((name for name in order if name in convolutions), None)
    inner = {n: x for n, x in convolutions.items() if n != first and n not in heads}
    if not inner:
        raise PlanError(
            f"{type(model).__name__} has no convolution between its first one and its head, which "
            "are left whole unless `layers` names them"
        )
    return inner


def nothing_lives(layers: Iterable[str]) -> ArgumentError:
    """The error for layers that are wholly dead."""
    return ArgumentError(f"nothing lives in `layers`: {', '.join(layers)}; name other layers")


def plan_of(model: nn.Module, taps: Mapping[str, np.ndarray]) -> Plan:
    """The plan that leaves `taps` alive, and the other sparse layers of `model` as they are."""
    known = all_layers(model)
    patterns = {name: layer.pattern for name, layer in sparse_layers(model).items()}
    patterns |= {name: Pattern(live, known[name].groups) for name, live in taps.items()}
    return Plan({escape(name): pattern for name, pattern in patterns.items()})
