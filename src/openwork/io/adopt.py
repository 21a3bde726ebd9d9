"""`adopt_`: a model takes over the patterns in a state, then its values."""

import math
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from openwork._arguments import check_model
from openwork.errors import ArgumentError, CheckpointError
from openwork.io.layers import twin_of
from openwork.nn.change.exchange import exchange_
from openwork.nn.change.optimizers import Optimizers, optimizers_of
from openwork.nn.layers import Dense, left_layers, replace, sparse_layers
from openwork.nn.sparse_layer import SparseLayer, groups_of, pattern_shape
from openwork.patterns import Pattern

M = TypeVar("M", bound=nn.Module)
State = Mapping[str, Any]
_ROOT = "it is the whole model and cannot be replaced in place; wrap it in nn.Sequential"
_INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
# How many problems a message names.
_NAMED = 3


def adopt_(model: M, state_dict: State, optimizer: Optimizers = None, *, prefix: str = "") -> M:
    """Load `state_dict`, plain torch state, into a model with other patterns, in place.

    For states that were saved without `openwork.save`, such as `torch.save(model.state_dict())` or
    a checkpoint of Lightning, of a network that has been made sparse, pruned or grown. Each layer
    takes over the pattern in the state, whether it is dense or sparse now; one that is dense in the
    state becomes a plain layer. Every pattern, name and shape is checked first: if an error is
    raised, nothing is changed. Networks with channels cut out (`compact`) need `openwork.load`,
    since a state does not say the sizes of sparse layers.

    Args:
        model: the network as it is built, dense or with any patterns.
        state_dict: name -> tensor, as `torch.nn.Module.state_dict` returns it; a sparse layer has
            `weight` (live,) and `gaps` (units,).
        optimizer: the optimiser that trains `model`, or several, which follow as in `sparsify_`.
            Default None. Load its state afterwards.
        prefix: what the names in the state begin with, such as "module." (data parallel) or
            "model." (a Lightning module); other names are left out. Default "".

    Returns:
        `model` itself.

    Raises:
        CheckpointError: the state does not fit, or holds damaged patterns; layers are named.
        ArgumentError: `state_dict` is not a mapping, or an `optimizer` as in `sparsify_`.

    >>> from openwork.nn import Plan, sparsify_
    >>> trained = nn.Sequential(nn.Conv2d(16, 32, 3))
    >>> trained = sparsify_(trained, Plan({"0": {"pattern": "random", "density": 0.25}}))
    >>> adopt_(nn.Sequential(nn.Conv2d(16, 32, 3)), trained.state_dict())[0].weight.shape
    torch.Size([1152])
    """
    check_model(model)
    optimizers = optimizers_of(optimizer)
    state = _named(state_dict, prefix)
    patterns, problems = _patterns(model, state)
    changes, unchangeable = _changes(model, state, patterns)
    problems += unchangeable
    if not problems:
        replace(model, changes)
        try:
            problems = _misfits(model, state)
        finally:
            replace(model, {new: old for old, new in changes.items()})
    if problems:
        more = f", and {len(problems) - _NAMED} more" if len(problems) > _NAMED else ""
        raise CheckpointError(
            f"`state_dict` does not fit `model`: {'; '.join(problems[:_NAMED])}{more}"
            f"{_prefix_hint(model, state)}{_size_hint(problems)}"
        )
    exchange_(model, changes, optimizers, "adopt_")
    # In their one stored form, which the layers compare.
    state.update({key: torch.from_numpy(p.gaps.copy()) for key, p in patterns.items()})
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise CheckpointError(f"`state_dict` does not fit `model`: {error}") from error
    return model


def _size_hint(problems: list[str]) -> str:
    if not any(" has shape " in each for each in problems):
        return ""
    return (
        "; adopt_ takes over patterns, not sizes. The state of a compacted network fits that "
        "network only: keep it whole with openwork.save, and openwork.load builds it"
    )


def _named(state_dict: State, prefix: str) -> OrderedDict[str, Any]:
    """A copy of `state_dict` with the names that begin with `prefix`, without it."""
    if not isinstance(state_dict, Mapping):
        raise ArgumentError(
            f"`state_dict` is a {type(state_dict).__name__}, but must map names to tensors, as "
            "`model.state_dict()` does"
        )
    inner = [key for key, value in state_dict.items() if isinstance(value, Mapping) and value]
    if inner and not any(isinstance(value, torch.Tensor) for value in state_dict.values()):
        raise ArgumentError(
            f"`state_dict` is a whole checkpoint; pass its entry {inner[0]!r} or another that maps "
            "names to tensors"
        )
    state: OrderedDict[str, Any] = OrderedDict(
        (key.removeprefix(prefix), value)
        for key, value in state_dict.items()
        if isinstance(key, str) and key.startswith(prefix)
    )
    if not state:
        first = next(iter(state_dict), None)
        raise CheckpointError(
            f"`prefix`={prefix!r} begins none of the {len(state_dict)} names in `state_dict`"
            + ("" if first is None else f"; the first is {first!r}")
        )
    # The versions of modules, by which torch reads old states.
    versions = getattr(state_dict, "_metadata", {})
    state._metadata = {  # type: ignore[attr-defined]
        key.removeprefix(prefix): value
        for key, value in versions.items()
        if key.startswith(prefix) or key == prefix.removesuffix(".")
    }
    return state


