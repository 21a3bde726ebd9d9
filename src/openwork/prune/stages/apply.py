"""`apply_`: cut a trained network, dense or sparse, as a plan says."""

from collections.abc import Mapping, Sequence

from torch import nn

from openwork._arguments import check_model
from openwork.errors import ArgumentError
from openwork.nn import Plan, SparseLayer
from openwork.nn.change.exchange import exchange_
from openwork.nn.change.optimizers import Optimizer, Optimizers, optimizers_of
from openwork.nn.globs import escape
from openwork.nn.kinds.masked import masks_as_patterns
from openwork.nn.layers import replace, sparse_layers
from openwork.nn.sparsify import sparse_twins
from openwork.patterns import Pattern, PatternSpec


def apply_(model: nn.Module, plan: Plan, *, optimizer: Optimizers = None) -> nn.Module:
    """Remove the weights that `plan` leaves out, in place; the others are kept bit for bit.

    Removed weights are no longer parameters: create the optimiser for retraining afterwards, or
    pass the present one. Dead weights stay dead: a sparse layer is left with what lives both in its
    pattern and in the plan's, and so do weights that a mask of `torch.nn.utils.prune` leaves out.
    Layers that lose nothing remain the same modules.

    Args:
        model: the network that the plan was chosen for.
        plan: from `search` or `by_criterion`, or any other. Its pattern for a layer has the shape
            of the dense weight, `(out, in / groups, kh, kw)` or `(out, in)`.
        optimizer: the optimiser that trains `model`, or several. It then holds the new parameters
            in the groups of the old ones, with the state of the weights that are kept. Default
            None: an optimiser that is left behind warns at its next step.

    Returns:
        `model` itself. The weight of a layer that was cut has shape (live,).

    Raises:
        PlanError: the plan does not fit; nothing is changed.
        ArgumentError: weights of a layer to be cut are NaN or infinite, `plan` is not a plan,
            `model` is itself a sparse layer, or an `optimizer` as in `sparsify_`; nothing is
            changed.

    Examples:
        >>> import openwork as ow
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 4, 3))
        >>> plan = ow.Plan({"1": ow.patterns.random(4, 8, 3, 0.25)})
        >>> model[1].weight.shape
        torch.Size([4, 8, 3, 3])
        >>> apply_(model, plan)[1].weight.shape  # a quarter of the kernels
        torch.Size([72])
    """
    if not isinstance(plan, Plan):
        raise ArgumentError(
            f"`plan`={plan!r} must be a Plan, such as `by_criterion` and `search` return"
        )
    check_model(model)
    with masks_as_patterns(model):
        _cut_(model, plan, optimizers_of(optimizer))
    return model


def _cut_(model: nn.Module, plan: Plan, optimizers: Sequence[Optimizer]) -> None:
    sparse = sparse_layers(model)
    if "" in sparse:
        raise ArgumentError(
            "`model` is itself a sparse layer and cannot be replaced in place; wrap it in "
            "nn.Sequential"
        )
    dense: dict[nn.Module, nn.Module] = {layer: layer.to_dense() for layer in sparse.values()}
    original = {stand_in: layer for layer, stand_in in dense.items()}
    # A plan is for dense layers.
    replace(model, dense)
    try:
        rules = _rules(sparse, plan.resolve(model), plan.specs(model))
        by_glob = {escape(name): rule for name, rule in rules.items()}
        twins = sparse_twins(model, Plan(by_glob, seed=plan.seed), "keep") if rules else {}
    finally:
        replace(model, original)
    cut = {original.get(layer, layer): twin for layer, twin in twins.items()}
    exchange_(model, cut, optimizers, "prune.apply_")


def _rules(
    sparse: Mapping[str, SparseLayer],
    planned: Mapping[str, Pattern],
    specs: Mapping[str, tuple[PatternSpec, int]],
) -> dict[str, Pattern | PatternSpec]:
    """What each layer that loses something is left with.

    A spec where the layer is left with exactly what the spec draws, so that its origin is kept.
    """
    rules: dict[str, Pattern | PatternSpec] = {}
    for name, pattern in planned.items():
        left = pattern
        if name in sparse:
            current = sparse[name].pattern
            left = Pattern(current.taps & pattern.taps, current.groups)
            if left == current:
                continue
        rules[name] = specs[name][0] if name in specs and left == pattern else left
    return rules
