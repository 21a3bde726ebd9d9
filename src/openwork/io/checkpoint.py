"""`save` and `load`: a model, its patterns and its plan in one safetensors file."""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from openwork import models
from openwork._version import __version__
from openwork.errors import ArgumentError, CheckpointError
from openwork.io import _container
from openwork.io.kinds import Kind, kind_named, kind_of
from openwork.models import ModelSource
from openwork.nn import Plan, SparseConv2d, SparseLinear
from openwork.nn._layers import replace, sparse_layers
from openwork.nn._origin import Origin
from openwork.nn._resize import describe_resized, restore_resized_
from openwork.patterns import Pattern


@dataclass(frozen=True)
class CheckpointInfo:
    """What a checkpoint says of itself.

    Attributes:
        source: how `openwork.models.build` makes the model, or None for a model of one's own.
        plan: the plan that the model was made sparse with, if it was given to `save`.
        metrics: what was given to `save`.
        version: of the openwork that wrote it.
    """

    source: ModelSource | None
    plan: Plan | None
    metrics: dict[str, Any]
    version: str


def save(
    model: nn.Module,
    path: str | os.PathLike[str],
    *,
    plan: Plan | None = None,
    metrics: Mapping[str, Any] | None = None,
) -> None:
    """Write `model` to one safetensors file: live weights, patterns, and how to build it again.

    Of a compacted model it holds the channel counts of each layer that lost some.

    The file is complete or not there; an earlier one is replaced in one step.

    Args:
        model: any module, with or without sparse layers, or what `openwork.compile` gave.
        path: of the file.
        plan: the plan to note down beside it. Loading does not need it: the patterns themselves
            are stored.
        metrics: plain numbers and strings to note down.

    Raises:
        CheckpointError: the folder cannot be written to, or the disk is full.
        ArgumentError: the model's state holds something that is not a tensor, `metrics` something
            that is not plain, or a compiled model an operator that a file cannot name.
    """
    kind = kind_of(model)
    tensors, described = kind.describe(model) if kind else _describe(model)
    header = {
        "kind": kind.name if kind else "model",
        "version": __version__,
        "model": None,
        "plan": plan.to_dict() if plan else None,
        "metrics": _plain(metrics or {}),
    }
    _container.write(path, tensors, header | described)


def _describe(model: nn.Module) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    source = models.source_of(model)
    tensors, aliases = distinct(model.state_dict())
    return tensors, {
        "model": source.to_dict() if source else None,
        "resized": describe_resized(model),
        "layers": describe_layers(model),
        "aliases": aliases,
    }


def load(
    path: str | os.PathLike[str],
    build: Callable[[], nn.Module] | None = None,
    *,
    device: torch.device | str = "cpu",
) -> nn.Module:
    """The model in the file at `path`, sparse layers and all. Nothing is ever unpickled.

    A compiled model comes back with the kernels that were chosen; nothing is measured unless this
    machine has no such kernel, and then `.layers.notes` says so.

    Args:
        path: of a file that `save` wrote.
        build: makes the dense model anew, for a model that `openwork.models.build` does not know.
            A compiled model needs none.
        device: where the model goes, default "cpu"; a compiled model stays there.

    Raises:
        CheckpointError: the file is truncated, foreign, edited or from a newer version, or `build`
            is missing or makes another model.
        ArgumentError: `build`, or another `device` than the CPU, for a compiled model.
    """
    tensors, header = _container.read(path)
    kind = _kind(path, header)
    if kind is not None:
        return _restored(kind, path, tensors, header, build, device)
    if build is None and header["model"] is None:
        raise CheckpointError(
            f"`path`={str(path)!r} holds a model that openwork cannot build by name; pass "
            "`build`, a function that makes the dense model"
        )
    model = build() if build else models.build(**ModelSource.from_dict(header["model"]).to_dict())
    try:
        tensors |= {alias: tensors[name] for alias, name in header["aliases"].items()}
        # Files written before networks could be compacted do not have the entry.
        restore_resized_(model, header.get("resized", {}))
        model = restore_layers_(model, header["layers"], tensors)
        _match_dtypes(model, tensors)
        model.load_state_dict(tensors)
    except (ArgumentError, RuntimeError, KeyError) as error:
        raise CheckpointError(
            f"`path`={str(path)!r} does not fit the model that was built for it: {error}"
        ) from error
    return model.to(device)


