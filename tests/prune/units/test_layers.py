"""Which layers are cut by default, by name and by predicate."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

import openwork as ow
from openwork.prune.units.forward_pass import ForwardPass
from openwork.prune.units.layers import Layer, chosen_layers

Build = Callable[[str], nn.Module]


def test_the_first_convolution_and_the_head_are_left_by_default(network: Build) -> None:
    inner = ["a", "b", "depthwise", "grouped", "wide", "last"]
    assert list(chosen_layers(network("plain"), None)) == inner


def test_a_convolution_as_head_is_left_too() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 2, 1))
    assert list(chosen_layers(model, None)) == ["1"]
    with pytest.raises(ow.PlanError, match="no convolution between its first one and its head"):
        chosen_layers(model[1:], None)


def test_a_name_selects_what_is_left_by_default(network: Build) -> None:
    assert list(chosen_layers(network("plain"), ["stem", "linear:*"])) == ["stem", "head"]


def test_a_predicate_chooses(network: Build) -> None:
    wide = chosen_layers(network("plain"), lambda name, module: name.startswith("w"))
    assert list(wide) == ["wide"]
    with pytest.raises(ow.PlanError, match="holds for no layer"):
        chosen_layers(network("plain"), lambda name, module: False)


def test_for_an_unknown_layer_the_error_names_the_closest(network: Build) -> None:
    with pytest.raises(ow.PlanError, match="closest are 'grouped'"):
        chosen_layers(network("plain"), "gruoped")
    with pytest.raises(ow.ArgumentError, match="must name at least one layer"):
        chosen_layers(network("plain"), [])


def test_dense_and_stored_are_inverse_for_sparse_layers() -> None:
    sparse = ow.SparseConv2d(ow.patterns.random(4, 6, 3, 0.5))
    layer = Layer("a", sparse)
    dense = layer.dense(sparse.weight)
    assert dense.shape == (4, 6, 3, 3)
    assert ((dense != 0) == layer.mask).all()
    above = layer.stored(dense > 0)
    assert torch.equal(above, sparse.weight > 0)


def test_a_kind_that_the_model_lacks_is_not_blamed_on_sparse_layers() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), ow.SparseConv2d(ow.patterns.random(4, 4, 1, 0.5)))
    with pytest.raises(ow.PlanError, match="'linear:\\*' matches no layer"):
        chosen_layers(model, "linear:*")


def test_a_forward_pass_shows_the_first_convolution_and_the_heads(network: Build) -> None:
    forward_pass = ForwardPass(("b", "a", "grouped", "last"), frozenset({"grouped", "last"}))
    assert list(chosen_layers(network("plain"), None, forward_pass)) == [
        "stem",
        "a",
        "depthwise",
        "wide",
    ]
