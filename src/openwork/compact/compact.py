"""`compact`: a physically smaller network that computes the same."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from openwork._arguments import (
    check_callable,
    check_count,
    check_model,
    check_open,
    check_threshold,
    check_tolerance,
)
from openwork._call import as_call, call_of, taken
from openwork._copy import copied
from openwork._mode import evaluation
from openwork._unchanged import unchanged
from openwork._unwrap import unwrapped
from openwork.capture import Captured, capture
from openwork.compact.hooks import detach_passive_hooks_, reattach_passive_hooks_
from openwork.compact.masks import make_masks_permanent_
from openwork.compact.optimizer import check_transfer, transfer_state_
from openwork.compact.rebind import rebind
from openwork.compact.report import (
    CompactReport,
    make_report,
    with_notes,
    with_scores,
    with_untrained,
)
from openwork.compact.rewrite import Rewrite, rewrite
from openwork.compact.small_scales import suggestion, without_small_scales, zero_small_scales_
from openwork.compact.surgery import cut_
from openwork.compact.untrained import check_trained, untrained_parameters
from openwork.errors import ArgumentError, CaptureError
from openwork.nn.change.optimizers import Optimizers, optimizers_of
from openwork.verify import Inputs, compare, compare_many, outputs


def compact(
    model: nn.Module,
    example: Any,
    *,
    inputs: Iterable[Any] = (),
    optimizer: Optimizers = None,
    ema: nn.Module | None = None,
    round_to: int | None = None,
    gamma_below: float | None = None,
    evaluate: Callable[[nn.Module], float] | None = None,
    tolerance: float = 1e-4,
    allow_untrained: bool = False,
) -> tuple[nn.Module, CompactReport]:
    """A copy of `model` without its dead channels, its outputs checked against the original's.

    A channel is dead if nothing reads it, or if it is zero or constant for every input, because
    its batch norm's scale or all its weights are zero. Constants are added to the next bias, or,
    where zero padding would show, to one constant channel that is kept, so the copy is exact at
    any input size. An operator that is not understood keeps the channels that it reads.
    Activations are assumed to be finite. Forward hooks of `model` that change what it computes are
    captured with it. Those that only observe run once, on `example`, and what they store is put
    back; they are left out of the report, and the copy has them again.

    What training has yet to use is not dead: many residual networks begin with the last scale of
    each branch at zero. A parameter counts as untrained if it is zero throughout, has a gradient
    on `example`, and is the scale of a norm (its shift zero too, its running statistics new), a
    factor of a product, or the kernels of a layer (its bias zero too). All that it holds at zero
    is kept and reported; where less than a fifth of the network would be left without it, the
    network is refused. Single channels, scales whose gradient is zero, norms that have seen
    batches and kernels without a bias, which pruning leaves, are cut as usual.

    Args:
        model: any module that torch.export captures, float32; it is not changed. Masks of
            `torch.nn.utils.prune` are made permanent in the copy. Of DistributedDataParallel and
            its kin the network within is compacted; wrap the copy again.
        example: an input batch `(N, ...)`, float32 on the CPU, or several inputs in a tuple, a list
            or a dict, as in `openwork.compile`.
        inputs: more such batches, over which outputs are compared too.
        optimizer: that trains `model`, or several. Afterwards it holds the copy's parameters, with
            the state of the weights that were kept. Default None.
        ema: a model of the same kind with averaged weights, cut like the copy, in place, after
            everything else has worked; `report.ema` says how far that changes its outputs.
        round_to: keep some dead channels so that counts are multiples of it; default None.
        gamma_below: also treat channels as constant whose batch norm has |scale| below this.
            That changes outputs, and `report.change` says how far. Default None.
        evaluate: gives a number for a model in evaluation mode, such as its accuracy; called with
            `model` and with the copy, and `report.scores` holds both. Default None.
        tolerance: largest difference allowed, relative to the largest output, default 1e-4.
        allow_untrained: also remove what only parameters hold at zero that training has yet to
            use, default False.

    Returns:
        The copy, of the same class and in the same mode, and the report: outputs compared, what
        was removed and why, parameters and MACs before and after.

    Raises:
        CaptureError: torch cannot capture the network, or it makes layers when it first runs.
        VerificationError: the network gives other outputs once channels are removed.
        ArgumentError: an example that is not a float32 batch on the CPU, `inputs` that `model`
            does not take, a bad `round_to`, `gamma_below` or `tolerance`, a model that cannot be
            copied, such as one whose lazy layers have not run, an optimiser of another model or
            one that cannot be cut (LBFGS, Adafactor), an average of another model or one that
            shares tensors with it, a network of which hardly anything has been trained.
    """
    model = unwrapped(model)
    _check(model, round_to, gamma_below, tolerance, evaluate)
    given = call_of(model, example)
    more = _more(model, inputs)
    _check_companions(model, optimizer, ema)
    # Its copies share with it the classes, and what cannot be copied.
    with unchanged(model):
        original = _working_copy(model, given)
        for index, inputs in enumerate(more):
            with taken(as_call(inputs), f"inputs[{index}]"):
                outputs(original, inputs)
        captured = capture(original, given)
        _check_made_before(original, captured)
        masked = {name.removesuffix("_orig") for name, _ in model.named_parameters()}
        masked -= {name for name, _ in model.named_parameters()}
        untrained = untrained_parameters(captured, original, given, masked)
        reference = original
        if gamma_below is not None:
            captured = rebind(captured, without_small_scales(original, gamma_below))
            reference = zero_small_scales_(copied(original), gamma_below)
        waiting = () if allow_untrained else untrained
        check_trained(captured, reference, waiting)
        found = rewrite(reference, given, more, round_to or 1, tolerance, captured, waiting)
        change = average = None
        if gamma_below is not None:
            cases = compare_many(original, found.small, given, more, float("inf"))
            change = max(case.relative for case in cases)
        if ema is not None:
            average = _change_of_average(_averaged(ema), found, given)
        report = make_report(reference, found, given, change, average)
        report = with_untrained(report, untrained, kept=not allow_untrained)
        if gamma_below is None and not (found.branches or untrained or found.selection.gone.any()):
            report = with_notes(report, suggestion(captured, reference, given))
        small = _as_before(found.small, model)
        if evaluate is not None:
            with evaluation(model, small):
                report = with_scores(report, _score(evaluate, model), _score(evaluate, small))
    # These change in place, so they come after everything that can fail.
    if ema is not None:
        _cut_average_(make_masks_permanent_(_averaged(ema)), found)
    transfer_state_(optimizers_of(optimizer), model, small, found.cuts)
    return small, report


def _more(model: nn.Module, inputs: Any) -> list[Inputs]:
    if isinstance(inputs, torch.Tensor) or not isinstance(inputs, Iterable):
        raise ArgumentError(
            f"`inputs` is a {type(inputs).__name__}, but must hold batches such as `example`; put "
            "a single one into a list"
        )
    return [call_of(model, other, f"inputs[{index}]") for index, other in enumerate(inputs)]


def _check(
    model: nn.Module,
    round_to: int | None,
    gamma_below: float | None,
    tolerance: float,
    evaluate: Callable[[nn.Module], float] | None,
) -> None:
    check_open(model)
    if evaluate is not None:
        check_callable("evaluate", evaluate, "(model) -> score")
    if round_to is not None:
        check_count("round_to", round_to)
    if gamma_below is not None:
        check_threshold("gamma_below", gamma_below)
        if gamma_below == 0:
            raise ArgumentError(f"`gamma_below`={gamma_below!r} must be above 0, such as 1e-3")
    check_tolerance(tolerance)


def _check_companions(model: nn.Module, optimizer: Optimizers, ema: nn.Module | None) -> None:
    check_transfer(model, optimizers_of(optimizer))
    if ema is None:
        return
    check_model(ema, "ema")
    average = _averaged(ema)
    if _shapes(model) != _shapes(average):
        raise ArgumentError(
            f"`ema` is a {type(ema).__name__} with other parameters than `model`; pass an "
            "average of this model"
        )
    if average is model or _memory(model) & _memory(average):
        raise ArgumentError(
            "`ema` shares tensors with `model`, and cutting it in place would cut `model`; pass "
            "a model with its own copies (copy.deepcopy)"
        )


def _check_made_before(model: nn.Module, captured: Captured) -> None:
    """The network has all of the layers that it runs; some make them in their first forward."""
    held = {name for name, _ in [*model.named_parameters(), *model.named_buffers()]}
    if made := sorted(set(captured.names.values()) - held):
        raise CaptureError(
            f"{type(model).__name__} makes {', '.join(made[:3])} when it first runs; run it on an "
            "example once, then compact it"
        )


def _memory(model: nn.Module) -> set[int]:
    held = [*model.parameters(), *model.buffers()]
    return {t.untyped_storage().data_ptr() for t in held if t.numel()}


def _working_copy(model: nn.Module, given: Inputs) -> nn.Module:
    """A copy on the CPU, in evaluation mode, without masks and passive hooks."""
    working = make_masks_permanent_(copied(model).cpu()).eval()
    detach_passive_hooks_(working, given)
    return working


def _score(evaluate: Callable[[nn.Module], float], model: nn.Module) -> float:
    score = evaluate(model)
    try:
        return float(score)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ArgumentError(
            f"`evaluate` gives {score!r}, but must give a number for a model"
        ) from error


def _shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}


def _averaged(ema: nn.Module) -> nn.Module:
    return unwrapped(ema.module if isinstance(ema, AveragedModel) else ema)


def _change_of_average(average: nn.Module, found: Rewrite, given: Inputs) -> float:
    """How far the averaged model's outputs will change, relative to the largest."""
    average = _working_copy(average, given)
    trial = copied(average)
    _cut_average_(trial, found)
    try:
        return compare(average, trial, given, float("inf")).relative
    except Exception:
        # The average does not run where `model` does, and nothing is known of its outputs.
        return float("inf")


def _cut_average_(average: nn.Module, found: Rewrite) -> None:
    device = _device(average)
    average.cpu()
    found.put_zeros_(average)
    cut_(average, found.analysis, found.selection)
    average.to(device)


def _device(model: nn.Module) -> torch.device:
    first = next(iter([*model.parameters(), *model.buffers()]), None)
    return torch.device("cpu") if first is None else first.device


def _as_before(small: nn.Module, model: nn.Module) -> nn.Module:
    """`small` on the device of `model`, each module in its mode and with all its hooks."""
    reattach_passive_hooks_(small)
    modes = {name: module.training for name, module in model.named_modules()}
    for name, module in small.named_modules():
        module.training = modes.get(name, model.training)
    return small.to(_device(model))
