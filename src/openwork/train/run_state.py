"""The state of a run as its file holds it: every value is checked before any is used."""

import contextlib
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import nn

from openwork.errors import CheckpointError
from openwork.io import container
from openwork.train.metrics import EpochMetrics
from openwork.train.optimizers import make_optimizer
from openwork.train.recipe import Recipe

# What an optimiser takes the root of.
_SQUARES = {"exp_avg_sq", "max_exp_avg_sq", "square_avg", "acc_delta", "sum"}


class _Wrong(ValueError):
    """What a state breaks; the text says which rule."""


@dataclass(frozen=True, eq=False)
class RunState:
    """What a run is resumed from.

    Attributes:
        identity: what must be equal for it to be resumed.
        weights: the model's state dict, with a name for each alias.
        average: the state dict of the averaged model; empty if the run keeps no average.
        optimizer: number of the parameter -> name -> value.
        history: a row for each finished epoch, at least one.
    """

    identity: dict[str, Any]
    weights: dict[str, torch.Tensor]
    average: dict[str, torch.Tensor]
    optimizer: dict[int, dict[str, Any]]
    history: list[EpochMetrics]


def read_state(path: Path) -> RunState:
    """The state in the file at `path`.

    Raises:
        CheckpointError: there is no such file, or it is damaged or not the state of a run.
    """
    tensors, header = container.read(path)
    if header.get("kind") != "run":
        raise CheckpointError(f"{path.name} in {str(path.parent)!r} is not the state of a run")
    with blaming(path):
        for key in ("identity", "aliases", "optimizer"):
            _require(isinstance(header.get(key), dict), f"`{key}` must be a mapping")
        identity = _identity(header["identity"])
        history = _history(header.get("history"), identity["recipe"].get("epochs"))
        optimizer = {_index(text): dict(plain) for text, plain in header["optimizer"].items()}
        weights: dict[str, torch.Tensor] = {}
        average: dict[str, torch.Tensor] = {}
        averaged = bool(identity["recipe"].get("ema"))
        for name, tensor in tensors.items():
            kind, _, rest = name.partition(".")
            if kind == "model" or (kind == "average" and averaged):
                (weights if kind == "model" else average)[rest] = tensor
                continue
            index, _, key = rest.partition(".")
            known = kind == "optimizer" and _index(index) in optimizer
            _require(known, f"tensor {name!r} belongs to nothing")
            optimizer[int(index)][key] = tensor
        for state in (weights, average) if averaged else (weights,):
            state |= {alias: state[name] for alias, name in header["aliases"].items()}
        return RunState(identity, weights, average, optimizer, history)


@contextlib.contextmanager
def blaming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Raise whatever goes wrong in the block as a CheckpointError: the file is damaged."""
    try:
        yield
    except CheckpointError:
        raise
    except Exception as error:
        what = str(error) if isinstance(error, _Wrong) else f"{type(error).__name__}: {error}"
        raise CheckpointError(
            f"the state in {str(path)!r} is damaged: {what}. Use an unchanged copy, or start the "
            "run again in another folder"
        ) from error


def _require(holds: bool, rule: str) -> None:
    if not holds:
        raise _Wrong(rule)


def _identity(found: dict[str, Any]) -> dict[str, Any]:
    kinds = {"data": dict, "recipe": dict, "patterns": dict, "frozen": list, "model": (dict, str)}
    for key, kind in kinds.items():
        _require(isinstance(found.get(key), kind), f"`identity.{key}` is missing or malformed")
    _require(isinstance(found["data"].get("name"), str), "`identity.data.name` must be a text")
    return found


def _history(rows: Any, epochs: Any) -> list[EpochMetrics]:
    _require(isinstance(rows, list) and bool(rows), "`history` must hold a row for each epoch")
    _require(
        type(epochs) is int and len(rows) <= epochs,
        f"`history` holds {len(rows)} epochs, and its recipe has {epochs!r}",
    )
    return [_row(row, number) for number, row in enumerate(rows, 1)]


def _row(found: Any, number: int) -> EpochMetrics:
    names = {field.name for field in fields(EpochMetrics)}
    _require(isinstance(found, dict) and found.keys() == names, f"row {number} has other columns")
    for name, value in found.items():
        most = 1 if name.endswith("accuracy") else math.inf
        right = type(value) in (int, float) and math.isfinite(value) and 0 <= value <= most
        _require(right, f"`{name}` of epoch {number} is {value!r}")
    _require(
        found["epoch"] == number and type(found["epoch"]) is int, f"row {number} is of another"
    )
    return EpochMetrics(**found)


def _index(text: str) -> int:
    _require(text.isdecimal() and str(int(text)) == text, f"{text!r} is not a parameter's number")
    return int(text)


def check_optimizer(
    state: RunState, model: nn.Module, optimizer: torch.optim.Optimizer, recipe: Recipe
) -> None:
    """Require that `optimizer`, over parameters of `model`, can continue from what `state` holds.

    Raises:
        ValueError: it cannot, or a value is out of its range.
    """
    names = {parameter: name for name, parameter in model.named_parameters()}
    parameters = [each for group in optimizer.param_groups for each in group["params"]]
    expected = _expected(recipe)
    for index, values in state.optimizer.items():
        _require(index < len(parameters), f"the optimiser has no parameter {index}")
        _require(values.keys() == expected.keys(), f"`optimizer.{index}` holds {sorted(values)}")
        shape = state.weights[names[parameters[index]]].shape
        for key, value in values.items():
            what = f"`optimizer.{index}.{key}`"
            tensor = torch.as_tensor(value)
            _require(tensor.shape == (shape if expected[key] else ()), f"{what} has another shape")
            if expected[key]:
                _check_values(tensor, what, 0.0 if key in _SQUARES else -math.inf)
            else:
                steps = float(tensor)
                _require(steps.is_integer() and 1 <= steps < 2**53, f"{what} is {steps!r}")


def _expected(recipe: Recipe) -> dict[str, bool]:
    """What the optimiser keeps of each parameter, and whether that has the parameter's shape."""
    probe = nn.Parameter(torch.zeros(2, 3))
    probe.grad = torch.zeros(2, 3)
    optimizer = make_optimizer([probe], recipe)
    optimizer.step()
    return {key: value.shape == probe.shape for key, value in optimizer.state[probe].items()}


def check_weights(weights: Mapping[str, torch.Tensor], model: nn.Module) -> None:
    """Require that `weights` have the types of the state of `model`, and no parameter a NaN.

    Raises:
        ValueError: they do not.
    """
    for name, mine in model.state_dict().items():
        if name in weights:
            found = weights[name].dtype
            _require(mine.dtype == found, f"{name!r} is {found} in the place of {mine.dtype}")
    for name, _ in model.named_parameters():
        if name in weights:
            _check_values(weights[name], repr(name), -math.inf)


def _check_values(tensor: torch.Tensor, what: str, least: float) -> None:
    _require(tensor.is_floating_point(), f"{what} is {tensor.dtype}, not a floating-point type")
    # NaN is not at least anything.
    _require(bool((tensor >= least).all()), f"{what} holds NaN, or values below {least}")
