"""`advice`: what is said of shares of dead channels, optimisers and batch sizes."""

import pytest
import torch
from torch import nn

from openwork.observe.advice import advice


@pytest.mark.parametrize(
    ("dead", "message"),
    [
        (
            0.5,
            "50% of the channels are dead on these images. openwork.compact removes, without loss, "
            "those that are zero or constant for every input; with gamma_below= also those of "
            "small scales. It keeps channels that other images may excite.",
        ),
        (0.01, "1.0% of the channels are dead on these images: there is little to remove."),
    ],
)
def test_the_first_sentence_is_the_share(dead: float, message: str) -> None:
    assert advice(dead, dead, dead, None, None)[0] == message


def test_the_half_with_most_dead_channels_is_named() -> None:
    assert "early layers" in advice(0.3, 0.5, 0.1, None, None)[1]
    assert not any("early" in sentence for sentence in advice(0.3, 0.3, 0.3, None, None))
    assert "batches of 64" in advice(0.3, 0.3, 0.3, None, 64)[-1]


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        (torch.optim.Adam, "Adam with an L2 penalty of 0.01 is what makes"),
        (torch.optim.AdamW, "AdamW decays weights by itself"),
        (torch.optim.SGD, "SGD with an L2 penalty of 0.01 leaves few"),
    ],
)
def test_advice_knows_what_the_optimiser_does(optimizer: type, message: str) -> None:
    made = optimizer([nn.Parameter(torch.ones(1))], lr=0.1, weight_decay=0.01)
    assert message in advice(0.5, 0.1, 0.9, made, None)[-1]
    assert "late layers" in advice(0.5, 0.1, 0.9, made, None)[1]
    without = optimizer([nn.Parameter(torch.ones(1))], lr=0.1, weight_decay=0)
    assert "without a penalty" in advice(0.0, 0.0, 0.0, without, None)[-1]
