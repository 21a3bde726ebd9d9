"""The table of a plan: numbers of each layer, their sums, and why others are left."""

import torch
from torch import nn

from openwork.nn.preview import preview
from openwork.patterns import random


def test_layers_sums_and_notes() -> None:
    shared = nn.Linear(4, 4)
    model = nn.Sequential(nn.Linear(8, 4), shared, nn.Linear(4, 4))
    model[2].weight = shared.weight
    table = preview(model, {"0": random(4, 8, density=0.25)}, None)
    assert table.columns == ("layer", "weight", "density", "fan-in", "fan-out", "dense", "live")
    assert table.rows == (("0", "4x8", 0.25, "2", "1", 32, 8),)
    assert table.total == ("total", "", 0.25, "", "", 32, 8)
    assert [note.split(":")[1].strip() for note in table.notes] == ["1", "2"]


def test_multiply_adds_where_an_example_is_given() -> None:
    model = nn.Sequential(nn.Conv2d(2, 4, 3))
    pattern = random(4, 2, 3, 0.5)
    table = preview(model, {"0": pattern}, torch.zeros(1, 2, 6, 6))
    assert table.column("dense MACs") == [4 * 2 * 9 * 16]
    assert table.column("live MACs") == [pattern.live * 16]


def test_a_layer_without_a_pattern_stays_dense() -> None:
    table = preview(nn.Sequential(nn.Linear(3, 2)), {}, None)
    assert table.rows == (("0", "2x3", 1.0, "", "", 6, 6),)
