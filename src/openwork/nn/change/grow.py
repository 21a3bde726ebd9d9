"""`grow_`: add live connections to a network during training, and change nothing else."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from openwork._arguments import check_choice, check_density, check_model, check_seed
from openwork.errors import ArgumentError
from openwork.nn.change.left_behind import note_resized
from openwork.nn.change.optimizers import Heir, Optimizers, check_optimizers, follow_, optimizers_of
from openwork.nn.drawn_from import DrawnFrom
from openwork.nn.layers import sparse_layers
from openwork.nn.sparse_layer import SparseLayer
from openwork.patterns import Pattern, PatternSpec, grow, layer_seed
from openwork.patterns.spec import nests

__all__ = ["INITS", "check_can_grow"]

M = TypeVar("M", bound=nn.Module)
INITS = ("zero", "original")


def grow_(
    model: M,
    density: float | Mapping[str, float],
    optimizer: Optimizers = None,
    *,
    init: str = "zero",
    seed: int | None = None,
) -> M:
    """Add connections to the sparse layers of `model`, in place, between two training steps.

    Every live connection is kept. Layers that `sparsify_` drew with `random` or `block` get the
    pattern that their plan gives at the new density with the same seed, which contains the present
    one; other patterns are grown by `patterns.grow`. A grown layer can be saved, loaded and grown
    again like any sparse layer.

    Each `weight` remains the same Parameter object and becomes longer, so whatever refers to it
    keeps working: the optimiser with its groups and settings, schedulers, lists for clipping. The
    optimiser's state of the old weights is kept bit for bit; for new weights it starts as usual,
    from zeros or from the initial value of Adagrad and Rprop. Adam counts steps per layer, so the
    first step of a new weight can be 3.2 times the learning rate. Copies of the weights need a
    call each:

    - averaged weights (`torch.optim.swa_utils.AveragedModel`): grow its `module` as well;
    - `DistributedDataParallel`, which relies on sizes: grow the module inside, then wrap it again;
    - a compiled model: compile it again.

    Args:
        model: a model with sparse layers, not wrapped in DistributedDataParallel.
        density: share of live connections to reach in each sparse layer, in (0, 1], rounded as in
            `patterns.random`; layers that are already denser are unchanged. Or a mapping from
            qualified names to densities, which leaves the other layers unchanged.
        optimizer: the optimiser that trains `model`, or several; not LBFGS, which keeps all
            parameters in one vector. Default None: an optimiser that holds state of the old sizes
            raises at its next step.
        init: how new weights start. "zero" (default) changes no output; "original" gives each
            connection a value that is fixed from the beginning, whenever it is added: normal, with
            the standard deviation of the layer's dense weights.
        seed: seed of the connections that `patterns.grow` adds and of the original values. By
            default each layer's own, or 0 for layers that were not drawn by a plan.

    Returns:
        `model` itself.

    Raises:
        ArgumentError: no sparse layer, an unknown name, a density outside (0, 1], an unknown
            `init`, an `optimizer` of another model or LBFGS, or a pattern of single taps.

    Source: incremental training in "The Power of Sparsity in Convolutional Neural Networks"
    (2017). What it leaves open is our reading: original values, which its masks suggest (drawn
    here when needed, since dead weights are not stored), and the optimiser's state.

    >>> from openwork.nn import Plan, sparsify_
    >>> model = nn.Sequential(nn.Conv2d(16, 32, 3))
    >>> model = sparsify_(model, Plan({"*": {"pattern": "random", "density": 0.25}}))
    >>> len(model[0].weight), len(grow_(model, 0.5)[0].weight)
    (1152, 2304)
    """
    check_choice("init", init, INITS)
    if seed is not None:
        check_seed(seed)
    check_model(model)
    if any(isinstance(module, DistributedDataParallel) for module in model.modules()):
        raise ArgumentError(
            "`model` is wrapped in DistributedDataParallel, which relies on the sizes of "
            "parameters; grow the module inside, then wrap it again"
        )
    layers = sparse_layers(model)
    wanted = _wanted(density, layers)
    optimizers = optimizers_of(optimizer)
    _check_hold(optimizers, model, list(layers.values()))
    grown = {name: _denser(layers[name], name, wanted[name], seed) for name in wanted}
    for name, pattern in grown.items():
        layer = layers[name]
        if pattern.live > layer.weight.numel():
            values = None if init == "zero" else _original(layer, name, pattern, seed)
            before = layer.weight.shape
            widen_(layer, pattern, optimizers, values)
            note_resized(layer.weight, before, f"{name}.weight" if name else "weight", "grow_")
    return model


def check_can_grow(model: nn.Module, density: float) -> None:
    """Check that every sparse layer of `model` can grow to `density`.

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
    optimizers: Sequence[torch.optim.Optimizer] = (),
    values: torch.Tensor | None = None,
) -> None:
    """Give `layer` a `pattern` that contains its present one.

    Args:
        layer: its `weight` remains the same object, with the same values at the same taps.
        pattern: a pattern of the same shape.
        optimizers: their state of the weight grows too.
        values: (pattern.live,) initial values, used for new weights; by default zeros.

    Raises:
        ArgumentError: `pattern` lacks a live connection of `layer`.
    """
    old = layer.pattern
    if not _contains(pattern, old):
        raise ArgumentError(
            f"`pattern` {pattern} lacks connections of the layer's own {old}; it must contain them"
        )
    weight, gradient = layer.weight, layer.weight.grad
    places = torch.from_numpy(np.searchsorted(pattern.positions, old.positions)).to(weight.device)

    def longer(short: torch.Tensor, base: torch.Tensor | None = None) -> torch.Tensor:
        base = short.new_zeros(pattern.live) if base is None else base.to(short)
        return base.index_copy(0, places, short)

    follow_(optimizers, {weight: Heir(weight, longer)})
    _replace_data(weight, longer(weight.data, values))
    weight.grad = None if gradient is None else longer(gradient)
    layer.gaps = torch.from_numpy(pattern.gaps.copy()).to(layer.gaps.device)


