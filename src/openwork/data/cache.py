"""Decode once: data sets as memory-mapped arrays in a cache folder.

An entry is a folder `<data set>-<key>` with train-images.npy, train-labels.npy, the same two files
for test, and meta.json. The key covers the source files (name, size, time of change) and how they
are decoded, so an entry never goes stale. Entries may be deleted at any time.
"""

import contextlib
import hashlib
import json
import logging
import os
import re
import shutil
import uuid
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from openwork._files import cache_folder, read_text, remove_abandoned
from openwork._json import decode_mapping
from openwork._locks import try_lock
from openwork.data.split import DataSet, Split, channel_statistics
from openwork.errors import DataError

_log = logging.getLogger(__name__)

# Part of the key: increase it whenever decoding or the layout of an entry changes.
_FORMAT = 1
_SPLITS = ("train", "test")
_UNFINISHED = re.compile(r"\..+\.[0-9a-f]{32}\.(partial|damaged)")


class Reader(Protocol):
    """What the cache needs from an object that decodes a data set."""

    name: str
    slug: str
    classes: tuple[str, ...]
    parameters: dict[str, Any]

    def files(self) -> list[tuple[str, Path]]: ...
    def shape(self, split: str) -> tuple[int, int, int, int]: ...
    def decode(self, split: str, images: np.ndarray, labels: np.ndarray) -> None: ...


def cached(reader: Reader) -> DataSet:
    """The data set of `reader`, decoded into the cache unless it is already there.

    A damaged entry is rebuilt. Two processes may build the same entry at the same time.

    Raises:
        DataError: the source files are damaged, or the cache folder cannot be written to.
    """
    folder = cache_folder()
    entry = folder / f"{reader.slug}-{_key(reader)}"
    existing = _open_entry(entry, reader.name)
    if existing is not None:
        return existing
    building, descriptor = folder, None
    try:
        building, descriptor = _new_folder(folder, entry.name)
        _log.info("decoding %s once into %s", reader.name, entry)
        _build(building, reader)
        # Opened before it is published: an open map remains valid whatever happens to its path.
        built = _open_entry(building, reader.name)
        if built is None:
            raise DataError(f"`{building}` is damaged right after it was written; check the disk")
        return _publish(building, entry, built)
    except OSError as error:
        raise DataError(
            f"the cache folder `{folder}` cannot be written to ({error}); set `OPENWORK_CACHE` to "
            "a writable folder with enough space"
        ) from error
    finally:
        if descriptor is not None:
            shutil.rmtree(building, ignore_errors=True)
            os.close(descriptor)


def _new_folder(folder: Path, name: str) -> tuple[Path, int]:
    """A folder to build the entry `name` in, locked for as long as its descriptor is open.

    What killed processes left in `folder` is removed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if _UNFINISHED.fullmatch(path.name):
            remove_abandoned(path)
    while True:
        building = folder / f".{name}.{uuid.uuid4().hex}.partial"
        building.mkdir()
        descriptor = os.open(building, os.O_RDONLY)
        # Before it was locked, another process may have taken it for abandoned.
        if try_lock(descriptor) is not False and building.exists():
            return building, descriptor
        os.close(descriptor)


def _key(reader: Reader) -> str:
    sources = []
    for name, path in reader.files():
        try:
            status = path.stat()
        except OSError as error:
            raise DataError(
                f"`{path}` cannot be read ({error.strerror}); make it readable or remove it"
            ) from error
        sources.append((name, status.st_size, status.st_mtime_ns))
    text = json.dumps([_FORMAT, reader.parameters, sources], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


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
        # After a power failure, a renamed but unsynced file can be all zeros at full length.
        with path.open("rb") as file:
            os.fsync(file.fileno())


def _allocate(path: Path, dtype: type, shape: tuple[int, ...]) -> np.memmap:
    array = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    if hasattr(os, "posix_fallocate"):
        # On a full disk this raises an error; writing to a sparse map would be a bus error.
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array


def _open_entry(entry: Path, name: str) -> DataSet | None:
    if not entry.exists():
        return None
    try:
        meta = decode_mapping(read_text(entry / "meta.json"))
        splits = {split: _open_split(entry, split, meta[split]) for split in _SPLITS}
        classes, mean, std = (tuple(meta[key]) for key in ("classes", "mean", "std"))
        return DataSet(name, splits["train"], splits["test"], classes, mean, std)
    # Damaged JSON and damaged headers, which numpy parses as Python, can raise almost anything.
    except Exception as error:
        _log.warning("%r is damaged (%r) and will be rebuilt", str(entry), str(error))
        return None


def _open_split(entry: Path, split: str, shape: list[int]) -> Split:
    # Unlike np.load, open_memmap cannot unpickle, and it raises ValueError for a short file.
    images = np.lib.format.open_memmap(entry / f"{split}-images.npy", mode="r")
    labels = np.lib.format.open_memmap(entry / f"{split}-labels.npy", mode="r")
    if list(images.shape) != shape:
        raise DataError(f"{split}-images.npy has shape {images.shape}; meta.json says {shape}")
    return Split(images, labels)


def _publish(building: Path, entry: Path, built: DataSet) -> DataSet:
    while True:
        try:
            building.rename(entry)
            return built
        except OSError:
            if not entry.exists():
                raise
        if (published := _open_entry(entry, built.name)) is not None:
            return published
        aside = entry.with_name(f".{entry.name}.{uuid.uuid4().hex}.damaged")
        with contextlib.suppress(FileNotFoundError):  # another process was faster
            entry.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)
