"""`grow_`: more live connections in a network that is being trained, and nothing else changed."""

from collections.abc import Mapping
from typing import TypeVar

import numpy as np
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from openwork._arguments import check_choice, check_density, check_seed
from openwork.errors import ArgumentError
from openwork.nn.drawn_from import DrawnFrom
from openwork.nn.layers import sparse_layers
from openwork.nn.sparse_layer import SparseLayer
from openwork.patterns import Pattern, PatternSpec, grow, layer_seed
from openwork.patterns.spec import nests

M = TypeVar("M", bound=nn.Module)
INITS = ("zero", "original")
# What an optimiser's fresh memory is filled with where that is not zero: the group's setting.
_FRESH: dict[tuple[type[torch.optim.Optimizer], str], str] = {
    (torch.optim.Adagrad, "sum"): "initial_accumulator_value",
    (torch.optim.Rprop, "step_size"): "lr",
}


def grow_(
    model: M,
    density: float | Mapping[str, float],
    optimizer: torch.optim.Optimizer | None = None,
    *,
    init: str = "zero",
    seed: int | None = None,
) -> M:
    """Bring further connections of the sparse layers alive, in place, between two training steps.

    No connection dies. Layers that `sparsify_` drew with `random` or `block` get the pattern that
    their plan gives at the new density under the same seed, which contains the one they have; to
    any other pattern `patterns.grow` adds. What has grown is saved, loaded and grown on like any
    sparse layer.

    Each parameter stays the object it was and becomes longer, so everything that holds it goes on:
    the optimiser with its groups, its settings and, bit for bit, what it remembers of the weights
    that lived before; lists for clipping; schedulers. Of new weights it remembers nothing, as of
    all weights at the start: zeros, or what it begins with (Adagrad, Rprop). Adam counts its steps
    for a whole layer, so a new weight's first step can be 3.2 times the learning rate. Three
    things are copies and need a call each:

    - an average of the weights (`torch.optim.swa_utils.AveragedModel`): grow its `module` as well;
    - `DistributedDataParallel`, which counts on sizes: grow the module inside, wrap it anew;
    - a compiled model: compile it anew.

    Args:
        model: with sparse layers; not wrapped in DistributedDataParallel.
        density: in (0, 1]: to live in each sparse layer, as a share of its connections, rounded
            as in `patterns.random`; layers that are denser already stay. Or one for each of some
            layers, by qualified name.
        optimizer: over the parameters of `model`, or None; not LBFGS, which remembers all of them
            as one vector.
        init: new weights start at "zero" (default), which changes no output; or at "original", a
            value that each connection has from the beginning, however late it comes alive: normal,
            with the deviation that the layer's dense weights had.
        seed: of the order of connections that `patterns.grow` adds and of original values. By
            default the layers' own, 0 for layers that no plan drew.

    Returns:
        `model` itself.

    Raises:
        ArgumentError: no sparse layer, an unknown name, a density out of (0, 1], an unknown
            `init`, an `optimizer` of another model or LBFGS, or a pattern of single taps.

    Source: incremental training in "The Power of Sparsity in Convolutional Neural Networks"
    (2017). What it leaves open is our reading: its masks suggest original values, here drawn when
    they are needed since dead weights are not stored; the optimiser's memory.
    """
    check_choice("init", init, INITS)
    if seed is not None:
        check_seed(seed)
    if any(isinstance(module, DistributedDataParallel) for module in model.modules()):
        raise ArgumentError(
            "`model` is wrapped in DistributedDataParallel, which counts on the parameters' sizes; "
            "grow the module inside and wrap it anew"
        )
    layers = sparse_layers(model)
    wanted = _wanted(density, layers)
    _check_optimizer(optimizer, list(layers.values()))
    grown = {name: _denser(layers[name], name, wanted[name], seed) for name in wanted}
    for name, pattern in grown.items():
        layer = layers[name]
        if pattern.live > layer.weight.numel():
            values = None if init == "zero" else _original(layer, name, pattern, seed)
            widen_(layer, pattern, optimizer, values)
    return model


def check_can_grow(model: nn.Module, density: float) -> None:
    """See that every sparse layer of `model` can come to live at `density`.

    Raises:
        ArgumentError: no sparse layer, or one whose pattern `grow_` would refuse.
    """
    for name in _wanted(density, layers := sparse_layers(model)):
        pattern = layers[name].pattern
        if not pattern.whole and pattern.density < density:
            raise ArgumentError(
                f"layer {name!r} cannot grow to the density {density}: its kernels have single "
                "dead taps, and only patterns of whole connections can grow"
            )


