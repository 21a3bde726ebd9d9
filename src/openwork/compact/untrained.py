"""Parameters that are zero as initialised and have a gradient, so that training would use them.

Residual networks often begin with the last scale of each branch at zero. Until they are trained,
their branches look exactly like dead ones.
"""

from collections.abc import Iterator, Sequence, Set
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.fx import Node

from openwork._call import as_call
from openwork._copy import copied
from openwork._mode import evaluation
from openwork._nested import flatten
from openwork._unchanged import unchanged
from openwork.capture import Captured
from openwork.capture.operators import arguments
from openwork.compact.estimate import share_left
from openwork.compact.rebind import rebind
from openwork.compact.select import Selection
from openwork.errors import ArgumentError
from openwork.flow.analysis import analyse
from openwork.flow.handle.movement import MOVEMENT
from openwork.flow.handle.weights import WEIGHTS

aten = torch.ops.aten
# Of fresh ResNets with such scales, compact would leave between 2 % and 19 %.
_LEAST = 0.2
_PRODUCTS = (aten.mul.Tensor, aten.mul_.Tensor)
_NORMS = (
    aten.batch_norm.default,
    aten._native_batch_norm_legit_no_training.default,
    aten.group_norm.default,
    aten.instance_norm.default,
    aten.layer_norm.default,
    aten.rms_norm.default,
)


def untrained_parameters(
    captured: Captured,
    model: nn.Module,
    example: Sequence[torch.Tensor],
    masked: Set[str] = frozenset(),
) -> tuple[str, ...]:
    """Qualified names of parameters that are zero throughout because training has not begun.

    Such a parameter is the scale of a norm whose shift is zero too and whose running statistics,
    if any, are those of a new layer; a factor of a product; or the kernels of a layer whose bias
    is zero too. Kernels without a bias do not count: pruning leaves those. And it has a gradient
    on `example`, or has one once others on this list are not zero. Where a rectifier or another
    zero behind it lets no gradient through, no training brings the channels back.

    Args:
        captured: the graph of `model`.
        model: on the CPU; it is not changed.
        example: tensors `(N, ...)` of one call.
        masked: names of parameters that masks held at zero, so that they do not count.
    """
    waiting = [name for name in _zero_throughout(captured, model) if name not in masked]
    found: list[str] = []
    trial = copied(model) if waiting else model
    while waiting:
        reached = _with_gradient(trial, waiting, example)
        if not reached:
            break
        found += reached
        waiting = [name for name in waiting if name not in reached]
        for name in reached:
            # What lies before it has a gradient as soon as it is not zero.
            nn.init.normal_(trial.get_parameter(name))
    return tuple(found)


def as_if_trained(captured: Captured, names: Sequence[str]) -> Captured:
    """`captured`, as if nothing were known of the parameters `names`."""
    held = captured.parameters
    unknown = {
        name: torch.full_like(captured.constants[place], torch.nan)
        for place, name in held.items()
        if name in names
    }
    return rebind(captured, unknown)


def check_trained(captured: Captured, model: nn.Module, names: Sequence[str]) -> None:
    """Refuse a network of which hardly anything is left without what `names` hold at zero.

    Args:
        captured: the graph of `model`.
        model: it is not changed.
        names: from `untrained_parameters`.
    """
    if not names:
        return
    analysis = analyse(captured, model)
    sizes = {
        name.rpartition(".")[0]: parameter.numel()
        for name, parameter in model.named_parameters()
        if name in analysis.weights
    }
    left = share_left(analysis, Selection(analysis, np.arange(0)), sizes)
    if left < _LEAST:
        raise ArgumentError(
            f"`model` is a {type(model).__name__} that has not been trained: compact would remove "
            f"{1 - left:.1%} of its weights, which {len(names)} parameters such as `{names[0]}` "
            "hold at zero although they have a gradient; train it first, or pass "
            "allow_untrained=True"
        )


def _zero_throughout(captured: Captured, model: nn.Module) -> Iterator[str]:
    names = captured.parameters
    for node in captured.program.graph.nodes:
        if node.op != "placeholder" or node.name not in names:
            continue
        parameter = model.get_parameter(names[node.name])
        may_change = parameter.requires_grad and parameter.numel() and _is_zero(captured, node)
        if may_change and any(_begins_at_zero(captured, *pair) for pair in _readers(node)):
            yield names[node.name]


def _readers(node: Node) -> Iterator[tuple[Node, Node]]:
    """The operators that read `node` or a view of it, and what each of them reads."""
    for user in node.users:
        if user.target in MOVEMENT:
            yield from _readers(user)
        else:
            yield user, node


def _begins_at_zero(captured: Captured, reader: Node, scale: Node) -> bool:
    """Whether `reader` uses `scale` in a way in which new layers have zeros."""
    if reader.target in _PRODUCTS:
        return True
    if reader.target not in _NORMS and reader.target not in WEIGHTS:
        return False
    given = arguments(reader)
    if given.get("weight") is not scale:
        return False
    bias = given.get("bias")
    if reader.target not in _NORMS:
        return bias is not None and _is_zero(captured, bias)
    shift, mean, variance = bias, given.get("running_mean"), given.get("running_var")
    return all(_is_zero(captured, each) for each in (shift, mean) if each is not None) and (
        variance is None or _is_zero(captured, variance, minus=1.0)
    )


def _is_zero(captured: Captured, node: Any, minus: float = 0.0) -> bool:
    held = captured.constants.get(node.name) if isinstance(node, Node) else None
    return isinstance(held, torch.Tensor) and not bool((held.detach() - minus).any())


def _with_gradient(
    model: nn.Module, names: Sequence[str], example: Sequence[torch.Tensor]
) -> list[str]:
    """Those of `names` that have a gradient on `example`; none if the model has no gradients."""
    draw = torch.Generator().manual_seed(0)
    parameters = [model.get_parameter(name) for name in names]
    try:
        with torch.enable_grad(), unchanged(model), evaluation(model):
            results = flatten(as_call(example).map(torch.clone).run(model))[0]
            # One direction of the outputs, drawn at random, stands for every loss.
            total = sum(
                (result * torch.randn(result.shape, generator=draw)).sum()
                for result in results
                if isinstance(result, torch.Tensor) and result.requires_grad
            )
            gradients = torch.autograd.grad(total, parameters, allow_unused=True)  # type: ignore[arg-type]
    except Exception:
        # Any kind: it is the model's own code that does not run with gradients.
        return []
    return [
        name
        for name, gradient in zip(names, gradients, strict=True)
        if gradient is not None and bool(gradient.nan_to_num().any())
    ]
