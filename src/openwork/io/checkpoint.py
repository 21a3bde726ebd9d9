"""`save` and `load`: a model, its patterns and its plan in one safetensors file."""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from openwork import models
from openwork._version import __version__
from openwork.errors import ArgumentError, CheckpointError, MissingPackageError
from openwork.io import container
from openwork.io.bounded import Bounded, described
from openwork.io.kinds import Kind, kind_named, kind_of
from openwork.io.layers import describe_layers, restore_layers_
from openwork.io.plain import plain
from openwork.models import ModelSource
from openwork.nn import Plan, densify_
from openwork.nn.resize import describe_resized, restore_resized_, unsaved_buffers
from openwork.nn.sparse_layer import SparseLayer


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
        "metrics": plain("metrics", metrics or {}),
    }
    container.write(path, tensors, header | described)


def _describe(model: nn.Module) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    source = models.source_of(model)
    tensors, aliases = distinct({**model.state_dict(), **unsaved_buffers(model)})
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
        build: makes the model anew, for one that `openwork.models.build` does not know. It may
            be dense or sparse: the patterns are those of the file. A compiled model needs none.
        device: where the model goes, default "cpu"; a compiled model stays there.

    Raises:
        CheckpointError: the file is truncated, foreign, edited or from a newer version, or `build`
            is missing or makes another model.
        MissingPackageError: the model is timm's or torchvision's and the package is missing.
        ArgumentError: `build`, or another `device` than the CPU, for a compiled model.
    """
    tensors, header = container.read(path)
    with _blaming(path, "is damaged"):
        kind = _kind(path, header)
        named = header["model"] if kind is None else None
    if kind is not None:
        return _restored(kind, path, tensors, header, build, device)
    if build is not None:
        model = build()
    elif named is not None:
        with _blaming(path, "names a model that cannot be built"):
            model = _built(tensors, header)
    else:
        raise CheckpointError(
            f"`path`={str(path)!r} holds a model that openwork cannot build by name; pass "
            "`build`, a function that makes the dense model"
        )
    with _blaming(path, "does not fit the model that was built for it"):
        model = _filled(model, tensors, header)
    return model.to(device)


@contextlib.contextmanager
def _blaming(path: str | os.PathLike[str], what: str) -> Iterator[None]:
    """Whatever an edited file trips over, it is the file that is wrong."""
    try:
        yield
    except (CheckpointError, MissingPackageError):
        raise
    except Exception as error:
        raise CheckpointError(
            f"`path`={str(path)!r} {what}: {type(error).__name__}: {error}"
        ) from error


def _built(tensors: Mapping[str, torch.Tensor], header: Mapping[str, Any]) -> nn.Module:
    """The model that the header names, which may be no larger than what the file says of it."""
    source = ModelSource.from_dict(header["model"])
    # Before channels were removed it may have been of any size.
    bound = contextlib.nullcontext() if header.get("resized") else _bounded(tensors, header)
    with bound:
        return models.build(**source.to_dict())


def _filled(
    model: nn.Module, tensors: dict[str, torch.Tensor], header: Mapping[str, Any]
) -> nn.Module:
    """`model` with the shapes, patterns and values of the file."""
    tensors |= {alias: tensors[name] for alias, name in header["aliases"].items()}
    # Whatever patterns it was built with, the file's are those that count.
    model = model.to_dense() if isinstance(model, SparseLayer) else densify_(model)
    with _bounded(tensors, header):
        # Files written before networks could be compacted do not have the entry.
        restore_resized_(model, header.get("resized", {}), tensors)
        model = restore_layers_(model, header["layers"], tensors)
    _match_dtypes(model, tensors)
    model.load_state_dict(tensors)
    return model


def _bounded(tensors: Mapping[str, torch.Tensor], header: Mapping[str, Any]) -> Bounded:
    return Bounded(described(tensors, header["layers"]))


def info(path: str | os.PathLike[str]) -> CheckpointInfo:
    """What the file at `path` says of itself, without building a model.

    Raises:
        CheckpointError: as `load`.
    """
    header = container.read_header(path)
    with _blaming(path, "is damaged"):
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


def _match_dtypes(model: nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if name in tensors and tensor.dtype != tensors[name].dtype:
            tensor.data = tensor.data.to(tensors[name].dtype)
