"""`openwork::batch_norm_act`: batch norm in training, a residual sum, and an activation.

On the CPU the native kernels compute it, for maps in float32 or, as under autocast, in bfloat16;
the reference is made of torch's operators.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F

from openwork.kernels.native import extension
from openwork.ops.large_pages import in_large_pages
from openwork.ops.maps import are_native
from openwork.ops.native import array, is_untraced

__all__ = ["ACTS", "batch_norm_act", "native_takes"]

# Activation -> torch's function of (input, inplace).
ACTS: dict[str, Callable[..., torch.Tensor]] = {
    "none": lambda x, inplace=False: x,
    "relu": F.relu,
    "relu6": F.relu6,
}
NAME = "openwork::batch_norm_act"
BACKWARD = "openwork::batch_norm_act_backward"

torch.library.define(
    NAME,
    "(Tensor input, Tensor? weight, Tensor? bias, Tensor? residual, float eps, str act) "
    "-> (Tensor, Tensor)",
    tags=(torch.Tag.pt2_compliant_tag,),
)
torch.library.define(
    BACKWARD,
    "(Tensor gradient, Tensor input, Tensor? weight, Tensor? bias, Tensor? output, "
    "Tensor statistics, float eps, str act, bool[] wanted) -> (Tensor, Tensor, Tensor)",
    tags=(torch.Tag.pt2_compliant_tag,),
)


def batch_norm_act(
    input: torch.Tensor,
    weight: torch.Tensor | None,
    bias: torch.Tensor | None,
    residual: torch.Tensor | None,
    eps: float,
    act: str,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Normalise each channel by the batch, then add `residual`, then take the activation.

    Args:
        input: `(N, C, H, W)`.
        weight, bias: `(C,)` or None, as in `torch.nn.functional.batch_norm`: float32 where the
            input is bfloat16.
        residual: `(N, C, H, W)` or None.
        eps: added to the variance.
        act: "none", "relu" or "relu6", the activation.

    Returns:
        The result, `(N, C, H, W)`, and statistics of the batch, `(3, C)`, without gradients: mean,
        one over the standard deviation, and unbiased variance; float32 where the input is bfloat16.
    """
    run = _Eager.apply if is_untraced(input) else torch.ops.openwork.batch_norm_act.default
    return run(input, weight, bias, residual, eps, act)


def native_takes(
    input: torch.Tensor, weight: torch.Tensor | None, residual: torch.Tensor | None
) -> bool:
    """Whether the native kernels compute this; if not, torch's own operators are as good."""
    if weight is not None and not (weight.dtype == torch.float32 and weight.is_contiguous()):
        return False
    if residual is not None and residual.shape != input.shape:
        return False
    maps = (input,) if residual is None else (input, residual)
    return are_native(*maps)


def _forward(
    input: torch.Tensor,
    weight: torch.Tensor | None,
    bias: torch.Tensor | None,
    residual: torch.Tensor | None,
    eps: float,
    act: str,
) -> tuple[torch.Tensor, torch.Tensor]:
    if native_takes(input, weight, residual):
        return _native(input, weight, bias, residual, eps, act)
    return _reference(input, weight, bias, residual, eps, act)


def _native(
    input: torch.Tensor,
    weight: torch.Tensor | None,
    bias: torch.Tensor | None,
    residual: torch.Tensor | None,
    eps: float,
    act: str,
) -> tuple[torch.Tensor, torch.Tensor]:
    output, statistics = _fake(input, weight, bias, residual, eps, act)
    extension.batch_norm_forward(
        extension.chosen_isa(),
        input=array(input),
        residual=array(residual),
        weight=array(weight),
        bias=array(bias),
        eps=eps,
        act=act,
        output=array(in_large_pages(output)),
        statistics=array(statistics),
        threads=torch.get_num_threads(),
    )
    return output, statistics


def _reference(
    input: torch.Tensor,
    weight: torch.Tensor | None,
    bias: torch.Tensor | None,
    residual: torch.Tensor | None,
    eps: float,
    act: str,
) -> tuple[torch.Tensor, torch.Tensor]:
    # With a momentum of one, the running statistics become those of the batch.
    mean, variance = torch.zeros(
        2, input.shape[1], dtype=_statistics_dtype(input), device=input.device
    )
    output, _, rstd = torch.native_batch_norm(input, weight, bias, mean, variance, True, 1.0, eps)
    if residual is not None:
        output = output + residual
    return ACTS[act](output), torch.stack([mean, rstd, variance])


def _fake(
    input: torch.Tensor,
    weight: torch.Tensor | None,
    bias: torch.Tensor | None,
    residual: torch.Tensor | None,
    eps: float,
    act: str,
) -> tuple[torch.Tensor, torch.Tensor]:
    statistics = input.new_empty((3, input.shape[1]), dtype=_statistics_dtype(input))
    return torch.empty_like(input), statistics


def _statistics_dtype(input: torch.Tensor) -> torch.dtype:
    return torch.float32 if input.dtype in (torch.bfloat16, torch.float16) else input.dtype


