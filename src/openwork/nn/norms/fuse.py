"""`fuse_norms_` and `unfuse_norms_`: batch norms do what follows them, their neighbours native."""

from dataclasses import dataclass
from typing import Any, TypeGuard

import torch
from torch import nn

from openwork._arguments import check_module, check_open
from openwork._call import Call, call_of, taken
from openwork._unchanged import unchanged
from openwork.errors import VerificationError
from openwork.nn.layers import replace
from openwork.nn.norms import depthwise_conv2d, timm_norm_act
from openwork.nn.norms.activations import MODULES
from openwork.nn.norms.batch_norm_act import BatchNormAct2d
from openwork.nn.norms.max_pool2d import NativeMaxPool2d
from openwork.nn.norms.native_norm import NativeNorm
from openwork.nn.norms.watch import NETWORK, Use, Uses, watch
from openwork.nn.table import Table

_TOLERANCE = 1e-4


@dataclass(frozen=True)
class FusedNorms:
    """What `fuse_norms_` did.

    Attributes:
        fused: batch norm, by its name in the model -> the ReLU or ReLU6 that it computes now: the
            name of the module, or "relu in" that of the module whose code calls it; "" for one
            that computes a sum alone.
        sums: those of them that compute a block's residual sum too.
        alone: batch norm that runs on native kernels by itself -> why it computes nothing more.
        left: batch norm -> why it stays as it was.
        pools: max pools that run on native kernels now.
        depthwise: depthwise convolutions that do.
    """

    fused: dict[str, str]
    sums: tuple[str, ...]
    alone: dict[str, str]
    left: dict[str, str]
    pools: tuple[str, ...] = ()
    depthwise: tuple[str, ...] = ()

    def __str__(self) -> str:
        rows = [(name, f"with {self._what(name)}") for name in self.fused]
        rows += [(name, f"alone: {why}") for name, why in self.alone.items()]
        rows += list(self.left.items())
        title = f"{len(self.fused)} of {len(rows)} batch norms fused"
        if self.alone:
            title += f", {len(self.alone)} native"
        rows += [(name, "native max pool") for name in self.pools]
        rows += [(name, "native depthwise convolution") for name in self.depthwise]
        return str(Table(("layer", ""), tuple(rows), title=title, justify="left"))

    def _what(self, name: str) -> str:
        parts = ["the sum"] * (name in self.sums) + [self.fused[name]] * bool(self.fused[name])
        return " and ".join(parts)