def _patterns(model: nn.Module, state: State) -> tuple[dict[str, Pattern], list[str]]:
    """The pattern under each `gaps` in the state, and what is wrong with others, in words."""
    modules = dict(model.named_modules(remove_duplicate=False))
    own = model.state_dict()
    patterns: dict[str, Pattern] = {}
    problems: list[str] = []
    for key in state:
        name, _, last = key.rpartition(".")
        module = modules.get(name)
        if last != "gaps" or (key in own and not isinstance(module, SparseLayer)):
            continue
        try:
            patterns[key] = _pattern(module, state[key], state.get(_key(name, "weight")))
        except ArgumentError as error:
            problems.append(f"layer {name!r}: {error}")
    return patterns, problems


def _pattern(module: nn.Module | None, gaps: Any, weight: Any) -> Pattern:
    if not isinstance(module, Dense | SparseLayer):
        kind = "nothing" if module is None else f"a {type(module).__name__}"
        raise ArgumentError(f"it is sparse in the state, but {kind} in the model")
    if not _is_plain(gaps) or not _is_plain(weight):
        raise ArgumentError("`gaps` and `weight` must be dense tensors with values")
    if gaps.dtype not in _INTEGERS:
        raise ArgumentError(f"`gaps` must be a vector of uint8 or int32, not of {gaps.dtype}")
    shape = module.shape if isinstance(module, SparseLayer) else pattern_shape(module)
    groups = module.groups if isinstance(module, SparseLayer) else groups_of(module)
    # There are fewer gaps than weights if they lie between whole kernels.
    whole = weight.numel() != gaps.numel()
    pattern = Pattern.from_gaps(shape, gaps.cpu().numpy(), whole=whole, groups=groups)
    if tuple(weight.shape) != (pattern.live,):
        raise ArgumentError(
            f"`weight` has shape {tuple(weight.shape)}, but `gaps` names {pattern.live} weights of "
            f"a layer of shape {shape}"
        )
    return pattern


def _is_plain(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.layout == torch.strided and not value.is_meta


def _changes(
    model: nn.Module, state: State, patterns: Mapping[str, Pattern]
) -> tuple[dict[nn.Module, nn.Module], list[str]]:
    """Layer -> the layer of the state in its place, and what cannot be replaced, in words."""
    left = {model.get_submodule(name): reason for name, reason in left_layers(model).items()}
    changes: dict[nn.Module, nn.Module] = {}
    problems: list[str] = []
    for key, pattern in patterns.items():
        name = key.rpartition(".")[0]
        layer = model.get_submodule(name)
        sparse = isinstance(layer, SparseLayer)
        earlier = changes.get(layer, layer)
        if isinstance(earlier, SparseLayer) and earlier.pattern == pattern:
            continue
        if layer in changes:
            problems.append(f"layer {name!r} has two names in `model` and two patterns")
        elif layer is model or (not sparse and layer in left):
            problems.append(f"layer {name!r} cannot change: {_ROOT if sparse else left[layer]}")
        else:
            changes[layer] = twin_of(layer, pattern)  # type: ignore[arg-type]
    for name, layer in sparse_layers(model).items():
        weight = state.get(_key(name, "weight"))
        size = math.prod(layer.shape)
        dense = isinstance(weight, torch.Tensor) and weight.dim() > 1 and weight.numel() == size
        if dense and _key(name, "gaps") not in state:
            if layer is model:
                problems.append(f"layer {name!r} is dense in the state: {_ROOT}")
            else:
                changes[layer] = layer.to_dense()
    return changes, problems


def _misfits(model: nn.Module, state: State) -> list[str]:
    """What differs between the names and shapes of `model` and those of the state, in words."""
    own = model.state_dict()
    problems = [f"{key!r} is not in the model" for key in state if key not in own]
    for key, held in own.items():
        if key not in state:
            # torch itself adds it to states of old versions.
            if not key.endswith("num_batches_tracked"):
                problems.append(f"{key!r} is not in the state")
        elif isinstance(held, torch.Tensor) and not is_lazy(held):
            found = getattr(state[key], "shape", None)
            if found != held.shape:
                given = type(state[key]).__name__ if found is None else f"shape {tuple(found)}"
                problems.append(f"{key!r} has {given} there and {tuple(held.shape)} in the model")
    return problems


def _prefix_hint(model: nn.Module, state: State) -> str:
    """Which prefix the names in the state have, if no name fits without it."""
    own = model.state_dict()
    if any(key in own for key in state):
        return ""
    for key in state:
        for name in own:
            if key.endswith(f".{name}"):
                prefix = key.removesuffix(name)
                return f". Its names begin with {prefix!r}: pass `prefix={prefix!r}`"
    return ""


def _key(layer: str, attribute: str) -> str:
    return f"{layer}.{attribute}" if layer else attribute
