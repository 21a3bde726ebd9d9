"""What the sparse layers share: live weights, their pattern, and the way to and from dense."""

from abc import ABC, abstractmethod
from typing import Any, Self

import torch
from torch import nn

from openwork._arguments import check_choice
from openwork.errors import ArgumentError, CheckpointError
from openwork.nn.drawn_from import DrawnFrom
from openwork.ops.expand import collect, expand
from openwork.patterns import Pattern

INITS = ("rescale", "keep", "reset")


class SparseLayer(nn.Module, ABC):
    """A layer that stores, trains and saves its live weights only.

    Attributes:
        weight: `(live,)` parameter, in canonical order (out, in, ky, kx).
        bias: `(out_channels,)` parameter, or None.
        gaps: `(units,)` uint8 or int32 buffer: where the live weights lie, `Pattern.gaps`. It is
            part of the `state_dict`, and loading refuses a state of another pattern.
        origin: what `sparsify_` drew the pattern with, or None; `grow_` draws on with it.
    """

    weight: nn.Parameter
    bias: nn.Parameter | None
    gaps: torch.Tensor
    origin: DrawnFrom | None = None

    def __init__(
        self,
        pattern: Pattern,
        bias: bool,
        device: torch.device | str | None,
        dtype: torch.dtype | None,
    ) -> None:
        super().__init__()
        self.shape = pattern.shape
        self.groups = pattern.groups
        self._whole = pattern.whole
        self.weight = nn.Parameter(torch.empty(pattern.live, device=device, dtype=dtype))
        if bias:
            self.bias = nn.Parameter(torch.empty(pattern.out_channels, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.register_buffer("gaps", torch.from_numpy(pattern.gaps.copy()).to(self.weight.device))
        self.register_load_state_dict_pre_hook(_refuse_other_pattern)
        self.reset_parameters()

    @property
    def pattern(self) -> Pattern:
        """Which taps are live."""
        gaps = self.gaps.cpu().numpy()
        return Pattern.from_gaps(self.shape, gaps, whole=self._whole, groups=self.groups)

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw weights and bias anew: torch's default, scaled by each filter's true fan-in.

        A weight of a filter with n live taps is uniform in +-1/sqrt(n), as is its bias.
        """
        bound = self._live_taps().clamp(min=1).rsqrt()
        self.weight.uniform_(-1, 1).mul_(self._spread(bound))
        if self.bias is not None:
            self.bias.uniform_(-1, 1).mul_(bound.to(self.bias))

    def dense_weight(self) -> torch.Tensor:
        """The dense weight of `shape`, zero where nothing lives; differentiable."""
        return expand(self.weight, self.gaps, self.shape)

    @abstractmethod
    def to_dense(self) -> nn.Module:
        """The plain torch layer that computes the same, with bit-equal weights."""

    def _live_taps(self) -> torch.Tensor:
        """Live taps of each filter: (out_channels,) float on the weight's device."""
        ones = torch.ones(self.weight.shape[0], device=self.gaps.device)
        return expand(ones, self.gaps, self.shape).flatten(1).sum(1)

    def _spread(self, per_filter: torch.Tensor) -> torch.Tensor:
        """One value a filter (out_channels,) as one value a live weight (live,)."""
        dense = per_filter.view(-1, *[1] * (len(self.shape) - 1)).expand(self.shape)
        return collect(dense, self.gaps, self.weight.shape[0]).to(self.weight)

    @torch.no_grad()
    def _take(self, dense: nn.Conv2d | nn.Linear, init: str) -> Self:
        """Take over weights, bias, mode and trainability of `dense`; see `from_dense`."""
        check_choice("init", init, INITS)
        if dense.weight.is_meta:
            raise ArgumentError(
                "`module` lies on the meta device and has no weights yet; materialise it first"
            )
        for name, tensor in (("weight", dense.weight), ("bias", dense.bias)):
            if tensor is not None and not tensor.isfinite().all():
                raise ArgumentError(
                    f"`module.{name}` of shape {tuple(tensor.shape)} holds NaN or infinity; "
                    "repair the network before making it sparse"
                )
        if init != "reset":
            self.weight.copy_(collect(dense.weight, self.gaps, self.weight.shape[0]))
            if self.bias is not None and dense.bias is not None:
                self.bias.copy_(dense.bias)
        if init == "rescale":
            fan_in = dense.weight[0].numel()
            self.weight.mul_(self._spread((fan_in / self._live_taps().clamp(min=1)).sqrt()))
        self._mirror(dense)
        return self

    def _give(self, dense: nn.Conv2d | nn.Linear) -> None:
        """Hand weights, bias, mode and trainability over to `dense`."""
        weight = self.dense_weight().detach()
        dense.weight = nn.Parameter(weight, requires_grad=self.weight.requires_grad)
        if self.bias is not None:
            bias = self.bias.detach().clone()
            dense.bias = nn.Parameter(bias, requires_grad=self.bias.requires_grad)
        dense.train(self.training)

    def _mirror(self, dense: nn.Conv2d | nn.Linear) -> None:
        self.weight.requires_grad_(dense.weight.requires_grad)
        if self.bias is not None and dense.bias is not None:
            self.bias.requires_grad_(dense.bias.requires_grad)
        self.train(dense.training)


def check_pattern(pattern: Pattern | None, module: nn.Conv2d | nn.Linear, groups: int) -> None:
    """Refuse a `pattern` that is not of the shape of `module.weight`."""
    shape = tuple(module.weight.shape)
    if pattern is not None and (pattern.shape != shape or pattern.groups != groups):
        raise ArgumentError(
            f"`pattern` has shape {pattern.shape} and groups {pattern.groups}, but the layer's "
            f"weight has {shape} and {groups}; draw it for the layer's own sizes"
        )


def _refuse_other_pattern(module: Any, state: dict[str, Any], prefix: str, *rest: Any) -> None:
    # Raised, not added to torch's list of errors: torch would still copy what it then complains of.
    stored, own = state.get(prefix + "gaps"), module.gaps
    if stored is None or own.is_meta:
        return
    if stored.dtype != own.dtype or not torch.equal(stored.to(own.device), own):
        raise CheckpointError(
            f"`{prefix}gaps` in the state describes another pattern than this layer's; apply the "
            "plan that the state was saved under, or use openwork.load"
        )
