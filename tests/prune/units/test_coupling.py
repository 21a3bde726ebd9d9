"""Labels of feature maps: equal where maps can be removed only together."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

import openwork as ow
from openwork.prune.units.coupling import coupling_of

Build = Callable[[str], nn.Module]


def test_a_layer_consumes_what_the_one_before_produces(
    network: Build, example: torch.Tensor
) -> None:
    coupling = coupling_of(network("plain"), example)
    assert coupling.consumers["a"].tolist() == [coupling.producers["stem"].tolist()]
    assert len(np.unique(coupling.producers["stem"])) == 8
    assert coupling.depthwise_layers == set()
    assert coupling.labels > max(labels.max() for labels in coupling.producers.values())


def test_a_grouped_layer_consumes_a_row_for_each_group(
    network: Build, example: torch.Tensor
) -> None:
    coupling = coupling_of(network("plain"), example)
    assert coupling.consumers["grouped"].shape == (2, 4)
    assert coupling.consumers["grouped"].ravel().tolist() == coupling.producers["b"].tolist()


def test_added_maps_have_one_label(network: Build, example: torch.Tensor) -> None:
    coupling = coupling_of(network("residual"), example)
    assert coupling.producers["a"].tolist() == coupling.producers["b"].tolist()
    assert not set(coupling.producers["a"]) & set(coupling.producers["stem"])


def test_a_depthwise_layer_passes_labels_on(network: Build, example: torch.Tensor) -> None:
    coupling = coupling_of(network("depthwise"), example)
    assert coupling.depthwise_layers == {"depthwise"}
    assert coupling.producers["depthwise"].tolist() == coupling.producers["a"].tolist()


def test_a_flatten_repeats_each_label(network: Build, example: torch.Tensor) -> None:
    coupling = coupling_of(network("plain"), example)
    expected = np.repeat(coupling.producers["last"], 16)
    assert coupling.consumers["head"].ravel().tolist() == expected.tolist()


def test_normalisations_come_with_the_labels_of_their_channels(
    network: Build, example: torch.Tensor
) -> None:
    model = network("plain")
    ((scale, labels),) = coupling_of(model, example).norms
    assert scale.tolist() == model.get_parameter("norm.weight").double().tolist()
    assert labels.tolist() == coupling_of(model, example).producers["a"].tolist()


def test_outputs_are_frozen_with_a_reason(network: Build, example: torch.Tensor) -> None:
    coupling = coupling_of(network("plain"), example)
    reasons = {coupling.frozen[label] for label in coupling.producers["head"].tolist()}
    assert reasons == {"is what the network returns"}
    assert not coupling.frozen.keys() & set(coupling.producers["a"].tolist())


def test_maps_of_a_grouped_layer_are_balanced(network: Build, example: torch.Tensor) -> None:
    coupling = coupling_of(network("plain"), example)
    for name in ("b", "grouped"):
        parts = {coupling.balanced[label] for label in coupling.producers[name].tolist()}
        assert parts == {"group of grouped"}
    assert not coupling.balanced.keys() & set(coupling.producers["a"].tolist())


def test_a_network_in_another_dtype_is_followed_and_not_changed(
    network: Build, example: torch.Tensor
) -> None:
    model = network("plain").to(torch.bfloat16)
    coupling = coupling_of(model, example)
    assert len(coupling.producers["a"]) == 8
    assert model.get_parameter("a.weight").dtype == torch.bfloat16


def test_what_cannot_be_captured_is_sent_to_kernels(example: torch.Tensor) -> None:
    class Untraceable(nn.Conv2d):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            return super().forward(input) if float(input.sum()) > 0 else input

    with pytest.raises(ow.CaptureError, match="the maps of Untraceable cannot be followed"):
        coupling_of(Untraceable(3, 3, 1), example)
