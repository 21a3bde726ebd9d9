"""The folder of a run: what the run is, how far it is, and how it is resumed.

    state.safetensors  weights, their average, optimiser, history, identity after the last epoch
    model.safetensors  the model alone, for `openwork.load`
    plan.yaml          the plan, if there is one
    metrics.csv        one row per epoch
    events/            the same for TensorBoard
    .lock              while a process writes the others

Each file is replaced in one step, `state` first: a run killed at any moment resumes from `state`.
"""

import contextlib
import dataclasses
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from openwork import models
from openwork._files import locked_folder, remove_partial, writable_folder, write_text, writing
from openwork._identity import digest_of
from openwork.data import DataSet
from openwork.data.folder import PREFIX
from openwork.errors import ArgumentError, CheckpointError
from openwork.io import adopt_, container, save
from openwork.io.checkpoint import distinct
from openwork.nn import Plan
from openwork.nn.layers import sparse_layers
from openwork.train.metrics import EpochMetrics, write_csv
from openwork.train.recipe import Recipe
from openwork.train.run_state import blaming, check_optimizer, check_weights, read_state

__all__ = ["MODEL", "PLAN", "STATE", "identity_of", "trained_on"]

STATE, MODEL, PLAN, CSV, EVENTS = (
    "state.safetensors",
    "model.safetensors",
    "plan.yaml",
    "metrics.csv",
    "events",
)


