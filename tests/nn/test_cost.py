"""What is counted and measured."""

import math

import pytest
import torch
from torch import nn

from openwork.errors import ArgumentError
from openwork.models import build
from openwork.nn import Plan, count_macs, memory_use, sparsify_


def test_macs_are_weights_times_positions() -> None:
    model = nn.Sequential(
        nn.Conv2d(4, 8, 3, stride=2, groups=2), nn.Flatten(), nn.Linear(8 * 16, 3)
    )
    assert count_macs(model, torch.zeros(5, 4, 9, 9)) == {"0": 8 * 2 * 9 * 16, "2": 8 * 16 * 3}
    sparsify_(model, Plan({"*": {"pattern": "random", "density": 0.5}}))
    assert count_macs(model, torch.zeros(5, 4, 9, 9)) == {"0": 8 * 9 * 16, "2": 8 * 16 * 3 // 2}


def test_counting_leaves_modes_and_statistics() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout()).train()
    model[2].eval()
    count_macs(model, torch.randn(2, 1, 5, 5))
    assert [m.training for m in model] == [True, True, False]
    assert model[1].num_batches_tracked == 0


@pytest.mark.parametrize("density", [0.05, 0.5])
def test_training_memory_shrinks_with_density(density: float) -> None:
    def measure(model: nn.Module) -> tuple[int, int]:
        optimizer = torch.optim.Adam(model.parameters())
        model(torch.randn(2, 3, 32, 32)).sum().backward()
        optimizer.step()
        use = memory_use(model, optimizer)
        return use.parameters + use.gradients + use.optimizer, use.indices

    model = build("vgg16-cifar")
    dense, none = measure(model)
    sparsify_(model, Plan({"conv:*": {"pattern": "random", "density": density}}))
    live = sum(p.numel() for p in model.parameters())
    sparse, indices = measure(model)
    share = live / 14_724_042
    assert none == 0
    # Adam's step counters are the only bytes beyond four numbers a weight.
    assert math.isclose(sparse / dense, share, rel_tol=1e-3)
    assert indices < 0.02 * sparse


def test_an_empty_batch_is_refused() -> None:
    with pytest.raises(ArgumentError, match="holds no image"):
        count_macs(nn.Sequential(nn.Linear(3, 2)), torch.ones(0, 3))


def test_convolutions_over_any_number_of_axes_are_counted() -> None:
    model = nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.ConvTranspose3d(4, 2, 2, 2))
    assert count_macs(model, torch.zeros(2, 1, 2, 3, 3)) == {"0": 4 * 27 * 18, "1": 64 * 18}
    assert count_macs(nn.Sequential(nn.Conv1d(3, 4, 3)), torch.zeros(1, 3, 8)) == {"0": 36 * 6}


def test_networks_of_several_inputs() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(3, 2)

        def forward(self, a: torch.Tensor, *, b: torch.Tensor) -> torch.Tensor:
            return self.linear(a) + self.linear(b)

    example = {"a": torch.zeros(4, 3), "b": torch.zeros(4, 3)}
    assert count_macs(Two(), example) == {"linear": 12}
    with pytest.raises(ArgumentError, match=r"is not accepted by the model: .*missing 1 required"):
        count_macs(Two(), torch.zeros(4, 3))
