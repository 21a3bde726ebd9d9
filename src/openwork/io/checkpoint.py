"""`save` and `load`: a model, its patterns and its plan in one safetensors file."""

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from openwork import models
from openwork._arguments import check_callable, check_has_weights, check_model
from openwork._unwrap import unwrapped
from openwork._version import __version__
from openwork.errors import ArgumentError, CheckpointError, MissingPackageError
from openwork.io import container
from openwork.io.bounded import Bounded, described
from openwork.io.kinds import Kind, kind_named, kind_of
from openwork.io.layers import describe_layers, restore_layers_
from openwork.io.plain import plain
from openwork.io.reparametrised import fit_reparametrised
from openwork.models import ModelSource
from openwork.nn import Plan, densify_
from openwork.nn.resize import describe_resized, restore_resized_, unsaved_buffers
from openwork.nn.sparse_layer import SparseLayer
from openwork.runtime import pack

__all__ = ["distinct"]


@dataclass(frozen=True)
class CheckpointInfo:
    """What the header of a checkpoint says.

    Attributes:
        source: how `openwork.models.build` builds the model, or None for any other model.
        plan: the plan that was passed to `save`, or None.
        metrics: the metrics that were passed to `save`.
        version: version of openwork that wrote the file.
        kind: "model", "compiled" for the result of `openwork.compile`, or "quantized" for that of
            `openwork.quantize`.
    """

    source: ModelSource | None
    plan: Plan | None
    metrics: dict[str, Any]
    version: str
    kind: str = "model"


def save(
    model: nn.Module,
    path: str | os.PathLike[str],
    *,
    plan: Plan | None = None,
    metrics: Mapping[str, Any] | None = None,
    packed: bool = False,
) -> None:
    """Write `model` to one safetensors file: live weights, patterns, and how to build it again.

    For a compacted model the file also holds the channel counts of each layer that lost channels.
    It is written whole or not at all, and replaces an earlier file in one step.

    Args:
        model: any module, with or without sparse layers, or the result of `openwork.compile` or
            `openwork.quantize`. Of DistributedDataParallel and its kin the network within is saved.
        path: path of the file.
        plan: a plan to record in the file. Loading does not need it: the patterns are stored.
        metrics: plain numbers and strings to record in the file.
        packed: write a compiled model as `openwork.runtime.pack` does, for this instruction set:
            larger, mapped where it lies, and for `openwork.runtime` and C only. Default False.

    Raises:
        CheckpointError: the folder cannot be written to, the disk is full, or `packed` is asked of
            a network that needs torch.
        ArgumentError: the model's state holds something that is not a tensor, `metrics` holds
            something that is not plain data, a compiled model has an operator that a file cannot
            name, or `packed` for a model that is not compiled.
    """
    model = unwrapped(model)
    check_model(model)
    kind = kind_of(model)
    tensors, described = kind.describe(model) if kind else _describe(model)
    header = {
        "kind": kind.name if kind else "model",
        "version": __version__,
        "model": None,
        "plan": plan.to_dict() if plan else None,
        "metrics": plain("metrics", metrics or {}),
    }
    if not packed:
        container.write(path, tensors, header | described)
    elif header["kind"] == "compiled":
        _pack(path, tensors, header | described)
    else:
        raise ArgumentError(
            "`packed`=True is for compiled networks only; save what `openwork.compile` gives"
        )


def _pack(
    path: str | os.PathLike[str], tensors: dict[str, torch.Tensor], header: dict[str, Any]
) -> None:
    with tempfile.TemporaryDirectory(prefix="openwork-") as folder:
        file = os.path.join(folder, "compiled")
        container.write(file, tensors, header)
        try:
            pack(file, path)
        except (ArgumentError, CheckpointError) as error:
            named = str(error).replace(f"`path`={file!r}", "`model`").replace("`packed`", "`path`")
            raise type(error)(named) from error


