"""`fuse_norms_` and `unfuse_norms_`: batch norms that do what follows them; native pools."""

from dataclasses import dataclass
from typing import Any, TypeGuard

import torch
from torch import nn

from openwork._call import Call, call_of, taken
from openwork._unchanged import unchanged
from openwork.errors import VerificationError
from openwork.nn.layers import replace
from openwork.nn.norms.batch_norm_act import BatchNormAct2d
from openwork.nn.norms.deferred import RELUS
from openwork.nn.norms.max_pool2d import NativeMaxPool2d
from openwork.nn.norms.watch import NETWORK, Use, Uses, watch
from openwork.nn.table import Table

_TOLERANCE = 1e-4


@dataclass(frozen=True)
class FusedNorms:
    """What `fuse_norms_` did.

    Attributes:
        fused: batch norm, by its name in the model -> the ReLU that it computes now: the name of
            the module, or "relu in" that of the module whose code calls it.
        sums: those of them that compute a block's residual sum too.
        left: batch norm -> why it stays as it was.
        pools: max pools that run on native kernels now.
    """

    fused: dict[str, str]
    sums: tuple[str, ...]
    left: dict[str, str]
    pools: tuple[str, ...] = ()

    def __str__(self) -> str:
        rows = [(name, f"with {self._what(name)}") for name in self.fused]
        rows += list(self.left.items())
        title = f"{len(self.fused)} of {len(rows)} batch norms fused"
        rows += [(name, "native max pool") for name in self.pools]
        return str(Table(("layer", ""), tuple(rows), title=title, justify="left"))

    def _what(self, name: str) -> str:
        return f"the sum and {self.fused[name]}" if name in self.sums else self.fused[name]


def fuse_norms_(model: nn.Module, example: Any) -> FusedNorms:
    """Let each `nn.BatchNorm2d` compute the ReLU that alone takes its output, in place.

    The ReLU may be a module or a function, and stands where it stood. If another tensor is added
    before it, as in residual blocks, the norm computes the sum too. Training on a CPU in float32
    then takes less time and memory. Parameters, buffers and the `state_dict` stay the same objects,
    so an optimiser made before remains valid. Whatever else reads a norm's output later, such as a
    hook or code for another size, sees it without the ReLU; it is then computed twice. Under
    `torch.utils.checkpoint` (not reentrant) statistics are updated once in a step, where torch's
    norms update them again when they are recomputed. Each `nn.MaxPool2d` becomes one that runs on
    native kernels, with the same bits.

    Args:
        model: any module; it runs twice in each mode, and its modes and buffers are as before
            afterwards.
        example: an input batch `(N, ...)`, or several inputs, as in `openwork.compile`; a single
            image is doubled.

    Returns:
        Which norms were fused, which were left, and why; and the pools.

    Raises:
        ArgumentError: `example` holds no tensor, or the model does not take it.
        VerificationError: the outputs would have changed; the model is as it was.
        OpenworkError: the model writes to the input of a norm before it reads the output; it is as
            it was.

    >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU())
    >>> fuse_norms_(model, torch.randn(2, 3, 8, 8)).fused
    {'1': '2'}
    """
    call = call_of(model, example)
    inputs = call.map(lambda t: t if len(t) != 1 else torch.cat([t, t]))
    before = {mode: _run(model, inputs, mode) for mode in (True, False)}
    uses, _ = before[True]
    names = {module: name for name, module in model.named_modules()}
    left: dict[str, str] = {}
    fused: dict[nn.Module, nn.Module] = {}
    relus: dict[str, str] = {}
    sums: list[str] = []
    for norm, name in names.items():
        if not isinstance(norm, nn.modules.batchnorm._BatchNorm):
            continue
        reason = _unfit_norm(norm, name)
        use = _relu(uses, norm, names) if reason is None else reason
        if isinstance(use, str):
            left[name] = use
            continue
        fused[norm] = BatchNormAct2d.from_norm(norm, "relu", act_follows=True)  # type: ignore[arg-type]
        relus[name] = _where(use, names)
        if uses.users[norm][0] is not use:
            sums.append(name)
    pools = {pool: NativeMaxPool2d.from_pool(pool) for pool in names if _is_fit_pool(pool, names)}
    new = {**fused, **pools}
    replace(model, new)
    try:
        _verify(model, inputs, before)
    except BaseException:
        replace(model, {new: old for old, new in new.items()})
        raise
    return FusedNorms(relus, tuple(sums), left, tuple(names[pool] for pool in pools))


def unfuse_norms_(model: nn.Module) -> nn.Module:
    """Undo `fuse_norms_`, in place: torch's own modules, with the same parameters.

    Args:
        model: any module; a `BatchNormAct2d` that was made by hand stays.

    Returns:
        `model` itself.
    """
    back: dict[nn.Module, nn.Module] = {}
    for module in model.modules():
        if isinstance(module, BatchNormAct2d) and module.act_follows:
            back[module] = module.to_norm()
        elif isinstance(module, NativeMaxPool2d):
            back[module] = module.to_pool()
    replace(model, back)
    return model


def _unfit_norm(norm: nn.Module, name: str) -> str | None:
    if isinstance(norm, BatchNormAct2d):
        return "it is a BatchNormAct2d already"
    if type(norm) is not nn.BatchNorm2d:
        return f"{type(norm).__name__} is not a plain BatchNorm2d"
    if not name:
        return "it is the whole model and cannot be replaced in place; wrap it in nn.Sequential"
    return "it has hooks, which would see other values" if _hooks(norm) else None


def _is_fit_pool(module: nn.Module, names: dict[nn.Module, str]) -> TypeGuard[nn.MaxPool2d]:
    return type(module) is nn.MaxPool2d and bool(names[module]) and not _hooks(module)


def _relu(uses: Uses, norm: nn.Module, names: dict[nn.Module, str]) -> Use | str:
    """The ReLU that alone takes the output of a norm or of its sum, or why there is none."""
    if uses.calls[norm] != 1:
        return f"it runs {uses.calls[norm]} times"
    what, found = "its output", uses.users[norm]
    if len(found) == 1 and found[0].of_sum is not None:
        what, found = "its sum with another tensor", found[0].of_sum
    if len(found) != 1:
        return f"{what} is used {len(found)} times"
    use = found[0]
    if use.function == NETWORK:
        return f"{what} is {NETWORK}"
    if use.function not in RELUS:
        where = "model"
        if use.module is not None and names[use.module]:
            where = f"{names[use.module]!r} ({type(use.module).__name__})"
        return f"{what} goes to {use.name} in {where}, not to a ReLU"
    if type(use.module) is nn.ReLU and _hooks(use.module):
        return f"its ReLU {names[use.module]!r} has hooks"
    return use


def _where(relu: Use, names: dict[nn.Module, str]) -> str:
    name = names[relu.module] if relu.module is not None else ""
    if type(relu.module) is nn.ReLU:
        return name
    return f"relu in {name}" if name else "relu"


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
    norms = [module for module in model.modules() if isinstance(module, BatchNormAct2d)]
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
