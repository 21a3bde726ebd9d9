"""What torch says while it captures is short in errors and absent from the terminal."""

import pytest
import torch
from torch import nn

from openwork.capture import capture
from openwork.capture.quiet import reason_of
from openwork.errors import CaptureError


class _Branching(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if x.sum() > 0 else -x


def test_graphs_are_kept_out(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CaptureError, match=r"data-dependent") as caught:
        capture(_Branching(), (torch.zeros(2, 3),))
    text = str(caught.value)
    assert len(text.splitlines()) == 2
    assert "x.sum() > 0" in text
    assert "def forward" not in capfd.readouterr().err


def test_a_reason_is_one_short_line() -> None:
    assert reason_of(ValueError("a\n" * 60)) == "a"
    assert len(reason_of(ValueError("a" * 9000))) < 500
    assert reason_of(ValueError()) == "ValueError"