def _describe(model: nn.Module) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    check_has_weights(model)
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
    """The model in the file at `path`, with its sparse layers. Nothing is unpickled.

    A compiled model is loaded with the kernels that were chosen. Kernels are only measured again if
    this machine lacks one of them; `.layers.notes` then says so.

    Args:
        path: path of a file that `save` wrote.
        build: a function that builds the model, for models that `openwork.models.build` does not
            know. It may return a dense or a sparse model; the patterns come from the file. Not
            allowed for a compiled model.
        device: device of the model, default "cpu"; a compiled model must be on the CPU.

    Raises:
        CheckpointError: the file is truncated, foreign, edited or from a newer version, or `build`
            is missing or builds another model.
        MissingPackageError: the model is timm's or torchvision's and the package is missing.
        ArgumentError: `build` cannot be called; or `build`, or a `device` other than the CPU, for a
            compiled model.
    """
    if build is not None:
        check_callable("build", build, "() -> model")
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
            "`build`, a function that builds the dense model"
        )
    with _blaming(path, "does not fit the model that was built for it"):
        model = _filled(model, tensors, header)
    return model.to(device)


@contextlib.contextmanager
def _blaming(path: str | os.PathLike[str], what: str) -> Iterator[None]:
    """Raise every other error in the block as a CheckpointError about the file at `path`."""
    try:
        yield
    except (CheckpointError, MissingPackageError):
        raise
    except Exception as error:
        raise CheckpointError(
            f"`path`={str(path)!r} {what}: {type(error).__name__}: {error}"
        ) from error


def _built(tensors: Mapping[str, torch.Tensor], header: Mapping[str, Any]) -> nn.Module:
    """The model that the header names; it must not be larger than the file says."""
    source = ModelSource.from_dict(header["model"])
    # Before channels were removed the model may have had any size.
    bound = contextlib.nullcontext() if header.get("resized") else _bounded(tensors, header)
    with bound:
        return models.build(**source.to_dict())


def _filled(
    model: nn.Module, tensors: dict[str, torch.Tensor], header: Mapping[str, Any]
) -> nn.Module:
    """`model` with the shapes, patterns and values of the file."""
    tensors |= {alias: tensors[name] for alias, name in header["aliases"].items()}
    # The patterns come from the file, not from the built model.
    model = model.to_dense() if isinstance(model, SparseLayer) else densify_(model)
    fit_reparametrised(model, tensors)
    with _bounded(tensors, header):
        # Files written before `compact` existed do not have the entry.
        restore_resized_(model, header.get("resized", {}), tensors)
        model = restore_layers_(model, header["layers"], tensors)
    _match_dtypes(model, tensors)
    model.load_state_dict(tensors)
    return model


def _bounded(tensors: Mapping[str, torch.Tensor], header: Mapping[str, Any]) -> Bounded:
    return Bounded(described(tensors, header["layers"]))


def info(path: str | os.PathLike[str]) -> CheckpointInfo:
    """The header of the file at `path`, without building a model.

    Args:
        path: path of a file that `save` wrote.

    Raises:
        CheckpointError: as for `load`.
    """
    header = container.read_header(path)
    with _blaming(path, "is damaged"):
        _kind(path, header)
        return CheckpointInfo(
            source=ModelSource.from_dict(header["model"]) if header["model"] else None,
            plan=Plan.from_dict(header["plan"]) if header["plan"] else None,
            metrics=header["metrics"],
            version=header["version"],
            kind=header.get("kind", "model"),
        )


def _kind(path: str | os.PathLike[str], header: Mapping[str, Any]) -> Kind | None:
    """The kind of module in the file; None for an ordinary one."""
    name = header.get("kind", "")
    kind = kind_named(name)
    if kind is None and name != "model":
        raise CheckpointError(
            f"`path`={str(path)!r} holds the state of a run, not a model; load the "
            "model.safetensors beside it"
        )
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
    """Each tensor once, and the aliases of tensors with several names: alias -> name."""
    tensors: dict[str, torch.Tensor] = {}
    aliases: dict[str, str] = {}
    first: dict[tuple[Any, ...], str] = {}
    for name, tensor in state.items():
        if not isinstance(tensor, torch.Tensor):
            raise ArgumentError(
                f"`model` keeps {name!r} of type {type(tensor).__name__} in its state; only "
                "tensors can be saved without pickling. Make it a buffer, or keep it out of the "
                "state"
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
