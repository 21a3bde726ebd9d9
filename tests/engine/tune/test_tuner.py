"""Choices: measured once, remembered, given; a cache that is damaged or for something else."""

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from parts import known

from openwork.engine.runners import Choice
from openwork.engine.tune import tuner
from openwork.engine.tune.tuner import Tuner, best_choice, choices_path, requested
from openwork.errors import ArgumentError
from openwork.kernels import remembered
from openwork.kernels.dispatch import candidates
from openwork.kernels.native import extension as _C
from openwork.runtime import layers
from openwork.runtime.nodes import Conv
from openwork.runtime.values import Value


def _conv(size: int = 6, live: int = 36, kernel: int = 3, residual: bool = False) -> Conv:
    dice = np.random.default_rng(0)
    every = 4 * 4 * kernel * kernel
    positions = np.sort(dice.permutation(every)[: min(live, every)])
    x, y = Value((4, size, size), "x"), Value((4, size, size), "y")
    pad = (kernel // 2, kernel // 2)
    return Conv(
        [x, y] if residual else [x],
        Value((4, size, size), "z"),
        "features.0",
        (size, size),
        (4, 4, kernel, kernel),
        (1, 1),
        pad,
        (1, 1),
        1,
        positions,
        dice.standard_normal(positions.size).astype(np.float32),
        None,
    )


def _tuner(path: Path | None, **changed: Any) -> Tuner:
    return Tuner(**{**_CALL, "isa": _C.chosen_isa(), "path": path, **changed})


_CALL = {"batch": 1, "threads": 1, "optimize": "speed"}


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[Conv]:
    """The layers that were measured."""
    layers: list[Conv] = []
    measure = Tuner._measure

    def counted(self: Tuner, conv: Conv, problem: Any) -> Choice:
        layers.append(conv)
        return measure(self, conv, problem)

    monkeypatch.setattr(Tuner, "_measure", counted)
    return layers


@pytest.mark.parametrize("residual", [False, True])
def test_a_measured_choice_names_what_can_run_the_layer(residual: bool) -> None:
    conv = _conv(residual=residual)
    choice = _tuner(None).choose(conv)
    assert choice.name in {"torch", *(c.name for c in candidates(conv.problem()))}
    assert known(choice.seconds) > 0
    assert known(choice.torch_seconds) > 0


def test_measuring_leaves_torchs_random_numbers_alone() -> None:
    before = torch.get_rng_state()
    _tuner(None).choose(_conv(residual=True))
    assert torch.equal(torch.get_rng_state(), before)


def test_what_was_measured_is_remembered(tmp_path: Path, measured: list[Conv]) -> None:
    path = tmp_path / "folder" / "kernels.json"
    first = _tuner(path)
    choice = first.choose(_conv())
    assert first.choose(_conv()) == choice
    first.keep()
    assert _tuner(path).choose(_conv()) == choice
    assert len(measured) == 1


def test_unsteady_times_are_not_remembered(
    tmp_path: Path, measured: list[Conv], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "kernels.json"
    first = _tuner(path)
    choice = first.choose(_conv())
    assert known(choice.spread) >= 0
    first.keep()
    monkeypatch.setattr(remembered, "_MOST_SPREAD", -1.0)
    busy = _tuner(path)
    # Measured again, once, and the file keeps what it had.
    assert busy.choose(_conv()) == busy.choose(_conv())
    assert len(measured) == 2
    busy.choose(_conv(size=7))
    busy.keep()
    (entry,) = json.loads(path.read_text()).values()
    assert entry == list(dataclasses.astuple(choice))


def test_retuning_measures_what_is_remembered(tmp_path: Path, measured: list[Conv]) -> None:
    path = tmp_path / "kernels.json"
    conv = _conv()
    for changed in ({}, {}, {"retune": True}):
        each = _tuner(path, **changed)
        each.choose(conv)
        choice = each.choose(conv)
        each.keep()
    assert len(measured) == 2
    key = _tuner(None).key(conv, conv.problem())
    assert json.loads(path.read_text()) == {key: list(dataclasses.astuple(choice))}


def test_several_processes_add_to_one_file(tmp_path: Path, measured: list[Conv]) -> None:
    path = tmp_path / "kernels.json"
    one, two = _tuner(path), _tuner(path)
    one.choose(_conv())
    two.choose(_conv(size=7))
    one.keep()
    two.keep()
    third = _tuner(path)
    third.choose(_conv())
    third.choose(_conv(size=7))
    assert len(measured) == 2


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "7", "\x00", '{"KEY": null}', '{"KEY": []}', '{"KEY": ["torch"]}',
     '{"KEY": ["torch", null, null, 0.1, null]}', '{"KEY": ["torch", -1.0, 1.0, 0.1, null]}',
     '{"KEY": ["torch", 1e-3, 1e-3, 0.1]}', '{"KEY": ["torch", 1e-3, 1e-3, null, null]}',
     '{"KEY": ["torch", 1e-3, 1e-3, -1.0, null]}', '{"KEY": ["torch", 1e-3, 1e-3, NaN, null]}',
     '{"KEY": ["torch", 1e-3, 1e-3, 0.1, 7]}', '{"KEY": [[], 1e-3, 1e-3, 0.1, null]}',
     '{"KEY": ["f32-conv-removed-avx512", 1e-3, 1e-3, 0.1, null]}'],
)  # fmt: skip
def test_a_damaged_cache_is_ignored(text: str, tmp_path: Path, measured: list[Conv]) -> None:
    path = tmp_path / "kernels.json"
    conv = _conv()
    path.write_text(text.replace("KEY", _tuner(None).key(conv, conv.problem())))
    tuner = _tuner(path)
    tuner.choose(conv)
    assert len(measured) == 1
    tuner.keep()
    assert len(json.loads(path.read_text())) == 1


