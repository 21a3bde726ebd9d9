"""The file format: what is read is what was written, or a clear error."""

import errno
import json
import pickle
import struct
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from openwork.errors import CheckpointError
from openwork.io import container
from openwork.runtime import container as runtime_container

HEADER = {"kind": "test", "numbers": [1, 2.5, None], "text": 'ä " \\ ×'}


def _tensors() -> dict[str, torch.Tensor]:
    return {
        "a.weight": torch.arange(6.0).reshape(2, 3),
        "a.count": torch.tensor(7),
        "b": torch.tensor([1.5, -0.0, float("nan")], dtype=torch.bfloat16),
        "empty": torch.zeros(0, 3),
        "gaps": torch.tensor([0, 3, 255], dtype=torch.uint8),
        "mask": torch.tensor([True, False]),
    }


def _same(one: torch.Tensor, two: torch.Tensor) -> bool:
    """Bit for bit, NaN and negative zero included."""
    if one.dtype != two.dtype or one.shape != two.shape:
        return False
    return torch.equal(one.reshape(-1).view(torch.uint8), two.reshape(-1).view(torch.uint8))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "some.safetensors"
    container.write(path, _tensors(), HEADER)
    return path


def test_what_was_written_is_read(file: Path) -> None:
    tensors, header = container.read(file)
    expected = _tensors()
    assert tensors.keys() == expected.keys()
    assert all(_same(tensors[name], expected[name]) for name in expected)
    assert header == HEADER
    assert container.read_header(file) == HEADER
    assert [path.name for path in file.parent.iterdir()] == [file.name]


@pytest.mark.parametrize(
    "tensor",
    [torch.ones(()).expand(1), torch.empty(0).as_strided((0,), (3,)), torch.ones(()).expand(2, 3)],
    ids=["one", "none", "six"],
)
def test_strides_may_be_anything(tensor: torch.Tensor, tmp_path: Path) -> None:
    container.write(tmp_path / "file", {"it": tensor}, HEADER)
    found = container.read(tmp_path / "file")[0]["it"]
    assert found.shape == tensor.shape
    assert torch.equal(found, tensor)


def test_large_tensors_are_read_piece_by_piece(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime_container, "_PIECE", 2)
    tensors, _ = container.read(file)
    assert all(_same(tensors[name], tensor) for name, tensor in _tensors().items())


def test_a_later_change_of_the_file_does_not_reach_what_was_read(file: Path) -> None:
    tensors, _ = container.read(file)
    with file.open("r+b") as opened:
        opened.write(bytes(file.stat().st_size))
    assert all(_same(tensors[name], tensor) for name, tensor in _tensors().items())


def test_the_file_is_plain_safetensors(file: Path) -> None:
    from safetensors.torch import load_file

    assert _same(load_file(file)["b"], _tensors()["b"])


def test_tensors_that_share_memory_are_written_each_on_its_own(tmp_path: Path) -> None:
    base = torch.arange(12.0)
    views = {
        "whole": base,
        "again": base,
        "matrix": base.view(3, 4),
        "part": base[2:5],
        "strided": base.view(3, 4).T,
    }
    container.write(tmp_path / "views", views, {})
    tensors, _ = container.read(tmp_path / "views")
    assert all(_same(tensors[name], view) for name, view in views.items())


def test_writing_replaces_an_earlier_file(file: Path) -> None:
    container.write(file, {"x": torch.ones(2)}, {"new": True})
    tensors, header = container.read(file)
    assert list(tensors) == ["x"]
    assert header == {"new": True}


