"""Measurements are shared through a file that others may damage."""

import os
from pathlib import Path
from threading import Thread

import pytest

from openwork._files import locked_folder
from openwork.kernels import remembered
from openwork.kernels.remembered import (
    is_steady,
    read_remembered,
    remember,
    remembered_path,
    spread,
)


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


def test_how_far_times_spread() -> None:
    assert spread([2.0, 1.0, 3.0]) == 1.0
    assert spread([1.0]) == 0.0
    # A clock's own steps are not noise.
    assert spread([1e-7, 9e-7, 9e-7]) < 0.1
    assert is_steady(spread([1.0, 1.2, 1.3, 9.0]))
    assert not is_steady(spread([1.0, 2.0, 3.0]))
    for wrong in (None, "0.1", -0.1, float("nan"), 1, []):
        assert not is_steady(wrong)


def test_threads_that_add_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "kernels.json"
    threads = [Thread(target=remember, args=(path, {str(n): n})) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read_remembered(path) == {str(n): n for n in range(6)}
    assert list(tmp_path.iterdir()) == [path]


def test_a_run_that_holds_the_folder_is_waited_for_and_then_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remembered, "_TRIES", 2)
    path = tmp_path / "kernels.json"
    with locked_folder(tmp_path, "folder"):
        remember(path, {"a": 1})
    assert read_remembered(path) == {}
    remember(path, {"a": 1})
    assert read_remembered(path) == {"a": 1}
