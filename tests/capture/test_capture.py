"""From a module to an exported program: any batch size, modes, and what is refused."""

import pytest
import torch
from torch import nn

from openwork._mode import evaluation
from openwork.capture import BatchSizes, capture
from openwork.errors import ArgumentError, CaptureError


class Branching(nn.Module):
    """What it computes depends on its numbers."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if x.sum() > 0 else -x


class Typed(nn.Module):
    """Branches on its numbers, and on what a placeholder is not."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if isinstance(x, torch.Tensor) and x.sum() > 0 else -x


class Counting(nn.Module):
    """Changes a buffer at each call."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return x * self.calls


class FixedBatch(nn.Module):
    """Takes the batch of the example only."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x) + torch.arange(2.0).reshape(2, 1)


def test_the_batch_size_stays_free() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten())
    for batch in (1, 5):
        assert capture(model, (torch.rand(batch, 3, 6, 6),)).batches == BatchSizes()


def test_a_network_made_for_one_batch_size_keeps_it() -> None:
    assert capture(FixedBatch(), (torch.rand(2, 4),)).batches.only == 2


def test_what_torch_cannot_capture_is_refused_with_its_reason() -> None:
    with pytest.raises(CaptureError, match="cannot capture Branching: "):
        capture(Branching(), (torch.rand(2, 4),))


def test_what_only_torch_fx_traces_is_refused_for_it_would_be_wrong() -> None:
    model, example = Typed(), torch.rand(2, 4)
    traced = torch.fx.symbolic_trace(model)
    assert torch.equal(traced(example), -model(example))
    with pytest.raises(CaptureError, match=r"through torch\.export only"):
        capture(model, (example,))


def test_a_network_that_changes_its_buffers_is_refused() -> None:
    model = Counting()
    with pytest.raises(CaptureError, match=r"Counting changes its buffers \['calls'\]"):
        capture(model, (torch.rand(2, 4),))
    assert model.calls == 0


@pytest.mark.parametrize(
    ("example", "message"),
    [
        ([], "one batch size"),
        ([torch.tensor(1.0)], "one batch size"),
        ([torch.rand(0, 3)], "one batch size"),
        ([torch.rand(2, 3), torch.rand(3, 3)], r"shapes \[\(2, 3\), \(3, 3\)\]"),
        ([torch.rand(2, 3).double()], "`example` is torch.float64 on cpu at place 0"),
        ([torch.rand(2, 3), torch.rand(2, 3, device="meta")], "on meta at place 1"),
        ([[1.0, 2.0]], "holds a list at place 0"),
    ],
)
def test_bad_examples_are_refused(example: list, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        capture(nn.ReLU(), example)


def test_each_module_keeps_its_mode() -> None:
    model = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(4))
    model[1].eval()
    with evaluation(model):
        assert not model[0].training
    assert model[0].training
    assert not model[1].training
