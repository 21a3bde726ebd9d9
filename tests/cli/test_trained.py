"""A run and its data set: the one it was trained on, or another one."""

from pathlib import Path

import pytest
from parts import known

from openwork import io, models
from openwork.cli.trained import trained
from openwork.errors import ArgumentError, CheckpointError


def _save(path: Path, metrics: dict[str, object]) -> None:
    model = models.build("mlp:784-10", in_channels=1, image_size=28)
    io.save(model, path / "model.safetensors", metrics=metrics)


def test_the_data_set_is_the_one_it_was_trained_on(tmp_path: Path) -> None:
    _save(tmp_path, {"data": "mnist-subset"})
    found = trained(tmp_path, None, None)
    assert found.path == tmp_path / "model.safetensors"
    assert (known(found.source).name, found.dataset.name) == ("mlp:784-10", "mnist-subset")
    with pytest.raises(ArgumentError, match="'no-such'"):
        trained(tmp_path, "no-such", None)


def test_a_run_that_does_not_say_needs_data(tmp_path: Path) -> None:
    _save(tmp_path, {})
    with pytest.raises(ArgumentError, match="pass --data"):
        trained(tmp_path, None, None)
    assert trained(tmp_path, "mnist-subset", None).dataset.name == "mnist-subset"


def test_no_checkpoint_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError):
        trained(tmp_path, None, None)
