"""`Recipe`: everything that determines a training run besides the network and the data."""

import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from openwork._arguments import check_choice, check_count, check_number, check_seed, is_number
from openwork._files import read_text, why
from openwork._yaml import load_mapping
from openwork.errors import ArgumentError
from openwork.train.growth import GrowthSchedule
from openwork.train.schedules import SCHEDULES

__all__ = ["DEFAULT_LR", "PRECISIONS"]

PRECISIONS = ("float32", "bfloat16")
# Learning rate by optimizer, where a recipe names none.
DEFAULT_LR = {
    "sgd": 0.1,
    "adam": 1e-3,
    "adamw": 1e-3,
    "adagrad": 1e-2,
    "adadelta": 1.0,
    "rmsprop": 1e-3,
}
# Fields added after version 0.1.0, and their defaults.
_LATER: dict[str, object] = {
    "growth": None,
    "beta2": 0.999,
    "accumulate": 1,
    "clip_norm": None,
    "ema": 0.0,
    "temperature": 4.0,
    "teacher_weight": 0.9,
}


@dataclass(frozen=True)
class Recipe:
    """How a network is trained. The same recipe, network and data give the same run.

    Args:
        epochs: passes over the training split, default 10.
        batch_size: samples per step over all processes, default 128.
        optimizer: "sgd" (default), "adam", "adamw", "adagrad", "adadelta" or "rmsprop".
        lr: peak learning rate; None (default) uses 0.1, 1e-3, 1e-3, 1e-2, 1.0 or 1e-3, in the order
            of these optimisers.
        momentum: momentum of sgd and rmsprop, default 0.9.
        beta2: decay rate of the mean of squared gradients of adam and adamw, in [0, 1), default
            0.999.
        l2: L2 penalty: `l2 * weight` is added to the gradient before the update rule, default 0.
        weight_decay: decoupled weight decay: each step also multiplies each weight by
            `1 - lr * weight_decay`, default 0. With adaptive optimisers this differs greatly from
            `l2`. Both apply to every parameter, including those of batch normalisation.
        schedule: "cosine" (default), "linear", "step" or "constant".
        warmup: share of the run, in [0, 1), in which the rate rises linearly, default 0.
        milestones: for "step": shares of the run after warm-up at which the rate drops, default
            (0.5, 0.75).
        drop: for "step": factor of each drop, default 0.1.
        label_smoothing: label smoothing, in [0, 1), default 0.
        flip: flip training images left-right at random, default False.
        crop_padding: pixels that training images are padded by before a random crop, default 0.
        growth: when a sparse network grows: a `GrowthSchedule` or its plain data, or None (default)
            for never.
        accumulate: parts that each batch is computed in, one after the other, to need less memory;
            default 1. Their gradients add up to that of the batch; batch normalisation sees parts.
        clip_norm: gradients whose norm over all parameters is larger are scaled down to it; None
            (default) for never.
        ema: decay of the weights' exponential moving average, in [0, 1), such as 0.999; 0 (default)
            for none. The average is what is tested, saved and left in the model.
        temperature: with a teacher: what logits are divided by before the softmaxes are compared,
            default 4.
        teacher_weight: with a teacher: its share of the loss, in [0, 1], default 0.9; the labels
            have the rest.
        precision: "float32" (default) or "bfloat16" (autocast; parameters remain float32).
        seed: seed of initialisation, order, augmentation and dropout, default 0.

    Raises:
        ArgumentError: a value outside its range.
    """

    epochs: int = 10
    batch_size: int = 128
    optimizer: str = "sgd"
    lr: float | None = None
    momentum: float = 0.9
    beta2: float = 0.999
    l2: float = 0.0
    weight_decay: float = 0.0
    schedule: str = "cosine"
    warmup: float = 0.0
    milestones: tuple[float, ...] = (0.5, 0.75)
    drop: float = 0.1
    label_smoothing: float = 0.0
    flip: bool = False
    crop_padding: int = 0
    growth: GrowthSchedule | None = None
    accumulate: int = 1
    clip_norm: float | None = None
    ema: float = 0.0
    temperature: float = 4.0
    teacher_weight: float = 0.9
    precision: str = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        check_count("epochs", self.epochs)
        check_count("batch_size", self.batch_size)
        check_count("accumulate", self.accumulate)
        check_choice("optimizer", self.optimizer, tuple(DEFAULT_LR))
        check_choice("schedule", self.schedule, tuple(SCHEDULES))
        check_choice("precision", self.precision, PRECISIONS)
        check_seed(self.seed)
        if self.lr is None:
            object.__setattr__(self, "lr", DEFAULT_LR[self.optimizer])
        _check_range("lr", self.lr, above=0.0)
        _check_range("drop", self.drop, above=0.0)
        _check_range("temperature", self.temperature, above=0.0)
        if self.clip_norm is not None:
            _check_range("clip_norm", self.clip_norm, above=0.0)
        for name in ("l2", "weight_decay"):
            _check_range(name, getattr(self, name), least=0.0)
        for name in ("momentum", "beta2", "warmup", "label_smoothing", "ema"):
            _check_range(name, getattr(self, name), least=0.0, below=1.0)
        check_number(
            "teacher_weight", self.teacher_weight, "from 0 to 1", lambda value: 0 <= value <= 1
        )
        if not isinstance(self.milestones, list | tuple):
            raise ArgumentError(
                f"`milestones`={self.milestones!r} must be a list of numbers, such as [0.5, 0.75]"
            )
        object.__setattr__(self, "milestones", tuple(self.milestones))
        for share in self.milestones:
            _check_range("milestones", share, above=0.0, below=1.0)
        if not isinstance(self.flip, bool):
            raise ArgumentError(f"`flip`={self.flip!r} must be true or false")
        check_count("crop_padding", self.crop_padding, 0)
        if self.growth is not None and not isinstance(self.growth, GrowthSchedule):
            object.__setattr__(self, "growth", GrowthSchedule.from_dict(self.growth))
        if self.optimizer == "adamw" and self.l2:
            raise ArgumentError(
                f"`l2`={self.l2} does not go with `optimizer`='adamw', which has decoupled decay; "
                "use 'adam' with `l2`, or `weight_decay`"
            )

    @property
    def peak_lr(self) -> float:
        """The learning rate that the schedule multiplies."""
        return self.lr if self.lr is not None else DEFAULT_LR[self.optimizer]

    def to_dict(self) -> dict[str, Any]:
        """The recipe as plain data, without fields added after version 0.1.0 at their defaults.

        Runs started by that version, whose recipes lack these keys, can so be resumed.
        """
        data = asdict(self) | {"milestones": list(self.milestones)}
        return {key: value for key, value in data.items() if _LATER.get(key, self) != value}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`; missing fields take their defaults.

        Raises:
            ArgumentError: an unknown key, or a value outside its range.
        """
        names = [field.name for field in fields(cls)]
        unknown = [str(key) for key in data if key not in names]
        if unknown:
            raise ArgumentError(
                f"a recipe has no {', '.join(map(repr, unknown))}; it has {', '.join(names)}"
            )
        return cls(**data)

    @classmethod
    def from_yaml(cls, path: str | os.PathLike[str]) -> Self:
        """The recipe in a YAML file.

        Raises:
            ArgumentError: the file does not exist or is not YAML, or as for `from_dict`.
        """
        try:
            text = read_text(path)
        except (OSError, UnicodeDecodeError) as error:
            raise ArgumentError(f"recipe {str(path)!r} cannot be read ({why(error)})") from error
        try:
            return cls.from_dict(load_mapping(text))
        except ArgumentError as error:
            raise ArgumentError(f"recipe {str(path)!r}: {error}") from error


def _check_range(
    argument: str,
    value: Any,
    *,
    above: float = -math.inf,
    least: float = -math.inf,
    below: float = math.inf,
) -> None:
    if not is_number(value) or not (above < value < below and value >= least):
        low = f"above {above}" if above > -math.inf else f"at least {least}"
        high = f" and below {below}" if below < math.inf else ""
        raise ArgumentError(f"`{argument}`={value!r} must be a number {low}{high}")
