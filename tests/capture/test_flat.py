"""A network that takes and gives tensors alone, whatever it took and gave before."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from openwork._call import Call
from openwork._nested import nest
from openwork.capture.flat import flattened
from openwork.errors import CaptureError

X = torch.randn(2, 3)


@dataclass
class Output:
    scores: torch.Tensor
    kind: Any


class Body(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 4)

    def forward(self, batch: dict[str, torch.Tensor], kind: Any) -> Output:
        self.calls = 1
        return Output(self.linear(batch["x"]), kind)


def test_the_twin_takes_tensors_and_gives_leaves() -> None:
    model = Body()
    twin, results = flattened(model, Call({"x": X}, kind=torch.float16))
    found = twin(X + 1)
    assert found[1] is None
    assert results.constants == {1: torch.float16}
    leaves = [found[0], results.constants[1]]
    again = nest(results.nesting, leaves.__getitem__)
    assert isinstance(again, Output)
    assert again.kind is torch.float16
    assert torch.equal(again.scores, model.linear(X + 1))
    # The user's network does not notice.
    assert not hasattr(model, "calls")
    assert "forward" not in vars(model)
    assert twin.linear is model.linear


def test_results_that_may_hide_tensors_are_refused() -> None:
    twin, _ = flattened(Body(), Call({"x": X}, kind=SimpleNamespace(y=X)))
    with pytest.raises(CaptureError, match=r"Body returns a types.SimpleNamespace, .*dataclasses"):
        twin(X)


@pytest.mark.filterwarnings("ignore:`torch.jit.trace")
def test_modules_of_other_kinds_are_refused_with_the_way_out() -> None:
    traced: Any = torch.jit.trace(nn.Linear(3, 4), X)
    with pytest.raises(CaptureError, match="pass the Python module that it was made from"):
        flattened(traced, Call(X))
