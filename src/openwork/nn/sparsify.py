"""`sparsify_` and `densify_`: replace dense layers by sparse ones and back, in place."""

from typing import TypeVar

from torch import nn

from openwork._arguments import check_choice, check_open
from openwork.errors import ArgumentError
from openwork.nn.change.exchange import exchange_
from openwork.nn.change.optimizers import Optimizers, optimizers_of
from openwork.nn.drawn_from import DrawnFrom
from openwork.nn.kinds.to_sparse import to_sparse
from openwork.nn.layers import dense_layers, sparse_layers
from openwork.nn.plan import Plan
from openwork.nn.sparse_layer import INITS

__all__ = ["sparse_twins"]

M = TypeVar("M", bound=nn.Module)


def sparsify_(model: M, plan: Plan, *, optimizer: Optimizers = None, init: str = "rescale") -> M:
    """Replace the layers that `plan` names by sparse ones, in place.

    The sparse layers have new, shorter parameters: create the optimiser afterwards, or pass it.
    Layers whose planned pattern is dense remain plain torch layers, and forward hooks stay. If an
    error is raised, nothing is changed.

    Args:
        model: any module with `torch.nn.Conv1d`, `Conv2d` or `Linear` layers. Their subclasses,
            layers with shared weights and re-parametrised or masked layers are skipped;
            `plan.preview(model)` says why.
        plan: which layer gets which pattern.
        optimizer: the optimiser that trains `model`, or several. It then holds the new parameters
            in the groups of the old ones, with the state of the live weights, which "reset" drops.
            Default None: an optimiser that is left behind warns at its next step.
        init: "rescale" (default): the dense weights at live taps times
            sqrt(dense fan-in / true fan-in), which is the model's initialisation at the right
            scale; "keep": those weights bit for bit, for a trained network; "reset": redrawn with
            torch's default at the true fan-in.

    Returns:
        `model` itself.

    Raises:
        PlanError: a rule matches nothing, or a pattern does not fit its layer.
        ArgumentError: an unknown `init`, weights that are NaN or infinite, or an `optimizer` of
            another model or one that cannot follow (LBFGS; Adafactor once it has made a step).

    >>> model = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 32, 3))
    >>> plan = Plan({"2": {"pattern": "random", "density": 0.25}})
    >>> sparsify_(model, plan)[2].weight.shape
    torch.Size([1152])
    """
    if not isinstance(plan, Plan):
        raise ArgumentError(f"`plan`={plan!r} must be a Plan; Plan.from_yaml reads one from a file")
    check_choice("init", init, INITS)
    check_open(model)
    optimizers = optimizers_of(optimizer)
    twins = sparse_twins(model, plan, init)
    exchange_(model, twins, optimizers, "sparsify_", fresh=init == "reset")
    return model


def sparse_twins(model: nn.Module, plan: Plan, init: str) -> dict[nn.Module, nn.Module]:
    """The sparse layers for `model` as `sparsify_` makes them, by the dense layer; changes nothing.

    Args:
        model, plan, init: as for `sparsify_`.
    """
    layers, specs = dense_layers(model), plan.specs(model)
    twins: dict[nn.Module, nn.Module] = {}
    for name, pattern in plan.resolve(model).items():
        if pattern.density == 1:
            continue
        dense = layers[name]
        try:
            sparse = to_sparse(dense, pattern, init=init)
        except ArgumentError as error:
            raise ArgumentError(f"layer {name!r}: {error}") from error
        if name in specs:
            deviation = dense.weight.detach().square().mean().sqrt().item()
            sparse.origin = DrawnFrom(*specs[name], deviation)
        twins[dense] = sparse
    return twins


def densify_(model: M, *, optimizer: Optimizers = None) -> M:
    """Replace every sparse layer of `model` by the equivalent plain torch layer, in place.

    Weights are bit-equal, with zeros at dead taps, so outputs agree up to the rounding of kernels.

    Args:
        model: any module that is not itself a sparse layer.
        optimizer: the optimiser that trains `model`, or several; it then holds the dense
            parameters, with the state of the live weights and a new state for dead taps. Default
            None: create the optimiser afterwards.

    Returns:
        `model` itself.

    Raises:
        ArgumentError: `model` is itself a sparse layer (use its `to_dense()`), or an `optimizer` as
            in `sparsify_`.

    >>> plan = Plan({"0": {"pattern": "random", "density": 0.25}})
    >>> model = sparsify_(nn.Sequential(nn.Conv2d(16, 32, 3)), plan)
    >>> densify_(model)[0].weight.shape
    torch.Size([32, 16, 3, 3])
    """
    layers = sparse_layers(model)
    if "" in layers:
        raise ArgumentError(
            "`model` is itself a sparse layer and cannot be replaced in place; use its to_dense()"
        )
    dense: dict[nn.Module, nn.Module] = {layer: layer.to_dense() for layer in layers.values()}
    exchange_(model, dense, optimizers_of(optimizer), "densify_")
    return model