def _replace_data(parameter: nn.Parameter, data: torch.Tensor) -> None:
    parameter.grad = None
    # A live reference to the last loss keeps the old gradient accumulator, which refuses gradients
    # of another size. torch makes a new one only if dtype or device change.
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
            f"`density` names {unknown[0]!r}, which is not a sparse layer; the sparse layers are "
            f"{', '.join(map(repr, layers))}"
        )
    return {name: check_density(share, f"density[{name!r}]") for name, share in density.items()}


def _check_hold(
    optimizers: Sequence[torch.optim.Optimizer], model: nn.Module, layers: Sequence[SparseLayer]
) -> None:
    """Refuse optimisers of which none trains some layer, or one that cannot follow."""
    if not optimizers:
        return
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    held = {id(parameter) for group in groups for parameter in group["params"]}
    if any(x.weight.requires_grad and id(x.weight) not in held for x in layers):
        raise ArgumentError(
            "`optimizer` does not hold the weights of the model's sparse layers; pass the one "
            "that trains this model, created after sparsify_ or given to it"
        )
    check_optimizers(optimizers, model, [layer.weight for layer in layers])


def _denser(layer: SparseLayer, name: str, density: float, seed: int | None) -> Pattern:
    pattern = layer.pattern
    if density <= pattern.density:
        return pattern
    origin, layer_own_seed = layer.origin, _seed(layer, name, seed)
    if origin is not None and nests(origin.spec.kind):
        spec = PatternSpec.of(
            origin.spec.kind, **{**dict(origin.spec.parameters), "density": density}
        )
        drawn = spec.build(layer.shape, layer.groups, layer_own_seed)
        if _contains(drawn, pattern):
            return drawn
    try:
        return grow(pattern, density, seed=layer_own_seed)
    except ArgumentError as error:
        raise ArgumentError(f"layer {name!r}: {error}") from error


def _seed(layer: SparseLayer, name: str, seed: int | None) -> int:
    if seed is None and layer.origin is not None:
        return layer.origin.seed
    return layer_seed(seed or 0, name)


def _original(layer: SparseLayer, name: str, pattern: Pattern, seed: int | None) -> torch.Tensor:
    """Initial values for `pattern` (live,), from one draw for every weight of the dense layer."""
    deviation = _deviation(layer.origin, pattern)
    stream = layer_seed(_seed(layer, name, seed), "original weights")
    values = torch.randn(pattern.shape, generator=torch.Generator().manual_seed(stream))
    return deviation * values.view(-1)[torch.from_numpy(pattern.positions)]


def _deviation(origin: DrawnFrom | None, pattern: Pattern) -> float:
    """Standard deviation of the dense weights; torch's default for a layer that replaced none."""
    if origin is not None:
        return origin.deviation
    return (3 * int(np.prod(pattern.shape[1:]))) ** -0.5


def _contains(large: Pattern, small: Pattern) -> bool:
    return bool(np.isin(small.positions, large.positions, assume_unique=True).all())
