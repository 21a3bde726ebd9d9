"""Measurements are shared through a file that others may damage."""

import os
from pathlib import Path

import pytest

from openwork.kernels.remembered import read_remembered, remember, remembered_path


def test_processes_add_to_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENWORK_CACHE", str(tmp_path / "new"))
    path = remembered_path("kernels")
    assert path.parent == tmp_path / "new"
    assert path != remembered_path("training")
    remember(path, {"a": 1, "b": 2})
    remember(path, {"b": [3]})
    assert read_remembered(path) == {"a": 1, "b": [3]}


@pytest.mark.parametrize("text", ["{", "[1]", "[" * 100_000, "\0"])
def test_a_damaged_file_holds_nothing(text: str, tmp_path: Path) -> None:
    path = tmp_path / "kernels.json"
    path.write_text(text)
    assert read_remembered(path) == {}
    remember(path, {"a": 1})
    assert read_remembered(path) == {"a": 1}


def test_a_fifo_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "kernels.json")
    assert read_remembered(tmp_path / "kernels.json") == {}


def test_a_folder_that_cannot_be_written_is_no_error(unwritable_folder: Path) -> None:
    remember(unwritable_folder / "kernels.json", {"a": 1})
    assert read_remembered(unwritable_folder / "kernels.json") == {}
