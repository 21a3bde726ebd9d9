"""`load_weights_`: weights that another program saved, into a model that is there already."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import nn

from openwork._arguments import check_model
from openwork._files import unreadable
from openwork._foreign import PICKLES, kind_of_file, not_ours
from openwork._terminal import counted
from openwork.errors import ArgumentError, CheckpointError, first_line
from openwork.io import container
from openwork.runtime.container import FORMAT_KEY

# Where training programs put the weights in what they save.
_NESTED = ("state_dict", "model_state_dict", "model")
# What wrappers put before every name: DataParallel, torch.compile, Lightning.
_PREFIXES = ("module.", "_orig_mod.", "model.")


def load_weights_(model: nn.Module, path: str | os.PathLike[str]) -> None:
    """Load weights that any program saved into `model`, in place. Nothing is unpickled.

    Names that all begin with `module.`, `_orig_mod.` or `model.`, as wrappers save them, are
    shortened. Every weight of the model must be in the file, in its shape, and nothing else.

    Args:
        model: a dense model that was built for these weights; it is unchanged if they do not fit.
        path: a safetensors file; or a file of torch.save that holds tensors only, alone or under
            `state_dict`, `model_state_dict` or `model`. It is read with `weights_only=True`.

    Raises:
        CheckpointError: the file is missing, damaged, of another kind, or holds Python objects; or
            its weights do not fit the model.
        ArgumentError: the file holds a network of openwork with sparse layers; use `openwork.load`.
    """
    check_model(model)
    state = _without_prefix(_read(path), model)
    _check_fit(model, state, path)
    try:
        model.load_state_dict(state)
    except (RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"`path`={str(path)!r} does not fit {type(model).__name__}: {first_line(error)}"
        ) from error


def _read(path: str | os.PathLike[str]) -> dict[str, torch.Tensor]:
    try:
        kind = kind_of_file(path)
    except OSError as error:
        raise unreadable(path, error) from error
    if kind in PICKLES:
        with _reading(path):
            # Tensors and plain data only: any other object in the file is refused, not made.
            return _tensors(torch.load(path, map_location="cpu", weights_only=True), path)
    if kind is not None:
        raise CheckpointError(not_ours(path, kind))
    if (ours := _ours(path)) is not None:
        return ours
    with _reading(path):
        return load_file(path)


def _ours(path: str | os.PathLike[str]) -> dict[str, torch.Tensor] | None:
    """The weights in a file that openwork wrote; None for any other safetensors file."""
    with _reading(path), safe_open(path, "pt") as file:
        if FORMAT_KEY not in (file.metadata() or {}):
            return None
    tensors, header = container.read(path)
    if header.get("kind") != "model" or header.get("layers") or header.get("resized"):
        raise ArgumentError(
            f"`path`={str(path)!r} holds a network of openwork that is compiled, sparse or "
            "compacted; load it with openwork.load, or name it on the command line in place of "
            "--weights"
        )
    return tensors | {alias: tensors[name] for alias, name in header["aliases"].items()}


@contextlib.contextmanager
def _reading(path: str | os.PathLike[str]) -> Iterator[None]:
    try:
        yield
    except CheckpointError:
        raise
    except SafetensorError as error:
        raise CheckpointError(
            f"`path`={str(path)!r} is truncated or not a safetensors file ({first_line(error)}); "
            "use a complete copy"
        ) from error
    except Exception as error:
        # torch raises many kinds of errors, and its text suggests turning the safety off.
        objects = "weights_only" in str(error).lower() or "weights only" in str(error).lower()
        why = (
            "holds Python objects besides tensors, and openwork does not unpickle those"
            if objects
            else f"cannot be read ({type(error).__name__}: {first_line(error)})"
        )
        raise CheckpointError(
            f"`path`={str(path)!r} {why}; save `model.state_dict()` with safetensors, where the "
            "model can be loaded"
        ) from error


def _tensors(found: Any, path: str | os.PathLike[str]) -> dict[str, torch.Tensor]:
    """The state dict in what torch.load gave."""
    for key in _NESTED:
        if isinstance(found, Mapping) and isinstance(inner := found.get(key), Mapping):
            found = inner
            break
    if not isinstance(found, Mapping):
        raise CheckpointError(
            f"`path`={str(path)!r} holds a {type(found).__name__}, but must hold the names and "
            "tensors of `model.state_dict()`"
        )
    state = cast(Mapping[Any, Any], found)
    wrong = [name for name, value in state.items() if not isinstance(value, torch.Tensor)]
    if wrong or not state:
        what = f"has {wrong[0]!r}, which is not a tensor" if wrong else "is empty"
        raise CheckpointError(
            f"`path`={str(path)!r} {what}; it must hold the names and tensors of "
            "`model.state_dict()`, alone or under `state_dict`"
        )
    return {str(name): value for name, value in state.items()}


def _without_prefix(state: dict[str, torch.Tensor], model: nn.Module) -> dict[str, torch.Tensor]:
    expected = model.state_dict().keys()
    for prefix in _PREFIXES:
        if not expected & state.keys() and all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state


def _check_fit(
    model: nn.Module, state: Mapping[str, torch.Tensor], path: str | os.PathLike[str]
) -> None:
    """Raise what load_state_dict would, in one line: the first names or shapes that differ."""
    expected = model.state_dict()
    # Files from before torch 0.4.1 lack this counter, and load_state_dict takes them.
    missing = [n for n in expected if n not in state and not n.endswith("num_batches_tracked")]
    extra = [name for name in state if name not in expected]
    reasons = [
        f"{counted(len(names), 'name')} {what}, such as {names[0]!r}"
        for names, what in (
            (missing, "of the model missing in it"),
            (extra, "unknown to the model"),
        )
        if names
    ]
    for name, value in expected.items():
        given = state.get(name)
        if not reasons and given is not None and given.shape != value.shape:
            reasons.append(
                f"{name!r} has shape {tuple(given.shape)} in the file and {tuple(value.shape)} in "
                "the model"
            )
    if reasons:
        raise CheckpointError(
            f"`path`={str(path)!r} holds weights of another network than {type(model).__name__}: "
            f"{'; '.join(reasons)}. Build the model with the classes, channels and widths that "
            "they were trained with"
        )
