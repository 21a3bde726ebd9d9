"""Latencies are measured in turns and leave the models as they were."""

import pytest
import torch
from torch import nn

from openwork.errors import ArgumentError
from openwork.report import measure_latency


class _Speaker(nn.Module):
    """Prints each call: what it kept would be put back."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name, self.count = name, 0

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        self.count += 1
        print(self.name, self.training)  # noqa: T201
        return input


def test_models_take_turns_in_evaluation_mode(capsys: pytest.CaptureFixture[str]) -> None:
    models = [_Speaker("a"), _Speaker("b")]
    latencies = measure_latency(models, torch.zeros(1), passes=12, warmup=2)
    assert capsys.readouterr().out == "a False\nb False\n" * 14
    assert all(model.training and model.count == 0 for model in models)
    for latency in latencies:
        assert latency.passes == 12
        assert 0 < latency.low <= latency.median <= latency.high


def test_nothing_to_measure_is_refused() -> None:
    with pytest.raises(ArgumentError, match="`passes`=0"):
        measure_latency([nn.Identity()], torch.zeros(1), passes=0)


def test_a_part_in_a_mode_of_its_own_keeps_it() -> None:
    model = nn.Sequential(nn.Identity(), nn.Identity()).train()
    model[1].eval()
    measure_latency([model], torch.zeros(1), passes=1, warmup=0)
    assert [module.training for module in model.modules()] == [True, True, False]