def info(path: str | os.PathLike[str]) -> CheckpointInfo:
    """What the file at `path` says of itself, without building a model.

    Raises:
        CheckpointError: as `load`.
    """
    header = _container.read_header(path)
    _kind(path, header)
    return CheckpointInfo(
        source=ModelSource.from_dict(header["model"]) if header["model"] else None,
        plan=Plan.from_dict(header["plan"]) if header["plan"] else None,
        metrics=header["metrics"],
        version=header["version"],
    )


def _kind(path: str | os.PathLike[str], header: Mapping[str, Any]) -> Kind | None:
    """The kind of what the file holds; None for a module like any other."""
    name = header.get("kind", "")
    kind = kind_named(name)
    if kind is None and name != "model":
        raise CheckpointError(f"`path`={str(path)!r} holds the state of a run, not a model")
    return kind


def _restored(
    kind: Kind,
    path: str | os.PathLike[str],
    tensors: dict[str, torch.Tensor],
    header: Mapping[str, Any],
    build: Callable[[], nn.Module] | None,
    device: torch.device | str,
) -> nn.Module:
    if build is not None:
        raise ArgumentError(
            f"`build`={build!r} is not needed for a {kind.name} model; leave it out"
        )
    if torch.device(device).type != "cpu":
        raise ArgumentError(f"`device`={device!r} must be 'cpu' for a {kind.name} model")
    try:
        return kind.restore(tensors, header)
    except CheckpointError as error:
        raise CheckpointError(f"`path`={str(path)!r} cannot be loaded: {error}") from error


def describe_layers(model: nn.Module) -> dict[str, Any]:
    """What the header must say of the sparse layers; their `gaps` are among the tensors."""
    return {
        name: {
            "shape": list(layer.shape),
            "groups": layer.groups,
            "whole": layer.pattern.whole,
            "origin": layer.origin.to_dict() if layer.origin else None,
        }
        for name, layer in sparse_layers(model).items()
    }


def restore_layers_(
    model: nn.Module, layers: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]
) -> nn.Module:
    """Put sparse layers where `layers` says, with the patterns among `tensors`; all checked.

    Returns `model`, or the sparse layer that takes its place where the model is a single layer.
    """
    modules = dict(model.named_modules())
    replacements: dict[nn.Module, nn.Module] = {}
    for name, entry in layers.items():
        pattern = Pattern.from_gaps(
            entry["shape"],
            tensors[f"{name}.gaps" if name else "gaps"].numpy(),
            whole=entry["whole"],
            groups=entry["groups"],
        )
        module = modules.get(name)
        if isinstance(module, nn.Conv2d):
            sparse = SparseConv2d.from_dense(module, pattern)
        elif isinstance(module, nn.Linear):
            sparse = SparseLinear.from_dense(module, pattern)
        elif isinstance(module, SparseConv2d | SparseLinear):
            continue
        else:
            found = "nothing" if module is None else type(module).__name__
            raise ArgumentError(f"layer {name!r} must be a convolution or linear, found {found}")
        # Files of version 0.1.0 do not say where a pattern comes from.
        if entry.get("origin"):
            sparse.origin = Origin.from_dict(entry["origin"])
        replacements[module] = sparse
    replace(model, replacements)
    return replacements.get(model, model)


def distinct(
    state: Mapping[str, Any],
) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Each tensor once, and the other names of those that have several."""
    tensors: dict[str, torch.Tensor] = {}
    aliases: dict[str, str] = {}
    first: dict[tuple[Any, ...], str] = {}
    for name, tensor in state.items():
        if not isinstance(tensor, torch.Tensor):
            raise ArgumentError(
                f"`model` keeps {name!r} of type {type(tensor).__name__} in its state; only "
                "tensors can be saved without pickling. Keep it as a buffer, or outside the state"
            )
        key = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype)
        if tensor.numel() and key in first:
            aliases[name] = first[key]
        else:
            first[key] = name
            tensors[name] = tensor
    return tensors, aliases


def _plain(metrics: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return json.loads(json.dumps(dict(metrics)))
    except (TypeError, ValueError) as error:
        raise ArgumentError(
            f"`metrics`={metrics!r} must hold plain numbers and strings ({error}); "
            "call .item() on a tensor"
        ) from error


def _match_dtypes(model: nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if name in tensors and tensor.dtype != tensors[name].dtype:
            tensor.data = tensor.data.to(tensors[name].dtype)
