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
@pytest.mark.parametrize("more", [(), ("--grow", "start=0.4,every=5")], ids=["fixed", "growing"])
def test_two_processes_stopped_and_resumed_train_as_one(
    tmp_path: Path,
    finish: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    more: tuple[str, ...],
) -> None:
    monkeypatch.setenv("OPENWORK_CACHE", str(tmp_path / "cache"))
    notes = tmp_path / "notes"
    notes.mkdir()
    finish("digits.py", tmp_path / "one", *OPTIONS, *more)
    printed = finish(
        "digits.py", tmp_path / "two", *OPTIONS, *more, "--stop-after", STEPS + 2, processes=2
    )
    assert printed.count("stopped") == 2
    assert [row["epoch"] for row in _history(tmp_path / "two")] == [1]
    finish(
        "digits.py",
        tmp_path / "two",
        *OPTIONS,
        *more,
        "--resume",
        "--note-writes",
        notes,
        processes=2,
    )

    one, two = _model(tmp_path / "one"), _model(tmp_path / "two")
    assert one.keys() == two.keys()
    for name, value in one.items():
        # Each sum over the batch is taken in two halves, and float32 rounds it differently (a
        # relative 1e-7 each); twelve steps through batch normalisation let that grow.
        torch.testing.assert_close(
            two[name], value, rtol=1e-4, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}"
        )
    for row, expected in zip(_history(tmp_path / "two"), _history(tmp_path / "one"), strict=True):
        for key in ("train_loss", "test_loss"):
            assert row[key] == pytest.approx(expected[key], rel=1e-4)
        # An accuracy counts images: one whose two best logits tie may fall either way.
        assert row["train_accuracy"] == pytest.approx(expected["train_accuracy"], abs=1 / 100)
        assert row["test_accuracy"] == pytest.approx(expected["test_accuracy"], abs=1 / 51)

    by_rank = {rank: _written(notes / str(rank), tmp_path / "two") for rank in range(2)}
    assert {"state.safetensors", "model.safetensors", "metrics.csv"} <= by_rank[0]
    assert by_rank[1] == set()


def _written(note: Path, folder: Path) -> set[str]:
    """Names of the files under `folder` that a rank wrote; opening the folder is only a trial."""
    if not note.exists():
        return set()
    paths = map(Path, note.read_text().splitlines())
    return {path.name for path in paths if folder in path.parents}
