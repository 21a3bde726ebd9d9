"""The clock that `engine` registers, and that tests replace."""

import pytest
import torch
from torch import nn

from openwork.nn.timing import clock
from openwork.nn.timing.clock import CompiledTimes, compiled_times, register_clock


def test_the_registered_clock_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    import openwork.engine  # noqa: F401  so that it does not register itself later

    monkeypatch.setattr(clock, "_CLOCKS", {})
    register_clock(lambda model, example: CompiledTimes({"0": 1.0}, float(len(example))))
    assert compiled_times(nn.Linear(1, 1), torch.zeros(7, 1)).whole == 7
