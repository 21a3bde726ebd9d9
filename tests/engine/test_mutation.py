"""In-place operators: taken for ordinary ones only where nobody can tell."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from openwork.capture.mutation import mutations_are_harmless
from openwork.engine import CompiledModel

Body = Callable[[torch.Tensor, nn.Module], torch.Tensor]


class Block(nn.Module):
    def __init__(self, body: Body) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self._body = body

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._body(x, self.conv)


def _relu_after(x: torch.Tensor, conv: nn.Module) -> torch.Tensor:
    y = conv(x)
    return y.relu_() * 2


def _residual(x: torch.Tensor, conv: nn.Module) -> torch.Tensor:
    y = conv(x)
    y += x
    return torch.relu_(y)


def _read_later(x: torch.Tensor, conv: nn.Module) -> torch.Tensor:
    y = conv(x)
    torch.relu_(y)
    return conv(y)


def _view_read_later(x: torch.Tensor, conv: nn.Module) -> torch.Tensor:
    y = conv(x)
    flat = y.flatten(1)
    y.relu_()
    return flat + 1


def _written_through_a_view(x: torch.Tensor, conv: nn.Module) -> torch.Tensor:
    y = conv(x)
    y[:, :2].mul_(3)
    return conv(y)


def _input_written(x: torch.Tensor, conv: nn.Module) -> torch.Tensor:
    return conv(x.relu_()) + x


def _input_written_through_a_view(x: torch.Tensor, conv: nn.Module) -> torch.Tensor:
    x.flatten(1).neg_()
    return conv(x)


def _unknown_in_place(x: torch.Tensor, conv: nn.Module) -> torch.Tensor:
    return conv(nn.functional.elu(conv(x), inplace=True))


def _weight_read(x: torch.Tensor, conv: nn.Module) -> torch.Tensor:
    return conv(x) + conv.weight.detach().clone().zero_().sum()


def _constant_written(x: torch.Tensor, conv: nn.Module) -> torch.Tensor:
    total = torch.zeros(1, 4, 1, 1) * 1
    total.sub_(1).add_(x.mean())
    return conv(x) + total


def _read_before(x: torch.Tensor, conv: nn.Module) -> torch.Tensor:
    y = conv(x)
    shortcut = conv(y)
    y = y.clamp_(-1e-3, 1e-3)
    return torch.relu(shortcut) + y


def _written_as_out(x: torch.Tensor, conv: nn.Module) -> torch.Tensor:
    y = conv(x)
    shortcut = conv(y)
    return torch.relu(shortcut) + torch.add(x, 1, out=y)


BODIES = [
    (_read_before, True),
    (_written_as_out, None),
    (_relu_after, True),
    (_residual, True),
    (_read_later, True),
    (_view_read_later, False),
    (_written_through_a_view, False),
    (_input_written, False),
    (_input_written_through_a_view, False),
    (_unknown_in_place, True),
    (_weight_read, None),
    (_constant_written, None),
]


@pytest.mark.parametrize(("body", "harmless"), BODIES, ids=lambda x: getattr(x, "__name__", ""))
def test_in_place_operators_change_nothing_else(
    body: Body, harmless: bool | None, build: Callable[..., CompiledModel]
) -> None:
    model = Block(body).eval()
    example = torch.randn(2, 4, 5, 6)
    if harmless is not None:
        program = torch.export.export(model, (example,), strict=False)
        assert mutations_are_harmless(program.graph) == harmless
    before = example.clone()
    compiled = build(model, example)
    assert torch.equal(example, before)
    for _ in range(2):
        input = torch.randn(3, 4, 5, 6)
        with torch.no_grad():
            expected = model(input.clone())
        torch.testing.assert_close(compiled(input), expected, rtol=0, atol=2e-5)
