"""Your own images: one folder of image files per class."""

import functools
import logging
import re
from pathlib import Path

import numpy as np

from openwork.data.image import ImageFault, header, read
from openwork.data.tree import Tree, scan
from openwork.errors import DataError

__all__ = ["PREFIX"]

PREFIX = "folder:"
_log = logging.getLogger(__name__)


class FolderReader:
    """Decodes a folder of class folders (a `Reader` for the cache).

    Two layouts are read: PATH/train/<class>/* with PATH/test/<class>/* or PATH/val/<class>/* (if
    both exist, `test` is the test split and `val` is ignored), and PATH/<class>/*, where every
    fifth image of a class by name, starting with the first, is a test image.

    Args:
        path: the folder.
        image_size: side in pixels of the square that every image is converted to (the shorter side
            is resized, then the centre cropped); None keeps the images, which must have one size.

    Raises:
        DataError: the folder has another layout; the message names the file or folder.
    """

    def __init__(self, path: Path, image_size: int | None = None) -> None:
        self.name = f"{PREFIX}{path.resolve()}"
        self.slug = "folder-" + re.sub(r"[^A-Za-z0-9_.]+", "-", path.resolve().name)[:40]
        self._root = path
        self._size = None if image_size is None else (image_size, image_size)
        self._tree: Tree = scan(path)
        self.classes = self._tree.classes
        if skipped := self._tree.skipped:
            _log.warning("%r: skipped %d files of the operating system", str(path), skipped)
        # The path too: unpacked archives can have equal file names, sizes and times.
        self.parameters = {
            "path": str(path.resolve()),
            "image_size": image_size,
            "classes": self.classes,
        }

    def files(self) -> list[tuple[str, Path]]:
        """Every image with its path relative to the folder, split by split, in reading order."""
        return [
            (f"{split}: {file.relative_to(self._root).as_posix()}", file)
            for split, images in self._tree.splits.items()
            for file, _ in images
        ]

    def shape(self, split: str) -> tuple[int, int, int, int]:
        """(N, C, H, W) of the split; C is 1 if every image of both splits is 8-bit grey, else 3.

        Raises:
            DataError: an image is unreadable, or sizes differ and `image_size` is None.
        """
        channels, (height, width) = self._layout
        return len(self._tree.splits[split]), channels, height, width

    def decode(self, split: str, images: np.ndarray, labels: np.ndarray) -> None:
        """Fill `images` (N, C, H, W) uint8 and `labels` (N,) int64.

        Raises:
            DataError: an image is unreadable; the message names the file.
        """
        for position, (path, label) in enumerate(self._tree.splits[split]):
            try:
                image = read(path, images.shape[1], self._size)
            except ImageFault as fault:
                raise DataError(f"`{path}`: {fault}") from fault
            if image.shape != images.shape[1:]:
                raise DataError(f"`{path}` changed while the folder was read; load it again")
            images[position] = image
            labels[position] = label

    @functools.cached_property
    def _layout(self) -> tuple[int, tuple[int, int]]:
        grey = True
        first: tuple[Path, tuple[int, int]] | None = None
        for _, path in self.files():
            try:
                image_grey, size = header(path)
            except ImageFault as fault:
                raise DataError(f"`{path}`: {fault}") from fault
            grey = grey and image_grey
            first = first or (path, size)
            if self._size is None and size != first[1]:
                raise DataError(
                    f"`{first[0]}` is {_hw(first[1])} and `{path}` is {_hw(size)}; all images must "
                    "have one size: pass `image_size=` (pixels) to resize and crop them to squares"
                )
        if first is None:
            raise DataError(f"the data set is empty: `{self._root}` has no images; add some")
        size = self._size or first[1]
        return 1 if grey else 3, size


def _hw(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]} (HxW)"
