"""Where a data set's files are looked for, and what is said when they are not there."""

from pathlib import Path

import pytest

from openwork.data.locate import find_shards, locate
from openwork.data.sources import EMBEDDED, SOURCES
from openwork.errors import DataError

MNIST = SOURCES["mnist"]


def _touch(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def test_the_embedded_set_needs_no_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENWORK_DATA", "/nowhere")
    found = locate(SOURCES["mnist-subset"], None)
    assert {split: [file.parent for file in files] for split, files in found.items()} == {
        "train": [EMBEDDED / "mnist"],
        "test": [EMBEDDED / "mnist"],
    }


def test_a_root_goes_before_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        _touch(tmp_path / name / "mnist", "train-0.parquet", "test-0.parquet")
    monkeypatch.setenv("OPENWORK_DATA", str(tmp_path / "b"))
    assert locate(MNIST, tmp_path / "a")["test"] == [tmp_path / "a" / "mnist" / "test-0.parquet"]
    assert locate(MNIST, None)["test"] == [tmp_path / "b" / "mnist" / "test-0.parquet"]


def test_shards_are_sorted_and_may_lie_deeper(tmp_path: Path) -> None:
    names = [f"train-{n:05d}-of-00003.parquet" for n in range(3)]
    _touch(tmp_path / "data", *reversed(names))
    assert [file.name for file in find_shards(tmp_path, "train")] == names
    assert find_shards(tmp_path, "test") == []


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("train-00000-of-00002.parquet",), "lacks train-00001-of-00002.parquet"),
        (("train-00000-of-00001.parquet", "train-0.parquet"), "mixes several exports of train"),
        (("a/train-0.parquet", "b/train-0.parquet"), "in several folders"),
    ],
)
def test_an_incomplete_export_is_refused(
    tmp_path: Path, names: tuple[str, ...], message: str
) -> None:
    for name in names:
        _touch((tmp_path / name).parent, (tmp_path / name).name)
    with pytest.raises(DataError, match=message):
        find_shards(tmp_path, "train")


def test_a_root_without_the_set_names_what_it_holds(tmp_path: Path) -> None:
    _touch(tmp_path / "cifar10", "train-0.parquet")
    with pytest.raises(DataError, match=r"does not hold mnist: .* it holds cifar10"):
        locate(MNIST, tmp_path)
    with pytest.raises(DataError, match="is not a folder"):
        locate(MNIST, tmp_path / "nothing")
