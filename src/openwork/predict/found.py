"""Which files of some folders are images."""

import os
from collections.abc import Iterable
from pathlib import Path

from openwork._files import check_path, not_there
from openwork.data.image import SUFFIXES
from openwork.errors import ArgumentError, DataError


def found(paths: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """The images at `paths`, folder by folder, in the order of their names.

    Args:
        paths: a folder stands for all images in it and in its folders, except hidden ones; a file
            is taken whatever it is called.

    Raises:
        DataError: a path does not exist, or there are no images.
    """
    files: list[Path] = []
    if isinstance(paths, str | bytes | os.PathLike) or not isinstance(paths, Iterable):
        raise ArgumentError(f"`images`={paths!r:.60} must be a list of folders and files")
    paths = list(paths)
    for path in paths:
        check_path(path, "images")
    given = [Path(path) for path in paths]
    for path in given:
        # Path.is_dir raises for paths that no system takes.
        if os.path.isdir(path):
            files += _within(path)
        elif os.path.isfile(path):
            files.append(path)
        else:
            raise DataError(f"`images`={str(path)!r} {not_there(path, 'a file')}; check the path")
    if not files:
        where = ", ".join(map(repr, map(str, given)))
        kinds = " ".join(sorted(SUFFIXES))
        raise DataError(f"`images`={where} holds no images ({kinds}); give another folder")
    return files


def _within(folder: Path) -> list[Path]:
    files: list[Path] = []
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name[0] != ".")
        files += [
            Path(root, name)
            for name in sorted(names)
            if name[0] != "." and Path(name).suffix.lower() in SUFFIXES
        ]
    return files