@torch.no_grad()
def widen_(
    layer: SparseLayer,
    pattern: Pattern,
    optimizer: torch.optim.Optimizer | None = None,
    values: torch.Tensor | None = None,
) -> None:
    """Give `layer` a `pattern` that contains its own.

    Args:
        layer: whose `weight` stays the same object, with the same values at the same taps.
        pattern: of the same shape.
        optimizer: whose memory of the weight grows with it, or None.
        values: (pattern.live,) where new weights start; by default zeros.

    Raises:
        ArgumentError: `pattern` lacks a connection that lives.
    """
    old = layer.pattern
    if not _contains(pattern, old):
        raise ArgumentError(
            f"`pattern` {pattern} lacks connections of the layer's own {old}; layers only grow"
        )
    weight, gradient = layer.weight, layer.weight.grad
    places = torch.from_numpy(np.searchsorted(pattern.positions, old.positions)).to(weight.device)

    def longer(short: torch.Tensor, base: torch.Tensor | None = None) -> torch.Tensor:
        base = short.new_zeros(pattern.live) if base is None else base.to(short)
        return base.index_copy(0, places, short)

    memory = optimizer.state.get(weight, {}) if optimizer is not None else {}
    for key, value in memory.items():
        if isinstance(value, torch.Tensor) and value.shape == weight.shape:
            fresh = _fresh(optimizer, weight, key)
            memory[key] = longer(value, value.new_full((pattern.live,), fresh))
    _replace_data(weight, longer(weight.data, values))
    weight.grad = None if gradient is None else longer(gradient)
    layer.gaps = torch.from_numpy(pattern.gaps.copy()).to(layer.gaps.device)


def _fresh(optimizer: torch.optim.Optimizer | None, weight: nn.Parameter, key: str) -> float:
    """What `optimizer` would begin with, where it keeps `key` of `weight`."""
    for (kind, name), setting in _FRESH.items():
        if isinstance(optimizer, kind) and name == key:
            groups = optimizer.param_groups
            own = next(g for g in groups if any(p is weight for p in g["params"]))
            return float(own[setting])
    return 0.0


def _replace_data(parameter: nn.Parameter, data: torch.Tensor) -> None:
    parameter.grad = None
    # Whoever still holds the last loss keeps the old gradient accumulator alive, and that refuses
    # gradients of another size. torch makes a new one only where dtype or device change.
    other = torch.float32 if data.dtype == torch.float16 else torch.float16
    parameter.data = data.to(other)
    parameter.data = data


def _wanted(
    density: float | Mapping[str, float], layers: Mapping[str, SparseLayer]
) -> dict[str, float]:
    if not layers:
        raise ArgumentError("`model` has no sparse layer to grow; sparsify_ it first")
    if not isinstance(density, Mapping):
        return dict.fromkeys(layers, check_density(density))
    unknown = [name for name in density if name not in layers]
    if unknown:
        raise ArgumentError(
            f"`density` names {unknown[0]!r}, which is no sparse layer; there is "
            f"{', '.join(map(repr, layers))}"
        )
    return {name: check_density(share, f"density[{name!r}]") for name, share in density.items()}


def _check_optimizer(optimizer: torch.optim.Optimizer | None, layers: list[SparseLayer]) -> None:
    if optimizer is None:
        return
    if isinstance(optimizer, torch.optim.LBFGS):
        raise ArgumentError(
            "`optimizer` is LBFGS, which remembers all parameters as one vector and cannot go on "
            "when they become longer; train with another, or make a new one after growing"
        )
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    for layer in layers:
        if layer.weight.requires_grad and id(layer.weight) not in held:
            raise ArgumentError(
                "`optimizer` does not hold the weights of the model's sparse layers; give the one "
                "that trains this very model, made after sparsify_"
            )


def _denser(layer: SparseLayer, name: str, density: float, seed: int | None) -> Pattern:
    pattern = layer.pattern
    if density <= pattern.density:
        return pattern
    origin, own = layer.origin, _seed(layer, name, seed)
    if origin is not None and nests(origin.spec.kind):
        spec = PatternSpec.of(
            origin.spec.kind, **{**dict(origin.spec.parameters), "density": density}
        )
        drawn = spec.build(layer.shape, layer.groups, own)
        if _contains(drawn, pattern):
            return drawn
    try:
        return grow(pattern, density, seed=own)
    except ArgumentError as error:
        raise ArgumentError(f"layer {name!r}: {error}") from error


def _seed(layer: SparseLayer, name: str, seed: int | None) -> int:
    if seed is None and layer.origin is not None:
        return layer.origin.seed
    return layer_seed(seed or 0, name)


def _original(layer: SparseLayer, name: str, pattern: Pattern, seed: int | None) -> torch.Tensor:
    """Where the weights of `pattern` start (live,): one draw for all that the layer could have."""
    deviation = _deviation(layer.origin, pattern)
    stream = layer_seed(_seed(layer, name, seed), "original weights")
    values = torch.randn(pattern.shape, generator=torch.Generator().manual_seed(stream))
    return deviation * values.view(-1)[torch.from_numpy(pattern.positions)]


def _deviation(origin: DrawnFrom | None, pattern: Pattern) -> float:
    """Of the dense weights; for a layer that took the place of none, that of torch's default."""
    if origin is not None:
        return origin.deviation
    return (3 * int(np.prod(pattern.shape[1:]))) ** -0.5


def _contains(large: Pattern, small: Pattern) -> bool:
    return bool(np.isin(small.positions, large.positions, assume_unique=True).all())
