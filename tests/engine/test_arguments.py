"""Globs over layers and kernels: which forms are taken, and which match no layer."""

from typing import Any

import pytest
import torch
from torch import nn

from openwork.engine import compile
from openwork.engine.arguments import check_kernels, check_layers_named
from openwork.errors import ArgumentError


@pytest.mark.parametrize(
    "kernels",
    [{}, {"*": "torch"}, {"conv[12]": ("*-taps-*", "torch")}, {"*": ["torch"], "head": "f32-*"}],
    ids=str,
)
def test_one_glob_or_several_are_taken(kernels: dict[str, Any]) -> None:
    check_kernels(kernels)
    with pytest.raises(ArgumentError, match="`kernels` holds 'last': 5"):
        check_kernels(kernels | {"last": 5})


@pytest.mark.parametrize("wanted", [5, None, [], (), {"torch"}, ["torch", 5]], ids=repr)
def test_anything_else_for_a_layer_is_refused(wanted: object) -> None:
    with pytest.raises(ArgumentError, match=r"`kernels` holds 'head': .*, or to several"):
        check_kernels({"*": "torch", "head": wanted})


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"kernels": "torch"}, ArgumentError, "`kernels`='torch' must map"),
        ({"kernels": {"*": 5}}, ArgumentError, r"`kernels` holds '\*': 5"),
        ({"kernels": {"*": []}}, ArgumentError, r"`kernels` holds '\*': \[\]"),
        ({"kernels": {5: "torch"}}, ArgumentError, "`kernels` holds 5: 'torch'"),
    ],
)
def test_bad_kernels_are_refused(arguments: dict, error: type[Exception], message: str) -> None:
    call = {"model": nn.Conv2d(3, 4, 3), "example": torch.randn(2, 3, 8, 8), **arguments}
    with pytest.raises(error, match=message):
        compile(**call)


LAYERS = ["stem", "blocks.0.conv1", "blocks.0.conv2", "blocks.1.conv1", "head"]


def test_globs_that_match_a_layer_are_taken() -> None:
    globs = ["*", "stem", "blocks.*.conv2", "blocks.[01].*", "?tem"]
    check_layers_named(dict.fromkeys(globs, "torch"), LAYERS)
    check_layers_named({"*": "torch"}, [])
    with pytest.raises(ArgumentError, match="names 'stem', which matches no layer"):
        check_layers_named(dict.fromkeys(globs, "torch"), LAYERS[1:])


@pytest.mark.parametrize(
    ("glob", "closest"),
    [
        ("haed", "closest are 'head'$"),
        ("Stem", "closest are 'stem'$"),
        ("blocks.1.conv2", "closest are 'blocks.1.conv1', 'blocks.0.conv2', 'blocks.0.conv1'"),
        ("zzz", "closest are 'stem', 'blocks.0.conv1', 'blocks.0.conv2'$"),
    ],
)
def test_a_glob_without_a_layer_is_refused_with_near_names(glob: str, closest: str) -> None:
    # A layer that is called twice is one layer.
    with pytest.raises(ArgumentError, match=f"names '{glob}', .*; of its 5, {closest}"):
        check_layers_named({"*": "torch", glob: "torch"}, [*LAYERS, "stem"])


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 1)), "of its 2, closest are '0'"),
        (nn.ReLU(), "it has none"),
    ],
)
def test_kernels_for_a_layer_that_is_not_there_are_refused(model: nn.Module, message: str) -> None:
    with pytest.raises(ArgumentError, match=f"`kernels` names '0 ', .* {message}"):
        compile(model, torch.randn(2, 3, 8, 8), kernels={"0 ": "torch", "*": "torch"})
