"""Choices of kernels: measured once, shared through a file that may be damaged."""

import json
import time
from pathlib import Path

import pytest

from openwork.errors import ArgumentError
from openwork.kernels import remembered
from openwork.ops import choices
from openwork.ops.choices import REFERENCE, Choices, choices_path, mode


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steady: None) -> None:
    monkeypatch.setenv("OPENWORK_CACHE", str(tmp_path))


def _busy(seconds: float) -> None:
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


def test_the_fastest_is_chosen_and_remembered() -> None:
    calls: list[str] = []

    def way(name: str, seconds: float):
        def prepare():
            calls.append(name)
            return lambda: _busy(seconds)

        return name, prepare

    ways = [way(REFERENCE, 0.02), way("fast", 0.001), way("slow", 0.05)]
    assert Choices().measure("layer", ways) == "fast"
    assert calls == [REFERENCE, "fast", "slow"]
    assert Choices().get("layer") == "fast"
    assert Choices().get("another") is None


def test_unsteady_times_choose_for_this_process_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "_MOST_SPREAD", -1.0)
    known = Choices()
    assert known.measure("layer", [("fast", lambda: lambda: None)]) == "fast"
    assert known.get("layer") == "fast"
    assert Choices().get("layer") is None
    assert not choices_path().exists()


def test_the_two_fastest_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    # As if the machine had been busy while "steady" was measured alone.
    taken = {"steady": iter([4.0, 4.0, *[1.0] * 9]), "other": iter([3.0] * 11)}
    monkeypatch.setattr("openwork.ops.choices._seconds", lambda call: call())
    ways = [(name, lambda name=name: lambda: next(taken[name])) for name in taken]
    assert Choices().measure("layer", ways) == "steady"


def test_processes_add_to_the_same_file() -> None:
    first, second = Choices(), Choices()
    assert first.get("a") is second.get("b") is None
    first.measure("a", [(REFERENCE, lambda: lambda: None)])
    second.measure("b", [(REFERENCE, lambda: lambda: None)])
    assert json.loads(choices_path().read_text()) == {"a": REFERENCE, "b": REFERENCE}


@pytest.mark.parametrize("text", ["{", "[1]", "[" * 100_000, '{"a": 3}', "\0"])
def test_a_damaged_file_costs_a_measurement(text: str) -> None:
    choices_path().parent.mkdir(parents=True, exist_ok=True)
    choices_path().write_text(text)
    assert Choices().get("a") is None


def test_a_file_that_cannot_be_written_is_no_error(unwritable_folder: Path, monkeypatch) -> None:
    monkeypatch.setenv("OPENWORK_CACHE", str(unwritable_folder))
    known = Choices()
    assert known.measure("a", [(REFERENCE, lambda: lambda: None)]) == REFERENCE
    assert known.get("a") == REFERENCE


def test_the_mode_is_one_of_three(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENWORK_TRAIN_KERNELS", raising=False)
    assert mode() == "measured"
    monkeypatch.setattr(choices, "reason_missing", None)
    monkeypatch.setenv("OPENWORK_TRAIN_KERNELS", "native")
    assert mode() == "native"
    monkeypatch.setattr(choices, "reason_missing", "there is no compiler")
    with pytest.raises(ArgumentError, match=r"='native' needs .* there is no compiler; unset it"):
        mode()
    monkeypatch.setenv("OPENWORK_TRAIN_KERNELS", "fastest")
    with pytest.raises(ArgumentError, match="`OPENWORK_TRAIN_KERNELS`='fastest' must be one of"):
        mode()