def test_an_unwritable_cache_is_no_error(unwritable_folder: Path) -> None:
    tuner = _tuner(unwritable_folder / "kernels.json")
    assert tuner.choose(_conv()).name
    tuner.keep()
    assert not (unwritable_folder / "kernels.json").exists()


def test_the_key_tells_apart_what_matters() -> None:
    plain = _conv()
    convs = [
        plain,
        _conv(size=7),
        _conv(live=72),
        _conv(live=16, kernel=1),
        _conv(residual=True),
        dataclasses.replace(plain, activation="relu"),
        dataclasses.replace(plain, linear=True),
        dataclasses.replace(plain, padding=(0, 0)),
    ]
    keys = [_tuner(None).key(conv, conv.problem()) for conv in convs]
    for changed in ({"batch": 2}, {"threads": 2}, {"optimize": "memory"}, {"isa": "other"}):
        keys.append(_tuner(None, **changed).key(plain, plain.problem()))
    assert len(set(keys)) == len(keys)


def test_the_key_knows_filters_that_share_their_inputs() -> None:
    blocks, spread = np.zeros((2, 4, 4, 3, 3), bool)
    blocks[:, 1] = True
    spread[range(4), range(4)] = True
    keys = set()
    for taps in (blocks, spread):
        positions = np.flatnonzero(taps)
        conv = dataclasses.replace(
            _conv(), positions=positions, weight=np.ones(positions.size, np.float32)
        )
        keys.add(_tuner(None).key(conv, conv.problem()))
    assert len(keys) == 2


def test_memory_leaves_out_transformed_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    class Recorded(tuner.Tournament):
        def add(self, name: str, call: Any) -> None:
            tried.append(name)
            super().add(name, call)

    monkeypatch.setattr(tuner, "Tournament", Recorded)
    _tuner(None).choose(_conv())
    assert any("winograd" in name for name in tried)
    tried.clear()
    assert "winograd" not in _tuner(None, optimize="memory").choose(_conv()).name
    assert tried
    assert not any("winograd" in name for name in tried)


def test_a_huge_dense_layer_is_torchs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "MANY_WEIGHTS", 100)
    assert _tuner(None).choose(_conv(live=144)).name == "torch"


def test_given_kernels_are_not_measured(measured: list[Conv]) -> None:
    isa = _C.chosen_isa()
    conv = _conv()
    assert requested(conv, {}, isa) is None
    assert requested(conv, {"classifier*": "torch"}, isa) is None
    assert requested(conv, {"features.*": "torch", "*": "*-taps-*"}, isa) == Choice("torch")
    assert "-taps-" in known(requested(conv, {"*": ("*-winograd8-*", "*-taps-*")}, isa)).name
    assert not measured


def test_a_given_kernel_that_cannot_run_the_layer_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"`kernels` wants '\*-winograd\*' for layer"):
        requested(_conv(kernel=1), {"*": "*-winograd*"}, _C.chosen_isa())


@pytest.mark.parametrize("text", ["[" * 200_000, '{"a":' * 5000, '{"a": ' + "1" * 9999 + "}", "[]"])
def test_no_text_in_the_file_ends_a_compile(tmp_path: Path, text: str) -> None:
    (tmp_path / "kernels.json").write_text(text)
    assert _tuner(tmp_path / "kernels.json")._choices == {}


def test_a_fifo_in_its_place_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "kernels.json")
    tuner = _tuner(tmp_path / "kernels.json")
    tuner._new["a"] = ["torch", 1.0, 1.0, 0.1]
    tuner.keep()
    assert os.listdir(tmp_path) == ["kernels.json"]
    assert (tmp_path / "kernels.json").is_fifo()


def test_the_file_lies_in_the_cache_folder(tmp_path: Path) -> None:
    assert choices_path().parent == tmp_path


def test_a_layer_of_the_same_key_that_cannot_run_the_kernel_is_measured_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Times that spread are used for the next such layer, though they are not remembered.
    answers = iter([Choice("f32-of-other-live-weights", 1.0, 2.0, 9.0), Choice("torch", 1.0, 1.0)])
    monkeypatch.setattr(Tuner, "_measure", lambda *arguments: next(answers))
    monkeypatch.setattr(remembered, "_MOST_SPREAD", 0.1)
    choices = _tuner(None)
    assert choices.choose(_conv()).name == "f32-of-other-live-weights"
    assert choices.choose(_conv()).name == "torch"


def test_the_best_kernel_is_named_beside_torch() -> None:
    times = {"torch": 1.0, "slow": 4.0, "near": 2.0}
    assert best_choice(times) == Choice("torch", 1.0, 1.0, without_torch="near")
    # Calling torch costs more than so little.
    assert best_choice({**times, "near": 1.02}) == Choice("near", 1.02, 1.0)
    assert best_choice({**times, "near": 0.5}) == Choice("near", 0.5, 1.0)
    assert best_choice({"torch": 1.0}) == Choice("torch", 1.0, 1.0)
