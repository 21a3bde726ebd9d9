"""Class folders: which layouts there are, and what does not belong."""

from pathlib import Path

import pytest

from openwork.data.tree import scan
from openwork.errors import DataError


def _fill(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def test_every_fifth_image_is_for_testing(tmp_path: Path) -> None:
    _fill(tmp_path, *(f"{label}/{n}.png" for label in "ab" for n in range(6)))
    tree = scan(tmp_path)
    assert tree.classes == ("a", "b")
    test = [(file.name, label) for file, label in tree.splits["test"]]
    assert test == [("0.png", 0), ("5.png", 0), ("0.png", 1), ("5.png", 1)]
    assert len(tree.splits["train"]) == 8


@pytest.mark.parametrize("held_out", ["test", "val"])
def test_two_splits_are_taken_as_they_are(tmp_path: Path, held_out: str) -> None:
    _fill(tmp_path, "train/a/1.png", "train/b/1.jpg", f"{held_out}/a/2.png", f"{held_out}/b/2.PNG")
    tree = scan(tmp_path)
    assert [(file.name, label) for file, label in tree.splits["test"]] == [
        ("2.png", 0),
        ("2.PNG", 1),
    ]


def test_a_folder_named_train_may_be_a_class(tmp_path: Path) -> None:
    _fill(tmp_path, *(f"{label}/{n}.png" for label in ("plane", "train") for n in range(2)))
    assert scan(tmp_path).classes == ("plane", "train")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("train/a/1.png",), "has train/ but neither test/ nor val/"),
        (("train/a/1.png", "test/b/1.png"), "only one of them has a, b"),
        (("a/1.png",), "has one image, 1.png"),
        (("a/1.png", "a/2.png", "notes.txt"), "not part of an image data set: .*notes.txt"),
        (("a/1.txt", "a/2.png"), "not part of an image data set: .*1.txt"),
        ((), "has no class folders"),
        (("a/.hidden",), "has no images"),
    ],
)
def test_other_layouts_are_refused(tmp_path: Path, names: tuple[str, ...], message: str) -> None:
    with pytest.raises(DataError, match=message):
        scan(_fill(tmp_path, *names))


def test_what_operating_systems_leave_is_skipped_and_counted(tmp_path: Path) -> None:
    _fill(tmp_path, *(f"{label}/{n}.png" for label in "ab" for n in range(2)))
    _fill(tmp_path, ".DS_Store", "desktop.ini", "__MACOSX/a/1.png", "lost+found/x", "@eaDir/y")
    _fill(tmp_path, "a/Thumbs.db", "a/ehthumbs.db", "b/Icon\r", "b/.DS_Store", "b/.hidden")
    tree = scan(tmp_path)
    assert tree.classes == ("a", "b")
    assert {file.suffix for images in tree.splits.values() for file, _ in images} == {".png"}
    assert tree.skipped == 9


@pytest.mark.parametrize(
    "stray", ["README.md", "labels.csv", "a/notes.txt", "a/b/1.png", "a/1.svg"]
)
def test_other_strays_are_refused(tmp_path: Path, stray: str) -> None:
    _fill(tmp_path, *(f"{label}/{n}.png" for label in "ab" for n in range(2)), "Thumbs.db", stray)
    with pytest.raises(DataError, match=r"not part of an image data set: .*must hold only images"):
        scan(tmp_path)


def test_splits_skip_them_once(tmp_path: Path) -> None:
    _fill(tmp_path, *(f"{s}/{c}/1.png" for s in ("train", "val") for c in "ab"))
    _fill(tmp_path, "Thumbs.db", "train/Thumbs.db", "val/thumbs.db", "train/a/Thumbs.db")
    assert scan(tmp_path).skipped == 4
