"""`quantize`: static post-training quantisation to int8, its score checked."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import nn

from openwork._arguments import (
    check_callable,
    check_choice,
    check_finite_weights,
    check_flag,
    check_model,
    check_number,
)
from openwork._call import Call, call_of_batch, check_batches, taken
from openwork._copy import copied
from openwork._unchanged import unchanged
from openwork._unwrap import unwrapped
from openwork.capture import Captured, capture
from openwork.capture.steps import Steps
from openwork.compact.hooks import detach_passive_hooks_
from openwork.compact.masks import make_masks_permanent_
from openwork.errors import ArgumentError, VerificationError
from openwork.nn import densify_
from openwork.nn.sparse_layer import SparseLayer
from openwork.quantize.already import fix_ranges_, is_quantised
from openwork.quantize.correct import correct_
from openwork.quantize.emit import emit
from openwork.quantize.fold_batch_norms import fold_batch_norms_
from openwork.quantize.interface import Interface
from openwork.quantize.net import Net, net_of
from openwork.quantize.network import QuantizedNetwork
from openwork.quantize.ranges import METHODS, Observed, scale_of
from openwork.quantize.report import QuantizeReport, layer_table, worst_layers
from openwork.quantize.scheme import Scheme, scheme_of
from openwork.quantize.sizes import batches_of, takes_other_sizes
from openwork.verify import outputs

# Images of which both networks hold their values at once.
_SIDE_BY_SIDE = 64


@torch.no_grad()
def quantize(
    model: nn.Module,
    batches: Iterable[Any],
    *,
    calibrate: str = "minmax",
    percentile: float = 99.99,
    correct_bias: bool = True,
    evaluate: Callable[[nn.Module], float] | None = None,
    tolerance: float = 0.02,
) -> tuple[nn.Module, QuantizeReport]:
    """A copy of `model` that computes in int8, refused if it scores too much worse.

    Weights become int8, symmetric, with a scale for each output channel: zeros of sparse layers
    stay zero. Activations become uint8 with one scale for each tensor. Batch norms after layers are
    folded first. Sums and ReLUs directly after a layer belong to it. A network that is quantised
    already, by QDQ operators (PT2E, ONNX) or by quantisation-aware training with torch.ao, keeps
    its own scales.

    Args:
        model: any module that torch.export captures, float32; it is not changed.
        batches: images `(N, ...)` like those that it will see, all of one size, or tuples that
            begin with them; about a hundred images do.
        calibrate: how ranges of activations are found: "minmax" (default), "percentile", or "mse"
            for the least squared error.
        percentile: with "percentile", how many percent of the numbers lie within, default 99.99.
        correct_bias: whether the mean error of each output channel is added to its bias, default
            True; measured on the first batches with 64 images in all, or a few more, and weighed
            by how certain it is. One image alone corrects nothing.
        evaluate: gives a score for a model in evaluation mode, such as its accuracy, higher is
            better. Default None: the share of images in `batches` that keep their class.
        tolerance: how much the score may fall, default 0.02.

    Returns:
        The copy, which torch runs with `quantized_decomposed` operators, and the report.

    Raises:
        VerificationError: the score falls by more than `tolerance`.
        CaptureError: torch cannot capture the network.
        ArgumentError: no batches, or some that the network does not take or that hold NaN; an
            unknown `calibrate`, or a network without layers.
    """
    check_model(model)
    check_finite_weights(model)
    check_choice("calibrate", calibrate, METHODS)
    check_number("percentile", percentile, "in (50, 100]", lambda value: 50 < value <= 100)
    check_number("tolerance", tolerance, "of at least 0", lambda value: value >= 0)
    check_flag("correct_bias", correct_bias)
    if evaluate is not None:
        check_callable("evaluate", evaluate, "(model) -> score")
    model = unwrapped(model)
    check_batches(batches)
    calls = [call_of_batch(model, batch).to("cpu") for batch in batches]
    if not calls:
        raise ArgumentError("`batches` is empty, but must hold images to find ranges with")
    for call in calls:
        _check_finite(call)
    # Also the random numbers that the network draws, and what its copy shares with it.
    with unchanged(model):
        return _quantized(model, calls, calibrate, percentile, correct_bias, evaluate, tolerance)


def _quantized(
    model: nn.Module,
    calls: list[Call],
    calibrate: str,
    percentile: float,
    correct_bias: bool,
    evaluate: Callable[[nn.Module], float] | None,
    tolerance: float,
) -> tuple[nn.Module, QuantizeReport]:
    dense = make_masks_permanent_(copied(model).cpu()).eval()
    dense = dense.to_dense() if isinstance(dense, SparseLayer) else densify_(dense)
    detach_passive_hooks_(dense, calls[0])
    # Before it runs: observers of training would follow the batches.
    fix_ranges_(dense)
    expected: list[list[torch.Tensor]] = []
    for call in calls:
        with taken(call, "batches"):
            expected.append(_classes(dense, call))
    captured = capture(dense, calls[0])
    net = net_of(captured)
    interface = _interface(dense, net, captured, calls[0])
    narrow, left = net, {}
    if not is_quantised(net):
        fold_batch_norms_(net)
        scheme = scheme_of(net)
        if not scheme.layers:
            raise ArgumentError(f"`model` ({type(model).__name__}) has no layer of known weight")
        given = [list(captured.form.tensors(call.args, call.kwargs)) for call in calls]
        scales = _scales(net, scheme, given, calibrate, percentile)
        narrow, origin = emit(net, scheme, scales)
        left = correct_(net, narrow, origin, _first(given), correct_bias)
    found = QuantizedNetwork(Steps.of(narrow.graph), narrow.tensors, interface).eval()
    if evaluate is None:
        scores = 1.0, _share_kept(expected, found, calls)
    else:
        scores = _score(evaluate, model), _score(evaluate, found)
    if not scores[0] - scores[1] <= tolerance:
        raise VerificationError(
            f"the quantised network scores {scores[1]:.6g} and the original {scores[0]:.6g}, which "
            f"is a loss of more than `tolerance`={tolerance}; most error: "
            f"{worst_layers(net, left) or 'unknown'}. Try calibrate='mse' or more batches; the "
            "original is unchanged"
        )
    table = layer_table(net, left, scores, evaluate is not None)
    images = sum(call.images for call in calls)
    return found, QuantizeReport(scores, table, calibrate, images)


def _first(given: Sequence[Any]) -> list[Any]:
    """The batches that hold the first images, which both networks compute side by side."""
    images, kept = 0, []
    for tensors in given:
        if images >= _SIDE_BY_SIDE:
            break
        kept.append(tensors)
        images += len(tensors[0])
    return kept


def _check_finite(call: Call) -> None:
    for tensor in call:
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise ArgumentError(
                f"`batches` holds {tuple(tensor.shape)} with NaN or infinite numbers, which no "
                "range covers; leave such images out"
            )


def _interface(dense: nn.Module, net: Net, captured: Captured, call: Call) -> Interface:
    batches = batches_of(dense, net, call, captured.batches)
    return Interface(
        captured.form,
        captured.results.nesting,
        captured.results.constants,
        batches,
        tuple(tuple(tensor.shape[1:]) for tensor in call),
        takes_other_sizes(dense, net, call, batches),
    )


def _scales(
    net: Net, scheme: Scheme, given: list[Any], method: str, percentile: float
) -> dict[Any, tuple[float, int]]:
    """Scale and zero point of each uint8 value."""
    observed = {node: Observed(method, percentile) for node in scheme.values}
    for inputs in given:
        for node, (value,) in net.walk([inputs]):
            if node in observed and not observed[node].add(value):
                raise ArgumentError(
                    f"`batches` make `model` compute NaN or infinite numbers ({node.name}), which "
                    "no range covers; leave such images out"
                )
    ranges = {node: each.range() for node, each in observed.items()}
    whole: dict[Any, tuple[float, float]] = {}
    for node, (low, high) in ranges.items():
        root = scheme.root(node)
        earlier = whole.get(root, (0.0, 0.0))
        whole[root] = min(low, earlier[0]), max(high, earlier[1])
    return {node: scale_of(*whole[scheme.root(node)]) for node in ranges}


def _score(evaluate: Callable[[nn.Module], float], network: nn.Module) -> float:
    given = evaluate(network)
    try:
        score = float(given)
    except (TypeError, ValueError):
        score = float("nan")
    if score != score:
        raise ArgumentError(f"`evaluate` gave {given!r}, but must give a number")
    return score


def _classes(network: nn.Module, call: Call) -> list[torch.Tensor]:
    """The class at each place of each output that has classes, `(N, ...)`."""
    return [
        each.argmax(1)
        for each in outputs(network, call)
        if isinstance(each, torch.Tensor) and each.is_floating_point() and each.dim() > 1
    ]


def _share_kept(expected: list[list[torch.Tensor]], found: nn.Module, calls: list[Call]) -> float:
    same, count = 0, 0
    for classes, call in zip(expected, calls, strict=True):
        for one, two in zip(classes, _classes(found, call), strict=True):
            same, count = same + int((one == two).sum()), count + one.numel()
    if not count:
        raise ArgumentError("`evaluate` is not given, but `model` gives no classes to compare")
    return same / count
