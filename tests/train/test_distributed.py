"""Two processes train as one: the same global batch, the same weights."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from openwork.io import container

# 100 images in batches of 19: the last one has 5, so the ranks get 3 and 2 of it.
OPTIONS = ("--images", 100, "--epochs", 2)
STEPS = 6


def _model(folder: Path) -> dict[str, torch.Tensor]:
    tensors, _ = container.read(folder / "state.safetensors")
    return tensors


def _history(folder: Path) -> list[dict[str, float]]:
    return container.read_header(folder / "state.safetensors")["history"]


@pytest.mark.slow
def test_two_processes_stopped_and_resumed_train_as_one(
    tmp_path: Path, finish: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENWORK_CACHE", str(tmp_path / "cache"))
    notes = tmp_path / "notes"
    notes.mkdir()
    one, two = ([tmp_path / by / how for how in ("fixed", "growing")] for by in ("one", "two"))
    options = (*OPTIONS, "--grow", "never", "start=0.4,every=5")
    finish("digits.py", *one, *options)
    printed = finish("digits.py", *two, *options, "--stop-after", STEPS + 2, processes=2)
    assert printed.count("stopped") == 4
    assert [[row["epoch"] for row in _history(folder)] for folder in two] == [[1], [1]]
    finish("digits.py", *two, *options, "--resume", "--note-writes", notes, processes=2)
    assert _history(one[0]) != _history(one[1])
    for each, expected in zip(two, one, strict=True):
        _check(each, expected)
        by_rank = {rank: _written(notes / str(rank), each) for rank in range(2)}
        assert {"state.safetensors", "model.safetensors", "metrics.csv"} <= by_rank[0]
        assert by_rank[1] == set()


def _check(folder: Path, expected: Path) -> None:
    """Both runs have the same weights and the same history, up to roundings."""
    found, wanted = _model(folder), _model(expected)
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        # Each sum over the batch is taken in two halves, and float32 rounds it differently (a
        # relative 1e-7 each); twelve steps through batch normalisation let that grow.
        torch.testing.assert_close(
            found[name],
            value,
            rtol=1e-4,
            atol=1e-5,
            msg=lambda text, name=name: f"{folder.name}, {name}: {text}",
        )
    for row, other in zip(_history(folder), _history(expected), strict=True):
        for key in ("train_loss", "test_loss"):
            assert row[key] == pytest.approx(other[key], rel=1e-4)
        # An accuracy counts images: one whose two best logits tie may fall either way.
        assert row["train_accuracy"] == pytest.approx(other["train_accuracy"], abs=1 / 100)
        assert row["test_accuracy"] == pytest.approx(other["test_accuracy"], abs=1 / 51)


def _written(note: Path, folder: Path) -> set[str]:
    """Names of the files under `folder` that a rank wrote; opening the folder is only a trial."""
    if not note.exists():
        return set()
    paths = map(Path, note.read_text().splitlines())
    return {path.name for path in paths if folder in path.parents}