class RunFolder:
    """The folder of one run.

    Args:
        path: the folder; it is created if needed.
        identity: what must be equal for a run to be resumed: recipe, model, data, patterns.
        plan: a plan to record for the reader, or None.
        data: what `trained_on` says of the data, for the metrics of the model's file. Default: its
            name alone.

    Raises:
        OpenworkError: the folder cannot be written to.
    """

    def __init__(
        self,
        path: Path,
        identity: Mapping[str, Any],
        plan: Plan | None,
        data: Mapping[str, Any] | None = None,
    ) -> None:
        self.path = writable_folder(path, "out")
        self._identity = dict(identity)
        self._plan = plan
        self._data = {"data": identity["data"]["name"]} if data is None else dict(data)

    def has_state(self) -> bool:
        """Whether an epoch has been finished here."""
        return (self.path / STATE).exists()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep other runs out of the folder meanwhile, and remove what killed ones left half.

        Raises:
            CheckpointError: another process or thread runs in the folder.
        """
        with locked_folder(self.path, "out"):
            remove_partial(self.path)
            yield

    def begin(self) -> None:
        """Start a new run here.

        Raises:
            CheckpointError: the folder already holds a run, or the disk is full.
        """
        if self.has_state():
            raise CheckpointError(
                f"`out`={str(self.path)!r} holds a run already; resume it (`resume`) or choose "
                "another folder"
            )
        if self._plan is not None:
            with writing(self.path / PLAN, CheckpointError):
                write_text(self.path / PLAN, self._plan.to_yaml())

    def resume(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        average: nn.Module | None = None,
    ) -> list[EpochMetrics]:
        """Restore model and optimiser to the state of the run, and return its finished epochs.

        `average` is the averaged model, if the recipe asks for one. The recipe may have more epochs
        than the run was started with.

        Raises:
            CheckpointError: no run here, a damaged one, or one with another model, data set,
                recipe or plan.
        """
        path = self.path / STATE
        state = read_state(path)
        with blaming(path):
            _check_identity(state.identity, self._identity, self.path)
        try:
            # A run that grows has denser patterns than it began with.
            adopt_(model, state.weights, optimizer)
            if average is not None:
                adopt_(average, state.average)
            with blaming(path):
                check_weights(state.weights, model)
                if average is not None:
                    check_weights(state.average, average)
                recipe = Recipe.from_dict(self._identity["recipe"])
                check_optimizer(state, model, optimizer, recipe)
        except (ArgumentError, CheckpointError) as error:
            raise CheckpointError(
                f"the run in {str(self.path)!r} has another model: {error}. "
                "Resume with the model it was started with, or choose another folder"
            ) from error
        with blaming(path):
            # The groups follow from the recipe and the schedule; only the state belongs to the run.
            groups = optimizer.state_dict()["param_groups"]
            optimizer.load_state_dict({"state": state.optimizer, "param_groups": groups})
        return state.history

    def finish_epoch(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        history: Sequence[EpochMetrics],
        average: nn.Module | None = None,
    ) -> None:
        """Save everything that the next epoch starts from.

        Raises:
            CheckpointError: the disk is full; the previous epoch is still intact.
        """
        weights, aliases = distinct(model.state_dict())
        tensors = {f"model.{name}": value for name, value in weights.items()}
        if average is not None:
            averaged, _ = distinct(average.state_dict())
            tensors |= {f"average.{name}": value for name, value in averaged.items()}
        plain = _collect_optimizer(optimizer, tensors)
        header = {
            "kind": "run",
            "identity": self._identity,
            "aliases": aliases,
            "optimizer": plain,
            "history": [dataclasses.asdict(row) for row in history],
        }
        container.write(self.path / STATE, tensors, header)
        self.export(model if average is None else average, history)

    def export(self, model: nn.Module, history: Sequence[EpochMetrics]) -> None:
        """Write model and metrics from the state; a killed run may have left old ones."""
        save(
            model,
            self.path / MODEL,
            plan=self._plan,
            metrics=dataclasses.asdict(history[-1]) | self._data,
        )
        with writing(self.path / CSV, CheckpointError):
            write_csv(self.path / CSV, history)


def identity_of(
    model: nn.Module, data: DataSet, recipe: Recipe, teacher: nn.Module | None = None
) -> dict[str, Any]:
    """What identifies a run: if any of it changes, it is another run."""
    source = models.source_of(model)
    # Runs without a teacher, some of earlier versions, do not have the key.
    taught = {} if teacher is None else {"teacher": digest_of(teacher)[:16]}
    return taught | {
        "model": source.to_dict() if source else type(model).__name__,
        "data": {
            "name": data.name,
            "train": len(data.train),
            "test": len(data.test),
            "labels": _digest(data.train.labels),
            "pixels": [*data.mean, *data.std],
        },
        "frozen": [n for n, p in model.named_parameters() if not p.requires_grad],
        "recipe": recipe.to_dict(),
        "patterns": {n: layer.pattern.digest[:16] for n, layer in sparse_layers(model).items()},
    }


def trained_on(data: DataSet) -> dict[str, Any]:
    """What the file of a trained model says of its data, for those who run it on other images."""
    return {
        "data": data.name,
        "classes": list(data.classes),
        "mean": list(data.mean),
        "std": list(data.std),
    }


def _check_identity(stored: dict[str, Any], current: dict[str, Any], path: Path) -> None:
    names = (stored["data"]["name"], current["data"]["name"])
    if all(name.startswith(PREFIX) for name in names):
        # The folder may have moved, and old runs recorded its path as typed; the images decide.
        stored = stored | {"data": stored["data"] | {"name": names[1]}}
    longer = stored["recipe"] | {"epochs": current["recipe"]["epochs"]}
    if stored["recipe"]["epochs"] < longer["epochs"]:
        # A longer run of the same recipe continues where this one is.
        stored = stored | {"recipe": longer}
    for key in ("model", "data", "recipe", "frozen", "teacher"):
        if stored.get(key) != current.get(key):
            difference = _difference(stored.get(key), current.get(key))
            raise CheckpointError(
                f"the run in {str(path)!r} has another {key}: {difference}. "
                "Resume with the arguments it was started with, or choose another folder"
            )
    if stored["patterns"] != current["patterns"]:
        before, now = stored["patterns"], current["patterns"]
        differ = sorted(n for n in before.keys() | now.keys() if before.get(n) != now.get(n))
        raise CheckpointError(
            f"the run in {str(path)!r} has another plan: {len(differ)} layers differ, the first is "
            f"{differ[0]!r}. Resume with the plan in {PLAN} there, or choose another folder"
        )


def _digest(labels: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(labels).data).hexdigest()[:16]


def _difference(stored: Any, current: Any) -> str:
    if not isinstance(stored, dict) or not isinstance(current, dict):
        return f"{stored!r} there, {current!r} here"
    keys = [key for key in stored.keys() | current.keys() if stored.get(key) != current.get(key)]
    return "; ".join(
        f"{key} is {stored.get(key)!r} there, {current.get(key)!r} here" for key in sorted(keys)
    )


def _collect_optimizer(
    optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]
) -> dict[str, dict[str, Any]]:
    """Add the optimiser's tensors to `tensors`, and return the rest of its state as plain data."""
    plain: dict[str, dict[str, Any]] = {}
    for index, state in optimizer.state_dict()["state"].items():
        plain[str(index)] = {}
        for key, value in state.items():
            if isinstance(value, torch.Tensor):
                tensors[f"optimizer.{index}.{key}"] = value
            else:
                plain[str(index)][key] = value
    return plain
