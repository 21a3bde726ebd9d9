"""Files are written whole or not at all."""

import os
import stat
from pathlib import Path

import pytest

from openwork._files import atomic_path, writable_folder, write_text, writing
from openwork.errors import CheckpointError, OpenworkError
from openwork.nn import Plan


def test_a_file_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with atomic_path(path) as temporary:
        temporary.write_text("new")
        assert not path.exists()
        assert temporary.parent == tmp_path
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_leaves_the_earlier_file(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(type(error)), atomic_path(path) as temporary:  # noqa: PT012
        temporary.write_text("half of the n")
        raise error
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_what_the_system_refuses_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "no" / "plan.yaml"
    with pytest.raises(OpenworkError, match=r"plan\.yaml' could not be written \(No such file"):
        Plan({"*": "dense"}).to_yaml(path)
    with (
        pytest.raises(CheckpointError, match="could not be written"),
        writing(path, CheckpointError),
    ):
        write_text(path, "")


def test_permissions_are_those_of_an_ordinary_file(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "x")
    (tmp_path / "b").write_text("x")
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in "ab"}
    assert len(modes) == 1


def test_a_folder_is_made_and_proved_writable(tmp_path: Path) -> None:
    folder = writable_folder(tmp_path / "a" / "b", "out")
    assert folder.is_dir()
    assert os.listdir(folder) == []


def test_a_folder_that_cannot_be_is_named(tmp_path: Path, unwritable_folder: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OpenworkError, match=r"`out`='.*file/below' cannot be written to"):
        writable_folder(tmp_path / "file" / "below", "out")
    with pytest.raises(OpenworkError, match=r"`out`=.* cannot be written to"):
        writable_folder(unwritable_folder, "out")