def _native_backward(
    gradient: torch.Tensor,
    input: torch.Tensor,
    weight: torch.Tensor | None,
    bias: torch.Tensor | None,
    output: torch.Tensor | None,
    statistics: torch.Tensor,
    eps: float,
    act: str,
    wanted: Sequence[bool],
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    gradient = gradient.contiguous()
    if not (native_takes(input, weight, output) and native_takes(gradient, weight, None)):
        found = _reference_backward(
            gradient, input, weight, bias, output, statistics, eps, act, wanted
        )
        empty = input.new_empty(0)
        return tuple(empty if g is None else g.clone() for g in found)  # type: ignore[return-value]
    grads = _fake_backward(gradient, input, weight, bias, output, statistics, eps, act, wanted)
    into_input, into_affine, into_residual = (
        array(in_large_pages(each)) if want else None
        for each, want in zip(grads, wanted, strict=True)
    )
    extension.batch_norm_backward(
        extension.chosen_isa(),
        gradient=array(gradient),
        input=array(input),
        weight=array(weight),
        bias=array(bias),
        statistics=array(statistics),
        output=array(output),
        act=act,
        grad_input=into_input,
        grad_residual=into_residual,
        grad_affine=into_affine,
        threads=torch.get_num_threads(),
    )
    return grads


def _reference_backward(
    gradient: torch.Tensor,
    input: torch.Tensor,
    weight: torch.Tensor | None,
    bias: torch.Tensor | None,
    output: torch.Tensor | None,
    statistics: torch.Tensor,
    eps: float,
    act: str,
    wanted: Sequence[bool],
) -> tuple[torch.Tensor | None, ...]:
    """The gradients by input, by weight and bias `(2, C)`, and by residual; differentiable."""
    mean, rstd, _ = statistics.unbind()
    if act != "none":
        if output is None:
            output = F.batch_norm(input, None, None, weight, bias, True, 0.0, eps)
        before = output.detach()
        # NaN lets gradients through torch's ReLU, not its ReLU6.
        shut = before <= 0 if act == "relu" else ~((before > 0) & (before < 6))
        gradient = gradient.masked_fill(shut, 0)
    by_input, by_weight, by_bias = torch.ops.aten.native_batch_norm_backward(
        gradient,
        input,
        weight,
        None,
        None,
        mean,
        rstd,
        True,
        eps,
        [wanted[0], weight is not None and wanted[1], wanted[1]],
    )
    if not wanted[1]:
        by_affine = None
    else:
        by_affine = torch.stack(
            [torch.zeros_like(by_bias) if weight is None else by_weight, by_bias]
        )
    return by_input if wanted[0] else None, by_affine, gradient if wanted[2] else None


def _fake_backward(
    gradient: torch.Tensor,
    input: torch.Tensor,
    weight: torch.Tensor | None,
    bias: torch.Tensor | None,
    output: torch.Tensor | None,
    statistics: torch.Tensor,
    eps: float,
    act: str,
    wanted: Sequence[bool],
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    maps = input.shape
    return (
        input.new_empty(maps if wanted[0] else 0),
        statistics.new_empty((2, maps[1]) if wanted[1] else 0),
        input.new_empty(maps if wanted[2] else 0),
    )


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[torch.Tensor, torch.Tensor]) -> None:
    input, weight, bias, residual, ctx.eps, ctx.act = inputs
    result, statistics = output
    ctx.mark_non_differentiable(statistics)
    ctx.set_materialize_grads(False)
    # Without a residual the result is computed again: nothing more is kept.
    kept = result if ctx.act != "none" and residual is not None else None
    ctx.save_for_backward(input, weight, bias, kept, statistics)


def _backward(
    ctx: Any, gradient: torch.Tensor | None, _: torch.Tensor | None
) -> tuple[torch.Tensor | None, ...]:
    if gradient is None:
        return (None,) * 6
    input, weight, bias, kept, statistics = ctx.saved_tensors
    needs_input, needs_weight, needs_bias, needs_residual = ctx.needs_input_grad[:4]
    affine = needs_weight or needs_bias
    # Without an activation, the residual's gradient is the output's.
    activated = ctx.act != "none"
    wanted = [needs_input, affine, needs_residual and activated]
    by_input = by_affine = by_residual = None
    if any(wanted):
        # Gradients of gradients go through torch's operators.
        if torch.is_grad_enabled():
            run: Any = _reference_backward
        elif is_untraced(gradient):
            run = _native_backward
        else:
            run = torch.ops.openwork.batch_norm_act_backward.default
        found = run(gradient, input, weight, bias, kept, statistics, ctx.eps, ctx.act, wanted)
        by_input, by_affine, by_residual = found
    by_weight, by_bias = (None, None) if by_affine is None or not affine else by_affine.unbind()
    return (
        by_input if needs_input else None,
        by_weight if needs_weight else None,
        by_bias if needs_bias else None,
        (by_residual if activated else gradient) if needs_residual else None,
        None,
        None,
    )


class _Eager(torch.autograd.Function):
    """The operator without the dispatcher, which takes longer than the kernels on small maps."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[torch.Tensor, torch.Tensor]:
        output = _forward(*inputs)
        _setup(ctx, inputs, output)
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[torch.Tensor | None, ...]:
        return _backward(ctx, *gradients)


torch.library.impl(NAME, "CompositeExplicitAutograd")(_forward)
torch.library.impl(BACKWARD, "CompositeExplicitAutograd")(_native_backward)
torch.library.register_fake(NAME)(_fake)
torch.library.register_fake(BACKWARD)(_fake_backward)
torch.library.register_autograd(NAME, _backward, setup_context=_setup)
