"""`Resize`: by torch where it has the rule, else by the places and weights of the ONNX standard."""

from typing import Any

import torch
import torch.nn.functional as F

from openwork.interchange.builder import Builder, rank_of, with_rank
from openwork.interchange.onnx_node import OnnxNode
from openwork.interchange.values import NotReadable, Value, as_sizes

_RULES = (
    "half_pixel",
    "half_pixel_symmetric",
    "pytorch_half_pixel",
    "align_corners",
    "asymmetric",
)
_TORCH = {1: "linear", 2: "bilinear", 3: "trilinear"}


def resize(net: Builder, node: OnnxNode) -> Value:
    """`Resize` from opset 11 on."""
    if node.attribute("antialias", 0) or node.attribute("exclude_outside", 0):
        raise NotReadable("`antialias` or `exclude_outside` is 1")
    if node.attribute("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise NotReadable("`keep_aspect_ratio_policy` is not stretch")
    mode = node.text("mode", "nearest", ("nearest", "linear", "cubic"))
    rule = node.text("coordinate_transformation_mode", "half_pixel", _RULES)
    rounding = node.text("nearest_mode", "round_prefer_floor", tuple(_ROUNDINGS))
    x = node.input(0)
    scales, sizes = _target(node)
    count = len(scales or sizes or ())
    axes = node.attribute("axes") or list(range(count))
    if len(axes) != count or not count:
        raise NotReadable("its axes and sizes do not go together")
    cubic = node.attribute("cubic_coeff_a", -0.75)
    found = net.call(resized, x, scales or [], sizes or [], list(axes), mode, rule, rounding, cubic)
    return with_rank(found, rank_of(x))


def _target(node: OnnxNode) -> tuple[list[Any] | None, list[Any] | None]:
    """Scales or sizes, one of which is given."""
    scales = node.optional(2)
    if scales is not None and (found := as_sizes(scales)) is not None and found.items:
        return [1.0 * each if isinstance(each, int) else each for each in found.items], None
    if node.optional(3) is None:
        raise NotReadable("it has neither scales nor sizes that are known")
    return None, node.sizes(3)


def resized(
    x: torch.Tensor,
    scales: list[Any],
    sizes: list[Any],
    axes: list[int],
    mode: str,
    rule: str,
    rounding: str,
    cubic: float,
) -> torch.Tensor:
    """`x` by `scales`, or to `sizes`, along `axes`."""
    axes = [axis % x.dim() for axis in axes]
    targets = {
        axis: (sizes[n] if sizes else _scaled(x.shape[axis], scales[n]))
        for n, axis in enumerate(axes)
    }
    factors: dict[int, Any] = {axis: scales[n] if scales else None for n, axis in enumerate(axes)}
    changed = [
        axis
        for axis in axes
        if sizes or factors[axis] != 1
        if not (_is_same(targets[axis], x.shape[axis]) and factors[axis] in (None, 1.0))
    ]
    spatial = list(range(2, x.dim()))
    if changed and set(changed) <= set(spatial) and len(spatial) <= 3:
        wanted = [targets.get(axis, x.shape[axis]) for axis in spatial]
        whole = all(
            factors[axis] is None
            # Sizes that are known only when it runs: then targets are whole multiples of them.
            or (not sizes and factors[axis] == int(factors[axis]))
            or _is_same(targets[axis], x.shape[axis] * factors[axis])
            for axis in changed
        )
        found = _by_torch(x, wanted, mode, rule, rounding, cubic, whole)
        if found is not None:
            return found
    for axis in changed:
        x = _along(x, axis, targets[axis], factors[axis], mode, rule, rounding, cubic)
    return x


def _is_same(one: Any, two: Any) -> bool:
    """Whether they are equal in every call: sizes known only when it runs are not compared."""
    known = all(isinstance(each, int | float) for each in (one, two))
    return one is two or (known and one == two)


def _scaled(size: Any, scale: Any) -> Any:
    if isinstance(scale, float) and scale == int(scale):
        return size * int(scale)
    return torch.sym_int(size * scale)


def _by_torch(
    x: torch.Tensor,
    sizes: list[Any],
    mode: str,
    rule: str,
    rounding: str,
    cubic: float,
    whole: bool,
) -> torch.Tensor | None:
    """What torch gives, if it has this rule; `whole` where scales are ratios of sizes."""
    if mode == "nearest" and rule == "asymmetric" and rounding == "floor" and whole:
        return F.interpolate(x, sizes, mode="nearest")
    aligned = rule == "align_corners"
    # torch has no separate rule for a size of 1.
    halves = rule == "half_pixel" or (rule == "pytorch_half_pixel" and not _has_one(sizes))
    if not whole or not (aligned or halves):
        return None
    if mode == "linear":
        return F.interpolate(x, sizes, mode=_TORCH[len(sizes)], align_corners=aligned)
    if mode == "cubic" and len(sizes) == 2 and cubic == -0.75:
        return F.interpolate(x, sizes, mode="bicubic", align_corners=aligned)
    return None


def _has_one(sizes: list[Any]) -> bool:
    return any(isinstance(size, int) and size == 1 for size in sizes)


def _along(
    x: torch.Tensor,
    axis: int,
    target: Any,
    scale: Any,
    mode: str,
    rule: str,
    rounding: str,
    cubic: float,
) -> torch.Tensor:
    """`x` resized along one axis."""
    size = x.shape[axis]
    ratio = target / size if scale is None else scale
    steps = torch.arange(target, dtype=torch.float64)
    places = _PLACES[rule](steps, size, target, ratio)
    if mode == "nearest":
        nearest = _ROUNDINGS[rounding](places).long().clamp(0, size - 1)
        return x.index_select(axis, nearest)
    left = torch.floor(places)
    part = places - left
    taps = _linear(part) if mode == "linear" else _cubic(part, cubic)
    found: Any = 0
    shape = [1] * x.dim()
    shape[axis] = -1
    for offset, weight in taps.items():
        source = (left.long() + offset).clamp(0, size - 1)
        found = found + x.index_select(axis, source) * weight.to(x.dtype).reshape(shape)
    return found


def _linear(part: torch.Tensor) -> dict[int, torch.Tensor]:
    return {0: 1 - part, 1: part}


def _cubic(part: torch.Tensor, a: float) -> dict[int, torch.Tensor]:
    def near(t: torch.Tensor) -> torch.Tensor:
        return ((a + 2) * t - (a + 3)) * t * t + 1

    def far(t: torch.Tensor) -> torch.Tensor:
        return ((a * t - 5 * a) * t + 8 * a) * t - 4 * a

    return {-1: far(part + 1), 0: near(part), 1: near(1 - part), 2: far(2 - part)}


def _half_pixel(steps: torch.Tensor, size: Any, target: Any, ratio: Any) -> torch.Tensor:
    return (steps + 0.5) / ratio - 0.5


def _symmetric(steps: torch.Tensor, size: Any, target: Any, ratio: Any) -> torch.Tensor:
    adjusted = target / (ratio * size)
    centre = size / 2
    return centre * (1 - adjusted) + (steps + 0.5) / ratio - 0.5


def _as_torch(steps: torch.Tensor, size: Any, target: Any, ratio: Any) -> torch.Tensor:
    return _half_pixel(steps, size, target, ratio) if target > 1 else steps * 0


def _corners(steps: torch.Tensor, size: Any, target: Any, ratio: Any) -> torch.Tensor:
    return steps * ((size - 1) / (ratio * size - 1)) if target > 1 else steps * 0


def _asymmetric(steps: torch.Tensor, size: Any, target: Any, ratio: Any) -> torch.Tensor:
    return steps / ratio


def _prefer_floor(places: torch.Tensor) -> torch.Tensor:
    return torch.ceil(places - 0.5)


def _prefer_ceil(places: torch.Tensor) -> torch.Tensor:
    return torch.floor(places + 0.5)


_PLACES = {
    "half_pixel": _half_pixel,
    "half_pixel_symmetric": _symmetric,
    "pytorch_half_pixel": _as_torch,
    "align_corners": _corners,
    "asymmetric": _asymmetric,
}
_ROUNDINGS = {
    "round_prefer_floor": _prefer_floor,
    "round_prefer_ceil": _prefer_ceil,
    "floor": torch.floor,
    "ceil": torch.ceil,
}
RESIZE = {"Resize": resize}
