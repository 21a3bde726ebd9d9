"""In-place operators: treated as ordinary ones only where no output shows it."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.fx import Graph

from openwork.capture.mutation import mutations_are_harmless, written
from openwork.engine import compile
from openwork.kernels import native

# In the order in which they are tried for a layer.
KERNELS = ("*winograd2*", "*-spmm-*", "*-direct-*", "*-taps-*")
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


@pytest.mark.parametrize(
    ("body", "harmless"),
    [(body, harmless) for body, harmless in BODIES if harmless is not None],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_whether_anything_reads_what_is_written(body: Body, harmless: bool) -> None:
    program = torch.export.export(Block(body).eval(), (torch.randn(2, 4, 5, 6),), strict=False)
    assert mutations_are_harmless(program.graph) == harmless


@pytest.mark.parametrize("body", [body for body, _ in BODIES], ids=lambda body: body.__name__)
def test_compiled_networks_give_the_same(
    body: Body, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if native.reason_missing is not None:
        pytest.skip("the compiled kernels are not there")
    torch.manual_seed(0)
    monkeypatch.setenv("OPENWORK_CACHE", str(tmp_path))
    model = Block(body).eval()
    example = torch.randn(2, 4, 5, 6)
    before = example.clone()
    compiled = compile(model, example, kernels={"*": KERNELS}, tolerance=1e-5)
    assert torch.equal(example, before)
    for _ in range(2):
        input = torch.randn(3, 4, 5, 6)
        with torch.no_grad():
            expected = model(input.clone())
        torch.testing.assert_close(compiled(input), expected, rtol=0, atol=2e-5)


def test_the_arguments_that_are_written_to() -> None:
    graph = Graph()
    x, y = graph.placeholder("x"), graph.placeholder("y")
    aten = torch.ops.aten
    assert written(graph.call_function(aten.add_.Tensor, (x, y))) == [x]
    assert written(graph.call_function(aten.add_.Tensor, (), {"self": y, "other": x})) == [y]
    assert written(graph.call_function(aten.add.out, (x, x), {"out": y})) == [y]
    assert written(graph.call_function(aten.add.Tensor, (x, y))) == []
    assert written(graph.call_function(aten._foreach_zero_.default, ([x, y],))) == [x, y]
