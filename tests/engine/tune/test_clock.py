"""What a compiled network takes, by layer and as a whole."""

import torch
from torch import nn

from openwork.engine.tune.clock import measure


def test_each_layer_has_a_time_and_calls_of_one_layer_add_up() -> None:
    layer = nn.Conv2d(4, 4, 3, padding=1)
    model = nn.Sequential(layer, nn.ReLU(), layer, nn.Conv2d(4, 8, 1)).eval()
    times = measure(model, torch.zeros(1, 4, 6, 6))
    assert set(times.layers) == {"0", "3"}
    assert min(*times.layers.values(), times.whole) > 0
