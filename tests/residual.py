"""A network with a batch norm, a sum and a linear layer, for the tests of quantisation."""

import torch
from torch import nn


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        self.second, self.last = nn.Conv2d(16, 16, 3, padding=1), nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm(self.first(x)))
        return self.last(torch.relu(x + self.second(x)).mean((2, 3)))


def residual() -> tuple[nn.Module, torch.Tensor]:
    """The network with a norm that does something, and 64 images."""
    torch.manual_seed(0)
    model = Residual().eval()
    model.norm.running_mean, model.norm.running_var = torch.rand(16), 0.5 + 1.5 * torch.rand(16)
    return model, torch.randn(64, 3, 8, 8)
