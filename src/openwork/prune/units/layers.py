"""Which layers are cut, and which of their weights live."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import nn

from openwork.errors import ArgumentError, PlanError
from openwork.nn import Plan, SparseLayer, SparseLinear
from openwork.nn.globs import check_glob, escape, matches, nothing_matched
from openwork.nn.layers import Dense, dense_layers, sparse_layers, why_left
from openwork.nn.sparse_layer import groups_of, pattern_shape
from openwork.ops.expand import expand
from openwork.patterns import Pattern
from openwork.prune.units.forward_pass import ForwardPass

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
        """The shape of the layer's patterns: (out, in / groups, kh, kw), or (out, in)."""
        module = self.module
        return module.shape if isinstance(module, SparseLayer) else pattern_shape(module)

    @property
    def groups(self) -> int:
        """Groups of the convolution; 1 for a linear layer."""
        module = self.module
        return module.groups if isinstance(module, SparseLayer) else groups_of(module)

    @cached_property
    def mask(self) -> np.ndarray:
        """Which weights live: boolean array of `shape`."""
        if isinstance(self.module, SparseLayer):
            return self.module.pattern.taps
        return np.ones(self.shape, dtype=bool)

    @cached_property
    def connections(self) -> np.ndarray:
        """Which connections have a live weight: boolean array (out, in / groups)."""
        return connected(self.mask)

    def dense(self, values: torch.Tensor) -> np.ndarray:
        """Expand `values`, of the shape of `module.weight`, to a float64 array of `shape`."""
        values = values.detach().to("cpu", torch.float64)
        if isinstance(self.module, SparseLayer):
            values = expand(values, self.module.gaps.cpu(), self.shape)
        return values.reshape(self.shape).numpy()

    def stored(self, mask: np.ndarray) -> torch.Tensor:
        """The inverse of `dense` for a mask of `shape`: as a tensor, laid out like the weight."""
        tensor = torch.from_numpy(mask)
        if isinstance(self.module, SparseLayer):
            tensor = tensor.reshape(-1)[torch.from_numpy(self.module.pattern.positions)]
        return tensor.reshape(self.module.weight.shape).to(self.module.weight.device)


def connected(mask: np.ndarray) -> np.ndarray:
    """Which connections (out, in / groups) have a live weight in `mask` (out, in / groups, ...)."""
    return np.logical_or.reduce(mask.reshape(*mask.shape[:2], -1), axis=2)


def cuttable_layers(model: nn.Module) -> dict[str, Layer]:
    """Every layer of `model` that can be cut, in the order of its modules."""
    layers: Mapping[str, Dense | SparseLayer] = dense_layers(model) | sparse_layers(model)
    order = [name for name, _ in model.named_modules() if name in layers]
    return {name: Layer(name, layers[name]) for name in order}


def chosen_layers(
    model: nn.Module, layers: Layers, forward_pass: ForwardPass | None = None
) -> dict[str, Layer]:
    """The layers of `model` that `layers` selects.

    Args:
        model: any module.
        layers: a glob or several, as in a `Plan`; a predicate `(name, module) -> bool`; or None:
            every convolution but the first and the heads.
        forward_pass: shows the first convolution and the heads. Without it they are the first
            convolution and the last layer in the order of the modules.

    Raises:
        PlanError: a glob, the predicate or the default selects no layer.
        ArgumentError: `layers` is none of these.
    """
    cuttable = cuttable_layers(model)
    if layers is None:
        return _inner_convolutions(model, cuttable, forward_pass)
    if callable(layers):
        chosen = {name: layer for name, layer in cuttable.items() if layers(name, layer.module)}
        if not chosen:
            raise PlanError(
                f"`layers` holds for no layer of the model that can be cut{_because(model)}"
            )
        return chosen
    if not isinstance(layers, str | Sequence):
        raise ArgumentError(
            f"`layers`={layers!r} must be a glob such as 'features.*', a list of them, or a "
            "predicate (name, module) -> bool"
        )
    globs = [check_glob(glob) for glob in ([layers] if isinstance(layers, str) else layers)]
    if not globs:
        raise ArgumentError(f"`layers`={layers!r} must name at least one layer, or be None")
    return _matched(model, cuttable, globs)


def _matched(
    model: nn.Module, cuttable: Mapping[str, Layer], globs: Sequence[str]
) -> dict[str, Layer]:
    for glob in globs:
        if not any(matches(glob, name, layer.module) for name, layer in cuttable.items()):
            raise PlanError(nothing_matched(glob, model, cuttable))
    return {
        name: layer
        for name, layer in cuttable.items()
        if any(matches(glob, name, layer.module) for glob in globs)
    }


def _inner_convolutions(
    model: nn.Module, cuttable: Mapping[str, Layer], forward_pass: ForwardPass | None
) -> dict[str, Layer]:
    order = tuple(cuttable) if forward_pass is None else forward_pass.order
    heads = frozenset(order[-1:]) if forward_pass is None else forward_pass.heads
    convolutions = {
        n: x for n, x in cuttable.items() if not isinstance(x.module, nn.Linear | SparseLinear)
    }
    first = next((name for name in order if name in convolutions), None)
    inner = {n: x for n, x in convolutions.items() if n != first and n not in heads}
    if not inner:
        raise PlanError(
            f"{type(model).__name__} has no convolution between its first one and its head, which "
            f"are left whole unless `layers` names them{_because(model)}"
        )
    return inner


def _because(model: nn.Module) -> str:
    """Why layers of `model` cannot be cut, as the end of a sentence; empty if all can be."""
    why = why_left(model)
    return f". {why}" if why else ""


def nothing_lives(layers: Iterable[str]) -> ArgumentError:
    """The error for layers without a live weight."""
    return ArgumentError(f"nothing lives in `layers`: {', '.join(layers)}; name other layers")


def plan_of(model: nn.Module, masks: Mapping[str, np.ndarray]) -> Plan:
    """The plan that leaves `masks` alive, and the other sparse layers of `model` as they are.

    Dense layers that stay whole are left out, and so stay dense, unless all do.
    """
    cuttable = cuttable_layers(model)
    patterns = {name: layer.pattern for name, layer in sparse_layers(model).items()}
    masks = {n: mask for n, mask in masks.items() if n in patterns or not mask.all()} or masks
    patterns |= {name: Pattern(mask, cuttable[name].groups) for name, mask in masks.items()}
    return Plan({escape(name): pattern for name, pattern in patterns.items()})
