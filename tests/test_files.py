"""Files are written whole or not at all."""

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from openwork._files import (
    _UMASK,
    atomic_path,
    locked_folder,
    not_there,
    open_file,
    read_text,
    remove_partial,
    writable_file,
    writable_folder,
    write_text,
    writing,
)
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
        pytest.raises(CheckpointError, match=r"`out`='.*' could not be written"),
        writing(path, CheckpointError, "out"),
    ):
        write_text(path, "")


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (errno.ENOSPC, "Free some space"),
        (errno.ENOENT, "Make its folder"),
        (errno.ENOTDIR, "Make its folder"),
        (errno.EACCES, "Choose a folder that you may write to"),
    ],
)
def test_a_refusal_says_what_helps(number: int, text: str) -> None:
    with (
        pytest.raises(OpenworkError, match=rf"^'x' could not be written .*\. {text}"),
        writing("x"),
    ):
        raise OSError(number, os.strerror(number))


def test_permissions_are_those_of_an_ordinary_file(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "x")
    (tmp_path / "b").write_text("x")
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in "ab"}
    assert len(modes) == 1


def test_a_folder_is_made_and_proved_writable(tmp_path: Path) -> None:
    folder = writable_folder(tmp_path / "a" / "b", "out")
    assert folder.is_dir()
    assert os.listdir(folder) == []


def test_a_file_that_can_be_written_is_not_made(tmp_path: Path) -> None:
    writable_file(tmp_path / "new" / "file", "out")
    assert [each.name for each in tmp_path.iterdir()] == ["new"]
    assert not list((tmp_path / "new").iterdir())
    (tmp_path / "old").write_text("kept")
    writable_file(tmp_path / "old", "out")
    assert (tmp_path / "old").read_text() == "kept"
    with pytest.raises(OpenworkError, match=r"`out`='.*new' is a folder; name a file in it"):
        writable_file(tmp_path / "new", "out")


def test_what_is_not_there(tmp_path: Path) -> None:
    assert not_there(tmp_path, "a file") == "is not a file"
    assert not_there(tmp_path / "file", "a file") == "does not exist"


def test_a_folder_that_cannot_be_is_named(tmp_path: Path, unwritable_folder: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OpenworkError, match=r"`out`='.*file/below' cannot be written to"):
        writable_folder(tmp_path / "file" / "below", "out")
    with pytest.raises(OpenworkError, match=r"`out`=.* cannot be written to"):
        writable_folder(unwritable_folder, "out")


@pytest.fixture(params=["folder", "fifo", "socket", "device", "link to a fifo"])
def special(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """Something that is not an ordinary file."""
    path = tmp_path / "it"
    with contextlib.ExitStack() as stack:
        if request.param == "folder":
            path.mkdir()
        elif request.param == "socket":
            listening = stack.enter_context(socket.socket(socket.AF_UNIX))
            listening.bind(str(path))
        elif request.param == "device":
            path.symlink_to("/dev/null")
        else:
            os.mkfifo(path)
            if request.param == "link to a fifo":
                path.rename(tmp_path / "other")
                path.symlink_to(tmp_path / "other")
        yield path


def test_what_is_not_a_file_is_neither_read_nor_replaced(special: Path) -> None:
    before = os.stat(special)
    listed = sorted(os.listdir(special.parent))
    for read in (open_file, read_text):
        with pytest.raises(OSError, match=r"it is a \w+, not a file"):
            read(special)
    with pytest.raises(OpenworkError, match=r"could not be written \(it is a \w+, not a file"):
        Plan({"*": "dense"}).to_yaml(special)
    after = os.stat(special)
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)
    assert sorted(os.listdir(special.parent)) == listed


@pytest.mark.parametrize(
    "path", ["a\0b", "/" + "a" * 5000, "b" * 300, "\ud800", "", "/dev/null/x"], ids=repr
)
def test_what_is_not_a_path_is_an_os_error(path: str) -> None:
    for use in (open_file, read_text, lambda path: write_text(path, "")):
        with pytest.raises(OSError):  # noqa: PT011
            use(path)
    with pytest.raises(OpenworkError, match="could not be written"):
        Plan({"*": "dense"}).to_yaml(path)
    with pytest.raises(OpenworkError, match="cannot be read"):
        Plan.from_yaml(path)


def test_an_unusable_folder_is_refused() -> None:
    for path in ("a\0b", "/" + "a" * 5000, "/dev/null/x"):
        with pytest.raises(OpenworkError, match=r"`out`=.* cannot be written to"):
            writable_folder(path, "out")


def test_a_text_has_a_largest_size(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "12345")
    assert read_text(tmp_path / "a", 5) == "12345"
    with pytest.raises(OSError, match="more than 4 bytes"):
        read_text(tmp_path / "a", 4)


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("name", ["m", "x" * 250, "ü" * 120, "a.b", "[*]", "-", "a\nb", "\udcff"])
def test_what_a_killed_save_left_goes_with_the_next(tmp_path: Path, name: str, apart: bool) -> None:
    child = os.fork()
    if not child:
        with atomic_path(tmp_path / name, apart) as temporary:
            temporary.write_text("half")
            if apart:
                temporary.with_name("beside").write_text("half")
            os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    assert len(os.listdir(tmp_path)) == 1
    write_text(tmp_path / name, "whole")
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("apart", [False, True])
def test_what_a_living_process_writes_stays(tmp_path: Path, apart: bool) -> None:
    with atomic_path(tmp_path / "m", apart) as temporary:
        temporary.write_text("one")
        write_text(tmp_path / "m", "two")
        remove_partial(tmp_path)
        assert temporary.read_text() == "one"
    assert (tmp_path / "m").read_text() == "one"


def test_files_beside_one_that_is_written_apart_go_with_it(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "m", apart=True) as temporary:
        temporary.with_name("beside").touch()
        temporary.write_text("one")
    failed = contextlib.suppress(ZeroDivisionError)
    with failed, atomic_path(tmp_path / "m", apart=True) as temporary:
        temporary.with_name("beside").touch()
        raise ZeroDivisionError
    assert os.listdir(tmp_path) == ["m"]
    assert (tmp_path / "m").read_text() == "one"
    assert (tmp_path / "m").stat().st_mode & 0o777 == 0o666 & ~_UMASK


def test_only_our_partial_files_are_removed(tmp_path: Path) -> None:
    others = [".m.abcdefg.partial", "m.abcdefgh.partial", ".m.abcdefgh.part", ".n.abcdefgh.partial"]
    for name in [*others, ".m.abcdefgh.partial"]:
        (tmp_path / name).touch()
    write_text(tmp_path / "m", "")
    assert sorted(os.listdir(tmp_path)) == sorted([*others, "m"])
    remove_partial(tmp_path)
    assert sorted(os.listdir(tmp_path)) == sorted([*others[:3], "m"])


def test_the_first_failure_is_the_one_that_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Path, missing_ok: bool = False) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "unlink", fail)
    with (
        pytest.raises(OpenworkError, match="No space left"),
        writing("m"),
        atomic_path(tmp_path / "m"),
    ):
        raise OSError(28, "No space left on device")


def test_a_folder_is_held_by_one_run(tmp_path: Path) -> None:
    with (
        locked_folder(tmp_path, "out"),
        pytest.raises(CheckpointError, match=r"`out`=.* is in use by another run"),
        locked_folder(tmp_path, "out"),
    ):
        pass
    with locked_folder(tmp_path, "out"):
        assert os.listdir(tmp_path) == [".lock"]
    assert os.listdir(tmp_path) == []
