"""How a model was built, as plain data attached to the model."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from torch import nn

from openwork._arguments import check_module, is_number
from openwork.errors import ArgumentError

_ATTRIBUTE = "openwork_source"


@dataclasses.dataclass(frozen=True)
class ModelSource:
    """The arguments of a `build` call: `build(**source.to_dict())` builds the model again.

    Args:
        name: the model's name, such as "vgg16-cifar" or "mlp:784-100-10".
        num_classes: outputs of the last layer, at least 1. Default 10.
        in_channels: channels of the input image, at least 1. Default 3.
        image_size: height and width of the input image in pixels, at least 1. Default 32.
        depth_multiplier: factor on every hidden width (see `patterns.depth_multiplier`), finite
            and above 0. Default 1.0.

    Raises:
        ArgumentError: a value has the wrong type or is out of range.
    """

    name: str
    num_classes: int = 10
    in_channels: int = 3
    image_size: int = 32
    depth_multiplier: float = 1.0

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise ArgumentError(f"`name` is {self.name!r}: give the model's name as a string.")
        for field in ("num_classes", "in_channels", "image_size"):
            value = getattr(self, field)
            # bool is a subclass of int, but `num_classes=True` is a mistake.
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ArgumentError(f"`{field}` is {value!r}: it must be an integer of at least 1.")
        alpha = self.depth_multiplier
        if not is_number(alpha) or not math.isfinite(alpha) or alpha <= 0:
            raise ArgumentError(
                f"`depth_multiplier` is {alpha!r}: it must be a finite number above 0; "
                "1 keeps the model's own widths, 0.5 halves them."
            )
        object.__setattr__(self, "depth_multiplier", float(alpha))

    def to_dict(self) -> dict[str, Any]:
        """The five fields as a plain dict, for JSON and YAML."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "ModelSource":
        """The inverse of `to_dict`; fields left out take their defaults, except `name`.

        Raises:
            ArgumentError: `data` is not a mapping, lacks `name`, has an unknown field, or holds a
                value that is out of range.
        """
        if not isinstance(data, Mapping):
            raise ArgumentError(f"`data` is {data!r}: it must be a dict as `to_dict` returns.")
        fields = [field.name for field in dataclasses.fields(cls)]
        unknown = sorted(str(key) for key in data if key not in fields)
        if unknown:
            raise ArgumentError(
                f"`data` has the unknown fields {unknown}: a model source has only {fields}."
            )
        if "name" not in data:
            raise ArgumentError(f"`data` is {dict(data)!r}: it must have the field `name`.")
        return cls(**data)


def attach_source(module: nn.Module, source: ModelSource) -> None:
    """Attach `source` to `module`, for `source_of`; copies and pickles keep it."""
    setattr(module, _ATTRIBUTE, source)


def source_of(module: nn.Module) -> ModelSource | None:
    """How `module` was built, or None if `openwork.models.build` did not build it."""
    check_module(module, "module")
    source = module.__dict__.get(_ATTRIBUTE)
    return source if isinstance(source, ModelSource) else None