def fuse_norms_(model: nn.Module, example: Any) -> FusedNorms:
    """Let batch norms run on native kernels, with the sum and the ReLU behind them, in place.

    A ReLU or ReLU6 that alone takes the output of an `nn.BatchNorm2d` is computed with it; it may
    be a module or a function, and stands where it stood. If another tensor is added before it, as
    in residual blocks, the norm computes the sum too. Norms with other activations, or none, run
    on native kernels by themselves, and timm's `BatchNormAct2d` like all others. Training on a CPU
    in float32 then takes less time and memory. Parameters, buffers and the `state_dict` stay the
    same objects, so an optimiser made before remains valid. Whatever else reads a norm's output
    later, such as a hook or code for another size, sees it without the activation; it is then
    computed twice. Under `torch.utils.checkpoint` (not reentrant) statistics are updated once in a
    step, where torch's norms update them again when they are recomputed. Each `nn.MaxPool2d`
    becomes one that runs on native kernels, with the same bits, and depthwise convolutions of
    3x3, 5x5 and 7x7 with stride 1 or 2 run on those that prove to be faster.

    Args:
        model: any module; it runs twice in each mode, and its modes and buffers are as before
            afterwards.
        example: an input batch `(N, ...)`, or several inputs, as in `openwork.compile`; a single
            image is doubled.

    Returns:
        Which norms were fused, which were left, and why; the pools and depthwise convolutions.

    Raises:
        ArgumentError: `model` is not a module, or `example` holds no tensor or is not what it
            takes.
        VerificationError: the outputs would have changed; the model is as it was.
        OpenworkError: the model writes to the input of a norm before it reads the output; it is as
            it was.

    >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU())
    >>> fuse_norms_(model, torch.randn(2, 3, 8, 8)).fused
    {'1': '2'}
    """
    check_open(model)
    call = call_of(model, example)
    inputs = call.map(lambda t: t if len(t) != 1 else torch.cat([t, t]))
    before = {mode: _run(model, inputs, mode) for mode in (True, False)}
    names = {module: name for name, module in model.named_modules()}
    fused: dict[str, str] = {}
    alone: dict[str, str] = {}
    left: dict[str, str] = {}
    sums: list[str] = []
    new: dict[nn.Module, nn.Module] = {}
    timms: dict[nn.Module, str | None] = {}
    for norm, name in names.items():
        if not isinstance(norm, nn.modules.batchnorm._BatchNorm):
            continue
        unfit = _unfit_norm(norm, name)
        if unfit is not None:
            left[name] = unfit
            continue
        behind = _behind(before[True][0], norm, names)
        if isinstance(behind, str):
            alone[name] = behind
        else:
            fused[name] = behind.where
            sums += [name] * behind.sum
        act = None if isinstance(behind, str) else behind.act
        if timm_norm_act.is_timms(norm):
            timms[norm] = act
        else:
            new[norm] = BatchNormAct2d.in_place_of(norm, act)  # type: ignore[arg-type]
    pools = {pool: NativeMaxPool2d.from_pool(pool) for pool in names if _is_fit_pool(pool, names)}
    new = {**new, **pools}
    replace(model, new)
    for norm, act in timms.items():
        timm_norm_act.to_native_(norm, act)
    depthwise = [conv for conv in names if depthwise_conv2d.is_depthwise(conv)]
    for conv in depthwise:
        depthwise_conv2d.to_native_(conv)
    try:
        _verify(model, inputs, before)
    except BaseException:
        replace(model, {new: old for old, new in new.items()})
        for norm in timms:
            timm_norm_act.from_native_(norm)
        for conv in depthwise:
            depthwise_conv2d.from_native_(conv)
        raise
    return FusedNorms(
        fused,
        tuple(sums),
        alone,
        left,
        tuple(names[pool] for pool in pools),
        tuple(names[conv] for conv in depthwise),
    )


def unfuse_norms_(model: nn.Module) -> nn.Module:
    """Undo `fuse_norms_`, in place: torch's own modules, with the same parameters.

    Args:
        model: any module; a `BatchNormAct2d` that was made by hand stays.

    Returns:
        `model` itself.

    Raises:
        ArgumentError: `model` is not a module.
    """
    check_module(model)
    back: dict[nn.Module, nn.Module] = {}
    for module in model.modules():
        if isinstance(module, BatchNormAct2d) and module.stands_in:
            back[module] = module.to_norm()
        elif isinstance(module, NativeMaxPool2d):
            back[module] = module.to_pool()
        else:
            timm_norm_act.from_native_(module)
            depthwise_conv2d.from_native_(module)
    replace(model, back)
    return model


def _unfit_norm(norm: nn.Module, name: str) -> str | None:
    if isinstance(norm, NativeNorm):
        return "it is a BatchNormAct2d already"
    if type(norm) is not nn.BatchNorm2d and not timm_norm_act.is_timms(norm):
        return f"{type(norm).__name__} is not a plain BatchNorm2d"
    if not name:
        return "it is the whole model and cannot be replaced in place; wrap it in nn.Sequential"
    return "it has hooks, which would see other values" if _hooks(norm) else None


def _is_fit_pool(module: nn.Module, names: dict[nn.Module, str]) -> TypeGuard[nn.MaxPool2d]:
    return type(module) is nn.MaxPool2d and bool(names[module]) and not _hooks(module)


@dataclass(frozen=True)
class _Behind:
    """What a norm computes besides.

    Attributes:
        act: the activation, or "none".
        where: its name in the network, or "".
        sum: whether a tensor is added before it.
    """

    act: str
    where: str
    sum: bool


