"""`sparsify_` and `densify_`: replace dense layers by sparse ones and back, in place."""

from typing import TypeVar

from torch import nn

from openwork._arguments import check_choice
from openwork.errors import ArgumentError
from openwork.nn.drawn_from import DrawnFrom
from openwork.nn.kinds.to_sparse import to_sparse
from openwork.nn.layers import dense_layers, replace, sparse_layers
from openwork.nn.plan import Plan
from openwork.nn.sparse_layer import INITS

M = TypeVar("M", bound=nn.Module)


def sparsify_(model: M, plan: Plan, *, init: str = "rescale") -> M:
    """Replace the layers that `plan` names by sparse ones, in place.

    Make the optimiser afterwards: the sparse layers have new, shorter parameters. Layers whose
    planned pattern is dense remain plain torch layers. If an error is raised, nothing is changed.

    Args:
        model: any module with `torch.nn.Conv1d`, `Conv2d` or `Linear` layers. Their subclasses,
            layers with shared weights and re-parametrised or masked layers are skipped;
            `plan.preview(model)` says why.
        plan: which layer gets which pattern.
        init: "rescale" (default): the dense weights at live taps times
            sqrt(dense fan-in / true fan-in), which is the model's initialisation at the right
            scale; "keep": those weights bit for bit, for a trained network; "reset": redrawn with
            torch's default at the true fan-in.

    Returns:
        `model` itself.

    Raises:
        PlanError: a rule matches nothing, or a pattern does not fit its layer.
        ArgumentError: an unknown `init`, or weights that are NaN or infinite.

    >>> model = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 32, 3))
    >>> plan = Plan({"2": {"pattern": "random", "density": 0.25}})
    >>> sparsify_(model, plan)[2].weight.shape
    torch.Size([1152])
    """
    if not isinstance(plan, Plan):
        raise ArgumentError(f"`plan`={plan!r} must be a Plan; Plan.from_yaml reads one from a file")
    check_choice("init", init, INITS)
    layers, specs = dense_layers(model), plan.specs(model)
    replacements: dict[nn.Module, nn.Module] = {}
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
        replacements[dense] = sparse
    replace(model, replacements)
    return model


def densify_(model: M) -> M:
    """Replace every sparse layer of `model` by the equivalent plain torch layer, in place.

    Weights are bit-equal, with zeros at dead taps, so outputs are identical. Make the optimiser
    afterwards.

    Args:
        model: any module that is not itself a sparse layer.

    Returns:
        `model` itself.

    Raises:
        ArgumentError: `model` is itself a sparse layer; use its `to_dense()`.

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
    replace(model, {layer: layer.to_dense() for layer in layers.values()})
    return model