def test_every_truncation_is_refused(file: Path, tmp_path: Path) -> None:
    whole = file.read_bytes()
    part = tmp_path / "part"
    positions = {0, 1, 7, 8, 9, len(whole) - 1, *range(0, len(whole), len(whole) // 60)}
    for position in sorted(positions):
        part.write_bytes(whole[:position])
        with pytest.raises(
            CheckpointError, match=r"is truncated or not a safetensors file|is empty"
        ):
            container.read(part)


def test_bytes_at_the_end_are_refused(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(CheckpointError, match="truncated or not a safetensors file"):
        container.read(file)


def test_one_flipped_bit_anywhere_is_refused(file: Path, tmp_path: Path) -> None:
    whole = file.read_bytes()
    flipped = tmp_path / "flipped"
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << position % 8
        flipped.write_bytes(damaged)
        with pytest.raises(CheckpointError) as caught:
            container.read(flipped)
        assert "flipped" in str(caught.value)
        # The header alone says nothing of the tensors, but is never wrong.
        with suppress(CheckpointError):
            assert container.read_header(flipped) == HEADER


def _edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Rewrite the JSON at the front of a safetensors file and leave all else."""
    whole = path.read_bytes()
    (length,) = struct.unpack("<Q", whole[:8])
    front = json.loads(whole[8 : 8 + length])
    change(front)
    text = json.dumps(front).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + whole[8 + length :])


def test_an_edited_header_is_refused_with_that_reason(file: Path) -> None:
    def change(front: dict[str, Any]) -> None:
        text = front["__metadata__"]["openwork.header"]
        front["__metadata__"]["openwork.header"] = text.replace("test", "best")

    _edit(file, change)
    for read in (container.read, container.read_header):
        with pytest.raises(CheckpointError, match="has been changed since openwork wrote it"):
            read(file)


def test_exchanged_tensors_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "two"
    container.write(path, {"a": torch.zeros(4), "b": torch.ones(4)}, {})

    def change(front: dict[str, Any]) -> None:
        front["a"], front["b"] = front["b"], front["a"]

    _edit(path, change)
    with pytest.raises(CheckpointError, match="has been changed since openwork wrote it"):
        container.read(path)


def test_another_format_is_refused_by_number(file: Path) -> None:
    def change(front: dict[str, Any]) -> None:
        front["__metadata__"]["openwork.format"] = "99"

    _edit(file, change)
    with pytest.raises(CheckpointError, match=r"has format '99', .* reads format '1'"):
        container.read(file)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_a_foreign_safetensors_file_is_refused(
    tmp_path: Path, metadata: dict[str, str] | None
) -> None:
    path = tmp_path / "foreign"
    save_file({"x": torch.ones(2)}, path, metadata)
    with pytest.raises(CheckpointError, match="openwork did not write it"):
        container.read(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(CheckpointError, match="is not a file"):
            container.read(path)


class _Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("raise SystemExit('a pickle was loaded')",)


def test_a_pickle_is_refused_and_never_run(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(pickle.dumps(_Bomb()))
    with pytest.raises(CheckpointError, match="is a Python pickle, not a file of openwork"):
        container.read(path)
    torch.save({"weight": torch.ones(2), "bomb": _Bomb()}, path)
    with pytest.raises(CheckpointError, match=r"is a file of torch.save, not a file"):
        container.read(path)


def test_a_full_disk_leaves_the_earlier_file_whole(
    file: Path, full_disk: Callable[[int], AbstractContextManager[None]]
) -> None:
    before = file.read_bytes()
    with (
        full_disk(64 * 1024),
        pytest.raises(CheckpointError, match=r"could not be written .*too large.*unharmed"),
    ):
        container.write(file, {"big": torch.zeros(100_000)}, {})
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == [file.name]


@pytest.mark.parametrize("step", ["save_file", "fsync"])
def test_no_space_at_any_step_leaves_the_earlier_file_whole(
    file: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    before = file.read_bytes()
    where = "openwork.io.container.save_file" if step == "save_file" else "os.fsync"
    monkeypatch.setattr(where, fail)
    with pytest.raises(CheckpointError, match="No space left on device"):
        container.write(file, _tensors(), HEADER)
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_an_unwritable_folder_is_refused(unwritable_folder: Path) -> None:
    with pytest.raises(CheckpointError, match="Choose a folder that you may write to"):
        container.write(unwritable_folder / "x", _tensors(), HEADER)


def test_a_path_that_is_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(CheckpointError, match="could not be written"):
        container.write(tmp_path / "taken", _tensors(), HEADER)
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
