"""What sparse layers share: live weights, their pattern, and conversion from and to dense."""

from abc import ABC, abstractmethod
from typing import Any, NoReturn, Self

import torch
from torch import nn

from openwork._arguments import check_choice
from openwork.errors import ArgumentError, CaptureError, CheckpointError
from openwork.nn.drawn_from import DrawnFrom
from openwork.ops.expand import collect, expand
from openwork.patterns import Pattern

__all__ = ["INITS", "SparseLayer", "groups_of", "pattern_shape"]

INITS = ("rescale", "keep", "reset")
Dense = nn.Conv1d | nn.Conv2d | nn.Linear


def pattern_shape(module: Dense) -> tuple[int, ...]:
    """The shape of the patterns that fit `module`; kernels of a 1-D convolution have one row."""
    shape = tuple(module.weight.shape)
    return (*shape[:2], 1, *shape[2:]) if len(shape) == 3 else shape


def groups_of(module: Dense) -> int:
    """Groups of a convolution; 1 for a linear layer."""
    return 1 if isinstance(module, nn.Linear) else module.groups


class SparseLayer(nn.Module, ABC):
    """A layer that stores, trains and saves only its live weights.

    Attributes:
        weight: `(live,)` parameter, in canonical order (out, in, ky, kx). Code that needs the dense
            weight calls `dense_weight()`.
        bias: `(out_channels,)` parameter, or None.
        gaps: `(units,)` uint8 or int32 buffer: the positions of the live weights as `Pattern.gaps`.
            Part of the `state_dict`; the state of another pattern is refused, `adopt_` takes it.
        shape: shape of the pattern, `(out_channels, in_channels / groups, kh, kw)` or
            `(out_features, in_features)`.
        groups: groups of the convolution; 1 for a linear layer.
        origin: what `sparsify_` drew the pattern from, or None; `grow_` continues that draw.
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

    def __setattr__(self, name: str, value: Any) -> None:
        held = self.__dict__.get("_parameters", {}).get(name)
        if held is not None and isinstance(value, torch.Tensor) and value.shape != held.shape:
            raise ArgumentError(
                f"`{name}`={tuple(value.shape)} must keep the shape {tuple(held.shape)}: a "
                f"{type(self).__name__} stores its live weights only. Code that computes with "
                "dense weights, such as the fusion of batch norms, needs densify_ first"
            )
        super().__setattr__(name, value)

    def __prepare_scriptable__(self) -> NoReturn:
        # torch.jit.script asks each module for this.
        raise CaptureError(
            f"torch.jit.script cannot compile {type(self).__name__}; use torch.jit.trace, or make "
            "a copy dense first: openwork.densify_(copy.deepcopy(model))"
        )

    @property
    def pattern(self) -> Pattern:
        """Which taps are live."""
        gaps = self.gaps.cpu().numpy()
        return Pattern.from_gaps(self.shape, gaps, whole=self._whole, groups=self.groups)

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Redraw weights and bias as torch does by default, with each filter's true fan-in.

        The weights and the bias of a filter with n live taps are uniform in +-1/sqrt(n).
        """
        bound = self._live_taps().clamp(min=1).rsqrt()
        self.weight.uniform_(-1, 1).mul_(self._spread(bound))
        if self.bias is not None:
            self.bias.uniform_(-1, 1).mul_(bound.to(self.bias))

    def dense_weight(self) -> torch.Tensor:
        """The dense weight of `shape`, zero at dead taps; differentiable."""
        return expand(self.weight, self.gaps, self.shape)

    @abstractmethod
    def to_dense(self) -> nn.Module:
        """The torch layer that computes the same, with bit-equal weights."""

    def _live_taps(self) -> torch.Tensor:
        """Live taps of each filter: (out_channels,) float on the weight's device."""
        ones = torch.ones(self.weight.shape[0], device=self.gaps.device)
        return expand(ones, self.gaps, self.shape).flatten(1).sum(1)

    def _spread(self, per_filter: torch.Tensor) -> torch.Tensor:
        """Repeat one value per filter (out_channels,) for each of its live weights: (live,)."""
        dense = per_filter.view(-1, *[1] * (len(self.shape) - 1)).expand(self.shape)
        return collect(dense, self.gaps, self.weight.shape[0]).to(self.weight)

    @torch.no_grad()
    def _take(self, dense: Dense, init: str) -> Self:
        """Copy weights, bias, mode and `requires_grad` from `dense`; see `from_dense`."""
        check_choice("init", init, INITS)
        if dense.weight.is_meta:
            raise ArgumentError(
                "`module` is on the meta device and has no weights yet; materialise it first"
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

    def _give(self, dense: Dense) -> None:
        """Copy weights, bias, mode and `requires_grad` to `dense`."""
        weight = self.dense_weight().detach().reshape(dense.weight.shape)
        dense.weight = nn.Parameter(weight, requires_grad=self.weight.requires_grad)
        if self.bias is not None:
            bias = self.bias.detach().clone()
            dense.bias = nn.Parameter(bias, requires_grad=self.bias.requires_grad)
        dense.train(self.training)

    def _mirror(self, dense: Dense) -> None:
        self.weight.requires_grad_(dense.weight.requires_grad)
        if self.bias is not None and dense.bias is not None:
            self.bias.requires_grad_(dense.bias.requires_grad)
        self.train(dense.training)


def check_dense(module: Any, kind: type[Dense], pattern: Pattern | None) -> None:
    """Refuse what is not a layer of class `kind`, and a `pattern` of another shape or groups."""
    if not isinstance(module, kind):
        raise ArgumentError(
            f"`module` is a {type(module).__name__}, but must be a torch.nn.{kind.__name__}; "
            "sparsify_ replaces the layers of a whole network"
        )
    shape, groups = pattern_shape(module), groups_of(module)
    if pattern is not None and (pattern.shape != shape or pattern.groups != groups):
        raise ArgumentError(
            f"`pattern` has shape {pattern.shape} and groups {pattern.groups}, but the layer's "
            f"weight has {shape} and {groups}; draw the pattern for the layer's sizes"
        )


def _refuse_other_pattern(module: Any, state: dict[str, Any], prefix: str, *rest: Any) -> None:
    # Raised rather than added to torch's list of errors: torch would copy the gaps all the same.
    way_out = (
        "openwork.adopt_(model, state_dict) takes over the patterns of a state, and openwork.load "
        "those of a file"
    )
    stored, gaps, weight = state.get(prefix + "gaps"), module.gaps, state.get(prefix + "weight")
    if stored is None and isinstance(weight, torch.Tensor) and weight.shape == module.shape:
        raise CheckpointError(
            f"`{prefix}weight` in the state is dense, but this layer is sparse; {way_out}"
        )
    if stored is None or gaps.is_meta:
        return
    if stored.dtype != gaps.dtype or not torch.equal(stored.to(gaps.device), gaps):
        raise CheckpointError(
            f"`{prefix}gaps` in the state describes another pattern than this layer's; {way_out}"
        )
