"""`compact`: a physically smaller network that computes the same."""

import copy
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from openwork.channels.carry_over import carry_over_, check_optimizer
from openwork.channels.masks import make_masks_permanent_, replica, zero_small_scales_
from openwork.channels.proof import Inputs, apart, compare, outputs
from openwork.channels.report import Proof, prove, with_scores
from openwork.channels.rewrite import Rewrite, rewrite
from openwork.channels.surgery import cut_
from openwork.errors import ArgumentError
from openwork.nn._mode import evaluation
from openwork.patterns._checks import check_count

Example = torch.Tensor | Sequence[torch.Tensor]


def compact(
    model: nn.Module,
    example: Example,
    *,
    inputs: Iterable[Example] = (),
    optimizer: torch.optim.Optimizer | None = None,
    ema: nn.Module | None = None,
    round_to: int | None = None,
    gamma_below: float | None = None,
    evaluate: Callable[[nn.Module], float] | None = None,
    tolerance: float = 1e-4,
) -> tuple[nn.Module, Proof]:
    """A copy of `model` without its dead channels, its outputs checked against the original's.

    A channel is dead if nothing reads it, or if it is zero or constant for every input: its batch
    norm's scale is zero, its weights are. Constants go into the next bias, or, where zero padding
    would show, into one constant channel that stays, so the copy is exact at any input size.
    Operators that are not understood keep what they read. Activations are taken to be finite.

    Args:
        model: any module that torch.export captures, float32; it is not changed. Masks of
            `torch.nn.utils.prune` are applied for good in the copy.
        example: an input batch (or several tensors), float32 on the CPU.
        inputs: more of them, over which outputs are compared too.
        optimizer: of `model`. In the end it holds the copy's parameters, with what it remembers
            of numbers that stay.
        ema: a model of the same kind with averaged weights, cut like the copy, in place;
            `proof.ema` says how far that changes its outputs.
        round_to: keep some dead channels so that counts are multiples of it; default None.
        gamma_below: also take channels for constant whose batch norm has a scale smaller than
            this in size. That changes outputs, and `proof.change` says how far. Default None.
        evaluate: gives a number for a model in evaluation mode, such as its accuracy; called with
            `model` and with the copy, and `proof.scores` holds both. Default None.
        tolerance: largest difference allowed, relative to the largest output, default 1e-4.

    Returns:
        The copy, of the same class and in the same mode, and the proof: outputs compared, what
        was removed and why, parameters and MACs before and after.

    Raises:
        CaptureError: torch cannot capture the network.
        VerificationError: the network gives other outputs once channels are taken out.
        ArgumentError: an example that is no float32 batch on the CPU, a bad `round_to` or
            `gamma_below`, or an optimiser or average of another model.
    """
    given = _tensors(example)
    more = [_tensors(other) for other in inputs]
    _check(model, optimizer, ema, round_to, gamma_below)
    original = make_masks_permanent_(replica(model).cpu()).eval()
    reference = original
    if gamma_below is not None:
        reference = zero_small_scales_(copy.deepcopy(original), gamma_below)
    found = rewrite(reference, given, more, round_to or 1, tolerance)
    change = average = None
    if gamma_below is not None:
        cases = compare(original, found.small, given, more, float("inf"))
        change = max(case.relative for case in cases)
    if ema is not None:
        average = _cut_average_(ema, found, given)
    proof = prove(reference, found, given, change, average)
    small = _as_before(found.small, model)
    if evaluate is not None:
        with evaluation(model, small):
            proof = with_scores(proof, float(evaluate(model)), float(evaluate(small)))
    if optimizer is not None:
        carry_over_(optimizer, model, small, found.cuts)
    return small, proof


def _tensors(example: Example) -> Inputs:
    return (example,) if isinstance(example, torch.Tensor) else tuple(example)


def _check(
    model: nn.Module,
    optimizer: torch.optim.Optimizer | None,
    ema: nn.Module | None,
    round_to: int | None,
    gamma_below: float | None,
) -> None:
    if round_to is not None:
        check_count("round_to", round_to)
    if gamma_below is not None and not 0 < gamma_below < float("inf"):
        raise ArgumentError(f"`gamma_below`={gamma_below!r} must be a number above 0, such as 1e-3")
    if optimizer is not None:
        check_optimizer(model, optimizer)
    if ema is not None:
        own, other = _shapes(model), _shapes(_averaged(ema))
        if own != other:
            raise ArgumentError(
                f"`ema` is a {type(ema).__name__} with other parameters than `model`; pass an "
                "average of this model"
            )


def _shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}


def _averaged(ema: nn.Module) -> nn.Module:
    return ema.module if isinstance(ema, AveragedModel) else ema


def _cut_average_(ema: nn.Module, found: Rewrite, given: Inputs) -> float:
    """Cut the averaged model in place; how far its outputs change, relative to the largest."""
    average = make_masks_permanent_(_averaged(ema))
    device = _device(average)
    average.cpu()
    before = outputs(average, given)
    found.put_zeros_(average)
    cut_(average, found.analysis, found.selection)
    change = apart(before or [], outputs(average, given))[1]
    average.to(device)
    return change


def _device(model: nn.Module) -> torch.device:
    first = next(iter([*model.parameters(), *model.buffers()]), None)
    return torch.device("cpu") if first is None else first.device


def _as_before(small: nn.Module, model: nn.Module) -> nn.Module:
    """On the device of `model`, each module in its mode."""
    modes = {name: module.training for name, module in model.named_modules()}
    for name, module in small.named_modules():
        module.training = modes.get(name, model.training)
    return small.to(_device(model))
