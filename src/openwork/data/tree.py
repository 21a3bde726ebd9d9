"""Which image files of a folder belong to which class and split."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from openwork.data.image import SUFFIXES
from openwork.errors import DataError

# Every fifth image, starting with the first: a class of two images or more is in both splits.
_TEST_EVERY = 5
# Files and folders that Windows, macOS, Linux and network drives make unasked, in lower case.
_FOREIGN = {
    ".ds_store",
    "$recycle.bin",
    "@eadir",
    "__macosx",
    "desktop.ini",
    "ehthumbs.db",
    "ehthumbs_vista.db",
    "icon\r",
    "lost+found",
    "system volume information",
    "thumbs.db",
}

Labelled = list[tuple[Path, int]]


@dataclass(frozen=True)
class Tree:
    """The classes of a folder, and (file, label) for every image of each split.

    Attributes:
        skipped: files and folders that operating systems had put there.
    """

    classes: tuple[str, ...]
    splits: dict[str, Labelled]
    skipped: int


def scan(root: Path) -> Tree:
    """List the images of `root`, which has one of the layouts that `load` documents.

    Raises:
        DataError: `root` has another layout; the message names the file or folder.
    """
    if not root.is_dir():
        raise DataError(
            f"`{root}` is not a folder; PATH in `folder:PATH` must be a folder of class folders"
        )
    train = root / "train"
    skipped: set[Path] = set()
    held_out = next((root / name for name in ("test", "val") if (root / name).is_dir()), None)
    # A folder `train` that holds only images is a class (pictures of trains), not a split.
    if train.is_dir() and (held_out or any(item.is_dir() for item in _visible(train, skipped))):
        if held_out is None:
            raise DataError(f"`{root}` has train/ but neither test/ nor val/; add one of them")
        splits = ("train", "test", "val")
        _refuse(item for item in _visible(root, skipped) if item.name not in splits)
        classes, images = _two_splits(_classes(train, skipped), _classes(held_out, skipped), root)
    else:
        classes, images = _cut(_classes(root, skipped), root)
    return Tree(classes, images, len(skipped))


def _two_splits(
    train: dict[str, list[Path]], test: dict[str, list[Path]], root: Path
) -> tuple[tuple[str, ...], dict[str, Labelled]]:
    if train.keys() != test.keys():
        differing = ", ".join(sorted(train.keys() ^ test.keys()))
        raise DataError(
            f"`{root}`: train and test must have the same class folders, but only one of them has "
            f"{differing}; add it to the other or remove it"
        )
    return tuple(train), {"train": _label(train), "test": _label(test)}


def _cut(classes: dict[str, list[Path]], root: Path) -> tuple[tuple[str, ...], dict[str, Labelled]]:
    for name, files in classes.items():
        if len(files) == 1:
            raise DataError(
                f"`{root / name}` has one image, {files[0].name}; a class needs at least two, one "
                "to train and one to test on; add more or remove the folder"
            )
    test = {name: files[::_TEST_EVERY] for name, files in classes.items()}
    train = {
        name: [file for index, file in enumerate(files) if index % _TEST_EVERY]
        for name, files in classes.items()
    }
    return tuple(classes), {"train": _label(train), "test": _label(test)}


def _label(classes: dict[str, list[Path]]) -> Labelled:
    return [(file, label) for label, files in enumerate(classes.values()) for file in files]


def _classes(folder: Path, skipped: set[Path]) -> dict[str, list[Path]]:
    items = _visible(folder, skipped)
    _refuse(item for item in items if not item.is_dir())
    if not items:
        raise DataError(
            f"`{folder}` has no class folders; it must have one folder of images per class"
        )
    classes = {item.name: _visible(item, skipped) for item in items}
    for name, files in classes.items():
        _refuse(file for file in files if file.is_dir() or file.suffix.lower() not in SUFFIXES)
        if not files:
            raise DataError(f"`{folder / name}` has no images; add some or remove the folder")
    return classes


def _visible(folder: Path, skipped: set[Path]) -> list[Path]:
    """What `folder` holds but hidden files, and what goes to `skipped`."""
    items = list(folder.iterdir())
    foreign = {item for item in items if item.name.lower() in _FOREIGN}
    skipped |= foreign
    return sorted(item for item in items if item not in foreign and item.name[0] != ".")


def _refuse(strays: Iterable[Path]) -> None:
    paths = list(strays)
    if paths:
        more = f" and {len(paths) - 5} more" if len(paths) > 5 else ""
        raise DataError(
            f"not part of an image data set: {', '.join(map(str, paths[:5]))}{more}; class folders "
            f"must hold only images ({' '.join(sorted(SUFFIXES))}), and other folders only class "
            "folders; move these files, or hide them with a leading dot"
        )
