"""`load`: a data set by name, decoded and memory-mapped."""

import difflib
import os
from pathlib import Path

from openwork.data.cache import cached
from openwork.data.folder import PREFIX, FolderReader
from openwork.data.locate import locate
from openwork.data.morse import MorseReader
from openwork.data.sources import SOURCES, names
from openwork.data.split import DataSet
from openwork.errors import ArgumentError, DataError

_MORSE = "morse"
_LARGEST = 2**16


def load(
    name: str = "mnist-subset",
    root: str | os.PathLike[str] | None = None,
    *,
    image_size: int | None = None,
) -> DataSet:
    """Load a data set: decoded into a cache the first time, memory-mapped from then on.

    Args:
        name: one of `names()`, or `folder:PATH` for your own images. `mnist-subset` (10,000
            training and 2,000 test images of MNIST, the default) comes with the package. PATH holds
            either train/<class>/* and test/<class>/* (or val/<class>/*), or <class>/*, where every
            fifth image of each class by name, starting with the first, becomes a test image.
            Images stay grey if all are 8-bit grey; otherwise all become RGB. Only the first frame
            of an animation is used. Files and folders with a leading dot are ignored, as is what
            operating systems make (Thumbs.db, desktop.ini, ...), which a warning counts. `morse`
            is generated (see `Morse`); `morse:noise=4,leading,dash=3` is a more difficult one.
        root: folder that holds `<name>/train-*.parquet` and `<name>/test-*.parquet`. Default:
            the environment variable OPENWORK_DATA, else the Hugging Face hub.
        image_size: only for `folder:PATH`: side in pixels of the squares that images are resized
            and cropped to. Default None keeps the images, which must then have one size.

    Returns:
        The data set, with images `(N, C, H, W)` uint8 and labels `(N,)` int64 as read-only memory
        maps in the cache folder ($OPENWORK_CACHE, else $XDG_CACHE_HOME/openwork, else
        ~/.cache/openwork). A `folder:` data set is named with its full path.

    Raises:
        ArgumentError: an unknown name, or an argument that does not apply to it.
        DataError: files are missing, damaged or not images (the message names file and row), the
            hub cannot be reached, or the cache folder cannot be written to.
        MissingPackageError: the hub is needed and huggingface_hub is not installed.
    """
    if not isinstance(name, str):
        raise ArgumentError(f"`name`={name!r} must be a string; {_choices()}")
    if name.startswith(PREFIX):
        return _load_folder(name.removeprefix(PREFIX), root, image_size)
    if name.partition(":")[0] == _MORSE:
        return _load_morse(name, root, image_size)
    source = SOURCES.get(name)
    if source is None:
        close = difflib.get_close_matches(name.lower(), names(), cutoff=0.5)
        hint = f"did you mean {' or '.join(close)}? " if close else ""
        raise ArgumentError(f"`name`={name!r} is not a known data set; {hint}{_choices()}")
    if image_size is not None:
        raise ArgumentError(
            f"`image_size`={image_size!r} applies only to `folder:PATH`; {name} has images of "
            f"{source.size[0]}x{source.size[1]} pixels; leave it out"
        )
    if root is not None and source.folder is not None:
        raise ArgumentError(
            f"`root`={str(root)!r} does not apply to {name}, which comes with the package; "
            "leave it out"
        )
    # Imported here, because pyarrow takes 30 MB that a program which only runs a network can save.
    from openwork.data.parquet import ParquetReader

    return cached(ParquetReader(source, locate(source, root)))


def _load_morse(name: str, root: str | os.PathLike[str] | None, image_size: int | None) -> DataSet:
    for argument, value in (("root", root), ("image_size", image_size)):
        if value is not None:
            raise ArgumentError(
                f"`{argument}`={str(value)!r} does not apply to morse, which is generated; leave "
                "it out"
            )
    return cached(MorseReader(name))


def _load_folder(path: str, root: str | os.PathLike[str] | None, image_size: int | None) -> DataSet:
    if not path:
        raise ArgumentError("`name`='folder:' needs a folder after the colon: `folder:PATH`")
    if root is not None:
        raise ArgumentError(
            f"`root`={str(root)!r} does not apply to `folder:PATH`; write the full path after the "
            "colon and leave `root` out"
        )
    whole = type(image_size) is int and 1 <= image_size <= _LARGEST
    if image_size is not None and not whole:
        raise ArgumentError(
            f"`image_size`={image_size!r} must be a whole number above 0 (pixels), at most "
            f"{_LARGEST:,}"
        )
    try:
        reader = FolderReader(Path(path).expanduser(), image_size)
    # An unknown ~user raises RuntimeError, and a string that cannot be a path ValueError.
    except (OSError, RuntimeError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise DataError(
            f"`name`={PREFIX + path!r} cannot be read ({why}); PATH in `folder:PATH` must be a "
            "folder of class folders"
        ) from error
    return cached(reader)


def _choices() -> str:
    return f"choose one of {', '.join(names())}, or `folder:PATH` for your own images"
