"""What is told while a network is compiled."""

import io
import sys

import pytest
import torch
from torch import nn

import openwork as ow
from openwork.engine.progress import Progress


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_callback_hears_of_every_stage() -> None:
    heard: list[tuple[str, int, int]] = []
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3))
    ow.compile(
        model,
        torch.randn(1, 3, 8, 8),
        kernels={"*": "torch"},
        progress=lambda what, done, steps: heard.append((what, done, steps)),
    )
    assert heard == [
        ("capturing the network", 0, 1),
        ("choosing kernels", 0, 2),
        ("choosing kernels", 1, 2),
        ("choosing kernels", 2, 2),
        ("comparing the outputs", 0, 1),
    ]


def test_a_terminal_sees_nothing_of_what_is_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with Progress(None) as progress:
        progress.stage("capturing")
    assert terminal.getvalue() == ""


def test_a_terminal_sees_what_takes_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(Progress, "PATIENCE", -1.0)
    with Progress(None) as progress:
        assert list(progress.of(["a", "b"], "choosing")) == ["a", "b"]
    assert "openwork: choosing" in terminal.getvalue()
    assert "2/2" in terminal.getvalue()


def test_nothing_is_shown_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    output = io.StringIO()
    monkeypatch.setattr(sys, "stderr", output)
    monkeypatch.setattr(Progress, "PATIENCE", -1.0)
    with Progress(None) as progress:
        progress.stage("choosing")
    assert output.getvalue() == ""
