"""What torch says while it captures is short in errors and absent from the terminal."""

import pytest
import torch
from torch import nn
from torch.fx import config

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


def test_nodes_keep_no_record_of_the_calls_that_made_them(monkeypatch: pytest.MonkeyPatch) -> None:
    setting = "do_not_emit_stack_traces"
    if not hasattr(config, setting):
        pytest.skip("this torch always keeps it")
    monkeypatch.setattr(config, setting, False)
    captured = capture(nn.Linear(3, 2), (torch.zeros(2, 3),))
    assert [node.name for node in captured.program.graph.nodes if node.stack_trace] == []
    assert not getattr(config, setting)
