"""A model source is validated data that survives JSON and stays on the model."""

import copy
import json
import math

import pytest
from torch import nn

from openwork.errors import ArgumentError
from openwork.models import ModelSource, build, source_of


def test_round_trip_through_json() -> None:
    source = ModelSource("resnet32", 100, 1, 28, 0.5)
    assert ModelSource.from_dict(json.loads(json.dumps(source.to_dict()))) == source


def test_defaults_fill_an_old_dict() -> None:
    assert ModelSource.from_dict({"name": "resnet32"}) == ModelSource("resnet32", 10, 3, 32, 1.0)


def test_an_integer_multiplier_becomes_a_float() -> None:
    assert isinstance(ModelSource("resnet32", depth_multiplier=1).depth_multiplier, float)


def test_copies_keep_the_source_and_strangers_have_none() -> None:
    model = build("mnist_3conv", in_channels=1, image_size=28, depth_multiplier=0.25)
    expected = ModelSource("mnist_3conv", 10, 1, 28, 0.25)
    assert source_of(model) == expected
    assert source_of(copy.deepcopy(model)) == expected
    assert "openwork_source" not in model.state_dict()
    assert source_of(nn.Linear(2, 2)) is None


@pytest.mark.parametrize("field", ["num_classes", "in_channels", "image_size"])
@pytest.mark.parametrize("value", [0, -1, 2.0, True, "3", None])
def test_bad_integers_are_refused(field: str, value: object) -> None:
    with pytest.raises(ArgumentError, match=f"`{field}` is .*integer of at least 1"):
        ModelSource.from_dict({"name": "resnet32", field: value})


@pytest.mark.parametrize("value", [0, -0.5, math.nan, math.inf, True, "1", None])
def test_bad_multipliers_are_refused(value: object) -> None:
    with pytest.raises(ArgumentError, match=r"`depth_multiplier` is .*above 0"):
        ModelSource.from_dict({"name": "resnet32", "depth_multiplier": value})


@pytest.mark.parametrize("name", ["", 3, None])
def test_bad_names_are_refused(name: object) -> None:
    with pytest.raises(ArgumentError, match="`name` is"):
        ModelSource.from_dict({"name": name})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"name": "resnet32", "width": 2}, r"unknown fields \['width'\]"),
        ({"num_classes": 10}, "must have the field `name`"),
        (["resnet32"], "must be a dict"),
    ],
)
def test_bad_dicts_are_refused(data: object, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        ModelSource.from_dict(data)  # type: ignore[arg-type]
