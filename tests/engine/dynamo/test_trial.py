"""A graph that does more than compute its outputs is found, without running the original."""

from collections.abc import Callable

import pytest
import torch
from dynamo_graphs import graphs
from torch import nn

from openwork.engine.dynamo.bound import Bound, Refused
from openwork.engine.dynamo.trial import trial


class Net(nn.Module):
    """A convolution, and what `after` makes of its input and output."""

    calls: torch.Tensor

    def __init__(self, after: Callable[..., object]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 1)
        self.after = after
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x: torch.Tensor) -> object:
        return self.after(self, x, self.conv(x))


def _bound(after: Callable[..., object]) -> tuple[Bound, torch.Tensor, Net]:
    model, x = Net(after).eval(), torch.randn(2, 2, 4, 5)
    ((graph, given),) = graphs(model, (x.clone(),))
    return Bound(graph, given), x, model


@pytest.mark.parametrize(
    "after",
    [
        lambda self, x, y: y + self.calls.add_(1),
        lambda self, x, y: x.mul_(2) + y.sum(),
    ],
)
def test_what_writes_is_refused_and_not_written_to(after: Callable[..., object]) -> None:
    bound, x, model = _bound(after)
    before, calls = x.clone(), model.calls.clone()
    with pytest.raises(Refused, match="it writes to its inputs or buffers"):
        trial(bound, [x])
    assert torch.equal(x, before)
    assert torch.equal(model.calls, calls)


@pytest.mark.parametrize(
    "after",
    [
        lambda self, x, y: (y, x[:, 0]),
        lambda self, x, y: (y, y.flatten(1)),
        lambda self, x, y: (y, self.conv.weight.view(-1)),
    ],
)
def test_outputs_that_share_memory_are_refused(after: Callable[..., object]) -> None:
    bound, x, _ = _bound(after)
    with pytest.raises(Refused, match="an output shares memory"):
        trial(bound, [x])


def test_outputs_lie_in_memory_as_the_graph_lays_them() -> None:
    bound, x, model = _bound(lambda self, x, y: (y.permute(0, 2, 3, 1), y + 1))
    first, second = trial(bound, [x])
    with torch.no_grad():
        wanted = model(x)
    found = first(wanted[0].contiguous())
    assert torch.equal(found, wanted[0])
    assert found.stride() == wanted[0].stride()
    assert second(wanted[1]) is wanted[1]
