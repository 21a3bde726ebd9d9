"""Networks in which feature maps depend on each other in every way, and ways to look at a cut."""

import copy
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import nn

from openwork.nn import Plan


class Residual(nn.Module):
    """A stem, a head, and between them what `kind` names: residual, concatenating, depthwise."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.a = nn.Conv2d(8, 8, 3, padding=1)
        self.b = nn.Conv2d(8, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.grouped = nn.Conv2d(8, 12, 3, padding=1, groups=2)
        self.wide = nn.Conv2d(16, 12, 1)
        self.last = nn.Conv2d(12, 10, 3, padding=1)
        self.head = nn.Linear(10 * 4 * 4, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.stem(x))
        y = torch.relu(self.norm(self.a(x)))
        if self.kind == "residual":
            y = torch.relu(y + self.b(torch.sigmoid(y)))
            y = self.grouped(y * torch.sigmoid(self.b(y).mean((2, 3), keepdim=True)))
        elif self.kind == "concatenating":
            y = self.wide(torch.cat([torch.tanh(self.b(y)), y], 1))
        elif self.kind == "depthwise":
            y = self.grouped(torch.relu(self.depthwise(y)))
        else:
            y = self.grouped(self.b(y))
        y = torch.nn.functional.adaptive_avg_pool2d(torch.relu(self.last(torch.relu(y))), 4)
        return self.head(y.flatten(1))


@pytest.fixture
def network() -> Callable[[str], nn.Module]:
    """`network(kind)`: in evaluation mode, with normalisation that shifts and scales."""

    def build(kind: str) -> nn.Module:
        torch.manual_seed(3)
        model = Residual(kind)
        with torch.no_grad():
            model.norm.weight.uniform_(0.5, 1.5)
            model.norm.bias.normal_()
            assert model.norm.running_mean is not None
            model.norm.running_mean.normal_()
        return model.eval()

    return build


@pytest.fixture
def example() -> torch.Tensor:
    return torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def masked() -> Callable[[nn.Module, Plan], nn.Module]:
    """`masked(model, plan)`: a dense copy with zeros where the plan has nothing live."""

    def build(model: nn.Module, plan: Plan) -> nn.Module:
        model = copy.deepcopy(model)
        modules = dict(model.named_modules())
        for name, pattern in plan.resolve(model).items():
            weight = modules[name].weight
            assert isinstance(weight, nn.Parameter)
            weight.data *= torch.from_numpy(pattern.taps)
        return model

    return build


@pytest.fixture(autouse=True)
def _same_random_state() -> Iterator[None]:
    """Restore the random state, since training seeds torch."""
    state = torch.get_rng_state()
    yield
    torch.set_rng_state(state)
