"""Decode once: data sets as memory-mapped arrays in a cache folder.

An entry is a folder `<data set>-<key>` with train-images.npy, train-labels.npy, the same for
test, and meta.json. The key covers the source files (name, size, time of change) and how they
are decoded, so an entry never goes stale; any entry may be deleted at any time.
"""

import contextlib
import hashlib
import json
import logging
import os
import shutil
import uuid
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from openwork._files import cache_folder
from openwork.data.split import DataSet, Split, channel_statistics
from openwork.errors import DataError

_log = logging.getLogger(__name__)

# Part of the key: raise it whenever decoding or the layout of an entry changes.
_FORMAT = 1
_SPLITS = ("train", "test")


class Reader(Protocol):
    """What the cache needs from something that can decode a data set."""

    name: str
    slug: str
    classes: tuple[str, ...]
    parameters: dict[str, Any]

    def files(self) -> list[tuple[str, Path]]: ...
    def shape(self, split: str) -> tuple[int, int, int, int]: ...
    def decode(self, split: str, images: np.ndarray, labels: np.ndarray) -> None: ...


def cached(reader: Reader) -> DataSet:
    """The data set of `reader`, from the cache if it is there, otherwise decoded into it.

    A damaged entry is rebuilt. Two processes may build one entry at once.

    Raises:
        DataError: the source files are damaged, or the cache folder cannot be written to.
    """
    folder = cache_folder()
    entry = folder / f"{reader.slug}-{_key(reader)}"
    found = _open_entry(entry, reader.name)
    if found is not None:
        return found
    building = folder / f".{entry.name}.{uuid.uuid4().hex}.partial"
    try:
        building.mkdir(parents=True)
        _log.info("decoding %s once into %s", reader.name, entry)
        _build(building, reader)
        # Opened before it is published: an open map stays whole whatever others do to the name.
        built = _open_entry(building, reader.name)
        if built is None:
            raise DataError(f"{building} is damaged right after it was written; check the disk")
        return _publish(building, entry, built)
    except OSError as error:
        raise DataError(
            f"the cache folder {folder} cannot be written to ({error}); "
            "set OPENWORK_CACHE to a folder that you may write to and that has room"
        ) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _key(reader: Reader) -> str:
    sources = []
    for name, path in reader.files():
        try:
            status = path.stat()
        except OSError as error:
            raise DataError(f"{path} cannot be read ({error.strerror})") from error
        sources.append((name, status.st_size, status.st_mtime_ns))
    told = json.dumps([_FORMAT, reader.parameters, sources], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def _build(folder: Path, reader: Reader) -> None:
    meta: dict[str, Any] = {"classes": reader.classes}
    for split in _SPLITS:
        shape = reader.shape(split)
        images = _allocate(folder / f"{split}-images.npy", np.uint8, shape)
        labels = _allocate(folder / f"{split}-labels.npy", np.int64, shape[:1])
        reader.decode(split, images, labels)
        meta[split] = shape
        if split == "train":
            meta["mean"], meta["std"] = channel_statistics(images)
        images.flush()
        labels.flush()
    (folder / "meta.json").write_text(json.dumps(meta), encoding="utf-8")
    for path in folder.iterdir():
        # After a power cut a renamed but unsynced file can be zeros of the right length.
        with path.open("rb") as file:
            os.fsync(file.fileno())


def _allocate(path: Path, dtype: type, shape: tuple[int, ...]) -> np.memmap:
    array = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    if hasattr(os, "posix_fallocate"):
        # On a full disk this is an error; writing into a sparse map would be a bus error.
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array


def _open_entry(entry: Path, name: str) -> DataSet | None:
    if not entry.exists():
        return None
    try:
        meta = json.loads((entry / "meta.json").read_text(encoding="utf-8"))
        splits = {split: _open_split(entry, split, meta[split]) for split in _SPLITS}
        classes, mean, std = (tuple(meta[key]) for key in ("classes", "mean", "std"))
        return DataSet(name, splits["train"], splits["test"], classes, mean, std)
    # Whatever damage does to JSON and to headers, which numpy tokenises as Python.
    except Exception as error:
        _log.warning("%s is damaged (%s) and is not used", entry, error)
        return None


def _open_split(entry: Path, split: str, shape: list[int]) -> Split:
    # Unlike np.load, open_memmap has no way to unpickle, and a short file is a ValueError.
    images = np.lib.format.open_memmap(entry / f"{split}-images.npy", mode="r")
    labels = np.lib.format.open_memmap(entry / f"{split}-labels.npy", mode="r")
    if list(images.shape) != shape:
        raise DataError(f"{split}-images.npy has shape {images.shape}, meta.json says {shape}")
    return Split(images, labels)


def _publish(building: Path, entry: Path, built: DataSet) -> DataSet:
    while True:
        try:
            building.rename(entry)
            return built
        except OSError:
            if not entry.exists():
                raise
        if (found := _open_entry(entry, built.name)) is not None:
            return found
        aside = entry.with_name(f".{entry.name}.{uuid.uuid4().hex}.damaged")
        with contextlib.suppress(FileNotFoundError):  # another process was faster
            entry.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)
