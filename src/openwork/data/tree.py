"""Which image files of a folder belong to which class and split."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from openwork.data.image import SUFFIXES
from openwork.errors import DataError

# One image in five, the first of each class included: any class of two or more has both.
_TEST_EVERY = 5

Labelled = list[tuple[Path, int]]


@dataclass(frozen=True)
class Tree:
    """The classes of a folder, and (file, label) for every image of each split."""

    classes: tuple[str, ...]
    splits: dict[str, Labelled]


def scan(root: Path) -> Tree:
    """List the images of `root`, which has one of the layouts that `load` documents.

    Raises:
        DataError: the layout is none of those; the message names the file or folder.
    """
    if not root.is_dir():
        raise DataError(f"{root} is not a folder; give `folder:PATH` a folder of class folders")
    train = root / "train"
    held_out = next((root / name for name in ("test", "val") if (root / name).is_dir()), None)
    # A folder `train` that holds only images is a class (of vehicles, say), not a split.
    if train.is_dir() and (held_out or any(item.is_dir() for item in _visible(train))):
        if held_out is None:
            raise DataError(f"{root} has train/ but neither test/ nor val/; add one of them")
        _refuse(item for item in _visible(root) if item.name not in ("train", "test", "val"))
        return _two_splits(_classes(train), _classes(held_out), root)
    return _cut(_classes(root), root)


def _two_splits(train: dict[str, list[Path]], test: dict[str, list[Path]], root: Path) -> Tree:
    if train.keys() != test.keys():
        differing = ", ".join(sorted(train.keys() ^ test.keys()))
        raise DataError(
            f"{root}: train and test have different class folders; only one of them has "
            f"{differing}; give both the same classes"
        )
    return Tree(tuple(train), {"train": _label(train), "test": _label(test)})


def _cut(classes: dict[str, list[Path]], root: Path) -> Tree:
    for name, files in classes.items():
        if len(files) == 1:
            raise DataError(
                f"{root / name} has one image, {files[0].name}; a class needs two or more "
                "to be cut into a training and a test split"
            )
    test = {name: files[::_TEST_EVERY] for name, files in classes.items()}
    train = {
        name: [file for index, file in enumerate(files) if index % _TEST_EVERY]
        for name, files in classes.items()
    }
    return Tree(tuple(classes), {"train": _label(train), "test": _label(test)})


def _label(classes: dict[str, list[Path]]) -> Labelled:
    return [(file, label) for label, files in enumerate(classes.values()) for file in files]


def _classes(folder: Path) -> dict[str, list[Path]]:
    items = _visible(folder)
    _refuse(item for item in items if not item.is_dir())
    if not items:
        raise DataError(
            f"{folder} has no class folders; give it one folder of images for each class"
        )
    classes = {item.name: _visible(item) for item in items}
    for name, files in classes.items():
        _refuse(file for file in files if file.is_dir() or file.suffix.lower() not in SUFFIXES)
        if not files:
            raise DataError(f"{folder / name} has no images; add some or remove the folder")
    return classes


def _visible(folder: Path) -> list[Path]:
    return sorted(item for item in folder.iterdir() if not item.name.startswith("."))


def _refuse(strays: Iterable[Path]) -> None:
    found = list(strays)
    if found:
        more = f" and {len(found) - 5} more" if len(found) > 5 else ""
        raise DataError(
            f"not part of an image data set: {', '.join(map(str, found[:5]))}{more}; class "
            "folders hold only images, other folders only class folders; move what does not "
            "belong, or hide it with a leading dot"
        )