def _behind(uses: Uses, norm: Any, names: dict[nn.Module, str]) -> _Behind | str:
    """What alone takes the output of a norm and can be computed with it, or why nothing can."""
    if uses.calls[norm] != 1:
        return f"it runs {uses.calls[norm]} times"
    if timm_norm_act.is_timms(norm):
        act = timm_norm_act.act_of(norm)
        if act is None:
            kind = type(norm.act if type(norm.drop) is nn.Identity else norm.drop)
            return f"its output goes to its own {kind.__name__}, not to a ReLU"
        if act != "none":
            hooked = "its ReLU has hooks"
            return hooked if _hooks(norm.act) else _Behind(act, f"{names[norm]}.act", False)
    found = uses.users[norm]
    of_sum = found[0].of_sum if len(found) == 1 else None
    use = _only(found if of_sum is None else of_sum, of_sum is not None, names)
    if not isinstance(use, str):
        return _Behind(str(use.act), _where(use, names), of_sum is not None)
    if of_sum and all(each.function != NETWORK for each in of_sum):
        return _Behind("none", "", True)
    return use


def _only(found: list[Use], summed: bool, names: dict[nn.Module, str]) -> Use | str:
    """The activation that alone takes an output, or why there is none."""
    what = "its sum with another tensor" if summed else "its output"
    if len(found) != 1:
        return f"{what} goes to {len(found)} operations, not to a ReLU alone"
    use = found[0]
    if use.function == NETWORK:
        return f"{what} is {NETWORK}"
    if use.act is None:
        where = "model"
        if use.module is not None and names[use.module]:
            where = f"{names[use.module]!r} ({type(use.module).__name__})"
        return f"{what} goes to {use.name} in {where}, not to a ReLU"
    if use.module is not None and type(use.module) in MODULES and _hooks(use.module):
        return f"its ReLU {names[use.module]!r} has hooks"
    return use


def _where(relu: Use, names: dict[nn.Module, str]) -> str:
    name = names[relu.module] if relu.module is not None else ""
    if type(relu.module) in MODULES:
        return name
    return f"{relu.act} in {name}" if name else str(relu.act)


def _hooks(module: nn.Module) -> bool:
    return any(
        getattr(module, f"_{kind}")
        for kind in ("forward_hooks", "forward_pre_hooks", "backward_hooks", "backward_pre_hooks")
    )


def _run(model: nn.Module, inputs: Call, training: bool) -> tuple[Uses, list[Any]]:
    """One watched run in training or evaluation mode, which leaves the model as it was."""
    with unchanged(model), torch.no_grad():
        torch.manual_seed(0)
        model.train(training)
        with taken(inputs, "example"):
            return watch(model, inputs.map(torch.clone))


def _verify(
    model: nn.Module,
    inputs: Call,
    before: dict[bool, tuple[Uses, list[Any]]],
) -> None:
    norms = [module for module in model.modules() if isinstance(module, NativeNorm)]
    native = [norm.native for norm in norms]
    try:
        # With torch's operators outputs are equal, unless the modules are connected in other ways.
        for norm in norms:
            norm.native = False
        for training, (_, expected) in before.items():
            _, found = _run(model, inputs, training)
            if not _equal(expected, found):
                mode = "training" if training else "evaluation"
                raise VerificationError(
                    f"outputs in {mode} mode would differ after fusing batch norms; the model is "
                    "unchanged. Does its code ask for the types of its modules, or draw random "
                    "numbers that torch.manual_seed does not fix?"
                )
    finally:
        for norm, was in zip(norms, native, strict=True):
            norm.native = was


def _equal(expected: list[Any], found: list[Any]) -> bool:
    if len(expected) != len(found):
        return False
    for one, two in zip(expected, found, strict=True):
        if not isinstance(one, torch.Tensor):
            continue
        if not isinstance(two, torch.Tensor) or one.shape != two.shape or one.dtype != two.dtype:
            return False
        scale = one.abs().max().item() if one.numel() and one.is_floating_point() else 0.0
        limit = _TOLERANCE * scale if scale < float("inf") else 0.0
        if not torch.allclose(one, two, rtol=_TOLERANCE, atol=limit, equal_nan=True):
            return False
    return True
