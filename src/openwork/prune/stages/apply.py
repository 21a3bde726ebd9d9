"""`apply_`: a plan put into effect on a trained network, dense or sparse."""

from collections.abc import Mapping

from torch import nn

from openwork.errors import ArgumentError
from openwork.nn import Plan, SparseLayer, sparsify_
from openwork.nn.globs import escape
from openwork.nn.layers import replace, sparse_layers
from openwork.patterns import Pattern, PatternSpec


def apply_(model: nn.Module, plan: Plan) -> nn.Module:
    """Take away what `plan` leaves out, in place; the weights that stay are kept bit for bit.

    What was cut is no parameter any more, so make the optimiser for retraining afterwards.
    Nothing comes alive: a sparse layer is left with what both its pattern and the plan's have.
    Layers that lose nothing stay the modules they were.

    Args:
        model: the network that the plan was chosen for.
        plan: from `search` or `by_criterion`, or any other.

    Returns:
        `model` itself.

    Raises:
        PlanError: the plan does not fit; nothing is changed.
        ArgumentError: weights of a layer to be cut that are NaN or infinite; `plan` is none; or
            `model` is itself a sparse layer. Nothing is changed either.
    """
    if not isinstance(plan, Plan):
        raise ArgumentError(
            f"`plan`={plan!r} must be a Plan, such as `by_criterion` and `search` return"
        )
    sparse = sparse_layers(model)
    if "" in sparse:
        raise ArgumentError(
            "`model` is itself a sparse layer and cannot be replaced in place; wrap it in "
            "nn.Sequential"
        )
    dense: dict[nn.Module, nn.Module] = {layer: layer.to_dense() for layer in sparse.values()}
    back = {stand_in: layer for layer, stand_in in dense.items()}
    replace(model, dense)
    try:
        rules = _less(sparse, plan.resolve(model), plan.specs(model))
        # Those that lose nothing are back in their places before anything is cut.
        replace(model, {dense[x]: x for name, x in sparse.items() if name not in rules})
        if rules:
            own = {escape(name): rule for name, rule in rules.items()}
            sparsify_(model, Plan(own, seed=plan.seed), init="keep")
    except BaseException:
        replace(model, back)
        raise
    return model


def _less(
    sparse: Mapping[str, SparseLayer],
    planned: Mapping[str, Pattern],
    specs: Mapping[str, tuple[PatternSpec, int]],
) -> dict[str, Pattern | PatternSpec]:
    """What each layer that loses something is left with; a spec where that is what it draws."""
    rules: dict[str, Pattern | PatternSpec] = {}
    for name, pattern in planned.items():
        left = pattern
        if name in sparse:
            own = sparse[name].pattern
            left = Pattern(own.taps & pattern.taps, own.groups)
            if left == own:
                continue
        rules[name] = specs[name][0] if name in specs and left == pattern else left
    return rules
