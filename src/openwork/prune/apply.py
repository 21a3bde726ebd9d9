"""`apply_`: a plan put into effect on a trained network, dense or sparse."""

from torch import nn

from openwork.nn import Plan, densify_, sparsify_
from openwork.nn._globs import escape
from openwork.nn._layers import sparse_layers


def apply_(model: nn.Module, plan: Plan) -> nn.Module:
    """Take away what `plan` leaves out, in place; the weights that stay are kept bit for bit.

    What was cut is no parameter any more, so make the optimiser for retraining afterwards.
    Layers that were sparse already and that the plan does not name keep their patterns.

    Args:
        model: the network that the plan was chosen for.
        plan: from `search` or `by_criterion`, or any other.

    Returns:
        `model` itself.

    Raises:
        PlanError: the plan does not fit; nothing is changed.
        ArgumentError: weights that are NaN or infinite, or `model` is itself a sparse layer.
    """
    before = {escape(name): layer.pattern for name, layer in sparse_layers(model).items()}
    densify_(model)
    try:
        return sparsify_(model, Plan({**before, **plan.layers}, seed=plan.seed), init="keep")
    except BaseException:
        if before:
            sparsify_(model, Plan(before), init="keep")
        raise
